"""Turns values into canonical text and text into a digest: what makes two parameter sets the same.

The form is frozen: a digest never changes from one release to the next (`tests/vectors/identity.json`).
It is UTF-8 JSON without spaces, keys in the order of their code points, and

    null true false 1 "text" [list] {"key": value}    as in JSON; texts are not normalised
    1.0 1e-05 -0.0                                    the shortest decimal of the same float (Python's repr)
    {"!float":"nan"}                                  nan, inf, -inf
    {"!date":"2024-02-29"}                            a date, ISO 8601
    {"!datetime":"2024-02-29T12:00:00+01:00"}         a date with time, ISO 8601, its offset as it was given
    {"!enum":"package.module:Color.RED"}              a member of an enumeration, by name
    {"!path":"data/a.csv"}                            a path, as it is written
    {"!bytes":"00ff"}                                 bytes, hexadecimal
    {"!tuple":[...]}                                  a tuple
    {"!map":[[key,value],...]}                        a mapping with a key that is no text, by its keys' texts
    {"!unresolved":"${seed}"}                         a value that depends on the seed, as it is configured

A key of the user's that begins with "!" gets another "!" in front, so that nothing else looks like these.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from pathlib import Path, PurePath
from typing import Any, Final, NoReturn

from mitosis.errors import InternalError, ParameterRefused
from mitosis.trial import ParameterSet

_DEEPEST = 100  # levels; a value that holds itself has no end
_LONGEST_INTEGER = 2000  # bits; below the least limit (640 digits) that Python can be set to for reading one


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an enumeration by name: what `parse` gives, which must not import the user's module."""

    module: str
    enum: str  # qualified name of the class
    name: str

    def __str__(self) -> str:
        return f"{self.enum}.{self.name}"


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A value that differs from seed to seed: it enters as the text it is configured by."""

    text: str

    def __str__(self) -> str:
        return self.text


class Missing:
    """The type of `MISSING`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "(absent)"


MISSING: Final = Missing()
"""Stands in `differences` where one side has no such key."""


def canonical(value: Any, root: str = "params") -> str:
    """The canonical text of `value`: one for each value, another for each other value.

    Raises ParameterRefused, naming the key below `root` (`params.model.kernel`), where there is none.
    """
    return _written(_tree(value, root, ()))


def digest(text: str) -> str:
    """The SHA-256 of `text` in UTF-8, as 64 hex digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def parameter_set(params: Any) -> ParameterSet:
    """Canonical text of `params`, and its digest. Raises ParameterRefused as `canonical` does."""
    text = canonical(params)
    return ParameterSet(digest(text), text)


def parse(text: str) -> Any:
    """The values that `canonical` wrote, as plain Python; a member of an enumeration comes as a `Member`.

    Raises InternalError where `text` is no canonical text.
    """
    try:
        return _value(json.loads(text, parse_constant=_no_constant))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InternalError(
            f"this is no canonical text of values: {shown(text)}",
            "it was damaged, or a newer mitosis wrote it",
        ) from error


def seed_free(first: Any, second: Any, unresolved: Any, root: str = "params") -> Any:
    """`first` with the configured text of each leaf that depends on the seed: one set for all seeds.

    `first` and `second` are one configuration resolved under two seeds, `unresolved` is its tree of
    unresolved text. Where a whole node is one interpolation, its text stands for each leaf in it that
    differs. Raises ParameterRefused as `canonical` does.
    """
    if type(first) is type(second):
        if isinstance(first, dict) and _keys(first) == _keys(second):
            return {
                key: seed_free(first[key], second[key], _below(unresolved, key), _join(root, key))
                for key in first
            }
        if isinstance(first, list | tuple) and len(first) == len(second):
            items = (
                seed_free(a, b, _below(unresolved, i), f"{root}[{i}]")
                for i, (a, b) in enumerate(zip(first, second, strict=True))
            )
            return type(first)(items)
    if canonical(first, root) == canonical(second, root):
        return first
    return Unresolved(unresolved if isinstance(unresolved, str) else canonical(unresolved, root))


def differences(old_text: str, new_text: str) -> list[tuple[str, Any, Any]]:
    """What differs between two canonical texts: (dotted key, old value, new value), in the order of the keys.

    A side without the key has `MISSING`. Lists of one length are compared item by item (`layers[2]`), of
    different length as a whole. The key is empty where the values themselves differ, at the top.
    """
    found: list[tuple[str, Any, Any]] = []
    _compare(parse(old_text), parse(new_text), "", found)
    return found


def shown(value: Any, width: int = 60) -> str:
    """`value` on one line of at most `width` characters, for tables and messages.

    Texts are bare where they cannot be taken for anything else, otherwise quoted; nothing that a terminal
    would obey comes through.
    """
    line = _shown(value)
    if len(line) <= width:
        return line
    number = len(value) if isinstance(value, list | tuple | dict) else 0
    end = f"… ({number} values)" if number > 1 else "…"
    return line[: max(width - len(end), 1)] + end


def _written(tree: Any) -> str:
    return json.dumps(tree, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))


def _tree(value: Any, path: str, above: tuple[int, ...]) -> Any:
    """`value` as what `json` writes; `above` holds the identities of the containers around it."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is int:
        if value.bit_length() > _LONGEST_INTEGER:
            _refuse(path, f"an integer of {value.bit_length()} bits", "write it as text, in quotes")
        return value
    if kind is float:
        return value if math.isfinite(value) else {"!float": repr(value)}
    if kind is str:
        return _text(value, path)
    if isinstance(value, list | dict) or kind is tuple:
        if id(value) in above or len(above) >= _DEEPEST:
            _refuse(path, f"a value that holds itself or nests over {_DEEPEST} levels", "write it flatter")
        return _container(value, path, (*above, id(value)))
    return _special(value, path)


