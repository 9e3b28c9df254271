"""Kernels: of both kinds, what they have of the launcher, how they end, and that nothing is left of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import py_compile
import resource
import select
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mitosis.errors import ConfigurationRefused, InternalError, TrialRefused
from mitosis.notebook import forking, kernels
from mitosis.notebook.forking import Manner
from mitosis.notebook.kernels import Kernel

pytestmark = pytest.mark.kernel

FORK, FRESH = Manner(fork=True), Manner(fork=False)
KINDS = [pytest.param(FRESH, id="fresh")]
if forking.available():
    KINDS.append(pytest.param(FORK, id="fork"))
forks = pytest.mark.skipif(not forking.available(), reason="kernels cannot be forked here")
SECONDS = 60  # by then something that must happen has happened


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """No test leaves a server to the next one."""
    yield
    forking.stop()


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The one directory where sockets are made; it is empty when everything has ended."""
    home = Path("/tmp", f"mitosis-test-{os.getpid()}")
    home.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home))
    yield home
    forking.stop()
    assert list(home.iterdir()) == []
    home.rmdir()


@dataclass(frozen=True)
class Answer:
    """What came of a piece of code."""

    status: str
    printed: str
    error: str


async def run(kernel: Kernel, code: str) -> Answer:
    """Execute `code` and wait until all of its output is here."""
    request = kernel.client.execute(code)
    printed = ""
    while True:
        message = await kernel.client.get_iopub_msg(timeout=SECONDS)
        if message["parent_header"].get("msg_id") != request:
            continue
        if message["msg_type"] == "stream":
            printed += message["content"]["text"]
        if message["content"].get("execution_state") == "idle":
            break
    while True:
        reply = await kernel.client.get_shell_msg(timeout=SECONDS)
        if reply["parent_header"].get("msg_id") == request:
            content = reply["content"]
            return Answer(content["status"], printed, content.get("ename", ""))


def once(code: str, cwd: Path, manner: Manner) -> str:
    """What `code` prints in a kernel of its own."""

    async def main() -> Answer:
        async with kernels.started(cwd, manner) as kernel:
            return await run(kernel, code)

    answer = asyncio.run(main())
    assert answer.status == "ok", answer
    return answer.printed


class Watched:
    """Processes whose end can be awaited, whoever their parent is."""

    def __init__(self, *pids: int) -> None:
        self.fds = {pid: os.pidfd_open(pid) for pid in pids}

    def left(self, seconds: float = SECONDS) -> list[int]:
        """Those that have not ended within `seconds`; the watch is over then."""
        left = []
        for pid, fd in self.fds.items():
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            if not poll.poll(seconds * 1000):
                left.append(pid)
            os.close(fd)
        return left


def server() -> int:
    """The pid of the fork server."""
    assert forking._state.server is not None
    return forking._state.server.popen.pid


# ---- of both kinds


@pytest.mark.parametrize("manner", KINDS)
def test_a_kernel_runs_in_its_directory_and_its_session(manner: Manner, tmp_path: Path) -> None:
    """It is the launcher's interpreter, in the directory asked for, leads a session, and reads nothing."""
    cwd = tmp_path / "a 'hostile' \"näme\"\nand more"
    cwd.mkdir()
    code = (
        "import json, os, sys\n"
        "print(json.dumps([os.getcwd(), sys.executable, os.getsid(0) == os.getpid(), sys.stdin.read(),"
        " '' in sys.path, [str(p) for p in _dh]]))"
    )
    answer = json.loads(once(code, cwd, manner))
    assert answer == [str(cwd), sys.executable, True, "", True, [str(cwd)]]


@pytest.mark.parametrize("manner", KINDS)
@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "signal SIGSEGV"),
        ("import os; os._exit(3)", "exit code 3"),
        ("import os; os._exit(0)", "exit code 0"),
        ("import os; os.kill(os.getpid(), 9)", "signal SIGKILL"),
    ],
)
def test_the_cause_of_death_is_told(manner: Manner, code: str, cause: str, tmp_path: Path) -> None:
    """A kernel that ends by itself says how: the name of the signal, or the exit code."""

    async def main() -> tuple[str, bool]:
        async with kernels.started(tmp_path, manner) as kernel:
            assert await kernel.alive() and await kernel.cause_of_death() == ""
            kernel.client.execute(code)
            await asyncio.wait_for(kernel.process.wait(), SECONDS)
            return await kernel.cause_of_death(), await kernel.alive()

    assert asyncio.run(main()) == (cause, False)


