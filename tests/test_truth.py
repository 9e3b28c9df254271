"""Attempts to make a record false: each ends refused, tainted or immune.

Most attempts of a kind share one trial: an experiment that makes them all, each on files of its own, so that
each is found again in the record by its path. What another person or process does to the files while the
trial runs is done by a shell that the experiment starts.
"""

from __future__ import annotations

import importlib.util
import os
import py_compile
import shutil
import sqlite3
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import project as project_of_tests
from tests.project import Project
from tests.record import Record, cut_off, kinds, reads, refusal_of, sha256, trial_of
from tests.record import site as make_site

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory for the module's repositories."""
    with cut_off(tmp_path_factory.mktemp("home")) as home:
        yield home


@pytest.fixture
def project(home: Path, tmp_path: Path) -> Project:
    """A clean repository of its own for one test."""
    return project_of_tests.make(tmp_path / "my 'own' projéct")


# --- code ---------------------------------------------------------------------------------------------

CODE = '''\
"""Runs code that the commit does not hold, by many ways."""

import importlib.util
import multiprocessing
import os
import runpy
import subprocess
import sys
import types
from pathlib import Path

HERE = Path(__file__).parent
OUTSIDE = Path(os.environ["TRUTH_OUTSIDE"])
found = {}


def shell(line):
    subprocess.run(line, shell=True, check=True, cwd=HERE)


def by_path(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class OwnLoader:
    """A loader that Python does not know."""

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec(Path(module.__spec__.origin).read_text(), module.__dict__)


def in_child(queue):
    import forked_ignored

    queue.put(forked_ignored.VALUE)


def run(seed, **params):
    import ignored
    import sourceless
    import stale_unchecked
    import stale_stamped

    found["stale_unchecked"] = stale_unchecked.VALUE
    found["stale_stamped"] = stale_stamped.VALUE

    shell("echo VALUE=666 > late.py")
    import late

    shell("git update-index --assume-unchanged assumed.py; echo VALUE=666 > assumed.py")
    import assumed

    shell("git update-index --skip-worktree skipped.py; echo VALUE=666 > skipped.py")
    import skipped

    import linked
    import on_pythonpath
    import other_clean
    import filtered
    import crlf
    import rewrites_itself
    import hides_itself
    import in_submodule.part

    shell("echo VALUE=666 > in_submodule/late_part.py")
    import in_submodule.late_part

    import reloaded

    shell("cp reloaded.py kept.txt; echo VALUE=666 > reloaded.py")
    importlib.reload(reloaded)
    shell("cp kept.txt reloaded.py")

    found["by_path_stale"] = by_path("by_path_stale", HERE / "by_path_stale.py").VALUE
    by_path("by_path_ignored", HERE / "by_path_ignored.py")
    exec(open("script.txt").read(), found)
    runpy.run_path("run_by_path.txt")
    runpy.run_module("run_as_module")

    sys.path.insert(0, "archive.zip")
    import zipped

    injected = types.ModuleType("injected")
    exec(Path("injected.txt").read_text(), injected.__dict__)
    sys.modules["injected"] = injected

    spec = importlib.util.spec_from_file_location("own_loader", HERE / "own_loader.py", loader=OwnLoader())
    module = importlib.util.module_from_spec(spec)
    sys.modules["own_loader"] = module
    spec.loader.exec_module(module)

    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=in_child, args=(queue,))
    child.start()
    found["forked"] = queue.get(timeout=60)
    child.join()

    import ctypes

    ctypes.CDLL("./built_here.so")
    found.pop("__builtins__", None)
    return {"main": 1.0, "metrics": {k: v for k, v in found.items() if isinstance(v, int)}}
'''


def _stale(project: Project, name: str, mode: py_compile.PycInvalidationMode) -> None:
    """Bytecode that says 666 where the source says 1, and that Python would believe."""
    source = project.write(f"{name}.py", "VALUE = 666\n")
    cache = importlib.util.cache_from_source(str(source))
    py_compile.compile(str(source), cache, invalidation_mode=mode)
    status = source.stat()
    source.write_text("VALUE = 1  \n")
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert source.stat().st_size == status.st_size


