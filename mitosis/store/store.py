"""The store that the rest of mitosis sees: frozen values in, frozen values out, one transaction a call."""

from __future__ import annotations

import platform
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import time
from types import TracebackType
from typing import Any

from sqlalchemy import select, update

from mitosis.errors import StoreRefused
from mitosis.store import groups, load, place, query, record, schema, setup, short, sweeps, variants
from mitosis.store.address import Address, display_url, password_in, read
from mitosis.store.afterwards import Afterwards
from mitosis.store.digests import DigestCache
from mitosis.store.rows import project_id, server_now
from mitosis.store.values import Group, Query, SweepRecord, SweepState, VariantUse
from mitosis.trial import (
    JSON,
    Outcome,
    Status,
    Summary,
    Trial,
    TrialSpec,
    Variant,
    utc_now,
)
from mitosis.where import Key

__all__ = ["Query", "Store", "SweepRecord", "VariantUse", "display_url", "password_in"]


class Store(Afterwards):
    """Trials in a database; made by `open` or `existing`.

    It may be pickled and survives a fork: connections are opened where they are used, one for each
    transaction, or for those of a `burst`. Every method raises StoreRefused where the database cannot do
    what is asked.
    """

    def __init__(self, address: Address) -> None:
        """For `open` and `existing`: nothing is checked here."""
        super().__init__(address)
        self._cache: DigestCache | None = None

    @classmethod
    def open(cls, url: str | Path) -> Store:
        """The store at `url` (a URL, or the path of a SQLite file), made or upgraded where needed.

        Raises StoreRefused where it is newer than this mitosis, not ours, or cannot be reached or
        made.
        """
        store = cls(read(url))
        if store._address.path is not None:
            place.check(store._address.path)
        setup.prepare(store._own_engine(), store._address, setup.Plan())
        return store

    @classmethod
    def existing(cls, url: str | Path) -> Store | None:
        """As `open`, but makes nothing: None where there is no file, an empty one, or no tables."""
        store = cls(read(url))
        if store._address.path is not None:
            place.check(store._address.path)
        engine, plan = store._own_engine(), setup.Plan()
        found = setup.stamp(engine, store._address) if setup.is_there(store._address) else None
        if found is not None and found != plan.head:
            setup.prepare(engine, store._address, plan)
        return None if found is None else store

    def __reduce__(self) -> tuple[Any, ...]:
        return Store, (self._address,)

    def __repr__(self) -> str:
        return f"Store({self._address.shown!r})"

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what the cache of digests still holds; the store may be used again."""
        if self._cache is not None:
            with suppress(StoreRefused):  # a digest that is lost is only computed again
                self._cache.flush()
        self._leave()

    @property
    def url(self) -> str:
        """Where the store is, without a password."""
        return display_url(self._address.path or self._address.url)

    # -- writing ---------------------------------------------------------------------------------

    def variants(
        self, project: str, experiment: str, chosen: Sequence[Variant], redefine: Collection[str] = ()
    ) -> tuple[Variant, ...]:
        """`chosen` with the versions that they have or would get; nothing is written.

        `redefine` holds names such as `params/fast`. Raises VariantRedefined where a name is locked
        to other content and not in `redefine`.
        """
        with self._transaction() as connection:
            return variants.check(connection, project, experiment, chosen, redefine)

    def lock(self, project: str, experiment: str, variant: Variant, redefine: Collection[str] = ()) -> None:
        """Lock a name to its content outside of a trial's start; a known content writes nothing.

        Raises VariantRedefined where it is locked to other content and not in `redefine`.
        """
        with self._transaction() as connection:
            (known,) = variants.check(connection, project, experiment, [variant], redefine)
            if variants.is_filed(connection, project, experiment, known):
                return
        with self._transaction(write=True) as connection:
            number = project_id(connection, project)
            variants.file(connection, number, experiment, [variant], redefine)

    def writers(self, paths: Collection[str], project: str) -> dict[str, str]:
        """For each of `paths` that a trial of the project wrote: the id of the latest that did."""
        with self._transaction() as connection:
            return load.writers(connection, paths, project)

    def start(
        self,
        spec: TrialSpec,
        environment: Mapping[str, JSON],
        redefine: Collection[str] = (),
        replaces: str | None = None,
    ) -> TrialSpec:
        """File a trial as `running`; returns it as filed: versions filled in, tags sorted.

        Where it is a job of a sweep it claims that job; `replaces` is the id of a trial that is
        over and whose claim it takes. Raises VariantRedefined; JobTaken where another trial stands
        for the job; StoreRefused where the id is taken. Nothing is written then.
        """
        with self._transaction(write=True) as connection:
            filed, seq = record.insert_trial(connection, spec, environment, redefine)
            record.claim(connection, filed, seq, replaces)
        return filed

    def finish(self, trial: str, outcome: Outcome) -> bool:
        """Write the end of the trial with that id; False, and nothing changes, where it was over.

        Raises TrialNotFound where the store does not know it.
        """
        with self._transaction(write=True) as connection:
            return record.end(connection, trial, outcome)

    def adopt(self, trial: Trial, environment: Mapping[str, JSON] | None = None) -> bool:
        """File a whole trial as its folder tells it; False where the store knows the id.

        No name of a variant and no claim of a job refuses it: it happened.
        """
        with self._transaction(write=True) as connection:
            known = select(schema.trials.c.seq).where(schema.trials.c.id == trial.id)
            if connection.execute(known).first() is not None:
                return False
            spec, seq = record.insert_trial(connection, trial.spec, environment, redefine=None)
            record.keep_claim(connection, spec, seq)
            if trial.outcome is not None and trial.outcome.status.final:
                record.end(connection, trial.id, trial.outcome)
        return True

    def begin_sweep(self, sweep: str, project: str, command: str, size: int | None, started_at: str) -> None:
        """File a sweep of `size` jobs (None: not known); one that is filed already stays as it is."""
        with self._transaction(write=True) as connection:
            project_number = project_id(connection, project)
            started = schema.micros(started_at)
            record.begin_sweep(connection, sweep, project_number, command, size, started)

    def forget_sweep(self, sweep: str) -> bool:
        """Take out a sweep of which nothing was begun; False where something was."""
        with self._transaction(write=True) as connection:
            return record.forget_sweep(connection, sweep)

    def heartbeat(self, trial: str) -> bool:
        """Say that the trial is alive; False where it is not running (any more)."""
        table = schema.trials
        with self._transaction(write=True) as connection:
            alive = (table.c.id == trial) & (table.c.status == Status.RUNNING.value)
            beat = update(table).where(alive).values(heartbeat=server_now(connection))
            return connection.execute(beat).rowcount == 1

    def label(
        self, trial: str, add: Collection[str], remove: Collection[str], note: str | None
    ) -> tuple[tuple[str, ...], str]:
        """Change tags and, unless it is None, the note of a trial; returns both as they are now.

        Raises TrialNotFound where the store does not know the id.
        """
        with self._transaction(write=True) as connection:
            return record.label(connection, trial, add, remove, note)

    # -- reading ---------------------------------------------------------------------------------

    def now(self) -> str:
        """The time by the clock that decides: the server's, or this machine's for a file; ISO 8601, UTC."""
        if self._address.path is not None:
            return utc_now()
        with self._transaction() as connection:
            return schema.iso(server_now(connection))

    def ahead(self) -> float:
        """Seconds by which this machine's clock is ahead of the store's; 0 for a file."""
        if self._address.path is not None:
            return 0.0
        with self._transaction() as connection:
            return round(time() - server_now(connection) / 1e6, 3)

    def standing(self, sweep: str, first: int, last: int) -> dict[int, Summary]:
        """By number, the trials that stand for the jobs `first` to `last` of the sweep."""
        with self._transaction() as connection:
            return query.standing(connection, sweep, first, last)

    def running(self) -> list[Trial]:
        """The trials in status `running`, of all projects and hosts, oldest first."""
        with self._transaction() as connection:
            return load.trials(connection, query.running(connection))

    def silences(self) -> dict[str, float]:
        """By id, the seconds since each running trial was last heard of, by the clock of the store."""
        with self._transaction() as connection:
            return query.silences(connection, server_now(connection))

    def get(self, name: str, project: str | None = None) -> Trial:
        """The trial that `name` means: a unique prefix of its id, or @1 for the latest of `project`.

        Raises TrialNotFound with the candidates there are.
        """
        with self._transaction() as connection:
            found = load.trials(connection, [load.named(connection, name, project)])[0]
        return self._address.of(found)

    def whole(self, names: Sequence[str]) -> list[Trial]:
        """The trials with those whole ids, in that order, those that are known."""
        table = schema.trials.c
        with self._transaction() as connection:
            rows = connection.execute(select(table.id, table.seq).where(table.id.in_(names)))
            seqs = {row.id: row.seq for row in rows}
            found = load.trials(connection, [seqs[name] for name in names if name in seqs])
        return [self._address.of(trial) for trial in found]

    def find(self, question: Query) -> list[Summary]:
        """A page of trials, newest first unless it says otherwise; raises Refused for an unknown `sort`."""
        with self._transaction() as connection:
            found = query.find(connection, question)
        return self._address.here(found)

    def reads(self, question: Query) -> dict[str, tuple[str | None, str | None]]:
        """By id, what tells the inputs of trials apart; trials without any are left out."""
        with self._transaction() as connection:
            return query.reads(connection, question)

    def count(self, question: Query) -> dict[Status, int]:
        """How many trials of each status there are, of those the question means, whatever the page."""
        with self._transaction() as connection:
            return query.count(connection, question)

    def sweep(self, sweep: str) -> SweepRecord | None:
        """The sweep with that id; None where the store does not know it."""
        with self._transaction() as connection:
            return sweeps.get(connection, sweep)

    def claimed(self, sweep: str, job: int) -> Trial | None:
        """The trial that stands for the job of the sweep; None where none has claimed it."""
        table = schema.claims
        with self._transaction() as connection:
            holder = select(table.c.trial).where(table.c.sweep == sweep, table.c.job == job)
            seq = connection.execute(holder).scalar()
            return None if seq is None else load.trials(connection, [seq])[0]

    def stand_in(self, sweep: str, job: int, trial: str) -> None:
        """Let a trial of before stand for a job that nothing was run for. Raises TrialNotFound."""
        with self._transaction(write=True) as connection:
            record.stand_in(connection, sweep, job, trial)

    def stood_for(self, sweep: str) -> list[int]:
        """The jobs of the sweep that an earlier trial stands for."""
        with self._transaction() as connection:
            return sweeps.stood_for(connection, sweep)

    def jobs(self, sweep: str) -> tuple[dict[Status, int], int]:
        """How the jobs of the sweep stand: by status, and for how many an earlier trial stands."""
        with self._transaction() as connection:
            return sweeps.jobs(connection, sweep)

    def latest_sweep(self, name: str | None, project: str | None) -> SweepRecord | None:
        """The latest sweep of the project, or that whose id begins with `name`; None where there is none."""
        with self._transaction() as connection:
            return sweeps.latest(connection, name, project)

    def brief(self, kind: str, digests: Collection[str]) -> dict[str, str]:
        """By id or digest, its shortest unique beginning; see `short.COLUMNS` for the kinds."""
        with self._transaction() as connection:
            return short.shortest(connection, kind, digests)

    def short(self, trial: str) -> str:
        """The shortest beginning, never under seven digits, that names the trial with that id."""
        return self.brief("id", [trial])[trial]

    def groups(self, question: Query, by: Sequence[Key]) -> list[Group]:
        """Counts and means of the trials the question means, by the values of `by`; no limit holds.

        Raises SelectionRefused for a key that trials cannot be grouped by.
        """
        with self._transaction() as connection:
            return groups.groups(connection, question, by)

    def absent(self, wanted: Iterable[Key]) -> list[Key]:
        """The parameters and metrics among the keys that no trial of the store has."""
        with self._transaction() as connection:
            return groups.absent(connection, wanted)

    def named_sweep(self, name: str) -> SweepRecord | None:
        """The sweep whose id begins with `name`; None, or TrialNotFound where there is more than one."""
        with self._transaction() as connection:
            return sweeps.named(connection, name)

    def unbegun_sweep(self, project: str | None) -> str | None:
        """The id of the newest sweep of the project where none of its jobs has begun yet, else None."""
        with self._transaction() as connection:
            return sweeps.unbegun(connection, project)

    def sweep_state(self, sweep: str, hosts: bool = False) -> SweepState | None:
        """How the sweep with that id stands, with its hosts on demand; None where it is not known."""
        with self._transaction() as connection:
            return sweeps.state(connection, sweep, hosts)

    def environment(self, digest: str) -> dict[str, JSON] | None:
        """The content of an environment; None where the store does not hold it."""
        with self._transaction() as connection:
            return load.environment(connection, digest)

    def variant_history(self, project: str | None = None) -> list[VariantUse]:
        """Every version of every variant, by experiment, name and version, with its uses."""
        with self._transaction() as connection:
            return variants.history(connection, project)

    def integrity(self) -> list[str]:
        """What the database itself finds wrong with its file and its references; empty where nothing is."""
        with self._transaction() as connection:
            return query.integrity(connection)

    def digests(self) -> DigestCache:
        """The cache of digests of input files; written at the latest by `close`."""
        if self._cache is None:
            # one file system or many: the numbers of files are those of a host
            host = "" if self._address.path is not None else platform.node()
            self._cache = DigestCache(self._transaction, host)
        return self._cache
