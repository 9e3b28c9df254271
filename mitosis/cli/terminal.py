"""Shows trials and sweeps in the terminal while they run."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from mitosis.cli import text
from mitosis.display import Naming, write
from mitosis.errors import StoreRefused
from mitosis.gate import Sweep, Verdict, open_store
from mitosis.request import Request
from mitosis.trial import Status, Trial, TrialSpec

if TYPE_CHECKING:
    from rich.live import Live
    from rich.progress import Progress, TaskID

    from mitosis.cli.elsewhere import Elsewhere

POLL_SECONDS = 1.0
_MANY = 100  # jobs of a sweep, from which on it is told what they cost the driver


class Terminal:
    """The driver's display: the experiment's output live, a closing line, and a sweep's progress.

    With `quiet_stdout` everything goes to stderr: stdout is kept for one JSON document. `hints`: a trial by
    itself ends with the next useful command.
    """

    def __init__(self, quiet_stdout: bool = False, hints: bool = False) -> None:
        self._hints = hints
        self._out: TextIO = sys.stderr if quiet_stdout else sys.stdout
        self._sweep: _Progress | None = None
        self._name: Naming = str

    def naming(self, name: Naming) -> None:
        """Shorten ids by `name`, as far as the store can be asked."""

        def asked(trial: str) -> str:
            try:
                return name(trial)
            except StoreRefused:
                return trial

        self._name = asked

    def started(self, spec: TrialSpec, why: str) -> None:
        """Say which trial begins."""
        if self._sweep is None or why:
            what = f"{text.brief(f'{spec.experiment} {spec.variant}')} seed={spec.seed}"
            self._line(f"{self._name(spec.id)} {what}: running{f' ({text.safe(why)})' if why else ''}")

    def skipped(self, request: Request, trial: Trial) -> None:
        """Say which trial stands for the one that was asked for."""
        what = f"{text.brief(f'{request.experiment} {request.label}')} seed={request.seed}"
        main = text.number(trial.outcome.main) if trial.outcome is not None else "-"
        self._line(f"{self._name(trial.id)} stands for {text.safe(what)}: main={main}")

    def stream(self, name: str, content: str) -> None:
        """Pass on what the experiment writes; above the bar in a sweep."""
        if self._sweep is not None:
            self._sweep.stream(name, content)
            return
        write(sys.stderr if name == "stderr" else self._out, content)

    def finished(self, trial: Trial) -> None:
        """Print the closing line, after the user's own traceback where it failed."""
        if self._sweep is not None:
            self._sweep.finish_lines()
        if trial.status is not Status.SUCCEEDED:
            self._complain(text.failure(trial))
        if self._sweep is None or trial.status is not Status.SUCCEEDED:
            self._line(text.closing_line(trial, self._name(trial.id)))
        unfiled = text.unfiled(trial, self._name)
        if unfiled:
            self._complain(unfiled)
        elif self._hints and self._sweep is None:  # as tables.hint, which needs click
            what = "open" if trial.status is Status.SUCCEEDED else "show"
            write(
                self._out if self._out.isatty() else sys.stderr,
                f"next: mitosis {what} {self._name(trial.id)}\n",
            )

    def sweep_started(self, verdict: Verdict, sweep: Sweep) -> None:
        """Begin the progress of a sweep."""
        self._sweep = _Progress(verdict, sweep, self._out)

    def sweep_finished(self, verdict: Verdict) -> None:
        """End the progress; the last thing said is a table of outcomes."""
        if self._sweep is not None:
            self._sweep.close()
            self._sweep = None

    def _line(self, line: str) -> None:
        if self._sweep is not None:
            self._sweep.write(line + "\n")
        else:
            write(self._out, line + "\n")

    def _complain(self, message: str) -> None:
        if self._sweep is not None:
            self._sweep.write(message + "\n")
        else:
            write(sys.stderr, message + "\n")