def _code_project(home: Path) -> tuple[Project, dict[str, str]]:
    project = project_of_tests.make(home / "code")
    outside = home / "outside"
    outside.mkdir()
    unchecked, stamped = (
        py_compile.PycInvalidationMode.UNCHECKED_HASH,
        py_compile.PycInvalidationMode.TIMESTAMP,
    )
    project.write(
        ".gitignore",
        "__pycache__/\n*ignored.py\nsourceless.pyc\n*.txt\narchive.zip\n*.so\nrun_as_module.py\n",
    )
    project.write("conf/experiment/code.yaml", "module: code_attempts\n")
    project.write("code_attempts.py", CODE)
    for name in ("late", "assumed", "skipped", "reloaded", "own_loader"):
        project.write(f"{name}.py", "VALUE = 1\n")
    for name in ("ignored", "by_path_ignored", "forked_ignored", "run_as_module"):
        project.write(f"{name}.py", "VALUE = 666\n")
    for name in ("script", "run_by_path", "injected"):
        project.write(f"{name}.txt", f"# {name}\nVALUE = 666\n")
    py_compile.compile(
        str(project.write("sourceless.py", "VALUE = 666\n")), str(project.path / "sourceless.pyc")
    )
    (project.path / "sourceless.py").unlink()
    _stale(project, "stale_unchecked", unchecked)
    _stale(project, "stale_stamped", stamped)
    _stale(project, "by_path_stale", unchecked)
    with zipfile.ZipFile(project.path / "archive.zip", "w") as archive:
        archive.writestr("zipped.py", "VALUE = 666\n")
    (outside / "linked.py").write_text("VALUE = 666\n")
    (project.path / "linked.py").symlink_to(outside / "linked.py")
    (outside / "on_pythonpath.py").write_text("VALUE = 666\n")
    project.write(
        "rewrites_itself.py", "from pathlib import Path\nPath(__file__).write_text('VALUE = 666')\n"
    )
    project.write("hides_itself_ignored.py", "import sys\ndel sys.modules[__name__]\n")
    project.write("hides_itself.py", "try:\n    import hides_itself_ignored\nexcept KeyError:\n    pass\n")
    library = next(Path("/usr/lib").glob("*/libm.so.6"), None) or Path(sys.executable)
    shutil.copy(library, project.path / "built_here.so")

    project.write(".gitattributes", "filtered.py filter=hide\ncrlf.py text eol=crlf\n")
    project.write("filtered.py", "VALUE = 1\n")
    project.write("crlf.py", "VALUE = 1\n")

    part = project_of_tests.make(home / "part")
    part.write("__init__.py", "")
    part.write("part.py", "VALUE = 1\n")
    part.write("late_part.py", "VALUE = 1\n")
    part.commit()
    project.git("submodule", "--quiet", "add", str(part.path), "in_submodule")
    project.commit()
    (project.path / "crlf.py").unlink()
    project.git("checkout", "crlf.py")
    assert b"\r\n" in (project.path / "crlf.py").read_bytes()
    project.git("config", "filter.hide.clean", "echo 'VALUE = 1'")
    project.write("filtered.py", "VALUE = 666\n")
    project.git("add", "filtered.py")

    clean = project_of_tests.make(home / "clean")
    clean.write("other_clean.py", "VALUE = 1\n")
    clean.commit()
    site = make_site(home / "site", "clean", clean.path)
    (home / "startup.py").write_text("raise SystemExit('the startup file ran')\n")
    profile = home / "ipython" / "profile_default" / "startup"
    profile.mkdir(parents=True)
    (profile / "00.py").write_text("raise SystemExit('the profile ran')\n")
    env = {
        "PYTHONPATH": os.pathsep.join(str(p) for p in (outside, site, clean.path)),
        "PYTHONSTARTUP": str(home / "startup.py"),
        "IPYTHONDIR": str(home / "ipython"),
        "TRUTH_OUTSIDE": str(outside),
    }
    (outside / "sitecustomize.py").write_text("VALUE = 666\n")
    return project, env


@pytest.fixture(scope="module")
def code_trial(home: Path) -> Record:
    """The record of the trial that makes all attempts of `CODE`."""
    project, env = _code_project(home)
    assert project.status() == "", "the gate must not see any of it"
    return trial_of(project, "experiment=code", "params=one", **env)


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        ("ignored.py", "code_untracked"),
        ("sourceless.pyc", "code_sourceless"),
        ("late.py", "code_changed"),
        ("assumed.py", "code_changed"),
        ("skipped.py", "code_changed"),
        ("filtered.py", "code_changed"),
        ("linked.py", "code_outside"),
        ("on_pythonpath.py", "code_outside"),
        ("sitecustomize.py", "code_outside"),
        ("in_submodule/late_part.py", "code_changed"),
        ("reloaded.py", "code_changed"),
        ("by_path_ignored.py", "code_untracked"),
        ("run_as_module.py", "code_untracked"),
        ("hides_itself_ignored.py", "code_untracked"),
        ("forked_ignored.py", "code_untracked"),
        ("archive.zip", "code_untracked"),
        ("own_loader.py", "code_unwatched"),
    ],
)
def test_code_that_the_commit_does_not_hold_is_a_taint(code_trial: Record, module: str, kind: str) -> None:
    """However a module got in whose bytes are not the commit's, a taint names its file."""
    assert kind in {
        t["kind"] for t in code_trial["taints"] if t["where"] == module or t["where"].endswith(f"/{module}")
    }


@pytest.mark.parametrize("module", ["stale_unchecked", "stale_stamped", "by_path_stale"])
def test_stale_bytecode_never_runs(code_trial: Record, module: str) -> None:
    """A .pyc of the repository is not read, whatever it says of its source: what ran is the commit's."""
    assert code_trial["metrics"][module] == 1.0
    assert {m["origin"] for m in code_trial["modules"] if m["name"] == module} == {"commit"}


@pytest.mark.parametrize(
    "module", ["rewrites_itself.py", "hides_itself.py", "crlf.py", "in_submodule/part.py", "code_attempts.py"]
)
def test_honest_code_is_no_taint(code_trial: Record, module: str) -> None:
    """What was loaded from the commit is proven, whatever the file says afterwards and however lines end."""
    assert {m["origin"] for m in code_trial["modules"] if m["path"] == module} == {"commit"}
    assert not kinds(code_trial, module)


