"""Tests of mitosis.capture.environment: what is recorded, that it is stable, and who is alive."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mitosis.capture import environment
from mitosis.trial import HostProcess, from_plain, plain

TOP = Path(__file__).resolve().parents[1]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory that Python imports from, the only one."""
    directory = tmp_path / "site 'päckages'"
    directory.mkdir()
    monkeypatch.setattr(sys, "path", [str(directory)])
    return directory


def distribution(site: Path, name: str, url: dict[str, object] | str | None = None) -> Path:
    metadata = site / name
    metadata.mkdir()
    if url is not None:
        text = url if isinstance(url, str) else json.dumps(url)
        (metadata / "direct_url.json").write_text(text)
    return metadata


def distributions() -> dict[str, list[str]]:
    found: dict[str, list[str]] = environment.collect()["distributions"]
    return found


def test_what_is_collected() -> None:
    """Every fact of the list is there, is plain JSON, and says what this machine says of itself."""
    found = environment.collect()
    assert list(found) == [
        "python", "build", "implementation", "system", "machine", "cpu", "cores", "memory", "gpus",
        "usable_cores", "variables", "hash_seed", "distributions",
    ]  # fmt: skip
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert os.uname().release in found["system"]
    assert found["cores"] >= found["usable_cores"] >= 1
    assert found["memory"] > 0
    assert found["cpu"]


def test_every_installed_distribution_is_there() -> None:
    """Names and versions are those that importlib.metadata reads out of every METADATA file."""
    expected: dict[str, str] = {}
    for known in importlib.metadata.distributions():
        expected.setdefault(re.sub(r"[-_.]+", "-", known.metadata["Name"]).lower(), known.version)
    found = {name: version for name, (version, _) in distributions().items()}
    assert {"hypothesis", "sqlalchemy", "hydra-core"} <= found.keys()
    assert found == {name: version for name, version in expected.items() if name in found}
    missing = expected.keys() - found.keys()
    here = {
        re.sub(r"[-_.]+", "-", d.metadata["Name"]).lower()
        for d in importlib.metadata.distributions(path=[str(Path.cwd())])
    }
    assert missing <= here  # what lies in the working directory is not installed


def test_the_same_environment_has_one_digest() -> None:
    """Two collections, in two processes and from two working directories, have the same digest."""
    script = "from mitosis.capture import environment as e; print(e.digest(e.collect()))"
    variables = {**os.environ, "PYTHONPATH": str(TOP)}
    digests = {
        subprocess.run(
            [sys.executable, "-c", script], cwd=cwd, env=variables, capture_output=True, text=True, check=True
        ).stdout
        for cwd in ("/", "/", "/usr")
    }
    assert len(digests) == 1
    assert environment.digest(environment.collect()) == environment.digest(environment.collect())
    assert re.fullmatch("[0-9a-f]{64}\n", digests.pop())


