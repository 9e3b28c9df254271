"""The watch over opened files, each case in a process of its own: an audit hook cannot be removed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PRELUDE = """\
import json, os, sys, tempfile
from pathlib import Path
from mitosis.kernel import places, relay, watch
os.chdir({here!r})
relay.begin({here!r})
watch.begin(places.data({private!r}, own=[{own!r}]))
def read(path, mode="r"):
    with open(path, mode) as file:
        return file.read()
def write(path, mode="w"):
    with open(path, mode) as file:
        file.write("x")
def other(path, text="other"):  # another process writes
    import subprocess
    subprocess.run(["sh", "-c", 'printf "%s" "$2" > "$1"', "sh", str(path), text], check=True)
"""


class Seen:
    """What the watch saw of a few lines that ran in a directory with the files a, b and c."""

    def __init__(self, here: Path, code: str) -> None:
        for name in ("a", "b", "c", "private/p", "private/own/o"):
            (here / name).parent.mkdir(parents=True, exist_ok=True)
            (here / name).write_text(f"content of {name}")
        private, own = str(here / "private"), str(here / "private" / "own")
        prelude = PRELUDE.format(here=str(here), private=private, own=own)
        end = "\nwatch.end()\nprint('SEEN', json.dumps(watch.files(lambda path: path.endswith('unchanged'))))"
        done = subprocess.run(
            [sys.executable, "-c", prelude + code + end], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        inputs, outputs = json.loads(done.stdout.partition("SEEN ")[2])
        self.inputs: dict[str, dict[str, Any]] = {os.path.relpath(e["path"], here): e for e in inputs}
        self.outputs = {os.path.relpath(path, here) for path in outputs}

    def held(self, name: str) -> bool:
        """Is it an input that was the same from its first reading on."""
        return not self.inputs[name].keys() & {"changed", "now"}


@pytest.mark.parametrize(
    "code",
    [
        "read('a')",
        "read(b'a')",
        "read(Path('a'))",
        "os.close(os.open('a', os.O_RDONLY))",
        "os.close(os.open(Path('a'), os.O_RDONLY))",
        "read(str(Path('a').absolute()))",
        "read('private/../a')",
        "read('.//a')",
        "read('/proc/self/cwd/a')",
        "read('/usr/..' + os.getcwd() + '/a')",
        "d = os.open('.', os.O_RDONLY); os.chdir('private'); os.close(os.open('a', os.O_RDONLY, dir_fd=d))",
        "class S(str): pass\nread(S('a'))",
        "import threading; t = threading.Thread(target=read, args='a'); t.start(); t.join()",
        "pid = os.fork()\nif pid == 0:\n    read('a'); os._exit(0)\nos.waitpid(pid, 0)",
    ],
)
def test_a_read_is_an_input(tmp_path: Path, code: str) -> None:
    """However its path is written, by whatever thread or forked child."""
    seen = Seen(tmp_path, code)
    assert set(seen.inputs) == {"a"} and seen.held("a") and not seen.outputs
    assert seen.inputs["a"]["state"][2] == len("content of a")


def test_the_same_name_in_two_directories_is_two_inputs(tmp_path: Path) -> None:
    """A relative path counts by where it is opened from."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_text("")
    assert set(Seen(tmp_path, "read('a'); os.chdir('d'); read('a')").inputs) == {"a", "d/a"}


@pytest.mark.parametrize(
    "code",
    [
        "read('a'); other('a')",
        "read('a'); other('a'); read('a')",
        "read('a'); os.unlink('a')",
        "read('a'); os.replace('b', 'a')",
        "read('a'); write('a')",
        "write('a', 'a'); read('a')",
        "write('a', 'r+')",
        "os.symlink('b', 'l'); os.rename('l', 'a'); read('a'); os.symlink('c', 'l'); os.rename('l', 'a')",
        "read('a'); os.truncate('a', 3)",
    ],
)
def test_an_input_that_does_not_stay_is_told(tmp_path: Path, code: str) -> None:
    """Changed by whomever, replaced, removed, or written in place."""
    assert not Seen(tmp_path, code).held("a")


def test_a_link_that_is_turned_and_turned_back_is_told(tmp_path: Path) -> None:
    """Each opening is compared with the first, not only the end."""
    code = (
        "os.symlink('a', 'l'); read('l'); os.unlink('l'); os.symlink('b', 'l'); read('l');"
        "os.unlink('l'); os.symlink('a', 'l')"
    )
    assert Seen(tmp_path, code).inputs["l"]["changed"]


@pytest.mark.parametrize(
    ("code", "outputs"),
    [
        ("write('new'); read('new')", {"new"}),
        ("write('a'); read('a')", {"a"}),
        ("write('a', 'a')", {"a"}),
        ("write('t'); os.replace('t', 'new'); read('new')", {"new"}),
        ("write('t'); os.rename('t', 'u'); os.rename('u', 'new'); read('new')", {"new"}),
        ("os.mkdir('d'); write('d/x'); os.rename('d', 'e'); read('e/x')", {"e/x"}),
        ("write('t'); os.link('t', 'new'); os.unlink('t'); read('new')", {"new"}),
        ("write('t'); os.unlink('t')", set()),
        ("write('private/own/new'); read('private/own/new')", {"private/own/new"}),
        ("write('private/new'); read('private/p')", set()),
        (
            "pid = os.fork()\nif not pid:\n    write('new'); os._exit(0)\nos.waitpid(pid, 0); read('new')",
            {"new"},
        ),
    ],
)
def test_what_is_written_first_is_an_output(tmp_path: Path, code: str, outputs: set[str]) -> None:
    """And no input when it is read afterwards, under its new name or by another process."""
    seen = Seen(tmp_path, code)
    assert (seen.outputs, set(seen.inputs)) == (outputs, set())