def test_startup_files_do_not_run(code_trial: Record) -> None:
    """PYTHONSTARTUP and the user's IPython profile would end an interpreter; the kernel reads neither."""
    assert code_trial["status"] == "succeeded"
    assert not [t for t in code_trial["taints"] if t["kind"] == "code_startup"]


def test_code_of_a_clean_editable_install_has_its_own_commit(code_trial: Record) -> None:
    """A module of another repository is recorded with that repository's project and commit."""
    (module,) = [m for m in code_trial["modules"] if m["name"] == "other_clean"]
    top = Path(module["path"]).parent
    assert module["origin"].endswith(f"@{Project(top).git('rev-parse', 'HEAD')}")
    assert not kinds(code_trial, "other_clean.py")


@pytest.mark.parametrize(
    "name",
    ["script.txt", "run_by_path.txt", "injected.txt", "archive.zip", "sourceless.pyc", "built_here.so"],
)
def test_code_that_is_read_as_data_is_an_input(code_trial: Record, name: str) -> None:
    """`exec(open(...).read())`, `runpy.run_path`, injected modules, archives, ctypes: the file is noted."""
    assert name in reads(code_trial)


def test_a_repository_without_a_change_but_a_hidden_one_is_refused(project: Project) -> None:
    """Edits under assume-unchanged, skip-worktree and info/exclude, and in a submodule, are named."""
    project.write("assumed.py", "").write_text("x = 1\n")
    project.write("skipped.py", "x = 1\n")
    part = project_of_tests.make(project.path.parent / "part")
    project.git("submodule", "--quiet", "add", str(part.path), "part")
    project.commit()
    project.git("update-index", "--assume-unchanged", "assumed.py")
    project.git("update-index", "--skip-worktree", "skipped.py")
    for name in ("assumed.py", "skipped.py", "excluded.py", "part/toy.py"):
        project.write(name, "x = 666\n")
    (project.path / ".git" / "info" / "exclude").write_text("excluded.py\n")
    project.git("config", "submodule.part.ignore", "all")
    assert project.status() == ""
    said = refusal_of(project, "experiment=toy", "params=one")
    for name in ("assumed.py", "skipped.py", "excluded.py", "part/toy.py"):
        assert name in said


def test_a_dirty_editable_install_is_refused(project: Project, tmp_path: Path) -> None:
    """The repository of another distribution that is installed in place must be clean, too."""
    other = project_of_tests.make(tmp_path / "other")
    other.write("toy.py", "x = 666\n")
    site = make_site(tmp_path / "site", "other", other.path)
    said = refusal_of(project, "experiment=toy", "params=one", PYTHONPATH=str(site))
    assert "other is installed as editable" in said and "toy.py" in said


# --- data ---------------------------------------------------------------------------------------------

