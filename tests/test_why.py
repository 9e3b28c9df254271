"""Repositories with a known answer: diff, reproduce, noise, why, bisect and expectations have to give it."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mitosis import gate, launch
from mitosis.again import shares
from mitosis.cli import main
from mitosis.display import Silent
from mitosis.notebook import forking
from mitosis.request import Request
from mitosis.settings import OnDirty, Rerun, Settings, changed
from mitosis.trial import Status
from tests import project as project_of_tests
from tests.project import Project

pytestmark = pytest.mark.kernel

RUN = '"""An experiment."""\n\n\ndef run(seed: int, x: float = 1.0) -> dict:\n    return {"main": %s}\n'


@pytest.fixture(scope="module", autouse=True)
def one_server() -> Iterator[None]:
    """All trials of this file are made in this process, whose fork server ends with the last."""
    yield
    forking.stop()


@pytest.fixture
def lab(tmp_path: Path, git_config: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Project]:
    """Makes a repository whose experiment `toy` returns the given expression as main; files beside it."""

    def make(expression: str, **files: str) -> Project:
        made = project_of_tests.make((tmp_path / "my 'own' lab").resolve())
        write(made, expression, **files)
        monkeypatch.chdir(made.path)
        return made

    return make


def write(project: Project, expression: str, message: str = "work", **files: str) -> str:
    """Commit the experiment, and files by their names with `__` for `/`; returns the commit."""
    top = files.pop("top", "")
    project.write("toy.py", top + RUN % expression)
    for name, content in files.items():
        project.write(name.replace("__", "/") + ".py", content)
    return project.commit(message)


def trial(
    project: Project,
    x: float = 1.0,
    seed: int = 0,
    status: Status = Status.SUCCEEDED,
    missing: bool = False,
    module: str = "toy",
    dirty: bool = False,
    **params: Any,
) -> str:
    """Run one trial of today's code; returns its id, or that of the one that stands for it."""
    settings = Settings(
        rerun=Rerun.missing if missing else Rerun.always,
        on_dirty=OnDirty.snapshot if dirty else OnDirty.refuse,
    )
    values = {"x": x, **params}
    request = Request(
        experiment="toy",
        module=module,
        function="run",
        input_patterns=(),
        params=values,
        tracked=values,
        seed=seed,
        label={1.0: "one", 2.0: "two"}[x],
        variants=(),
        settings=settings,
        changed_settings=changed(settings),
    )
    made = launch.run_trial(gate.check(project.path, settings), request, Silent())
    assert made.status is status, made.outcome
    return made.id


def by_hydra(project: Project, *words: str) -> str:
    """Run one trial from the configuration, as a process; returns its id."""
    done = project.run("experiment=toy", *words)
    assert done.returncode == 0, done.stderr
    return str(answer("ls", "--limit", "1")[0]["id"])


def call(*words: str) -> tuple[int, str, str]:
    """A command of ours in this process: exit code, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main.main(words)
    return code, out.getvalue(), err.getvalue()


def answer(*words: str, code: int = 0) -> Any:
    """The JSON that a command answers with that exit code."""
    got, out, err = call(*words, "--json")
    assert got == code, err + out
    return json.loads(out)


def table(*words: str) -> list[dict[str, str]]:
    """The rows that a command gives as CSV."""
    got, out, err = call(*words, "--csv")
    assert got == 0, err + out
    return list(csv.DictReader(io.StringIO(out)))


def close(value: float, wanted: float) -> bool:
    return math.isclose(value, wanted, rel_tol=1e-9, abs_tol=1e-9)


# --- why ------------------------------------------------------------------------------------------------


def test_only_parameters_matter_although_code_differs(lab: Callable[..., Project]) -> None:
    """The code was rewritten and gives the same: all of the change is the parameters'."""
    project = lab("x * 2")
    a = trial(project)
    write(project, "x + x")
    b = trial(project, x=2.0)
    assert answer("diff", a, b)["causes"] == ["params", "code"]
    plan = answer("why", a, b, "--plan")
    assert plan["run"] == [["params"], ["code"]] and plan["repeats"] == 2 and plan["seconds"] > 0
    assert len(answer("ls")) == 2
    found = answer("why", a, b)
    assert (
        found["change"] == 2.0 and close(found["shares"]["params"], 1) and close(found["shares"]["code"], 0)
    )
    assert found["exact"] and found["orders"] == [2, 2] and not found["noise"]["change_within"]
    assert found["noise"]["floor"] == 0.0
    assert [t["reused"] for t in found["trials"]] == [True, True, False, False]
    again = answer("why", a, b)
    assert all(t["reused"] for t in again["trials"]) and again["shares"] == found["shares"]
    assert project.status() == ""
    by = {line["id"]: line for line in answer("ls", "--limit", "0")}
    assert by[found["trials"][2]["trial"]]["tags"] == ["why"]


