"""Executes a trial's notebook: streams its output, saves it as it grows, interrupts and times out."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import functools
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from nbclient.client import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat.v4 import new_output

from mitosis import signals
from mitosis.errors import InternalError
from mitosis.folder import TrialFolder, write_atomic
from mitosis.notebook import answer, kernels, streams
from mitosis.notebook.forking import Manner

if TYPE_CHECKING:
    from nbformat import NotebookNode

SAVE_SECONDS = 2.0  # at most this much output is ever unsaved
UNHEARD_SECONDS = 300  # for output that is still on its way when the experiment has ended
BEAT_SECONDS = 10.0  # between two heartbeats
GUARD = "__import__('mitosis.kernel.guard').kernel.guard"
PLAN = f"{GUARD}.plan(run, params)"


class Ended(Enum):
    """How an execution ended, as the launcher saw it; the guard's outcome knows more."""

    FINISHED = "finished"
    ERROR = "error"
    TIMED_OUT = "timed_out"
    DIED = "died"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Execution:
    """The end of an execution: how, and for what reason where it did not finish."""

    ended: Ended
    reason: str = ""
    broken: str = ""  # why what the experiment gave could not be written; '' where it could


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be executed: the notebook, where it is saved, and what surrounds it."""

    notebook: NotebookNode
    path: Path
    log: Path
    cwd: Path
    guard: str  # JSON for kernel.guard.begin
    call: Callable[[bool], str]  # source of the call, the seed by keyword or not
    timeout: float | None = None  # seconds from the call of the experiment
    grace: float = 10.0  # seconds from an interrupt to the kill
    manner: Manner = field(default_factory=Manner)  # how the kernel is started
    beat: Callable[[], None] = lambda: None  # says that the trial is alive; may be slow
    stream: Callable[[str, str], None] = field(default=lambda _name, _text: None)  # (stdout | stderr, text)


class _Client(NotebookClient):  # type: ignore[misc]
    """nbclient's executor that hands on and merges what arrives as a stream, at bounded cost."""

    job: Job
    write: Callable[[str, str], None]
    changed = True  # since the notebook was saved
    heard = 0  # messages
    clear_before_next_output: bool

    @contextlib.contextmanager
    def asking(self, expressions: dict[str, str]) -> Iterator[dict[str, Any]]:
        """Meanwhile the kernel evaluates `expressions` after a cell: each request less is 5 ms less."""
        answers: dict[str, Any] = {}

        def heard(execute_reply: Any, **_others: Any) -> None:
            answers.update(execute_reply["content"]["user_expressions"])

        plain = self.kc.execute
        self.kc.execute = functools.partial(plain, user_expressions=expressions)
        hooked: Any = heard
        self.on_cell_executed = hooked
        try:
            yield answers
        finally:
            self.kc.execute = plain
            self.on_cell_executed = None

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        self.heard += 1
        return super().process_message(msg, cell, cell_index)

    def output(self, outs: Any, msg: Any, display_id: Any, cell_index: int) -> Any:
        self.changed = True
        if msg["msg_type"] != "stream":
            return super().output(outs, msg, display_id, cell_index)
        name, text = msg["content"]["name"], msg["content"]["text"]
        self.write(name, text)
        if self.clear_before_next_output:
            outs[:] = []
            self.clear_display_id_mapping(cell_index)
            self.clear_before_next_output = False
        last = outs[-1] if outs else None
        if last is None or last["output_type"] != "stream" or last["name"] != name:
            last = new_output("stream", name=name, text="")
            outs.append(last)
        last["text"] = streams.joined(last["text"], text, self.job.log.name)
        return last


def _log() -> logging.Logger:
    """A logger for nbclient that says nothing: how an execution ended is told once, and by us."""
    logger = logging.Logger("mitosis.nbclient")
    logger.addHandler(logging.NullHandler())
    return logger


