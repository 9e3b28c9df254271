"""Reaches values that live in tables of Python objects, and says by a digest which value it was."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import importlib
import inspect
import sys
import types
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import Any

_found: list[dict[str, str]] = []


def lookup(table: str, name: object) -> Any:
    """A deep copy of the entry `name` of `table`, written `package.module:attribute`.

    The table is a mapping, or anything with attributes (a module, a class). Names are texts; a number that
    YAML made of `1` is turned back. Raises LookupError where there is no such table or entry.
    """
    holder = _table(table)
    key = str(name)
    if isinstance(holder, Mapping):
        if name not in holder and key not in holder:
            known = ", ".join(sorted(map(str, holder))[:10]) or "none"
            raise LookupError(f"the table {table} has no entry {key!r}; its entries: {known}")
        value = holder[name] if name in holder else holder[key]
    elif hasattr(holder, key):
        value = getattr(holder, key)
    else:
        raise LookupError(f"the table {table} has no attribute {key!r}")
    _found.append({"table": table, "name": key, "digest": digest(value)})
    try:
        return copy.deepcopy(value)
    except Exception as error:  # whatever a user's __deepcopy__ raises
        raise LookupError(f"{table}[{key!r}] cannot be copied: {type(error).__name__}: {error}") from error


def found() -> list[dict[str, str]]:
    """What was looked up so far, as {table, name, digest}."""
    return list(_found)


def _table(table: str) -> Any:
    module, colon, attribute = table.partition(":")
    try:
        holder: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise LookupError(f"the table {table}: {error}") from error
    for part in attribute.split(".") if colon and attribute else ():
        if not hasattr(holder, part):
            raise LookupError(f"the table {table}: {module} has no {attribute}")
        holder = getattr(holder, part)
    return holder


def digest(value: Any) -> str:
    """SHA-256 over what `value` is: content and names, never an address; the order of keys and sets is none.

    numpy arrays by type, shape and bytes; functions and classes by name and source; partial functions and
    methods by their parts; dataclasses and other objects by type and fields.
    """
    return hashlib.sha256(_encoded(value, {})).hexdigest()


def _encoded(value: Any, above: dict[int, int]) -> bytes:
    """A text of its own for each value; an object inside itself stands as its distance from the top."""
    if _plain(value) and not isinstance(value, Enum):
        return _part(type(value).__qualname__, repr(value).encode("utf-8", "surrogatepass"))
    if id(value) in above:
        return _part("above", str(above[id(value)]).encode())
    inside = {**above, id(value): len(above)}
    for matches, encode in _KINDS:
        if matches(value):
            return encode(value, inside)
    return _object(value, inside)


def _part(kind: str, *parts: bytes) -> bytes:
    head = f"{kind}:{','.join(str(len(p)) for p in parts)}:".encode()
    return head + b"".join(parts)


def _mapping(value: Mapping[Any, Any], above: dict[int, int]) -> bytes:
    items = sorted(_encoded(k, above) + _encoded(v, above) for k, v in value.items())
    return _part(_name(type(value)), *items)


def _sequence(value: Any, above: dict[int, int]) -> bytes:
    return _part(_name(type(value)), *(_encoded(v, above) for v in value))


def _set(value: AbstractSet[Any], above: dict[int, int]) -> bytes:
    return _part(_name(type(value)), *sorted(_encoded(v, above) for v in value))


def _array(value: Any, above: dict[int, int]) -> bytes:
    objects = value.dtype.hasobject  # the bytes of an array of objects are addresses
    content = _sequence(value.ravel().tolist(), above) if objects else value.tobytes()
    return _part("numpy", str(value.dtype).encode(), str(value.shape).encode(), content)


def _code(value: Any, above: dict[int, int]) -> bytes:
    """A function or class: its name and source, what it closes over, and its defaults."""
    try:
        source = inspect.getsource(value)
    except (OSError, TypeError):
        code = getattr(value, "__code__", None)
        source = repr((code.co_code, code.co_names, [c for c in code.co_consts if _plain(c)])) if code else ""
    closed = [c.cell_contents for c in getattr(value, "__closure__", None) or () if _filled(c)]
    defaults = [getattr(value, "__defaults__", None), getattr(value, "__kwdefaults__", None)]
    return _part(
        "code", _name(value).encode(), source.encode(), _encoded(closed, above), _encoded(defaults, above)
    )


def _filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # an empty cell
        return False


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | complex | str | bytes)


def _member(value: Enum, above: dict[int, int]) -> bytes:  # noqa: ARG001 - called like the others
    return _part("enum", _name(type(value)).encode(), value.name.encode())


def _module(value: types.ModuleType, above: dict[int, int]) -> bytes:  # noqa: ARG001 - called like the others
    return _part("module", value.__name__.encode())


def _method(value: types.MethodType, above: dict[int, int]) -> bytes:
    return _part("method", _encoded(value.__func__, above), _encoded(value.__self__, above))


def _partial(value: Any, above: dict[int, int]) -> bytes:
    return _part("partial", *(_encoded(p, above) for p in (value.func, value.args, value.keywords)))


def _object(value: Any, above: dict[int, int]) -> bytes:
    """Any other object: its type, and its fields by name."""
    if dataclasses.is_dataclass(value):
        fields: Any = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    else:
        slots = [s for c in type(value).__mro__ for s in _slots(c) if hasattr(value, s)]
        fields = {**{s: getattr(value, s) for s in slots}, **getattr(value, "__dict__", {})}
        if not fields:  # a type written in C: what pickle would keep of it
            try:
                state = value.__reduce_ex__(4)
            except TypeError:
                state = None
            fields = [s for s in state if not callable(s)] if isinstance(state, tuple) else state
    return _part("object", _name(type(value)).encode(), _encoded(fields, above))


def _slots(kind: type) -> tuple[str, ...]:
    slots = kind.__dict__.get("__slots__", ())
    return (
        (slots,)
        if isinstance(slots, str)
        else tuple(s for s in slots if s not in ("__dict__", "__weakref__"))
    )


def _name(value: Any) -> str:
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray | numpy.generic)


def _is_partial(value: Any) -> bool:
    functools = sys.modules.get("functools")
    return functools is not None and isinstance(value, functools.partial)


_Encoder = Callable[[Any, dict[int, int]], bytes]
_KINDS: tuple[tuple[Callable[[Any], bool], _Encoder], ...] = (
    (lambda v: isinstance(v, Enum), _member),
    (_is_array, _array),
    (_is_partial, _partial),
    (lambda v: isinstance(v, types.MethodType), _method),
    (lambda v: isinstance(v, types.ModuleType), _module),
    (lambda v: isinstance(v, type) or inspect.isroutine(v), _code),
    (lambda v: isinstance(v, Mapping), _mapping),
    (lambda v: isinstance(v, list | tuple), _sequence),
    (lambda v: isinstance(v, AbstractSet), _set),
)
