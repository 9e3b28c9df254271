"""The gate, refs and snapshots (capture: code.py, changes.py, snapshot.py) on real git."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mitosis.capture import code, git
from mitosis.capture.snapshot import short_diff, snapshot
from mitosis.errors import DirtyRepository, RepositoryRefused
from mitosis.trial import CodeState
from tests.conftest import Repository, make_repository

HOSTILE = [
    "new\nline.py",
    "'single' \"double\".py",
    "🦋.py",
    "-dash.py",
    " lead and trail ",
    "*.py",
    "tab\there",
    "back\\slash",
    ":(top)magic",
    "naïve é.py",
    os.fsdecode(b"no-utf8-\xff"),
]


def found(repository: Repository) -> set[tuple[str, str]]:
    return {(change.path, change.kind) for change in code.changes(repository.path)}


# --- where the repository is ---------------------------------------------------------------------------


def test_the_top_is_found_from_any_directory(repository: Repository) -> None:
    """A subdirectory, an ignored one and a path through a symbolic link lead to the same top."""
    (repository.path / "ignored/deep").mkdir(parents=True)
    link = repository.path.parent / "link"
    link.symlink_to(repository.path / "lib")
    for start in (repository.path, repository.path / "lib", repository.path / "ignored/deep", link):
        assert code.find_repository(start) == repository.path


@pytest.mark.parametrize("name", ["two\nlines", "a:b", "trailing\n", "-x", "ünï 🦋"])
def test_the_top_may_have_any_name(git_config: Path, tmp_path: Path, name: str) -> None:
    """Line breaks, colons and dashes in the repository's own path survive, and the gate works there."""
    repository = make_repository(tmp_path / name)
    assert code.find_repository(repository.path) == repository.path
    assert code.inspect(repository.path).repository == str(repository.path)


def test_no_repository_is_refused(git_config: Path, tmp_path: Path) -> None:
    """Outside any repository the refusal says so, and how to make one."""
    with pytest.raises(RepositoryRefused, match=r"in no git repository.*\n.*mitosis init"):
        code.find_repository(tmp_path)
    with pytest.raises(RepositoryRefused, match="is no directory"):
        code.find_repository(tmp_path / "absent")


def test_a_bare_repository_is_refused(repository: Repository, tmp_path: Path) -> None:
    """A bare repository, one made bare by a setting, and the inside of .git have no files to run."""
    repository.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
    for place in (tmp_path / "bare.git", repository.path / ".git"):
        with pytest.raises(RepositoryRefused, match=r"bare repository or the inside of a \.git"):
            code.find_repository(place)
    repository.git("config", "core.bare", "true")
    with pytest.raises(RepositoryRefused, match="bare"):
        code.find_repository(repository.path)


def test_an_unborn_branch_is_refused(git_config: Path, tmp_path: Path) -> None:
    """A repository without a commit is found, and refused by the gate with the way to the first commit."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / "code.py").write_text("x = 1\n")
    assert code.find_repository(tmp_path) == tmp_path.resolve()
    assert code.project(tmp_path) == ""
    with pytest.raises(RepositoryRefused, match=r"no commit yet.*\n.*git commit"):
        code.inspect(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_repository_of_another_user_is_refused_until_trusted(
    repository: Repository, git_config: Path
) -> None:
    """git's refusal of another user's repository is passed on, with the command that works when typed."""
    for folder, _, files in os.walk(repository.path):
        for path in [Path(folder), *(Path(folder) / name for name in files)]:
            os.chown(path, 12345, 12345, follow_symlinks=False)
    for question in (code.find_repository, code.inspect):
        with pytest.raises(RepositoryRefused, match="belongs to another user") as refused:
            question(repository.path)
    command = refused.value.todo.partition(": ")[2]
    subprocess.run(["sh", "-c", command], check=True)
    assert code.inspect(code.find_repository(repository.path)).commit


def test_git_missing_is_refused(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without git on PATH the refusal names git and how to get it."""
    monkeypatch.setenv("PATH", str(repository.path))
    with pytest.raises(RepositoryRefused, match=r"git was not found on PATH.*\n.*install"):
        code.find_repository(repository.path)


def test_a_working_tree_that_lies_elsewhere_is_refused(repository: Repository, tmp_path: Path) -> None:
    """Under core.worktree git looks at other files than those the user stands in."""
    (tmp_path / "elsewhere").mkdir()
    repository.git("config", "core.worktree", str(tmp_path / "elsewhere"))
    with pytest.raises(RepositoryRefused, match=r"core\.worktree"):
        code.find_repository(repository.path)


def test_a_corrupt_repository_is_refused(repository: Repository) -> None:
    """Where git itself fails, its own first line is quoted."""
    (repository.path / ".git/index").write_bytes(b"rubbish")
    with pytest.raises(RepositoryRefused, match=r"git status failed in .*: (error|fatal): "):
        code.inspect(repository.path)


