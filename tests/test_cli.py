"""The commands that make and read: init, ls, show, open, variants, rerun, help, and their JSON."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import project as projects
from tests.project import Project

LINE = (
    "id experiment variant params param_set seed status main metrics commit branch dirty started_at seconds"
)
LINE += " cpu_seconds sweep folder notebook html"
WHOLE = "code inputs outputs environment modules figures error recipe overrides host taints notes"


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a failed, and two succeeded trials of two variants; read only."""
    home = tmp_path_factory.mktemp("home")
    (home / "gitconfig").write_text("[user]\n\tname = Ada\n\temail = ada@example.org\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", str(home / "gitconfig"))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        project = projects.make(tmp_path_factory.mktemp("used") / "a projéct")
        for arguments in (["params=one", "seed=1"], ["params=two", "seed=2"], ["params=broken", "seed=3"]):
            project.run("experiment=toy", *arguments, "mitosis.note=first look", "mitosis.tags=[a,b]")
    return project


@pytest.mark.kernel
def test_every_documented_key_of_a_trial_is_there(used: Project) -> None:
    """`ls --json` and `show --json` hold the keys of design.md, and are strict JSON."""
    done = used.run("ls", "--json")
    trials = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(name))
    assert set(LINE.split()) <= set(trials[0])
    shown = used.json("show", trials[0]["id"])
    assert set(LINE.split()) | set(WHOLE.split()) <= set(shown)
    assert shown["note"] == "first look" and shown["tags"] == ["a", "b"]


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("arguments", "seeds"),
    [
        ([], [3, 2, 1]),
        (["--variant", "one"], [1]),
        (["--status", "failed"], [3]),
        (["--seed", "2"], [2]),
        (["--experiment", "nothing"], []),
        (["--since", "1h"], [3, 2, 1]),
        (["--until", "2020-01-01"], []),
        (["--sort", "seed"], [1, 2, 3]),
        (["--sort", "-main"], [2, 1, 3]),
        (["--sort", "metrics.loss"], [1, 2, 3]),
        (["--limit", "1"], [3]),
        (["--all-projects"], [3, 2, 1]),
    ],
)
def test_ls_filters_and_sorts(used: Project, arguments: list[str], seeds: list[int]) -> None:
    """Each filter, each order and the limit hold."""
    assert [t["seed"] for t in used.json("ls", *arguments)] == seeds


@pytest.mark.kernel
def test_ls_filters_by_commit(used: Project) -> None:
    """The first digits of a commit are enough."""
    assert len(used.json("ls", "--commit", used.git("rev-parse", "--short", "HEAD"))) == 3
    assert used.json("ls", "--commit", "ffffffff") == []


@pytest.mark.kernel
def test_trials_are_named_by_prefix_and_by_place(used: Project) -> None:
    """A unique prefix, @1 and @3 name trials; an ambiguous or unknown name is refused."""
    ids = [t["id"] for t in used.json("ls")]
    assert used.json("show", "@1")["id"] == ids[0] and used.json("show", "@3")["id"] == ids[2]
    assert used.json("show", ids[1][:8])["id"] == ids[1]
    for name in ("@9", "ffffffffffff", ""):
        refused = used.run("show", name)
        assert refused.returncode == 1 and "Traceback" not in refused.stderr


@pytest.mark.kernel
def test_reading_commands_work_from_anywhere(used: Project, tmp_path: Path) -> None:
    """--store and MITOSIS_STORE name the store outside of the repository; without one the answer is empty."""
    store = str(used.path / "trials" / "mitosis.db")
    assert used.run("ls", "--json", cwd=tmp_path).stdout.strip() == "[]"
    for done in (
        used.run("ls", "--json", "--store", store, cwd=tmp_path),
        used.run("ls", "--json", "--store", f"sqlite:///{store}", cwd=tmp_path),
        used.run("ls", "--json", cwd=tmp_path, MITOSIS_STORE=store),
    ):
        assert len(json.loads(done.stdout)) == 3


@pytest.mark.kernel
def test_open_prints_the_report(used: Project) -> None:
    """`open --path` prints the path of the page, which exists."""
    assert Path(used.run("open", "@1", "--path").stdout.strip()).is_file()