@pytest.mark.parametrize("manner", KINDS)
def test_an_interrupt_is_heard_by_the_code_alone(manner: Manner, tmp_path: Path) -> None:
    """The code gets a KeyboardInterrupt, and the kernel goes on."""

    async def main() -> tuple[Answer, Answer]:
        async with kernels.started(tmp_path, manner) as kernel:
            told = tmp_path / "begun"
            os.mkfifo(told)
            sleeping = asyncio.create_task(
                run(kernel, f"open({str(told)!r}, 'w').close()\nimport time\ntime.sleep(600)")
            )
            await asyncio.to_thread(told.read_bytes)
            await kernel.interrupt()
            return await sleeping, await run(kernel, "print('on')")

    stopped, after = asyncio.run(main())
    assert (stopped.status, stopped.error) == ("error", "KeyboardInterrupt")
    assert after.printed == "on\n"


@pytest.mark.parametrize("manner", KINDS)
@pytest.mark.parametrize("end", ["left", "killed", "crashed", "raised"])
def test_what_a_kernel_has_started_ends_with_it(manner: Manner, end: str, tmp_path: Path) -> None:
    """A child of the kernel is gone after it, however the kernel ended."""

    async def main() -> int:
        async with kernels.started(tmp_path, manner) as kernel:
            code = "import subprocess\np = subprocess.Popen(['sleep', '600'])\nprint(p.pid)"
            child = int((await run(kernel, code)).printed)
            watched.append(Watched(child, kernel.process.pid or 0))
            if end == "killed":
                await kernel.kill()
            if end == "crashed":
                kernel.client.execute("import os; os.abort()")
                await asyncio.wait_for(kernel.process.wait(), SECONDS)
            if end == "raised":
                raise ZeroDivisionError
            return child

    watched: list[Watched] = []
    with contextlib.suppress(ZeroDivisionError):
        asyncio.run(main())
    assert watched[0].left() == []


@pytest.mark.parametrize("manner", KINDS)
def test_a_kernel_ends_as_a_script_ends(manner: Manner, tmp_path: Path) -> None:
    """A file that was left open is written, in a cell or a module, and who wants to hear of the end does."""
    (tmp_path / "lasting.py").write_text(
        "import zipfile\n"
        "archive = zipfile.ZipFile('left open.zip', 'w')\n"
        "archive.writestr('name', 'all of it')\n"
        "class Last:\n"
        "    def __del__(self, open=open):\n"
        "        with open('last', 'w') as file:\n"
        "            file.write('heard')\n"
        "last = [Last()]\n"
        "last.append(last)\n"  # for the collector of cycles
    )
    once(
        "import atexit, pathlib, sys\n"
        "sys.path.insert(0, '')\n"
        "import lasting\n"
        "file = open('left open', 'w')\n"
        "file.write('all of it')\n"
        "result = {'main': 1.0, 'log': open('in the result', 'w')}\n"
        "result['log'].write('all of it')\n"
        "atexit.register(pathlib.Path('heard').touch);",
        tmp_path,
        manner,
    )
    assert (tmp_path / "left open").read_text() == (tmp_path / "in the result").read_text() == "all of it"
    assert zipfile.ZipFile(tmp_path / "left open.zip").read("name") == b"all of it"
    assert (tmp_path / "heard").exists() and (tmp_path / "last").read_text() == "heard"


