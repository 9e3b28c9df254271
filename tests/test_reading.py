"""Real trials read back: a sweep that is gone on with, its page, the whole result, bash completing a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.project import Project

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

BASH = """
PATH="$(dirname "$PYTHON"):$PATH"
eval "$(mitosis --completion bash)"
COMP_LINE="mitosis experiment=toy params=o" COMP_WORDS=(mitosis experiment = toy params = o) COMP_CWORD=6
COMP_POINT=${#COMP_LINE}
_mitosis_complete
echo "${COMPREPLY[@]}"
"""


def test_a_sweep_is_gone_on_with_shown_and_loaded(project: Project) -> None:
    """`resume --json` is one document, a result is what `run` returned, Hydra completes a run."""
    assert project.run("-m", "experiment=toy", "params=one,broken").returncode == 2
    project.write("toy.py", (project.path / "toy.py").read_text().replace("if fail:", "if False:"))
    project.commit()
    done = project.run("resume", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["size"] == 2 and document["waiting"] == 0 and document["counts"]["succeeded"] == 2
    assert "seed 0, x 1.0" in done.stderr
    assert project.json("show", document["sweep"][:7])["sweep"] == document["sweep"]
    assert project.json("open", "@1")["html"].endswith("report.html")
    script = "import mitosis; t = mitosis.load('@1'); print(t.result, t.metrics, t.main, 'seed 0' in t.log)"
    read = subprocess.run(
        [sys.executable, "-c", script], cwd=project.path, capture_output=True, text=True, check=True
    )
    assert read.stdout == "{'main': 1.0, 'loss': 0.5} {'loss': 0.5} 1.0 True\n"
    completed = subprocess.run(
        ["bash", "-c", BASH],
        cwd=project.path,
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=True,
    )
    assert completed.stdout.split() == ["one"]
