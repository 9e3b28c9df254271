"""How a store is made, upgraded and refused, and that indices answer its questions."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, inspect
from sqlalchemy.exc import IntegrityError

from mitosis.errors import InternalError, StoreRefused
from mitosis.store import Query, Store, connect, schema, setup
from mitosis.store.address import read
from mitosis.trial import Status
from tests.store_values import BACKENDS, ENVIRONMENT, EPOCH, database, trial_outcome, trial_spec, variant

PROJECT = "https://example.org/lab.git"
SCHEMAS = Path(__file__).parent / "schemas"

SECOND = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("trials", sa.Column("mood", sa.Text()))
    with op.batch_alter_table("sweeps") as batch:
        batch.alter_column("command", new_column_name="line")
    {}
"""


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with database(request.param, tmp_path) as made:
        yield made


def second_plan(directory: Path, last: str = "pass") -> setup.Plan:
    """A plan with a second schema, whose migration ends with the statement `last`."""
    directory.mkdir(exist_ok=True)
    (directory / "v9999_second.py").write_text(SECOND.format(last))
    return setup.Plan(versions=(*schema.VERSIONS, "9999"), migrations=(*setup.Plan().migrations, directory))


def upgrade(url: str | Path, plan: setup.Plan) -> None:
    setup.prepare(connect.make_engine(read(url)), read(url), plan)


def rows(path: Path, statement: str, *parameters: Any) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement, parameters).fetchall()


def clauses(path: Path) -> list[tuple[str, str, list[str]]]:
    """The schema of a file: columns in their order, then the constraints, whose order means nothing.

    A table that an upgrade made anew and renamed has its name in quotes.
    """
    found = rows(path, "SELECT type, name, coalesce(sql, '') FROM sqlite_master ORDER BY 1, 2")
    lines = [
        (kind, of, [line.strip("\t ,").replace(f'"{of}"', of) for line in sql.splitlines()])
        for kind, of, sql in found
    ]
    return [
        (kind, of, sorted(ls, key=lambda c: c if c.startswith("CONSTRAINT") else ""))
        for kind, of, ls in lines
    ]


# -- making ------------------------------------------------------------------------------------------


def test_reading_makes_nothing(url: str) -> None:
    """Where there is no store, `existing` says None, and leaves no file and no table."""
    assert Store.existing(url) is None
    assert Store.existing(url) is None
    path = read(url).path
    assert path is None or not path.parent.exists()
    with Store.open(url):
        assert Store.existing(url) is not None


def test_an_empty_file_is_no_store_yet(tmp_path: Path) -> None:
    """A file of no bytes, or of no tables, is read as absent, and becomes a store when one is needed."""
    path = tmp_path / "x.db"
    path.touch()
    assert Store.existing(path) is None
    rows(path, "PRAGMA user_version = 1")
    assert Store.existing(path) is None
    with Store.open(path) as store:
        assert store.find(Query()) == []


def test_a_new_store_equals_the_migrations(tmp_path: Path) -> None:
    """What `create_all` makes is, statement by statement, what the migrations make."""
    Store.open(tmp_path / "created.db")
    migrated = read(tmp_path / "migrated.db")
    engine = connect.make_engine(migrated, create=True)
    with connect.transaction(engine, migrated, write=True) as connection:
        setup._upgrade(connection, setup.Plan())
    assert len(clauses(tmp_path / "created.db")) > 30
    assert clauses(tmp_path / "created.db") == clauses(tmp_path / "migrated.db")


@pytest.mark.skipif("postgresql" not in BACKENDS, reason="set MITOSIS_TEST_POSTGRESQL to the URL of a server")
def test_a_new_postgresql_store_equals_the_migrations(tmp_path: Path) -> None:
    """Columns, types, keys and indices are the same in both."""
    found = []
    for migrate in (False, True):
        with database("postgresql", tmp_path) as url:
            engine = connect.make_engine(read(url))
            if migrate:
                with connect.transaction(engine, read(url)) as connection:
                    connection.exec_driver_sql("CREATE SCHEMA mitosis")
                    setup._upgrade(connection, setup.Plan())
            else:
                Store.open(url)
            with connect.transaction(engine, read(url)) as connection:
                columns = connection.exec_driver_sql(
                    "SELECT table_name, ordinal_position, column_name, data_type, is_nullable,"
                    " column_default, collation_name FROM information_schema.columns"
                    " WHERE table_schema = 'mitosis' ORDER BY 1, 2"
                ).all()
                keys = connection.exec_driver_sql(
                    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
                    " WHERE connamespace = 'mitosis'::regnamespace ORDER BY 1, 2"
                ).all()
                indices = connection.exec_driver_sql(
                    "SELECT tablename, indexname, indexdef FROM pg_indexes"
                    " WHERE schemaname = 'mitosis' ORDER BY 1, 2"
                ).all()
            found.append((columns, keys, indices))
    assert found[0] == found[1]
    assert len(found[0][0]) > 80