def test_a_file_that_comes_later_is_an_input(tmp_path: Path) -> None:
    """A reading that failed does not hide the one that succeeds."""
    code = "try:\n    read('late')\nexcept OSError:\n    other('late')\nread('late')"
    assert Seen(tmp_path, code).held("late")


def test_opened_in_place_and_left_alone_is_no_output(tmp_path: Path) -> None:
    """`r+` without a change; a database that is only asked."""
    code = (
        "open('a', 'r+').close()\nimport sqlite3\n"
        "c = sqlite3.connect('x.db'); c.execute('create table t (x)'); c.close()\n"
        "os.rename('x.db', 'y z.db')\n"
    )
    seen = Seen(tmp_path, code)
    assert seen.held("a") and seen.outputs == {"y z.db"}
    asked = Seen(
        tmp_path,
        "import sqlite3\nsqlite3.connect('file:y%20z.db?mode=ro', uri=True).execute('select * from t')",
    )
    assert asked.held("y z.db") and not asked.outputs


def test_the_trials_own_folder_and_the_tree_count_inside_of_what_does_not(tmp_path: Path) -> None:
    """The nearest directory decides: private below the repository, the folder below private."""
    seen = Seen(tmp_path, "read('private/p'); read('private/own/o'); read('a')")
    assert set(seen.inputs) == {"private/own/o", "a"}


def test_python_and_the_system_are_no_inputs(tmp_path: Path) -> None:
    """Neither the standard library, nor site-packages, nor /proc; a directory is none either."""
    code = "import json.tool, this, numpy; read('/proc/self/status'); os.close(os.open('.', os.O_RDONLY))"
    assert not Seen(tmp_path, code).inputs


def test_a_module_that_still_holds_what_was_loaded_is_left_out(tmp_path: Path) -> None:
    """What `unchanged` vouches for is no input besides."""
    (tmp_path / "unchanged").write_text("")
    assert not Seen(tmp_path, "read('unchanged')").inputs


def test_hostile_paths_break_nothing(tmp_path: Path) -> None:
    """No path, an impossible one, one without a text: Python's own errors, and what can be read is seen."""
    name = b"n\xff\n'x".decode("utf-8", "surrogateescape")
    (tmp_path / name).write_text("")
    code = (
        "for odd in ('', 'a\\0b', 'x' * 5000, 10**6):\n"
        "    try:\n        open(odd)\n    except (OSError, ValueError):\n        pass\n"
        "open(sys.stdout.fileno(), closefd=False)\n"
        'os.close(os.open(b"n\\xff\\n\'x", os.O_RDONLY)); assert os.open in os.supports_dir_fd'
    )
    assert set(Seen(tmp_path, code).inputs) == {name}


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("write('z'); os.replace('a', 'z'); read('z')", "z"),
        ("write('z'); read('z'); os.replace('a', 'z'); read('z')", "z"),
        ("write('z'); os.remove('z'); os.link('a', 'z'); read('z')", "z"),
        ("write('z'); os.unlink('z'); os.symlink('a', 'z'); read('z')", "z"),
        ("write('z'); os.rename('z', 'y'); os.link('a', 'z'); read('z')", "z"),
        ("write('z'); f = os.open('.', 0); os.replace('a', 'z', src_dir_fd=f, dst_dir_fd=f); read('z')", "z"),
        ("os.mkdir('d'); write('d/p'); os.rename('d', 'e'); os.rename('private', 'd'); read('d/p')", "d/p"),
        (
            "os.mkdir('d'); os.symlink('d', 'l'); write('l/p'); os.remove('l'); os.symlink('private', 'l');"
            "read('l/p')",
            "l/p",
        ),
        ("write('t'); os.remove('t'); other('late'); read('late')", "late"),
        (
            "class No(Exception): pass\n"
            "def refuse(event, given):\n    if event == 'open' and given[1] == 'w':\n        raise No\n"
            "sys.addaudithook(refuse)\n"
            "try:\n    write('a')\nexcept No:\n    pass\nread('a')",
            "a",
        ),
        (
            "pid = os.fork()\nif not pid:\n    write('z'); os.replace('a', 'z'); read('z'); os._exit(0)\n"
            "os.waitpid(pid, 0)",
            "z",
        ),
    ],
)
def test_data_that_was_there_before_is_an_input_under_a_name_that_was_written(
    tmp_path: Path, code: str, name: str
) -> None:
    """What counts is the file that was made here, not its name: replaced, linked, moved, never truncated."""
    assert set(Seen(tmp_path, code).inputs) == {name}


@pytest.mark.parametrize(
    "code",
    [
        "write('t'); os.symlink('t', 'l'); read('l')",
        "write('./t'); read('t')",
        "write('t'); write('t', 'a'); read('t')",
        "write('t')\ntry:\n    os.rename('t', 'no/t')\nexcept OSError:\n    read('t')",
        "write('t'); os.mkdir('d'); os.rename('t', 'd/t'); os.rename('d', 'e'); read('e/t')",
        "import shutil; write('t'); os.mkdir('k'); shutil.copy('t', 'k'); shutil.move('k', 'm'); read('m/t')",
        "import sqlite3; c = sqlite3.connect('x'); c.execute('create table t(x)'); c.close()\nread('x','rb')",
        "pid = os.fork()\nif not pid:\n    write('t'); os.rename('t', 'u'); os._exit(0)\n"
        "os.waitpid(pid, 0); read('u')",
    ],
)
def test_what_was_made_here_is_no_input_under_any_name(tmp_path: Path, code: str) -> None:
    """Links, moves, failed moves, other spellings, databases, and what a child moved."""
    assert not Seen(tmp_path, code).inputs
