"""Checkouts (capture: checkout.py, manifest.py): made once, complete, read-only, verified."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mitosis.capture import code, manifest
from mitosis.capture.checkout import checkout, discard, place, share
from mitosis.capture.snapshot import snapshot
from mitosis.errors import RepositoryRefused, TrialRefused
from tests.conftest import Repository, make_repository

HOSTILE = ["new\nline", "'q' \"d\"", "🦋", "-dash", " spaces ", "*.py", "tab\t", "back\\slash", ":(top)x",
           os.fsdecode(b"no-utf8-\xff")]  # fmt: skip


def head(repository: Repository) -> str:
    return repository.git("rev-parse", "HEAD")


def made(repository: Repository, commit: str | None = None) -> Path:
    commit = commit or head(repository)
    return checkout(repository.path, commit, place(repository.path / "trials", commit))


def content(tree: Path) -> dict[str, bytes | str]:
    """Every file's bytes and every link's target, by relative path."""
    return {
        str(p.relative_to(tree)): str(p.readlink()) if p.is_symlink() else p.read_bytes()
        for p in tree.rglob("*")
        if p.is_symlink() or not p.is_dir()
    }


FIRST = {"code.py": b"x = 1\n", "lib/part.py": b"y = 2\n", ".gitignore": b"ignored/\n"}


# --- what is in it -------------------------------------------------------------------------------------


def test_a_checkout_holds_the_commit_and_nothing_else(repository: Repository) -> None:
    """Neither edits nor untracked nor ignored files of the working tree reach the checkout."""
    repository.write("trials/.gitignore", "*\n")
    repository.write("code.py", "x = 666\n")
    repository.write("lib/evil.py", "")
    repository.write("ignored/data", "")
    before = (repository.path / ".git/index").read_bytes(), repository.git("status", "--porcelain")
    assert content(made(repository)) == FIRST
    assert before == ((repository.path / ".git/index").read_bytes(), repository.git("status", "--porcelain"))
    assert repository.git("worktree", "list", "--porcelain").count("worktree ") == 1


def test_names_links_and_modes_survive(repository: Repository) -> None:
    """Hostile names, links (dangling ones too), executable bits and empty files are those of the commit."""
    for name in HOSTILE:
        repository.write(f"{name}/{name}", name.encode(errors="surrogateescape"))
    repository.write("run.sh", "").chmod(0o755)
    (repository.path / "link").symlink_to("lib/part.py")
    (repository.path / "dangling").symlink_to("no\nwhere")
    commit = repository.commit()
    tree = made(repository, commit)
    expected = content(repository.path)
    assert content(tree) == {n: c for n, c in expected.items() if not n.startswith((".git/", "trials/"))}
    assert os.access(tree / "run.sh", os.X_OK)
    assert not (tree / "code.py").stat().st_mode & 0o111
    assert manifest.damage(tree, thorough=True) == ()


def test_an_older_commit_is_checked_out_as_it_was(repository: Repository) -> None:
    """Two commits lie side by side, and neither depends on the branch that is checked out."""
    old = head(repository)
    repository.git("rm", "-r", "--quiet", "lib")
    repository.write("code.py", "x = 2\n")
    new = repository.commit()
    assert content(made(repository, old)) == FIRST
    assert content(made(repository, new)) == {"code.py": b"x = 2\n", ".gitignore": b"ignored/\n"}


def test_attributes_are_those_of_the_commit(repository: Repository) -> None:
    """Line ends follow the commit's .gitattributes, not the present file; export-ignore hides nothing."""
    repository.write(".gitattributes", "*.py text eol=crlf\nlib export-ignore\n")
    repository.write("-first.py", "1\n")
    commit = repository.commit()
    repository.write(".gitattributes", "")
    tree = made(repository, commit)
    assert (tree / "code.py").read_bytes() == b"x = 1\r\n"
    assert (tree / "-first.py").read_bytes() == b"1\r\n"
    assert (tree / "lib/part.py").exists()


def test_filters_run_through_git(repository: Repository) -> None:
    """Content that a filter stored in another form (as LFS does) comes back through its other half."""
    repository.git("config", "filter.swap.clean", "tr ab ba")
    repository.git("config", "filter.swap.smudge", "tr ba ab")
    repository.write(".gitattributes", "*.dat filter=swap\n")
    repository.write("x.dat", "aabb\n")
    commit = repository.commit()
    assert repository.git("cat-file", "blob", f"{commit}:x.dat") == "bbaa"
    assert (made(repository, commit) / "x.dat").read_bytes() == b"aabb\n"