def test_a_store_lives_beside_other_tables(url: str) -> None:
    """Optuna's tables may be in the same PostgreSQL: `trials`, `alembic_version` and all."""
    if not url.startswith("postgresql"):
        return
    engine = connect.make_engine(read(url))
    with connect.transaction(engine, read(url)) as connection:
        connection.exec_driver_sql("CREATE TABLE public.trials (x INTEGER)")
        connection.exec_driver_sql("CREATE TABLE public.alembic_version (version_num TEXT)")
    with Store.open(url) as store:
        store.start(trial_spec(), ENVIRONMENT)
        assert store.get("@1").spec == trial_spec()
    with connect.transaction(engine, read(url)) as connection:
        assert set(inspect(connection).get_table_names(schema="public")) == {"trials", "alembic_version"}


def test_a_store_half_made_is_made_anew(tmp_path: Path) -> None:
    """What a process that died while it made the store left behind is no hindrance."""
    for name in ("x.db.new", "x.db.new-wal", "x.db.new-shm"):
        (tmp_path / name).write_bytes(b"half")
    with Store.open(tmp_path / "x.db") as store:
        store.start(trial_spec(), ENVIRONMENT)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.db", "x.db.lock"]


def test_a_link_to_another_disk_stays_one(tmp_path: Path) -> None:
    """The file is made where the link points."""
    (tmp_path / "big").mkdir()
    (tmp_path / "x.db").symlink_to(tmp_path / "big" / "real.db")
    Store.open(tmp_path / "x.db")
    assert (tmp_path / "x.db").is_symlink()
    assert (tmp_path / "big" / "real.db").stat().st_size > 0


# -- upgrading ---------------------------------------------------------------------------------------


def test_every_past_schema_is_upgraded(tmp_path: Path) -> None:
    """The file of each past schema opens, and gives the trials that were filed in it."""
    files = sorted(SCHEMAS.glob("*.db"))
    assert [file.stem for file in files] == list(schema.VERSIONS)
    Store.open(tmp_path / "new.db")
    for file in files:
        shutil.copy(file, tmp_path / file.name)
        with Store.open(tmp_path / file.name) as store:
            assert len(store.find(Query())) == 3
            assert store.count(Query()) == {Status.RUNNING: 1, Status.SUCCEEDED: 1, Status.FAILED: 1}
            assert store.get("000000000000").outcome == trial_outcome()
            assert [use.variant.version for use in store.variant_history()] == [1, 2]
            store.finish(store.get("@1").id, trial_outcome())
        assert clauses(tmp_path / file.name) == clauses(tmp_path / "new.db")


def test_an_upgrade_keeps_every_row(url: str, tmp_path: Path) -> None:
    """Tables are changed and made anew under rows that refer to each other, and none is lost."""
    with Store.open(url) as store:
        store.begin_sweep("5eed", PROJECT, "mitosis -m", 2, EPOCH.isoformat())
        store.start(trial_spec(1, sweep="5eed", job=0), ENVIRONMENT)
    upgrade(url, second_plan(tmp_path / "m 100%"))
    engine = connect.make_engine(read(url))
    with connect.transaction(engine, read(url)) as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM schema_version").all() == [("9999",)]
        assert connection.exec_driver_sql("SELECT line FROM sweeps").all() == [("mitosis -m",)]
        assert connection.exec_driver_sql("SELECT id, sweep, mood FROM trials").all() == [
            (trial_spec(1).id, "5eed", None)
        ]


