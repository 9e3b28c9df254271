"""The house of the project: who may import whom, how long things may be, and that importing does nothing."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[1]
PACKAGE = TOP / "mitosis"
MODULE_LINES, FUNCTION_LINES = 380, 65


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


HEAVY = words(
    "hydra omegaconf sqlalchemy alembic git nbclient nbconvert nbformat numpy scipy matplotlib pandas rich "
    "click IPython ipykernel jupyter_client traitlets zmq cloudpickle threadpoolctl"
)


@dataclass(frozen=True)
class Room:
    """What the modules of one room may import.

    `ours` are rooms, or single modules of a room (`capture.inputs`), of the project; a room's own modules
    may always import each other. `doors` are packages of others, at the top of the module or inside a
    function; `inner` are packages of others that only a function may import.
    """

    ours: frozenset[str] = frozenset()
    doors: frozenset[str] = frozenset()
    inner: frozenset[str] = frozenset()
    inner_ours: frozenset[str] = frozenset()
    stdlib_only_ours: bool = False


VALUES = words("errors trial")
CORE = VALUES | words("folder identity")
LAUNCHER = words(
    "expect gate launch jobs closing beside settle claim agreement patience settings recipe request display "
    "audit attesting leftovers signals environments trash garbage pending sweeps"
)  # the story of a trial, a page for each part of it

# The table of the design, section 4. The longest name that a module's own begins with is its room:
# `capture.code` for mitosis/capture/code.py, else `capture`; "" is mitosis/__init__.py.
ROOMS = {
    "": Room(),
    "__main__": Room(ours=words("cli")),
    "errors": Room(),
    "trial": Room(),
    "identity": Room(ours=VALUES),
    "folder": Room(ours=VALUES),
    "expect": Room(ours=VALUES),
    # which trials may be mixed and what they have under a name: groups knows values and their texts
    "groups": Room(ours=VALUES | words("identity")),
    # the mark in a picture: every room that writes one knows it; pypdf where a PDF is written or read
    "stamp": Room(ours=VALUES, inner=words("pypdf")),
    "floats": Room(),
    "series": Room(ours=VALUES | words("floats folder")),
    "charts": Room(ours=VALUES | words("identity groups compare series looks"), inner=words("altair")),
    "looks": Room(inner=words("altair vl_convert")),
    "compare": Room(ours=VALUES | words("floats identity groups"), inner=words("numpy scipy")),
    "differences": Room(
        ours=VALUES | words("floats identity")
    ),  # values out of trials, as compare; no door at all
    "capture": Room(ours=CORE),
    "capture.history": Room(ours=VALUES, inner=words("git")),
    "capture.environment": Room(ours=CORE, inner=words("threadpoolctl")),
    "capture.inputs": Room(ours=CORE),
    "notebook": Room(ours=CORE | words("expect telling"), doors=words("nbformat")),
    "notebook.execute": Room(ours=CORE | words("notebook signals"), doors=words("nbclient nbformat")),
    "notebook.kernels": Room(ours=CORE | words("notebook"), doors=words("jupyter_client traitlets")),
    # the page of several trials is jinja's alone: nbconvert is for notebooks
    "notebook.together": Room(
        ours=CORE | words("notebook compare differences groups series"), inner=words("jinja2")
    ),
    "notebook.curves": Room(ours=VALUES | words("series")),
    "notebook.report": Room(
        ours=CORE | words("notebook series stamp"), doors=words("nbconvert nbformat traitlets")
    ),
    # IPython is there already where the kernel's code runs: it is what runs it
    "kernel": Room(inner=words("cloudpickle numpy threadpoolctl IPython"), stdlib_only_ours=True),
    # the fork server becomes the kernel: that is the one import of it
    "kernel.forkserver": Room(inner=words("ipykernel IPython"), stdlib_only_ours=True),
    "where": Room(ours=VALUES),
    "telling": Room(),
    "frame": Room(ours=CORE | words("telling where")),
    "store": Room(ours=VALUES | words("identity telling where"), doors=words("sqlalchemy alembic")),
    # the launcher: no door of another's, so that the store, git and notebooks are reached through their rooms
    "settings": Room(),
    "admission": Room(ours=words("errors labels settings")),
    "patience": Room(ours=words("errors")),
    "pending": Room(ours=VALUES | words("folder")),
    "sweeps": Room(ours=VALUES | words("folder store")),
    "agreement": Room(ours=CORE | words("gate capture store settings patience")),
    "signals": Room(),
    "leftovers": Room(ours=words("folder")),
    "claim": Room(ours=VALUES | words("gate patience settings settle store")),
    "gate": Room(ours=CORE | words("admission sweeps capture store settings settle patience garbage")),
    "beside": Room(),
    "ends": Room(ours=CORE | words("capture")),
    "closing": Room(
        ours=CORE | words("ends environments expect capture store notebook settings stamp patience leftovers")
    ),
    "settle": Room(ours=CORE | words("capture store closing ends environments pending settings")),
    "request": Room(ours=words("settings trial")),
    "display": Room(ours=words("gate request trial")),
    "attesting": Room(ours=CORE | words("store")),
    "labels": Room(ours=CORE | words("store")),
    "finding": Room(ours=CORE | words("capture settle store")),
    # the public interface: it reads, and brings along neither Hydra nor Jupyter
    "reading": Room(ours=CORE | words("finding frame store telling where"), inner=words("pandas")),
    "environments": Room(ours=CORE),
    "trash": Room(ours=CORE | words("store")),
    "garbage": Room(ours=CORE | words("trash capture store")),
    "audit": Room(
        ours=CORE | words("attesting closing environments pending sweeps trash capture labels settle store")
    ),
    "recipe": Room(ours=CORE | words("capture store")),
    # what runs the record again: on the launcher, beside Hydra
    "again": Room(
        ours=CORE | LAUNCHER | words("capture store differences compare attesting finding floats"),
        inner=words("numpy"),
    ),
    "launch": Room(ours=CORE | LAUNCHER | words("capture notebook store")),
    "jobs": Room(ours=CORE | LAUNCHER | words("capture store")),
    "app": Room(
        ours=VALUES
        | words("agreement beside claim expect identity launch jobs gate settings request display signals"),
        doors=words("hydra omegaconf"),
    ),
    # yaml is the parser of omegaconf, whose errors are told
    "app.inner": Room(ours=VALUES, doors=words("hydra omegaconf yaml")),
    "app.refusals": Room(ours=VALUES | words("settings"), doors=words("hydra omegaconf yaml")),
    # the study is Optuna's own; its sweeper, which is installed with it, asks for it
    "app.optimize": Room(ours=VALUES | words("gate"), doors=words("hydra omegaconf"), inner=words("optuna")),
    "cli": Room(
        ours=CORE
        | LAUNCHER
        | words("again capture store compare differences groups stamp series charts looks")
        | words("expect where telling frame finding labels"),
        doors=words("click rich"),
        inner=words("pyarrow"),
        inner_ours=words("app notebook"),
    ),
    "examples": Room(doors=words("numpy matplotlib sklearn scipy")),
}

# What may be called while a module is imported: it makes a value and touches nothing.
MAKERS = words(
    "dirname abspath local WeakSet Border "  # its own place, an empty slot, directories told apart
    "deque attrgetter "
    "frozenset set tuple list dict range len field dataclass re.compile TypeVar namedtuple NewType Missing "
    "Path PurePosixPath object property classmethod staticmethod cache functools.cache functools.lru_cache "
    "MappingProxyType Enum datetime.timedelta timedelta join split words _words"
)
MAKERS_OF = {
    "store": words(
        "MetaData Table Column Index ForeignKey ForeignKeyConstraint PrimaryKeyConstraint UniqueConstraint "
        "CheckConstraint Integer BigInteger String Text Float Double Boolean LargeBinary JSON DateTime "
        "with_variant text coalesce bindparam select literal desc outerjoin datetime"
    ),
    "cli": words(
        "click.Choice click.Path click.IntRange click.DateTime click.argument click.option click.command"
    ),
}


@dataclass(frozen=True)
class Import:
    """One import of a module of ours or others."""

    importer: str  # "capture.code"; "" is the package itself
    target: str  # "mitosis.errors", "sqlalchemy.exc"
    line: int
    inner: bool  # inside a function
    typing: bool  # under `if TYPE_CHECKING`

    @property
    def top(self) -> str:
        return self.target.partition(".")[0]

    def __str__(self) -> str:
        return f"mitosis.{self.importer}:{self.line} imports {self.target}".replace("mitosis.:", "mitosis:")


@functools.cache
def modules() -> dict[str, Path]:
    """Every module of the project: name without the package's, and file."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


