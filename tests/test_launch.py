"""One trial and one sweep, from the shell to the row: the command as a process, with real kernels."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from mitosis.notebook.execute import SAVE_SECONDS
from mitosis.trial import Outcome, from_plain
from tests.project import Project

pytestmark = pytest.mark.kernel


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """What a command said that was refused: exit 1, one or two lines, no traceback."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2 and "Traceback" not in done.stderr, done.stderr
    return done.stderr


def test_a_trial_leaves_a_complete_record_and_a_clean_tree(project: Project) -> None:
    """One command runs the module, writes every file, records main, prints one closing line, exits 0."""
    done = project.run("experiment=toy", "params=one", "seed=7")
    assert done.returncode == 0, done.stderr
    assert "seed 7, x 1.0" in done.stdout
    assert project.status() == ""
    (trial,) = project.json("ls")
    closing = done.stdout.strip().splitlines()[-1]
    assert (
        trial["id"][:7] in closing
        and "succeeded" in closing
        and "main=8" in closing
        and "report.html" in closing
    )
    assert (trial["main"], trial["metrics"], trial["seed"], trial["variant"]) == (
        8.0,
        {"loss": 0.5},
        7,
        "one",
    )
    assert trial["commit"] == project.git("rev-parse", "HEAD")
    folder = Path(trial["folder"])
    present = {p.name for p in folder.iterdir()}
    assert present == {
        "trial.json",
        "notebook.ipynb",
        "report.html",
        "result.pkl",
        "outcome.json",
        "output.log",
    }
    assert "seed 7, x 1.0" in (folder / "output.log").read_text()
    outcome = from_plain(Outcome, json.loads((folder / "outcome.json").read_text()))
    assert outcome.main == 8.0 and outcome.cpu_seconds is not None
    nbformat.validate(nbformat.read(folder / "notebook.ipynb", as_version=4))


def test_an_experiment_keeps_what_it_leaves_in_its_folder(project: Project) -> None:
    """Hidden files and a directory `second`, also where a second run verifies the first."""
    lines = ["from pathlib import Path", "def run(seed, x):", "    Path('second').mkdir()"]
    lines += ["    Path('second/data.txt').write_text('a')", "    Path('.state').write_text('b')"]
    project.write("toy.py", "\n".join([*lines, "    return {'main': seed}", ""]))
    project.commit()
    done = project.run("experiment=toy", "params=one", "mitosis.cwd=trial", "mitosis.verify=twice")
    assert done.returncode == 0, done.stderr
    trial = project.json("show", "@1")
    folder = Path(trial["folder"])
    assert (folder / "second/data.txt").exists() and (folder / ".state").exists()
    assert len(trial["outputs"]) == 2 and [n["kind"] for n in trial["notes"]] == ["verified"]
    assert not [p.name for p in folder.iterdir() if p.name.startswith(".") and p.name != ".state"]


def test_the_notebook_reads_as_a_person_would_write_it(project: Project) -> None:
    """Set-up, parameters, import, call and metrics stand in it as plain Python."""
    project.run("experiment=toy", "params=two", "seed=3")
    notebook = nbformat.read(project.json("ls")[0]["notebook"], as_version=4)
    sources = {cell.metadata["tags"][0]: cell.source for cell in notebook.cells}
    assert f'os.chdir("{project.path}")' in sources["setup"]
    assert "mitosis.kernel.seed(3)" in sources["setup"]
    assert sources["parameters"] == 'params = {"x": 2.0}'
    assert sources["import"] == "from toy import run"
    assert sources["call"].endswith("result = run(3, **params)")


DRAWS = """\
import random

import numpy

AT_IMPORT = numpy.random.random()


def run(seed, x):
    order = sum(i * ord(letter) for i, letter in enumerate({"a", "b", "c", "d", "e"}))
    return {"main": order + random.random() + float(numpy.random.random(1000).sum()) / 7 * x}
"""
BY_HAND = """\
import sys
import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell

notebook = nbformat.read(sys.argv[1], as_version=4)
notebook.cells.append(new_code_cell("print(result['main'].hex())"))
NotebookClient(notebook).execute()
print(notebook.cells[-1].outputs[0].text)
"""


def test_the_saved_notebook_gives_the_same_main_by_hand(project: Project, tmp_path: Path) -> None:
    """Restart and run all, in an ordinary kernel and from another folder: the recorded number to the bit."""
    project.write("toy.py", DRAWS)
    project.commit()
    assert project.run("experiment=toy", "params=two", "seed=11").returncode == 0
    (trial,) = project.json("ls")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", BY_HAND, trial["notebook"]],
        cwd=elsewhere,
        env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONWARNINGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == trial["main"].hex()


