"""Row: one more trial on the joblib launcher."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Iterator

from tests.bench.measure import Cost, Row, Sides, Skip, process
from tests.bench.place import Place, mitosis
from tests.bench.sweep import more

BARE = """\
import sys
from joblib import Parallel, delayed
from burn import run

if __name__ == "__main__":
    trials, seconds = int(sys.argv[1]), float(sys.argv[2])
    Parallel(n_jobs=2)(delayed(run)(seed, seconds=seconds) for seed in range(trials))
"""


@contextlib.contextmanager
def _joblib(place: Place) -> Iterator[Sides]:
    try:
        found = importlib.util.find_spec("hydra_plugins.hydra_joblib_launcher")
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise Skip("hydra-joblib-launcher is not installed: pip install hydra-joblib-launcher")
    long, short = place.size(10, 4), place.size(2, 2)
    seconds = 0.1 if place.quick else 2.0
    repository = place.repository(
        "joblib", {"bare.py": BARE, "conf/params/two.yaml": f"seconds: {seconds}\n"}
    )
    env = place.environ()

    def sweep(trials: int) -> Cost:
        seeds = "seed=" + ",".join(map(str, range(trials)))
        launcher = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
        return process(mitosis("-m", *launcher, "experiment=burn", "params=two", seeds), repository, env)

    def bare(trials: int) -> Cost:
        return process([sys.executable, "bare.py", str(trials), str(seconds)], repository, env)

    yield Sides(
        ours=lambda: more(sweep(long), sweep(short), long - short),
        theirs=lambda: more(bare(long), bare(short), long - short),
    )


ROWS = (
    Row(
        "joblib",
        "one more trial, joblib launcher with 2 workers, 2 s of CPU each",
        "the same function in bare joblib with 2 workers",
        1.10,
        _joblib,
        warm=False,
    ),
)
