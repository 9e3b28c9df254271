"""What the store is told of trials after they have ended: attestations, removals, and who refers to whom."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import select

from mitosis.store import load, record, removal, schema
from mitosis.store.connected import Connected
from mitosis.trial import Attestation, Remark


class Afterwards(Connected):
    """The part of `store.Store` that speaks of trials that are over."""

    def attest(self, trial: str, found: Attestation) -> None:
        """Add to a finished trial what was found out about it; the time is the store's.

        Raises TrialNotFound where the store does not know the id.
        """
        with self._transaction(write=True) as connection:
            record.attest(connection, trial, found)

    def keep_attestations(self, trial: str, found: Sequence[Attestation]) -> int:
        """File what a folder tells, with its own times, as far as it is new; returns how many were.

        Raises TrialNotFound where the store does not know the id.
        """
        with self._transaction(write=True) as connection:
            known = load.attestations(connection, trial)
            new = [attestation for attestation in found if attestation not in known]
            for attestation in new:
                record.attest(connection, trial, attestation, schema.micros(attestation.made_at))
        return len(new)

    def mark_removed(self, trial: str, folder: str, at: str | None = None) -> bool:
        """Say that the trial lies in the trash, at `folder`, since `at` (default: now).

        Returns whether that was new. Raises TrialNotFound.
        """
        with self._transaction(write=True) as connection:
            when = None if at is None else schema.micros(at)
            return removal.mark(connection, trial, True, folder, when)

    def mark_restored(self, trial: str, folder: str) -> bool:
        """Say that the trial lies in the trash no more, but at `folder`; otherwise as `mark_removed`."""
        with self._transaction(write=True) as connection:
            return removal.mark(connection, trial, False, folder)

    def removed(self, trials: Collection[str]) -> set[str]:
        """Those of the trials with those ids that lie in the trash."""
        table = schema.trials.c
        with self._transaction() as connection:
            there = select(table.id).where(table.id.in_(trials), table.removed.is_not(None))
            return set(connection.execute(there).scalars())

    def references(self, trial: str) -> list[Remark]:
        """What refers to the trial with that id: see `removal.references`."""
        with self._transaction() as connection:
            return removal.references(connection, trial)

    def attestations(self, trial: str) -> list[Attestation]:
        """What was found out about the trial with that id after it had ended, oldest first."""
        with self._transaction() as connection:
            return load.attestations(connection, trial)