def _text(value: str, path: str) -> str:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        _refuse(path, "a text that is not valid Unicode", "write it in UTF-8, or as bytes (!!binary in YAML)")
    return value


def _container(value: Any, path: str, above: tuple[int, ...]) -> Any:
    if isinstance(value, list):
        return [_tree(item, f"{path}[{i}]", above) for i, item in enumerate(value)]
    if isinstance(value, tuple):
        return {"!tuple": [_tree(item, f"{path}[{i}]", above) for i, item in enumerate(value)]}
    if all(type(key) is str for key in value):
        return {escaped(_text(k, path)): _tree(v, _join(path, k), above) for k, v in value.items()}
    pairs = [(_key(k, path), _tree(v, _join(path, k), above)) for k, v in value.items()]
    return {"!map": [[key, item] for key, item in sorted(pairs, key=lambda pair: _written(pair[0]))]}


def escaped(key: str) -> str:
    """A key of the user's as the canonical text holds it."""
    return "!" + key if key.startswith("!") else key


def _key(key: Any, path: str) -> Any:
    if isinstance(key, tuple) or key != key:  # only nan differs from itself
        _refuse(path, f"a mapping with the key {shown(key)}", "use texts or numbers as keys")
    return _tree(key, f"the key {shown(key)} of {path}", ())


def _special(value: Any, path: str) -> dict[str, Any]:
    kind = type(value)
    if isinstance(value, Member):
        return {"!enum": f"{value.module}:{value.enum}.{value.name}"}
    if isinstance(value, Enum):
        if value.name not in kind.__members__ or "<" in kind.__qualname__:
            _refuse(path, f"{value!r}, which no module knows by name", "use a named member of an enum")
        return {"!enum": f"{kind.__module__}:{kind.__qualname__}.{value.name}"}
    if kind is datetime:
        return {"!datetime": value.isoformat()}
    if kind is date:
        return {"!date": value.isoformat()}
    if isinstance(value, PurePath):
        return {"!path": _text(str(value), path)}
    if kind is bytes:
        return {"!bytes": value.hex()}
    if isinstance(value, Unresolved):
        return {"!unresolved": _text(value.text, path)}
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    article = "an" if name[0] in "aeiou" else "a"
    return _refuse(path, f"{article} {name}, which has no canonical form", _advice(value))


def _refuse(path: str, what: str, todo: str) -> NoReturn:
    raise ParameterRefused(f"{path} is {what}", todo)