def test_a_run_from_a_subdirectory_is_the_same(project: Project) -> None:
    """conf/ and the module are found from any directory of the repository."""
    below = project.path / "notes"
    below.mkdir()
    assert project.run("experiment=toy", "params=one", cwd=below).returncode == 0


def test_a_failing_trial_is_recorded_with_the_users_own_traceback(project: Project) -> None:
    """Exit 2, the traceback has no frame of ours, and the report exists."""
    done = project.run("experiment=toy", "params=broken", "seed=1")
    assert done.returncode == 2
    assert "the experiment gives up" in done.stderr and "toy.py" in done.stderr
    assert "site-packages" not in done.stderr and "mitosis/" not in done.stderr
    (trial,) = project.json("ls")
    assert trial["status"] == "failed" and Path(trial["html"]).exists()
    error = project.json("show", trial["id"])["error"]
    assert error["kind"] == "ValueError" and error["message"] == "the experiment gives up"


def test_a_dirty_tree_is_refused_and_nothing_is_recorded(project: Project) -> None:
    """Exit 1, the file is named, and neither root nor row exists."""
    project.write("toy.py", "def run(seed): return {'main': 666}\n")
    done = project.run("experiment=toy", "params=one")
    assert "toy.py" in refusal(done) and "commit" in done.stderr
    assert not (project.path / "trials").exists()
    assert project.json("ls") == []


def test_the_gate_holds_in_multirun(project: Project) -> None:
    """A sweep over a dirty tree launches nothing."""
    project.write("new.py", "")
    done = project.run("-m", "experiment=toy", "params=one,two")
    assert "new.py" in refusal(done)
    assert not (project.path / "trials").exists()


def test_without_the_gate_nothing_runs(project: Project) -> None:
    """Deleting the callback on the command line does not open the gate."""
    done = project.run("experiment=toy", "params=one", "~hydra.callbacks.mitosis")
    assert "gate" in refusal(done)
    assert project.json("ls") == []


def test_a_sweep_records_every_trial(project: Project) -> None:
    """Two variants by five seeds: ten rows of one sweep, one parameter set a variant, exit 0."""
    done = project.run("-m", "experiment=toy", "params=one,two", "seed=range(0,5)")
    assert done.returncode == 0, done.stderr
    trials = project.json("ls")
    assert len(trials) == 10 and {t["status"] for t in trials} == {"succeeded"}
    assert len({t["sweep"] for t in trials}) == 1
    assert len({t["param_set"] for t in trials}) == 2
    assert {(t["variant"], t["seed"]) for t in trials} == {(v, s) for v in ("one", "two") for s in range(5)}
    assert "succeeded" in done.stdout and "10" in done.stdout
    assert project.status() == ""


def test_a_sweep_goes_on_after_a_failure(project: Project) -> None:
    """The siblings of a failed trial run; the exit code is 2."""
    done = project.run("-m", "experiment=toy", "params=one,broken,two")
    assert done.returncode == 2
    statuses = {t["variant"]: t["status"] for t in project.json("ls")}
    assert statuses == {"one": "succeeded", "broken": "failed", "two": "succeeded"}


def test_a_redefined_variant_is_refused_and_a_redefinition_is_filed(project: Project) -> None:
    """Other content under a known name is refused with the difference and the two ways out."""
    project.run("experiment=toy", "params=one")
    project.write("conf/params/one.yaml", "x: 10.0\n")
    project.commit()
    refused = project.run("experiment=toy", "params=one")
    refusal(refused)
    for words in ("params/one", "1.0", "10.0", "mitosis.redefine"):
        assert words in refused.stderr
    assert project.run("experiment=toy", "params=one", "mitosis.redefine=[params/one]").returncode == 0
    assert project.run("experiment=toy", "params=one").returncode == 0
    versions = [project.json("show", t["id"])["variants"][0]["version"] for t in project.json("ls")]
    assert versions == [2, 2, 1]


def test_a_value_on_the_command_line_is_another_variant(project: Project) -> None:
    """`params=one params.x=5` is shown as `one+x=5` and does not touch the lock of `one`."""
    assert project.run("experiment=toy", "params=one", "params.x=5").returncode == 0
    assert project.run("experiment=toy", "params=one").returncode == 0
    assert [t["variant"] for t in project.json("ls")] == ["one", "one+x=5"]


def test_interrupting_once_saves_the_trial(project: Project) -> None:
    """Ctrl-C: status interrupted, exit 130, the output so far is kept and the page exists."""
    project.write("toy.py", "import time\n\ndef run(seed, **kw):\n    print('begun')\n    time.sleep(600)\n")
    project.commit()
    process = project.start("experiment=toy", "params=one", PYTHONUNBUFFERED="1")
    assert process.stdout is not None
    for line in process.stdout:
        if "begun" in line:
            break
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    (trial,) = project.json("ls")
    assert trial["status"] == "interrupted" and Path(trial["html"]).exists()
    assert "begun" in (Path(trial["folder"]) / "output.log").read_text()


