"""Every end that a trial can come to, provoked for real: what the record says, and what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest

from mitosis.folder import make_root
from tests import project as projects
from tests.bench import faults
from tests.processes import Handles, below, children, command
from tests.project import Project

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")]

ENDS = '''\
"""An experiment that ends as it is told, once the file GO exists."""

import ctypes
import os
import resource
import subprocess
import sys
import time
from pathlib import Path


def deep(n):
    return deep(n + 1)


def deeper():
    sys.setrecursionlimit(10**7)
    nested = []
    for _ in range(10**6):
        nested = [nested]
    repr(nested)  # C calls C: no counter of Python's stops it


def hungry():
    resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))
    return [bytearray(2**31) for _ in range(8)]


def stubborn():
    while True:
        try:
            time.sleep(600)
        except KeyboardInterrupt:
            print("no", flush=True)


def ticks():
    for number in range(6000):
        print("tick", number, flush=True)
        time.sleep(0.1)  # ten minutes of work; the test kills it


def exit_with(code):
    sys.exit(code)


HOW = {
    "succeed": lambda: None,
    "raise": lambda: {}["no such key"],
    "exit": lambda: exit_with(3),
    "exit0": lambda: exit_with(0),
    "_exit": lambda: os._exit(3),
    "_exit0": lambda: os._exit(0),
    "segfault": lambda: ctypes.string_at(1),
    "kill": lambda: os.kill(os.getpid(), 9),
    "recursion": lambda: deep(0),
    "overflow": deeper,
    "memory": hungry,
    "oom": lambda: [bytearray(2**24) for _ in range(10**6)],
    "wait": lambda: time.sleep(600),
    "ticks": ticks,
    "stubborn": stubborn,
}


def run(seed, how):
    words = [sys.executable, "-c", "import time; time.sleep(600)"]
    child = subprocess.Popen(words)
    daemon = subprocess.Popen(words, start_new_session=True)
    print("begun", os.getpid(), child.pid, daemon.pid, flush=True)
    while not Path(os.environ["GO"]).exists():
        time.sleep(0.02)
    print("last words", flush=True)
    HOW[how]()
    return {"main": seed}
'''


@dataclass
class Running:
    """A trial that has begun: its launcher, and a handle of every process that belongs to it."""

    project: Project
    launcher: subprocess.Popen[str]
    go: Path
    kernel: int
    handles: Handles
    out: str = ""
    err: str = ""
    waited: list[int] = field(default_factory=list)

    @property
    def server(self) -> int:
        """The fork server: the launcher's child that the kernel's is."""
        mine = [pid for pid in children(self.launcher.pid) if "forkserver.py" in command(pid)]
        (found,) = (pid for pid in mine if pid != self.kernel and "ipykernel" not in command(pid))
        return found

    def line(self, words: str) -> str:
        """Read on until a line holds `words`."""
        assert self.launcher.stdout is not None
        for line in self.launcher.stdout:
            self.out += line
            if words in line:
                return line
        raise AssertionError(self.out + (self.launcher.stderr.read() if self.launcher.stderr else ""))

    def end(self) -> int:
        """Wait for the launcher; returns its exit code."""
        out, err = self.launcher.communicate(timeout=120)
        self.out, self.err = self.out + out, self.err + err
        return self.launcher.returncode


def begin(project: Project, tmp_path: Path, how: str, *words: str, **env: str) -> Running:
    """Start a trial that will end as `how` says, and wait until its experiment runs."""
    go = tmp_path / "go"
    launcher = project.start(
        "experiment=ends", "params=end", f"params.how={how}", *words, GO=str(go), PYTHONUNBUFFERED="1", **env
    )
    running = Running(project, launcher, go, 0, Handles([]))
    pids = [int(word) for word in running.line("begun").split()[1:]]
    running.kernel = pids[0]
    running.handles = Handles(below(launcher.pid) | set(pids))
    return running


def verify(running: Running, status: str, cause: str, last_words: bool = True) -> dict[str, Any]:
    """Whatever happened: nothing runs on, the record says what happened, and it is whole."""
    try:
        assert running.handles.gone() == []
    finally:
        running.handles.close()
    trial: dict[str, Any] = running.project.json("show", "@1")
    said = (trial["error"] or {}).get("kind", "") + ": " + (trial["error"] or {}).get("message", "")
    assert trial["status"] == status and cause in said, said
    notebook = nbformat.read(trial["notebook"], as_version=4)
    nbformat.validate(notebook)
    page, log = Path(trial["html"]).read_text(), (Path(trial["folder"]) / "output.log").read_text()
    for where in (page, log, str(notebook)) if last_words else (log,):
        assert "begun" in where
        assert not last_words or "last words" in where
    head = page[: page.index('class="notebook"')]
    assert cause.replace("'", "&#39;") in head and status.replace("_", " ") in head
    assert sorted(p.name for p in Path(trial["folder"]).iterdir() if p.name.startswith(".")) == []
    checked = running.project.run("check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    return trial


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose experiment comes to any end; shared, because each test looks at its own trial."""
    with pytest.MonkeyPatch.context() as patch:
        config = tmp_path_factory.mktemp("git") / "config"
        config.write_text("[user]\n\tname = Ada\n\temail = ada@example.org\n[init]\n\tdefaultBranch = main\n")
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("GIT_CONFIG_GLOBAL", str(config))
        project = projects.make(tmp_path_factory.mktemp("ends") / "my 'own' projéct")
        project.write("ends.py", ENDS)
        project.write("conf/experiment/ends.yaml", "module: ends\n")
        project.write("conf/params/end.yaml", "how: succeed\n")
        project.commit()
        yield project


