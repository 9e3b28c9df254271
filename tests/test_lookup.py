"""Digests of Python values: the same value gives the same, another gives another, never an address."""

from __future__ import annotations

import collections
import dataclasses
import enum
import functools
import re
import subprocess
import sys
import types
from typing import Any

import numpy as np
import pytest

from mitosis.kernel import lookup
from mitosis.kernel.lookup import digest


class Plain:
    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


class Slotted:
    __slots__ = ("x",)

    def __init__(self, x: Any) -> None:
        self.x = x


class Items(list):  # type: ignore[type-arg]
    pass


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


class Color(enum.Enum):
    RED = 1
    BLUE = 1.5


def _items(x: int) -> Items:
    made = Items([1])
    made.label = x  # type: ignore[attr-defined]
    return made


def _closure(x: int) -> Any:
    return lambda: x


def _bytecode(source: str) -> Any:
    space: dict[str, Any] = {}
    exec(source, space)
    return space["f"]


PAIRS = [
    (1, 1.0),
    (1, True),
    ("1", 1),
    (re.compile("a"), re.compile("b")),
    (collections.deque([1]), collections.deque([2])),
    (collections.defaultdict(int), collections.defaultdict(list)),
    (collections.OrderedDict(a=1), collections.OrderedDict(a=2)),
    (functools.partial(max, 1), functools.partial(max, 2)),
    (np.arange(3), np.arange(4)),
    (np.arange(4), np.arange(4).reshape(2, 2)),
    (np.arange(3), np.arange(3.0)),
    (np.float32(1), np.float64(1)),
    ({1, 2}, {1, 3}),
    ([1, 2], (1, 2)),
    (Plain(x=1), Plain(x=2)),
    (Slotted(1), Slotted(2)),
    (_items(1), _items(2)),
    (Point(1), Point(2)),
    (Color.RED, Color.BLUE),
    (_closure(1), _closure(2)),
    (Plain(x=1).__init__, Plain(x=2).__init__),
    (
        _bytecode("def f():\n def g(): return 1\n return g"),
        _bytecode("def f():\n def g(): return 2\n return g"),
    ),
    (property(lambda self: 1), property(lambda self: 2)),
]


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=[str(i) for i in range(len(PAIRS))])
def test_other_values_have_other_digests(one: Any, other: Any) -> None:
    """Types, contents, fields, closures and nested code all count."""
    assert digest(one) == digest(one)
    assert digest(one) != digest(other)


def test_equal_values_have_one_digest() -> None:
    """The order of keys and sets, a copy, and the memory's layout do not count."""
    assert digest({"a": 1, "b": {2, 3}}) == digest({"b": {3, 2}, "a": 1})
    assert digest(Plain(x=[1], y=Point(2))) == digest(Plain(x=[1], y=Point(2)))
    assert digest(np.asfortranarray(np.ones((2, 3)))) == digest(np.ones((2, 3)))


def test_no_address_enters() -> None:
    """Two interpreters with different hash seeds agree on a value of everything."""
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from tests import test_lookup as t\n"
        "print([t.digest(p) for p in t.PAIRS])"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        )
        for seed in "12"
    ]
    assert said[0].stdout == said[1].stdout != b""


def test_shared_and_circular_parts_end() -> None:
    """Thirty levels of sharing are looked at once, and a list inside itself ends."""
    shared: list[Any] = [1]
    for _ in range(30):
        shared = [shared, shared]
    circular: list[Any] = []
    circular.append(circular)
    assert digest(shared) != digest(circular)


def test_what_has_no_digest_is_refused() -> None:
    """An object of which nobody can tell what it is does not pass as any other."""
    with pytest.raises(LookupError, match="no digest"):
        digest(i for i in ())


def test_lookup_copies_and_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry is copied, its digest is noted, and names that YAML made numbers are found."""
    module = types.ModuleType("tables_of_test")
    module.table = {"test": {"x": [1]}, "1": 5}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tables_of_test", module)
    monkeypatch.setattr(lookup, "_found", [])
    value = lookup.lookup("tables_of_test:table", "test")
    value["x"].append(2)
    assert module.table["test"] == {"x": [1]}  # type: ignore[attr-defined]
    assert lookup.lookup("tables_of_test:table", 1) == 5
    assert lookup.lookup("tables_of_test", "table")["1"] == 5
    assert [f["name"] for f in lookup.found()] == ["test", "1", "table"]
    for table, name in (
        ("tables_of_test:table", "no"),
        ("tables_of_test:none", "x"),
        ("no_such_module:t", "x"),
    ):
        with pytest.raises(LookupError):
            lookup.lookup(table, name)


def test_kinds_that_carry_no_source_differ() -> None:
    """A class made by `type`, a cached lambda, an enum value, a text of its own class, classes in C."""
    made = [type("Made", (), {"k": k}) for k in (1, 2)]
    assert digest(made[0]) != digest(made[1])
    cached = [functools.lru_cache(f) for f in (lambda: 1, lambda: 2)]
    assert digest(cached[0]) != digest(cached[1])
    colors = [enum.Enum("Hue", {"RED": value}) for value in (1, 2)]  # type: ignore[misc]
    assert digest(colors[0].RED) != digest(colors[1].RED)  # type: ignore[attr-defined]
    texts = type("Text", (str,), {})
    assert digest(texts("a")) != digest(texts("b"))
    assert len({digest(kind) for kind in (functools.partial, re.Pattern, collections.deque, int)}) == 4


def test_a_name_that_is_no_key_is_no_entry() -> None:
    """Whatever YAML made of it."""
    with pytest.raises(LookupError, match="has no entry"):
        lookup.lookup("os:environ", ["a"])
