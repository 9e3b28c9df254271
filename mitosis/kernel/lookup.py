"""Reaches values that live in tables of Python objects, and says by a digest which value it was."""

from __future__ import annotations

import copy
import copyreg
import dataclasses
import hashlib
import importlib
import inspect
import sys
import types
from collections.abc import Callable, Hashable, Mapping
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
        name = name if isinstance(name, Hashable) else key
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

    numpy arrays by type, shape and bytes; functions and classes by name and source; dataclasses by their
    fields; every other object by its type and by what pickle would keep of it. Raises LookupError for an
    object of which that cannot be told.
    """
    return _Digester().of(value).hex()


class _Digester:
    """One digest in the making: parts that are shared are looked at once, one inside itself is named."""

    def __init__(self) -> None:
        self.above: dict[int, int] = {}
        self.done: dict[int, tuple[bytes, Any]] = {}  # with the value itself, so that no id is used again

    def of(self, value: Any) -> bytes:
        """The digest of one value, 32 bytes."""
        if type(value) in _PLAIN:  # numpy's own floats write themselves as its version pleases
            return _hashed(type(value).__qualname__, repr(value).encode("utf-8", "surrogatepass"))
        if id(value) in self.above:
            return _hashed("above", str(len(self.above) - self.above[id(value)]).encode())
        if id(value) not in self.done:
            self.above[id(value)] = len(self.above)
            encode = next((encode for matches, encode in _KINDS if matches(value)), _object)
            try:
                self.done[id(value)] = (encode(value, self), value)
            finally:
                del self.above[id(value)]
        return self.done[id(value)][0]


def _hashed(kind: str, *parts: bytes) -> bytes:
    return hashlib.sha256(_part(kind, *parts)).digest()


def _part(kind: str, *parts: bytes) -> bytes:
    head = f"{kind}:{','.join(str(len(p)) for p in parts)}:".encode()
    return head + b"".join(parts)


def _mapping(value: Mapping[Any, Any], d: _Digester) -> bytes:
    return _hashed("dict", *sorted(d.of(k) + d.of(v) for k, v in value.items()))


def _sequence(value: Any, d: _Digester) -> bytes:
    return _hashed(type(value).__name__, *(d.of(v) for v in value))


def _set(value: AbstractSet[Any], d: _Digester) -> bytes:
    return _hashed(type(value).__name__, *sorted(d.of(v) for v in value))


def _array(value: Any, d: _Digester) -> bytes:
    objects = value.dtype.hasobject  # the bytes of an array of objects are addresses
    content = d.of(value.ravel().tolist()) if objects else value.tobytes()
    return _hashed("numpy", str(value.dtype).encode(), str(value.shape).encode(), content)


def _code(value: Any, d: _Digester) -> bytes:
    """A function or class: its name and source, what it closes over, and its defaults."""
    code = getattr(inspect.unwrap(value), "__code__", None)
    try:
        source = inspect.getsource(value).encode()
    except (OSError, TypeError):
        source = _made(value, d) if isinstance(value, type) else _compiled(code, d)
    if code is not None and code.co_name == "<lambda>":  # two of them may share a line, which is their source
        source += _constants(code, d)
    closed = [c.cell_contents for c in getattr(value, "__closure__", None) or () if _filled(c)]
    defaults = [getattr(value, "__defaults__", None), getattr(value, "__kwdefaults__", None)]
    return _hashed("code", _name(value).encode(), source, d.of(closed), d.of(defaults))


def _made(kind: type, d: _Digester) -> bytes:
    """A class without a source, by its bases and what it holds; one written in C by its name alone."""
    if not kind.__flags__ & _MADE_IN_PYTHON:
        return b""
    fields = types.GetSetDescriptorType | types.MemberDescriptorType  # of C; the name of the class says which
    held = {
        k: v
        for k, v in vars(kind).items()
        if not isinstance(v, fields) and k not in ("__doc__", "__module__")
    }
    return d.of([kind.__bases__, held])


def _compiled(code: types.CodeType | None, d: _Digester) -> bytes:
    """Code without a source: its instructions, names and constants, the code inside it included."""
    if code is None:
        return b""  # written in C: the name says which
    return _hashed("bytecode", code.co_code, _constants(code, d))


def _constants(code: types.CodeType, d: _Digester) -> bytes:
    """What code names and holds, without its instructions: those change with Python's version."""
    inner = [_constants(c, d) if isinstance(c, types.CodeType) else d.of(c) for c in code.co_consts]
    return _hashed("constants", d.of(code.co_names), d.of(code.co_varnames), *inner)


def _filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # an empty cell
        return False


def _member(value: Enum, d: _Digester) -> bytes:
    return _hashed("enum", _name(type(value)).encode(), value.name.encode(), d.of(value.value))


def _module(value: types.ModuleType, d: _Digester) -> bytes:  # noqa: ARG001 - called like the others
    return _hashed("module", value.__name__.encode())


def _method(value: types.MethodType, d: _Digester) -> bytes:
    return _hashed("method", d.of(value.__func__), d.of(value.__self__))


def _dataclass(value: Any, d: _Digester) -> bytes:
    values = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    rest = {k: v for k, v in getattr(value, "__dict__", {}).items() if k not in values}
    return _hashed("dataclass", _name(type(value)).encode(), d.of(values), d.of(rest))


def _object(value: Any, d: _Digester) -> bytes:
    """Any other object, by what pickle would keep: how it is made, its state, its items."""
    if isinstance(value, property):
        return _hashed("property", d.of([value.fget, value.fset, value.fdel]))
    try:
        reducer = copyreg.dispatch_table.get(type(value))
        kept = reducer(value) if reducer is not None else value.__reduce_ex__(4)
    except Exception as error:  # a user's __reduce__ may raise anything
        raise LookupError(
            f"a {type(value).__qualname__} has no digest: {error}; keep plain values, arrays, functions, "
            "classes or objects that can be pickled in the table"
        ) from error
    if isinstance(kept, str):
        return _hashed("global", _name(type(value)).encode(), kept.encode())
    parts = [list(part) if at in (3, 4) and part is not None else part for at, part in enumerate(kept)]
    if len(parts) > 4 and parts[4]:
        parts[4] = sorted(d.of(k) + d.of(v) for k, v in parts[4])  # the order of keys is none
    return _hashed("object", _name(type(value)).encode(), *(d.of(part) for part in parts))


def _name(value: Any) -> str:
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray | numpy.generic)


def _is_dataclass(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


_PLAIN = frozenset({types.NoneType, bool, int, float, complex, str, bytes})
_MADE_IN_PYTHON = 1 << 9  # Py_TPFLAGS_HEAPTYPE

_Encoder = Callable[[Any, _Digester], bytes]
_KINDS: tuple[tuple[Callable[[Any], bool], _Encoder], ...] = (
    (lambda v: isinstance(v, Enum), _member),
    (_is_array, _array),
    (lambda v: isinstance(v, types.MethodType), _method),
    (lambda v: isinstance(v, types.ModuleType), _module),
    (lambda v: isinstance(v, type) or inspect.isroutine(v), _code),
    (lambda v: type(v) in (dict, types.MappingProxyType), _mapping),
    (lambda v: type(v) in (list, tuple), _sequence),
    (lambda v: type(v) in (set, frozenset), _set),
    (_is_dataclass, _dataclass),
)
