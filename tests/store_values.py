"""Specs, outcomes and fresh databases for the tests of the store."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from mitosis import identity
from mitosis.trial import (
    CodeState,
    Failure,
    FileRecord,
    HostProcess,
    ModuleRecord,
    Outcome,
    Remark,
    Status,
    TrialSpec,
    Variant,
)

POSTGRESQL = os.environ.get("MITOSIS_TEST_POSTGRESQL", "")
"""URL of a server on which the tests may make databases; without it SQLite alone is tested."""

BACKENDS = ["sqlite", "postgresql"] if POSTGRESQL else ["sqlite"]

EPOCH = datetime(2024, 5, 1, 12, tzinfo=timezone.utc)
ENVIRONMENT = {"python": "3.11.7", "distributions": {"numpy": ["2.1", None]}, "cpu": "ARM \u2122"}
HOSTILE = "a 'b' \"c\" \u00e4\U0001f9ec %s ?x :y\nnext;--"
_databases = itertools.count()


def at(seconds: float) -> str:
    """A time, as `utc_now` writes it, that many seconds after the first one of the tests."""
    return (EPOCH + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def variant(option: str = "fast", group: str = "params", **content: Any) -> Variant:
    text = identity.canonical(content or {"dt": 0.01})
    return Variant(group, option, identity.digest(text), text)


def trial_spec(number: int = 0, **changes: Any) -> TrialSpec:
    """A spec whose id and start are those of `number`, with a value of every kind in it."""
    code = CodeState(
        commit=changes.pop("commit", "c0ffee" + "0" * 34),
        branch=changes.pop("branch", "main"),
        dirty=False,
        project=changes.pop("project", "https://example.org/lab.git"),
        repository="/repo",
        remote="https://example.org/lab.git",
        pushed=True,
    )
    params = changes.pop("values", {"dt": 0.01, "model": {"kernel": "rbf"}})
    spec = TrialSpec(
        id=f"{number:012x}",
        experiment="lorenz",
        module="pkg.lorenz",
        function="run",
        variant="fast",
        variants=(variant(),),
        params=identity.canonical(params),
        param_set=identity.parameter_set(params),
        seed=7,
        code=code,
        environment="e" * 64,
        started_at=at(number),
        folder=f"/repo/trials/lorenz/{number:012x}",
        process=HostProcess("node-1", 4242, 12.25, "boot-id"),
        overrides=("params=fast", "seed=7"),
        inputs=(FileRecord("data/a.csv", "a" * 64, 10, "declared"),),
        note="a note",
        tags=("draft", "good"),
        notes=(Remark("unkept", "the ref could not be written", "refs/mitosis"),),
        settings={"root": "trials", "timeout": None},
    )
    return dataclasses.replace(spec, **changes)


def trial_outcome(**changes: Any) -> Outcome:
    """An outcome with a value of every kind in it."""
    outcome = Outcome(
        status=Status.SUCCEEDED,
        finished_at=at(60),
        seconds=1.5,
        cpu_seconds=1.25,
        main=0.125,
        metrics={"loss": 0.5, "acc": 0.75},
        error=None,
        figures=("attractor.png",),
        inputs=(FileRecord("data/b.csv", "b" * 64, 11, "observed"),),
        outputs=(FileRecord("out.csv", "0" * 64, 12, "output"),),
        modules=(ModuleRecord("pkg.lorenz", "pkg/lorenz.py", "f" * 40, "commit"),),
        taints=(Remark("changed", "read while it changed", "data/b.csv"),),
        notes=(Remark("unseeded", "default_rng()", "pkg/lorenz.py:3"),),
    )
    return dataclasses.replace(outcome, **changes)


FAILURE = Failure("ValueError", "no \x00 such \ud800 thing", "Traceback ...")


@contextmanager
def database(kind: str, directory: Path) -> Iterator[str]:
    """The URL of a store that is not there yet: a file in a hostile directory, or a new database."""
    if kind == "sqlite":
        yield f"sqlite:///{directory}/a 'hostile' näme?x#y%20/trials/mitosis.db"
    else:
        with database_on(POSTGRESQL) as url:
            yield url


@contextmanager
def database_on(url: str) -> Iterator[str]:
    """The URL of a new, empty database on a server; dropped at the end."""
    from sqlalchemy import create_engine, make_url

    server = make_url(url)
    name = f"mitosis_test_{os.getpid()}_{next(_databases)}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        engine.dispose()