DATA = '''\
"""Reads data that changes, that no commit holds, or by ways that are hard to see."""

import builtins
import bz2
import ctypes
import gzip
import importlib.util
import io
import lzma
import mmap
import multiprocessing
import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import zipfile
from pathlib import Path

HERE = Path.cwd()
AWAY = Path(os.environ["TRUTH_AWAY"])


def shell(line, **kw):
    subprocess.run(line, shell=True, check=True, cwd=HERE, **kw)


def read(path, *args, **kw):
    with open(path, *args, **kw) as file:
        return file.read()


def changes():
    read("declared.csv")
    shell("echo other >> declared.csv")
    shell("cp -p declared_back.csv kept; echo other > declared_back.csv")
    read("declared_back.csv")
    shell("cp -p kept declared_back.csv")
    shell("cp -p declared_tree/a.csv kept; echo other > declared_tree/a.csv; cp -p kept declared_tree/a.csv")
    read("data/changed.csv")
    shell("echo other >> data/changed.csv")
    read("data/changed_and_back.csv")
    shell("cp -p data/changed_and_back.csv kept; echo other > data/changed_and_back.csv")
    read("data/changed_and_back.csv")
    shell("cp -p kept data/changed_and_back.csv")
    read("data/gone.csv")
    shell("rm data/gone.csv")
    read("data/replaced.csv")
    shell("echo other > data/new; mv data/new data/replaced.csv")
    read("data/retargeted.csv")
    shell("ln -sf other.csv data/retargeted.csv")
    read("data/retargeted.csv")
    shell("ln -sf first.csv data/retargeted.csv")
    read("data/folder/x.csv")
    shell("mv data/folder data/aside; mv data/folder_two data/folder")
    read("data/folder/x.csv")
    shell("mv data/folder data/folder_two; mv data/aside data/folder")
    shell("echo other > tracked/edited.csv")
    read("tracked/edited.csv")
    shell("git update-index --assume-unchanged tracked/assumed.csv; echo other > tracked/assumed.csv")
    read("tracked/assumed.csv")
    shell("echo other > tracked/by_link.csv")
    read(AWAY / "link_to_repository" / "tracked" / "by_link.csv")
    shell("touch tracked/touched.csv")
    read("tracked/touched.csv")
    with open("data/in_place.csv", "r+") as file:
        file.write("x")
    with open("data/appended.csv", "a") as file:
        file.write("x")
    read("data/appended.csv")
    with open("data/log.txt", "a") as file:
        file.write("x")


def ways():
    read(AWAY / "untracked.csv")
    Path("data/pathlib.csv").read_text()
    read(b"data/bytes.csv")
    gzip.open("data/x.gz").read()
    bz2.open("data/x.bz2").read()
    lzma.open("data/x.xz").read()
    zipfile.ZipFile("data/x.zip").read("a")
    os.close(os.open("data/os_open.csv", os.O_RDONLY))
    os.close(os.open(Path("data/os_open_path.csv"), os.O_RDONLY))
    directory = os.open(AWAY, os.O_RDONLY)
    os.close(os.open("dir_fd.csv", os.O_RDONLY, dir_fd=directory))
    io.FileIO("data/fileio.csv").read()
    with open("data/mmap.csv", "rb") as file:
        mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)[:]
    connection = sqlite3.connect("file:data/a%20b.db?mode=ro", uri=True)
    assert connection.execute("select * from t").fetchall() == [(1,)]
    connection.close()
    if importlib.util.find_spec("numpy"):
        import numpy

        numpy.load("data/x.npy")
        numpy.fromfile("data/fromfile.bin")
        numpy.loadtxt("data/loadtxt.csv")
        numpy.memmap("data/memmap.bin", mode="r")[:]
        read(numpy.str_("data/numpy_str.csv"))
    if importlib.util.find_spec("pandas"):
        import pandas

        pandas.read_csv("data/pandas.csv")
    read("/usr/.." + str(AWAY / "dotdot_through_usr.csv"))
    read("/proc/self/cwd/data/proc.csv")
    read("data/link/../dotdot.csv")
    os.chdir("data/one")
    read("same.csv")
    os.chdir("../two")
    read("same.csv")
    os.chdir(HERE)
    plain = builtins.open
    builtins.open = lambda *a, **kw: plain(*a, **kw)
    read("data/patched.csv")
    builtins.open = plain
    try:
        read("data/late.csv")
    except FileNotFoundError:
        shell("echo late > data/late.csv")
    read("data/late.csv")
    read(os.fsencode(AWAY) + b"/\\xff.csv")
    child = multiprocessing.get_context("fork").Process(target=read, args=("data/child.csv",))
    child.start()
    child.join()
    shutil.copy("data/copied.csv", "data/out/copy.csv")


def own_files():
    with open("data/out/written.csv", "w") as file:
        file.write("x")
    read("data/out/written.csv")
    with tempfile.NamedTemporaryFile("w", dir="data/out", delete=False) as file:
        file.write("x")
    os.replace(file.name, "data/out/renamed.csv")
    read("data/out/renamed.csv")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "x").write_text("x")
        Path(folder, "x").read_text()
    os.mkdir("data/out/new")
    Path("data/out/new/x.csv").write_text("x")
    os.rename("data/out/new", "data/out/moved")
    Path("data/out/moved/x.csv").read_text()
    write = Path("data/out/by_child.csv").write_text
    child = multiprocessing.get_context("fork").Process(target=write, args="x")
    child.start()
    child.join()
    read("data/out/by_child.csv")
    Path("result.csv").write_text("x")


def limits():
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    libc.fclose.argtypes = [ctypes.c_void_p]
    libc.fclose(libc.fopen(b"data/fopen.csv", b"r"))
    subprocess.run(["cat", "data/cat.csv"], stdout=subprocess.DEVNULL)
    with socket.socket() as line:
        line.setblocking(False)
        line.connect_ex(("192.0.2.1", 9))
    connection = sqlite3.connect("data/out/main.db")
    connection.execute("attach 'data/attached.db' as other")
    connection.close()


def run(seed, **params):
    changes()
    ways()
    own_files()
    limits()
    return {"main": 1.0}
'''

WAYS = [
    "pathlib.csv", "bytes.csv", "x.gz", "x.bz2", "x.xz", "x.zip", "os_open.csv", "os_open_path.csv",
    "fileio.csv",
    "mmap.csv", "a b.db", "proc.csv", "one/same.csv", "two/same.csv", "patched.csv", "late.csv", "child.csv",
    "copied.csv",
]  # fmt: skip
NUMPY = ["x.npy", "fromfile.bin", "loadtxt.csv", "memmap.bin", "numpy_str.csv"]


