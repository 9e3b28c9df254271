"""Makes a store that is not there, upgrades one that is old, and refuses one that is too new."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, select, text
from sqlalchemy.exc import DatabaseError, OperationalError, ProgrammingError

from mitosis.errors import InternalError, StoreRefused
from mitosis.store import schema
from mitosis.store.address import Address
from mitosis.store.connect import SCHEMA_NAME, make_engine, refusal, transaction

_ADVISORY_LOCK = 0x6D69746F736973  # "mitosis": PostgreSQL's locks have numbers for names


@dataclass(frozen=True, slots=True)
class Plan:
    """The schemas that are known, oldest first, and the directories that hold their migrations."""

    versions: tuple[str, ...] = schema.VERSIONS
    migrations: tuple[Path, ...] = (Path(__file__).parent / "migrations" / "versions",)

    @property
    def head(self) -> str:
        """The schema that this code reads and writes."""
        return self.versions[-1]


def check_current(connection: Connection, address: Address) -> None:
    """Raise StoreRefused where another mitosis has upgraded the store since this process opened it."""
    found = connection.execute(select(schema.schema_version.c.version_num)).scalar()
    if found != schema.VERSIONS[-1]:
        what = f"the store {address.shown} was upgraded to schema {found} while this command ran"
        raise StoreRefused(what, "repeat the command with the newer mitosis; what ran is in its folder")


def is_there(address: Address) -> bool:
    """Whether something that may be a store is at `address`: a file that is not empty, or a server."""
    if address.path is None:
        return True
    try:
        return address.path.stat().st_size > 0
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _no_access(address.path, error) from error


def stamp(engine: Engine, address: Address) -> str | None:
    """The version of the schema, by one small query; None where there are no tables at all.

    Raises StoreRefused where the database is somebody else's.
    """
    try:
        return _read_stamp(engine)
    except (OperationalError, ProgrammingError):
        with transaction(engine, address) as connection:  # a fault of another kind is told here
            tables = inspect(connection).get_table_names(schema=_schema(engine))
        if not tables:
            return None
        if schema.VERSION_TABLE not in tables:
            what = f"{address.shown} is a database, but no store of mitosis"
            raise StoreRefused(what, "give the store another path") from None
    except DatabaseError as error:
        raise refusal(address, error) from error
    try:
        return _read_stamp(engine)  # another process has made the store in between
    except DatabaseError as error:
        raise refusal(address, error) from error


def _read_stamp(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return connection.execute(select(schema.schema_version.c.version_num)).scalar()


def prepare(engine: Engine, address: Address, plan: Plan) -> None:
    """Bring the store at `address` to the schema of `plan`, once, however many processes ask for it.

    Raises StoreRefused where it is newer, not ours, or cannot be made.
    """
    if is_there(address) and stamp(engine, address) == plan.head:
        return
    if address.path is None:
        with transaction(engine, address) as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:name)"), {"name": _ADVISORY_LOCK})
            _settle(connection, address, stamp(engine, address), plan)
        return
    with _file_lock(address.path):
        found = stamp(engine, address) if is_there(address) else None
        if found is None:
            _create_file(address.path)
            return
        # the rows of a table that is made anew are looked up by others: no checks in between
        unchecked = make_engine(address, foreign_keys=False)
        with transaction(unchecked, address, write=True) as connection:
            _settle(connection, address, found, plan)


def _settle(connection: Connection, address: Address, found: str | None, plan: Plan) -> None:
    """Create or upgrade inside the transaction of `connection`, which holds the lock."""
    if found == plan.head:
        return
    if found is None:
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA_NAME}"))
        _create(connection)
    elif found in plan.versions:
        _upgrade(connection, plan)
    else:
        raise _too_new(connection, address, found)


def _create(connection: Connection) -> None:
    """All tables of today's schema, and the stamp."""
    if connection.dialect.name == "postgresql":
        schema.running_index.dialect_options["postgresql"]["where"] = schema.RUNNING
    schema.metadata.create_all(connection)
    connection.execute(schema.schema_version.insert().values(version_num=schema.VERSIONS[-1]))
    _sign(connection)


