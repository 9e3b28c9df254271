"""Where a store is: a URL or the path of a file, read once and shown without its password."""

from __future__ import annotations

import functools
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mitosis.errors import StoreRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy import URL

    from mitosis.trial import Summary, Trial

FORMS = "write sqlite:////absolute/file.db, the path of a file, or postgresql+psycopg://user@host/database"

_SQLITE = re.compile(r"sqlite(\+pysqlite)?://(?P<path>/.*)?", re.DOTALL)
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9_+.-]*)://")
_MEANT_AS_URL = re.compile(r"(sqlite|postgres\w*|mysql|mariadb|oracle|mssql)(\+\w+)?:", re.IGNORECASE)
_SECRET_OPTIONS = ("password", "sslpassword")


@dataclass(frozen=True, slots=True)
class Address:
    """The file of a SQLite store (`path`), or the URL of a PostgreSQL one (`url`, with what it holds)."""

    path: Path | None = None
    url: str = field(default="", repr=False)

    @property
    def shown(self) -> str:
        """The store as messages name it: the file, or the URL without its password."""
        return str(self.path) if self.path is not None else display_url(self.url)

    def of(self, trial: Trial) -> Trial:
        """The trial with its folder where it lies now: beside the store, where both were moved."""
        own = self._moved(_is_directory)(trial.spec.folder, trial.spec.experiment, trial.id)
        return trial if own is None else replace(trial, spec=replace(trial.spec, folder=own))

    def here(self, lines: Iterable[Summary]) -> list[Summary]:
        """As `of`, for lines of `ls`."""
        moved = self._moved(functools.cache(_is_directory))  # thousands of lines lie in one directory
        places = ((line, moved(line.folder, line.experiment, line.id)) for line in lines)
        return [line if own is None else replace(line, folder=own) for line, own in places]

    def _moved(self, there: Callable[[str], bool]) -> Callable[[str, str, str], str | None]:
        """Where a trial's folder lies now, from what is recorded; None where that holds.

        What lies beside the store is the store's: of a copy of both the record may name the original.
        """
        parent = None if self.path is None else str(self.path.parent)

        def moved(recorded: str, experiment: str, trial: str) -> str | None:
            if parent is None:
                return None
            beside = [(home, f"{home}/{trial}") for home in _homes(parent, experiment)]
            if any(recorded == own for _, own in beside):
                return None
            return next((own for home, own in beside if there(home) and _is_directory(own)), None)

        return moved


def _homes(parent: str, experiment: str) -> tuple[str, str]:
    """Where trials of an experiment lie below a root: theirs, and that of the removed ones."""
    return f"{parent}/{experiment}", f"{parent}/trash/{experiment}"


def _is_directory(path: str) -> bool:
    return Path(path).is_dir()


def read(text: str | Path) -> Address:
    """The address that `text` means; a relative path counts from the working directory.

    Everything after `sqlite:///` is the path, letter for letter: names with `?`, `%` or `#` are
    names. Raises StoreRefused where it names no store; the message never shows a password.
    """
    given = str(text)
    if isinstance(text, Path) or not (_SCHEME.match(given) or _MEANT_AS_URL.match(given)):
        if not given:
            raise StoreRefused("the address of the store is empty", FORMS)
        return Address(path=Path.cwd() / Path(given).expanduser())
    if sqlite := _SQLITE.fullmatch(given):
        name = (sqlite["path"] or "")[1:]
        if not name or name == ":memory:":
            what = f"{given} is a SQLite database in memory: nothing of it would be kept"
            raise StoreRefused(what, FORMS)
        return Address(path=Path.cwd() / name)
    return Address(url=_postgresql(given).render_as_string(hide_password=False))


def located(text: str, base: Path) -> str:
    """`text`; where it names a SQLite file the URL of that file, a relative path counted from `base`.

    Links are not resolved: what is shown is what was written.
    """
    path = text.removeprefix("sqlite:///")
    return text if "://" in path else f"sqlite:///{os.path.abspath(base / path)}"  # noqa: PTH100


def display_url(url: str | Path) -> str:
    """`url` without its password, still usable as a URL; a path to a file becomes a SQLite URL.

    Raises StoreRefused as `read` does.
    """
    address = read(url)
    if address.path is not None:
        return f"sqlite:///{address.path}"
    from sqlalchemy import URL

    parsed = _postgresql(address.url)
    shown = URL.create(
        parsed.drivername,
        username=parsed.username,
        host=parsed.host,
        port=parsed.port,
        database=parsed.database,
        query={key: value for key, value in parsed.query.items() if key not in _SECRET_OPTIONS},
    )
    return shown.render_as_string(hide_password=False)


def password_in(url: str | Path) -> bool:
    """Whether `url` itself holds a password; raises StoreRefused as `read` does."""
    address = read(url)
    if address.path is not None:
        return False
    parsed = _postgresql(address.url)
    return bool(parsed.password) or any(option in parsed.query for option in _SECRET_OPTIONS)


def password_of(url: str | Path) -> str | None:
    """The password of the user in `url`; None where it holds none. Raises StoreRefused as `read` does."""
    address = read(url)
    if address.path is not None:
        return None
    parsed = _postgresql(address.url)
    given = parsed.password or parsed.query.get("password")
    return given if isinstance(given, str) else None


def _postgresql(text: str) -> URL:
    """The parsed URL of a PostgreSQL store, its driver written out."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    match = _SCHEME.match(text)
    scheme = match["scheme"] if match else text.partition(":")[0]
    unreadable = StoreRefused(f"the URL of the store ({scheme}:...) cannot be read", FORMS)
    if scheme.startswith("sqlite") or not match:
        raise unreadable
    if scheme not in ("postgresql", "postgresql+psycopg"):
        raise StoreRefused(f"a store is kept in SQLite or PostgreSQL, not in {scheme}", FORMS)
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise unreadable from None  # the error quotes the URL, and with it the password
    return url.set(drivername="postgresql+psycopg")
