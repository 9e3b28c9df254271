"""The loading of the user's modules, each case in a process of its own: what is wrapped stays wrapped."""

from __future__ import annotations

import importlib.util
import json
import py_compile
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from mitosis.kernel import places
from mitosis.kernel.loading import blob


def _modules(here: Path, code: str, own: str = "") -> list[dict[str, str]]:
    """What `loading.modules` lists after `code` ran with `here` first on sys.path."""
    prelude = (
        "import json, os, sys\nfrom mitosis.kernel import loading, relay\n"
        f"os.chdir({str(here)!r}); sys.path.insert(0, {str(here)!r}); relay.begin({str(here)!r})\n"
        f"loading.install({own or str(here)!r})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{prelude}{code}\nprint('LISTED', json.dumps(loading.modules()))"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    listed: list[dict[str, str]] = json.loads(done.stdout.partition("LISTED ")[2])
    return listed


def _one(here: Path, code: str) -> dict[str, str]:
    (module,) = _modules(here, code)
    return module


def test_a_module_is_listed_with_the_bytes_that_were_compiled(tmp_path: Path) -> None:
    """Name, path and git's id of the source; nothing is written beside it."""
    source = tmp_path / "möd.py"
    source.write_text("x = 1\n")
    module = _one(tmp_path, "import möd; open('möd.py', 'w').write('x = 2')")
    assert module == {"name": "möd", "path": str(source), "blob": blob(b"x = 1\n"), "kind": "source"}
    assert not (tmp_path / "__pycache__").exists()


@pytest.mark.parametrize(
    "how",
    [
        "import stale; assert stale.x == 1",
        "import importlib.util as u; s = u.spec_from_file_location('stale', 'stale.py')\n"
        "m = u.module_from_spec(s); s.loader.exec_module(m); assert m.x == 1",
        "import runpy; assert runpy.run_module('stale')['x'] == 1",
    ],
)
def test_stale_bytecode_is_not_read(tmp_path: Path, how: str) -> None:
    """An unchecked .pyc in __pycache__ that says something else does not run, by whatever door."""
    source = tmp_path / "stale.py"
    source.write_text("x = 666\n")
    cache = importlib.util.cache_from_source(str(source))
    py_compile.compile(str(source), cache, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    source.write_text("x = 1\n")
    assert _one(tmp_path, how)["blob"] == blob(b"x = 1\n")


@pytest.mark.parametrize(
    "how",
    [
        "import m; del sys.modules['m']",
        "import m; sys.modules['m'] = 3",
        "pid = os.fork()\nif not pid:\n    import m; os._exit(0)\nos.waitpid(pid, 0)",
        "import importlib.util as u; u.spec_from_file_location('m', 'm.py').loader.load_module()",
    ],
)
def test_a_module_that_is_not_to_be_found_any_more_is_listed(tmp_path: Path, how: str) -> None:
    """Removed from sys.modules, replaced in it, or loaded by a forked child."""
    (tmp_path / "m.py").write_text("")
    module = _one(tmp_path, how)
    assert (module["name"], module["kind"]) == ("m", "source")


def test_a_module_that_was_reloaded_is_listed_with_each_content(tmp_path: Path) -> None:
    """The first and the second."""
    (tmp_path / "m.py").write_text("x = 1")
    code = "import m, importlib; open('m.py', 'w').write('x = 22'); importlib.reload(m)"
    assert {m["blob"] for m in _modules(tmp_path, code)} == {blob(b"x = 1"), blob(b"x = 22")}


def test_kinds_of_modules(tmp_path: Path) -> None:
    """Bytecode alone, an archive by a relative path, and a module with a loader of its own are told apart."""
    (tmp_path / "own.py").write_text("x = 1")
    (tmp_path / "bare.py").write_text("x = 1")
    py_compile.compile(str(tmp_path / "bare.py"), str(tmp_path / "bare.pyc"))
    (tmp_path / "bare.py").unlink()
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("zipped.py", "x = 1")
    code = (
        "import bare; sys.path.insert(0, 'a.zip'); import zipped\n"
        "import importlib.abc, importlib.util as u\n"
        "class L(importlib.abc.Loader):\n    def exec_module(self, module): pass\n"
        "m = u.module_from_spec(u.spec_from_file_location('own', 'own.py', loader=L()))\n"
        "sys.modules['own'] = m"
    )
    found = {m["name"]: (m["kind"], Path(m["path"]).name) for m in _modules(tmp_path, code)}
    assert found == {
        "bare": ("sourceless", "bare.pyc"),
        "zipped": ("archived", "a.zip"),
        "own": ("unwatched", "own.py"),
    }


def test_python_distributions_and_the_guard_are_left_out(tmp_path: Path) -> None:
    """Only the user's modules are listed."""
    assert (
        _modules(tmp_path, "import numpy, email.message, mitosis.kernel.chance, mitosis.kernel.figures") == []
    )


def test_installed_modules_are_listed_by_their_place(tmp_path: Path) -> None:
    """Relative to the directory that they were installed into."""
    code = "import numpy\nassert 'numpy/__init__.py' in sum(loading.installed().values(), [])"
    _modules(tmp_path, code)


def test_a_source_that_cannot_be_compiled_fails_as_it_does_without(tmp_path: Path) -> None:
    """A SyntaxError and bytes that are no text are the import's own errors; the file is listed."""
    (tmp_path / "wrong.py").write_text("x = = 1")
    (tmp_path / "odd.py").write_bytes(b"x = '\xff'")
    code = (
        "for m in ('wrong', 'odd'):\n    try:\n        __import__(m)\n    except SyntaxError:\n        pass"
    )
    assert {m["name"] for m in _modules(tmp_path, code)} == {"wrong", "odd"}


def test_a_traceback_shows_what_was_loaded(tmp_path: Path) -> None:
    """Also when the file says something else by then; `inspect` gives the same."""
    (tmp_path / "m.py").write_text("def f():\n    raise ValueError  # as it was loaded\n")
    code = (
        "import m, traceback, inspect; open('m.py', 'w').write('# edited\\n\\n\\n')\n"
        "assert 'as it was loaded' in inspect.getsource(m.f)\n"
        "try:\n    m.f()\nexcept ValueError:\n    assert 'as it was loaded' in traceback.format_exc()"
    )
    _modules(tmp_path, code)


def test_a_reading_by_the_loader_is_no_input_and_one_besides_is(tmp_path: Path) -> None:
    """The loader's own reading is not noted; the same file read after an edit is."""
    for name in ("m", "n"):
        (tmp_path / f"{name}.py").write_text("x = 1")
    code = (
        "from mitosis.kernel import places, watch\nwatch.begin(places.data(own=[os.getcwd()]))\n"
        "import m, n\nopen('m.py').read()\nopen('n.py', 'w').write('x = 2'); open('n.py').read()\n"
        "watch.end()\n"
        "inputs, outputs = watch.files(loading.is_unchanged)\n"
        "assert inputs == [] and outputs == [os.path.abspath('n.py')], (inputs, outputs)"
    )
    _modules(tmp_path, code)


def _border(foreign: list[str], own: list[str]) -> places.Border:
    return places.Border(tuple(f"{f}/" for f in foreign), tuple(f"{o}/" for o in own))


@pytest.mark.parametrize(
    ("path", "beyond"),
    [
        ("/usr/lib/python3/json.py", True),
        ("/usr/src/app/m.py", False),
        ("/usr/src/app/.venv/lib/site-packages/m.py", True),
        ("/usr/src/app/trials/toy/1/x", True),
        ("/usr/src/app/trials/checkouts/c/m.py", False),
        ("/usr/src/apps/m.py", True),
        ("/home/x", False),
    ],
)
def test_the_innermost_directory_decides(path: str, beyond: bool) -> None:
    """A repository below Python's prefix, an environment and a root in it, a checkout in that."""
    app = "/usr/src/app"
    foreign = ["/usr", f"{app}/.venv/lib/site-packages", f"{app}/trials"]
    border = _border(foreign, [app, f"{app}/trials/checkouts/c"])
    assert border.beyond(path) is beyond


def test_an_environment_that_is_the_repository_itself(tmp_path: Path) -> None:
    """`python -m venv .` at the top: the user's modules count, the environment's do not."""
    border: Any = _border(["/repo", "/repo/lib/python3.11/site-packages"], ["/repo"])
    assert not border.beyond("/repo/toy.py")
    assert border.beyond("/repo/lib/python3.11/site-packages/numpy.py")
