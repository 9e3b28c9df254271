"""What was found out about a trial after it had ended: in the store, and beside the trial in its folder."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from mitosis.folder import TrialFolder
from mitosis.trial import Attestation, Remark, Trial, from_plain, plain

if TYPE_CHECKING:
    from mitosis.store.store import Store


def attest(store: Store, trial: Trial, attestation: Attestation) -> Remark | None:
    """File `attestation` of a trial that has ended in the store, then in its folder; the time is the store's.

    Returns a note where the folder cannot be written (it is gone, full, or read-only): the store has it
    then, and only a store made anew from the folders would not. Raises TrialNotFound where the store does
    not know the trial, StoreRefused where it cannot be written.
    """
    store.attest(trial.id, attestation)
    folder = TrialFolder(trial.spec.folder)
    try:
        with folder.alone():
            folder.write_json(folder.attestations, [plain(a) for a in store.attestations(trial.id)])
    except OSError as error:
        what = f"what was found out about trial {trial.id} is in the store alone: {error.strerror or error}"
        return Remark("attestation_unkept", what, str(folder.attestations))
    return None


def kept(folder: TrialFolder) -> tuple[Attestation, ...]:
    """The attestations that lie in the folder, oldest first; those that cannot be read are left out."""
    try:
        document = folder.read_json(folder.attestations)
    except OSError:
        return ()
    found = []
    for entry in document if isinstance(document, list) else ():
        with contextlib.suppress(KeyError, TypeError, ValueError):
            found.append(from_plain(Attestation, entry))
    return tuple(found)