@pytest.mark.parametrize("manner", KINDS)
def test_what_the_launcher_changes_the_next_kernel_has(
    manner: Manner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Environment, umask, limits and processors are as the launcher has them when the kernel is wanted."""
    code = (
        "import json, os, resource\n"
        "mask = os.umask(0o22)\n"
        "print(json.dumps([os.environ.get('GIVEN'), mask, resource.getrlimit(resource.RLIMIT_CORE)[0],"
        " len(os.sched_getaffinity(0)), os.environ.get('JPY_PARENT_PID')]))"
    )
    manner = Manner(fork=manner.fork, ahead=True)
    cores, (soft, hard), mask = (
        os.sched_getaffinity(0),
        resource.getrlimit(resource.RLIMIT_CORE),
        os.umask(0o77),
    )
    try:
        before = json.loads(once(code, tmp_path, manner))
        assert before == [None, 0o77, soft, len(cores), None]
        monkeypatch.setenv("GIVEN", "a 'hostile' ☂\nvalue")
        os.umask(0o27)
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
        os.sched_setaffinity(0, {min(cores)})
        assert json.loads(once(code, tmp_path, manner)) == ["a 'hostile' ☂\nvalue", 0o27, 0, 1, None]
    finally:
        os.umask(mask)
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
        os.sched_setaffinity(0, cores)


@pytest.mark.parametrize("manner", KINDS)
def test_bytecode_is_read_from_the_private_directory_alone(
    manner: Manner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stale `.pyc` beside the source does not run, and what is compiled is kept where it was said."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    module = tmp_path / "answer.py"
    module.write_text("value = 666\n")
    py_compile.compile(str(module), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    module.write_text("value = 1\n")
    code = (
        "import answer, os, sys\n"
        "print(answer.value, os.environ.get('PYTHONPYCACHEPREFIX') == sys.pycache_prefix)"
    )
    assert once(code, tmp_path, manner) == "666 True\n"  # what Python does by itself
    private = tmp_path / "pycache of a commit"
    assert once(code, tmp_path, Manner(fork=manner.fork, pycache=private)) == "1 True\n"
    assert [p.name for p in private.rglob("answer.*.pyc")]


@pytest.mark.parametrize("manner", KINDS)
def test_nothing_of_the_users_ipython_is_read(
    manner: Manner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Start-up files, configuration and history of the user's own profile have no part in a trial."""
    profile = tmp_path / "home" / ".ipython" / "profile_default"
    (profile / "startup").mkdir(parents=True)
    (profile / "startup" / "first.py").write_text("seen = 'startup'\n")
    (profile / "ipython_config.py").write_text("get_config().InteractiveShellApp.exec_lines = ['told = 1']\n")
    (tmp_path / "rc.py").write_text("asked = 1\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "rc.py"))
    before = sorted(tmp_path.rglob("*"))
    assert once("print({'seen', 'told', 'asked'} & set(globals()))", tmp_path, manner) == "set()\n"
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("manner", KINDS)
def test_kernels_beside_each_other(manner: Manner, tmp_path: Path, places: Path) -> None:
    """Kernels that are started at once, in one loop and in threads, are each their own process."""
    code = "import os; print(os.getpid())"

    async def main() -> str:
        async with kernels.started(tmp_path, manner) as kernel:
            return (await run(kernel, code)).printed

    async def all_at_once() -> list[str]:
        return await asyncio.gather(main(), main(), main())

    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(once(code, tmp_path, manner))) for _ in range(2)]
    for thread in threads:
        thread.start()
    found += asyncio.run(all_at_once())
    for thread in threads:
        thread.join()
    assert len(set(found)) == 5


@pytest.mark.parametrize("manner", KINDS)
def test_twenty_trials_are_twenty_processes(manner: Manner, tmp_path: Path, places: Path) -> None:
    """Each has a pid of its own and sees nothing of the one before; none is left, and no directory."""
    manner = Manner(fork=manner.fork, ahead=True)
    pids, seen = set(), set()
    for _ in range(20):
        pid, known = once(
            "import os; print(os.getpid(), 'mark' in dir(os)); os.mark = 1", tmp_path, manner
        ).split()
        pids.add(int(pid))
        seen.add(known)
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
    assert len(pids) == 20 and seen == {"False"}
    process = server()
    spare = forking._state.spare
    assert (spare is not None) == manner.fork
    watched = Watched(process, *([spare.process.pid] if spare is not None and spare.process.pid else []))
    forking.stop()
    assert watched.left() == []


