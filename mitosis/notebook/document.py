"""Writes the notebook of a trial: the cells that a person would write to run the experiment by hand."""

from __future__ import annotations

import datetime
import keyword
import math
import pathlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mitosis import identity
from mitosis.errors import ConfigurationRefused, ParameterRefused
from mitosis.trial import TrialSpec

if TYPE_CHECKING:
    from nbformat import NotebookNode

WIDTH = 88  # columns, as formatters of Python have it
_LONGEST_DECIMAL = 2_000  # bits; Python may be set to refuse integers of more than 640 digits in decimal
_TAKEN = frozenset({"mitosis", "os", "params", "result", "sys"})  # names that the cells use


@dataclass(frozen=True, slots=True)
class CallPlan:
    """What surrounds the call of an experiment: all that its notebook needs besides the specification."""

    cwd: str  # absolute; the working directory of the experiment
    source_roots: tuple[str, ...]  # absolute; first on `sys.path`, in this order
    argv0: str  # the whole of `sys.argv`, as for a plain script
    instantiate: bool = False  # `params` holds `_target_` nodes, which become objects
    seed_globals: bool = True  # seed the global random generators


def new(spec: TrialSpec, plan: CallPlan) -> NotebookNode:
    """The notebook of a trial, not yet executed: title, set-up, parameters, import, call and metrics.

    Each code cell has the tag `setup`, `parameters`, `import`, `call` or `metrics`, which is its id too.
    Raises ConfigurationRefused where module or function are no names that Python can import, and
    ParameterRefused where a parameter cannot be written as Python.
    """
    from nbformat import v4

    cells = [v4.new_markdown_cell(title(spec), id="title", metadata={"tags": ["title"]})]
    for tag, source in (
        ("setup", setup(spec.seed, plan)),
        ("parameters", parameters(spec.params, instantiate=plan.instantiate)),
        ("import", import_run(spec.module, spec.function)),
        ("call", call(spec.seed, plan, by_keyword=False)),
        ("metrics", "mitosis.kernel.report(result)"),
    ):
        cells.append(v4.new_code_cell(source, id=tag, metadata={"tags": [tag]}))
    return v4.new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {
                "name": "python",
                "file_extension": ".py",
                "mimetype": "text/x-python",
                "pygments_lexer": "ipython3",
            },
            "mitosis": {"trial": spec.id, "commit": spec.code.commit, "param_set": spec.param_set.digest},
        },
    )


def read(path: pathlib.Path) -> NotebookNode:
    """The notebook at `path`. Raises OSError, and ValueError where it is none."""
    import nbformat

    return nbformat.read(path, as_version=4)


def title(spec: TrialSpec) -> str:
    """Markdown: the experiment's name and a table of what the trial is."""
    rows = [
        ("trial", spec.id),
        ("experiment", spec.experiment),
        ("variant", spec.variant),
        ("seed", str(spec.seed)),
        ("commit", spec.code.commit),
        ("started", spec.started_at),
    ]
    lines = [f"| {name} | {escaped(value)} |" for name, value in rows]
    return "\n".join([f"# {escaped(spec.experiment)}", "", lines[0], "|---|---|", *lines[1:]])


def setup(seed: int, plan: CallPlan) -> str:
    """Source: working directory, source roots, arguments and the global generators' seed."""
    roots, _ = literal(list(plan.source_roots), column=len("sys.path[:0] = "))
    lines = [
        "import os",
        "import sys",
        "",
        f"os.chdir({_text(plan.cwd)})",
        f"sys.path[:0] = {roots}",
        f"sys.argv = [{_text(plan.argv0)}]",
        "",
        "import mitosis.kernel",
    ]
    if plan.seed_globals:
        lines += ["", f"mitosis.kernel.seed({int(seed)})"]
    return "\n".join(lines)


def parameters(canonical: str, *, instantiate: bool) -> str:
    """Source: the parameters as a literal, from their canonical text; objects where `_target_` says so."""
    source, modules = literal(identity.parse(canonical), column=len("params = "))
    lines = [f"import {module}" for module in modules]
    if instantiate:
        lines.append("from hydra.utils import instantiate")
    if lines:
        lines.append("")
    lines.append(f"params = {source}")
    if instantiate:
        lines.append('params = instantiate(params, _convert_="all")')
    return "\n".join(lines)


def import_run(module: str, function: str) -> str:
    """Source: the import that gives the experiment the name `run`.

    `function` may be a qualified name (`Model.fit`). Raises ConfigurationRefused where one of the two is
    no chain of names.
    """
    for what, name in (("module", module), ("function", function)):
        if not _importable(name):
            raise ConfigurationRefused(
                f"experiment {what} {identity.shown(name)} is no name that Python can import",
                f"{what} in conf/experiment/*.yaml must be names joined by dots, as in an import statement",
            )
    owner, _, attributes = function.partition(".")
    if not attributes:
        return f"from {module} import {owner}" + ("" if owner == "run" else " as run")
    if owner in _TAKEN:
        return f"from {module} import {owner} as owner\n\nrun = owner.{attributes}"
    return f"from {module} import {owner}\n\nrun = {owner}.{attributes}"


def call(seed: int, plan: CallPlan, *, by_keyword: bool) -> str:
    """Source: the call of the experiment, with the seed by position or by keyword.

    The global generators are seeded once more: what the import of the module drew must not matter.
    """
    again = f"mitosis.kernel.seed({int(seed)})\n" if plan.seed_globals else ""
    return f"{again}result = run({'seed=' if by_keyword else ''}{int(seed)}, **params)"