def test_one_of_three_changed_packages_matters(lab: Callable[..., Project]) -> None:
    """Three packages changed; the one that made the change has all of it, the others nothing."""
    names = ("first", "second", "third")
    top = "".join(f"from {n}.part import value as {n}\n" for n in names)
    parts = {f"{n}__part": "def value(x):\n    return x\n" for n in names}
    project = lab("first(x) + second(x) + third(x)", top=top, **parts)
    a = trial(project)
    parts = {f"{n}__part": "def value(x):\n    return x * 1.0\n" for n in names}
    parts["second__part"] = "def value(x):\n    return x * 5\n"
    write(project, "first(x) + second(x) + third(x)", top=top, **parts)
    b = trial(project)
    found = answer("why", a, b)
    assert found["change"] == 4.0 and found["shares"] == {"code": 1.0}
    wanted = {"code:first": 0.0, "code:second": 1.0, "code:third": 0.0}
    assert found["parts"].keys() == wanted.keys()
    assert all(close(found["parts"][name], share) for name, share in wanted.items())
    assert project.git("branch", "--list").split() == ["*", "main"] and project.status() == ""


def test_causes_that_interact_share_the_whole_change(lab: Callable[..., Project]) -> None:
    """x becomes 2 and the code triples it: together more than apart, and the shares add up to all of it."""
    project = lab("x")
    a = trial(project)
    write(project, "x * 3")
    b = trial(project, x=2.0)
    found = answer("why", a, b)
    assert found["change"] == 5.0
    # alone: params +1, code +2; the rest, +2, is the two together, half of it each
    assert close(found["shares"]["params"], 2 / 5) and close(found["shares"]["code"], 3 / 5)
    _, text, hint = call("why", a, b)
    assert "params  40.0 %     +2" in text and f"next: mitosis bisect {a} {b}" in hint
    shares = table("why", a, b)
    assert {row["cause"]: round(float(row["makes"]), 9) for row in shares} == {"params": 2.0, "code": 3.0}
    differing = table("diff", a, b)
    assert [(r["a"], r["b"]) for r in differing if r["kind"] == "params"] == [("1.0", "2.0")]
    main_of = next(r for r in differing if r["name"] == "main")
    assert (main_of["a"], main_of["b"], main_of["absolute"]) == ("1.0", "6.0", "5.0")


LUCK = """\
from pathlib import Path


def luck():
    tries = Path({place!r})
    number = int(tries.read_text()) if tries.exists() else 0
    tries.write_text(str(number + 1))
    return (0.2, 0.8, 0.5, 0.3, 0.7)[number % 5]


"""


