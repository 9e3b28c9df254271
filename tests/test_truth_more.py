"""More attempts to make a record false: by installed code, other repositories, the outcome file, the guard.

What is installed is installed into a virtual environment of its own, which takes all else from the one that
runs the tests; that one is never touched.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import site
import subprocess
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from mitosis.trial import Outcome, Status, plain
from tests import project as project_of_tests
from tests.project import Project
from tests.record import Record, cut_off, kinds, trial_of
from tests.record import site as make_site

TOP = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory for the module's repositories."""
    with cut_off(tmp_path_factory.mktemp("home")) as home:
        yield home


# --- installed code -----------------------------------------------------------------------------------

INSTALLED = """\
from pathlib import Path

import by_hand
import edited
import intact


def run(seed, x):
    metadata = Path(by_hand.__file__).with_name("newcomer-1.0.dist-info")
    metadata.mkdir()
    (metadata / "RECORD").write_text("newcomer-1.0.dist-info/RECORD,,\\n")
    return {"main": edited.VALUE + intact.VALUE}
"""


def _environment(path: Path) -> Path:
    """A virtual environment that finds in the one of the tests whatever it does not hold; its packages."""
    venv.create(path, symlinks=True, with_pip=False)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(path)}))
    shared = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *_of_user()])
    lines = [f"import site; site.addsitedir({place!r})\n" for place in shared]
    (packages / "shared.pth").write_text("".join([*lines, f"{TOP}\n"]))
    return packages


def _of_user() -> list[str]:
    return [site.getusersitepackages()] if site.ENABLE_USER_SITE else []


def _install(packages: Path, name: str, *modules: str) -> None:
    """Install a distribution of these modules as pip does it, RECORD included."""
    metadata = make_site(packages, name) / f"{name}-1.0.dist-info"
    rows = []
    for module in modules:
        content = b"VALUE = 1\n"
        (packages / f"{module}.py").write_bytes(content)
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        rows.append(f"{module}.py,sha256={digest},{len(content)}\n")
    (metadata / "RECORD").write_text("".join([*rows, f"{metadata.name}/RECORD,,\n"]))


def _edit(file: Path, content: str, record: Path) -> None:
    """Write `content`, later than the RECORD by the clock of the file system."""
    while True:
        file.write_text(content)
        if file.stat().st_ctime_ns > record.stat().st_ctime_ns:
            return


@pytest.fixture(scope="module")
def installed_trial(home: Path) -> Record:
    """The record of a trial in an environment in which much was done by hand."""
    project = project_of_tests.make(home / "installed")
    project.write("toy.py", INSTALLED)
    project.commit()
    place = home / "environment"
    packages = _environment(place)
    _install(packages, "truthful", "edited", "intact")
    _edit(packages / "edited.py", "VALUE = 666\n", packages / "truthful-1.0.dist-info" / "RECORD")
    (packages / "by_hand.py").write_text("VALUE = 666\n")
    startup = place / "etc" / "ipython" / "startup" / "00.py"
    startup.parent.mkdir(parents=True)
    startup.write_text("import os\nos.environ['STARTED_BY'] = 'the machine'\n")
    done = subprocess.run(
        [place / "bin" / "python", "-m", "mitosis", "experiment=toy", "params=one"],
        cwd=project.path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": ""},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    record: Record = project.json("show", "@1")
    assert record["main"] == 667.0, "the trial ran in the environment of its own"
    return record


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("where", "kind"),
    [
        ("edited.py", "code_edited"),
        ("by_hand.py", "code_not_installed"),
        ("etc/ipython/startup/00.py", "code_startup"),
    ],
)
def test_installed_code_that_nobody_installed_so_is_a_taint(
    installed_trial: Record, where: str, kind: str
) -> None:
    """Edited in place, copied there by hand, run by IPython for the whole machine: a taint names the file."""
    assert kinds(installed_trial, where) == {kind}