def test_a_filter_that_fails_leaves_nothing(repository: Repository) -> None:
    """Where a required filter fails the refusal quotes git, and no half of a checkout stays behind."""
    repository.git("config", "filter.broken.smudge", "false")
    repository.write(".gitattributes", "*.dat filter=broken\n")
    repository.write("x.dat", "1\n")
    commit = repository.commit()
    repository.git("config", "filter.broken.required", "true")
    with pytest.raises(RepositoryRefused, match=r"x\.dat"):
        made(repository, commit)
    assert list((repository.path / "trials/checkouts").iterdir()) == []


def test_no_hook_runs(repository: Repository) -> None:
    """Hooks that git runs for a checkout or a written index are not run."""
    for hook in ("post-checkout", "post-index-change", "post-merge"):
        repository.write(f".git/hooks/{hook}", "#!/bin/sh\ntouch hooked\nexit 1\n").chmod(0o755)
    assert content(made(repository)) == FIRST
    assert list(repository.path.rglob("hooked")) == []


def test_settings_and_flags_of_the_working_tree_do_not_matter(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sparse checkout, hidden edits, a split index, switched-off links, GIT_DIR: always the whole commit."""
    (repository.path / "link").symlink_to("code.py")
    repository.commit()
    repository.git("sparse-checkout", "set", "--no-cone", "/code.py")
    repository.git("update-index", "--split-index")
    repository.git("update-index", "--assume-unchanged", "code.py")
    repository.write("code.py", "x = 666\n")
    repository.git("config", "core.symlinks", "false")
    monkeypatch.setenv("GIT_DIR", str(make_repository(tmp_path / "other").path / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    commit = subprocess.run(
        ["git", "-C", str(repository.path), "rev-parse", "HEAD"], check=True, capture_output=True, text=True,
        env={k: v for k, v in os.environ.items() if k not in ("GIT_DIR", "GIT_INDEX_FILE")},
    ).stdout.strip()  # fmt: skip
    assert content(made(repository, commit)) == {**FIRST, "link": "code.py"}


def test_a_linked_worktree_has_checkouts(repository: Repository, tmp_path: Path) -> None:
    """From a `git worktree` the checkout is made like from the main one."""
    linked = Repository(tmp_path / "linked")
    repository.git("worktree", "add", "--quiet", str(linked.path))
    assert content(made(linked)) == FIRST


def test_a_replaced_commit_does_not_lie(repository: Repository) -> None:
    """`git replace` does not put another commit's files under the recorded hash."""
    commit = head(repository)
    repository.write("code.py", "x = 666\n")
    repository.git("replace", commit, repository.commit())
    assert content(made(repository, commit)) == FIRST


def test_a_commit_that_is_not_there_is_refused(repository: Repository) -> None:
    """An unknown hash, and a name that looks like an option, are refused by name."""
    for name in ("f" * 40, "--help"):
        with pytest.raises(RepositoryRefused, match=f"commit {name[:7]} is not in the repository"):
            checkout(repository.path, name, repository.path / "trials/checkouts/x")


def test_a_snapshot_is_checked_out(repository: Repository) -> None:
    """A snapshot's checkout holds the working tree as it was, and later edits do not reach it."""
    repository.write("code.py", "x = 'snapshot'\n")
    repository.write("new file.py", "")
    make_repository(repository.path / "nested").write("code.py", "x = 'nested'\n")
    commit = snapshot(repository.path, 10**6).commit
    repository.write("code.py", "x = 'later'\n")
    tree = made(repository, commit)
    assert (tree / "code.py").read_text() == "x = 'snapshot'\n"
    assert (tree / "new file.py").exists()
    assert (tree / "nested/code.py").read_text() == "x = 'nested'\n"


# --- submodules ----------------------------------------------------------------------------------------


@pytest.fixture
def nested(repository: Repository, tmp_path: Path) -> Repository:
    """A repository with the submodule "sub module" and, in it, the submodule "inner"; both checked out."""
    inner = make_repository(tmp_path / "origin of inner")
    middle = make_repository(tmp_path / "origin of sub")
    middle.git("submodule", "--quiet", "add", str(inner.path), "inner")
    middle.commit()
    repository.git("submodule", "--quiet", "add", str(middle.path), "sub module")
    repository.git("submodule", "--quiet", "update", "--init", "--recursive")
    repository.commit("submodule")
    return repository


WHOLE = {
    *FIRST, ".gitmodules", *(f"sub module/{name}" for name in [*FIRST, ".gitmodules"]),
    *(f"sub module/inner/{name}" for name in FIRST),
}  # fmt: skip


def test_submodules_are_filled_at_every_depth(nested: Repository) -> None:
    """The checkout holds the files of submodules at the recorded commits, whatever they are edited to."""
    sub = Repository(nested.path / "sub module")
    sub.write("code.py", "x = 666\n")
    sub.commit("moved on")
    tree = made(nested)
    assert content(tree).keys() == WHOLE
    assert (tree / "sub module/code.py").read_bytes() == b"x = 1\n"
    assert not any(path.name == ".git" for path in tree.rglob("*"))


def test_a_submodule_that_is_not_checked_out_any_more_is_filled(nested: Repository) -> None:
    """What git keeps of a submodule in its own directory is enough, also from a linked worktree."""
    nested.git("submodule", "--quiet", "deinit", "--all", "--force")
    assert content(made(nested)).keys() == WHOLE
    linked = Repository(nested.path.parent / "linked")
    nested.git("worktree", "add", "--quiet", str(linked.path))
    assert content(made(linked)).keys() == WHOLE


def test_a_submodule_that_was_never_fetched_stays_empty(nested: Repository, tmp_path: Path) -> None:
    """In a clone without submodules their directories are empty in the checkout, as in the working tree."""
    clone = Repository(tmp_path / "clone")
    nested.git("clone", "--quiet", ".", str(clone.path))
    tree = made(clone)
    assert content(tree).keys() == {*FIRST, ".gitmodules"}
    assert list((tree / "sub module").iterdir()) == []


def test_a_submodules_commit_that_is_missing_is_refused(nested: Repository) -> None:
    """A submodule that is here without the recorded commit is refused by name, and nothing is left behind."""
    nested.git("update-index", "--cacheinfo", f"160000,{'1' * 40},sub module")
    nested.git("commit", "--quiet", "-m", "points nowhere")
    with pytest.raises(RepositoryRefused, match=r"1111111 of the submodule sub module.*\n.*submodule update"):
        made(nested)
    assert list((nested.path / "trials/checkouts").iterdir()) == []


# --- once, whole, read-only ----------------------------------------------------------------------------


def test_thirty_two_processes_make_it_once(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that ask at the same moment get the same complete checkout, and git wrote it exactly once."""
    for number in range(300):
        repository.write(f"many/{number}.py", f"{number}\n" * 50)
    commit = repository.commit()
    shims, log = tmp_path / "shims", tmp_path / "log"
    shims.mkdir()
    real = shutil.which("git")
    script = f'case " $* " in *" read-tree "*) echo >> "{log}";; esac\nexec "{real}" "$@"\n'
    (shims / "git").write_text(f"#!/bin/sh\n{script}")
    (shims / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{shims}{os.pathsep}{os.environ['PATH']}")
    program = (
        "import sys; from pathlib import Path; from mitosis.capture.checkout import checkout; "
        "sys.stdin.read(); tree = checkout(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])); "
        "print(tree.stat().st_ino, sum(1 for _ in (tree / 'many').iterdir()))"
    )
    destination = place(tmp_path / "root", commit)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(repository.path), commit, str(destination)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(32)
    ]  # fmt: skip
    for worker in workers:
        assert worker.stdin
        worker.stdin.close()  # the starting shot: all have been started
        worker.stdin = None
    answers = {worker.communicate()[0] for worker in workers}
    assert answers == {f"{destination.stat().st_ino} 300\n"}
    assert log.read_text() == "\n"
    assert sorted(p.name for p in destination.parent.iterdir()) == [commit, f"{commit}.json"]


def test_a_second_call_makes_nothing(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once made, a checkout is handed out without git, and without reading its files again."""
    first = made(repository)
    commit = head(repository)
    monkeypatch.setenv("PATH", "/nowhere")
    assert made(repository, commit) == first


def test_what_a_killed_maker_left_is_swept(repository: Repository) -> None:
    """A half-made, read-only directory of an earlier process is removed by the next maker."""
    destination = place(repository.path / "trials", head(repository))
    debris = destination.with_name(f".{destination.name}.abc") / "tree"
    (debris / "lib").mkdir(parents=True)
    (debris / "lib/part.py").touch()
    (debris / "lib").chmod(0o555)
    destination.with_name(f".{destination.name}.manifest").touch()
    made(repository)
    assert sorted(p.name for p in destination.parent.iterdir()) == [
        destination.name,
        f"{destination.name}.json",
    ]


def test_everything_is_read_only(repository: Repository) -> None:
    """No file and no directory of a checkout may be written to by anybody."""
    (repository.path / "link").symlink_to("code.py")
    repository.commit()
    tree = made(repository)
    assert [p for p in [tree, *tree.rglob("*")] if not p.is_symlink() and p.stat().st_mode & 0o222] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_plain_user_makes_uses_and_removes_a_checkout(git_config: Path) -> None:
    """Without root's powers: making works, writing into it fails, and removing it works all the same."""
    home = Path(subprocess.run(["mktemp", "-d"], check=True, capture_output=True, text=True).stdout.strip())
    try:
        repository = make_repository(home / "repository")
        commit = head(repository)
        for path in [home, *home.rglob("*")]:
            os.chown(path, 12345, 12345, follow_symlinks=False)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setgid(12345)
                os.setuid(12345)
                os.environ["GIT_CONFIG_GLOBAL"] = os.devnull
                tree = checkout(repository.path, commit, place(home / "root", commit))
                (repository.path / "ignored").mkdir()
                share(repository.path, tree, ["ignored"])
                assert (tree / "ignored").is_symlink()
                for write in (lambda: (tree / "new").touch(), lambda: (tree / "code.py").write_text("")):
                    with pytest.raises(PermissionError):
                        write()
                discard(tree)
                assert list(tree.parent.iterdir()) == []
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        shutil.rmtree(home)


def test_a_place_that_cannot_be_written_is_refused(repository: Repository) -> None:
    """Where the root cannot hold a checkout the refusal names the place and another way."""
    repository.write("trials", "a file")
    with pytest.raises(TrialRefused, match=r"cannot be made.*\n.*mitosis\.root"):
        made(repository)


# --- verified ------------------------------------------------------------------------------------------


def _same_size_and_time(tree: Path) -> None:
    file = tree / "code.py"
    status = file.stat()
    file.write_text("x = 9\n")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def _added(name: str) -> Callable[[Path], object]:
    def apply(tree: Path) -> None:
        file = tree / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()

    return apply


def _linked(tree: Path) -> None:
    (tree / "code.py").unlink()
    (tree / "code.py").symlink_to("lib/part.py")


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "edited": (lambda tree: (tree / "code.py").write_text("x = 22\n"), "changed code.py"),
    "edited, same size and time": (_same_size_and_time, "changed code.py"),
    "removed": (lambda tree: (tree / "code.py").unlink(), "missing code.py"),
    "module added": (_added("lib/evil.py"), "added lib/evil.py"),
    "bytecode added": (_added("__pycache__/code.cpython-311.pyc"), "added __pycache__/code.cpython-311.pyc"),
    "made executable": (lambda tree: (tree / "code.py").chmod(0o755), "changed code.py"),
    "replaced by a link": (_linked, "changed code.py"),
    "hostile name added": (_added("a\nb"), r'added "a\nb"'),
    "manifest lost": (lambda tree: manifest.beside(tree).unlink(), "missing "),
    "manifest spoilt": (lambda tree: manifest.beside(tree).write_text("{"), "missing "),
}


@pytest.mark.skipif(os.geteuid() != 0, reason="the damage that only root does")
@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_found(repository: Repository, case: str) -> None:
    """Whatever root does to a checkout, its next use is refused by name, and the way out works when typed."""
    tree = made(repository)
    spoil, expected = DAMAGE[case]
    spoil(tree)
    assert [d for d in manifest.damage(tree) if d.startswith(expected)]
    with pytest.raises(TrialRefused, match="is not what the commit holds") as refused:
        made(repository)
    assert expected in refused.value.what
    subprocess.run(["sh", "-c", refused.value.todo.partition(": ")[2]], check=True)
    assert content(made(repository)) == FIRST


def test_a_copied_checkout_is_still_whole(repository: Repository, tmp_path: Path) -> None:
    """Files whose times and inodes changed, but not their bytes, are read again and found to be the same."""
    tree = made(repository)
    copy = tmp_path / "copy"
    shutil.copytree(tree, copy, symlinks=True)
    shutil.copy(manifest.beside(tree), manifest.beside(copy))
    assert manifest.damage(copy) == ()
    assert manifest.damage(tree, thorough=True) == ()


# --- shared directories and removal --------------------------------------------------------------------


def test_ignored_data_is_shared_by_a_link(repository: Repository) -> None:
    """A shared directory is reached through a link, read and written as it is, and is no damage."""
    repository.write("ignored/deep/data.csv", "1\n")
    tree = made(repository)
    share(repository.path, tree, ["ignored"])
    share(repository.path, tree, ["ignored", "./ignored/"])
    assert (tree / "ignored/deep/data.csv").read_text() == "1\n"
    assert made(repository) == tree
    assert not tree.stat().st_mode & 0o222
    shutil.rmtree(repository.path / "ignored")
    assert made(repository) == tree


def test_sharing_goes_around_what_the_commit_holds(repository: Repository) -> None:
    """Where the commit holds a part of the directory, tracked files stay the commit's, the rest is linked."""
    repository.write("data/.gitkeep", "")
    repository.write("data/sub/tracked.csv", "committed\n")
    repository.write(".gitignore", "data/*.npy\ndata/sub/raw/\n")
    repository.commit()
    tree = made(repository)
    repository.write("data/big 🦋.npy", "big")
    repository.write("data/sub/raw/x", "raw")
    repository.write("data/sub/tracked.csv", "edited\n")
    share(repository.path, tree, ["data"])
    assert (tree / "data/big 🦋.npy").read_text() == "big"
    assert (tree / "data/sub/raw/x").read_text() == "raw"
    assert (tree / "data/sub/tracked.csv").read_text() == "committed\n"
    assert made(repository) == tree
    assert not (tree / "data/sub").stat().st_mode & 0o222


@pytest.mark.parametrize("name", ["absent", "../outside", "/etc", "", "."])
def test_only_what_is_in_the_repository_is_shared(repository: Repository, name: str) -> None:
    """A name that is absent, absolute or leads out is refused by name; the top itself shares nothing."""
    tree = made(repository)
    with pytest.raises(TrialRefused, match=r"mitosis\.share"):
        share(repository.path, tree, [name])
    assert content(tree) == FIRST


def test_two_working_trees_cannot_share_into_one_checkout(repository: Repository, tmp_path: Path) -> None:
    """A link that leads into another working tree is not silently taken over."""
    tree = made(repository)
    linked = Repository(tmp_path / "linked")
    repository.git("worktree", "add", "--quiet", str(linked.path))
    repository.write("ignored/x", "")
    linked.write("ignored/x", "")
    share(repository.path, tree, ["ignored"])
    with pytest.raises(TrialRefused, match=r"already shares ignored.*\n.*mitosis\.root"):
        share(linked.path, tree, ["ignored"])


def test_a_checkout_is_removed_and_made_again(repository: Repository) -> None:
    """Removing leaves nothing but the other checkouts; an absent one is no error; making again works."""
    old = made(repository)
    repository.write("code.py", "x = 2\n")
    repository.commit()
    new = made(repository)
    repository.write("ignored/precious", "")
    share(repository.path, old, ["ignored"])
    discard(old)
    discard(old)
    discard(repository.path / "nowhere/at/all")
    assert sorted(p.name for p in new.parent.iterdir()) == [new.name, f"{new.name}.json"]
    assert (repository.path / "ignored/precious").exists()
    assert content(made(repository, old.name)) == FIRST


def test_checkouts_leave_the_gate_clean(repository: Repository) -> None:
    """Under a root that ignores itself, checkouts never make the repository dirty."""
    repository.write("trials/.gitignore", "*\n")
    made(repository)
    assert code.changes(repository.path) == ()
