"""Notes where the experiment learns from what cannot be watched: programs, the network, libraries in C."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from mitosis.kernel import notes

# They say how the machine is made, which the environment records; libraries ask them while they are imported.
_HARMLESS_PROGRAMS = frozenset({"ldconfig", "fc-list", "lscpu", "uname", "gcc", "cc", "ld", "objdump"})
_HARMLESS = ("IPython", "ipykernel", "jupyter_client", "zmq")
_WORKERS = {  # modules that start Python anew, where nothing watches
    "multiprocessing.popen_spawn_posix": "multiprocessing (spawn)",
    "multiprocessing.popen_forkserver": "multiprocessing (forkserver)",
    "joblib.externals.loky.backend.popen_loky_posix": "joblib (loky)",
}
_LIBRARIES = {  # modules that open files by C, C++ or Rust; pandas loads those of pyarrow only to use them
    "cv2": "cv2",
    "duckdb": "duckdb",
    "h5py": "h5py",
    "lmdb": "lmdb",
    "netCDF4": "netCDF4",
    "polars": "polars",
    "pyarrow.csv": "pyarrow",
    "pyarrow.dataset": "pyarrow",
    "pyarrow.json": "pyarrow",
    "pyarrow.orc": "pyarrow",
    "pyarrow.parquet": "pyarrow",
    "scipy.io._fast_matrix_market._fmm_core": "scipy.io.mmread",
    "tables": "tables",
}


def _program(arguments: tuple[Any, ...]) -> None:
    given = arguments[0]
    if isinstance(given, os.PathLike | bytes | str):
        words = os.fsdecode(given).split() or [""]
        name = os.path.basename(words[0])  # noqa: PTH119
        if name not in _HARMLESS_PROGRAMS:
            what = f"the program {name[:100]} was started: what it reads is not seen"
            notes.at_users_line("unseen", what, _HARMLESS)


def _connection(arguments: tuple[Any, ...]) -> None:
    address = arguments[1]
    if not isinstance(address, tuple) or not address or not isinstance(address[0], str):
        return  # a socket of this machine
    host = address[0]
    if host in ("localhost", "::1", "", "0.0.0.0") or host.startswith("127."):  # noqa: S104 - compared only
        return
    notes.at_users_line(
        "unseen", f"a connection to {host} was made: what came from there is not seen", _HARMLESS
    )


EVENTS: dict[str, Callable[[tuple[Any, ...]], None]] = {
    "subprocess.Popen": _program,
    "os.system": _program,
    "os.exec": _program,
    "os.posix_spawn": _program,
    "socket.connect": _connection,
}
"""What is to be called with the arguments of an audit event."""


def loaded() -> None:
    """Note, at the end, what was loaded that starts new interpreters, or opens files unseen."""
    for module, name in _WORKERS.items():
        if module in sys.modules:
            notes.add("unseen", f"{name} started processes: what they load and read is not seen", module)
    for name in dict.fromkeys(name for module, name in _LIBRARIES.items() if module in sys.modules):
        what = f"{name} was loaded: files that it opens are not seen, and need declaring (experiment.inputs)"
        notes.add("unseen", what, name)