@pytest.mark.parametrize("manner", KINDS)
def test_any_kernel_manager_can_use_the_provisioner(manner: Manner, tmp_path: Path) -> None:
    """The entry point is Jupyter's own: a kernel specification that names it is enough."""
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    class Specs(KernelSpecManager):  # type: ignore[misc]
        def get_kernel_spec(self, kernel_name: str) -> Any:
            return KernelSpec(
                argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                language="python",
                metadata={"kernel_provisioner": {"provisioner_name": kernels.PROVISIONER}},
            )

    async def main() -> str:
        manager = AsyncKernelManager(
            kernel_spec_manager=Specs(),
            transport="ipc",
            ip=str(tmp_path / "k"),
            connection_file=str(tmp_path / "connection.json"),
        )
        await manager.start_kernel(cwd=str(tmp_path), env={**os.environ, "GIVEN": "1"}, manner=manner)
        client = manager.client()
        client.start_channels()
        try:
            await client.wait_for_ready(timeout=SECONDS)
            printed = (await run(Kernel(manager, client, manager.provisioner.process), "%env GIVEN")).status
        finally:
            client.stop_channels()
            await manager.shutdown_kernel(now=True)
        assert not await manager.is_alive()
        return printed

    assert asyncio.run(main()) == "ok"


# ---- forked and fresh


def probe(out: Path, cwd: Path, manner: Manner) -> dict[str, Any]:
    """What a kernel knows of how it was started, without what differs between any two of them."""
    source = Path(__file__).with_name("kernel_probe.py").read_text(encoding="utf-8")
    once(f"exec(compile({source!r}, 'probe', 'exec'), globals() | {{'OUT': {str(out)!r}}})", cwd, manner)
    text = out.read_text(encoding="utf-8")
    directory = json.loads(text)["state"]["argv"][0][2].removesuffix("/connection.json")
    found: dict[str, Any] = json.loads(text.replace(directory, "<sockets>"))
    return found


@forks
def test_a_kernel_cannot_tell_that_it_was_forked(tmp_path: Path) -> None:
    """A fresh kernel, a forked one and a spare that ran elsewhere first know the same, but for chance."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    fresh = probe(tmp_path / "1", tmp_path, FRESH)
    forked = probe(tmp_path / "2", tmp_path, FORK)
    assert forked["state"] == fresh["state"]
    probe(tmp_path / "3", elsewhere, Manner(ahead=True))
    assert forking._state.spare is not None
    spare = probe(tmp_path / "4", tmp_path, FORK)
    assert spare["state"] == fresh["state"]
    for name in fresh["chance"]:
        assert len({fresh["chance"][name], forked["chance"][name], spare["chance"][name]}) == 3, name


@forks
@pytest.mark.parametrize("given", ["0", "7", "random"])
def test_the_hash_seed_is_the_users(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both kinds hash alike under a seed; where the user asks for chance, each kernel hashes as it will."""
    monkeypatch.setenv("PYTHONHASHSEED", given)
    hashes = [once("print(hash('mitosis'))", tmp_path, manner) for manner in (FRESH, FORK, FORK)]
    assert len(set(hashes)) == (3 if given == "random" else 1)


