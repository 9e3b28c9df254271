"""The tables of the store: what is asked for in narrow columns, everything else as JSON beside it.

Texts that many trials share (parameter sets, environments, lists of files and of modules) are kept
once under the SHA-256 of their content. Times are whole microseconds since 1970, UTC.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

from mitosis.errors import InternalError

VERSIONS = ("0001", "0002", "0003")
"""Every schema there was, oldest first; the last is the one that this code reads and writes."""

VERSION_TABLE = "schema_version"
"""Not alembic's own name: Optuna's tables, and their alembic_version, may live in the same database."""

SEEDS = range(-(2**63), 2**63)
"""The seeds that a column holds."""

_ESCAPED = "\x1b"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Line(TypeDecorator[str]):
    """Text from outside, kept exactly: file names hold lone surrogates, and PostgreSQL refuses NUL.

    What a database cannot hold is written as JSON behind an escape character.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """The text as the database holds it."""
        if value is None or (value.isascii() and value.isprintable()):
            return value
        plain = "\x00" not in value and not value.startswith(_ESCAPED)
        if plain and not any("\ud800" <= character <= "\udfff" for character in value):
            return value
        return _ESCAPED + json.dumps(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], str | None]:
        """Gives the text as it was given; one call for each value, of which a page has thousands."""

        def given(value: Any) -> str | None:
            if value is None or value[:1] != _ESCAPED:
                plain: str | None = value
                return plain
            return str(json.loads(value[1:]))

        return given