@pytest.mark.parametrize(
    ("how", "status", "cause"),
    [
        ("raise", "failed", "KeyError: 'no such key'"),
        ("exit", "failed", "SystemExit: 3"),
        ("exit0", "failed", "SystemExit: 0"),
        ("_exit", "died", "exit code 3"),
        ("_exit0", "died", "exit code 0"),
        ("segfault", "died", "SIGSEGV"),
        ("kill", "died", "SIGKILL"),
        ("recursion", "failed", "RecursionError"),
        ("overflow", "died", "SIGSEGV"),
        ("memory", "failed", "MemoryError"),
    ],
)
def test_an_experiment_that_ends_by_itself(
    ends: Project, tmp_path: Path, how: str, status: str, cause: str
) -> None:
    """Whatever the experiment does to its process, the launcher says so, exits 2, and the record is whole."""
    running = begin(ends, tmp_path, how)
    running.go.touch()
    assert running.end() == 2, running.out + running.err
    verify(running, status, cause, last_words=status == "failed")


def test_a_success_leaves_nothing_behind_either(ends: Project, tmp_path: Path) -> None:
    """Children that the experiment left running, in sessions of their own as well, end with the trial."""
    running = begin(ends, tmp_path, "succeed")
    running.go.touch()
    assert running.end() == 0, running.out + running.err
    verify(running, "succeeded", "")


@pytest.mark.parametrize(
    ("how", "status", "cause"),
    [("raise", "failed", "KeyError"), ("_exit", "died", "exit code 3"), ("segfault", "died", "SIGSEGV")],
)
def test_an_experiment_that_ends_in_a_kernel_of_its_own(
    ends: Project, tmp_path: Path, how: str, status: str, cause: str
) -> None:
    """The same with kernels that are not forked."""
    running = begin(ends, tmp_path, how, "mitosis.kernel=fresh")
    running.go.touch()
    assert running.end() == 2
    verify(running, status, cause, last_words=status == "failed")


def test_what_was_printed_long_before_a_kill_is_kept(ends: Project, tmp_path: Path) -> None:
    """Launcher, server and kernel are killed: log, notebook and page hold what is older than five seconds."""
    running = begin(ends, tmp_path, "ticks")
    running.go.touch()
    running.line("tick 60")
    for pid in (running.server, running.launcher.pid, running.kernel):
        os.kill(pid, signal.SIGKILL)
    assert running.launcher.stdout is not None and running.launcher.stderr is not None
    running.launcher.stdout.close()
    running.launcher.stderr.close()
    running.launcher.wait()
    running.project.run("ls")
    trial = verify(running, "lost", "launcher vanished", last_words=False)
    notebook = nbformat.writes(nbformat.read(trial["notebook"], as_version=4))
    log = (Path(trial["folder"]) / "output.log").read_text()
    for where in (log, notebook, Path(trial["html"]).read_text()):
        assert "tick 9" in where


def test_a_time_limit_interrupts(ends: Project, tmp_path: Path) -> None:
    """At the limit the experiment is interrupted."""
    running = begin(ends, tmp_path, "wait", "mitosis.timeout=1")
    running.go.touch()
    assert running.end() == 2
    verify(running, "timed_out", "time limit of 1 s")


def test_a_time_limit_kills_what_does_not_listen(ends: Project, tmp_path: Path) -> None:
    """After the grace period the kernel is killed."""
    running = begin(ends, tmp_path, "stubborn", "mitosis.timeout=1", "mitosis.grace=0.5")
    running.go.touch()
    assert running.end() == 2
    verify(running, "timed_out", "time limit of 1 s")


@pytest.fixture
def heard() -> Iterator[None]:
    """What is started here hears every signal, also where the tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_interrupts_once(ends: Project, tmp_path: Path, number: int) -> None:
    """Ctrl-C, a scheduler's SIGTERM and a closed terminal save what there is; exit 130."""
    running = begin(ends, tmp_path, "wait")
    running.go.touch()
    running.line("last words")
    os.kill(running.launcher.pid, number)
    assert running.end() == 130
    verify(running, "interrupted", "interrupted")


def test_a_second_signal_kills(ends: Project, tmp_path: Path) -> None:
    """An experiment that holds out against Ctrl-C is killed by the second one; exit 130."""
    running = begin(ends, tmp_path, "stubborn")
    running.go.touch()
    running.line("last words")
    os.kill(running.launcher.pid, signal.SIGINT)
    running.line("no")
    os.kill(running.launcher.pid, signal.SIGINT)
    assert running.end() == 130
    verify(running, "interrupted", "interrupted")


