"""What a command does is counted, not timed: git processes, imported modules, statements to the store."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from mitosis.store import Store
from tests import store_values
from tests.project import Project

GIT = """#!/bin/sh
# writes down git's own command, the first word that is neither an option nor the value of one
for word in "$@"; do
    case "$skip$word" in
        -c | -C) skip=x ;;
        x*) skip= ;;
        *) break ;;
    esac
done
echo "$word" >> "{log}"
exec "{git}" "$@"
"""

Counted = Callable[..., Counter[str]]


@pytest.fixture
def counted(project: Project, tmp_path: Path) -> Counted:
    """Runs mitosis in the project and returns how often each command of git was started meanwhile."""
    tools, log = tmp_path / "tools", tmp_path / "git.log"
    tools.mkdir()
    (tools / "git").write_text(GIT.format(log=log, git=shutil.which("git")), encoding="utf-8")
    (tools / "git").chmod(0o755)

    def run(*arguments: str) -> Counter[str]:
        log.write_text("")
        done = project.run(*arguments, PATH=f"{tools}{os.pathsep}{os.environ['PATH']}")
        assert done.returncode == 0, done.stderr
        return Counter(log.read_text().split())

    return run


@pytest.mark.kernel
def test_the_gate_asks_git_once(counted: Counted) -> None:
    """One trial: one `status`, one listing of the index, and no more than seven processes in all."""
    counts = counted("experiment=toy", "params=one")
    assert counts["status"] == 1
    assert counts.total() <= 7, counts


@pytest.mark.kernel
def test_git_of_a_sweep_does_not_grow_with_its_trials(counted: Counted) -> None:
    """The gate asks once for all; a further trial looks its modules up in the commit, and nothing else."""
    counted("-m", "experiment=toy", "params=one")  # makes the checkout
    two = counted("-m", "experiment=toy", "params=one", "seed=1,2")
    five = counted("-m", "experiment=toy", "params=one", "seed=1,2,3,4,5")
    assert two["status"] == five["status"] == 1
    assert set(five - two) <= {"ls-tree"}
    assert five.total() - two.total() <= 3, five - two


@pytest.mark.kernel
def test_git_of_commands_that_run_nothing(counted: Counted) -> None:
    """`ls` finds its repository by one process, however often the place is asked for; `--help` by none."""
    counted("experiment=toy", "params=one")
    assert counted("ls").total() <= 1
    assert counted("--help").total() == counted("--version").total() == 0


# --- imports ------------------------------------------------------------------------------------------


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


READS = words("click sqlalchemy typing_extensions greenlet")
RUNS = words(
    "antlr4 attr attrs bleach bs4 dateutil defusedxml fastjsonschema hydra hydra_plugins jinja2 jsonschema "
    "jsonschema_specifications jupyter_client jupyter_core jupyterlab_pygments markupsafe mistune nbclient "
    "nbconvert nbformat omegaconf packaging pandocfilters platformdirs pygments referencing rpds soupsieve "
    "sqlalchemy tinycss2 tornado traitlets typing_extensions greenlet webencodings yaml zmq six joblib "
    "exceptiongroup tomli rich markdown_it mdurl"
)
"""What a launcher may import of others. Hydra and nbconvert bring nearly all of it."""

NEVER_TO_READ = re.compile(
    r"(alembic|rich|asyncpg|psycopg|git|hydra|omegaconf|nbformat|numpy|pandas|yaml|zmq)(\.|$)"
    r"|sqlalchemy\.(orm|ext|dialects\.postgresql)(\.|$)"
    r"|mitosis\.(app|notebook|kernel|examples|closing|launch|gate|capture\.(judge|inputs|checkout))(\.|$)"
    r"|mitosis\.cli\.(?!main|ls|locate|select|tables|text)"
)
NEVER_TO_RUN = re.compile(
    r"(alembic|git|click|numpy|scipy|pandas|matplotlib|IPython|ipykernel|debugpy|jedi|psutil|cloudpickle)(\.|$)"
    r"|sqlalchemy\.(orm|ext|dialects\.postgresql)(\.|$)"
    r"|mitosis\.(kernel|examples|store\.migrations|capture\.(checkout|snapshot))(\.|$)"
    r"|mitosis\.cli\.(?!main|terminal|text)"
)


def imports(project: Project, *arguments: str) -> set[str]:
    """The modules that the command imports, as `python -X importtime` tells; tries that failed left out."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "mitosis", *arguments],
        cwd=project.path,
        env={**os.environ, "PYTHONWARNINGS": ""},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    names = {line.split("|")[2].strip() for line in lines} - {"imported package"}
    tops = {top for top in {name.partition(".")[0] for name in names} if importlib.util.find_spec(top)}
    return {name for name in names if name.partition(".")[0] in tops}


def others(names: set[str]) -> set[str]:
    """The packages among them that are neither Python's, nor ours, nor of the interpreter's own set-up."""
    tops = {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names)
    started = {"mitosis", "sitecustomize", "usercustomize", "_distutils_hack", "_virtualenv", "__editable__"}
    return {top for top in tops - started if not top.startswith(("__editable__", "_sysconfigdata"))}


