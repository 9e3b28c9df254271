"""The tree of errors: every message says what happened, to which thing, and what to do next."""

from __future__ import annotations


class MitosisError(Exception):
    """An expected error; `str()` of it is the one or two lines that the user reads.

    `what` says what happened and to which thing, `todo` what to do next.
    """

    def __init__(self, what: str, todo: str = "") -> None:
        self.what = what
        self.todo = todo
        super().__init__(what, todo)

    def __str__(self) -> str:
        return f"{self.what}\n  {self.todo}" if self.todo else self.what


class Refused(MitosisError):
    """Nothing ran and nothing was recorded: a precondition does not hold, or the usage is wrong."""


class RepositoryRefused(Refused):
    """No usable repository: none, bare, unborn, owned by somebody else, or git is missing."""


class DirtyRepository(Refused):
    """The working tree is not what the commit says."""


class ConfigurationRefused(Refused):
    """The composed configuration asks for something that cannot be."""


class ParameterRefused(ConfigurationRefused):
    """A parameter has no canonical form; the message names its key."""


class VariantRedefined(Refused):
    """The name of a variant is locked to other content."""


class SelectionRefused(Refused):
    """What chooses trials cannot be read: an expression, a name, a date, a column."""


class TrialNotFound(Refused):
    """No trial, or more than one, answers to the name given."""


class ResultRefused(Refused):
    """What an experiment returned cannot be read back."""


class StoreRefused(Refused):
    """The store cannot be used: newer schema, unreachable, no permission, no locks."""


class StoreAway(StoreRefused):
    """The server of the store cannot be reached now; nothing was wrong with the question."""


class WorkerRefused(Refused):
    """A worker sees another mitosis, commit or store than the driver that sent it the job."""


class StoreUnseen(WorkerRefused):
    """A worker does not see the driver's store: there is nowhere to record it."""


class TrialRefused(Refused):
    """The trial cannot be made: its folder cannot be written, an input is missing."""


class JobTaken(Refused):
    """Another trial stands for this job of the sweep: an engine ran the job a second time."""


class InternalError(MitosisError):
    """A fault of mitosis itself that was foreseen (an invariant does not hold)."""