def test_a_killed_launcher(ends: Project, tmp_path: Path) -> None:
    """SIGKILL of the launcher: the next command closes the trial as lost and renders its page."""
    running = begin(ends, tmp_path, "wait")
    running.go.touch()
    running.line("last words")
    running.launcher.kill()
    running.end()
    verify(running, "lost", "the launcher vanished", last_words=False)


def test_a_killed_kernel(ends: Project, tmp_path: Path) -> None:
    """SIGKILL of the kernel from outside is what the launcher says of it."""
    running = begin(ends, tmp_path, "wait")
    os.kill(running.kernel, signal.SIGKILL)
    assert running.end() == 2
    verify(running, "died", "SIGKILL", last_words=False)


def test_a_killed_fork_server(ends: Project, tmp_path: Path) -> None:
    """Without its fork server the kernel ends, and the cause names it; the next trial gets a new one."""
    running = begin(ends, tmp_path, "wait")
    os.kill(running.server, signal.SIGKILL)
    assert running.end() == 2
    verify(running, "died", "fork server", last_words=False)


def test_all_of_them_killed(ends: Project, tmp_path: Path) -> None:
    """SIGKILL of launcher, kernel and fork server at once: nobody is left to tell; the record is whole."""
    running = begin(ends, tmp_path, "wait")
    server = running.server
    for pid in (server, running.launcher.pid, running.kernel):
        os.kill(pid, signal.SIGSTOP)  # none of them shall answer the end of another
    for pid in (server, running.launcher.pid, running.kernel):
        os.kill(pid, signal.SIGKILL)
    assert running.launcher.stdout is not None and running.launcher.stderr is not None
    running.launcher.stdout.close()
    running.launcher.stderr.close()
    running.launcher.wait()  # not for its pipes, which the experiment's children hold
    running.project.run("ls")  # the next command ends those
    verify(running, "lost", "the launcher vanished", last_words=False)


@pytest.fixture
def confined() -> Iterator[Path]:
    """A control group (of either version) that has 400 MB of memory and no swap."""
    top = Path("/sys/fs/cgroup")
    group = (top / "memory" if (top / "memory").is_dir() else top) / f"mitosis-test-{os.getpid()}"
    try:
        group.mkdir()
        for name in ("memory.limit_in_bytes", "memory.max"):
            if (group / name).exists():
                (group / name).write_text(str(400 * 2**20))
        assert (group / "cgroup.procs").exists()
    except (OSError, AssertionError):
        pytest.skip("to make a control group takes the rights of root")
    yield group
    group.rmdir()


def test_the_system_is_out_of_memory(ends: Project, tmp_path: Path, confined: Path) -> None:
    """What the system kills for want of memory has died by SIGKILL, and the cause says why."""
    running = begin(ends, tmp_path, "oom")
    for pid in sorted(below(running.launcher.pid)):
        (confined / "cgroup.procs").write_text(str(pid))
    running.go.touch()
    assert running.end() == 2, running.out + running.err
    verify(running, "died", "out of memory", last_words=False)


@pytest.mark.slow
def test_a_launcher_that_is_killed_at_random_moments(tmp_path: Path, git_config: Path) -> None:
    """After twenty kills every trial has succeeded exactly once, nothing runs on and nothing is damaged."""
    found = faults.torment(tmp_path, kills=20, seed=7)
    assert found.wrong == ()
    assert found.kills == 20 and found.statuses["succeeded"] == found.jobs


def test_after_all_that_the_record_is_whole(ends: Project) -> None:
    """`mitosis check` finds no damage in what the tests above have left."""
    done = ends.run("check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_root_appears_with_what_hides_it(tmp_path: Path) -> None:
    """Made, in the place of an empty directory, beside strangers, or where git's directory is read-only."""
    git = tmp_path / "git"
    git.mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine").touch()
    for root, place in (("new/deep", git), ("empty", git), ("used", git), ("other", tmp_path / "no such")):
        for _ in range(2):
            make_root(tmp_path / root, place)
        assert (tmp_path / root / ".gitignore").read_text() == "*\n"
    assert (tmp_path / "used" / "mine").exists() and list(git.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_the_end_of_a_trial_ends_the_sweep(ends: Project, tmp_path: Path, number: int) -> None:
    """However near its end a trial is, no signal is lost: exit 130, the trial is over, no other is begun."""
    running = begin(ends, tmp_path, "succeed", "seed=1,2,3", "-m")
    running.go.touch()
    running.line("last words")
    os.kill(running.launcher.pid, number)
    assert running.end() == 130, running.out + running.err
    assert running.handles.gone() == []
    running.handles.close()
    (trial, *older) = ends.json("ls", "--limit", "0")
    assert trial["status"] in ("succeeded", "interrupted")
    assert [t for t in older if t["sweep"] == trial["sweep"]] == []