def _importable(name: str) -> bool:
    # Python reads identifiers in the compatibility form, so that another spelling would name another module
    return all(
        part.isidentifier() and not keyword.iskeyword(part) and unicodedata.normalize("NFKC", part) == part
        for part in name.split(".")
    )


def escaped(text: str) -> str:
    """`text` for one line of Markdown: nothing in it is markup, and what cannot be seen is spelled out."""
    entities = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return re.sub(r"[\\`*_{}\[\]#|!~^$&<>]", lambda m: entities.get(m[0], "\\" + m[0]), shown)


def literal(value: Any, width: int = WIDTH, column: int = 0) -> tuple[str, tuple[str, ...]]:
    """`value` as Python source that evaluates to the same value, and the modules it needs imported.

    One line where `width` columns suffice, `column` of which are used already; otherwise one key per
    line, lists of numbers filled up to `width` and texts split after their line ends. The member of an
    enumeration that an `identity.Member` names is written as itself. Raises ParameterRefused for a value
    that `identity.parse` does not give, or a member of what cannot be imported.
    """
    writer = _Writer(width)
    source = writer.write(value, 0, width - column)
    return source, tuple(sorted(writer.modules))


class _Writer:
    """Writes literals of at most `width` columns where they can be broken, and collects modules they need."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.modules: set[str] = set()

    def write(self, value: Any, depth: int, room: int) -> str:
        """Source of `value`, `depth` indents deep, whose first line may take `room` columns."""
        flat = self.flat(value, room)
        if flat is not None:
            return flat
        indent, inner = "    " * depth, "    " * (depth + 1)
        if isinstance(value, Mapping):
            lines = []
            for key, item in value.items():
                name = f"{inner}{self.atom(key)}: "
                lines.append(f"{name}{self.write(item, depth + 1, self.width - len(name) - 1)},\n")
            return "{\n" + "".join(lines) + indent + "}"
        if isinstance(value, list | tuple):
            opening, closing = "[]" if isinstance(value, list) else "()"
            return f"{opening}\n{self.items(value, depth + 1)}{indent}{closing}"
        pieces = str(value).splitlines(keepends=True)
        return "(\n" + "".join(f"{inner}{_text(piece)}\n" for piece in pieces) + indent + ")"

    def items(self, values: Iterable[Any], depth: int) -> str:
        """The items of a list or tuple on indented lines: short numbers side by side, others on their own."""
        indent = "    " * depth
        lines: list[str] = []
        side_by_side = False
        for value in values:
            source = self.write(value, depth, self.width - len(indent) - 1) + ","
            short = isinstance(value, bool | int | float | None) and len(source) <= 24
            if short and side_by_side and len(lines[-1]) + 1 + len(source) <= self.width:
                lines[-1] += " " + source
            else:
                lines.append(indent + source)
            side_by_side = short
        return "".join(line + "\n" for line in lines)

    def flat(self, value: Any, room: int) -> str | None:
        """Source of `value` on one line; None where that needs more than `room` columns and can be broken."""
        if not isinstance(value, Mapping | list | tuple):
            source = self.atom(value)
            broken = isinstance(value, str) and "\n" in value.rstrip("\n") and len(source) > room
            return None if broken else source
        brackets = "{}" if isinstance(value, Mapping) else "[]" if isinstance(value, list) else "()"
        parts: list[str] = []
        used = len(brackets)
        for item in value:
            name = f"{self.atom(item)}: " if isinstance(value, Mapping) else ""
            inside = self.flat(value[item] if isinstance(value, Mapping) else item, room - used - len(name))
            if inside is None:
                return None
            parts.append(name + inside)
            used += len(parts[-1]) + (2 if len(parts) > 1 else 0)
            if used > room:
                return None
        comma = "," if isinstance(value, tuple) and len(parts) == 1 else ""
        return f"{brackets[0]}{', '.join(parts)}{comma}{brackets[1]}"

    def atom(self, value: Any) -> str:
        """Source of a value without items, on one line; the module that it needs is remembered."""
        if value is None or isinstance(value, bool | bytes):
            return repr(value)
        if isinstance(value, int):
            return repr(value) if value.bit_length() < _LONGEST_DECIMAL else hex(value)
        if isinstance(value, float):
            return repr(value) if math.isfinite(value) else f'float("{value!r}")'
        if isinstance(value, str):
            return _text(value)
        if isinstance(value, datetime.date):
            self.modules.add("datetime")
            return repr(value)
        if isinstance(value, pathlib.PurePath):
            self.modules.add("pathlib")
            return f"pathlib.Path({_text(str(value))})"
        if isinstance(value, identity.Member) and _importable(f"{value.module}.{value.enum}"):
            self.modules.add(value.module)
            return f"{value.module}.{value.enum}[{_text(value.name)}]"
        raise ParameterRefused(
            f"params hold {identity.shown(value)}, which cannot be written as Python",
            "use numbers, text, dates, paths, lists and mappings, or a `_target_` that makes the object",
        )


def _text(value: str) -> str:
    """A Python literal of `value`, in double quotes where no escape is needed for it."""
    source = repr(value)
    return f'"{source[1:-1]}"' if source[0] == "'" and not {'"', "'"} & set(value) else source
