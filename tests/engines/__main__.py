"""`python -m tests.engines postgresql slurm ray -- COMMAND`: run a command among real engines."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

from tests.engines import postgresql, raycluster, slurm
from tests.engines.engine import Missing

ENGINES = {"postgresql": postgresql.server, "slurm": slurm.cluster, "ray": raycluster.cluster}


def main(words: Sequence[str]) -> int:
    """Start the engines that are named, run the command, stop them; returns the command's exit code."""
    if "--" not in words or not set(words[: words.index("--")]) <= set(ENGINES):
        print(f"{__doc__}\nengines: {', '.join(ENGINES)}", file=sys.stderr)
        return 1
    names, command = words[: words.index("--")], words[words.index("--") + 1 :]
    env = dict(os.environ)
    with ExitStack() as stack:
        for name in names:
            began = time.monotonic()
            try:
                engine = stack.enter_context(ENGINES[name]())
            except Missing as error:
                print(error, file=sys.stderr)
                return 1
            env.update(engine.env)
            if isinstance(engine, raycluster.Cluster):
                env["MITOSIS_TEST_RAY"] = engine.address
            print(f"{name} runs after {time.monotonic() - began:.1f} s", file=sys.stderr)
        return subprocess.run(command, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
