"""The guard inside the kernel of a trial: times the call, keeps the result and writes the outcome."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mitosis.kernel import (
    console,
    contract,
    figures,
    loading,
    lookup,
    notes,
    places,
    relay,
    series,
    surroundings,
    targets,
    unseeded,
    unseen,
    watch,
)

OUTCOME = "outcome.json"
RETURNED = ".returned"  # as mitosis.folder has it
RESERVE = ".reserve"
RESULT = "result.pkl"


@dataclass
class _Watch:
    """The one trial that this process executes; None outside a trial, where nothing is recorded."""

    folder: Path
    armed: bool = False  # the next cell is the call
    calling: bool = False
    call: Any = None  # IPython's word for the cell that is the call
    inner: Any = None  # and for one that the experiment itself runs
    before: surroundings.Surroundings | None = None  # the call
    begun: tuple[float, float] = (0.0, 0.0)
    seconds: float | None = None
    cpu_seconds: float | None = None
    written: bool = False
    notes: list[dict[str, str]] = field(default_factory=list)


_watch: _Watch | None = None


def begin(options: str) -> None:
    """Begin to watch over a trial; `options` is JSON.

    folder: of the trial. repository: of the experiment. tree: where its code comes from. source_roots:
    first on sys.path. figure_formats: of matplotlib's figures. figure_data: where to leave what they plot,
    "" for nowhere. private: directories whose files are no inputs. observe_inputs: are open files noted.
    """
    global _watch
    given = json.loads(options)
    _watch = _Watch(folder=Path(given["folder"]))
    _say_who(_watch.folder, given.get("trial", ""))
    _prefer(given["source_roots"])
    own = [given["tree"], given.get("repository", ""), *given["source_roots"]]
    relay.begin(given["folder"])
    series.begin(given["folder"])
    notes.begin(places.code(*own))
    loading.install(*own)
    unseeded.install()
    shell = _shell()
    shell.events.register("pre_run_cell", _before_cell)
    shell.events.register("post_run_cell", _after_cell)
    _stop_at_error(shell)
    console.install(shell)
    # matplotlib's inline backend reads its formats from here when it is first used
    shell.config.InlineBackend.figure_formats = set(given["figure_formats"])
    figures.name_by_title(shell, given.get("figure_data", ""))
    if given["observe_inputs"]:
        border = places.data(*given["private"], own=[*own, given["folder"]])
        watch.begin(border, {**unseen.EVENTS, "chance": unseeded.drawn})
    else:
        notes.add(
            "unobserved", "the files that the experiment reads were not observed", "mitosis.observe_inputs"
        )


def _say_who(folder: Path, trial: str) -> None:
    """Leave word of this process, and mark what it starts, for who has to clear up after us all."""
    os.environ["MITOSIS_TRIAL"] = trial
    with contextlib.suppress(OSError, IndexError):
        began = int(Path("/proc/self/stat").read_text(errors="replace").rpartition(")")[2].split()[19])
        (folder / ".kernel.json").write_text(json.dumps({"pid": os.getpid(), "started": began}))


def _shell() -> Any:
    from IPython import get_ipython

    return get_ipython()


def _prefer(source_roots: list[str]) -> None:
    """Let a repository that itself holds a package `mitosis` provide all of it but this guard."""
    import mitosis

    for root in reversed(source_roots):
        package = Path(root, "mitosis")
        if (package / "__init__.py").is_file() and str(package) not in mitosis.__path__:
            mitosis.__path__.insert(0, str(package))


def plan(run: Callable[..., Any], params: Mapping[str, Any]) -> str:
    """How to call `run`, as JSON: `{"by_keyword": bool}`, or `{"error": message}` where it cannot be."""
    try:
        keyword = contract.by_keyword(run, params)
    except contract.ContractError as error:
        _write_failure("ContractError", str(error), "")
        return json.dumps({"error": str(error)})
    if _watch is not None:
        _watch.armed = True
    return json.dumps({"by_keyword": keyword})


def _cpu() -> float:
    mine = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + children.ru_utime + children.ru_stime


def _before_cell(info: Any) -> None:
    if _watch is None:
        return
    if _watch.seconds is not None:
        with contextlib.suppress(OSError):
            (_watch.folder / RETURNED).unlink(missing_ok=True)
    if _watch.calling:
        _watch.inner = info
    elif _watch.armed:
        _watch.armed, _watch.calling = False, True
        _watch.call, _watch.before = info, surroundings.taken()
        _watch.begun = (time.perf_counter(), _cpu())


def _stop() -> None:
    """The call is over: take the times."""
    if _watch is not None and _watch.calling:
        _watch.calling = False
        _watch.seconds = time.perf_counter() - _watch.begun[0]
        _watch.cpu_seconds = _cpu() - _watch.begun[1]
        if _watch.before is not None:
            surroundings.put_back(_watch.before)
            _watch.before = None
        with contextlib.suppress(OSError):
            (_watch.folder / RETURNED).touch()


def _stop_at_error(shell: Any) -> None:
    """Stop the clock before IPython lays out a traceback, which takes longer than many an experiment."""
    lay_out = shell.showtraceback

    def showtraceback(*args: Any, **kwargs: Any) -> Any:
        inner = _watch is not None and _watch.inner is not None
        if kwargs.get("running_compiled_code") and not inner:  # else it is the user's to show one
            _stop()
            _keep_unshowable(sys.exc_info()[1])
        return lay_out(*args, **kwargs)

    shell.showtraceback = showtraceback


def _keep_unshowable(error: BaseException | None) -> None:
    """Write an exception whose text cannot be made: to lay it out ends in another one."""
    try:
        str(error)
    except Exception:  # whatever the user's own class raises
        assert error is not None
        _write_failure(contract.kind(error), contract.message(error), user_traceback(error))


def _after_cell(result: Any) -> None:
    if _watch is None:
        return
    if _watch.calling and result.info is not _watch.call:
        _watch.inner = None
        return
    _stop()
    _failed(result.error_before_exec or result.error_in_exec)
    if result.info is _watch.call:
        figures.show_open(_shell(), _watch.folder / RETURNED)


def _failed(error: BaseException | None) -> None:
    if error is None or (_watch is not None and _watch.written):
        return
    made = targets.wrong(error)
    if made is not None:
        trace = user_traceback(made[1])
        _write_failure(contract.kind(error), made[0], trace if '  File "' in trace else "")
    else:
        _write_failure(contract.kind(error), contract.message(error), user_traceback(error))


def user_traceback(error: BaseException) -> str:
    """The traceback of `error` without the frames of IPython, of the notebook's cells and of mitosis."""
    if isinstance(error, contract.ContractError):
        return ""
    try:
        shown = traceback.TracebackException.from_exception(error, compact=True)
    except Exception as failed:  # a user's exception may not even be describable
        return f"<the traceback cannot be shown: {type(failed).__name__}>\n"
    linked: list[traceback.TracebackException | None] = [shown]
    seen: set[int] = set()
    while linked:
        part = linked.pop()
        if part is None or id(part) in seen:
            continue
        seen.add(id(part))
        part.stack = traceback.StackSummary.from_list([f for f in part.stack if _of_user(f.filename)])
        linked += [part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or ())]
    return "".join(shown.format())