def test_the_environment_cannot_point_elsewhere(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIT_DIR, GIT_INDEX_FILE and their like, as a git hook sets them, do not move the gate."""
    other = make_repository(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other.path / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.path))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.path / ".git/index"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(other.path / ".git/objects"))
    monkeypatch.setenv("GIT_TRACE", "1")
    monkeypatch.setenv("GIT_ICASE_PATHSPECS", "1")
    assert code.find_repository(repository.path / "lib") == repository.path
    repository.write("code.py", "x = 2\n")
    assert found(repository) == {("code.py", "modified")}


# --- the clean gate ------------------------------------------------------------------------------------


def test_a_clean_tree_is_described(repository: Repository) -> None:
    """The state of a clean tree holds its commit, branch and project; nothing is on a remote."""
    head = repository.git("rev-parse", "HEAD")
    assert code.inspect(repository.path) == CodeState(
        commit=head, branch="main", dirty=False, project=head, repository=str(repository.path),
        remote=None, pushed=None, tree=str(repository.path),
    )  # fmt: skip


@pytest.mark.parametrize("remote", [None, "https://me:secret@example.org/lab/code.git"])
def test_a_clean_gate_costs_three_processes(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remote: str | None
) -> None:
    """Finding the top is one git process, and the whole gate, project and remote included, three."""
    if remote:
        repository.git("remote", "add", "origin", remote)
    shims, log = tmp_path / "shims", tmp_path / "log"
    shims.mkdir()
    real = shutil.which("git")
    (shims / "git").write_text(f'#!/bin/sh\necho >> "{log}"\nexec "{real}" "$@"\n')
    (shims / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{shims}{os.pathsep}{os.environ['PATH']}")
    top = code.find_repository(repository.path)
    assert len(log.read_text()) == 1
    code.inspect(top)
    assert len(log.read_text()) == 1 + 3


def test_looking_writes_nothing(repository: Repository) -> None:
    """The gate leaves index, refs and files as they are, to the byte, even where the index is stale."""
    os.utime(repository.path / "code.py", ns=(1, 1))
    before = {p: p.stat().st_mtime_ns for p in repository.path.rglob("*")}
    code.inspect(repository.path)
    assert {p: p.stat().st_mtime_ns for p in repository.path.rglob("*")} == before


def test_a_detached_head_is_fine(repository: Repository) -> None:
    """Detached, the commit is recorded and the branch is None."""
    repository.git("checkout", "--quiet", "--detach")
    state = code.inspect(repository.path)
    assert (state.branch, state.commit) == (None, repository.git("rev-parse", "HEAD"))


def test_a_linked_worktree_is_a_repository_of_its_own(repository: Repository, tmp_path: Path) -> None:
    """In a `git worktree` the gate sees that tree's branch and changes; the git directory is shared."""
    linked = Repository((tmp_path / "linked tree").resolve())
    repository.git("worktree", "add", "--quiet", "-b", "side", str(linked.path))
    assert code.find_repository(linked.path / "lib") == linked.path
    assert code.inspect(linked.path).branch == "side"
    assert code.git_common_dir(linked.path) == code.git_common_dir(repository.path)
    linked.write("code.py", "x = 3\n")
    assert found(linked) == {("code.py", "modified")}
    assert found(repository) == set()


def test_a_separate_git_directory_is_fine(git_config: Path, tmp_path: Path) -> None:
    """A working tree whose `.git` is a file that points elsewhere works in every way."""
    made = Repository(tmp_path / "tree")
    made.path.mkdir()
    made.git("init", "--quiet", "--separate-git-dir", str(tmp_path / "the git"))
    made.write("code.py", "x = 1\n")
    commit = made.commit()
    assert code.inspect(made.path).commit == commit
    assert code.git_common_dir(made.path) == tmp_path / "the git"
    assert code.keep(made.path, commit) is None


def test_a_shallow_clone_is_fine(repository: Repository, tmp_path: Path) -> None:
    """A clone of depth one has a commit, a project and a pushed commit like any other."""
    head = repository.commit("second")
    clone = tmp_path / "shallow"
    repository.git("clone", "--quiet", "--depth=1", f"file://{repository.path}", str(clone))
    state = code.inspect(clone)
    assert (state.commit, state.pushed, state.dirty) == (head, True, False)
    assert state.project == f"file://{repository.path}"


def test_a_sparse_checkout_is_clean(repository: Repository) -> None:
    """Files that a sparse checkout leaves out are no change; one that is there all the same and edited is."""
    repository.git("sparse-checkout", "set", "--no-cone", "/code.py", "/.gitignore")
    assert not (repository.path / "lib").exists()
    assert found(repository) == set()
    repository.git("config", "sparse.expectFilesOutsideOfPatterns", "true")
    repository.write("lib/part.py", "y = 666\n")
    assert found(repository) == {("lib/part.py", "flagged")}


def test_ignored_files_are_no_change(repository: Repository) -> None:
    """What a .gitignore of the repository names may change, and so may a directory that ignores itself."""
    repository.write("ignored/data.bin", "1")
    repository.write("trials/.gitignore", "*\n")
    repository.write("trials/lorenz/trial.json", "{}")
    assert found(repository) == set()


def test_a_clean_tree_in_the_middle_of_a_rebase_is_fine(repository: Repository) -> None:
    """A rebase that stopped at a clean commit has a commit to record, and no branch."""
    repository.commit("second")
    subprocess.run(
        ["git", "rebase", "--quiet", "--interactive", "HEAD~1"], cwd=repository.path, check=True,
        env={**os.environ, "GIT_SEQUENCE_EDITOR": "sed -i s/^pick/edit/"}, capture_output=True,
    )  # fmt: skip
    assert (repository.path / ".git/rebase-merge").exists()
    state = code.inspect(repository.path)
    assert (state.branch, state.commit) == (None, repository.git("rev-parse", "HEAD"))


# --- changes, hidden or not ----------------------------------------------------------------------------


def _edit(r: Repository) -> None:
    r.write("code.py", "x = 2\n")


def _config(*pairs: tuple[str, str]) -> Callable[[Repository], None]:
    def apply(r: Repository) -> None:
        for key, value in pairs:
            r.git("config", "--global", key, value)
            r.git("config", key, value)

    return apply


def _then(*steps: Callable[[Repository], object]) -> Callable[[Repository], None]:
    def apply(r: Repository) -> None:
        for step in steps:
            step(r)

    return apply


def _fsmonitor(r: Repository) -> None:
    hook = r.write(".git/liar", "#!/bin/sh\nprintf 'token\\0'\n")
    hook.chmod(0o755)
    r.git("config", "core.fsmonitor", str(hook))
    r.git("update-index", "--fsmonitor")
    r.git("status")
    r.git("status")


def _same_size_and_time(r: Repository) -> None:
    file = r.path / "code.py"
    os.utime(file, ns=(10**18, 10**18))
    r.git("update-index", "--refresh")
    r.git("config", "core.trustctime", "false")
    r.git("config", "core.checkStat", "minimal")
    other = r.write(".git/other", "x = 9\n")
    os.utime(other, ns=(10**18, 10**18))
    other.replace(file)


def _replace(r: Repository) -> None:
    """HEAD is shown as another commit, whose tree is what lies here."""
    head = r.git("rev-parse", "HEAD")
    r.write("code.py", "x = 2\n")
    other = r.commit("other")
    r.git("reset", "--quiet", "--soft", head)
    r.git("replace", head, other)
    assert r.git("status", "--porcelain") == ""


def _conflict(r: Repository) -> None:
    r.git("checkout", "--quiet", "-b", "side")
    r.write("code.py", "x = 'side'\n")
    r.commit()
    r.git("checkout", "--quiet", "main")
    r.write("code.py", "x = 'main'\n")
    r.commit()
    r.git("merge", "side", check=False)


def _merging(r: Repository) -> None:
    r.git("checkout", "--quiet", "-b", "side")
    r.write("side.py", "")
    r.commit()
    r.git("checkout", "--quiet", "main")
    r.git("merge", "--quiet", "--no-ff", "--no-commit", "side")


def _private_ignore(r: Repository) -> None:
    r.write(".git/mine", "hidden.py\n")
    r.git("config", "--global", "core.excludesFile", str(r.path / ".git/mine"))
    r.write("hidden.py", "import os\n")


def _link(r: Repository) -> None:
    (r.path / "code.py").unlink()
    (r.path / "code.py").symlink_to("lib/part.py")


def _plain_link(r: Repository) -> None:
    """A tracked link becomes a file that holds the link's target, which core.symlinks=false takes for it."""
    (r.path / "link").symlink_to("code.py")
    r.commit()
    r.git("config", "core.symlinks", "false")
    (r.path / "link").unlink()
    r.write("link", "code.py")
    r.git("update-index", "--refresh", check=False)


def _executable(r: Repository) -> None:
    (r.path / "code.py").chmod(0o755)


def _folded(r: Repository) -> None:
    r.git("config", "core.ignoreCase", "true")
    r.write("CODE.py", "x = 3\n")


CASES: dict[str, tuple[Callable[[Repository], object], set[tuple[str, str]]]] = {
    "edited": (_edit, {("code.py", "modified")}),
    "staged": (_then(_edit, lambda r: r.git("add", "code.py")), {("code.py", "staged")}),
    "staged, then edited back": (
        _then(_edit, lambda r: r.git("add", "."), lambda r: r.write("code.py", "x = 1\n")),
        {("code.py", "modified")},
    ),
    "new and staged": (
        _then(lambda r: r.write("n.py", ""), lambda r: r.git("add", ".")),
        {("n.py", "staged")},
    ),
    "intent to add": (
        _then(lambda r: r.write("n.py", "1"), lambda r: r.git("add", "-N", "n.py")),
        {("n.py", "staged")},
    ),
    "deleted": (lambda r: (r.path / "code.py").unlink(), {("code.py", "deleted")}),
    "deleted in the index only": (
        lambda r: r.git("rm", "--quiet", "--cached", "code.py"),
        {("code.py", "deleted"), ("code.py", "untracked")},
    ),
    "renamed": (lambda r: r.git("mv", "code.py", "c d.py"), {("code.py", "deleted"), ("c d.py", "staged")}),
    "untracked": (lambda r: r.write("deep/er/n.py", ""), {("deep/er/n.py", "untracked")}),
    "file for link": (_link, {("code.py", "retyped")}),
    "link for file, links switched off": (_plain_link, {("link", "retyped")}),
    "executable": (_executable, {("code.py", "mode")}),
    "executable, staged": (
        lambda r: r.git("update-index", "--chmod=+x", "code.py"),
        {("code.py", "mode")},
    ),
    "executable, modes switched off": (
        _then(_config(("core.fileMode", "false")), _executable),
        {("code.py", "mode")},
    ),
    "file for directory": (
        _then(lambda r: shutil.rmtree(r.path / "lib"), lambda r: r.write("lib", "")),
        {("lib/part.py", "deleted"), ("lib", "untracked")},
    ),
    "directory for file": (
        _then(lambda r: (r.path / "code.py").unlink(), lambda r: r.write("code.py/n", "")),
        {("code.py", "deleted"), ("code.py/n", "untracked")},
    ),
    "a merge in progress": (_merging, {("side.py", "staged")}),
    "conflict": (_conflict, {("code.py", "conflict")}),
    "untracked files switched off": (
        _then(_config(("status.showUntrackedFiles", "no")), lambda r: r.write("n.py", "")),
        {("n.py", "untracked")},
    ),
    "hidden by core.excludesFile": (_private_ignore, {("hidden.py", "excluded")}),
    "hidden by info/exclude": (
        _then(lambda r: r.write(".git/info/exclude", "*.py\n"), lambda r: r.write("hidden.py", "")),
        {("hidden.py", "excluded")},
    ),
    "assume-unchanged, edited": (
        _then(lambda r: r.git("update-index", "--assume-unchanged", "code.py"), _edit),
        {("code.py", "flagged")},
    ),
    "assume-unchanged, deleted": (
        _then(
            lambda r: r.git("update-index", "--assume-unchanged", "code.py"),
            lambda r: (r.path / "code.py").unlink(),
        ),
        {("code.py", "flagged")},
    ),
    "assume-unchanged, as it was": (lambda r: r.git("update-index", "--assume-unchanged", "code.py"), set()),
    "skip-worktree, edited": (
        _then(lambda r: r.git("update-index", "--skip-worktree", "code.py"), _edit),
        {("code.py", "flagged")},
    ),
    "both flags, edited": (
        _then(
            lambda r: r.git("update-index", "--assume-unchanged", "code.py"),
            lambda r: r.git("update-index", "--skip-worktree", "code.py"),
            _edit,
        ),
        {("code.py", "flagged")},
    ),
    "core.ignoreStat": (
        _then(_config(("core.ignoreStat", "true")), lambda r: r.git("reset", "--quiet", "--hard"), _edit),
        {("code.py", "modified")},
    ),
    "same size under a restored time": (_same_size_and_time, {("code.py", "modified")}),
    "a file system monitor that lies": (_then(_fsmonitor, _edit), {("code.py", "modified")}),
    "a replaced commit": (_replace, {("code.py", "staged")}),
    "a name that differs in case": (_folded, {("CODE.py", "excluded")}),
    "an untracked repository inside": (
        lambda r: make_repository(r.path / "nested"),
        {("nested/", "untracked")},
    ),
    "split index": (
        _then(lambda r: r.git("update-index", "--split-index"), _edit),
        {("code.py", "modified")},
    ),
    "split index with a flag": (
        _then(
            lambda r: r.git("update-index", "--split-index"),
            lambda r: r.git("update-index", "--assume-unchanged", "code.py"),
            _edit,
        ),
        {("code.py", "flagged")},
    ),
    "an ignore file of its own": (
        lambda r: r.write("sub/.gitignore", "other\n"),
        {("sub/.gitignore", "untracked")},
    ),
    "no index at all": (
        lambda r: (r.path / ".git/index").unlink(),
        {(n, k) for n in (".gitignore", "code.py", "lib/part.py") for k in ("deleted", "untracked")},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_no_change_is_hidden(repository: Repository, case: str) -> None:
    """Each way to change the tree, under each setting that hides it from `git status`, is seen."""
    arrange, expected = CASES[case]
    arrange(repository)
    sharedindexes = set(repository.path.glob(".git/sharedindex.*"))
    assert found(repository) == expected
    assert set(repository.path.glob(".git/sharedindex.*")) == sharedindexes
    if expected:
        with pytest.raises(DirtyRepository) as refused:
            code.inspect(repository.path)
        assert len(str(refused.value).splitlines()) == 2
        for path, _ in expected:
            assert path in refused.value.what


# Here the user's own git is blind to the change: only a snapshot helps, or mending the setting.
BLIND = {
    "a replaced commit",
    "same size under a restored time",
    "a file system monitor that lies",
    "a name that differs in case",
    "conflict",
}


@pytest.mark.parametrize("case", [name for name, (_, kinds) in CASES.items() if kinds and name not in BLIND])
def test_the_way_out_works_when_typed(repository: Repository, case: str) -> None:
    """The commands that a refusal gives, typed as they stand, lead to a clean tree."""
    CASES[case][0](repository)
    with pytest.raises(DirtyRepository) as refused:
        code.inspect(repository.path)
    commands = refused.value.todo.removeprefix("commit (").partition(")")[0].split(", ")
    assert commands[-1] == "git commit"
    for command in commands:
        for change in code.changes(repository.path) if "FILE" in command else (None,):
            path = git.quoted(change.path) if change else ""
            line = command.replace("FILE", path).replace("git commit", "git commit -m x")
            answer = subprocess.run(["sh", "-c", line], cwd=repository.path, capture_output=True)
            assert answer.returncode == 0 or b"nothing to commit" in answer.stdout, answer.stderr
    assert not code.inspect(repository.path).dirty


def test_settings_in_the_environment_hide_nothing(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Configuration given by GIT_CONFIG_COUNT is read, as safe.directory may be there, and hides nothing."""
    settings = {"core.fileMode": "false", "core.fsmonitor": "true", "status.showUntrackedFiles": "no"}
    monkeypatch.setenv("GIT_CONFIG_COUNT", str(len(settings)))
    for number, (key, value) in enumerate(settings.items()):
        monkeypatch.setenv(f"GIT_CONFIG_KEY_{number}", key)
        monkeypatch.setenv(f"GIT_CONFIG_VALUE_{number}", value)
    _executable(repository)
    repository.write("n.py", "")
    assert found(repository) == {("code.py", "mode"), ("n.py", "untracked")}


def test_every_name_is_seen_and_shown_on_one_line(repository: Repository) -> None:
    """Hostile file names come back as they are, and the message shows each without a line break."""
    for name in HOSTILE[:9]:
        repository.write(name, "x = 1\n")
    assert found(repository) == {(name, "untracked") for name in HOSTILE[:9]}
    with pytest.raises(DirtyRepository) as refused:
        code.inspect(repository.path)
    what = refused.value.what
    assert "\n" not in what
    for text in (r'"new\nline.py"', "🦋.py", '"-dash.py"', r"\"double\"", r"tab\there", "*.py"):
        assert text in what


def test_a_name_that_is_no_utf8_is_seen(repository: Repository) -> None:
    """A file name of bytes that are no UTF-8 is reported, and shown by its bytes."""
    repository.write(HOSTILE[-1], "x = 1\n")
    with pytest.raises(DirtyRepository, match=r"no-utf8-\\xff"):
        code.inspect(repository.path)


def test_a_refusal_names_ten_files_and_counts_the_rest(repository: Repository) -> None:
    """Fourteen changes: ten names, tracked ones first, then "and 4 more", then the ways out."""
    for number in range(13):
        repository.write(f"n{number:02}.py", "")
    repository.write("code.py", "x = 2\n")
    with pytest.raises(DirtyRepository) as refused:
        code.inspect(repository.path)
    what, todo = refused.value.what, refused.value.todo
    head = repository.git("rev-parse", "HEAD")[:7]
    assert what.startswith(f"14 uncommitted changes in {git.shown(str(repository.path))} (commit {head}): ")
    assert "): modified: code.py; untracked: n00.py, n01.py," in what
    assert what.endswith("n08.py; and 4 more")
    for way in ("git commit", ".gitignore", "mitosis.on_dirty=snapshot"):
        assert way in todo


def test_the_way_out_fits_the_change(repository: Repository) -> None:
    """A tracked edit is not sent to .gitignore, a conflict is to be solved, a flag to be taken off."""
    repository.git("update-index", "--assume-unchanged", "code.py")
    repository.write("code.py", "x = 2\n")
    with pytest.raises(DirtyRepository) as refused:
        code.inspect(repository.path)
    assert "--no-assume-unchanged" in refused.value.todo
    assert ".gitignore" not in refused.value.todo
    repository.git("update-index", "--no-assume-unchanged", "code.py")
    repository.git("checkout", "--quiet", "code.py")
    _conflict(repository)
    with pytest.raises(DirtyRepository, match=r"in conflict: code\.py.*\n.*solve the conflicts"):
        code.inspect(repository.path)


def test_a_clean_filter_decides_as_for_git(repository: Repository) -> None:
    """Line ends that .gitattributes normalizes are no change; the same without attributes are one."""
    repository.write(".gitattributes", "*.py text eol=crlf\n")
    repository.commit()
    repository.write("code.py", b"x = 1\r\n")
    repository.git("add", "code.py")
    assert repository.git("status", "--porcelain") == ""
    assert found(repository) == set()
    repository.write(".gitignore", b"ignored/\r\n")
    assert found(repository) == {(".gitignore", "modified")}


# --- submodules ----------------------------------------------------------------------------------------


@pytest.fixture
def nested(repository: Repository, tmp_path: Path) -> tuple[Repository, Repository]:
    """A repository with the submodule "sub module" and, in it, the submodule "inner"; both checked out."""
    inner = make_repository(tmp_path / "origin of inner")
    middle = make_repository(tmp_path / "origin of sub")
    middle.git("submodule", "--quiet", "add", str(inner.path), "inner")
    middle.commit()
    repository.git("submodule", "--quiet", "add", str(middle.path), "sub module")
    repository.git("submodule", "--quiet", "update", "--init", "--recursive")
    repository.commit("submodule")
    return repository, Repository(repository.path / "sub module")


def test_a_submodule_is_part_of_the_gate(nested: tuple[Repository, Repository]) -> None:
    """Edits, untracked files and flags inside submodules are named by their path from the top."""
    top, sub = nested
    assert found(top) == set()
    _config(("status.showUntrackedFiles", "no"), ("diff.ignoreSubmodules", "all"))(top)
    top.git("config", "submodule.sub module.ignore", "all")
    sub.write("code.py", "x = 2\n")
    sub.git("update-index", "--assume-unchanged", "lib/part.py")
    sub.write("lib/part.py", "y = 3\n")
    sub.write("inner/new.py", "")
    assert found(top) == {
        ("sub module/code.py", "modified"),
        ("sub module/lib/part.py", "flagged"),
        ("sub module/inner/new.py", "untracked"),
    }


def test_a_submodule_at_another_commit_is_a_change(nested: tuple[Repository, Repository]) -> None:
    """A submodule whose HEAD is not what the commit says is named, also under ignore=all and a flag."""
    top, sub = nested
    top.git("config", "submodule.sub module.ignore", "all")
    sub.commit("moved on")
    assert found(top) == {("sub module", "submodule")}
    top.git("update-index", "--assume-unchanged", "sub module")
    assert ("sub module", "submodule") in found(top)
    with pytest.raises(
        DirtyRepository, match=r"submodule at another commit: sub module.*\n.*submodule update"
    ):
        code.inspect(top.path)


def test_a_submodule_that_is_not_checked_out_is_clean(nested: tuple[Repository, Repository]) -> None:
    """An empty directory in a submodule's place is no change; files in it, which git never shows, are."""
    top, sub = nested
    top.git("submodule", "--quiet", "deinit", "--force", "sub module")
    assert found(top) == set()
    sub.write("evil.py", "")
    assert top.git("status", "--porcelain") == ""
    assert found(top) == {("sub module/", "untracked")}


def test_a_broken_submodule_is_not_taken_for_its_parent(nested: tuple[Repository, Repository]) -> None:
    """Where a submodule's .git is empty, git would answer for the repository above: refused instead."""
    top, sub = nested
    (sub.path / ".git").unlink()
    (sub.path / ".git").mkdir()
    sub.write("evil.py", "")
    with pytest.raises(RepositoryRefused, match="sub module"):
        code.changes(top.path)


# --- project, remotes, refs ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://me:s3cret@example.org/lab/code.git", "https://example.org/lab/code.git"),
        ("https://s3cret@example.org:8443/lab/code", "https://example.org:8443/lab/code"),
        ("https://me:s3c@ret@example.org/code", "https://example.org/code"),
        ("https://me:s3/cret@example.org/code", "https://example.org/code"),
        ("https://example.org/code?private_token=s3cret#s3cret", "https://example.org/code"),
        ("ssh://git:s3cret@example.org:22/code.git", "ssh://example.org:22/code.git"),
        ("git@example.org:lab/code.git", "example.org:lab/code.git"),
        ("/srv/me@home/code.git", "/srv/me@home/code.git"),
        ("../a:b/code", "../a:b/code"),
        ("file:///srv/me@home/code.git", "file:///srv/me@home/code.git"),
        ("codecommit::eu-west-1://s3cret@code", "codecommit::eu-west-1://code"),
        ("https://example.org/a@b/code", "https://example.org/a@b/code"),
        ("https://[::1]:8080/code", "https://[::1]:8080/code"),
        ("https://me:s3cret@[::1]:8080/code", "https://[::1]:8080/code"),
    ],
)
def test_an_address_loses_its_credentials(repository: Repository, address: str, shown: str) -> None:
    """User, password and tokens never reach the record; the rest of the address stays."""
    repository.git("remote", "add", "origin", address)
    state = code.inspect(repository.path)
    assert (state.remote, state.project) == (shown, shown)
    assert "s3c" not in shown
    assert code.project(repository.path) == shown


def test_the_origin_is_read_as_git_reads_it(repository: Repository, tmp_path: Path) -> None:
    """Quotes, comments, upper case, several addresses and an included file give what git itself gives."""
    config = repository.path / ".git/config"
    plain = config.read_text()
    included = tmp_path / "more"
    included.write_text('[remote "origin"]\n\turl = https://example.org/included\n')
    for text, expected in {
        '[REMOTE "origin"]\n\tURL=https://example.org/a\n\turl = https://example.org/b\n': "https://example.org/a",
        '[remote "origin"] ; note\n\turl = "https://example.org/q" # note\n': "https://example.org/q",
        '[remote "origin"]\n# url = https://example.org/no\n\turl = https://example.org/d\n': "https://example.org/d",
        f'[include]\n\tpath = "{included}"\n': "https://example.org/included",
        '[remote "other"]\n\turl = https://example.org/x\n': None,
        "[remote.origin]\n\turl = https://example.org/old\n": "https://example.org/old",
        '[remote "origin"]\n\turl = https://example.org/l\\\nong\n': "https://example.org/long",
    }.items():
        config.write_text(plain + text)
        assert code.origin(repository.path) == expected, text


def test_the_project_of_a_repository_without_origin_is_its_first_commit(repository: Repository) -> None:
    """The root along first parents names the project, also after a foreign history was merged in."""
    first = repository.git("rev-parse", "HEAD")
    repository.commit("second")
    repository.git("checkout", "--quiet", "--orphan", "foreign")
    repository.commit("foreign root")
    repository.git("checkout", "--quiet", "main")
    repository.git("merge", "--quiet", "--allow-unrelated-histories", "-m", "both", "foreign")
    assert code.project(repository.path) == first


def test_whether_a_commit_is_pushed_is_recorded(repository: Repository, tmp_path: Path) -> None:
    """True where a remote-tracking branch contains the commit, False where none does, None without remote."""
    assert code.inspect(repository.path).pushed is None
    repository.git("init", "--quiet", "--bare", str(tmp_path / "hub.git"))
    repository.git("remote", "add", "hub", str(tmp_path / "hub.git"))
    assert code.inspect(repository.path).pushed is False
    repository.git("push", "--quiet", "hub", "main")
    assert code.inspect(repository.path).pushed is True
    repository.commit("after")
    assert code.inspect(repository.path).pushed is False


def test_a_kept_commit_survives_gc(repository: Repository) -> None:
    """After amend, reflog expiry and gc the recorded commit is still there."""
    commit = code.inspect(repository.path).commit
    assert code.keep(repository.path, commit) is None
    assert code.keep(repository.path, commit) is None  # twice is fine
    repository.git("commit", "--quiet", "--amend", "-m", "amended")
    repository.git("reflog", "expire", "--expire=now", "--all")
    repository.git("gc", "--quiet", "--prune=now")
    assert repository.git("cat-file", "-t", commit) == "commit"
    assert code.keep(repository.path, commit) is None  # in packed-refs now


def test_keeping_runs_no_hook(repository: Repository) -> None:
    """The user's reference-transaction hook, which could refuse, is not asked."""
    hook = repository.write(".git/hooks/reference-transaction", "#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    assert code.keep(repository.path, repository.git("rev-parse", "HEAD")) is None


def test_a_commit_that_cannot_be_kept_is_a_note(repository: Repository) -> None:
    """Where the ref cannot be written the answer is a note of kind `unkept`, not an error."""
    repository.write(".git/refs/mitosis", "in the way")
    remark = code.keep(repository.path, repository.git("rev-parse", "HEAD"))
    assert remark is not None
    assert (remark.kind, remark.where) == ("unkept", str(repository.path))
    assert repository.git("rev-parse", "HEAD")[:7] in remark.what


def test_many_processes_keep_the_same_commit(repository: Repository) -> None:
    """Sixteen processes that write the same ref at once all find the commit kept."""
    commit = repository.git("rev-parse", "HEAD")
    program = (
        "import sys; from pathlib import Path; from mitosis.capture import code; "
        "sys.exit(code.keep(Path(sys.argv[1]), sys.argv[2]) is not None)"
    )
    workers = [
        subprocess.Popen([os.sys.executable, "-c", program, str(repository.path), commit]) for _ in range(16)
    ]
    assert [worker.wait() for worker in workers] == [0] * 16
    assert repository.git("rev-parse", f"refs/mitosis/kept/{commit}") == commit


def test_the_commits_of_submodules_are_kept(nested: tuple[Repository, Repository]) -> None:
    """Keeping a commit keeps the commits of its submodules, at every depth, where they live."""
    top, sub = nested
    assert code.keep(top.path, top.git("rev-parse", "HEAD")) is None
    for below in (sub, Repository(sub.path / "inner")):
        commit = below.git("rev-parse", "HEAD")
        assert below.git("rev-parse", f"refs/mitosis/kept/{commit}") == commit


def test_tracked_under_says_whether_a_directory_holds_tracked_files(
    nested: tuple[Repository, Repository], tmp_path: Path
) -> None:
    """The top, a directory of code and a submodule do; an ignored, an absent and a foreign one do not."""
    top, sub = nested
    (top.path / "ignored").mkdir()
    (tmp_path / "link").symlink_to(top.path / "lib")
    for path in (
        top.path,
        top.path / "lib",
        top.path / "lib/part.py",
        sub.path,
        sub.path / "lib",
        tmp_path / "link",
    ):
        assert code.tracked_under(top.path, path), path
    for path in (top.path / "ignored", top.path / "trials", top.path / "*", top.path / "-x", tmp_path):
        assert not code.tracked_under(top.path, path), path


# --- snapshots -----------------------------------------------------------------------------------------

LIMIT = 50_000_000


def untouched(repository: Repository) -> tuple[object, ...]:
    """Everything of the user's that a snapshot must leave as it is."""
    index = repository.path / ".git/index"
    files = {
        p.relative_to(repository.path): (p.lstat().st_mtime_ns, p.lstat().st_mode)
        for p in repository.path.rglob("*")
        if ".git" not in p.parts and not p.is_dir()
    }
    head = repository.git("rev-parse", "HEAD"), (repository.path / ".git/HEAD").read_text()
    return index.read_bytes(), head, repository.git("for-each-ref", "refs/heads"), files


def stored(repository: Repository, commit: str) -> dict[str, str]:
    listed = repository.git("ls-tree", "-r", "-z", "--full-tree", commit)
    return {line.partition("\t")[2]: line.split(" ")[0] for line in listed.split("\0") if line}


def test_a_snapshot_holds_the_working_tree(repository: Repository) -> None:
    """Edits, deletions, new files and links of hostile names become a commit whose parent is HEAD."""
    repository.write("code.py", "x = 2\n")
    (repository.path / "lib/part.py").unlink()
    for name in HOSTILE[:-1]:
        repository.write(f"new/{name}", name)
    (repository.path / "link").symlink_to("code.py")
    repository.write("run.sh", "#!/bin/sh\n").chmod(0o755)
    before = untouched(repository)
    state = snapshot(repository.path, LIMIT)
    assert untouched(repository) == before
    assert (state.dirty, state.branch) == (True, "main")
    assert repository.git("rev-parse", f"{state.commit}^") == repository.git("rev-parse", "HEAD")
    assert repository.git("rev-parse", f"refs/mitosis/snapshots/{state.commit}") == state.commit
    assert repository.git("show", f"{state.commit}:code.py") == "x = 2"
    files = stored(repository, state.commit)
    assert files.keys() == {
        ".gitignore",
        "code.py",
        "link",
        "run.sh",
        *(f"new/{name}" for name in HOSTILE[:-1]),
    }
    assert (files["link"], files["run.sh"], files["code.py"]) == ("120000", "100755", "100644")


@pytest.mark.parametrize("case", [name for name, (_, expected) in CASES.items() if expected])
def test_a_snapshot_holds_what_the_gate_saw(repository: Repository, case: str) -> None:
    """Whatever made the tree dirty, the snapshot's tree is that of a plain copy of the files."""
    CASES[case][0](repository)
    state = snapshot(repository.path, LIMIT)
    assert state.dirty
    copy = repository.path.parent / "copy"
    shutil.copytree(repository.path, copy, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    subprocess.run(["git", "init", "--quiet"], cwd=copy, check=True)
    plain = (
        "core.excludesFile=/dev/null",
        "core.ignoreStat=false",
        "core.fileMode=true",
        "core.symlinks=true",
    )
    settings = [part for setting in plain for part in ("-c", setting)]
    subprocess.run(["git", *settings, "add", "--all"], cwd=copy, check=True)
    expected = subprocess.run(["git", "write-tree"], cwd=copy, check=True, capture_output=True, text=True)
    if case == "an untracked repository inside":
        assert stored(repository, state.commit)["nested"] == "160000"
    else:
        tree = subprocess.run(
            ["git", "--no-replace-objects", "rev-parse", f"{state.commit}^{{tree}}"],
            cwd=repository.path, check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert tree.stdout == expected.stdout


def test_the_same_files_give_the_same_snapshot(repository: Repository) -> None:
    """A snapshot is a function of HEAD and the files: made twice, by two people, it is one commit."""
    repository.write("code.py", "x = 2\n")
    first = snapshot(repository.path, LIMIT)
    repository.git("config", "--global", "user.name", "Somebody Else")
    repository.git("config", "--global", "commit.gpgSign", "true")
    repository.git("config", "--global", "i18n.commitEncoding", "latin1")
    os.utime(repository.path / "code.py")
    assert snapshot(repository.path, LIMIT) == first
    repository.write("code.py", "x = 3\n")
    assert snapshot(repository.path, LIMIT).commit != first.commit


def test_a_clean_tree_needs_no_snapshot(repository: Repository) -> None:
    """Where nothing differs the state is that of HEAD, and no ref is made."""
    assert snapshot(repository.path, LIMIT) == code.inspect(repository.path)
    assert repository.git("for-each-ref", "refs/mitosis") == ""


def test_a_large_file_is_refused_by_name(repository: Repository) -> None:
    """An untracked file over the limit is named with the ways out; ignored and committed ones are not."""
    repository.write("tracked.bin", b"\0" * 2000)
    repository.commit()
    repository.write("ignored/huge.bin", b"\0" * 2000)
    repository.write("big 🦋.bin", b"\0" * 1001)
    repository.write("small.bin", b"\0" * 1000)
    with pytest.raises(DirtyRepository, match=r"0\.001 MB.*big 🦋\.bin\n.*snapshot_max_file") as refused:
        snapshot(repository.path, 1000)
    assert "small" not in refused.value.what
    assert repository.git("for-each-ref", "refs/mitosis") == ""


def test_a_snapshot_runs_no_hook_and_obeys_filters(repository: Repository) -> None:
    """Hooks of the user's are not run, and attributes decide what is stored, even under core.safecrlf."""
    repository.write(".gitattributes", "*.py text eol=crlf\n")
    repository.commit()
    repository.git("config", "core.safecrlf", "true")
    for hook in ("pre-commit", "post-index-change", "reference-transaction", "commit-msg"):
        repository.write(f".git/hooks/{hook}", "#!/bin/sh\ntouch hooked\nexit 1\n").chmod(0o755)
    repository.write("code.py", b"x = 2\r\nz = 3\n")
    commit = snapshot(repository.path, LIMIT).commit
    assert repository.git("cat-file", "blob", f"{commit}:code.py") == "x = 2\nz = 3"
    assert not (repository.path / "hooked").exists()


def test_a_snapshot_reaches_into_submodules(nested: tuple[Repository, Repository]) -> None:
    """A changed submodule gets a snapshot of its own, to which the snapshot of the whole points."""
    top, sub = nested
    sub.write("inner/code.py", "x = 'inner'\n")
    state = snapshot(top.path, LIMIT)
    middle = top.git("rev-parse", f"{state.commit}:sub module")
    deep = sub.git("rev-parse", f"{middle}:inner")
    inner = Repository(sub.path / "inner")
    assert inner.git("show", f"{deep}:code.py") == "x = 'inner'"
    assert inner.git("rev-parse", f"refs/mitosis/snapshots/{deep}") == deep
    assert found(top) == {("sub module/inner/code.py", "modified")}


def test_a_snapshot_survives_gc_and_has_a_short_diff(repository: Repository) -> None:
    """After gc the snapshot is still there, and its difference from HEAD names files and lines."""
    repository.write("code.py", "x = 2\n")
    repository.write("n ä.py", "1\n")
    commit = snapshot(repository.path, LIMIT).commit
    repository.git("gc", "--quiet", "--prune=now")
    lines = short_diff(repository.path, commit).splitlines()
    assert [line.split("|")[0].strip() for line in lines[:-1]] == ["code.py", "n ä.py"]
    assert lines[-1].strip() == "2 files changed, 2 insertions(+), 1 deletion(-)"


def test_a_path_is_shown_without_doubt() -> None:
    """Plain paths stay, everything that could break a line or a list is quoted and escaped."""
    assert git.shown("a/b c.py") == "a/b c.py"
    assert git.shown("") == '""'
    assert git.shown("a,b") == '"a,b"'
    assert git.shown("\u202egnp.py") == r'"\u202egnp.py"'
