"""Names every file of a trial, makes its folder, and writes and reads whole files only."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mitosis.errors import InternalError, TrialRefused
from mitosis.trial import JSON

_LONGEST_NAME = 200  # bytes of one name; file systems allow 255
_LONGEST_EXPERIMENT = 1000  # bytes of the whole; systems allow paths of 4096
_TEMPORARY = ".new-"  # what a write leaves behind when the machine stops in its middle begins with this
_ROOM = 2**16  # bytes: of SQLite's shared memory
_RESERVE = 2**20  # bytes: a row, its log and the documents of a trial
CHECKOUTS = "checkouts"  # below the root: read-only copies of commits
TRASH = "trash"  # below the root: removed trials
ENVIRONMENTS = "environments"  # below the root: their contents, each under its digest
RETURNED = ".returned"  # in a trial's folder while its call is over and the next cell has not begun
_PASSING = re.compile(r"\.returned|\.kernel\.json|\.children-\d+|\.(outcome\.json|result\.pkl)\.\d+")
_TAKEN = re.compile(r"(checkouts|environments|hydra|plots|trash|mitosis\.db.*)", re.IGNORECASE)
"""Names directly below the root that are no experiment's."""


@dataclass(frozen=True, slots=True, init=False)
class TrialFolder:
    """The folder of one trial, `<root>/<experiment>/<id>/`, and the name of every file in it."""

    path: Path

    def __init__(self, path: str | Path) -> None:
        object.__setattr__(self, "path", Path(path))

    @property
    def trial_json(self) -> Path:
        """What is known of the trial: enough to rebuild its row in the store."""
        return self.path / "trial.json"

    @property
    def notebook(self) -> Path:
        """The executed notebook, saved as it grows."""
        return self.path / "notebook.ipynb"

    @property
    def html(self) -> Path:
        """The report."""
        return self.path / "report.html"

    @property
    def result(self) -> Path:
        """What the experiment returned, by cloudpickle."""
        return self.path / "result.pkl"

    @property
    def outcome(self) -> Path:
        """What the kernel says of the end of the trial."""
        return self.path / "outcome.json"

    @property
    def attestations(self) -> Path:
        """What was found out about the trial after it had ended."""
        return self.path / "attestations.json"

    @property
    def kernel(self) -> Path:
        """Which process the kernel is; there while it runs."""
        return self.path / ".kernel.json"

    @property
    def reserve(self) -> Path:
        """Room on the disk for the end of the trial; there while it runs."""
        return self.path / ".reserve"

    @property
    def log(self) -> Path:
        """The experiment's stdout and stderr."""
        return self.path / "output.log"

    @property
    def labels(self) -> Path:
        """Tags and note, where they were changed after the launch."""
        return self.path / "tags.json"

    @property
    def figures(self) -> Path:
        """The directory of the figures."""
        return self.path / "figures"

    @property
    def series(self) -> Path:
        """The directory of what the experiment logged while it ran."""
        return self.path / "series"

    @property
    def second(self) -> Path:
        """What a second run leaves, which is compared with the first; there while it runs."""
        return self.path / ".second"

    @property
    def plotted(self) -> Path:
        """Where the kernel leaves what figures plot, until these have their names."""
        return self.path / ".data"

    @classmethod
    def locate(cls, root: Path, experiment: str, trial_id: str) -> TrialFolder:
        """Where the folder of that trial is, whether or not it has been made.

        Raises TrialRefused where the experiment's name cannot be a folder's.
        """
        if not re.fullmatch(r"[0-9a-f]{12}", trial_id):
            raise InternalError(f"{trial_id!r} is no id of a trial: it has 12 hex digits")
        return cls(root / checked_name(experiment) / trial_id)

    def root(self, experiment: str) -> Path:
        """The root that `locate` was told."""
        return self.path.parents[len(Path(experiment).parts)]

    @classmethod
    def create(cls, root: Path, experiment: str, trial_id: str, document: JSON) -> TrialFolder:
        """Make the folder with `document` as its trial.json: it is there with it, or not at all.

        Raises TrialRefused where it cannot be made, or is there already.
        """
        folder = cls.locate(root, experiment, trial_id)
        if os.path.lexists(folder.path):
            raise TrialRefused(f"the folder {folder.path} is there already", "start the trial again")
        made = cls(folder.aside())
        try:
            made.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                made.path.mkdir()
                made.write_json(made.trial_json, document)
                made.take_room()
                made.path.rename(folder.path)
            except BaseException:
                made.remove()
                raise
        except OSError as error:
            todo = "make room or make it writable, or choose another root: mitosis.root=DIRECTORY"
            raise TrialRefused(f"cannot make {folder.path}: {error.strerror or error}", todo) from error
        return folder

    def aside(self) -> Path:
        """A new name beside the folder, for what is to become it."""
        return self.path.with_name(f"{_TEMPORARY}{self.path.name}-{secrets.token_hex(4)}")

    def take_room(self) -> None:
        """Take room on the disk, so that a trial that fills it can still be brought to its end.

        Raises OSError where there is none left. Where the system cannot take room, nothing is done.
        """
        if not hasattr(os, "posix_fallocate"):
            return
        descriptor = os.open(self.reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            os.posix_fallocate(descriptor, 0, _RESERVE)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
        finally:
            os.close(descriptor)

    def give_room(self) -> None:
        """Give the room back that `take_room` took."""
        with contextlib.suppress(OSError):
            self.reserve.unlink()

    def kept(self) -> dict[str, Path]:
        """The files that never change after the trial, by their name relative to the folder."""
        fixed = [self.notebook, self.html, self.result, self.log]
        inside = [p for d in (self.figures, self.series) if d.is_dir() for p in sorted(d.iterdir())]
        return {str(p.relative_to(self.path)): p for p in (*fixed, *inside) if p.is_file()}

    def tidy(self) -> None:
        """Remove what lies in the folder only while the trial runs, and what a killed kernel left of a file.

        An experiment may work in this folder (mitosis.cwd=trial): by their exact names, and nothing else.
        What a killed launcher left of a file is `gc`'s: another command may be writing one now.
        """
        self.give_room()
        TrialFolder(self.second).remove()
        with contextlib.suppress(OSError):
            for path in self.path.iterdir():
                if _PASSING.fullmatch(path.name) and path.is_file():
                    path.unlink()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Two that write the same file in turn do so one after the other, as far as the file system locks.

        Raises OSError where the folder cannot be opened.
        """
        import fcntl

        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def remove(self) -> None:
        """Delete the folder and what is in it, as far as that can be done."""
        shutil.rmtree(self.path, ignore_errors=True)

    def read_json(self, path: Path) -> JSON:
        """The document in `path`; None where there is none, or none that is whole.

        Raises OSError where it is there and cannot be read.
        """
        try:
            return read_json(path)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None

    def write_json(self, path: Path, document: JSON) -> None:
        """Write `document` to `path`, whole or not at all. Raises OSError."""
        write_json(path, document)


def make_root(root: Path, git: Path | None) -> None:
    """Make the root, unless it is there; `git` is the directory of the repository that it lies in, if any.

    The directory appears with its `.gitignore` in it, so that a process that is killed meanwhile leaves
    nothing that git would see. Raises OSError.
    """
    if git is None:
        root.mkdir(parents=True, exist_ok=True)
        return
    if (root / ".gitignore").exists():
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    aside = git / f"{_TEMPORARY}{secrets.token_hex(8)}"
    try:
        aside.mkdir()
        write_atomic(aside / ".gitignore", b"*\n")
        aside.rename(root)  # in the place of an empty directory as well
    except OSError:  # git's directory cannot be written or is on another disk, or something is in the root
        root.mkdir(exist_ok=True)
        if not (root / ".gitignore").exists():
            write_atomic(root / ".gitignore", b"*\n")
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def checked_name(experiment: str) -> Path:
    """The experiment's name as a relative path: `physics/lorenz` becomes two folders.

    Each part is letters, digits and `._-`, and begins with a letter, a digit or `_`. Raises TrialRefused
    for every other name.
    """
    parts = experiment.split("/")
    plain = all(re.fullmatch(r"\w[\w.-]*", part) for part in parts)
    size = max(len(os.fsencode(part)) for part in parts) if plain else 0
    if not plain or size > _LONGEST_NAME or len(os.fsencode(experiment)) > _LONGEST_EXPERIMENT:
        shown = ascii(experiment) if len(experiment) <= 60 else f"{experiment[:20]!a}..."
        todo = "rename its file in conf/experiment/: letters, digits, `_`, `-` and `.`, not too long"
        raise TrialRefused(f"experiment {shown} cannot be the name of a folder", todo)
    if _TAKEN.fullmatch(parts[0]):
        todo = "rename its file in conf/experiment/"
        raise TrialRefused(
            f"experiment {experiment!r} has the name of a file that mitosis keeps itself", todo
        )
    return Path(*parts)


def trial_folders(root: Path) -> Iterator[TrialFolder]:
    """Every folder below `root` that holds a trial.json, in the order of the paths.

    What mitosis keeps beside the experiments and hidden directories are passed over; links to directories
    are followed, each directory once. Raises OSError where a directory cannot be read.
    """
    seen: set[tuple[int, int]] = set()

    def walk(directory: Path, top: bool) -> Iterator[TrialFolder]:
        identity = directory.stat()
        if (identity.st_dev, identity.st_ino) in seen:
            return
        seen.add((identity.st_dev, identity.st_ino))
        for entry in sorted(directory.iterdir()):
            if entry.name.startswith(".") or (top and _TAKEN.fullmatch(entry.name)) or not entry.is_dir():
                continue
            folder = TrialFolder(entry)
            if folder.trial_json.is_file():
                yield folder
            else:
                yield from walk(entry, top=False)

    if root.is_dir():
        yield from walk(root, top=True)


def check_room(directory: Path) -> None:
    """Raise OSError where the disk is full or a quota is used up.

    SQLite maps a file into its memory, and a process that cannot have a page of it ends by SIGBUS.
    """
    import tempfile  # which brings much that reading commands do without

    if not hasattr(os, "posix_fallocate"):
        return
    with tempfile.TemporaryFile(dir=directory) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, _ROOM)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise


def write_atomic(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all, whatever happens meanwhile.

    Its directory must be there. Readers see the old content or the new, and so they do after a crash of the
    machine. A symbolic link is replaced, not followed. Raises OSError; the old content is then still there.
    """
    temporary = path.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}")
    try:
        with open(temporary, "xb") as file:  # noqa: PTH123 - the mode is the user's umask's
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def read_json(path: Path) -> JSON:
    """The JSON document in `path`. Raises OSError, and ValueError where it is no JSON."""
    return json.loads(path.read_bytes())


def write_json(path: Path, document: JSON) -> None:
    """Write `document` by `write_atomic`: readable JSON, keys in their order, with NaN and Infinity.

    Raises OSError, TypeError or ValueError where it holds what JSON cannot.
    """
    text = json.dumps(document, ensure_ascii=False, indent=2)
    try:
        content = text.encode("utf-8")
    except UnicodeEncodeError:  # a file name that is no UTF-8 came in by os.fsdecode
        content = json.dumps(document, indent=2).encode("ascii")
    write_atomic(path, content + b"\n")