@forks
def test_relative_directories_on_the_path_are_of_the_kernels_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PYTHONPATH=lib means the same in both kinds, in each directory that kernels run in."""
    monkeypatch.setenv("PYTHONPATH", "lib")
    for name in ("one", "two"):
        for manner in (FRESH, FORK):
            (tmp_path / name).mkdir(exist_ok=True)
            printed = once(
                "import sys; print([p for p in sys.path if p.endswith('lib')])", tmp_path / name, manner
            )
            assert printed == f"{[str(tmp_path / name / 'lib')]}\n"


@forks
def test_the_server_holds_no_thread_and_nothing_of_numpy(tmp_path: Path) -> None:
    """At the fork there is one thread; neither numpy nor matplotlib nor user code has been loaded."""
    loaded = once(
        "import sys; print({'numpy', 'matplotlib', 'pandas', 'nbformat', 'hydra'} & set(sys.modules))",
        tmp_path,
        FORK,
    )
    assert loaded == "set()\n"
    assert len(list(Path(f"/proc/{server()}/task").iterdir())) == 1
    maps = Path(f"/proc/{server()}/maps").read_text()
    assert "numpy" not in maps and "openblas" not in maps


@forks
def test_the_spare_is_the_next_kernel(tmp_path: Path) -> None:
    """One that was forked ahead is used, in the directory that is then wanted; a dead one is not."""
    forking.prestart(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    async def main() -> tuple[int | None, str]:
        spare = forking._state.spare
        assert spare is not None
        await spare.process.born()
        async with kernels.started(elsewhere, Manner(ahead=True)) as kernel:
            assert kernel.process is spare.process
            return kernel.process.pid, (
                await run(kernel, "import os; print(os.getpid(), os.getcwd())")
            ).printed

    pid, printed = asyncio.run(main())
    assert printed == f"{pid} {elsewhere}\n"
    spare = forking._state.spare
    assert spare is not None
    asyncio.run(spare.process.born())
    assert spare.process.pid is not None
    watched = Watched(spare.process.pid)
    os.kill(spare.process.pid, signal.SIGKILL)
    assert watched.left() == []
    assert asyncio.run(spare.process.wait()) == -signal.SIGKILL
    assert int(once("import os; print(os.getpid())", tmp_path, FORK)) != spare.process.pid


@forks
def test_modules_that_are_preloaded_are_there(tmp_path: Path) -> None:
    """They are loaded before the first cell, and their random state is each kernel's own."""
    code = "import sys; print('numpy' in sys.modules); import numpy; print(numpy.random.random())"
    manner = Manner(preload=("numpy",))
    first, second = (once(code, tmp_path, manner).split() for _ in range(2))
    assert first[0] == second[0] == "True" and first[1] != second[1]
    assert once(code, tmp_path, FORK).startswith("False")