class _Runner:
    """One execution: the cells one after the other, beside them the savers and the signals."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.client = _Client(
            job.notebook, allow_errors=False, record_timing=False, iopub_timeout=UNHEARD_SECONDS, log=_log()
        )
        self.client.job, self.client.write = job, self._stream
        self.kernel: kernels.Kernel | None = None
        self.interrupts = 0
        self.timed_out = False
        self.broken = ""
        self.task: asyncio.Task[Any] | None = None
        self.silence: asyncio.Task[None] | None = None

    async def run(self) -> Execution:
        """The whole execution; what could not be written stands in `broken`."""
        execution = await self._run()
        return replace(execution, broken=self.broken)

    async def _run(self) -> Execution:
        self.task = asyncio.current_task()
        try:
            with self._signals():
                begin = f"{GUARD}.begin({self.job.guard!r})"
                async with kernels.started(self.job.cwd, self.job.manner, begin) as kernel:
                    self.kernel = kernel
                    self.client.km, self.client.kc = kernel.manager, kernel.client
                    saver = asyncio.create_task(self._save_as_it_grows())
                    folder = self.job.path.parent
                    self.silence = asyncio.create_task(
                        answer.awaited(folder, kernel, lambda: self.client.heard)
                    )
                    try:
                        return await self._cells()
                    finally:
                        saver.cancel()
                        self.silence.cancel()
        except asyncio.CancelledError:
            if not self.interrupts:
                raise
            return Execution(Ended.INTERRUPTED, "interrupted before the experiment began")
        finally:
            self.save()

    async def _cells(self) -> Execution:
        cells = {cell.id: cell for cell in self.job.notebook.cells}
        for index, cell in enumerate(self.job.notebook.cells):
            try:
                if cell.id == "import":
                    refusal = await self._import(cell, index, cells["call"])
                    if refusal:
                        return Execution(Ended.ERROR, refusal)
                    self.save()
                elif cell.id == "call":
                    await self._call(cell, index)
                else:
                    await self.client.async_execute_cell(cell, index)
            except CellExecutionError as error:
                return self._stopped(Ended.ERROR, str(error.evalue))
            except DeadKernelError:
                return await self._died()
        return Execution(Ended.FINISHED)

    def _stopped(self, otherwise: Ended, reason: str) -> Execution:
        if self.timed_out:
            return Execution(Ended.TIMED_OUT, f"the time limit of {self.job.timeout:g} s was reached")
        if self.interrupts:
            return Execution(Ended.INTERRUPTED, "interrupted")
        return Execution(otherwise, reason)

    async def _died(self) -> Execution:
        assert self.kernel is not None
        if self.silence is not None and self.silence.done():
            told = TrialFolder(self.job.path.parent).outcome.exists()
            reason = "the kernel did not answer any more after the experiment had returned"
            return self._stopped(Ended.ERROR if told else Ended.DIED, reason)
        cause = await self.kernel.cause_of_death()
        return self._stopped(Ended.DIED, f"the kernel's process ended ({cause or 'cause unknown'})")

    async def _call(self, cell: Any, index: int) -> None:
        """Execute the call; at the time limit it is interrupted, and killed after a grace period."""
        watch = asyncio.create_task(self._limit()) if self.job.timeout else None
        try:
            await self.client.async_execute_cell(cell, index)
        finally:
            if watch is not None:
                watch.cancel()

    async def _limit(self) -> None:
        assert self.job.timeout is not None and self.kernel is not None
        await asyncio.sleep(self.job.timeout)
        self.timed_out = True
        await self.kernel.interrupt()
        await asyncio.sleep(self.job.grace)
        await self.kernel.kill()

    async def _import(self, cell: Any, index: int, call: Any) -> str:
        """Execute the import; in one request with it the guard says how to call the experiment.

        Writes the call; returns why it cannot be called.
        """
        with self.client.asking({"plan": PLAN}) as answers:
            await self.client.async_execute_cell(cell, index)
        answer = answers["plan"]
        if answer["status"] != "ok":
            raise InternalError(f"the guard could not look at the experiment: {answer.get('evalue')}")
        plan = json.loads(ast.literal_eval(answer["data"]["text/plain"]))
        if "error" in plan:
            call.outputs = [new_output("error", ename="ContractError", evalue=plan["error"], traceback=[])]
            return str(plan["error"])
        call.source = self.job.call(plan["by_keyword"])
        return ""

    async def _save_as_it_grows(self) -> None:
        beating: threading.Thread | None = None
        beaten = time.monotonic()
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            if time.monotonic() - beaten >= BEAT_SECONDS and (beating is None or not beating.is_alive()):
                # beside the loop, and nobody waits for it: a store that hangs does not hang the trial
                beating = threading.Thread(target=self.job.beat, name="mitosis-heartbeat", daemon=True)
                beating.start()
                beaten = time.monotonic()
            if self.client.changed:
                self.client.changed = False
                self.save()

    def save(self) -> None:
        """Write the notebook as it is now; where that cannot be, the experiment is ended."""
        try:
            write_atomic(self.job.path, nbformat.writes(self.job.notebook).encode())
        except OSError as error:
            self._break(self.job.path, error)

    def _stream(self, name: str, text: str) -> None:
        if self.broken:
            return  # what is still on its way would take the room that is left for the end
        try:
            self.job.stream(name, text)
        except OSError as error:
            self._break(self.job.log, error)

    def _break(self, path: Path, error: OSError) -> None:
        """What the experiment gives cannot be kept: there is no sense in letting it run on."""
        if self.broken:
            return
        self.broken = f"{path} cannot be written: {error.strerror or error}"
        if self.kernel is not None:
            self._background = asyncio.ensure_future(self._interrupt_then_kill(self.kernel))

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGINT, SIGTERM and SIGHUP interrupt the experiment; a second one kills the kernel."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread hears signals
            return
        loop = asyncio.get_running_loop()

        def hear(_number: int, _frame: Any) -> None:
            if not signals.note():  # at once: the loop may be over before it looks
                return
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._interrupt)

        with signals.handled(hear):
            if signals.heard():  # before there was anything to interrupt
                self._interrupt()
            yield

    def _interrupt(self) -> None:
        self.interrupts += 1
        if self.kernel is None:
            if self.task is not None:
                self.task.cancel()
        elif self.interrupts == 1:
            self._background = asyncio.ensure_future(self._interrupt_then_kill(self.kernel))
        else:
            self._background = asyncio.ensure_future(self.kernel.kill())

    async def _interrupt_then_kill(self, kernel: kernels.Kernel) -> None:
        await kernel.interrupt()
        await asyncio.sleep(self.job.grace)
        await kernel.kill()


def execute(job: Job) -> Execution:
    """Execute `job.notebook` in a fresh kernel, filling in its outputs; it is saved whatever happens.

    Returns how it ended; does not raise for the experiment's own errors. Raises InternalError
    where the kernel cannot be started.
    """
    runner = _Runner(job)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(runner.run())
    # inside a running loop (a notebook, some workers): a loop of our own beside it
    with ThreadPoolExecutor(1) as beside:
        return beside.submit(asyncio.run, runner.run()).result()