@functools.cache
def tree(name: str) -> ast.Module:
    return ast.parse(modules()[name].read_text(encoding="utf-8"))


def imports(name: str) -> tuple[Import, ...]:
    file = modules()[name]
    return tuple(imports_of(name, file.name == "__init__.py", tree(name)))


def imports_of(name: str, package: bool, module: ast.Module) -> Iterator[Import]:
    """Every import in a module, wherever it stands and however it is written with a name that can be read."""
    full = f"mitosis.{name}" if name else "mitosis"
    home = full if package else full.rpartition(".")[0]

    def walk(node: ast.AST, inner: bool, typing: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            deeper = inner or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            guarded = typing or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
            for target in targets(child, home):
                yield Import(name, target, getattr(child, "lineno", 0), deeper, guarded)
            yield from walk(child, deeper, guarded)

    yield from walk(module, inner=False, typing=False)


def targets(node: ast.AST, home: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = home.split(".")[: len(home.split(".")) - node.level + 1] if node.level else []
        source = ".".join([*above, *([node.module] if node.module else [])])
        for alias in node.names:
            whole = f"{source}.{alias.name}"
            yield whole if whole.removeprefix("mitosis.") in modules() else source
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = ast.unparse(node.func).rpartition(".")[2]
        if called in ("import_module", "__import__", "find_spec") and isinstance(node.args[0].value, str):
            yield node.args[0].value


def room(name: str) -> str:
    """The room of a module: the entry of the table that names most of it."""
    parts = name.split(".")
    while parts and ".".join(parts) not in ROOMS:
        parts.pop()
    return ".".join(parts)


def ours(target: str) -> str | None:
    """The module of ours that is imported, without the package's name; None for others' modules."""
    if target != "mitosis" and not target.startswith("mitosis."):
        return None
    return target.removeprefix("mitosis").removeprefix(".")


def may(names: frozenset[str], target: str) -> bool:
    return any(target == name or target.startswith(name + ".") for name in names)


@functools.cache
def is_standard_library_only(name: str) -> bool:
    """Whether nothing that a module of ours imports, at any depth, is outside of the standard library."""
    seen: set[str] = set()
    ahead = [name]
    while ahead:
        current = ahead.pop()
        if current in seen:
            continue
        seen.add(current)
        for found in imports(current):
            inside = ours(found.target)
            if inside is not None:
                ahead.append(inside)
            elif found.top not in sys.stdlib_module_names:
                return False
    return True


def complaints(found: Import) -> Iterator[str]:
    """What the table says against one import."""
    own = room(found.importer)
    rules = ROOMS[own]
    inside = ours(found.target)
    if inside is None:
        if found.top in sys.stdlib_module_names or found.top in rules.doors:
            return
        if found.top not in rules.inner:
            yield f"{found}: not a door of the room `{own}`"
        elif not (found.inner or found.typing):
            yield f"{found}: only inside the function that needs it"
        return
    if not inside or inside.partition(".")[0] == found.importer.partition(".")[0]:
        return  # the package itself holds names only; a room's modules know each other
    if rules.stdlib_only_ours:
        if not is_standard_library_only(inside):
            yield f"{found}: it is not of the standard library alone"
    elif not may(rules.ours, inside):
        if not may(rules.inner_ours, inside):
            yield f"{found}: the room `{own}` may not know it"
        elif not (found.inner or found.typing):
            yield f"{found}: only where something is run"


def test_every_module_has_a_room() -> None:
    """A new module is put into the table, not past it."""
    assert [name for name in modules() if name and not room(name)] == []


def test_imports_follow_the_table() -> None:
    """No module imports what the table of the design does not allow its room, in functions or for types."""
    wrong = [text for name in modules() for found in imports(name) for text in complaints(found)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("name", "source", "wrong"),
    [
        ("identity", "import numpy", True),
        ("identity", "def f():\n    import numpy", True),
        ("identity", "if TYPE_CHECKING:\n    import numpy", True),
        ("identity", "from mitosis import folder", True),
        ("identity", "from mitosis import errors, trial", False),
        ("identity", "from .trial import ParameterSet", False),
        ("identity", "from . import folder", True),
        ("identity", "importlib.import_module('mitosis.folder')", True),
        ("identity", "__import__('sqlalchemy')", True),
        ("trial", "from mitosis.errors import Refused", True),
        ("capture.inputs", "from mitosis.store import Store", True),
        ("capture.inputs", "from ..store.store import Store", True),
        ("capture.inputs", "from .environment import collect", False),
        ("capture.history", "import git", True),
        ("capture.history", "def f():\n    import git", False),
        ("capture.environment", "def f():\n    import git", True),
        ("notebook.document", "from nbconvert import HTMLExporter", True),
        ("launch", "def f():\n    import sqlalchemy.exc", True),
        ("launch", "import mitosis", False),
        ("app", "from mitosis.store.store import Store", True),
        ("app", "from mitosis.cli import main", True),
        ("cli.ls", "import hydra", True),
        ("cli.ls", "from mitosis import app", True),
        ("cli.ls", "def f():\n    from mitosis.app import main", False),
        ("cli.ls", "def f():\n    from mitosis import kernel", True),
        ("kernel.guard", "from mitosis.folder import write_atomic", False),
        ("kernel.guard", "from mitosis.kernel import contract", False),
        ("kernel.guard", "from mitosis.store import Store", True),
        ("kernel.guard", "import cloudpickle", True),
        ("kernel.guard", "class A:\n    def f(self):\n        import cloudpickle", False),
        ("kernel.guard", "def f():\n    import nbformat", True),
        ("examples.lorenz", "import mitosis.trial", True),
    ],
)
def test_the_table_is_enforced(name: str, source: str, wrong: bool) -> None:
    """The check itself finds what it is for, in every spelling, and nothing else."""
    found = [text for i in imports_of(name, False, ast.parse(source)) for text in complaints(i)]
    assert bool(found) == wrong, found


def test_reading_commands_import_no_front_door() -> None:
    """What is imported at the top of a command, at any depth, is neither Hydra nor what runs notebooks."""
    forbidden = words("hydra omegaconf nbclient nbconvert nbformat jupyter_client git scipy numpy")
    ahead = [(name, name) for name in modules() if room(name) == "cli" or name in ("", "__main__")]
    seen: set[str] = set()
    wrong = []
    while ahead:
        start, name = ahead.pop()
        if name in seen:
            continue
        seen.add(name)
        for found in imports(name):
            if found.inner or found.typing:
                continue
            inside = ours(found.target)
            if inside is not None:
                parents = inside.split(".")
                ahead += [(start, ".".join(parents[:i])) for i in range(1, len(parents) + 1)]
            elif found.top in forbidden:
                wrong.append(f"{found}, on the way from {start}")
    assert not wrong, "\n".join(wrong)


def test_lengths() -> None:
    """No module and no function is longer than a reader can hold."""
    long = []
    for name, file in modules().items():
        lines = file.read_text(encoding="utf-8").count("\n")
        if lines > MODULE_LINES:
            long.append(f"{file.relative_to(TOP)}: {lines} lines")
        for node in ast.walk(tree(name)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES:
                    long.append(f"{file.relative_to(TOP)}:{node.lineno} {node.name}: {length} lines")
    assert not long, "\n".join(long)


def test_every_module_says_what_it_is_for() -> None:
    """A module opens with one sentence; only a file that is empty has none."""
    silent = []
    for name in modules():
        opening = (ast.get_docstring(tree(name)) or "").partition("\n")[0]
        if tree(name).body and not opening.endswith((".", ":", ",", ";")) and len(opening) < 20:
            silent.append(name)
    assert silent == []


def work_at_import(name: str, body: list[ast.stmt], makers: frozenset[str]) -> Iterator[str]:
    """The statements of a module, and of its classes, that do more than define."""
    known = makers | {n.name for n in body if isinstance(n, ast.ClassDef)}
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Import | ast.ImportFrom | ast.Pass):
            continue
        if isinstance(node, ast.If) and re.fullmatch(
            r"TYPE_CHECKING|__name__ == '__main__'|sys\.(platform|version_info) .*", ast.unparse(node.test)
        ):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # a docstring
        if isinstance(node, ast.ClassDef):
            yield from work_at_import(f"{name}.{node.name}", node.body, known)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr):
            value = node.value
            for call in calls(value) if value else ():
                if not allowed(ast.unparse(call.func), known):
                    yield f"{name}:{call.lineno} calls {ast.unparse(call.func)}"
        else:
            yield f"{name}:{node.lineno} {ast.unparse(node).partition(chr(10))[0]}"


def calls(node: ast.AST) -> Iterator[ast.Call]:
    """The calls that evaluating an expression makes; what a lambda holds comes later."""
    if isinstance(node, ast.Lambda):
        return
    if isinstance(node, ast.Call):
        yield node
    for child in ast.iter_child_nodes(node):
        yield from calls(child)


def allowed(called: str, makers: frozenset[str]) -> bool:
    return called in makers or called.rpartition(".")[2] in makers


def test_importing_a_module_does_no_work() -> None:
    """The top of a module defines and does nothing: no engine, no git call, no logging set-up."""
    wrong = []
    for name in modules():
        if name.startswith("store.migrations"):
            continue  # alembic's own env.py is a script; nothing of ours imports it
        makers = MAKERS | MAKERS_OF.get(name.partition(".")[0], frozenset())
        wrong += list(work_at_import(f"mitosis.{name}", tree(name).body, makers))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("import os\nX = frozenset([1])\nY: int = len('a')", False),
        ("class A:\n    b: int = field(default=1)\nC = A()", False),
        ("import os\nos.environ['A'] = open('x').read()", True),
        ("X = create_engine('sqlite://')", True),
        ("logging.basicConfig()", True),
        ("class A:\n    x = subprocess.run(['git'])", True),
        ("for x in range(3):\n    pass", True),
        ("with open('x') as f:\n    pass", True),
        ("if TYPE_CHECKING:\n    import git", False),
        ("X = {'a': lambda: open('x')}", False),
    ],
)
def test_work_is_recognised(source: str, wrong: bool) -> None:
    """The check itself sees work at import and lets definitions pass."""
    assert bool(list(work_at_import("m", ast.parse(source).body, MAKERS))) == wrong