def _data_project(home: Path) -> tuple[Project, dict[str, str]]:
    project = project_of_tests.make(home / "data")
    away = home / "away"
    away.mkdir()
    (away / "link_to_repository").symlink_to(project.path)
    (away / "real" / "deep").mkdir(parents=True)
    inputs = "inputs: [declared.csv, declared_back.csv, declared_tree]\n"
    project.write("conf/experiment/data.yaml", f"module: data_attempts\n{inputs}")
    project.write("data_attempts.py", DATA)
    project.write(".gitignore", "__pycache__/\n/data/\ndeclared*\nkept\n")
    for name in ("edited", "assumed", "by_link", "touched"):
        project.write(f"tracked/{name}.csv", f"{name}\n")
    project.commit()
    for name in ("declared.csv", "declared_back.csv", "declared_tree/a.csv"):
        project.write(name, f"{name}\n")
    names = [
        "changed",
        "changed_and_back",
        "gone",
        "replaced",
        "first",
        "other",
        "in_place",
        "appended",
        "log",
    ]
    for name in [f"{n}.csv" for n in names] + [*WAYS, *NUMPY, "pandas.csv", "fopen.csv", "cat.csv"]:
        if name not in ("late.csv", "a b.db"):
            project.write(f"data/{name}", "1\n")
    for name in ("folder/x.csv", "folder_two/x.csv", "out/README"):
        project.write(f"data/{name}", f"{name}\n")
    (project.path / "data" / "retargeted.csv").symlink_to("first.csv")
    (project.path / "data" / "link").symlink_to(away / "real" / "deep")
    for name in (
        "untracked.csv",
        "dir_fd.csv",
        "real/dotdot.csv",
        "dotdot_through_usr.csv",
        os.fsdecode(b"\xff.csv"),
    ):
        (away / name).write_text(f"away {name!a}\n")
    _special(project.path / "data")
    return project, {"TRUTH_AWAY": str(away)}


def _special(data: Path) -> None:
    """The files whose format matters."""
    import bz2
    import gzip
    import lzma

    for name, module in (("x.gz", gzip), ("x.bz2", bz2), ("x.xz", lzma)):
        (data / name).write_bytes(module.compress(b"1"))  # type: ignore[attr-defined]
    with zipfile.ZipFile(data / "x.zip", "w") as archive:
        archive.writestr("a", "1")
    for name in ("a b.db", "attached.db"):
        with sqlite3.connect(data / name) as connection:
            connection.execute("create table t (x)")
            connection.execute("insert into t values (1)")
        connection.close()
    if importlib.util.find_spec("numpy"):
        import numpy

        numpy.save(data / "x.npy", numpy.arange(3))


@pytest.fixture(scope="module")
def data_project(home: Path) -> tuple[Project, Record]:
    """The repository and the record of the trial that makes all attempts of `DATA`."""
    project, env = _data_project(home)
    return project, trial_of(project, "experiment=data", "params=one", **env)


@pytest.fixture(scope="module")
def data_trial(data_project: tuple[Project, Record]) -> Record:
    return data_project[1]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("declared.csv", "input_changed"),
        ("declared_back.csv", "input_changed"),
        ("declared_tree", "input_changed"),
        ("data/changed.csv", "input_changed"),
        ("data/changed_and_back.csv", "input_changed"),
        ("data/gone.csv", "input_gone"),
        ("data/replaced.csv", "input_changed"),
        ("data/retargeted.csv", "input_changed"),
        ("data/folder/x.csv", "input_changed"),
        ("data/in_place.csv", "input_changed"),
        ("data/appended.csv", "input_changed"),
        ("tracked/edited.csv", "input_not_committed"),
        ("tracked/assumed.csv", "input_not_committed"),
        ("tracked/by_link.csv", "input_not_committed"),
    ],
)
def test_data_that_changes_is_a_taint(data_trial: Record, path: str, kind: str) -> None:
    """Changed, changed back, replaced, retargeted, removed, or not the commit's: a taint names the file."""
    assert kinds(data_trial, path) == {kind}


@pytest.mark.parametrize("name", WAYS)
def test_a_read_is_seen_however_it_is_done(
    data_trial: Record, data_project: tuple[Project, Record], name: str
) -> None:
    """Every way of Python's own to open a file is recorded with its content's digest; none is a taint."""
    assert reads(data_trial)[f"data/{name}"] == sha256((data_project[0].path / "data" / name).read_bytes())
    assert not kinds(data_trial, f"data/{name}")


@pytest.mark.parametrize("name", NUMPY)
def test_reads_of_numpy_are_seen(data_trial: Record, name: str) -> None:
    """`load`, `fromfile`, `loadtxt`, `memmap`, and paths that are numpy's own texts."""
    pytest.importorskip("numpy")
    assert f"data/{name}" in reads(data_trial)


def test_reads_of_pandas_are_seen(data_trial: Record) -> None:
    """`read_csv` opens the file by Python."""
    pytest.importorskip("pandas")
    assert "data/pandas.csv" in reads(data_trial)


@pytest.mark.parametrize(
    "name", ["untracked.csv", "dir_fd.csv", "real/dotdot.csv", "dotdot_through_usr.csv", "\\xff.csv"]
)
def test_a_file_outside_of_the_repository_is_an_input(data_trial: Record, home: Path, name: str) -> None:
    """/tmp counts; so do paths relative to a descriptor, `..` behind a link, and names that are no text."""
    assert str(home / "away" / name) in reads(data_trial)


def test_what_the_experiment_writes_itself_is_an_output_and_no_input(data_trial: Record) -> None:
    """Written, renamed, in a directory that was renamed, or written by a child, and then read."""
    written = {o["path"] for o in data_trial["outputs"]}
    own = {
        f"data/out/{name}"
        for name in ("written.csv", "renamed.csv", "moved/x.csv", "by_child.csv", "copy.csv")
    }
    assert own | {"data/log.txt", "data/in_place.csv", "result.csv"} <= written
    assert not own & set(reads(data_trial))
    assert "tracked/touched.csv" in reads(data_trial) and not kinds(data_trial, "touched.csv")