@pytest.fixture
def place() -> Iterator[str]:
    """A file where no trial is watched: what is kept there is chance to the record."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm", prefix="luck-") as file:
        yield f"{file.name}.txt"
    Path(f"{file.name}.txt").unlink(missing_ok=True)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="this system has no /dev/shm")
def test_chance_is_called_noise(lab: Callable[..., Project], place: str) -> None:
    """A number that varies without a cause: the change lies within the noise, and is said to."""
    top = LUCK.format(place=place)
    project = lab("luck()", top=top)
    a = trial(project)
    write(project, "luck() + 0.0", top=top)
    b = trial(project)
    measured = answer("noise", a, "--repeats", "4", "--seeds", "0")
    assert measured["repeats"]["n"] == 4 and measured["repeats"]["std"] > 0 and len(measured["ran"]) == 3
    assert "repeats with the same seed alone differ by up to" in call("compare", "--mix-code")[1]
    found = answer("why", a, b, "--repeats", "3")
    assert found["noise"]["change_within"] and "code" in found["noise"]["within"]
    assert "within noise" in call("diff", a, b)[1]
    assert answer("reproduce", a)["verdict"] == "within noise"
    assert [x["kind"] for x in answer("show", a)["attestations"]] == ["noise", "reproduce"]


def test_code_of_another_repository_is_no_noise(lab: Callable[..., Project], tmp_path: Path) -> None:
    """One commit here, two there: what comes of them is no repeat of one recipe, and the change no chance."""
    other = project_of_tests.make(tmp_path / "other")
    other.write("factor.py", "K = 1\n")
    other.commit("one")
    project = lab(
        "factor.K * x", top=f"import sys\n\nsys.path.insert(0, {str(other.path)!r})\nimport factor\n"
    )
    a = trial(project)
    other.write("factor.py", "K = 2\n")
    other.commit("two")
    b = trial(project)
    found = answer("diff", a, b)
    assert found["causes"] == ["code"] and found["noise"] is None
    assert "within noise" not in call("diff", a, b)[1]


def test_an_integer_beyond_the_floats(lab: Callable[..., Project]) -> None:
    """It is recorded and shown; it has no difference, and every question about it is answered."""
    project = lab("10**400 + int(x)")
    a, b = trial(project), trial(project, x=2.0)
    assert answer("show", a)["main"] == 10**400 + 1
    assert answer("diff", a, b)["metrics"][0]["absolute"] is None
    assert answer("compare", "--where", "main > 0")["groups"] == []
    code, _, err = call("why", a, b)
    assert code == 1 and "no number that has a difference" in err and len(err) < 400
    code, _, err = call("bisect", a, b)
    assert code == 1 and len(err) < 400


def test_a_hybrid_that_cannot_run_is_reported(lab: Callable[..., Project]) -> None:
    """A parameter that the old code does not know: one order of exchange is left, and it is used."""
    project = lab("x")
    a = trial(project)
    project.write("toy.py", (RUN % "x + y").replace("x: float = 1.0", "x: float = 1.0, y: float = 1.0"))
    project.commit()
    b = trial(project, y=3.0)
    found = answer("why", a, b)
    failed = [t for t in found["trials"] if t["reason"]]
    assert [t["taken"] for t in failed] == [["params"]] and "y" in failed[0]["reason"]
    assert found["orders"] == [1, 2]
    assert close(found["shares"]["code"], 1 / 3) and close(found["shares"]["params"], 2 / 3)


def test_a_data_file_that_nobody_declared(lab: Callable[..., Project]) -> None:
    """A tracked file that the code opens changed with the code: the observed input has all of the change."""
    top = "from pathlib import Path\n\n\n"
    reads = "float(Path('data/numbers.txt').read_text())"
    project = lab("x", top=top)
    project.write("data/numbers.txt", "1.0\n")
    write(project, reads, top=top)
    a = trial(project)
    project.write("data/numbers.txt", "4.0\n")
    write(project, f"{reads} * 1", top=top)
    b = trial(project)
    difference = answer("diff", a, b)
    assert (
        difference["causes"] == ["code", "inputs"] and difference["inputs"][0]["name"] == "data/numbers.txt"
    )
    found = answer("why", a, b)
    assert close(found["shares"]["inputs"], 1) and close(found["shares"]["code"], 0)
    assert all(not answer("show", t["trial"])["taints"] for t in found["trials"])


def test_bytes_that_are_gone_leave_the_orders_that_do_without(lab: Callable[..., Project]) -> None:
    """An ignored file was overwritten: nothing stands for its old bytes; the other order tells the shares."""
    project = lab("x * float(Path('data/n').read_text())", top="from pathlib import Path\n\n\n")
    project.write(".gitignore", "__pycache__/\ndata/\n")
    data = project.write("data/n", "1.0")
    project.commit()
    a = trial(project)
    data.write_text("10.0")
    b = trial(project, x=2.0)
    found = answer("why", a, b)
    (gone,) = [t for t in found["trials"] if t["reason"]]
    assert gone["taken"] == ["params"] and "data/n" in gone["reason"] and found["orders"] == [1, 2]
    assert close(found["shares"]["inputs"], 9 / 19) and close(found["shares"]["params"], 10 / 19)


def test_what_is_left_over_is_the_environments(
    lab: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old trial ran with other threads: it is run again today; the rest is the environment's share."""
    project = lab("x + float(os.environ.get('OMP_NUM_THREADS', 0))", top="import os\n\n\n")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    a = trial(project)
    monkeypatch.delenv("OMP_NUM_THREADS")
    b = trial(project, x=2.0)
    assert answer("diff", a, b)["causes"] == ["params", "environment"]
    found = answer("why", a, b, "--repeats", "0")
    assert found["change"] == -2.0 and found["noise"]["floor"] is None
    assert close(found["shares"]["params"], -0.5) and close(found["shares"]["environment"], 1.5)
    done = answer("reproduce", a, code=2)
    assert [(c["name"], c["a"], c["b"]) for c in done["environment"]] == [
        ("variable OMP_NUM_THREADS", ["3"], [])
    ]


# --- reproduce ------------------------------------------------------------------------------------------


