"""What a word on the command line means where trials, variants and sweeps can be named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mitosis.cli import text
from mitosis.errors import TrialNotFound
from mitosis.trial import Status, Trial

if TYPE_CHECKING:
    from mitosis.store.store import Store

MOST = 200  # trials of a variant or sweep that are read, the newest


@dataclass(frozen=True, slots=True)
class Chosen:
    """The trials that a word means, newest first, and what they are together."""

    name: str  # as people read it: "1234567 toy fast seed=0", "variant toy/fast, 12 trials"
    trials: tuple[Trial, ...]
    single: bool  # one trial was named

    @property
    def trial(self) -> Trial:
        """The newest."""
        return self.trials[0]


def chosen(store: Store, word: str, project: str | None) -> Chosen:
    """What `word` means: a trial, the succeeded trials of a variant (`fast`, `toy/fast`) or of a sweep.

    Raises TrialNotFound where it means nothing, or a variant of several experiments.
    """
    try:
        found = store.get(word, project)
    except TrialNotFound as error:
        return _variant(store, word, project) or _sweep(store, word, project) or _unknown(word, error)
    name = f"{found.id} {found.spec.experiment} {found.spec.variant} seed={found.spec.seed}"
    return Chosen(text.safe(name), (found,), True)


def _variant(store: Store, word: str, project: str | None) -> Chosen | None:
    from mitosis.store.store import Query

    before, slash, after = word.rpartition("/")
    readings = [(before, after)] if slash else []
    for experiment, label in [(None, word), *readings]:
        question = Query(project=project, experiment=experiment, variant=label, limit=MOST)
        lines = [s for s in store.find(question) if s.status is Status.SUCCEEDED]
        experiments = sorted({s.experiment for s in lines})
        if len(experiments) > 1:
            names = " ".join(f"{e}/{label}" for e in experiments)
            raise TrialNotFound(f"{word} is a variant of several experiments", f"name one: {names}")
        if lines:
            name = f"variant {experiments[0]}/{label}, {_count(len(lines))}"
            return Chosen(text.safe(name), tuple(store.get(s.id) for s in lines), False)
    return None


def _sweep(store: Store, word: str, project: str | None) -> Chosen | None:
    from mitosis.store.store import Query

    sweep = store.latest_sweep(word, project)
    if sweep is None:
        return None
    lines = store.find(Query(sweep=sweep.id, status=(Status.SUCCEEDED,), limit=MOST))
    if not lines:
        raise TrialNotFound(f"no trial of sweep {sweep.id} has succeeded", f"mitosis ls --sweep {sweep.id}")
    name = f"sweep {sweep.id}, {_count(len(lines))}"
    return Chosen(name, tuple(store.get(s.id) for s in lines), False)


def _count(number: int) -> str:
    return f"{number} trial{'' if number == 1 else 's'}"


def _unknown(word: str, error: TrialNotFound) -> Chosen:
    what = f"there is no trial, variant or sweep {word}: {error.what}"
    raise TrialNotFound(text.safe(what), error.todo) from error