def test_the_documented_limits_are_as_documented(data_trial: Record) -> None:
    """What C opens, SQLite attaches and other programs read is not seen; programs and hosts are noted."""
    assert not {"data/fopen.csv", "data/cat.csv", "data/attached.db"} & set(reads(data_trial))
    said = " ".join(n["what"] for n in data_trial["notes"] if n["kind"] == "unseen")
    assert "program cat" in said and "192.0.2.1" in said


def test_an_output_that_dirties_the_tree_names_its_trial(data_project: tuple[Project, Record]) -> None:
    """The next command is refused, and says which trial wrote the file and the ways out."""
    project, record = data_project
    project.git("checkout", "--quiet", "tracked")
    said = refusal_of(project, "experiment=toy", "params=one")
    assert f"result.csv was written by trial {record['id'][:7]}" in said
    assert ".gitignore" in said and "mitosis.cwd=trial" in said


def test_a_declared_input_that_is_missing_is_refused(project: Project) -> None:
    """Before anything runs, by the name in the configuration."""
    project.write("conf/experiment/toy.yaml", "module: toy\ninputs: ['no such*.csv']\n")
    project.commit()
    assert "no such*.csv" in refusal_of(project, "experiment=toy", "params=one")


# --- chance and parameters ----------------------------------------------------------------------------

CHANCE = '''\
"""Draws what no seed decides, and spoils its parameters."""

import os
import random
import secrets
import uuid

import numpy

numpy.random.seed()
AT_IMPORT = numpy.random.random(3), random.random()


def run(seed, x, made, device="none"):
    x_was = list(x)
    x.append(666)
    made = [
        numpy.random.default_rng(),
        numpy.random.RandomState(),
        numpy.random.Generator(numpy.random.PCG64()),
        random.Random(),
        random.SystemRandom().random(),
        os.urandom(3),
        os.getrandom(3),
        secrets.token_hex(3),
        uuid.uuid4(),
        random.seed(),
        open("/dev/urandom", "rb").read(3),
    ]
    random.seed(seed)
    numpy.random.default_rng(seed), random.Random(seed), numpy.random.RandomState(seed)
    return {"main": float(numpy.random.random()), "n": len(x_was), "order": list({"a", "b", "c"}).index("a")}
'''


@pytest.fixture(scope="module")
def chance_project(home: Path) -> Project:
    """A repository whose experiment makes the attempts of `CHANCE`, with a table that `lookup` reads."""
    project = project_of_tests.make(home / "chance")
    project.write("chance.py", CHANCE)
    project.write("conf/experiment/chance.yaml", "module: chance\n")
    project.write(
        "conf/params/drawn.yaml", "x: [1, 2]\ndevice: cpu\nmade: {_target_: numpy.random.default_rng}\n"
    )
    project.write("tables.py", "import random\nTABLE = {'a': [1, 2], 'b': lambda x: x + 1}\n")
    project.write("looks.py", "def run(seed, value):\n    value.append(3)\n    return {'main': len(value)}\n")
    project.write("conf/experiment/looks.yaml", "module: looks\n")
    project.write("conf/params/a.yaml", "value: {_target_: mitosis.lookup, table: 'tables:TABLE', name: a}\n")
    project.write("draws.py", "import os\ndef run(seed, x):\n    return {'main': os.urandom(8).hex()}\n")
    project.write("conf/experiment/draws.yaml", "module: draws\n")
    project.commit()
    return project


@pytest.fixture(scope="module")
def chance_trial(chance_project: Project) -> Record:
    untracked = "mitosis.untracked=[params.device]"
    return trial_of(
        chance_project, "experiment=chance", "params=drawn", "seed=5", untracked, PYTHONHASHSEED=""
    )


@pytest.mark.parametrize(
    "line",
    [
        "default_rng(),", "RandomState(),", "PCG64()", " random.Random(),", "SystemRandom()", "os.urandom",
        "os.getrandom", "secrets.", "uuid.", " random.seed(),", "/dev/urandom", "numpy.random.seed()",
    ],
)  # fmt: skip
def test_a_draw_without_a_seed_is_noted(chance_trial: Record, line: str) -> None:
    """With the user's own line; it is a note, not a taint."""
    pytest.importorskip("numpy")
    number = next(i for i, text in enumerate(CHANCE.splitlines(), 1) if line in text)
    assert "unseeded" in kinds(chance_trial, f"chance.py:{number}", "notes")
    assert chance_trial["taints"] == []


def test_seeded_generators_are_not_noted(chance_trial: Record) -> None:
    """A generator that is made from the seed is no chance."""
    number = next(i for i, text in enumerate(CHANCE.splitlines(), 1) if "default_rng(seed)" in text)
    assert not kinds(chance_trial, f"chance.py:{number}", "notes")