def _advice(value: Any) -> str:
    """How to write instead what has no canonical form."""
    kind = type(value)
    if isinstance(value, bool | int | float | str | bytes):
        plain = next(b.__name__ for b in kind.__mro__ if b in (bool, int, float, str, bytes))
        return f"write a plain {plain}: {plain}(value)"
    if hasattr(kind, "item") and getattr(value, "shape", None) == ():
        return "write a plain number: value.item()"
    if hasattr(kind, "tolist") or hasattr(kind, "to_numpy"):
        return (
            "write plain numbers (value.tolist()), or name a value that lives in Python: "
            '{_target_: mitosis.lookup, table: "package.module:table", name: key}'
        )
    if isinstance(value, set | frozenset):
        return "write a list, in an order of its own"
    if isinstance(value, tuple):
        return "write a mapping of its fields"
    if isinstance(value, complex):
        return "write its real and its imaginary part as two numbers"
    if isinstance(value, bytearray | memoryview):
        return "write bytes(value)"
    if isinstance(value, type):
        return "write its name: {_target_: hydra.utils.get_class, path: package.module.Class}"
    if callable(value) and hasattr(value, "__qualname__"):
        return "write its name: {_target_: hydra.utils.get_method, path: package.module.function}"
    return "write numbers or text that say the same, or an object: {_target_: package.module.Class, key: 1}"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no canonical text")


def _value(tree: Any) -> Any:
    if isinstance(tree, list):
        return [_value(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    tagged = [key for key in tree if key.startswith("!") and not key.startswith("!!")]
    if not tagged:
        return {key.removeprefix("!"): _value(item) for key, item in tree.items()}
    ((tag, content),) = tree.items()
    return _READERS[tag](content)


def _member(content: str) -> Member:
    module, _, rest = content.partition(":")
    enum, _, name = rest.rpartition(".")
    return Member(module, enum, name)


_READERS: dict[str, Callable[[Any], Any]] = {
    "!float": float,
    "!date": date.fromisoformat,
    "!datetime": datetime.fromisoformat,
    "!enum": _member,
    "!path": Path,
    "!bytes": bytes.fromhex,
    "!tuple": lambda content: tuple(_value(item) for item in content),
    "!map": lambda content: {_value(key): _value(item) for key, item in content},
    "!unresolved": Unresolved,
}


def _keys(mapping: dict[Any, Any]) -> set[tuple[type, Any]]:
    return {(type(key), key) for key in mapping}  # 1, 1.0 and True are three keys


def _below(unresolved: Any, key: Any) -> Any:
    """The unresolved text of an item; an interpolation that stands for the whole node stands for the item."""
    try:
        return unresolved if isinstance(unresolved, str) else unresolved[key]
    except (LookupError, TypeError):
        return unresolved


def _join(path: str, key: Any) -> str:
    if type(key) is not str:
        return f"{path}[{_shown(key)}]"
    if not re.fullmatch(r"\w[\w-]*", key):
        return f"{path}[{_quoted(key)}]"
    return f"{path}.{key}" if path else key


def _compare(old: Any, new: Any, path: str, found: list[tuple[str, Any, Any]]) -> None:
    if isinstance(old, dict) and isinstance(new, dict):
        before, after = _by_key(old), _by_key(new)
        for text in sorted({*before, *after}):
            key = (before.get(text) or after[text])[0]
            a, b = (side[text][1] if text in side else MISSING for side in (before, after))
            if a is MISSING or b is MISSING:
                found.append((_join(path, key), a, b))
            else:
                _compare(a, b, _join(path, key), found)
    elif isinstance(old, list | tuple) and type(old) is type(new) and len(old) == len(new):
        for i, (a, b) in enumerate(zip(old, new, strict=True)):
            _compare(a, b, f"{path}[{i}]", found)
    elif canonical(old) != canonical(new):
        found.append((path, old, new))


def _by_key(mapping: dict[Any, Any]) -> dict[str, tuple[Any, Any]]:
    return {canonical(key): (key, value) for key, value in mapping.items()}


_AMBIGUOUS = frozenset(("null", "none", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf"))


def _quoted(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in quoted)


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if type(value) is str:
        bare = re.fullmatch(r"[^\W\d][\w.+/:@%-]*", value) and value.lower() not in _AMBIGUOUS
        return value if bare and value.isprintable() else _quoted(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_shown(k)}: {_shown(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    if type(value) is tuple:
        return "(" + ", ".join(map(_shown, value)) + (",)" if len(value) == 1 else ")")
    if isinstance(value, bytes):
        return repr(value)
    if isinstance(value, PurePath | Member | Unresolved | date):
        text = str(value)
    elif isinstance(value, Enum):
        text = f"{type(value).__qualname__}.{value.name}"
    else:
        text = repr(value)
    return text if text.isprintable() else _quoted(text)
