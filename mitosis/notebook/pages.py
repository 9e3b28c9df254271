"""Makes figures and pages of trials, in a process of its own where one was started ahead.

To import nbconvert takes longer than anything else that a short trial needs. The process does so on another
processor while the launcher composes, checks and runs; it ends with the launcher, whose end of the pipe is
closed then. Where there is none, or it has ended, the launcher makes the page itself.

The protocol: a line of JSON for each page, `{trial, formats}`; the answer is a line, `{figures}` with the
names of the files, or `{error}`.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mitosis import stamp
from mitosis.folder import TrialFolder, write_atomic
from mitosis.trial import Trial, from_plain, plain

_CODE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from mitosis.notebook import pages; pages.serve()"
)


@dataclass(slots=True)
class _State:
    pid: int = field(default_factory=os.getpid)
    lock: threading.Lock = field(default_factory=threading.Lock)
    process: subprocess.Popen[bytes] | None = None


_state = _State()


def _mine() -> _State:
    """The state of this process; one that was forked from a launcher has none yet."""
    global _state
    if _state.pid != os.getpid():
        _state = _State()
    return _state


def prestart() -> None:
    """Start the process where another processor is free for it; returns at once."""
    state = _mine()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if state.process is not None or usable < 2:
        return
    with contextlib.suppress(OSError):  # then the launcher makes its pages itself
        state.process = subprocess.Popen(
            [sys.executable, "-c", _CODE, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # the terminal's ^C is for the launcher alone
        )
        atexit.unregister(stop)
        atexit.register(stop)


def stop() -> None:
    """End the process, if there is one."""
    state = _mine()
    process, state.process = state.process, None
    if process is not None:
        process.kill()
        process.communicate()


def warm() -> None:
    """Load what a page needs, where no other process does; beside the experiment, so that nobody waits."""
    if _mine().process is None:
        from mitosis.notebook import report

        report.warm()


def make(trial: Trial, formats: Sequence[str]) -> tuple[str, ...]:
    """Write figures and page of the trial; returns the names of the figures' files.

    Raises OSError, ValueError and what else an odd notebook leads to.
    """
    state = _mine()
    if state.process is not None:
        with state.lock:
            answer = _asked(state, {"trial": plain(trial), "formats": list(formats)})
        if isinstance(answer, dict) and "figures" in answer:
            return tuple(answer["figures"])
        if isinstance(answer, dict):
            raise ValueError(answer.get("error", "no reason was given"))
    return _made(trial, formats)


def _asked(state: _State, request: Any) -> Any:
    """The answer of the process; None where it gives none, which is its end."""
    process = state.process
    if process is None or process.stdin is None or process.stdout is None:
        return None
    try:
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())
    except (OSError, ValueError):
        stop()
        return None
    except BaseException:  # an interrupt: the next answer would be this one's
        stop()
        raise


def _made(trial: Trial, formats: Sequence[str]) -> tuple[str, ...]:
    from mitosis.notebook import document, report

    folder = TrialFolder(trial.spec.folder)
    notebook = document.read(folder.notebook)
    names = report.figures(notebook, folder.figures, tuple(formats), stamp.origin(trial.spec))
    names += report.data(notebook, folder.plotted, folder.figures)
    assert trial.outcome is not None  # a page is made of a trial that is over
    shown = Trial(trial.spec, replace(trial.outcome, figures=tuple(names)))
    try:
        write_atomic(folder.html, report.html(notebook, shown).encode())
    except OSError:  # a full disk: the cause shall be there to be read
        folder.give_room()
        for cell in notebook.cells:
            cell["outputs"] = []
        write_atomic(folder.html, report.html(notebook, shown).encode())
    return tuple(names)


def serve() -> None:
    """Answer requests until there are no more; nothing that is printed meanwhile is taken for an answer."""
    from mitosis.notebook import report

    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    report.warm()
    for line in sys.stdin.buffer:
        request = json.loads(line)
        answer: dict[str, Any]
        try:
            answer = {"figures": _made(from_plain(Trial, request["trial"]), request["formats"])}
        except Exception as error:  # an odd notebook must not cost the next trial its page
            answer = {"error": f"{error}" or type(error).__name__}
        answers.write(json.dumps(answer).encode() + b"\n")
    os._exit(0)