@pytest.mark.kernel
def test_installed_code_as_it_was_installed_is_no_taint(installed_trial: Record) -> None:
    """What the RECORD lists as it is, and all that the environment takes from the other one, is proven."""
    assert not kinds(installed_trial, "intact.py")
    assert {t["kind"] for t in installed_trial["taints"]} == {
        "code_edited", "code_not_installed", "code_startup", "environment_changed",
    }  # fmt: skip


@pytest.mark.kernel
def test_an_installation_during_the_trial_is_a_taint(installed_trial: Record) -> None:
    """The environment at the end is not the recorded one."""
    (taint,) = [t for t in installed_trial["taints"] if t["kind"] == "environment_changed"]
    assert taint["where"] == installed_trial["environment"]["digest"]
    assert "newcomer" not in installed_trial["environment"]["content"]["distributions"]


@pytest.mark.kernel
def test_a_taint_is_shown(home: Path, installed_trial: Record) -> None:
    """`ls` marks the trial with `!`, and no other; `show` has a line for each taint."""
    project = Project(home / "installed")
    shown = project.run("show", "@1").stdout.splitlines()
    lines = [line for line in shown if line.startswith("taint ")]
    assert [line.split()[1].rstrip(":") for line in lines] == [t["kind"] for t in installed_trial["taints"]]
    assert all(t["where"] in line for t, line in zip(installed_trial["taints"], lines, strict=True))
    project.write("plain.py", "def run(seed, x):\n    return {'main': x}\n")
    project.write("conf/experiment/plain.yaml", "module: plain\n")
    project.commit()
    done = project.run("experiment=plain", "params=one")
    assert done.returncode == 0 and "taint" not in done.stdout + project.run("show", "@1").stdout
    listed = [line.split() for line in project.run("ls").stdout.splitlines()]
    ids = [trial["id"][:7] for trial in project.json("ls")]
    assert [words[1] == "!" for words in listed if words[0] in ids] == [False, True]


# --- other repositories, checkouts --------------------------------------------------------------------

ELSEWHERE = """\
import importlib.util
import subprocess
import sys
from pathlib import Path

import helper


def run(seed, x):
    other = next(p for p in sys.path if p.endswith("other"))
    subprocess.run("echo VALUE=666 > other_late.py", shell=True, check=True, cwd=other)
    import other_early
    import other_late

    spec = importlib.util.spec_from_file_location("again", Path.cwd() / "helper.py")
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)
    return {"main": helper.VALUE + again.VALUE + other_early.VALUE + other_late.VALUE}
"""


@pytest.fixture(scope="module")
def elsewhere_trial(home: Path) -> Record:
    """The record of a pinned trial that loads code of another repository and of the working tree."""
    other = project_of_tests.make(home / "other")
    for name in ("other_early", "other_late"):
        other.write(f"{name}.py", "VALUE = 1\n")
    other.commit()
    project = project_of_tests.make(home / "elsewhere")
    project.write("toy.py", ELSEWHERE)
    project.write("helper.py", "VALUE = 1\n")
    project.commit()
    return trial_of(
        project, "experiment=toy", "params=one", "mitosis.checkout=pinned", PYTHONPATH=str(other.path)
    )


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("other/other_late.py", {"other_code_changed"}),
        ("other/other_early.py", set()),
        ("helper.py", {"code_unpinned"}),
        ("toy.py", set()),
    ],
)
def test_code_from_elsewhere_than_the_checkout_and_the_commits(
    elsewhere_trial: Record, where: str, expected: set[str]
) -> None:
    """Another repository's module that its commit does not hold, and one that came from the working tree."""
    assert elsewhere_trial["main"] == 669.0
    assert kinds(elsewhere_trial, where) == expected


# --- the guard ----------------------------------------------------------------------------------------

FORGED = """\
import os
from pathlib import Path


def run(seed, x, content):
    (running,) = [p for p in Path("trials", "forged").iterdir() if not (p / "report.html").exists()]
    (running / "outcome.json").write_text(content)
    os._exit(0)
"""