def test_inputs_that_git_ignores(lab: Callable[..., Project]) -> None:
    """An ignored input is linked in while its bytes are the recorded ones; others never stand for them."""
    top = "from pathlib import Path\n\n\n"
    project = lab("float(Path('data/numbers.txt').read_text())", top=top)
    project.write(".gitignore", "__pycache__/\ndata/\n")
    data = project.write("data/numbers.txt", "1.5\n")
    project.commit()
    a = trial(project)
    done = answer("reproduce", a)
    assert done["verdict"] == "identical" and done["environment"] == []
    new = answer("show", done["trial"])
    assert new["inputs"] == answer("show", a)["inputs"] and not new["taints"]
    data.write_text("1.25\n")
    before = len(answer("ls"))
    gone = answer("reproduce", a, code=1)
    assert gone["verdict"] == "impossible" and "data/numbers.txt" in gone["reason"] and gone["trial"] is None
    assert len(answer("ls")) == before and data.read_text() == "1.25\n"
    said = [x["verdict"] for x in answer("show", a)["attestations"]]
    assert said == ["identical", "impossible"]
    assert "reproduce: impossible" in call("show", a)[1]


def test_a_declared_directory_of_which_git_holds_a_part(lab: Callable[..., Project]) -> None:
    """The files that git ignores are linked in beside those of the commit; the digest is the recorded one."""
    top = "from pathlib import Path\n\n\n"
    project = lab("sum(float(p.read_text()) for p in Path('data').iterdir())", top=top)
    project.write(".gitignore", "__pycache__/\n*.big\n")
    project.write("data/small", "1.0")
    project.write("data/large.big", "2.0")
    project.write("conf/experiment/toy.yaml", "module: toy\ninputs: [data]\n")
    project.commit()
    a = by_hydra(project, "params=one")
    project.write("data/small", "edited meanwhile")
    done = answer("reproduce", a)
    assert done["verdict"] == "identical"
    assert [i["kind"] for i in answer("show", done["trial"])["inputs"]] == ["declared"]
    project.write("data/large.big", "3.0")
    assert answer("reproduce", a, code=1)["verdict"] == "impossible"


def test_what_is_written_is_compared_and_kept_away(lab: Callable[..., Project]) -> None:
    """A trial that writes beside itself gets a checkout of its own; the user's tree stays as it is."""
    kept = "def kept(x):\n    Path('out.txt').write_text('one')\n    return x\n\n\n"
    project = lab("kept(x)", top=f"from pathlib import Path\n\n\n{kept}")
    project.write(".gitignore", "__pycache__/\nout.txt\n")
    project.commit()
    a = trial(project)
    (project.path / "out.txt").write_text("mine")
    assert answer("reproduce", a)["verdict"] == "identical"
    assert (project.path / "out.txt").read_text() == "mine"
    places = sorted(p.name for p in (project.path / "trials" / "checkouts").glob("[!.]*") if p.is_dir())
    assert places == [project.git("rev-parse", "HEAD")]


def test_yaml_and_branch_have_moved_on(lab: Callable[..., Project]) -> None:
    """A renamed experiment, another YAML, a dirty tree on another branch: the record alone decides."""
    project = lab("x * seed")
    a = trial(project, x=2.0, seed=3)
    project.git("checkout", "--quiet", "-b", "elsewhere")
    project.git("mv", "toy.py", "other.py")
    project.write("conf/experiment/toy.yaml", "module: other\n")
    project.write("conf/params/two.yaml", "x: 7.0\n")
    project.commit()
    project.write("other.py", "broken = (\n")
    before = project.status()
    done = answer("reproduce", a)
    assert done["verdict"] == "identical"
    assert answer("show", done["trial"])["main"] == 6.0
    assert project.status() == before and project.git("branch", "--show-current") == "elsewhere"


def test_a_commit_that_a_rebase_dropped(lab: Callable[..., Project]) -> None:
    """No branch and no reflog holds the commit any more, and git has collected its garbage."""
    project = lab("x * 1")
    base = project.git("rev-parse", "HEAD~1")
    a = trial(project)
    project.git("reset", "--quiet", "--hard", base)
    write(project, "x + 2", "instead")
    b = trial(project)
    project.git("reflog", "expire", "--expire=now", "--all")
    project.git("gc", "--quiet", "--prune=now")
    assert answer("reproduce", a)["verdict"] == "identical"
    assert answer("why", a, b)["shares"] == {"code": 1.0}
    assert answer("bisect", a, b)["commit"] == project.git("rev-parse", "HEAD")
    project.git("update-ref", "-d", f"refs/mitosis/kept/{answer('show', a)['commit']}")
    project.git("reflog", "expire", "--expire=now", "--all")
    project.git("gc", "--quiet", "--prune=now")
    gone = answer("reproduce", a, code=1)
    assert gone["verdict"] == "impossible" and "is not in the repository" in gone["reason"]