def ours(names: set[str]) -> set[str]:
    return {name for name in names if name.partition(".")[0] == "mitosis"}


def test_imports_of_help(project: Project) -> None:
    """`--help` and `--version` need four small modules of ours and Python's own."""
    for flag in ("--help", "--version"):
        found = imports(project, flag)
        assert ours(found) == {
            "mitosis",
            "mitosis.cli",
            "mitosis.cli.main",
            "mitosis.cli.overview",
            "mitosis.errors",
        }
        assert others(found) == set()


@pytest.mark.kernel
def test_imports_of_ls(project: Project) -> None:
    """`ls` imports SQLAlchemy with the one dialect that it uses, click, and of ours what reads a page."""
    project.run("experiment=toy", "params=one")
    found = imports(project, "ls")
    assert others(found) <= READS
    assert [name for name in sorted(found) if NEVER_TO_READ.match(name)] == []


@pytest.mark.kernel
@pytest.mark.parametrize("words", ["show @1", "compare", "diff @1 @2", "tag @1 +good", "variants"])
def test_imports_of_other_readers(project: Project, words: str) -> None:
    """None of them imports what belongs to a launch: Hydra, Jupyter, a kernel."""
    project.run("experiment=toy", "params=one")
    project.run("experiment=toy", "params=two")
    found = imports(project, *words.split())
    odd = re.compile(
        r"(hydra|omegaconf|nbclient|nbformat|nbconvert|jupyter_client|IPython|ipykernel|zmq)(\.|$)"
    )
    assert [name for name in sorted(found) if odd.match(name)] == []


@pytest.mark.kernel
def test_imports_of_a_launcher(project: Project) -> None:
    """The process that runs a trial imports neither what belongs into the kernel nor what it does not use."""
    project.run("experiment=toy", "params=one")  # the store is made: what makes one is not counted
    found = imports(project, "experiment=toy", "params=two")
    assert others(found) <= RUNS
    assert [name for name in sorted(found) if NEVER_TO_RUN.match(name)] == []


# --- the store ----------------------------------------------------------------------------------------

COUNTING = """
import sys
from sqlalchemy import Engine, event
from mitosis.cli.main import main
said, told = [], sys.argv[1]
event.listen(Engine, "before_cursor_execute", lambda *a: said.append(a[2]))
code = main(sys.argv[2:])
with open(told, "w") as file:
    file.write("\\n".join(" ".join(s.split()) for s in said))
sys.exit(code)
"""


@pytest.fixture
def statements(project: Project, tmp_path: Path) -> Callable[..., list[str]]:
    """Runs mitosis in the project and returns the statements that its launcher sent to the store."""

    def run(*arguments: str) -> list[str]:
        told = tmp_path / "statements"
        done = subprocess.run(
            [sys.executable, "-c", COUNTING, str(told), *arguments],
            cwd=project.path,
            env={**os.environ, "PYTHONWARNINGS": ""},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return told.read_text().splitlines()

    return run


@pytest.mark.kernel
def test_a_trial_writes_twice(statements: Callable[..., list[str]]) -> None:
    """One transaction that writes at the start of a trial, one at its end; a few that only read."""
    statements("experiment=toy", "params=one")  # makes the store, and files the names
    said = statements("experiment=toy", "params=one", "seed=1")
    counts = Counter(said)
    assert counts["BEGIN IMMEDIATE"] == 2
    assert counts["BEGIN"] <= 8, said  # SQLAlchemy 2.0 begins two more of its own when it first connects
    assert len(said) <= 32, said


@pytest.mark.kernel
def test_a_further_trial_of_a_sweep_writes_twice(statements: Callable[..., list[str]]) -> None:
    """And the sweep itself once."""
    statements("-m", "experiment=toy", "params=one")  # makes the store and the checkout
    two = Counter(statements("-m", "experiment=toy", "params=one", "seed=1,2"))
    five = Counter(statements("-m", "experiment=toy", "params=one", "seed=1,2,3,4,5"))
    assert five["BEGIN IMMEDIATE"] - two["BEGIN IMMEDIATE"] == 2 * 3


def test_statements_of_start_and_finish(tmp_path: Path) -> None:
    """How many there are does not depend on how many trials there are."""
    said: list[str] = []

    def heard(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        said.append(statement)

    with Store.open(tmp_path / "counted.db") as store:
        lengths = []
        for number in range(5):
            event.listen(Engine, "before_cursor_execute", heard)
            try:
                spec = replace(store_values.trial_spec(number), id=f"{number:012x}")
                store.start(spec, store_values.ENVIRONMENT)
                store.finish(spec.id, store_values.trial_outcome())
            finally:
                event.remove(Engine, "before_cursor_execute", heard)
            lengths.append(len(said))
            said.clear()
    assert len(set(lengths[1:])) == 1, lengths
    assert lengths[0] <= 40 and lengths[-1] <= 24, lengths