def test_a_generator_made_by_the_parameters_and_random_hashes_are_noted(chance_trial: Record) -> None:
    """`_target_: numpy.random.default_rng`; and an empty PYTHONHASHSEED, which Python takes for none."""
    notes = {(n["kind"], n["where"]) for n in chance_trial["notes"]}
    assert ("unseeded", "a cell of the notebook") in notes
    assert ("unseeded", "PYTHONHASHSEED") in notes
    assert chance_trial["environment"]["content"]["hash_seed"] != "0"


def test_what_an_import_draws_does_not_matter(chance_trial: Record) -> None:
    """The global generators are seeded anew before `run`, whatever the module did to them."""
    numpy = pytest.importorskip("numpy")
    assert chance_trial["main"] == float(numpy.random.RandomState(5).random_sample())


def test_parameters_are_recorded_as_they_were_given(chance_trial: Record) -> None:
    """A `run` that changes its parameters, and a parameter that is not hashed, are recorded all the same."""
    assert chance_trial["params"]["x"] == [1, 2] and chance_trial["params"]["device"] == "cpu"


def test_an_unknown_untracked_parameter_is_refused(chance_project: Project) -> None:
    """A name that is no parameter leaves nothing out of the digest by mistake."""
    said = refusal_of(chance_project, "experiment=toy", "params=one", "mitosis.untracked=[params.devise]")
    assert "params.devise" in said


def test_an_untracked_parameter_is_recorded_and_not_hashed(
    chance_project: Project, chance_trial: Record
) -> None:
    """Another value of it gives the same parameter set; the record holds the value."""
    changed = trial_of(
        chance_project,
        "experiment=chance",
        "params=drawn",
        "params.device=gpu",
        "mitosis.untracked=[params.device]",
    )
    assert changed["params"]["device"] == "gpu"
    assert changed["param_set"] == chance_trial["param_set"]


def test_a_seed_among_the_parameters_is_refused(chance_project: Project) -> None:
    """The seed is never part of the parameter set."""
    assert "params.seed" in refusal_of(chance_project, "experiment=toy", "params=one", "+params.seed=3")


def test_two_runs_that_differ_are_a_taint(chance_project: Project) -> None:
    """`mitosis.verify=twice` runs again in another kernel and says that the bits are others."""
    record = trial_of(chance_project, "experiment=draws", "params=one", "mitosis.verify=twice")
    assert [t["kind"] for t in record["taints"]] == ["not_repeatable"]
    again = trial_of(chance_project, "experiment=toy", "params=one", "mitosis.verify=twice")
    assert again["taints"] == [] and [n["kind"] for n in again["notes"]] == ["verified"]


def test_another_value_under_the_same_name_of_a_table_is_a_taint(chance_project: Project) -> None:
    """The lock of a variant covers values that live in Python; a redefinition is allowed by name, once."""
    project = chance_project
    first = trial_of(project, "experiment=looks", "params=a")
    assert first["main"] == 3 and first["taints"] == []
    project.write("tables.py", "TABLE = {'a': [1, 2.0]}\n")
    project.commit()
    changed = trial_of(project, "experiment=looks", "params=a")
    assert kinds(changed, "tables:TABLE/a") == {"redefined"}
    assert changed["lookups"][0]["digest"] != first["lookups"][0]["digest"]
    allowed = trial_of(project, "experiment=looks", "params=a", "mitosis.redefine=['tables:TABLE/a']")
    assert allowed["taints"] == []


def test_a_taint_fails_the_trial_where_that_is_asked_for(project: Project) -> None:
    """`mitosis.on_taint=fail`: status failed, exit 2, and the reason is the taint."""
    project.write("toy.py", "import helper\ndef run(seed, x):\n    return {'main': x}\n")
    project.write(".gitignore", "helper.py\n")
    project.commit()
    project.write("helper.py", "")
    record = trial_of(project, "experiment=toy", "params=one", "mitosis.on_taint=fail", code=2)
    assert record["status"] == "failed" and "helper" in record["error"]["message"]
    assert kinds(record, "helper.py") == {"code_untracked"}


VARIANTS = {
    "conf/params/own.yaml": "x: 1.0\n",
    "conf/params/pulls.yaml": "defaults: [base]\n",
    "conf/params/base.yaml": "x: 1.0\n",
    "conf/params/node.yaml": "x: ${shared.value}\n",
    "conf/config.yaml": project_of_tests.CONFIG + "shared: {value: 1.0}\n",
}


def test_a_redefined_variant_is_refused_however_it_is_redefined(project: Project) -> None:
    """In its own file, in a config its defaults list pulls in, through an interpolation to a common node."""
    for name, content in VARIANTS.items():
        project.write(name, content)
    project.commit()
    assert project.run("-m", "experiment=toy", "params=own,pulls,node").returncode == 0
    for name in ("conf/params/own.yaml", "conf/params/base.yaml", "conf/config.yaml"):
        project.write(name, VARIANTS[name].replace("1.0", "2.0"))
    project.commit()
    done = project.run("-m", "experiment=toy", "params=own,pulls,node")
    assert done.returncode == 1
    assert "mitosis.redefine=[params/own,params/pulls,params/node]" in done.stderr
    for name in ("own", "pulls", "node"):
        assert project.run("experiment=toy", f"params={name}").returncode == 1
    assert len(project.json("ls")) == 3


# --- checkouts, snapshots, commits, environment -------------------------------------------------------