def test_a_clock_makes_a_result_different(lab: Callable[..., Project]) -> None:
    """A result that holds the time is different, in that one place, with exit code 2."""
    project = lab("1.0, 'rest': {'a': [1, 2.0, time.time()]}", top="import time\n\n\n")
    a = trial(project)
    done = answer("reproduce", a, "--rtol", "0", code=2)
    assert done["verdict"] == "different"
    assert [d["what"] for d in done["differences"]] == ["result['rest']['a'][2]"]
    close_enough = answer("reproduce", a, "--atol", "1e6")
    assert close_enough["verdict"] == "equal within tolerance"


def test_parameters_that_become_objects(lab: Callable[..., Project]) -> None:
    """A recorded `_target_`, a value in a table and a parameter that follows the seed work again."""
    project = lab("x.numerator + y + z + seed")
    source = (project.path / "toy.py").read_text().replace("x: float = 1.0", "x, y, z")
    project.write("toy.py", source + "\n\nTABLE = {'a': 5}\n")
    target = "x:\n  _target_: fractions.Fraction\n  numerator: 3\n  denominator: 4\n"
    table = "y:\n  _target_: mitosis.lookup\n  table: toy:TABLE\n  name: a\n"
    project.write("conf/params/objects.yaml", f"{target}{table}z: ${{seed}}\n")
    project.commit()
    a = by_hydra(project, "params=objects", "seed=2")
    assert answer("reproduce", a)["verdict"] == "identical"
    measured = answer("noise", a, "--repeats", "2", "--seeds", "3")
    assert (measured["repeats"]["std"], measured["repeats"]["n"]) == (0.0, 2)
    assert (measured["seeds"]["min"], measured["seeds"]["max"]) == (12.0, 16.0)


# --- bisect ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_culprit_among_64_commits(lab: Callable[..., Project]) -> None:
    """Six or seven commits are run, five that do not start are passed over, and the right one is named."""
    project = lab("x")
    a = trial(project)
    culprit, broken = 37, {31, 32, 33, 40, 48}
    commits = {}
    for number in range(1, 65):
        top = f"import nothing_{number}\n" if number in broken else f"# {number}\n"
        commits[number] = write(project, "x" if number < culprit else "x * 2", f"step {number}", top=top)
    b = trial(project)
    found = answer("bisect", a, b)
    assert found["commit"] == commits[culprit] and found["message"] == "step 37"
    assert found["started"] <= 7 and found["length"] == 64 and found["author"] == "Ada Lovelace"
    assert '+    return {"main": x * 2}' in found["patch"]
    skipped = [run["commit"] for run in found["runs"] if run["verdict"] == "skipped"]
    assert skipped and set(skipped) <= {commits[n] for n in broken}
    assert project.status() == "" and project.git("rev-parse", "HEAD") == commits[64]
    bad = [run["commit"] for run in table("bisect", a, b) if run["first_bad"] == "true"]
    assert bad == [commits[culprit]]
    side_by_side = answer("bisect", a, b, "--jobs", "2")
    assert side_by_side["commit"] == commits[culprit]


def test_commits_of_the_same_code_are_not_run(lab: Callable[..., Project]) -> None:
    """Commits that touch nothing that is loaded stand for each other; several may be left as candidates."""
    project = lab("x")
    project.write("notes.md", "")
    project.commit()
    a = trial(project)
    for number in range(6):
        project.write("notes.md", f"{number}\n")
        project.commit()
    project.write("toy.py", "import nothing_at_all\n")
    stopped = project.commit()
    culprit = write(project, "x + 1")
    b = trial(project)
    found = answer("bisect", a, b)
    assert found["commit"] is None and found["candidates"] == [stopped, culprit]
    assert found["started"] == 0
    good = {run["commit"]: run["trials"] for run in found["runs"] if run["verdict"] == "good"}
    assert {tuple(t) for t in good.values()} == {(a,)}


def test_a_merge_is_searched_along_what_it_brought(lab: Callable[..., Project]) -> None:
    """The culprit lies on a side branch: it is named, not the merge."""
    project = lab("x")
    a = trial(project)
    project.git("checkout", "--quiet", "-b", "side")
    write(project, "x * 1")
    culprit = write(project, "x * 4")
    project.git("checkout", "--quiet", "main")
    project.write("notes.md", "main goes on\n")
    project.commit()
    project.git("merge", "--quiet", "--no-ff", "-m", "merge", "side")
    b = trial(project)
    found = answer("bisect", a, b, "--seeds", "2")
    assert found["commit"] == culprit and found["length"] == 4  # two of the line, two that the merge brought
    code, _, err = call("bisect", a, a)
    assert code == 1 and "no commit lies between" in err


def test_parameters_are_no_commits_doing(lab: Callable[..., Project]) -> None:
    """Where the new code gives the old number with the old parameters, bisect says so and leads to why."""
    project = lab("x")
    a = trial(project)
    write(project, "x + 0.0")
    b = trial(project, x=2.0)
    code, _, err = call("bisect", a, b)
    assert code == 1 and f"mitosis why {a} {b}" in err