WATCHED = """
import importlib, sys
deeds = []
def watch(event, arguments):
    if event in ("subprocess.Popen", "os.system", "os.fork", "os.posix_spawn", "sqlite3.connect",
                 "socket.connect", "socket.bind", "os.mkdir", "os.remove", "os.rename"):
        deeds.append((event, repr(arguments)[:200]))
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wxa+"):
        deeds.append((event, repr(arguments)[:200]))
sys.addaudithook(watch)
for name in sys.argv[1:]:
    importlib.import_module(name)
print(deeds)
"""


def run(script: str, *arguments: str) -> str:
    command = [sys.executable, "-B", "-c", script, *arguments]
    answer = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_importing_everything_starts_nothing() -> None:
    """With every module of ours imported no process was started, no file written and no database opened."""
    skipped = ("store.migrations", "examples")  # a script of alembic's; matplotlib makes its cache
    names = [f"mitosis.{n}".rstrip(".") for n in modules() if not n.startswith(skipped)]
    assert run(WATCHED, *names) == "[]\n"


def loaded(statement: str) -> set[str]:
    """The top-level packages that a fresh interpreter holds after `statement`."""
    return set(run(f"{statement}\nimport sys\nprint(*{{m.partition('.')[0] for m in sys.modules}})").split())


@pytest.mark.parametrize("statement", ["import mitosis", "import mitosis; mitosis.__version__; dir(mitosis)"])
def test_importing_mitosis_imports_nothing_heavy(statement: str) -> None:
    """Every kernel imports the package: it brings nothing along."""
    assert loaded(statement) & HEAVY == set()