@pytest.mark.parametrize(
    ("last", "error"),
    [
        ('op.execute("SELECT * FROM nowhere")', (StoreRefused,)),
        ("op.execute(\"INSERT INTO claims VALUES ('none', 1, 77)\")", (InternalError, IntegrityError)),
        ("raise KeyboardInterrupt", (KeyboardInterrupt,)),
    ],
)
def test_an_upgrade_that_fails_changes_nothing(
    url: str, tmp_path: Path, last: str, error: tuple[type[BaseException], ...]
) -> None:
    """An error, a broken reference or Ctrl-C in the middle leaves the store as it was, and in use."""
    with Store.open(url) as store:
        store.start(trial_spec(1), ENVIRONMENT)
        with pytest.raises(error):
            upgrade(url, second_plan(tmp_path / "m", last))
        assert store.get("@1").spec == trial_spec(1)
        assert store.finish(trial_spec(1).id, trial_outcome())


def test_a_process_of_before_the_upgrade_writes_no_more(url: str, tmp_path: Path) -> None:
    """A launcher that was running is told so; its trial is in its folder."""
    store = Store.open(url)
    store.start(trial_spec(1), ENVIRONMENT)
    upgrade(url, second_plan(tmp_path / "m"))
    with pytest.raises(StoreRefused, match="was upgraded to schema 9999 while this command ran"):
        store.finish(trial_spec(1).id, trial_outcome())


# -- refusing ----------------------------------------------------------------------------------------


def test_a_newer_store_is_refused(url: str) -> None:
    """The message says which schema, and which version to install; nothing is changed."""
    Store.open(url)
    engine = connect.make_engine(read(url))
    with connect.transaction(engine, read(url), write=True) as connection:
        connection.exec_driver_sql("UPDATE schema_version SET version_num = '0999'")
        connection.exec_driver_sql("UPDATE about SET value = '9.1'")
    for way in (Store.open, Store.existing):
        with pytest.raises(StoreRefused, match=r"schema 0999.*\n.*pip install --upgrade 'mitosis>=9\.1'"):
            way(url)


def test_somebody_elses_database_is_refused(tmp_path: Path) -> None:
    """A SQLite file without our stamp, and a file of another kind, are told apart and left alone."""
    rows(tmp_path / "other.db", "CREATE TABLE trials (x)")
    (tmp_path / "text.db").write_text("dear diary, " * 100)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for name, words in (("other.db", "no store of mitosis"), ("text.db", "no SQLite database")):
        for way in (Store.open, Store.existing):
            with pytest.raises(StoreRefused, match=words) as caught:
                way(tmp_path / name)
            assert name in str(caught.value)
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("place", ["/proc/mitosis/x.db", "FILE/x.db", "FILE/deeper/x.db", "."])
def test_a_place_that_cannot_hold_a_store_is_refused(tmp_path: Path, place: str) -> None:
    """The message names the path and says what to check."""
    (tmp_path / "FILE").touch()
    with pytest.raises(StoreRefused, match=r"\n  check ") as caught:
        Store.open(tmp_path / place)
    assert str(tmp_path / place) in str(caught.value)


def test_a_file_that_vanishes_is_not_made_again(tmp_path: Path) -> None:
    """A store that is deleted while it is used is told, not replaced by an empty one."""
    store = Store.open(tmp_path / "x.db")
    (tmp_path / "x.db").unlink()
    with pytest.raises(StoreRefused, match="cannot be opened"):
        store.start(trial_spec(), ENVIRONMENT)
    assert not (tmp_path / "x.db").exists()