def test_the_second_collection_starts_no_process_and_opens_no_file(tmp_path: Path) -> None:
    """What a process has learnt of its environment costs the next trial a look at directories, no more."""
    site = tmp_path / "site"
    site.mkdir()
    distribution(site, "a-1.dist-info", {"url": "file:///a"})
    script = (
        "import sys; from mitosis.capture import environment as e; first = e.collect(); told = []\n"
        "sys.addaudithook(lambda event, arguments: told.append((event, str(arguments)[:200])))\n"
        "e.digest(e.collect())\n"
        "costly = ('open', 'os.listdir', 'os.scandir', 'subprocess.Popen', 'os.posix_spawn', 'os.fork')\n"
        "print(len(told) > 0, [t for t in told if t[0] in costly], first['distributions']['a'])"
    )
    variables = {**os.environ, "PYTHONPATH": f"{TOP}{os.pathsep}{site}"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=variables, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "True [] ['1', 'file:///a']"


def test_what_is_returned_is_the_callers() -> None:
    """Changing what was returned does not change what is returned next."""
    before = environment.digest(environment.collect())
    mine = environment.collect()
    mine["gpus"] = ["none of it"]
    mine["variables"]["A"] = "b"
    mine["distributions"]["hypothesis"][0] = "0"
    assert environment.digest(environment.collect()) == before


def test_threads_and_hash_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thread counts and the hash seed count from the moment they are set, whatever bytes they hold."""
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    first = environment.collect()
    assert first["hash_seed"] == "0"
    assert "OMP_NUM_THREADS" not in first["variables"]
    monkeypatch.setenv("OMP_NUM_THREADS", "3\udcff")
    monkeypatch.setenv("PYTHONHASHSEED", "random")
    second = environment.collect()
    assert second["variables"]["OMP_NUM_THREADS"] == "3\\udcff"
    assert second["hash_seed"] == "random"
    assert environment.digest(second) != environment.digest(first)


@pytest.mark.parametrize("name", ["TZ", "LD_PRELOAD", "PYTHONOPTIMIZE"])
def test_variables_that_change_a_result(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Two trials that differ in one of them alone differ in their environment."""
    monkeypatch.delenv(name, raising=False)
    first = environment.collect()
    monkeypatch.setenv(name, "1")
    second = environment.collect()
    assert second["variables"] == {**first["variables"], name: "1"}
    assert environment.digest(second) != environment.digest(first)
    assert (name in environment.travelling()) is (name != "LD_PRELOAD")


def test_secrets_stay_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the variables of the environment only the named ones are recorded."""
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    assert "hunter2" not in json.dumps(environment.collect())


def test_names_and_versions(site: Path) -> None:
    """Names are normalized; old and editable forms of metadata are read; what pip left behind is not."""
    distribution(site, "Foo_Bar.baz-1.0.dist-info")
    distribution(site, "old-2.0+local-py3.11.egg-info")
    (site / "file-3.0-py3.11.egg-info").write_text("Metadata-Version: 1.0\n")
    developed = distribution(site, "developed.egg-info")
    (developed / "PKG-INFO").write_text(
        "Metadata-Version: 2.1\nName: developed\nVersion: 4.0\n\nVersion: no\n"
    )
    distribution(site, "nameless.egg-info")
    distribution(site, "~ip-1.0.dist-info")
    (site / "module.py").write_text("")
    (site / "dist-info").write_text("")
    assert distributions() == {
        "foo-bar-baz": ["1.0", ""],
        "old": ["2.0+local", ""],
        "file": ["3.0", ""],
        "developed": ["4.0", ""],
        "nameless": ["", ""],
    }


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ({"url": "file:///home/ü/a b", "dir_info": {"editable": True}}, "editable file:///home/ü/a b"),
        ({"url": "file:///home/a", "dir_info": {}}, "file:///home/a"),
        (
            {"url": "https://user:t0ken@host:8/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "git+https://host:8/x.git@abc",
        ),
        ({"url": "https://host/x.whl?token=t0ken#t0ken", "archive_info": {}}, "https://host/x.whl"),
        ("{", "unreadable direct_url.json"),
        ("[]", "unreadable direct_url.json"),
        ({"vcs_info": {}}, "unreadable direct_url.json"),
        ({"url": "https://x", "vcs_info": 1}, "unreadable direct_url.json"),
    ],
)
def test_origins(site: Path, url: dict[str, object] | str, origin: str) -> None:
    """What came from elsewhere than an index says from where, with its commit and without credentials."""
    distribution(site, "a-1.dist-info", url)
    assert distributions() == {"a": ["1", origin]}


def test_the_first_on_the_path_counts(site: Path, tmp_path: Path) -> None:
    """Where a distribution is installed twice, the one that Python imports is recorded."""
    second = tmp_path / "second"
    second.mkdir()
    distribution(site, "a-1.dist-info")
    distribution(second, "a-2.dist-info")
    sys.path += [str(second), str(tmp_path / "none"), "nul\x00"]
    assert distributions() == {"a": ["1", ""]}


def test_an_installation_meanwhile_is_seen(site: Path) -> None:
    """A distribution that is installed or upgraded while the process lives is in the next collection."""
    old = distribution(site, "a-1.dist-info")
    assert distributions() == {"a": ["1", ""]}
    os.utime(site, ns=(1, 1))
    assert distributions() == {"a": ["1", ""]}
    old.rename(site / "a-2.dist-info")
    assert distributions() == {"a": ["2", ""]}


def test_the_working_directory_is_not_installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Metadata in the working directory counts as little under `python -m mitosis` as under `mitosis`."""
    distribution(site, "a-1.dist-info")
    monkeypatch.chdir(site)
    sys.path += ["", str(site)]
    assert distributions() == {}


def test_processors(tmp_path: Path) -> None:
    """The model is what the system calls it; ARM gives numbers instead; none is none."""
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_bytes(
        b"processor\t: 0\nmodel name\t: AMD EPYC: \xff 9\n\nprocessor\t: 1\nmodel name\t: other\n"
    )
    arm = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n\nprocessor\t: 1\nCPU part\t: 0xd0d\n"
    if sys.platform == "linux":
        assert environment._cpu(cpuinfo) == "AMD EPYC: \ufffd 9"
        cpuinfo.write_text(arm)
        assert environment._cpu(cpuinfo) == "CPU implementer 0x41, CPU part 0xd0c"
        assert environment._cpu(tmp_path / "none") == ""


def test_graphics_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cards come from the driver's files, without those from nvidia-smi, and without that there are none."""
    driver = tmp_path / "nvidia"
    for number in "01":
        (driver / "gpus" / f"0000:0{number}:00.0").mkdir(parents=True)
        (driver / "gpus" / f"0000:0{number}:00.0" / "information").write_text("Model: \t A100\nIRQ: 1\n")
    version = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 2023\nGCC version: 12\n"
    (driver / "version").write_text(version)
    assert environment._gpus(driver) == ["A100, driver 535.104.05"] * 2
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setenv("PATH", str(tools))
    assert environment._gpus(tmp_path / "none") == []
    program = tools / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'Tesla T4, 470.1'\n")
    program.chmod(0o755)
    assert environment._gpus(tmp_path / "none") == ["Tesla T4, driver 470.1"]
    program.write_text("#!/bin/sh\necho 'no devices were found'\nexit 6\n")
    assert environment._gpus(tmp_path / "none") == []


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    """A process that has said who it is, and waits."""
    script = (
        "import json, sys; from mitosis.trial import plain; from mitosis.capture import environment as e\n"
        "print(json.dumps(plain(e.host_process())), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def told(child: subprocess.Popen[str]) -> HostProcess:
    assert child.stdout is not None
    return from_plain(HostProcess, json.loads(child.stdout.readline()))


def test_this_process_is_alive() -> None:
    """A process finds itself, also after its identity was written as JSON."""
    mine = environment.host_process()
    assert mine.pid == os.getpid()
    assert environment.alive(mine) is True
    assert environment.alive(from_plain(HostProcess, json.loads(json.dumps(plain(mine))))) is True


def test_another_process(child: subprocess.Popen[str]) -> None:
    """A process is alive until it is dead: killed but not yet reaped is dead."""
    other = told(child)
    assert other.pid == child.pid
    assert environment.alive(other) is True
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended and is a zombie
    assert environment.alive(other) is False
    child.wait()
    assert environment.alive(other) is False


def test_a_number_that_was_given_again() -> None:
    """A process that has the number but another start is not the one that was meant."""
    mine = environment.host_process()
    assert environment.alive(dataclasses.replace(mine, started=mine.started - 1)) is False
    assert environment.alive(dataclasses.replace(mine, boot="another")) is False


@pytest.mark.parametrize("pid", [0, -1, 2**22 + 1, 2**70])
def test_numbers_of_no_process(pid: int) -> None:
    """Numbers that no process can have are nobody's: no group of processes is asked instead."""
    assert environment.alive(dataclasses.replace(environment.host_process(), pid=pid)) is False


@pytest.mark.parametrize("field", ["host", "machine", "namespace"])
def test_where_it_cannot_be_told(field: str) -> None:
    """Processes of other hosts, of machines with the same name and of other containers are not judged."""
    assert environment.alive(dataclasses.replace(environment.host_process(), **{field: "another"})) is None


def test_a_process_with_a_hostile_name(tmp_path: Path) -> None:
    """The start is read rightly although the program's name holds spaces, brackets and a line end."""
    name = tmp_path / "a) S 1 (b\n"
    name.symlink_to("/bin/sleep")
    with subprocess.Popen([str(name), "1000"]) as process:
        try:
            started = environment._started(process.pid)
            mine = environment._started(os.getpid())
            assert started is not None
            assert mine is not None
            assert started >= mine
        finally:
            process.kill()
