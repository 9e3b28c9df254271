"""Tests of mitosis.folder: names, whole files, and folders that are there or not."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from mitosis.errors import InternalError, TrialRefused
from mitosis.folder import TrialFolder, checked_name, read_json, trial_folders, write_atomic, write_json

ID = "0123456789ab"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "a 'hostile'\nröot"


def listed(directory: Path) -> list[str]:
    return sorted(p.name for p in directory.iterdir())


def test_names_of_the_files(root: Path) -> None:
    """A trial's files are called as the documentation says, below root, experiment and id."""
    folder = TrialFolder.locate(root, "lorenz", ID)
    assert folder == TrialFolder(str(root / "lorenz" / ID))
    named = [
        folder.trial_json,
        folder.notebook,
        folder.html,
        folder.result,
        folder.outcome,
        folder.log,
        folder.figures,
    ]
    names = " ".join(p.relative_to(folder.path).as_posix() for p in named)
    assert names == "trial.json notebook.ipynb report.html result.pkl outcome.json output.log figures"
    assert not root.exists()


def test_create(root: Path) -> None:
    """A new folder holds its trial.json, room on the disk for its end, and leaves nothing beside it."""
    folder = TrialFolder.create(root, "physics/lorenz", ID, {"b": 1, "a": math.nan})
    assert folder.path == root / "physics" / "lorenz" / ID
    assert listed(folder.path) == [".reserve", "trial.json"]
    assert listed(folder.path.parent) == [ID]
    assert list(read_json(folder.trial_json)) == ["b", "a"]


def test_create_twice(root: Path) -> None:
    """An id that is taken, if only by a link to nothing, is refused and what is there stays as it is."""
    first = TrialFolder.create(root, "lorenz", ID, 1)
    with pytest.raises(TrialRefused, match="there already"):
        TrialFolder.create(root, "lorenz", ID, 2)
    assert read_json(first.trial_json) == 1
    (root / "lorenz" / "ffffffffffff").symlink_to("nowhere")
    with pytest.raises(TrialRefused, match="there already"):
        TrialFolder.create(root, "lorenz", "f" * 12, 2)


def test_create_leaves_nothing_where_it_fails(root: Path) -> None:
    """A document that cannot be written leaves neither the folder nor a piece of it."""
    with pytest.raises(TypeError):
        TrialFolder.create(root, "lorenz", ID, {"a": object()})
    assert listed(root / "lorenz") == []


def test_a_file_in_the_way(root: Path) -> None:
    """A root that is no directory is refused in two lines that name it."""
    root.write_text("")
    with pytest.raises(TrialRefused) as caught:
        TrialFolder.create(root, "lorenz", ID, {})
    assert str(root) in caught.value.what
    assert "mitosis.root" in caught.value.todo


def python(script: str, argument: Path) -> subprocess.CompletedProcess[str]:
    top = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-c", script, str(argument)]
    return subprocess.run(command, cwd=top, capture_output=True, text=True, check=False)


AS_NOBODY = """
import os, sys
from pathlib import Path
from mitosis.errors import TrialRefused
from mitosis.folder import TrialFolder, write_atomic
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
root = Path(sys.argv[1])
try:
    TrialFolder.create(root, "lorenz", "0123456789ab", {})
except TrialRefused as error:
    print(error.what)
try:
    write_atomic(root / "file", b"new")
except PermissionError:
    print("PermissionError")
"""


def test_no_permission() -> None:
    """A root that may not be written is refused, naming it; a single file raises the system's own error."""
    with tempfile.TemporaryDirectory() as name:  # not pytest's, which another user may not even enter
        root = Path(name, "root")
        root.mkdir()
        (root / "file").write_bytes(b"old")
        root.chmod(0o555)
        root.parent.chmod(0o755)
        answer = python(AS_NOBODY, root)
        said = [f"cannot make {root}/lorenz/{ID}: Permission denied", "PermissionError"]
        assert (answer.stdout.splitlines(), answer.stderr) == (said, "")
        assert (root / "file").read_bytes() == b"old"
        assert listed(root) == ["file"]
        root.chmod(0o755)