@pytest.mark.kernel
def test_variants_tells_versions_and_uses(used: Project) -> None:
    """Every variant that ran is listed with its content and how often it was used."""
    variants = {v["name"]: v for v in used.json("variants")}
    assert set(variants) == {"params/one", "params/two", "params/broken"}
    assert (
        variants["params/two"]["content"] == {"params": {"x": 2.0}} and variants["params/two"]["trials"] == 1
    )
    assert used.run("variants", "params/none").returncode == 1


@pytest.mark.kernel
def test_tables_are_not_cut_in_a_pipe_and_carry_no_colour(used: Project) -> None:
    """Piped text holds no escape sequence and no ellipsis."""
    out = used.run("ls").stdout
    assert "\x1b" not in out and "…" not in out and "succeeded" in out


@pytest.mark.kernel
def test_rerun_takes_todays_code_and_yesterdays_parameters(project: Project) -> None:
    """The new trial has the old parameters and seed, and the new commit."""
    project.run("experiment=toy", "params=two", "seed=5")
    project.write("toy.py", projects.TOY.replace('"main": seed + x', '"main": 100 + seed + x'))
    project.write("conf/params/two.yaml", "x: 7.0\n")
    commit = project.commit()
    done = project.run("rerun", "@1", "--json")
    assert done.returncode == 0, done.stderr
    again = json.loads(done.stdout)
    assert (again["main"], again["seed"], again["commit"]) == (107.0, 5, commit)
    assert len({t["param_set"] for t in project.json("ls")}) == 1


@pytest.mark.kernel
def test_a_named_store_is_the_one_that_is_used(project: Project, tmp_path: Path) -> None:
    """Whatever the trial recorded; `@1` is its latest trial; a relative one is of the repository."""
    a, b = str(tmp_path / "a.db"), str(tmp_path / "b.db")
    assert project.run("experiment=toy", "params=one", f"mitosis.store={a}").returncode == 0
    shutil.copy(a, b)
    done = project.run("rerun", "@1", "--store", b)
    assert done.returncode == 0, done.stderr
    assert [len(project.json("ls", "--store", url)) for url in (a, b)] == [1, 2]
    (project.path / "sub").mkdir()
    assert project.run("experiment=toy", "params=two", MITOSIS_STORE="../relative.db").returncode == 0
    for name in ("../relative.db", "sqlite:///../relative.db"):
        listed = project.run("ls", "--json", cwd=project.path / "sub", MITOSIS_STORE=name)
        assert [t["variant"] for t in json.loads(listed.stdout)] == ["two"]


def test_a_copy_of_a_repository_has_trials_of_its_own(project: Project) -> None:
    """What is done in the copy leaves the original alone; each reads its own folders, also moved ones."""
    assert project.run("-m", "experiment=toy", "params=one,two").returncode == 0
    before = project.json("ls")
    copy = Project(project.path.with_name("copy of it"))
    shutil.copytree(project.path, copy.path, symlinks=True)
    found = copy.json("ls")
    assert [t["id"] for t in found] == [t["id"] for t in before]
    assert all(Path(t["html"]).is_relative_to(copy.path) for t in found)
    assert copy.run("rm", "@1", "--yes").returncode == 0
    assert copy.run("tag", "@1", "+copied").returncode == 0
    assert project.json("ls") == before and project.run("check").returncode == 0
    assert copy.run("check").returncode == 0
    moved = Project(copy.path.with_name("moved"))
    copy.path.rename(moved.path)
    assert moved.run("restore", before[0]["id"], "--yes").returncode == 0
    assert len(moved.json("ls")) == 2 and moved.run("check").returncode == 0


def test_working_trees_of_a_repository_share_their_trials(project: Project) -> None:
    """Those of a linked one are listed in the main one, and stay when it is removed."""
    assert project.run("experiment=toy", "params=one").returncode == 0
    linked = Project(project.path.with_name("linked tree"))
    project.git("worktree", "add", "--quiet", "-b", "side", str(linked.path))
    assert linked.run("experiment=toy", "params=two").returncode == 0, linked.status()
    assert linked.status() == "" and project.status() == ""
    assert [t["variant"] for t in linked.json("ls")] == ["two", "one"]
    project.git("worktree", "remove", str(linked.path))
    assert [t["variant"] for t in project.json("ls")] == ["two", "one"]
    assert project.run("check").returncode == 0