@pytest.fixture(scope="module")
def guarded(home: Path) -> Project:
    """A repository whose experiments meddle with the guard."""
    project = project_of_tests.make(home / "guarded")
    project.write("forged.py", FORGED)
    project.write(
        "calls.py",
        "import mitosis.kernel\n\n\ndef run(seed, x):\n    mitosis.kernel.report({'main': 666})\n"
        "    return {'main': x}\n",
    )
    for name in ("forged", "calls"):
        project.write(f"conf/experiment/{name}.yaml", f"module: {name}\n")
    whole = plain(Outcome(Status.SUCCEEDED, "2026-01-01T00:00:00.000+00:00", main=666.0))
    assert isinstance(whole, dict) and "modules" in whole
    bare = {name: whole[name] for name in ("status", "finished_at", "main", "metrics", "error")}
    for name, content in (("whole", whole), ("bare", bare)):
        project.write(f"conf/params/{name}.yaml", json.dumps({"x": 1.0, "content": json.dumps(content)}))
    project.commit()
    return project


@pytest.mark.kernel
@pytest.mark.parametrize("form", ["bare", "whole"])
def test_an_outcome_that_the_experiment_writes_itself_is_a_taint(guarded: Project, form: str) -> None:
    """As the guard would leave it, or with all that the launcher adds: nobody judged what had been loaded."""
    guarded.run("experiment=forged", f"params={form}")
    record = guarded.json("show", "@1")
    assert (record["experiment"], record["variant"]) == ("forged", form)
    assert "not_judged" in {t["kind"] for t in record["taints"]}


@pytest.mark.kernel
def test_an_experiment_that_calls_the_guard_itself_fails(guarded: Project) -> None:
    """`mitosis.kernel.report` is for the last cell of the notebook; nothing that it is given is recorded."""
    record = trial_of(guarded, "experiment=calls", "params=one", code=2)
    assert record["status"] == "failed" and record["main"] is None
    assert "mitosis.kernel.report" in record["error"]["message"]


@pytest.mark.kernel
def test_random_hashes_are_noted_and_recorded(guarded: Project) -> None:
    """PYTHONHASHSEED=random is the user's to say; the record tells that the order of sets is chance."""
    record = trial_of(guarded, "experiment=toy", "params=one", PYTHONHASHSEED="random")
    assert kinds(record, "PYTHONHASHSEED", "notes") == {"unseeded"}
    assert record["environment"]["content"]["hash_seed"] == "random"


# --- the page -----------------------------------------------------------------------------------------


def test_every_end_that_the_page_names_is_attempted() -> None:
    """Each kind of taint and note in the tables of the documentation stands in one of these files."""
    page = (TOP / "docs" / "explanation" / "what-is-proven.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\| (?:tainted|noted) `(\w+)`", page))
    attempts = "".join(p.read_text(encoding="utf-8") for p in (TOP / "tests").glob("test_truth*.py"))
    assert len(named) >= 15
    assert not [kind for kind in named if f'"{kind}"' not in attempts]


# --- what the user does not want to be watched ---------------------------------------------------------


def test_what_is_not_observed_is_said(home: Path) -> None:
    """With `mitosis.observe_inputs=false` no file that is read is recorded, and the record says so."""
    project = project_of_tests.make(home / "unobserved")
    project.write("toy.py", 'def run(seed, x):\n    return {"main": float(open("data.csv").read())}\n')
    project.write("data.csv", "4.5\n")
    project.commit()
    words = ("experiment=toy", "params=one")
    seen = trial_of(project, *words)
    assert [i["path"] for i in seen["inputs"]] == ["data.csv"] and not kinds(seen, "", "notes")
    unseen = trial_of(project, *words, "mitosis.observe_inputs=false")
    assert unseen["main"] == 4.5 and unseen["inputs"] == []
    assert kinds(unseen, "mitosis.observe_inputs", "notes") == {"unobserved"}