class _Progress:
    """Progress of a sweep, counted in the store, so that it holds for every launcher.

    A rich bar on a terminal, otherwise a line whenever a trial has ended.
    """

    def __init__(self, verdict: Verdict, sweep: Sweep, out: TextIO) -> None:
        self._verdict, self._sweep, self._out = verdict, sweep, out
        self._counts: dict[Status, int] = {}
        self._skipped = 0
        self._rests: dict[str, str] = {}  # of each stream, the line that is not finished
        self._elsewhere: Elsewhere | None = None
        if sweep.elsewhere:
            from mitosis.cli.elsewhere import Elsewhere

            self._elsewhere = Elsewhere(sweep.id, verdict.began)
        self._over = threading.Event()
        self._bar: tuple[Live, Progress, TaskID] | None = None
        if out.isatty() and os.environ.get("TERM") != "dumb":
            self._bar = _bar(sweep.size, out, self._unfinished)
        size = f"{sweep.size} trials" if sweep.size is not None else "trials"
        self.write(f"sweep {sweep.id}: {size}\n")
        if sweep.resumed:  # how it stood before is no news
            with contextlib.suppress(StoreRefused), open_store(verdict.store) as store:
                self._counts, self._skipped = store.jobs(sweep.id)
        self._thread = threading.Thread(target=self._watch, name="mitosis-progress", daemon=True)
        self._thread.start()

    def stream(self, name: str, content: str) -> None:
        """What an experiment writes, above the bar as a terminal would leave it; a last line may grow."""
        if self._bar is None:
            write(sys.stderr if name == "stderr" else self._out, content)
            return
        *lines, rest = (self._rests.get(name, "") + content).split("\n")
        for line in lines:
            self.write(_as_left(line) + "\n")
        self._rests[name] = _as_left(rest) + ("\r" if rest.endswith("\r") else "")

    def write(self, content: str) -> None:
        """A line of ours, or one that is whole, after what the experiment left unfinished."""
        if self._bar is not None:
            from rich.text import Text

            with contextlib.suppress(OSError, ValueError):
                self._bar[0].console.print(Text.from_ansi(content.rstrip("\n")), highlight=False)
        else:
            write(self._out, content)

    def finish_lines(self) -> None:
        """Show what a trial wrote without an end of line."""
        lines = self._unfinished()
        self._rests.clear()
        for line in lines:
            self.write(line + "\n")

    def _unfinished(self) -> list[str]:
        """The lines that are not finished, such as a progress bar of the experiment's own."""
        return [_as_left(rest) for rest in list(self._rests.values()) if rest.strip()]

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._update()
        if self._bar is not None:
            self._bar[0].stop()
        try:
            with open_store(self._verdict.store) as store:
                name = store.brief("sweep", [self._sweep.id])[self._sweep.id]
        except StoreRefused:
            name = self._sweep.id
        size = self._sweep.size
        done = sum(self._counts.values()) + self._skipped
        if not self._sweep.resumed and (cost := driver_cost(done)):  # else other drivers had a part in it
            self.write(cost)
        self.write(text.outcomes(self._sweep.id, name, self._counts, self._skipped, size) + "\n")

    def _watch(self) -> None:
        while not self._over.wait(POLL_SECONDS):
            self._update()

    def _update(self) -> None:
        try:
            with open_store(self._verdict.store) as store:
                counts, skipped = store.jobs(self._sweep.id)
                if self._elsewhere is not None:
                    for line in self._elsewhere.lines(store, counts, skipped):
                        self.write(line + "\n")
        except StoreRefused:
            return  # what was counted last stays on the screen; the trials do not need the display
        done = sum(n for s, n in counts.items() if s.final) + skipped
        before = sum(n for s, n in self._counts.items() if s.final) + self._skipped
        self._counts, self._skipped = dict(counts), skipped
        unfailed = counts.get(Status.SUCCEEDED, 0) + counts.get(Status.INTERRUPTED, 0)
        failed = done - skipped - unfailed
        running = counts.get(Status.RUNNING, 0)
        if self._bar is not None:
            _, progress, task = self._bar
            progress.update(task, completed=done, failed=failed, running=running)
        elif done != before:
            total = f" of {self._sweep.size}" if self._sweep.size is not None else ""
            self.write(f"{done}{total} done, {failed} failed, {running} running\n")


def driver_cost(jobs: int) -> str:
    """What a sweep of so many jobs has cost the driver itself, as a line; nothing for a small one."""
    if jobs < _MANY:
        return ""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = (usage.ru_utime + usage.ru_stime) / jobs
    memory = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
    return f"driver: {cpu:.2g} s of CPU time a job, {memory:.0f} MB of memory at most\n"


def _as_left(line: str) -> str:
    """What a terminal shows of a line that was written over and over, by carriage returns."""
    return line.rstrip("\r").rpartition("\r")[2]


def _bar(size: int | None, out: TextIO, unfinished: Callable[[], list[str]]) -> tuple[Live, Progress, TaskID]:
    """The bar of a sweep on the terminal `out`; above it the lines that the experiment still writes."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.text import Text

    bar = Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("done, {task.fields[failed]} failed, {task.fields[running]} running, eta"),
        TimeRemainingColumn(),
    )
    task = bar.add_task("sweep", total=size, failed=0, running=0)

    def shown() -> Group:
        lines = [Text.from_ansi(line, no_wrap=True, overflow="ellipsis") for line in unfinished()]
        return Group(*lines, bar.get_renderable())

    live = Live(get_renderable=shown, console=Console(file=out), refresh_per_second=10)
    live.start()
    return live, bar, task