FULL = """
import resource, signal, sys
from pathlib import Path
from mitosis.folder import write_atomic
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
write_atomic(Path(sys.argv[1]), b"x" * 5000)
"""


def test_a_full_disk_keeps_the_old_content(tmp_path: Path) -> None:
    """Where a write fails in its middle the old content is still there, and no piece of the new beside it."""
    target = tmp_path / "file"
    target.write_bytes(b"old")
    assert "OSError: [Errno 27] File too large" in python(FULL, target).stderr
    assert target.read_bytes() == b"old"
    assert listed(tmp_path) == ["file"]


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", ".hidden", "../up", "a/../b", "a//b", "/absolute", "a/", "a b", "a\nb", "a\n", "a'b",
        'a"b', "a\\b", "a:b", "a*", "$HOME", "~", "-rf", "a/-b", "a/.b", "a\x00b", "\udcff", "🦋", "a\u202eb",
        "a" * 201, "ä" * 101, "/".join(["a" * 100] * 11), "checkouts", "Checkouts", "checkouts/a",
        "mitosis.db", "mitosis.db-wal", "trash", "hydra",
    ],
)  # fmt: skip
def test_hostile_names_are_refused(root: Path, name: str) -> None:
    """An experiment whose name is not safe as a folder is refused in two printable lines; nothing is made."""
    with pytest.raises(TrialRefused) as caught:
        TrialFolder.create(root, name, ID, {})
    assert all(line.isprintable() and len(line) < 200 for line in str(caught.value).splitlines())
    assert not root.exists()


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "1",
        "_a",
        "a.b",
        "a-b",
        "Lorenz_63",
        "größe",
        "日本",
        "a" * 200,
        "physics/lorenz",
        "a/b/c",
        "physics/hydra",
    ],
)
def test_good_names(root: Path, name: str) -> None:
    """Letters, digits and ._- make a folder, slashes folders in folders."""
    assert checked_name(name) == Path(name)
    assert TrialFolder.create(root, name, ID, {}).path == root / name / ID


@pytest.mark.parametrize("trial_id", ["", "0123456789a", "0123456789AB", "0123456789ab\n", "../../../etc"])
def test_ids_are_ours(root: Path, trial_id: str) -> None:
    """An id that mitosis cannot have made is a fault of mitosis."""
    with pytest.raises(InternalError, match="12 hex digits"):
        TrialFolder.locate(root, "lorenz", trial_id)


def test_remove(root: Path) -> None:
    """Removing takes the folder with its files and leaves its neighbours; twice does no harm."""
    folder = TrialFolder.create(root, "lorenz", ID, {})
    other = TrialFolder.create(root, "lorenz", "f" * 12, {})
    folder.figures.mkdir()
    folder.remove()
    folder.remove()
    assert listed(root / "lorenz") == [other.path.name]


def test_trial_folders(root: Path) -> None:
    """Every folder with a trial.json is found, once, however deep; what mitosis keeps itself is no trial."""
    assert list(trial_folders(root)) == []
    ids = [f"{i:012x}" for i in range(3)]
    made = [TrialFolder.create(root, name, i, {}) for name, i in zip(["b", "a/x", "a"], ids, strict=True)]
    (root / "c" / ID).mkdir(parents=True)
    for name in ("checkouts", "hydra", ".new-1", "c/.new-2"):
        (root / name).mkdir()
        (root / name / "trial.json").write_text("{}")
    (root / "a" / "loop").symlink_to(root)
    (root / "mitosis.db").write_text("")
    assert list(trial_folders(root)) == [made[2], made[1], made[0]]


