"""Says what a trial runs on: interpreter, installed distributions, hardware, and which process started it."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from mitosis import identity
from mitosis.trial import JSON, HostProcess

_VARIABLES = (
    # how many threads compute, and in which order they add up: they change the last digits
    "OMP_NUM_THREADS", "OMP_DYNAMIC", "OPENBLAS_NUM_THREADS", "OPENBLAS_CORETYPE", "MKL_NUM_THREADS",
    "MKL_DYNAMIC", "MKL_CBWR", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS", "NUMBA_DISABLE_JIT", "NPY_DISABLE_CPU_FEATURES", "XLA_FLAGS", "JAX_ENABLE_X64",
    "JAX_PLATFORMS", "TF_DETERMINISTIC_OPS", "TF_ENABLE_ONEDNN_OPTS", "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_VISIBLE_DEVICES", "NVIDIA_TF32_OVERRIDE", "MKL_ENABLE_INSTRUCTIONS", "PYTHONOPTIMIZE",
    # what else changes a result and leaves no trace in code or data: the local time, libraries put first
    "TZ", "LD_PRELOAD",
)  # fmt: skip

_PLACES = ("PGPASSFILE", "PGSERVICEFILE", "PGSERVICE", "PGSSLROOTCERT")
"""Where the store's server and its password are found: names of files, no secret."""

_LEFT_BY_PIP = "~"  # pip renames what it could not remove


def collect() -> dict[str, JSON]:
    """The environment as plain JSON: the same for two trials exactly where nothing named here differs.

    python, build, implementation, system (kernel and C library), machine, cpu (model), cores and
    usable_cores, memory (GiB), gpus (model and driver), variables (those that change numbers, where set),
    hash_seed (of the kernels: 0 unless the user chose one), distributions {name: [version, origin]}.
    An origin is empty where the distribution came from a package index; otherwise it is the address
    without credentials, with the commit where it came from version control, and "editable " in front
    where its code lies elsewhere. Collected once per process, and again where something was installed.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        **_machine(),
        "usable_cores": usable,
        "variables": {name: _text(os.environ[name]) for name in _VARIABLES if name in os.environ},
        "hash_seed": _text(os.environ.get("PYTHONHASHSEED", "0") or "random"),
        "distributions": {name: [version, origin] for name, version, origin in _distributions(_stamp())},
    }


def digest(environment: Mapping[str, JSON]) -> str:
    """SHA-256 of the canonical text of what `collect` returned, 64 hex digits."""
    return identity.digest(identity.canonical(dict(environment), "environment"))


def host_process() -> HostProcess:
    """This process, in the terms by which `alive` finds it again."""
    pid = os.getpid()
    started = _started(pid)
    return HostProcess(
        host=socket.gethostname(),
        pid=pid,
        started=started if started is not None else 0.0,
        boot=_boot(),
        machine=_machine_id(),
        namespace=_namespace(),
        engine=_engine(),
    )


def of_one_job() -> bool:
    """Whether this process was started for one job alone: submitit does so, on this machine and on SLURM."""
    return "SUBMITIT_EXECUTOR" in os.environ


def travelling() -> dict[str, str]:
    """The variables of this process that must hold in its workers as well: those that change numbers.

    Which GPUs a job may use, and which libraries a node has, is the engine's to say; a variable that is not
    set here is the engine's, too.
    """
    engines = ("CUDA_VISIBLE_DEVICES", "LD_PRELOAD")
    names = [name for name in (*_VARIABLES, "PYTHONHASHSEED") if name not in engines]
    return {name: os.environ[name] for name in (*names, *_PLACES) if name in os.environ}


def _engine() -> dict[str, str]:
    """What the engine calls this job and its node; empty where no engine started the process."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    found = {
        "slurm_job": f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID", ""),
        "slurm_node": os.environ.get("SLURMD_NODENAME", ""),
    }
    ray = sys.modules.get("ray")  # a worker of Ray has it; nobody else shall import it for this
    if ray is not None and ray.is_initialized():
        context = ray.get_runtime_context()
        found |= {"ray_job": context.get_job_id(), "ray_node": context.get_node_id()}
    return {name: value for name, value in found.items() if value}