@forks
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no_such_module", "no_such_module cannot be imported (ModuleNotFoundError"),
        ("mine", "mine is, or imports, code that is not installed"),
    ],
)
def test_what_cannot_be_preloaded_is_refused(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that is missing, or that is the user's own and may change, is named."""
    (tmp_path / "mine.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ConfigurationRefused) as refused:
        once("1", tmp_path, Manner(preload=(name,)))
    assert said in str(refused.value) and "mitosis.preload" in str(refused.value)


# ---- ends


LAUNCHER = """
import asyncio, os, sys, threading
from pathlib import Path
from mitosis.notebook import forking, kernels

async def main():
    manner = forking.Manner(fork=sys.argv[1] == "fork", ahead=True)
    async with kernels.started(Path.cwd(), manner) as kernel:
        kernel.client.execute("import os, subprocess; p = subprocess.Popen(['sleep', '600']); "
                              "open('child', 'w').write(str(p.pid)); os.mkfifo('done'); open('done').read()")
        while not os.path.exists("done"):
            await asyncio.sleep(0.01)
        spare = forking._state.spare
        if spare:
            await spare.process.born()
        pids = [forking._state.server.popen.pid, kernel.process.pid, *([spare.process.pid] if spare else [])]
        print(*pids, open("child").read(), flush=True)
        await asyncio.sleep(600)

if sys.argv[2] == "thread":
    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join()
else:
    asyncio.run(main())
"""


@pytest.mark.parametrize("manner", KINDS)
@pytest.mark.parametrize("where", ["main", "thread"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_survives_the_launcher(
    manner: Manner, where: str, number: signal.Signals, tmp_path: Path, places: Path
) -> None:
    """Server, kernel, spare, the kernel's child and the directory are gone after a killed launcher."""
    kind = "fork" if manner.fork else "fresh"
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, kind, where], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert launcher.stdout is not None
    pids = [int(word) for word in launcher.stdout.readline().split()]
    assert len(pids) == (4 if manner.fork else 3)
    watched = Watched(*pids)
    launcher.send_signal(number)
    launcher.communicate(timeout=SECONDS)
    assert watched.left() == []


@pytest.mark.parametrize("manner", KINDS)
def test_a_server_that_is_killed_takes_its_kernels_along(
    manner: Manner, tmp_path: Path, places: Path
) -> None:
    """The kernel died by SIGKILL, with what it had started; the next trial starts a new server."""

    async def main() -> tuple[str, list[int]]:
        async with kernels.started(tmp_path, manner) as kernel:
            code = "import subprocess\np = subprocess.Popen(['sleep', '600'])\nprint(p.pid)"
            child = int((await run(kernel, code)).printed)
            watched = Watched(child, kernel.process.pid or 0)
            os.kill(server(), signal.SIGKILL)
            await asyncio.wait_for(kernel.process.wait(), SECONDS)
            return await kernel.cause_of_death(), await asyncio.to_thread(watched.left)

    first = None
    cause, left = asyncio.run(main())
    assert cause.startswith("signal SIGKILL: the fork server") and left == []
    first = server()
    assert once("print('on')", tmp_path, manner) == "on\n"
    assert server() != first


@forks
def test_a_server_that_cannot_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ipykernel cannot be imported the message says what to try."""
    (tmp_path / "ipykernel.py").write_text("raise ImportError('broken')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(InternalError, match="ipykernel") as told:
        once("1", tmp_path, FORK)
    assert "mitosis.kernel=fresh" in str(told.value)


@pytest.mark.parametrize("manner", KINDS)
def test_a_kernel_that_is_no_longer_wanted_leaves_nothing(
    manner: Manner, tmp_path: Path, places: Path
) -> None:
    """A start that is cancelled while the kernel boots ends it."""

    async def main() -> None:
        async with kernels.started(tmp_path, manner):
            raise AssertionError("it was not cancelled")

    async def cancelled() -> int | None:
        task = asyncio.create_task(main())
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return server()

    watched = Watched(asyncio.run(cancelled()) or 0)
    forking.stop()
    assert watched.left() == []


def test_a_child_of_the_launcher_has_kernels_of_its_own(tmp_path: Path) -> None:
    """A process that was forked from a launcher (joblib does it) leaves the server of its parent alone."""
    assert once("print('before')", tmp_path, Manner()) == "before\n"
    script = (
        "import asyncio, os\nfrom pathlib import Path\nfrom mitosis.notebook import forking, kernels\n"
        "async def main():\n    async with kernels.started(Path.cwd()) as kernel:\n"
        "        return forking._state.server.popen.pid\n"
        "first = asyncio.run(main())\n"
        "if (pid := os.fork()) == 0:\n"
        "    second = asyncio.run(main())\n    forking.stop()\n    os._exit(first == second)\n"
        "assert os.waitpid(pid, 0)[1] == 0\n"
        "assert asyncio.run(main()) == first\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr


# ---- places


@pytest.mark.parametrize("manner", KINDS)
def test_a_long_tmpdir_does_not_matter(
    manner: Manner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sockets are made under a short path where TMPDIR is too long; the kernel has its TMPDIR."""
    long = tmp_path / ("ü long näme " * 6)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", None)
    assert once("import tempfile; print(tempfile.gettempdir())", tmp_path, manner) == f"{long}\n"
    assert forking._state.server is not None
    directory = forking._state.server.directory
    assert directory.parent == Path("/tmp") and directory.exists()
    forking.stop()
    assert not directory.exists() and list(long.iterdir()) == []


def test_no_place_for_sockets_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no short directory can be written the message names TMPDIR."""
    monkeypatch.setattr(os, "access", lambda *arguments: False)
    with pytest.raises(TrialRefused, match="TMPDIR"):
        once("1", tmp_path, FRESH)


def test_sockets_are_private(tmp_path: Path, places: Path) -> None:
    """The directories of the sockets can be entered by their owner alone."""

    async def main() -> None:
        async with kernels.started(tmp_path) as kernel:
            directory = Path(kernel.manager.connection_file).parent
            for each in (directory, directory.parent):
                assert each.stat().st_mode & 0o077 == 0
            assert list(directory.glob("k-*"))

    asyncio.run(main())


def test_starting_ahead_imports_nothing_heavy() -> None:
    """What boots the server before Hydra composes is of the standard library."""
    script = (
        "import sys\nfrom mitosis.notebook import forking\n"
        "print('zmq' in sys.modules, 'IPython' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