def test_init_makes_a_repository_that_runs_at_once(tmp_path: Path, git_config: Path) -> None:
    """`init` and the command it names are all it takes; a second init overwrites nothing."""
    outside = Project(tmp_path)
    made = outside.run("init", "new experiments")
    assert made.returncode == 0, made.stderr
    project = Project(tmp_path / "new experiments")
    assert project.status() == ""
    assert project.run("experiment=pi", "params=fast", "seed=7").returncode == 0
    assert project.status() == ""
    before = project.git("rev-parse", "HEAD")
    again = outside.run("init", "new experiments")
    assert again.returncode == 1 and "exists" in again.stderr
    assert project.git("rev-parse", "HEAD") == before


def test_init_inside_a_repository_makes_files_only(project: Project) -> None:
    """No repository inside a repository, and no commit in the user's name."""
    before = project.git("rev-parse", "HEAD")
    assert project.run("init", "sub").returncode == 0
    assert not (project.path / "sub" / ".git").exists() and project.git("rev-parse", "HEAD") == before


def test_help_and_version_answer_anywhere(tmp_path: Path) -> None:
    """No arguments, -h, --help and --version exit 0 outside of any repository."""
    outside = Project(tmp_path)
    for arguments in ([], ["-h"], ["--help"], ["experiment=x", "--help"]):
        done = outside.run(*arguments)
        assert done.returncode == 0 and "Commands" in done.stdout and "--multirun" in done.stdout
    assert outside.run("--version").stdout.startswith("mitosis ")


def test_python_m_mitosis_and_the_script_are_the_same(tmp_path: Path) -> None:
    """The console script answers as the module does."""
    script = Path(sys.executable).with_name("mitosis")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout == Project(tmp_path).run("--version").stdout


@pytest.mark.kernel
def test_hydras_own_flags_work(project: Project) -> None:
    """--cfg job, --info, -cn, -cp and -cd behave as in any Hydra app, from a subdirectory as well."""
    assert "x: 1.0" in project.run("experiment=toy", "params=one", "--cfg", "job").stdout
    assert project.run("experiment=toy", "params=one", "--info", "defaults").returncode == 0
    hydras = project.run("--hydra-help")
    assert hydras.returncode == 0 and "== Flags ==" in hydras.stdout
    project.write("conf/other.yaml", projects.CONFIG + "params:\n  x: 33.0\n")
    (project.path / "conf").rename(project.path / "settings")
    below = project.path / "notes"
    below.mkdir()
    for arguments in (["-cn", "other"], ["--config-name=other"]):
        done = project.run(
            *arguments, "-cp", "../settings", "experiment=toy", "params=one", "--cfg", "job", cwd=below
        )
        assert "x: 33.0" in done.stdout, done.stderr
    extra = project.path / "more"
    project.write("more/params/three.yaml", "x: 3.0\n")
    done = project.run("-cp", "settings", "-cd", str(extra), "experiment=toy", "params=three", "--cfg", "job")
    assert "x: 3.0" in done.stdout, done.stderr


def test_a_reader_that_leaves_early_is_no_fault(tmp_path: Path) -> None:
    """`mitosis --help | head -1` ends quietly."""
    command = f"{sys.executable} -m mitosis --help | head -1"
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, cwd=tmp_path, env=os.environ, check=False
    )
    assert done.returncode == 0 and done.stderr == ""


@pytest.mark.parametrize("words", [("ls",), ("show", "@1"), ("ls", "--json")])
def test_a_reader_that_has_left_is_no_refusal(used: Project, words: tuple[str, ...]) -> None:
    """Under `set -o pipefail` the exit code counts."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "mitosis", *words]
    done = subprocess.run(
        command, cwd=used.path, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr


def test_a_fault_of_ours_says_so(tmp_path: Path) -> None:
    """What nobody foresaw, here a library that cannot be imported, shows where it is and exits 3."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "click.py").write_text("raise RuntimeError('this click is broken')\n")
    done = Project(tmp_path).run("ls", PYTHONPATH=str(tmp_path / "broken"))
    assert done.returncode == 3
    assert "this click is broken" in done.stderr and "fault of mitosis itself" in done.stderr