def test_write_atomic(tmp_path: Path) -> None:
    """The content is whole, the directory holds nothing else, and a link is replaced and not followed."""
    target = tmp_path / "new\nline é"
    write_atomic(target, b"one")
    write_atomic(target, b"two" * 100_000)
    assert target.read_bytes() == b"two" * 100_000
    (tmp_path / "link").symlink_to(target)
    write_atomic(tmp_path / "link", b"own")
    assert not (tmp_path / "link").is_symlink()
    assert target.read_bytes()[:3] == b"two"
    assert len(listed(tmp_path)) == 2


def test_mode_of_what_is_written(tmp_path: Path) -> None:
    """Files have the mode that the user's umask gives, as every file that the user makes."""
    plain = tmp_path / "plain"
    plain.touch()
    write_atomic(tmp_path / "ours", b"")
    assert (tmp_path / "ours").stat().st_mode == plain.stat().st_mode


def test_write_into_nothing(tmp_path: Path) -> None:
    """The directory must be there: it is not made by the way."""
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "none" / "file", b"")
    write_atomic(tmp_path / "directory-to-be", b"")
    (tmp_path / "d").mkdir()
    with pytest.raises(OSError):
        write_atomic(tmp_path / "d", b"")
    assert listed(tmp_path) == ["d", "directory-to-be"]


READER = """
import sys
import tempfile
from pathlib import Path
path = Path(sys.argv[1])
print("ready", flush=True)
seen = set()
while len(seen) < 2 or b"z" not in seen:
    content = path.read_bytes()
    assert len(set(content)) == 1 and len(content) == 200_000, len(content)
    seen.add(content[:1])
print("done")
"""


def test_a_reader_sees_whole_files_only(tmp_path: Path) -> None:
    """A process that reads all the while sees one content or the next, and never a piece."""
    target = tmp_path / "file"
    write_atomic(target, b"a" * 200_000)
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(target)], stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        for letter in b"bcdefghijk" * 10 + b"z":
            write_atomic(target, bytes([letter]) * 200_000)
        assert reader.stdout.read() == "done\n"
    assert reader.returncode == 0


@pytest.mark.parametrize(
    "document",
    [{"b": 1, "a": [None, True, 0.1, "é\n\u2028"]}, [math.inf], "text", {"path": "\udcff"}, {"": {}}],
)
def test_json_round_trip(tmp_path: Path, document: Any) -> None:
    """JSON comes back as it was written, keys in their order, texts that are no Unicode included."""
    path = tmp_path / "file.json"
    write_json(path, document)
    assert json.dumps(read_json(path)) == json.dumps(document)
    path.read_bytes().decode("utf-8")


def test_json_is_readable(tmp_path: Path) -> None:
    """A person can read the file: indented, letters as they are, NaN as Python writes it."""
    write_json(tmp_path / "file", {"größe": math.nan})
    assert (tmp_path / "file").read_text(encoding="utf-8") == '{\n  "größe": NaN\n}\n'


def test_json_that_is_not_whole(root: Path) -> None:
    """A folder's document that is not there, or no JSON, is None; other errors of the system are raised."""
    folder = TrialFolder.create(root, "lorenz", ID, {})
    assert folder.read_json(folder.outcome) is None
    for damaged in (b"", b'{"a": 1', b"\xff\xfe\x00", b"\x00" * 100):
        folder.outcome.write_bytes(damaged)
        assert folder.read_json(folder.outcome) is None
        with pytest.raises(ValueError):
            read_json(folder.outcome)
    folder.write_json(folder.outcome, {"a": 1})
    assert folder.read_json(folder.outcome) == {"a": 1}
    folder.figures.mkdir()
    with pytest.raises(IsADirectoryError):
        folder.read_json(folder.figures)


def test_kernel_and_launcher_mean_the_same_files() -> None:
    """The guard imports nothing of the launcher's, so that each has the names."""
    from mitosis import folder
    from mitosis.kernel import guard

    trial = TrialFolder("x")
    assert (folder.RETURNED, trial.reserve.name) == (guard.RETURNED, guard.RESERVE)
    assert (trial.outcome.name, trial.result.name) == (guard.OUTCOME, guard.RESULT)