PAUSES = """\
import os, time

def run(seed, x):
    if seed == int(os.environ.get("PAUSE", "-1")):
        print("begun")
        time.sleep(600)
    return {"main": x}
"""


def test_interrupting_a_sweep_or_a_rerun_ends_with_130(project: Project) -> None:
    """Ctrl-C in the second trial of a sweep: the first is kept, the third never begins; `rerun` likewise."""
    project.write("toy.py", PAUSES)
    project.commit()
    for words, seed in ((("-m", "experiment=toy", "params=one", "seed=0,1,2"), "1"), (("rerun", "@2"), "0")):
        process = project.start(*words, PAUSE=seed)
        assert process.stdout is not None
        assert any("begun" in line for line in process.stdout)
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130, said
    trials = [(t["seed"], t["status"], Path(t["html"]).exists()) for t in project.json("ls")]
    assert trials == [(0, "interrupted", True), (1, "interrupted", True), (0, "succeeded", True)]


def test_a_time_limit_counts_from_the_call(project: Project) -> None:
    """`mitosis.timeout` interrupts the experiment: status timed_out, exit 2."""
    project.write("toy.py", "import time\n\ndef run(seed, **kw):\n    time.sleep(600)\n")
    project.commit()
    assert project.run("experiment=toy", "params=one", "mitosis.timeout=0.5").returncode == 2
    (trial,) = project.json("ls")
    assert trial["status"] == "timed_out"


def test_a_kernel_that_dies_is_named_with_its_signal(project: Project) -> None:
    """A segmentation fault is the status `died`, and the cause names the signal."""
    project.write(
        "toy.py", "import os, signal\n\ndef run(seed, **kw):\n    os.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    project.commit()
    assert project.run("experiment=toy", "params=one").returncode == 2
    (trial,) = project.json("ls")
    assert trial["status"] == "died"
    assert "SIGSEGV" in project.json("show", trial["id"])["error"]["message"]


def test_a_launcher_that_is_killed_leaves_a_lost_trial(project: Project) -> None:
    """After SIGKILL of the launcher the next command closes the row as lost, with a page."""
    project.write("toy.py", "import time\n\ndef run(seed, **kw):\n    print('begun')\n    time.sleep(600)\n")
    project.commit()
    process = project.start("experiment=toy", "params=one", PYTHONUNBUFFERED="1")
    assert process.stdout is not None
    for line in process.stdout:
        if "begun" in line:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    (trial,) = project.json("ls")
    assert trial["status"] == "lost" and Path(trial["html"]).exists()


def test_what_was_printed_is_saved_though_the_launcher_is_killed(project: Project) -> None:
    """While output goes on, the notebook in the folder follows it; SIGKILL takes at most the last seconds."""
    assert SAVE_SECONDS < 5, "what the documentation says of output that is not saved yet"
    code = "import itertools, time\n\ndef run(seed, **kw):\n    for number in itertools.count():\n"
    project.write("toy.py", f"{code}        print('line', number)\n        time.sleep(0.01)\n")
    project.commit()
    process = project.start("experiment=toy", "params=one")
    try:
        assert process.stdout is not None
        printed = [line.strip() for line, _ in zip(process.stdout, range(100), strict=False)]
        (notebook,) = (project.path / "trials" / "toy").glob("*/notebook.ipynb")
        for line in process.stdout:
            if printed[-1] in _text(notebook):
                break
            printed.append(line.strip())
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
    kept = _text(notebook)
    assert all(f"{line}\n" in kept for line in printed if line.startswith("line "))
    (trial,) = project.json("ls")
    assert trial["status"] == "lost" and kept in _text(Path(trial["notebook"]))


def _text(notebook: Path) -> str:
    """What a notebook shows of the experiment's output so far."""
    cells = nbformat.read(notebook, as_version=4).cells
    return "".join(o.text for c in cells for o in c.get("outputs", ()) if o.output_type == "stream")


def test_a_sweep_runs_what_was_checked_at_its_start(project: Project) -> None:
    """Code and YAML edited while a sweep runs do not reach its later trials."""
    project.write(
        "toy.py",
        "import pathlib\n\n"
        "def run(seed, x):\n"
        "    for name, text in (('toy.py', 'raise SystemExit(5)'), ('conf/params/one.yaml', 'x: 666')):\n"
        "        pathlib.Path(name).write_text(text)\n"
        "    return {'main': x}\n",
    )
    project.commit()
    done = project.run("-m", "experiment=toy", "params=one", "seed=range(0,3)")
    assert done.returncode == 0, done.stderr
    assert [t["main"] for t in project.json("ls")] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["experiment=nothing", "params=one"], ["nothing", "toy"]),
        (["-m", "experiment=toy", "params=one", "seed=range("], ["range("]),
        (["experiment=toy", "params=one", "hydra/launcher=none"], ["hydra/launcher", "basic"]),
        (["experiment=toy"], ["params", "one"]),
        (["experiment=toy", "params=one", "seed=abc"], ["seed", "abc"]),
        (["experiment=toy", "params=one", "mitosis.on_dirt=1"], ["on_dirt"]),
        (["experiment=toy", "params=one", "mitosis.timeout=soon"], ["timeout"]),
        (["experiment=toy", "params=one", "params.seed=3"], ["params.seed"]),
        (["experiment=toy", "params=one", "+params.y=???"], ["params.y"]),
        (["experiment=toy", "params=one", "mitosis.root=."], ["mitosis.root"]),
        (["experiment=toy", "params=one", "mitosis.root=.git/x"], ["mitosis.root"]),
        (["experiment=toy", "params=one", "mitosis.root=conf"], ["mitosis.root"]),
        (["experiment=toy", "params=one", "--no-such-flag"], ["--no-such-flag"]),
        (["shwo"], ["show"]),
        (["show", "@1"], ["@1"]),
        (["ls", "--status", "odd"], ["odd"]),
        (["ls", "--since", "yesterdayish"], ["yesterdayish"]),
    ],
)
def test_wrong_input_is_refused_in_a_few_lines(
    project: Project, arguments: list[str], words: list[str]
) -> None:
    """Every wrong word exits 1, is named, shows no traceback and leaves no row."""
    said = refusal(project.run(*arguments))
    assert not [word for word in words if word not in said], said
    assert project.json("ls") == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mitosis.store=postgresql://me:secret@localhost/db"], ["password", "MITOSIS_STORE"]),
        (["mitosis.store=runs.db"], ["runs.db", "git"]),
        (["mitosis.root=~/trials"], ["~"]),
        (["hydra.run.dir=out"], ["hydra.run.dir", "mitosis.root"]),
        (["mitosis.timeout=0"], ["mitosis.timeout"]),
        (["mitosis.figure_formats=[gif]"], ["gif", "png"]),
        (["mitosis.source_roots=[nowhere]"], ["nowhere"]),
        (["seed=99999999999999999999"], ["seed", "64 bits"]),
    ],
)
def test_settings_that_cannot_hold_are_refused(
    project: Project, arguments: list[str], words: list[str]
) -> None:
    """A value that would lie, leak, dirty the tree or do nothing is refused by name; nothing is written."""
    said = refusal(project.run("experiment=toy", "params=one", *arguments))
    assert not [word for word in words if word not in said], said
    assert project.status() == "" and project.json("ls") == []