def _create_file(path: Path) -> None:
    """A new SQLite store, made aside and renamed, so that nobody ever sees half of one."""
    path = path.resolve()  # a link to another disk stays one
    new = Address(path=path.with_name(f"{path.name}.new"))
    assert new.path is not None
    try:
        for leftover in (new.path, *(new.path.with_name(new.path.name + end) for end in ("-wal", "-shm"))):
            leftover.unlink(missing_ok=True)  # of a process that died here; the lock is ours
        engine = make_engine(new, create=True)
        with engine.connect() as connection:
            journal = connection.connection.cursor().execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if journal != "wal":
                raise _no_locks(path, f"it keeps no write-ahead log ({journal})")
        with transaction(engine, new, write=True) as connection:
            _create(connection)
        new.path.replace(path)
    except OSError as error:
        raise _no_access(path, error) from error
    except DatabaseError as error:
        raise refusal(Address(path=path), error) from error


def _upgrade(connection: Connection, plan: Plan) -> None:
    """Run the migrations that are missing, all in the transaction of `connection`.

    SQLite's DDL is as transactional as any other statement once the transaction is begun by hand
    (https://www.sqlite.org/lang_altertable.html, section 7): an upgrade that fails leaves the
    store as it was.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", _ini(Path(__file__).parent / "migrations"))
    config.set_main_option("version_locations", os.pathsep.join(_ini(p) for p in plan.migrations))
    config.set_main_option("version_path_separator", "os")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, plan.head)
    if connection.dialect.name == "sqlite":
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchone()
        if broken:
            raise InternalError(f"the upgrade to {plan.head} left a row of {broken[0]} without {broken[2]}")
    _sign(connection)


def _ini(path: Path) -> str:
    return str(path).replace("%", "%%")


def _sign(connection: Connection) -> None:
    """Say which mitosis made or upgraded the store."""
    connection.execute(schema.about.delete().where(schema.about.c.key == "mitosis"))
    connection.execute(schema.about.insert().values(key="mitosis", value=_own_version()))


def _own_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("mitosis")
    except PackageNotFoundError:  # run from a directory, not installed
        return ""


def _too_new(connection: Connection, address: Address, found: str) -> StoreRefused:
    about = schema.about
    try:
        maker = connection.execute(select(about.c.value).where(about.c.key == "mitosis")).scalar()
    except DatabaseError:
        maker = None
    what = f"the store {address.shown} has schema {found}, which this mitosis does not know"
    wanted = f"mitosis>={maker}" if maker else "mitosis"
    return StoreRefused(what, f"install a newer one: pip install --upgrade '{wanted}'")


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    """Exclusive among all processes that make or upgrade the store at `path`; makes its directory."""
    import fcntl

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f"{path.name}.lock").open("ab")
    except OSError as error:
        raise _no_access(path, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            raise _no_locks(path, error.strerror or str(error)) from error
        yield


def _no_access(path: Path, error: OSError) -> StoreRefused:
    if error.errno == errno.ENOSPC:
        return StoreRefused(f"no space is left for the store {path}", "make room on the disk and try again")
    return StoreRefused(
        f"the store {path} cannot be made or read: {error.strerror or error}",
        "check the permissions of its directory, or choose another: mitosis.store=FILE",
    )


def _no_locks(path: Path, why: str) -> StoreRefused:
    return StoreRefused(
        f"the file system of the store {path} does not lock files as SQLite needs: {why}",
        "keep the store on a local disk, or share a PostgreSQL: mitosis.store=postgresql+psycopg://...",
    )


def _schema(engine: Engine) -> str | None:
    return SCHEMA_NAME if engine.dialect.name == "postgresql" else None