# --- diff and expectations ------------------------------------------------------------------------------


def test_commits_that_touch_nothing_that_was_loaded(lab: Callable[..., Project]) -> None:
    """diff names other commits as what they are, variants as sets of trials, and words that mean nothing."""
    project = lab("x")
    a = trial(project)
    for number in range(3):
        project.write("notes.md", f"{number}\n")
        project.commit()
    b = trial(project)
    text = call("diff", a, b)[1]
    assert "3 commits apart, none touches a file these trials load" in text and "nothing differs" in text
    c = trial(project, x=2.0)
    found = answer("diff", "one", "toy/two")
    assert (sorted(found["a"]), found["b"], found["causes"]) == (sorted([a, b]), [c], ["params"])
    assert found["metrics"][0]["absolute"] == 1.0
    write(project, "x * 9")
    d = trial(project)
    assert "+" + '    return {"main": x * 9}' in call("diff", b, d, "--patch")[1]
    code, _, err = call("diff", a, "nothing-like-it")
    assert code == 1 and "nothing-like-it" in err


def test_expectations(lab: Callable[..., Project]) -> None:
    """What was expected is confirmed or refuted in ls, show and the report; a later change is a note."""
    project = lab("x")
    project.write("conf/experiment/toy.yaml", 'module: toy\nexpect: {main: "< 0.5"}\n')
    project.commit()
    a = by_hydra(project, "params=one")
    assert answer("ls")[0]["expectation"] == "refuted" and "succeeded, refuted" in call("ls")[1]
    b = by_hydra(project, "params=one", 'experiment.expect.main="0.9 .. 1.1"')
    new = answer("show", b)
    assert (new["expectation"], new["expect"]) == ("confirmed", {"main": "0.9 .. 1.1"})
    (note,) = [n for n in new["notes"] if n["kind"] == "expectation_changed"]
    assert "main < 0.5" in note["what"] and a[:7] in note["what"]
    assert "main 0.9 .. 1.1: confirmed" in Path(new["html"]).read_text()
    refused = project.run("experiment=toy", "params=one", "experiment.expect.main=soon")
    assert refused.returncode == 1 and "experiment.expect.main" in refused.stderr
    assert call("check", "--rebuild")[0] == 0
    assert answer("show", b)["expectation"] == "confirmed"


# --- shares ---------------------------------------------------------------------------------------------


def test_shares_of_a_known_game() -> None:
    """Shapley's values of a game with known ones, with a subset missing, and one at a time beyond four."""
    worth = {"": 0.0, "a": 1.0, "b": 2.0, "ab": 6.0}
    value = lambda taken: worth.get("".join(sorted(taken)))  # noqa: E731
    assert shares.shares(["a", "b"], value).parts == {"a": 2.5, "b": 3.5}
    del worth["b"]
    told = shares.shares(["a", "b"], value)
    assert told.parts == {"a": 1.0, "b": 5.0} and told.orders == (1, 2)
    del worth["a"]
    assert shares.shares(["a", "b"], value).parts == {"a": None, "b": None}
    five = list("abcde")
    additive = shares.shares(five, lambda taken: float(sum(ord(c) for c in taken)))
    assert not additive.exact and additive.parts == {c: float(ord(c)) for c in five}
    assert additive.interaction == 0.0
    assert shares.shares(five, lambda taken: float(len(taken) == 5)).interaction == -1.5


# --- files that a commit adds ---------------------------------------------------------------------------

SUM = "sum(float(p.read_text()) for p in sorted(Path('d').glob('*')))"
PATH = "from pathlib import Path\n\n\n"


def test_a_file_that_a_pattern_finds(lab: Callable[..., Project]) -> None:
    """A commit adds a file that a pattern finds: the data made the change, and that commit did."""
    project = lab("x", top=PATH)
    project.write("d/a", "1.0")
    write(project, SUM, top=PATH)
    a = trial(project)
    project.write("d/b", "10.0")
    culprit = project.commit("data")
    project.write("readme.md", "words")
    project.commit()
    write(project, f"{SUM} * 1", top=PATH)
    b = trial(project)
    found = answer("why", a, b)
    assert close(found["shares"]["inputs"], 1) and close(found["shares"]["code"], 0)
    assert answer("bisect", a, b)["commit"] == culprit
    before = len(answer("ls", "--limit", "0"))
    assert answer("why", a, b)["shares"] == found["shares"] and answer("bisect", a, b)["started"] == 0
    assert len(answer("ls", "--limit", "0")) == before