MOVES = """\
import subprocess
from pathlib import Path

import helper
from inner import part

HERE = Path("helper.py").resolve().parent


def run(seed, x):
    data = (Path(__file__).parent / "table.csv").read_text()
    for name in ("helper.py", "inner/part.py", "moves.py", "conf/params/one.yaml", "table.csv"):
        Path(name).write_text("666")
    for line in ("switch -q -c other", "add -A", "commit -q -m other", "switch -q -c more"):
        subprocess.run(["git", *line.split()], check=seed == 0)
    return {"main": x + helper.VALUE + part.VALUE + int(data)}
"""


@pytest.fixture(scope="module")
def pinned_trials(home: Path) -> tuple[Project, list[Record]]:
    """A sweep whose first trial edits code and YAML, commits, switches branches, under an editable one."""
    project = project_of_tests.make(home / "pinned")
    project.git("remote", "add", "origin", "https://ada:s3cr3t@example.org/lab/code.git?token=s3cr3t")
    project.write("moves.py", MOVES)
    project.write("helper.py", "VALUE = 10\n")
    project.write("inner/__init__.py", "")
    project.write("inner/part.py", "VALUE = 100\n")
    project.write("table.csv", "1000\n")
    project.write("conf/experiment/moves.yaml", "module: moves\n")
    project.commit()
    site = make_site(home / "same", "same", project.path)
    path = os.pathsep.join([str(site), str(project.path)])
    done = project.run("-m", "experiment=moves", "params=one", "seed=0,1,2", PYTHONPATH=path)
    assert done.returncode == 0, done.stdout + done.stderr
    return project, [project.json("show", t["id"]) for t in project.json("ls")]


def test_a_sweep_runs_what_was_checked_when_it_began(pinned_trials: tuple[Project, list[Record]]) -> None:
    """Code, YAML, data beside the code, and the branch change meanwhile; an editable install is no way in."""
    project, records = pinned_trials
    assert [r["main"] for r in records] == [1111.0] * 3
    assert {r["commit"] for r in records} == {project.git("rev-parse", "main")}
    assert all(r["taints"] == [] for r in records)
    assert {m["origin"] for r in records for m in r["modules"]} == {"commit"}
    assert {r["code_identity"] for r in records} == {records[0]["code_identity"]}


def test_a_commit_that_is_rebased_away_is_kept(pinned_trials: tuple[Project, list[Record]]) -> None:
    """After an amend, a reset and `git gc --prune=now` the recorded commit is still there."""
    project, records = pinned_trials
    project.git("switch", "--quiet", "main")
    project.git("commit", "--quiet", "--amend", "--allow-empty", "--message", "another")
    project.git("reflog", "expire", "--expire=now", "--all")
    project.git("branch", "--quiet", "--delete", "--force", "other", "more")
    project.git("gc", "--quiet", "--prune=now")
    assert project.git("rev-parse", "main") != records[0]["commit"]
    assert "VALUE = 10" in project.git("show", f"{records[0]['commit']}:helper.py")


def test_credentials_of_a_remote_are_recorded_nowhere(pinned_trials: tuple[Project, list[Record]]) -> None:
    """Neither in the store, nor in a folder, nor in the pointer below .git."""
    project, records = pinned_trials
    assert records[0]["code"]["remote"] == "https://example.org/lab/code.git"
    for top in (project.path / "trials", project.path / ".git" / "mitosis"):
        for file in top.rglob("*"):
            assert not file.is_file() or b"s3cr3t" not in file.read_bytes(), file


def test_a_snapshot_is_the_files_as_they_are(project: Project) -> None:
    """Untracked files included; branch, index, files stay; `commit` is the snapshot, which is shown dirty."""
    project.write("toy.py", "import new\ndef run(seed, x):\n    return {'main': x + new.VALUE}\n")
    project.write("new.py", "VALUE = 10\n")
    project.write("large.bin", "x" * 2000)
    snapshot = ("experiment=toy", "params=one", "mitosis.on_dirty=snapshot")
    said = refusal_of(project, *snapshot, "mitosis.snapshot_max_file=1000")
    assert "large.bin" in said
    before = project.status(), project.git("rev-parse", "HEAD"), project.git("ls-files", "--stage")
    record = trial_of(project, *snapshot)
    assert (project.status(), project.git("rev-parse", "HEAD"), project.git("ls-files", "--stage")) == before
    assert record["main"] == 11.0 and record["dirty"] and record["taints"] == []
    assert project.git("rev-parse", f"{record['commit']}^") == before[1]
    assert project.git("show", f"{record['commit']}:new.py") == "VALUE = 10"


def test_another_version_of_a_distribution_is_another_environment(project: Project, tmp_path: Path) -> None:
    """The digest of the environment changes with it, and the record names the version."""
    path = [str(make_site(tmp_path / v, "truthful", version=v)) for v in ("1.0", "2.0")]
    done = [trial_of(project, "experiment=toy", "params=one", PYTHONPATH=p) for p in path]
    versions = [r["environment"]["content"]["distributions"]["truthful"][0] for r in done]
    assert versions == ["1.0", "2.0"]
    assert done[0]["environment"]["digest"] != done[1]["environment"]["digest"]
