"""Finds the first commit between two trials at which a number leaves the tolerance around the good one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mitosis import differences, floats, gate, identity
from mitosis.again import hybrids, noise, recorded
from mitosis.again.recorded import Bench, Impossible, Recorded
from mitosis.capture import environment, git, history, shape
from mitosis.display import Display
from mitosis.errors import Refused, TrialRefused
from mitosis.trial import Status, Trial

if TYPE_CHECKING:
    from mitosis.store.store import Store

GOOD, BAD, SKIPPED = "good", "bad", "skipped"
_LEAST = 1e-9  # relative tolerance where there is no noise


@dataclass(frozen=True, slots=True)
class Run:
    """What is known of one commit."""

    commit: str
    verdict: str  # good, bad; skipped: it cannot run, or has no number
    value: float | None  # the mean over the seeds
    trials: tuple[Trial, ...]
    started: bool  # trials of it were run now, and gave a number
    reason: str = ""  # of `skipped`


@dataclass(frozen=True, slots=True)
class Question:
    """What is searched for, and how a commit is told good from bad."""

    metric: str
    seeds: tuple[int, ...]
    good: float
    tolerance: float

    def verdict(self, value: float) -> str:
        """good or bad."""
        return GOOD if abs(value - self.good) <= self.tolerance else BAD


@dataclass(frozen=True, slots=True)
class Answer:
    """The culprit, or the commits it is one of, and all that was looked at, in that order."""

    question: Question
    commit: str | None
    candidates: tuple[str, ...]  # the culprit alone; several where commits that cannot run lie before it
    runs: tuple[Run, ...]
    length: int  # commits that were searched: those of the line, and of what its merges brought in
    parted: bool = (
        False  # the culprit is where the two lines parted: the good number came later, on the other
    )

    uncommitted: bool = False  # the candidates are snapshots: no commit made the change

    @property
    def started(self) -> int:
        """How many commits were run."""
        return sum(run.started for run in self.runs)

    def of(self, commit: str) -> Run | None:
        """What is known of a commit."""
        return next((run for run in self.runs if run.commit == commit), None)


@dataclass
class Search:
    """One search: the recipe, what is known so far, and how many commits run at a time."""

    bench: Bench
    recipe: Recorded
    question: Question
    display: Display
    jobs: int = 1
    stop: Callable[[], None] = lambda: None  # ends the kernels of trials that run side by side
    known: dict[str, Run] = field(default_factory=dict)
    moved: Trial | None = None  # the bad trial, where its entry point is another one
    file: str = ""  # the module of the good entry point

    def look(self, commits: Sequence[str]) -> None:
        """Find out about `commits`, side by side where several jobs are allowed."""
        new = [c for c in dict.fromkeys(commits) if c not in self.known]
        if self.jobs == 1 or len(new) == 1:
            found = [self._run(commit) for commit in new]
        else:
            with ThreadPoolExecutor(self.jobs) as pool:
                try:
                    found = list(pool.map(self._run, new))
                except KeyboardInterrupt:  # the threads do not hear it, and are waited for
                    self.stop()
                    raise
        self.known.update({run.commit: run for run in found})

    def _run(self, commit: str) -> Run:
        """The commit by the good entry point; by the bad one where that is another, and cannot run."""
        if self.moved is None:
            return self._by(self.recipe, commit)
        spec = self.moved.spec
        other = replace(self.recipe, module=spec.module, function=spec.function)
        if self.file and not shape.has(self.bench.repository, commit, self.file):
            return self._by(other, commit)
        run = self._by(self.recipe, commit)
        if run.verdict != SKIPPED:
            return run
        again = self._by(other, commit)
        return again if again.verdict != SKIPPED else run

    def _by(self, recipe: Recorded, commit: str) -> Run:
        trials: list[Trial] = []
        started = False
        for seed in self.question.seeds:
            wanted = recorded.with_seed(replace(recipe, commit=commit, donors=(commit,)), seed)
            try:
                trial, ran = self._trial(wanted)
            except (Impossible, TrialRefused) as error:
                return Run(commit, SKIPPED, None, tuple(trials), started, str(error).partition("\n")[0])
            trials.append(trial)
            value = differences.value(trial, self.question.metric)
            if trial.status is not Status.SUCCEEDED or not differences.is_number(value):
                error_of = trial.outcome.error if trial.outcome else None
                reason = f"{error_of.kind}: {error_of.message}" if error_of else f"no number: {value!r}"
                reason = f"{trial.status.value}: {reason}".partition("\n")[0]
                return Run(commit, SKIPPED, None, tuple(trials), started, reason)
            started = started or ran
        mean = floats.mean([differences.value(t, self.question.metric) for t in trials])
        return Run(commit, self.question.verdict(mean), mean, tuple(trials), started)

    def _trial(self, wanted: Recorded) -> tuple[Trial, bool]:
        """The trial of a commit and a seed: one that is recorded, or a new one."""
        with gate.open_store(self.bench.store) as store:
            there = hybrids.found(store, self.bench, wanted)
        if there is not None:
            return there, False
        why = f"bisects at {wanted.commit[:7]}, seed {wanted.seed}"
        new = recorded.run(self.bench, wanted, self.display, why, "bisect")
        if new.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        return new, True


def recipe(good: Trial, repository: Path) -> Recorded:
    """The recipe of the good trial; data that its commit holds comes from each commit that is tried."""
    own = recorded.recorded(good)
    code = differences.loaded(good)

    def of_commit(path: str) -> bool:
        return path in code or shape.has(repository, own.commit, path)

    kept = tuple(r for r in own.inputs if Path(r.path).is_absolute() or not of_commit(r.path))
    return replace(own, inputs=kept, branch=None)


def question(store: Store, good: Trial, metric: str, tolerance: float | None, seeds: int) -> Question:
    """What is asked: the good value, and the tolerance, which is by default the noise of the good recipe.

    Raises Refused where the good trial has no finite number.
    """
    value = differences.value(good, metric)
    if good.status is not Status.SUCCEEDED or not differences.is_number(value) or not math.isfinite(value):
        what = f"{metric} of the good trial {good.id} is no number: {identity.shown(value)}"
        todo = "choose a trial that succeeded, or another metric: --metric NAME"
        raise Refused(f"{what} ({good.status.value})", todo)
    if tolerance is None:
        tolerance = max(noise.noise_of(store, good, metric).floor, _LEAST * abs(value))
    return Question(metric, tuple(range(good.spec.seed, good.spec.seed + seeds)), float(value), tolerance)


def bisect(
    bench: Bench,
    good: Trial,
    bad: Trial,
    asked: Question,
    display: Display,
    jobs: int = 1,
    stop: Callable[[], None] = lambda: None,
) -> Answer:
    """Search between the commits of two trials, running good's parameters, seed and inputs.

    Commits that a recorded trial stands for are not run. `stop` ends kernels, for an interruption while
    several `jobs` run. Raises Refused where the commit of `good` is not
    good, or that of `bad` not bad, by today's measure.
    """
    search = Search(bench, recipe(good, bench.repository), asked, display, jobs, stop)
    if (good.spec.module, good.spec.function) != (bad.spec.module, bad.spec.function):
        modules = good.outcome.modules if good.outcome else ()
        search.moved = bad
        search.file = next((m.path for m in modules if m.name == good.spec.module), "")
    ends = _ends(bench, good, bad)
    today = environment.digest(environment.collect())
    if good.spec.environment == today and len(asked.seeds) == 1:
        search.known[ends[0]] = Run(ends[0], GOOD, asked.good, (good,), False)
    else:
        search.look([ends[0]])
        run = search.known[ends[0]]
        if run.value is None:
            raise Refused(f"the good commit {ends[0][:7]} cannot run here: {run.reason}", "mitosis reproduce")
        asked = search.question = replace(asked, good=run.value)
        search.known[ends[0]] = replace(run, verdict=GOOD)
    search.look([ends[1]])
    _is_bad(search.known[ends[1]], good, bad)
    commits = history.line(bench.repository, *ends)
    searched = set(commits)
    suspects = _narrowed(search, commits)
    while len(suspects) == 1:  # what a merge brought in is searched as well
        above = history.parents(bench.repository, suspects[0])
        if len(above) < 2:
            break
        side = history.line(bench.repository, above[0], above[1])
        searched.update(side)
        search.look(side[-1:])
        if search.known[side[-1]].verdict != BAD:
            break
        suspects = _narrowed(search, side)
    length = len(searched - {ends[0]})  # a side line begins where it parted from the other
    commit = suspects[0] if len(suspects) == 1 else None
    parted = commit is not None and commit == commits[0] and not _descends(bench, *ends)
    runs = tuple(search.known.values())
    snapshots = [t.spec.code.commit for t in (good, bad) if t.spec.code.dirty]
    if parted and snapshots:  # what differs was never committed
        return Answer(asked, None, tuple(snapshots), runs, length, uncommitted=True)
    if commit is not None and commit in snapshots:
        return Answer(asked, None, (commit,), runs, length, uncommitted=True)
    return Answer(asked, commit, tuple(suspects), runs, length, parted)


def _is_bad(end: Run, good: Trial, bad: Trial) -> None:
    """Raises Refused where the last commit cannot be told from the good one."""
    if end.verdict == BAD:
        return
    what = f"the code of commit {end.commit[:7]} with the parameters, seed and data of {good.id}"
    if end.value is None:
        raise Refused(
            f"{what} cannot run: {end.reason}",
            f"nothing is said about the commits; choose a bad trial that runs: mitosis show {bad.id}",
        )
    raise Refused(
        f"{what} gives {end.value:.6g}, which is good",
        f"commits are not the cause: mitosis why {good.id} {bad.id}",
    )


def _ends(bench: Bench, good: Trial, bad: Trial) -> tuple[str, str]:
    """The commits of the two. Raises Refused where nothing lies between them, in this order."""
    a, b = good.spec.code.commit, bad.spec.code.commit
    if a == b:
        raise Refused(
            f"both trials are of commit {a[:7]}: no commit lies between them",
            f"see what differs: mitosis diff {good.id} {bad.id}",
        )
    if _descends(bench, b, a):
        raise Refused(
            f"the good trial ran {a[:7]}, which comes after {b[:7]} of the bad one",
            f"to find where it got better, swap them: mitosis bisect {bad.id} {good.id}",
        )
    return a, b


def _descends(bench: Bench, good: str, bad: str) -> bool:
    answer = git.attempt(bench.repository, "merge-base", "--is-ancestor", good, bad)
    return answer.returncode == 0


def _narrowed(search: Search, commits: Sequence[str]) -> list[str]:
    """The commits of a line, whose last is bad, that can be the first bad one."""
    low, high = -1, len(commits) - 1
    while True:
        open_ones = [i for i in range(low + 1, high) if commits[i] not in search.known]
        decided = [i for i in range(low + 1, high) if _verdict(search, commits[i]) in (GOOD, BAD)]
        if not open_ones and not decided:
            return list(commits[low + 1 : high + 1])
        if not decided:
            picked = _picked(open_ones, low, high, search.jobs)
            search.look([commits[i] for i in picked])
            decided = [i for i in picked if _verdict(search, commits[i]) in (GOOD, BAD)]
        high = min([i for i in decided if _verdict(search, commits[i]) == BAD], default=high)
        low = max([i for i in decided if i < high and _verdict(search, commits[i]) == GOOD], default=low)


def _verdict(search: Search, commit: str) -> str | None:
    run = search.known.get(commit)
    return run.verdict if run is not None else None


def _picked(open_ones: Sequence[int], low: int, high: int, jobs: int) -> list[int]:
    """So many of the commits that can be tried, nearest to the points that divide the range evenly."""
    picked: list[int] = []
    for k in range(jobs):
        wanted = low + (high - low) * (k + 1) / (jobs + 1)
        rest = sorted((abs(i - wanted), i) for i in open_ones if i not in picked)
        picked += [i for _, i in rest[:1]]
    return sorted(picked)
