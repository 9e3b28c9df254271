"""What `import mitosis` gives for reading results: `mitosis.trials(...)` and `mitosis.load(id)`."""

from __future__ import annotations

import html
import os
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from mitosis import finding, frame, identity, telling
from mitosis import where as expressions
from mitosis.errors import ResultRefused, SelectionRefused, TrialNotFound
from mitosis.folder import TrialFolder
from mitosis.trial import Status, Summary

if TYPE_CHECKING:
    import pandas

_MOST = 50  # rows that a notebook shows


@dataclass(frozen=True)
class LoadedTrial:
    """A trial of the record, to be read; what lies in its folder is read when it is asked for."""

    summary: Summary = field(repr=False)

    def __repr__(self) -> str:
        line = self.summary
        return f"<trial {line.id} {line.experiment} {line.variant} seed={line.seed} {self.status}>"

    @property
    def id(self) -> str:
        """12 hex digits."""
        return self.summary.id

    @property
    def experiment(self) -> str:
        """The name of the experiment."""
        return self.summary.experiment

    @property
    def variant(self) -> str:
        """The label: `fast`, `digits,model=svm`, `fast+dt=0.5`."""
        return self.summary.variant

    @property
    def seed(self) -> int:
        """The seed."""
        return self.summary.seed

    @property
    def status(self) -> str:
        """`running`, `succeeded`, `failed`, `timed_out`, `died`, `interrupted` or `lost`."""
        return self.summary.status.value

    @property
    def main(self) -> Any:
        """The number, or the JSON value, that the experiment returned; None where it did not succeed."""
        return self.summary.main

    @property
    def metrics(self) -> dict[str, float]:
        """The other numbers that it returned, by name; read from the store, never unpickled."""
        return dict(self.summary.metrics)

    @cached_property
    def params(self) -> Any:
        """The resolved parameters, as plain dicts, lists and numbers."""
        return identity.parse(self.summary.params)

    @property
    def commit(self) -> str:
        """The full hash of the commit whose code ran."""
        return self.summary.commit

    @property
    def started_at(self) -> datetime:
        """When it was started, in UTC."""
        return datetime.fromisoformat(self.summary.started_at)

    @property
    def seconds(self) -> float | None:
        """How long the call of the experiment took."""
        return self.summary.seconds

    @property
    def note(self) -> str:
        """The note; empty where there is none."""
        return self.summary.note

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags, sorted."""
        return self.summary.tags

    @property
    def folder(self) -> Path:
        """The folder of the trial."""
        return Path(self.summary.folder)

    @property
    def html(self) -> Path | None:
        """The report; None where there is none."""
        return _existing(TrialFolder(self.folder).html)

    @property
    def notebook(self) -> Path | None:
        """The executed notebook; None where there is none."""
        return _existing(TrialFolder(self.folder).notebook)

    @property
    def figures(self) -> list[Path]:
        """The files of the figures, sorted by name."""
        directory = TrialFolder(self.folder).figures
        return sorted(p for p in directory.iterdir() if p.is_file()) if directory.is_dir() else []

    @property
    def log(self) -> str:
        """What the experiment wrote to stdout and stderr; empty where there is no log."""
        path = _existing(TrialFolder(self.folder).log)
        return path.read_text(encoding="utf-8", errors="replace") if path is not None else ""

    @cached_property
    def result(self) -> Any:
        """The whole of what `run` returned. This unpickles a file, which RUNS WHATEVER CODE THE FILE NAMES.

        Open only the results of trials that you trust. Raises ResultRefused where there is none, or where
        a class in it cannot be imported here.
        """
        path = TrialFolder(self.folder).result
        if not path.exists():
            what = f"trial {self.id} ({self.status}) kept no result: {path}"
            raise ResultRefused(what, "metrics and main are there without it")
        try:
            return pickle.loads(path.read_bytes())  # noqa: S301 - said above, and in the documentation
        except (ImportError, AttributeError) as error:
            what = f"the result of trial {self.id} holds what cannot be imported here: {error}"
            todo = "put the experiment's repository on sys.path, at the commit of the trial"
            raise ResultRefused(what, todo) from error
        except Exception as error:  # to load a pickle runs code, which may raise anything
            what = f"the result of trial {self.id} cannot be read: {type(error).__name__}: {error}"
            raise ResultRefused(what, "see whether the file is whole: mitosis check") from error

    def _repr_html_(self) -> str:
        return _table([self])


class Trials(Sequence[LoadedTrial]):
    """Trials in the order that was asked for; a sequence that makes a data frame of itself."""

    def __init__(self, found: Sequence[LoadedTrial]) -> None:
        self._found = tuple(found)

    @overload
    def __getitem__(self, at: int) -> LoadedTrial: ...

    @overload
    def __getitem__(self, at: slice) -> Trials: ...

    def __getitem__(self, at: int | slice) -> LoadedTrial | Trials:
        return Trials(self._found[at]) if isinstance(at, slice) else self._found[at]

    def __len__(self) -> int:
        return len(self._found)

    def __repr__(self) -> str:
        return f"<{len(self)} trials{''.join(f'{chr(10)}  {trial!r}' for trial in self._found[:_MOST])}>"

    def to_pandas(self) -> pandas.DataFrame:
        """A row for each trial: the keys of a trial, then `params.NAME`, then `metrics.NAME`.

        Raises SelectionRefused where pandas is missing.
        """
        try:
            import pandas
        except ImportError as error:
            what = f"data frames are made by pandas, which cannot be imported ({error})"
            raise SelectionRefused(what, "install it: pip install 'mitosis[pandas]'") from error
        table = frame.whole([trial.summary for trial in self._found])
        columns = {name: [row[at] for row in table.rows] for at, name in enumerate(table.columns)}
        made: pandas.DataFrame = pandas.DataFrame(columns, columns=list(table.columns))
        made["started_at"] = pandas.to_datetime(made["started_at"], utc=True, format="ISO8601")
        return made

    def _repr_html_(self) -> str:
        return _table(self._found)


def trials(
    where: str | None = None,
    *,
    experiment: str | None = None,
    variant: str | None = None,
    status: str | None = None,
    seed: int | None = None,
    commit: str | None = None,
    sweep: str | None = None,
    since: str | datetime | None = None,
    until: str | datetime | None = None,
    tags: Sequence[str] = (),
    sort: str = "-started_at",
    limit: int | None = None,
    all_projects: bool = False,
    store: str | Path | None = None,
) -> Trials:
    """The trials that all arguments mean, newest first; the arguments are the options of `mitosis ls`.

    `where` is an expression such as `params.dt < 0.1 and status == failed`. Of the project of the working
    directory, unless `all_projects` or outside of a repository. Raises SelectionRefused where an argument
    cannot be read, StoreRefused where the store cannot be used; without a store there are none.
    """
    from mitosis.store import Query

    try:
        statuses = (Status(status),) if status is not None else ()
    except ValueError as error:
        words = ", ".join(s.value for s in Status)
        raise SelectionRefused(f"there is no status {status!r}", f"it is one of {words}") from error
    question = Query(
        project=None if all_projects else finding.project(),
        experiment=experiment,
        variant=variant,
        status=statuses,
        seed=seed,
        commit=commit,
        sweep=sweep,
        since=_moment(since),
        until=_moment(until),
        tags=(tags,) if isinstance(tags, str) else tuple(tags),
        where=None if where is None else expressions.parse(where),
        sort=sort,
        limit=limit,
    )
    with_store = finding.existing(None if store is None else str(store))
    if with_store is None:
        return Trials(())
    with with_store as opened:
        return Trials([LoadedTrial(line) for line in opened.find(question)])


def load(trial: str, *, store: str | Path | None = None) -> LoadedTrial:
    """The trial that `trial` names: a unique prefix of its id, or `@1` for the latest of this project.

    Raises TrialNotFound where there is none, or more than one; StoreRefused as `trials` does.
    """
    from mitosis.store import Query

    with_store = finding.existing(None if store is None else str(store))
    if with_store is None:
        todo = "change into the repository of the experiments, or name it: store=..."
        raise TrialNotFound(f"there is no trial {trial}: no store was found", todo)
    with with_store as opened:
        found = opened.get(trial, finding.project() if store is None else None)
        line = opened.find(Query(where=expressions.parse(f"id == {found.id}"), removed=True, limit=1))
    return LoadedTrial(line[0])


def _moment(given: str | datetime | None) -> datetime | None:
    if not isinstance(given, datetime):
        return None if given is None else expressions.moment(given)
    return given.astimezone()  # a time without a zone is in the user's own


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None


def _table(found: Sequence[LoadedTrial]) -> str:
    """HTML: a row for each trial, its id linked to its report, with the parameters that differ."""
    shown = found[:_MOST]
    names = frame.differing([trial.summary for trial in shown])
    heads = ["trial", "experiment", "variant", "seed", *names, "status", "main", "took"]
    rows = "".join(_row(trial, names) for trial in shown)
    more = f"<p>{len(found) - _MOST} more</p>" if len(found) > _MOST else ""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}"


def _row(trial: LoadedTrial, names: Sequence[str]) -> str:
    values = [frame.reader(name)(trial.summary) for name in names]
    main = "" if trial.main is None else identity.shown(trial.main, 40)
    shown = ["" if value is None else identity.shown(value, 40) for value in values]
    cells = [trial.experiment, trial.variant, str(trial.seed), *shown, trial.status, main]
    cells.append(telling.duration(trial.seconds))
    report = trial.html
    name = trial.id if report is None else f'<a href="{html.escape(_address(report))}">{trial.id}</a>'
    return f"<tr><td>{name}</td>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"


def _address(report: Path) -> str:
    """Relative where the notebook lies above it, so that Jupyter serves it; else the file's own."""
    if report.is_relative_to(Path.cwd()):
        return os.path.relpath(report).replace("%", "%25").replace("#", "%23").replace("?", "%3F")
    return report.as_uri()