_MAKERS = (f"{os.sep}hydra{os.sep}_internal{os.sep}", f"{os.sep}importlib{os.sep}__init__.py")


def _of_user(filename: str) -> bool:
    ours = str(Path(__file__).parent)
    hidden = (f"{os.sep}IPython{os.sep}", f"{os.sep}ipykernel", "<frozen importlib", *_MAKERS)
    return not filename.startswith((ours, "<ipython-input")) and not any(h in filename for h in hidden)


def report(result: Any) -> None:
    """Show the metrics of `result` and, inside a trial, keep the result and write the outcome."""
    if _watch is not None and _watch.seconds is None:
        raise contract.ContractError(
            "mitosis.kernel.report is for the notebook's last cell: return the metrics"
        )
    try:
        reading = contract.read(result)
    except contract.ContractError as error:
        _write_failure("ContractError", str(error), "")
        raise
    _show(reading)
    if _watch is None:
        return
    with _undisturbed():  # what is computed is kept, even where somebody loses patience now
        watch.end()
        _watch.notes += reading.left_out
        _keep(result)
        _write({"status": "succeeded", "main": reading.main, "metrics": reading.metrics, "error": None})


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """An interrupt does nothing meanwhile; a kill still ends the kernel."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _show(reading: contract.Reading) -> None:
    from IPython.display import display

    rows = {"main": reading.main, **reading.metrics}
    width = max(len(name) for name in rows)
    text = "\n".join(f"{name:<{width}}  {contract.shown(value)}" for name, value in rows.items())
    display(_Table(text, rows))


class _Table:
    """Metrics as text for the terminal and as a table for the page."""

    def __init__(self, text: str, rows: Mapping[str, Any]) -> None:
        self._text = text
        self._rows = rows

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        from html import escape

        cells = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(contract.shown(value))}</td></tr>"
            for name, value in self._rows.items()
        )
        return f"<table>{cells}</table>"


def _keep(result: Any) -> None:
    """The whole result as result.pkl; one that cannot be pickled is a note, not a failure."""
    assert _watch is not None
    import cloudpickle

    try:
        content = cloudpickle.dumps(result)
    except Exception as error:  # a user's object may raise anything while it is pickled
        reason = f"{type(error).__name__}: {contract.message(error)}"
        what = f"the result cannot be pickled ({reason}); metrics are kept"
        _watch.notes.append({"kind": "result_not_kept", "what": what, "where": RESULT})
        return
    _replace(_watch.folder / RESULT, content)


def _threads() -> list[str]:
    """The BLAS and OpenMP libraries that the experiment has loaded, with their number of threads."""
    if "numpy" not in sys.modules and "torch" not in sys.modules:
        return []  # whoever loads such a library without them does it by hand
    import threadpoolctl

    return sorted(
        f"{pool.get('internal_api')} {pool.get('version') or '?'}: {pool.get('num_threads')} threads"
        for pool in threadpoolctl.threadpool_info()
    )


def _write_failure(kind: str, message: str, trace: str) -> None:
    error = {"kind": kind, "message": message, "traceback": trace}
    outcome = {"status": "failed", "main": None, "metrics": {}, "error": error}
    with _undisturbed(), contextlib.suppress(OSError):  # the launcher says what it saw
        try:
            _write(outcome)
        except OSError:  # a full disk, which may be why it failed: the reserve is room for the cause
            Path(_watch.folder if _watch else "", RESERVE).unlink(missing_ok=True)
            _write(outcome)


def _write(outcome: dict[str, Any]) -> None:
    if _watch is None or _watch.written:
        return
    series.end()
    outcome["finished_at"] = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    watch.end()
    loaded = [*loading.modules(), *loading.startup(getattr(_shell(), "parent", None))]
    inputs, outputs = watch.files(loading.is_unchanged)
    unseen.loaded()
    unseeded.settle()
    outcome["seen"] = {"modules": loaded, "inputs": inputs, "outputs": outputs}
    outcome["seen"] |= {"lookups": lookup.found(), "installed": loading.installed()}
    outcome["threads"] = _threads()
    outcome |= {
        "seconds": _watch.seconds,
        "cpu_seconds": _watch.cpu_seconds,
        "notes": [*_watch.notes, *notes.found()],
    }
    _replace(_watch.folder / OUTCOME, json.dumps(outcome).encode())
    _watch.written = True


def _replace(path: Path, content: bytes) -> None:
    """Write by temporary file and rename, so that what exists is whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