def micros(moment: str | datetime) -> int:
    """Microseconds since 1970 of an ISO 8601 text or a datetime; InternalError where it has no zone."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        raise InternalError(f"a time without a time zone reached the store: {moment.isoformat()}")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def iso(microseconds: int) -> str:
    """The time as ISO 8601 in UTC to the millisecond, as `trial.utc_now` writes it."""
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat(timespec="milliseconds")


# hex digits compare byte by byte, whatever the locale of a database, so that prefixes are ranges
HEX = String().with_variant(String(collation="C"), "postgresql")
NUMBER = BigInteger().with_variant(Integer(), "sqlite")  # only INTEGER is SQLite's own row number

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)

schema_version = Table(
    VERSION_TABLE,
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),  # as alembic makes it
)

about = Table(  # who made this store, for the message to whom it is too new
    "about",
    metadata,
    Column("key", String(), primary_key=True),
    Column("value", Line(), nullable=False),
)

projects = Table(
    "projects",
    metadata,
    Column("id", NUMBER, primary_key=True),
    Column("name", Line(), nullable=False, unique=True),
)

parameter_sets = Table(
    "parameter_sets",
    metadata,
    Column("digest", HEX, primary_key=True),
    Column("text", Text(), nullable=False),  # canonical
)

parameter_values = Table(  # resolved values, only where they are not the text of the set
    "parameter_values",
    metadata,
    Column("digest", HEX, primary_key=True),
    Column("text", Text(), nullable=False),  # canonical
)

environments = Table(
    "environments",
    metadata,
    Column("digest", HEX, primary_key=True),
    Column("content", Text()),  # JSON; NULL: a trial was adopted whose folder does not hold it
)

sweeps = Table(
    "sweeps",
    metadata,
    Column("id", Line(), primary_key=True),
    Column("project", ForeignKey("projects.id"), nullable=False),
    Column("command", Line()),  # NULL: known only from its trials
    Column("size", Integer()),
    Column("started", BigInteger()),
    Index("ix_sweeps_project_started", "project", "started"),
)

variants = Table(
    "variants",
    metadata,
    Column("id", NUMBER, primary_key=True),
    Column("project", ForeignKey("projects.id"), nullable=False),
    Column("experiment", Line(), nullable=False),
    Column("group", Line(), nullable=False),
    Column("option", Line(), nullable=False),
    Column("version", Integer(), nullable=False),
    Column("digest", HEX, nullable=False),
    Column("text", Text(), nullable=False),  # canonical
    Column("filed", BigInteger(), nullable=False),
    UniqueConstraint("project", "experiment", "group", "option", "version"),
    UniqueConstraint("project", "experiment", "group", "option", "digest"),
)

file_sets = Table("file_sets", metadata, Column("digest", HEX, primary_key=True))

files = Table(  # inputs and outputs: a list is kept once for all trials that read or wrote the same
    "files",
    metadata,
    Column("file_set", ForeignKey("file_sets.digest"), primary_key=True),
    Column("position", Integer(), primary_key=True),
    Column("path", Line(), nullable=False),
    Column("digest", HEX, nullable=False),
    Column("size", BigInteger(), nullable=False),
    Column("kind", String(), nullable=False),
    Index("ix_files_path", "path"),
    Index("ix_files_digest", "digest"),
)

module_sets = Table(
    "module_sets",
    metadata,
    Column("digest", HEX, primary_key=True),
    Column("content", Text(), nullable=False),  # JSON: a list of ModuleRecord
)

trials = Table(  # the columns that `ls` shows, filters by and sorts by
    "trials",
    metadata,
    Column("seq", NUMBER, primary_key=True),  # order of filing
    Column("id", HEX, nullable=False, unique=True),
    Column("project", ForeignKey("projects.id"), nullable=False),
    Column("experiment", Line(), nullable=False),
    Column("variant", Line(), nullable=False),
    Column("param_set", ForeignKey("parameter_sets.digest"), nullable=False),
    Column("param_values", ForeignKey("parameter_values.digest")),  # NULL: they are the set's text
    Column("seed", BigInteger(), nullable=False),
    Column("status", String(), nullable=False),
    Column("main", Double()),  # what can be compared; NULL: no number, or nan
    Column("main_text", Text()),  # JSON of any value, NaN included; NULL: none
    Column("commit", HEX, nullable=False),
    Column("branch", Line()),
    Column("dirty", Boolean(), nullable=False),
    Column("started", BigInteger(), nullable=False),
    Column("seconds", Double()),
    Column("cpu_seconds", Double()),
    Column("sweep", ForeignKey("sweeps.id")),
    Column("job", Integer()),
    Column("folder", Line(), nullable=False),
    Column("note", Line(), nullable=False),
    Column("taints", Integer(), nullable=False),
    Column("heartbeat", BigInteger()),  # by the clock of the store
    Column("code_identity", HEX),  # NULL: it runs, or what it loaded is not known
    Column("expectation", String()),  # "confirmed", "refuted"; NULL: nothing was expected
    Column("removed", BigInteger()),  # when it was moved to the trash; NULL: it was not
    # one index for each question of `ls`: what it asks for, then the order in which it is shown
    Index("ix_trials_started", "started"),
    Index("ix_trials_project_started", "project", "started"),
    Index("ix_trials_project_experiment_started", "project", "experiment", "started"),
    Index("ix_trials_project_variant_started", "project", "variant", "started"),
    Index("ix_trials_project_status_started", "project", "status", "started"),
    Index("ix_trials_project_seed_started", "project", "seed", "started"),
    Index("ix_trials_project_commit_started", "project", "commit", "started"),
    Index("ix_trials_sweep_job", "sweep", "job"),
    Index("ix_trials_recipe", "param_set", "seed"),
)

# PostgreSQL is told of the condition when its tables are made (setup.py): to name a dialect here loads it,
# with asyncio and more, into every command
RUNNING = text("status = 'running'")
running_index = Index("ix_trials_running", trials.c.started, sqlite_where=RUNNING)

details = Table(  # what only `show` and its siblings read
    "details",
    metadata,
    Column("trial", ForeignKey("trials.seq"), primary_key=True),
    Column("spec", Text(), nullable=False),  # JSON of the TrialSpec less what stands in other tables
    Column("outcome", Text()),  # JSON of the Outcome, likewise; NULL: it runs
    Column("environment", ForeignKey("environments.digest"), nullable=False),
    Column("declared", ForeignKey("file_sets.digest")),  # inputs the configuration names
    Column("observed", ForeignKey("file_sets.digest")),  # inputs the trial was seen to read
    Column("written", ForeignKey("file_sets.digest")),  # outputs
    Column("modules", ForeignKey("module_sets.digest")),
    Index("ix_details_written", "written"),
)
READS = text("declared IS NOT NULL OR observed IS NOT NULL")
reads_index = Index(  # holds all that is asked: the table's rows are long
    "ix_details_reads",
    *(details.c.trial, details.c.declared, details.c.observed),
    sqlite_where=READS,
)

claims = Table(  # which trial stands for a job of a sweep: an engine may run a job twice
    "claims",
    metadata,
    Column("sweep", ForeignKey("sweeps.id"), primary_key=True),
    Column("job", Integer(), primary_key=True),
    Column("trial", ForeignKey("trials.seq"), nullable=False),
    sqlite_with_rowid=False,
)

trial_variants = Table(
    "trial_variants",
    metadata,
    Column("trial", ForeignKey("trials.seq"), primary_key=True),
    Column("position", Integer(), primary_key=True),
    Column("variant", ForeignKey("variants.id"), nullable=False),
    Index("ix_trial_variants_variant", "variant", "trial"),
    sqlite_with_rowid=False,
)

metrics = Table(
    "metrics",
    metadata,
    Column("trial", ForeignKey("trials.seq"), primary_key=True),
    Column("name", Line(), primary_key=True),
    Column("value", Double()),  # NULL is nan: SQLite has none
    sqlite_with_rowid=False,
)

tags = Table(
    "tags",
    metadata,
    Column("trial", ForeignKey("trials.seq"), primary_key=True),
    Column("name", Line(), primary_key=True),
    Index("ix_tags_name", "name", "trial"),
    sqlite_with_rowid=False,
)

attestations = (
    Table(  # what was found out about a trial after it had ended: it was reproduced, its noise measured
        "attestations",
        metadata,
        Column("id", NUMBER, primary_key=True),
        Column("trial", ForeignKey("trials.seq"), nullable=False),
        Column("kind", String(), nullable=False),
        Column("verdict", String(), nullable=False),
        Column("made", BigInteger(), nullable=False),  # by the clock of the store
        Column("host", Line(), nullable=False),
        Column("content", Text(), nullable=False),  # JSON
        Index("ix_attestations_trial", "trial"),
    )
)

digest_cache = Table(  # one state of each file, the latest that was read
    "digest_cache",
    metadata,
    Column("host", Line(), primary_key=True),  # empty in SQLite, whose file lies beside the inputs
    Column("device", BigInteger(), primary_key=True),
    Column("inode", BigInteger(), primary_key=True),
    Column("size", BigInteger(), nullable=False),
    Column("mtime_ns", BigInteger(), nullable=False),
    Column("ctime_ns", BigInteger(), nullable=False),
    Column("digest", HEX, nullable=False),
    sqlite_with_rowid=False,
)