def test_a_package_that_shadows_a_module(lab: Callable[..., Project]) -> None:
    """A package is found before the module of its name: no trial of the commit before stands for it."""
    top = "from helper import k\ntry:\n    from fast import k\nexcept ImportError:\n    pass\n\n\n"
    project = lab("k", top=top, helper="k = 2\n")
    a = trial(project)
    project.write("helper/__init__.py", "k = 3\n")
    shadow = project.commit()
    b = trial(project)
    project.write("fast.py", "k = 7\n")
    fast = project.commit()
    c = trial(project)
    trial(project, x=2.0)
    for last, wanted in ((b, shadow), (c, shadow)):
        assert answer("bisect", a, last)["commit"] == wanted
    assert answer("bisect", b, c)["commit"] == fast
    assert answer("why", a, c)["shares"] == {"code": 1.0}


def test_a_file_that_is_only_looked_for(lab: Callable[..., Project]) -> None:
    """A test for a file is in no record: the number is still not called chance, and its commit is found."""
    project = lab("1 + os.path.exists('flag')", top="import os\n\n\n")
    a = trial(project)
    project.write("flag", "")
    culprit = project.commit()
    b = trial(project)
    found = answer("diff", a, b)
    assert (found["causes"], found["code"]["unseen"]) == (["code"], ["flag"])
    assert found["noise"] is None and not found["not_reproducible"]
    assert "only one of them has flag" in call("diff", a, b)[1]
    told = answer("why", a, b)
    assert told["shares"] == {"code": 1.0} and told["noise"]["repeats"] == 4
    assert told["noise"]["floor"] == 0.0 and not told["noise"]["change_within"]
    assert "within noise" not in call("diff", a, b)[1]
    assert answer("bisect", a, b)["commit"] == culprit


def test_only_what_is_missing_is_run(lab: Callable[..., Project]) -> None:
    """Other words and modules change nothing; a file beside one that was read makes a trial missing."""
    project = lab("x", top=PATH)
    project.write("d/a", "1.0")
    write(project, SUM, top=PATH)
    a = trial(project)
    project.write("readme.md", "words")
    project.commit()
    assert trial(project, missing=True) == a
    project.write("d/b", "10.0")
    project.commit()
    b = trial(project, missing=True)
    assert b != a and answer("show", b)["main"] == 11.0
    project.write("package/__init__.py", "")
    project.commit()
    assert trial(project, missing=True) == b


# --- what is not to be believed ---------------------------------------------------------------------------


def test_the_users_own_files_are_not_written(lab: Callable[..., Project]) -> None:
    """A trial that appends to an ignored file that it reads gets a copy; the file and its time stay."""
    kept = "def kept(x):\n    Path('s/new.txt').write_text('1')\n    with open('s/state.txt', 'r+') as f:\n"
    kept += "        text = f.read()\n        f.write('1')\n    return float(len(text))\n\n\n"
    project = lab("kept(x)", top=PATH + kept)
    project.write(".gitignore", "__pycache__/\ns/\n")
    state = project.write("s/state.txt", "11")
    project.commit()
    a = trial(project)
    (project.path / "s/new.txt").unlink()
    write(project, "kept(x) * 2", top=PATH + kept)
    b = trial(project, x=2.0)
    (project.path / "s/new.txt").unlink()
    before = state.read_text(), state.stat().st_mtime_ns
    call("reproduce", a)
    found = answer("why", a, b)
    text = call("why", a, b)[1]
    call("bisect", a, b)
    assert (state.read_text(), state.stat().st_mtime_ns) == before
    assert not (project.path / "s/new.txt").exists()
    assert found["noise"]["floor"] != 0.0 or found["noise"]["silent"], found
    assert "noise: none, " not in text


def test_a_result_that_cannot_be_kept(lab: Callable[..., Project]) -> None:
    """What could not be pickled was not compared, and that is said beside the verdict."""
    project = lab("x, 'lock': threading.Lock()", top="import threading\n\n\n")
    a = trial(project)
    done = answer("reproduce", a)
    assert (done["verdict"], done["not_compared"]) == ("identical", ["result"])
    said = call("reproduce", a)[1]
    assert "identical in metrics; the result was not kept and not compared" in said


def test_what_failed_is_not_run_twice(lab: Callable[..., Project]) -> None:
    """The same question asked again runs nothing: not the trial in between, not the commit that failed."""
    project = lab("x")
    a = trial(project)
    write(project, "x + 0.0", top="import nothing_like_it\n")
    project.write("toy.py", (RUN % "x + y").replace("x: float = 1.0", "x: float = 1.0, y: float = 1.0"))
    project.commit()
    b = trial(project, y=3.0)
    found, searched = answer("why", a, b), answer("bisect", a, b)
    before = len(answer("ls", "--limit", "0"))
    assert answer("why", a, b)["shares"] == found["shares"]
    assert answer("bisect", a, b)["candidates"] == searched["candidates"]
    assert len(answer("ls", "--limit", "0")) == before
    assert [r["verdict"] for r in searched["runs"]].count("skipped") == 1