def test_a_sweep_by_glob_runs(project: Project) -> None:
    """Every override of Hydra's sweeper works, those that ask the configuration as well."""
    done = project.run("-m", "experiment=toy", "params=glob(*o*)")
    assert done.returncode == 2, done.stderr
    assert sorted(t["variant"] for t in project.json("ls")) == ["broken", "one", "two"]


def test_a_refused_job_is_recorded_and_its_siblings_run(project: Project) -> None:
    """In a sweep a job that cannot be begun is a failed trial that says why; exit 2."""
    done = project.run("-m", "experiment=toy", "params=one", "seed=1,x,2")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    trials = project.json("ls")
    assert [t["status"] for t in trials] == ["succeeded", "failed", "succeeded"]
    assert "integer" in project.json("show", trials[1]["id"])["error"]["message"]


def test_full_errors_are_hydras_own(project: Project) -> None:
    """HYDRA_FULL_ERROR=1 shows the trace that was asked for and exits 1: it is no fault of mitosis."""
    done = project.run("experiment=nothing", "params=one", HYDRA_FULL_ERROR="1")
    assert done.returncode == 1 and "fault of mitosis" not in done.stderr


def test_a_reader_that_leaves_does_not_cost_the_trial(project: Project) -> None:
    """The output goes into a pipe that is closed at once; the trial succeeds all the same."""
    process = project.start("experiment=toy", "params=one")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    process.stderr.read()
    process.stderr.close()
    process.wait(timeout=60)
    (trial,) = project.json("ls")
    assert trial["status"] == "succeeded"


def test_letters_that_the_terminal_does_not_know_do_not_cost_the_trial(project: Project) -> None:
    """An ASCII terminal shows an escape; the log has the letter."""
    project.write("toy.py", "def run(seed, **kw):\n    print('é')\n    return {'main': 1}\n")
    project.commit()
    done = project.run("experiment=toy", "params=one", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0 and "\\xe9" in done.stdout
    assert "é" in (Path(project.json("ls")[0]["folder"]) / "output.log").read_text()