def alive(process: HostProcess) -> bool | None:
    """Whether `process` still runs; None where that cannot be told from here.

    It cannot for another host, for a container whose process numbers are its own, and for another user's
    process where the system hides those.
    """
    if (process.host, process.machine) != (socket.gethostname(), _machine_id()):
        return None
    if process.boot != _boot():
        return False  # the machine was started anew since
    if process.namespace != _namespace():
        return None
    if process.pid <= 0:
        return False
    try:
        os.kill(process.pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        if _started(process.pid) is None:
            return None
    started = _started(process.pid)
    return started is not None and abs(started - process.started) < 0.5 * _tick()


@functools.cache
def _machine() -> dict[str, JSON]:
    """What does not change while this process lives."""
    system = os.uname()
    libc = " ".join(platform.libc_ver())  # platform.platform() would start a process
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "python": platform.python_version(),
        "build": sys.version.partition(" ")[2].replace("\n", ""),
        "implementation": platform.python_implementation(),
        "system": " ".join(filter(None, (system.sysname, system.release, libc))),
        "machine": system.machine,
        "cpu": _cpu(Path("/proc/cpuinfo")),
        "cores": os.cpu_count(),
        "memory": round(pages / 2**30, 1),
        "gpus": _gpus(Path("/proc/driver/nvidia")),
    }


def _cpu(cpuinfo: Path) -> str:
    """The processor's model in the system's own words; empty where it does not say."""
    if sys.platform == "darwin":
        return _output("sysctl", "-n", "machdep.cpu.brand_string").strip()
    found: dict[str, str] = {}
    try:
        with cpuinfo.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                key, _, value = line.partition(":")
                if key.strip() == "model name":
                    return value.strip()
                found.setdefault(key.strip(), value.strip())
    except OSError:
        return ""
    arm = ("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision")
    return ", ".join(f"{key} {found[key]}" for key in arm if key in found)


