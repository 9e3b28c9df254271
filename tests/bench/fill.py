"""Fills a store with as many trials as years of work leave, by bulk inserts into its own tables."""

from __future__ import annotations

import hashlib
import random
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sqlalchemy import Table, create_engine

from mitosis import identity
from mitosis.store import Store, schema
from mitosis.trial import (
    CodeState,
    Failure,
    HostProcess,
    ModuleRecord,
    Outcome,
    ParameterSet,
    Status,
    TrialSpec,
    Variant,
)

PROJECTS = (
    "https://example.org/lab/attractors.git",
    "https://example.org/lab/digits.git",
    "https://example.org/ada/notes.git",
)
_SHARES = (0.70, 0.25, 0.05)  # of the projects
EXPERIMENTS = (
    "lorenz",
    "rossler",
    "digits",
    "kuramoto",
    "ablation",
    "baseline",
    "noise",
    "scaling",
    "transfer",
    "toy",
)
OPTIONS = ("fast", "slow", "small", "large", "deep", "wide", "paper", "debug")
MODELS = ("svm", "forest", "logistic", "mlp")
TAGS = ("draft", "paper", "rerun", "figure-2", "wrong")
_STATUSES = {
    "succeeded": 0.93,
    "failed": 0.04,
    "interrupted": 0.015,
    "timed_out": 0.008,
    "died": 0.005,
    "lost": 0.002,
}
_SWEEP = 50  # trials of a sweep
_PER_COMMIT = 400  # trials that run the same commit, before the next
_SETS = 40  # parameter sets of one variant of one experiment
_EPOCH = int(datetime(2024, 1, 1, tzinfo=timezone.utc).timestamp() * 1e6)
_STEP = 60_000_000  # microseconds from one trial to the next
_BATCH = 20_000
_ENVIRONMENT = {"python": "3.11.7", "distributions": {f"package-{n}": [f"1.{n}", ""] for n in range(120)}}


def spec(number: int = 0, project: str = PROJECTS[0], option: str = "fast") -> TrialSpec:
    """A trial that starts, as one of a sweep of such a store would."""
    text = identity.canonical({"params": {"dt": 0.01, "steps": 20_000, "sigma": 10.0, "rho": 28.0}})
    variant = Variant("params", option, _hash(option + text), text)
    commit = _hash("commit")[:40]
    return TrialSpec(
        id=f"{number:012x}",
        experiment="lorenz",
        module="lab.experiments.lorenz",
        function="run",
        variant=option,
        variants=(variant,),
        params=text,
        param_set=ParameterSet(identity.digest(text), text),
        seed=number % 100,
        code=CodeState(commit, "main", False, project, "/home/ada/lab", project, True, "/home/ada/lab"),
        environment=_hash("environment"),
        started_at=schema.iso(_EPOCH + number * _STEP),
        folder=f"/home/ada/lab/trials/lorenz/{number:012x}",
        process=HostProcess("node-7", 4242, 1234.5, "b007" * 8, "5e1f" * 4, "pid:[4026531836]"),
        overrides=("experiment=lorenz", f"params={option}", f"seed={number % 100}"),
        settings={"figure_formats": ["png"]},
    )


def outcome(status: Status = Status.SUCCEEDED) -> Outcome:
    """How such a trial ends."""
    error = (
        None if status is Status.SUCCEEDED else Failure("ValueError", "it gives up", "Traceback ...\n" * 10)
    )
    modules = tuple(
        ModuleRecord(f"lab.part{n}", f"lab/part{n}.py", _hash(str(n))[:40], "commit") for n in range(8)
    )
    return Outcome(
        status=status,
        finished_at="2026-01-01T00:00:00.000+00:00",
        seconds=12.5,
        cpu_seconds=11.5,
        main=0.125 if error is None else None,
        metrics={"loss": 0.5, "accuracy": 0.75, "energy": -1.5} if error is None else {},
        error=error,
        figures=("attractor.png",),
        modules=modules,
        code_identity=_hash("code"),
    )