def test_a_lock_that_is_held_too_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer gives up in the end; readers are not hindered at all."""
    monkeypatch.setattr(connect, "BUSY_SECONDS", 0.05)
    store = Store.open(tmp_path / "x.db")
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreRefused, match=r"was kept locked for 0 s by process \d+ \("):
            store.start(trial_spec(), ENVIRONMENT)
        assert store.find(Query()) == []
    store.start(trial_spec(), ENVIRONMENT)


def test_a_full_disk_damages_nothing(tmp_path: Path) -> None:
    """An end that cannot be written is refused as a whole, and can be written later."""
    with Store.open(tmp_path / "x.db") as store:
        store.start(trial_spec(), ENVIRONMENT)
    code = (
        "import sys, resource\n"
        "from mitosis.errors import StoreRefused\n"
        "from mitosis.store import Store\n"
        "from tests.store_values import trial_spec, trial_outcome\n"
        "store = Store.open(sys.argv[1])\n"
        "hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))\n"
        "try:\n"
        "    store.finish(trial_spec().id, trial_outcome(metrics={f'm{n}': 1.0 for n in range(20_000)}))\n"
        "except StoreRefused as error:\n"
        "    print(error)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "x.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=SCHEMAS.parent.parent)
    assert done.returncode == 0, done.stderr
    assert "x.db" in done.stdout
    with Store.open(tmp_path / "x.db") as store:
        assert store.get("@1").status is Status.RUNNING
        assert store.finish(trial_spec().id, trial_outcome())
    assert rows(tmp_path / "x.db", "PRAGMA integrity_check") == [("ok",)]


def test_a_server_that_is_away_is_told_without_its_password() -> None:
    """The message says where, and how to be let in."""
    pytest.importorskip("psycopg")
    url = "postgresql+psycopg://u:s3cret@127.0.0.1:1/db"
    for way in (Store.open, Store.existing):
        with pytest.raises(StoreRefused, match=r"u@127\.0\.0\.1:1/db cannot be used") as caught:
            way(url)
        assert "s3cret" not in str(caught.value)


# -- what it costs -----------------------------------------------------------------------------------


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """The statements that are sent to any database while the block runs."""
    sent: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        sent.append((statement, parameters[0] if many else parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def plan(path: Path, sent: list[tuple[str, Any]]) -> str:
    """How SQLite answers those statements."""
    steps = []
    with closing(sqlite3.connect(path)) as connection:
        for statement, parameters in sent:
            if statement.startswith(("SELECT", "UPDATE", "INSERT")):
                steps += [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    return "\n".join(steps)


BY = "ix_trials_project_"
QUESTIONS = {
    "newest": (Query(project=PROJECT), f"{BY}started (project=?)"),
    "all projects": (Query(), "ix_trials_started"),
    "experiment": (Query(project=PROJECT, experiment="lorenz"), f"{BY}experiment_started (project=? AND exp"),
    "variant": (Query(project=PROJECT, variant="fast"), f"{BY}variant_started (project=? AND variant=?)"),
    "status": (
        Query(project=PROJECT, status=(Status.FAILED,)),
        f"{BY}status_started (project=? AND status=?)",
    ),
    "seed": (Query(project=PROJECT, seed=7), f"{BY}seed_started (project=? AND seed=?)"),
    "since": (Query(project=PROJECT, since=EPOCH), f"{BY}started (project=? AND started>?)"),
    "until": (Query(project=PROJECT, until=EPOCH), f"{BY}started (project=? AND started<?)"),
    "after": (Query(project=PROJECT, after="0" * 12), f"{BY}started (project=? AND started<?)"),
    "dates of an experiment": (
        Query(project=PROJECT, experiment="lorenz", since=EPOCH, until=EPOCH),
        f"{BY}experiment_started (project=? AND experiment=? AND started>? AND started<?)",
    ),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_page_is_read_off_an_index(tmp_path: Path, question: str) -> None:
    """Each question of `ls` takes two queries; an index finds the rows in order: nothing is sorted."""
    query, index = QUESTIONS[question]
    with Store.open(tmp_path / "x.db") as store:
        for number in range(3):
            store.start(trial_spec(number), ENVIRONMENT)
        with statements() as sent:
            store.find(Query(**{name: getattr(query, name) for name in query.__slots__} | {"limit": 20}))
    asked = [item for item in sent if item[0].startswith("SELECT")]
    assert len(asked) <= 2
    steps = plan(tmp_path / "x.db", asked)
    assert f"trials USING INDEX {index}" in steps
    assert "TEMP B-TREE" not in steps
    assert "SCAN" not in steps.replace("SCAN trials USING INDEX ix_trials_started", "")


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (Query(project=PROJECT, commit="c0ff"), f"{BY}commit_started (project=? AND commit>? AND commit<?)"),
        (Query(sweep="5eed00000000"), "ix_trials_sweep_job (sweep=?)"),
        (Query(sweep="5eed"), "ix_trials_sweep_job (sweep>? AND sweep<?)"),
        (Query(project=PROJECT, tags=("good",)), "ix_tags_name (name=?)"),
    ],
)
def test_a_small_set_is_found_by_an_index(tmp_path: Path, query: Query, index: str) -> None:
    """Trials of a commit, of a sweep and with a tag are found by an index, then put in order."""
    with Store.open(tmp_path / "x.db") as store:
        store.start(trial_spec(sweep="5eed", job=0), ENVIRONMENT)
        with statements() as sent:
            store.find(query)
    assert index in plan(tmp_path / "x.db", sent)


def test_filing_a_trial_reads_no_table_through(tmp_path: Path) -> None:
    """Start, heartbeat, end and the lookups touch rows by key alone, however many there are."""
    path = tmp_path / "x.db"
    with Store.open(path) as store:
        store.start(trial_spec(0, sweep="5eed", job=0), ENVIRONMENT)
        with statements() as sent:
            store.variants(PROJECT, "lorenz", [variant()])
            store.start(trial_spec(1, sweep="5eed", job=1), ENVIRONMENT)
            store.heartbeat(trial_spec(1).id)
            store.running()
            store.silences()
            store.finish(trial_spec(1).id, trial_outcome())
            store.get("000000000001")
            store.get("@1")
            store.get("@1", project=PROJECT)
            store.claimed("5eed", 1)
            store.count(Query(sweep="5eed"))
            store.digests().get((1, 2, 3, 4, 5))
    steps = plan(path, sent)
    assert "ix_trials_running" in steps
    by_order = {
        "SCAN trials USING INDEX ix_trials_started",
        "SCAN trials USING INDEX ix_trials_running",
    }
    scanned = {step for step in steps.splitlines() if step.startswith("SCAN")}
    assert scanned <= by_order | {"SCAN schema_version", "SCAN trials USING COVERING INDEX ix_trials_running"}


def test_a_sort_without_an_index_moves_no_texts(tmp_path: Path) -> None:
    """A page sorted by another column is chosen by row numbers, read in the order of starting."""
    with Store.open(tmp_path / "x.db") as store:
        store.start(trial_spec(), ENVIRONMENT)
        for sort in ("main", "-metrics.loss", "params"):
            with statements() as sent:
                assert len(store.find(Query(project=PROJECT, sort=sort, limit=20))) == 1
            steps = plan(tmp_path / "x.db", sent)
            assert f"{BY}started (project=? AND started>?)" in steps
            assert "SEARCH trials USING INTEGER PRIMARY KEY" in steps


def test_a_store_in_use_is_not_tidied_at_every_step(tmp_path: Path) -> None:
    """The write-ahead log is moved into the file when the store is closed, not after each transaction."""
    log = tmp_path / "x.db-wal"
    with Store.open(tmp_path / "x.db") as store:
        assert not log.exists()
        store.start(trial_spec(), ENVIRONMENT)
        inode, size = log.stat().st_ino, log.stat().st_size
        store.finish(trial_spec().id, trial_outcome())
        assert log.stat().st_ino == inode
        assert log.stat().st_size > size
    assert not log.exists()


def test_no_connection_crosses_a_fork(tmp_path: Path) -> None:
    """SQLite forbids it: before a fork the store lets go of its file, and takes it up again afterwards."""
    log = tmp_path / "x.db-wal"
    with Store.open(tmp_path / "x.db") as store:
        store.start(trial_spec(), ENVIRONMENT)
        assert log.exists()
        child = os.fork()
        if child == 0:
            os._exit(log.exists())  # it is there as long as anybody holds the file
        assert os.waitpid(child, 0)[1] == 0
        assert not log.exists()
        assert store.finish(trial_spec().id, trial_outcome())
        assert log.exists()


def test_a_trial_takes_few_statements(tmp_path: Path) -> None:
    """One transaction at the start and one at the end; a trial like those before files only its own rows."""
    with Store.open(tmp_path / "x.db") as store:
        store.start(trial_spec(0), ENVIRONMENT)
        store.finish(trial_spec(0).id, trial_outcome())
        with statements() as start:
            store.start(trial_spec(1), ENVIRONMENT)
        with statements() as finish:
            store.finish(trial_spec(1).id, trial_outcome())
    assert sum(statement.startswith("BEGIN") for statement, _ in start + finish) == 2
    assert all(statement != "BEGIN" for statement, _ in start + finish), "a writer asks for the lock at once"
    assert len(start) <= 12, [statement for statement, _ in start]
    assert len(finish) <= 9, [statement for statement, _ in finish]
    assert not [s for s, _ in start + finish if s.startswith("INSERT INTO file") or "INTO module" in s]


def test_opening_a_store_asks_one_question(tmp_path: Path) -> None:
    """A store that is up to date is opened by reading its stamp."""
    Store.open(tmp_path / "x.db")
    for way in (Store.open, Store.existing):
        with statements() as sent:
            way(tmp_path / "x.db")
        questions = [statement for statement, _ in sent if statement != "BEGIN"]
        assert questions == ["SELECT schema_version.version_num \nFROM schema_version"]