def _gpus(driver: Path) -> list[str]:
    """Model and driver of each NVIDIA GPU, from the driver's files, else from nvidia-smi."""
    try:
        version = re.search(
            r"Kernel Module.*?\s(\d[\d.]+)\s", (driver / "version").read_text(errors="replace")
        )
        cards = sorted((driver / "gpus").glob("*/information"))
        models = [
            re.search(r"^Model:\s*(.*)$", card.read_text(errors="replace"), re.MULTILINE) for card in cards
        ]
    except OSError:
        if shutil.which("nvidia-smi") is None:
            return []
        answer = _output("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
        return [", driver ".join(part.strip() for part in line.split(",")) for line in answer.splitlines()]
    return [f"{m[1].strip() if m else '?'}, driver {version[1] if version else '?'}" for m in models]


def _output(*command: str) -> str:
    """What a program of the system prints; nothing where it fails or does not answer."""
    try:
        answer = subprocess.run(
            command, capture_output=True, timeout=10, check=False, env={**os.environ, "LC_ALL": "C"}
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.decode("utf-8", "replace") if answer.returncode == 0 else ""


def _text(value: str) -> str:
    """`value` without the bytes that are no text, so that it has a canonical form."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def _stamp() -> tuple[tuple[str, int], ...]:
    """The directories that Python imports from, and when something was last added to each or removed.

    The working directory is not one of them: whether it is on the path depends on how mitosis was called.
    """
    found: dict[str, int] = {}
    here = os.getcwd()  # noqa: PTH109 - compared with the entries of sys.path, which are texts
    for entry in sys.path:
        if entry and entry not in found and entry != here:
            try:
                found[entry] = os.stat(entry).st_mtime_ns  # noqa: PTH116
            except (OSError, ValueError):
                continue  # Python passes over it, too
    return tuple(found.items())


@functools.lru_cache(maxsize=1)
def _distributions(stamp: tuple[tuple[str, int], ...]) -> tuple[tuple[str, str, str], ...]:
    """(normalized name, version, origin) of every distribution, sorted; the first on the path counts.

    Names and versions are read off the names of the metadata directories (the Core metadata and the
    "Recording installed projects" specifications of PyPA): opening every METADATA takes ten times as long.
    """
    found: dict[str, tuple[str, str, str]] = {}
    for directory, _ in stamp:
        for name, version, origin in _installed(directory):
            found.setdefault(name, (name, version, origin))
    return tuple(found[name] for name in sorted(found))


def _installed(directory: str) -> Iterator[tuple[str, str, str]]:
    try:
        names = sorted(os.listdir(directory))  # noqa: PTH208 - a fifth of the time
    except OSError:
        return
    for entry in names:
        stem, dot, kind = entry.rpartition(".")
        if kind not in ("dist-info", "egg-info") or not dot or entry.startswith(_LEFT_BY_PIP):
            continue
        name, _, version = stem.partition("-")
        version = version.partition("-py")[0] if kind == "egg-info" else version
        path = Path(directory, entry)
        yield (
            re.sub(r"[-_.]+", "-", _text(name)).lower(),
            _text(version) or _header_version(path),
            _origin(path),
        )


def _header_version(metadata: Path) -> str:
    """The version of a distribution that is developed in place: its directory does not carry it."""
    try:
        lines = (metadata / "PKG-INFO").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("Version:")), "")


def _origin(metadata: Path) -> str:
    """Where a distribution came from: PyPA's direct_url.json as one text, empty where there is none."""
    try:
        document = json.loads((metadata / "direct_url.json").read_bytes())
        url = _without_credentials(str(document["url"]))
        if "vcs_info" in document:
            return f"{document['vcs_info']['vcs']}+{url}@{document['vcs_info']['commit_id']}"
        editable = document.get("dir_info", {}).get("editable", False)
    except OSError:
        return ""
    except (ValueError, KeyError, TypeError, AttributeError):
        return "unreadable direct_url.json"
    return f"editable {url}" if editable else url


def _without_credentials(url: str) -> str:
    parts = urlsplit(_text(url))
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _boot() -> str:
    """What names the present run of this machine's kernel."""
    if sys.platform == "darwin":
        found = re.search(r"sec = (\d+)", _output("sysctl", "-n", "kern.boottime"))
        return found[1] if found else ""
    return _read("/proc/sys/kernel/random/boot_id")


@functools.cache
def _machine_id() -> str:
    """A digest of /etc/machine-id, which itself is not to be shown (machine-id(5)); or nothing."""
    found = _read("/etc/machine-id")
    return hashlib.sha256(f"mitosis:{found}".encode()).hexdigest()[:16] if found else ""


def _namespace() -> str:
    """What names the space in which a process number means something: containers have their own."""
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - a text, not a path
    except OSError:
        return ""


def _started(pid: int) -> float | None:
    """When the process started, in seconds; None where there is none, or it has ended and is not yet reaped.

    Linux: since boot (field 22 of proc_pid_stat(5)). macOS: since the epoch, in whole seconds.
    """
    if sys.platform == "darwin":
        text = _output("ps", "-o", "lstart=", "-p", str(pid)).strip()
        return time.mktime(time.strptime(text, "%a %b %d %H:%M:%S %Y")) if text else None
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()  # the name before may hold anything
    if len(fields) < 20 or fields[0] in "ZX":
        return None
    return int(fields[19]) * _tick()


def _tick() -> float:
    """Seconds between two start times that can be told apart."""
    return 1.0 if sys.platform == "darwin" else 1.0 / os.sysconf("SC_CLK_TCK")


def _read(path: str) -> str:
    try:
        return Path(path).read_bytes().decode("utf-8", "replace").strip()
    except OSError:
        return ""


@functools.lru_cache(maxsize=1)
def own_code() -> str:
    """The version of mitosis and a digest of its files: development states of one version differ."""
    import mitosis

    top = Path(mitosis.__file__).parent
    digest = hashlib.sha256()
    for file in sorted(top.rglob("*.py")):
        digest.update(f"{file.relative_to(top)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return f"{mitosis.__version__} ({digest.hexdigest()[:12]})"