def fill(path: Path, trials: int, chance: int = 0) -> None:
    """Make the store at `path` with so many trials; the same for the same numbers, whenever it is made."""
    _templates(path)
    draw = random.Random(chance)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        made = _Maker(connection, draw)
        indexes = [index for table in schema.metadata.tables.values() for index in table.indexes]
        engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(path))
        for index in indexes:
            index.drop(engine)
        for start in range(0, trials, _BATCH):
            for table, rows in made.batch(range(start, min(trials, start + _BATCH)), trials).items():
                _insert(connection, table, rows)
        connection.commit()
        for index in indexes:
            index.create(engine)
        engine.dispose()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _templates(path: Path) -> None:
    """File, the way mitosis does, what the rows of all others are made like."""
    with Store.open(path) as store:
        for number, project in enumerate(PROJECTS):
            for end in (Status.SUCCEEDED, Status.FAILED, None):
                at = 3 * number + [Status.SUCCEEDED, Status.FAILED, None].index(end)
                filed = replace(spec(at, project), id=f"f{at:011x}")
                store.start(filed, _ENVIRONMENT)
                if end is not None:
                    store.finish(filed.id, outcome(end))


class _Maker:
    """Makes the rows of trials out of those of the templates."""

    def __init__(self, connection: sqlite3.Connection, draw: random.Random) -> None:
        self.draw = draw
        connection.row_factory = sqlite3.Row
        trials = connection.execute('SELECT * FROM trials ORDER BY "seq"').fetchall()
        self.first = trials[-1]["seq"] + 1
        self.templates = {t["status"]: dict(t) for t in trials[:3]}
        self.details = {
            t["status"]: dict(
                connection.execute("SELECT * FROM details WHERE trial = ?", (t["seq"],)).fetchone()
            )
            for t in trials[:3]
        }
        self.projects = [
            connection.execute("SELECT id FROM projects WHERE name = ?", (name,)).fetchone()[0]
            for name in PROJECTS
        ]
        connection.row_factory = None
        self.variants: dict[tuple[int, str, str, str], int] = {}
        self.sets: dict[tuple[str, str, int], str] = {}
        self.sweep: dict[str, Any] = {}

    def batch(self, numbers: range, trials: int) -> dict[Table, list[dict[str, Any]]]:
        """By table, the rows of these trials and of what they name for the first time."""
        rows: dict[Table, list[dict[str, Any]]] = {
            table: []
            for table in (
                schema.sweeps, schema.parameter_sets, schema.variants, schema.trials, schema.details,
                schema.claims, schema.trial_variants, schema.metrics, schema.tags,
            )
        }  # fmt: skip
        for number in numbers:
            self._trial(number, rows)
        return rows

    def _trial(self, number: int, rows: dict[Table, list[dict[str, Any]]]) -> None:
        draw, seq = self.draw, self.first + number
        chosen = self._chosen(number, rows)
        status = draw.choices(list(_STATUSES), list(_STATUSES.values()))[0]
        like = "succeeded" if status == "succeeded" else "failed"
        template, name = self.templates[like], _hash(f"trial {number}")[:12]
        main = draw.gauss(0.5, 0.2) if like == "succeeded" else None
        folder = f"/home/ada/lab/trials/{chosen['experiment']}/{name}"
        rows[schema.trials].append({
            **template,
            **chosen,
            "seq": seq,
            "id": name,
            "status": status,
            "main": main,
            "main_text": None if main is None else repr(main),
            "commit": _hash(f"commit {number // _PER_COMMIT}")[:40],
            "started": _EPOCH + number * _STEP + draw.randrange(_STEP),
            "seconds": draw.lognormvariate(3, 1),
            "cpu_seconds": draw.lognormvariate(3, 1),
            "folder": folder,
            "note": "compare with figure 2" if draw.random() < 0.05 else "",
        })  # fmt: skip
        detail = self.details[like]
        text = detail["spec"].replace(template["id"], name).replace(template["folder"], folder)
        rows[schema.details].append({**detail, "trial": seq, "spec": text})
        if chosen["sweep"] is not None:
            rows[schema.claims].append({"sweep": chosen["sweep"], "job": chosen["job"], "trial": seq})
        for position, key in enumerate(self.sweep["variants"]):
            rows[schema.trial_variants].append(
                {"trial": seq, "position": position, "variant": self.variants[key]}
            )
        if main is not None:
            for metric in ("accuracy", "energy", "loss"):
                rows[schema.metrics].append({"trial": seq, "name": metric, "value": draw.random()})
        if draw.random() < 0.1:
            rows[schema.tags].append({"trial": seq, "name": draw.choice(TAGS)})

    def _chosen(self, number: int, rows: dict[Table, list[dict[str, Any]]]) -> dict[str, Any]:
        """What was asked for: fifty trials of a sweep differ in the seed; one in five is a single run."""
        if number % _SWEEP == 0 or not self.sweep or self.sweep["id"] is None:
            self._another(number, rows)
        sweep = self.sweep
        return {
            "project": sweep["project"],
            "experiment": sweep["experiment"],
            "variant": sweep["label"],
            "param_set": sweep["param_set"],
            "seed": number % _SWEEP,
            "sweep": sweep["id"],
            "job": None if sweep["id"] is None else number % _SWEEP,
        }

    def _another(self, number: int, rows: dict[Table, list[dict[str, Any]]]) -> None:
        draw = self.draw
        project = draw.choices(self.projects, _SHARES)[0]
        experiment, option = draw.choice(EXPERIMENTS), draw.choice(OPTIONS)
        keys = [(project, experiment, "params", option)]
        label, which = option, draw.randrange(_SETS)
        if experiment == "digits":
            keys.append((project, experiment, "model", draw.choice(MODELS)))
            label += f",model={keys[1][3]}"
        if which:
            label += f"+dt={which / 1000}"
        single = (number // _SWEEP) % 5 == 4
        name = None if single else _hash(f"sweep {number}")[:12]
        self.sweep = {
            "id": name, "project": project, "experiment": experiment, "label": label, "variants": keys,
            "param_set": self._set(experiment, option, which, rows),
        }  # fmt: skip
        for key in keys:
            self._variant(key, rows)
        if name is not None:
            command = f"-m experiment={experiment} params={option} seed=range(0,50)"
            started = _EPOCH + number * _STEP
            rows[schema.sweeps].append(
                {"id": name, "project": project, "command": command, "size": _SWEEP, "started": started}
            )

    def _set(self, experiment: str, option: str, which: int, rows: dict[Table, list[dict[str, Any]]]) -> str:
        key = (experiment, option, which)
        if key not in self.sets:
            values = {"dt": which / 1000, "experiment": experiment, "option": option, "steps": 20_000}
            text = identity.canonical({**values, **{f"weight_{n}": n / 7 for n in range(12)}})
            self.sets[key] = identity.digest(text)
            rows[schema.parameter_sets].append({"digest": self.sets[key], "text": text})
        return self.sets[key]

    def _variant(self, key: tuple[int, str, str, str], rows: dict[Table, list[dict[str, Any]]]) -> None:
        if key in self.variants:
            return
        self.variants[key] = 1000 + len(self.variants)
        project, experiment, group, option = key
        text = identity.canonical({"params": {"name": option, "of": experiment}})
        rows[schema.variants].append({
            "id": self.variants[key], "project": project, "experiment": experiment, "group": group,
            "option": option, "version": 2, "digest": identity.digest(text), "text": text, "filed": _EPOCH,
        })  # fmt: skip


def _insert(connection: sqlite3.Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        return
    names = list(rows[0])
    assert set(names) <= set(table.c.keys()), f"{table.name} has no such columns: {names}"
    columns = ", ".join(f'"{n}"' for n in names)
    marks = ", ".join("?" for _ in names)
    connection.executemany(f'INSERT INTO "{table.name}" ({columns}) VALUES ({marks})', _values(rows, names))


def _values(rows: Iterable[dict[str, Any]], names: list[str]) -> Iterator[list[Any]]:
    return ([row[name] for name in names] for row in rows)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