@pytest.mark.parametrize(
    "name", ["errors", "trial", "identity", "folder", "capture.inputs", "capture.environment"]
)
def test_the_core_is_of_the_standard_library(name: str) -> None:
    """The rooms that all others stand on are of the standard library alone."""
    assert is_standard_library_only(name)
    assert loaded(f"import mitosis.{name}") & HEAVY == set()


def test_the_version_is_the_packages() -> None:
    """`mitosis.__version__` is the one that is packaged."""
    written = run("import mitosis; print(mitosis.__version__)").strip()
    project = (TOP / "pyproject.toml").read_text(encoding="utf-8")
    static = re.search(r'^version = "(.*)"$', project, re.MULTILINE)
    if static:
        assert static[1] == written
    else:
        assert 'dynamic = ["version"]' in project
        assert 'path = "mitosis/__init__.py"' in project


def test_unknown_names_of_the_package() -> None:
    """A name that mitosis does not have is an AttributeError, and all that it promises are there."""
    script = (
        "import mitosis\n"
        "for name in mitosis.__all__: getattr(mitosis, name); assert name in dir(mitosis)\n"
        "try:\n    mitosis.nothing\nexcept AttributeError as error:\n    print(error)\n"
    )
    assert run(script) == "module 'mitosis' has no attribute 'nothing'\n"
