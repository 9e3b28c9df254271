"""The kernel's standard streams as a program without a terminal has them."""

from __future__ import annotations

import codecs
import io
import sys
import warnings
from typing import Any


class _Bytes(io.RawIOBase):
    """The `buffer` of an output stream: bytes appear in it at once, decoded as UTF-8."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """That of the stream."""
        return int(self._stream.fileno())

    def write(self, data: Any) -> int:
        """Write bytes; a character may be cut in two. Returns how many they were."""
        content = bytes(memoryview(data))
        text = self._decoder.decode(content)
        if text:
            self._stream.write(text)
        return len(content)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()

    def close(self) -> None:
        """Flush: a TextIOWrapper around this closes it when it is forgotten."""
        self.flush()


def install(shell: Any) -> None:
    """Give the output streams a `buffer`, let `input()` find the end of the file, and lose no message."""
    for stream in (sys.stdout, sys.stderr):
        if not hasattr(stream, "buffer"):
            stream.buffer = _Bytes(stream)  # type: ignore[misc]
    # said after SystemExit, to whoever sits at a prompt
    warnings.filterwarnings("ignore", "To exit: use", UserWarning)
    kernel = getattr(shell, "kernel", None)
    if kernel is not None:
        kernel.raw_input = kernel.getpass = _no_input
        _lose_nothing(kernel)


def _lose_nothing(kernel: Any) -> None:
    """Let what is shown faster than the launcher takes it wait, as a pipe does.

    ZeroMQ's publishers drop what comes after the thousandth waiting message: figures would be gone, and
    with the last of them the word that the cell is done.
    """
    thread = getattr(kernel.iopub_socket, "io_thread", None)
    if thread is not None:
        thread.schedule(lambda: setattr(thread.socket, "xpub_nodrop", 1))  # sockets belong to one thread


def _no_input(prompt: object = "", *_others: object, **_more: object) -> str:
    sys.stdout.write(str(prompt))
    raise EOFError("nobody can answer in a trial: make what is asked for a parameter of the experiment")