def test_numbers_at_the_end_of_floats(lab: Callable[..., Project]) -> None:
    """Numbers whose squares or differences no float holds: no fault, and no number that is none."""
    luck = "int.from_bytes(os.urandom(1), 'big') - 127.5"
    top = "import math\nimport os\n\n\n"
    project = lab(f"math.inf if x == 2 else math.copysign(1e308, {luck})", top=top)
    a, b = trial(project), trial(project, x=2.0)
    for _ in range(3):
        trial(project)
    assert call("noise", a, "--repeats", "3", "--seeds", "0")[0] == 0
    assert call("diff", a, b)[0] == 0 and call("diff", "@1", "@2")[0] == 0
    assert answer("noise", b, "--repeats", "2", "--seeds", "0")["floor"] is None
    assert call("noise", a, "--repeats", "0")[0] == call("noise", a, "--seeds", "-1")[0] == 1
    code, _, err = call("why", a, a)
    write(project, "math.nan", top=top)
    text = call("diff", a, trial(project))[1]
    assert " nan" in text and "+nan" not in text and "mitosis why" not in text
    assert code == 1 and "there is no change" in err


def test_the_noise_of_what_fails(lab: Callable[..., Project]) -> None:
    """A trial that fails is repeated once; the exit code is that of a trial that did not succeed."""
    project = lab("x / 0")
    a = trial(project, status=Status.FAILED)
    code, out, _ = call("noise", a)
    assert code == 2 and "no repeat" in out and len(answer("ls")) == 2


def test_a_repository_that_was_moved(lab: Callable[..., Project], tmp_path: Path) -> None:
    """The pointer and the folders are absolute; where they lead nowhere, the repository's own are found."""
    project = lab("x")
    a = trial(project)
    new = tmp_path / "elsewhere"
    os.chdir(tmp_path)
    project.path.rename(new)
    os.chdir(new)
    found = answer("show", a)
    assert found["folder"].startswith(str(new)) and Path(found["html"]).is_file()
    assert answer("reproduce", a)["verdict"] == "identical"
    assert answer("noise", a, "--repeats", "2", "--seeds", "0")["repeats"]["n"] == 2


def test_an_experiment_that_moved_to_another_module(lab: Callable[..., Project]) -> None:
    """Where the good entry point is gone, that of the bad trial is run; what cannot run clears nobody."""
    project = lab("x")
    a = trial(project)
    project.git("mv", "toy.py", "other.py")
    project.commit("move")
    project.write("other.py", RUN % "x * 3")
    culprit = project.commit("culprit")
    project.write("readme.md", "")
    project.commit()
    b = trial(project, module="other")
    assert answer("bisect", a, b)["commit"] == culprit
    project.write("other.py", "import nothing_like_it\n")
    project.commit()
    c = trial(project, module="other", status=Status.FAILED)
    code, _, err = call("bisect", a, c)
    assert code == 1 and "cannot run" in err and "not the cause" not in err


def test_snapshots_of_one_commit(lab: Callable[..., Project]) -> None:
    """Between two snapshots there is no commit: what is named are the snapshots, not the commit below."""
    project = lab("x * 5")
    ids = []
    for number in (1, 2):
        project.write("toy.py", RUN % f"x * {number}")
        ids.append(trial(project, dirty=True))
    commits = [answer("show", name)["commit"] for name in ids]
    found = answer("bisect", *ids)
    assert found["commit"] is None and found["candidates"] == commits
    assert "not committed" in call("bisect", *ids)[1]


def test_a_file_that_nobody_reads_counts_with_the_data(lab: Callable[..., Project]) -> None:
    """Files of data that are only counted are a cause of their own beside parameters and code."""
    count = "len(list(Path('d').iterdir())) * float(Path('d/a').read_text()) + x"
    project = lab("x", top=PATH)
    project.write("d/a", "1.0")
    write(project, count, top=PATH)
    a = trial(project)
    project.write("d/b", "10.0")
    write(project, f"({count}) * 1", top=PATH)
    b = trial(project, x=2.0)
    found = answer("why", a, b)
    assert found["change"] == 2.0 and found["orders"] == [6, 6]
    wanted = {"params": 0.5, "code": 0.0, "inputs": 0.5}
    assert found["shares"].keys() == wanted.keys()
    assert all(close(found["shares"][cause], share) for cause, share in wanted.items())
