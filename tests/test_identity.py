"""Tests of mitosis.identity: frozen forms, round trips, refusals, differences."""

from __future__ import annotations

import datetime as dt
import enum
import fractions
import hashlib
import json
import math
from collections import OrderedDict, namedtuple
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from mitosis import identity
from mitosis.errors import InternalError, ParameterRefused
from mitosis.identity import MISSING, Member, Unresolved

VECTORS: list[dict[str, str]] = json.loads((Path(__file__).parent / "vectors" / "identity.json").read_text())


class Color(enum.Enum):
    RED = 1
    CRIMSON = 1  # noqa: PIE796 - an alias


class Level(enum.IntEnum):
    HIGH = 3


class Mode(str, enum.Enum):
    FAST = "fast"


class Option(enum.Flag):
    A = 1
    B = 2


PAIR = namedtuple("PAIR", "a b")

ZONE = dt.timezone(dt.timedelta(hours=5, minutes=30))
PYTHON: dict[str, Any] = {
    "date": dt.date(2024, 2, 29),
    "date of the year 1": dt.date(1, 1, 1),
    "datetime": dt.datetime(2024, 2, 29, 12, 30, 15, 250000),
    "datetime in UTC": dt.datetime(2024, 2, 29, 12, tzinfo=dt.timezone.utc),
    "datetime with an offset": dt.datetime(2024, 2, 29, 17, 30, tzinfo=ZONE),
    "enum": Member("package.config", "Color", "RED"),
    "enum in a class": Member("package.config", "Model.Kernel", "RBF"),
    "path": Path("data/a.csv"),
    "absolute path": PurePosixPath("/data/é ü.csv"),
    "bytes": b"\x00\xffA",
    "no bytes": b"",
    "tuple": (1, 2.0, "3"),
    "empty tuple": (),
    "tuple of a list": ([1],),
    "keys of several types": {
        "1": "text",
        1: "int",
        2.5: "float",
        False: "bool",
        None: "null",
        b"1": "bytes",
    },
    "key that is an enum": {Member("package.config", "Color", "RED"): 1},
    "unresolved": {"a": Unresolved("${seed}"), "b": [Unresolved("${.a}")]},
    "nan in a list": [math.nan, math.inf, -math.inf],
}


def same(a: Any, b: Any) -> bool:
    """Whether two values are one to the eye of a person who wrote them: types, order-free keys, nan = nan."""
    if isinstance(a, PurePosixPath) and isinstance(b, PurePosixPath):
        return str(a) == str(b)
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        if len(a) != len(b):
            return False
        rest = list(b.items())
        for k, v in a.items():
            hit = next((i for i, (x, y) in enumerate(rest) if same(k, x) and same(v, y)), None)
            if hit is None:
                return False
            rest.pop(hit)
        return True
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, float):
        return repr(a) == repr(b)
    if isinstance(a, dt.datetime):
        return a.isoformat() == b.isoformat()
    return bool(a == b)


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
zones = st.none() | st.integers(-1439, 1439).map(lambda m: dt.timezone(dt.timedelta(minutes=m)))
keys = text | st.integers() | st.booleans() | st.floats(allow_nan=False) | st.binary(max_size=3)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**300), 2**300)
    | st.floats()
    | text
    | st.sampled_from(["!float", "!map", "!!", "!", "nan", "1", "true", "${seed}"])
    | st.binary(max_size=5)
    | st.dates()
    | st.datetimes(timezones=zones)
    | st.builds(Unresolved, text)
    | st.sampled_from([Path("a"), Path("a/b c"), Path("/é")])
    | st.sampled_from([Member("m", "E", "A"), Member("m", "E.F", "A")])
)
tagged = st.sampled_from(["!float", "!tuple", "!map", "!!float", "!enum", "!", "a"])
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(text | tagged, inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["name"])
def test_frozen_vectors(vector: dict[str, str]) -> None:
    """The text and the digest of every vector are for ever what they were when it was frozen."""
    if "yaml" in vector:
        value = OmegaConf.to_container(OmegaConf.create("params: " + vector["yaml"]), resolve=True)["params"]
    else:
        value = PYTHON[vector["name"]]
    found = identity.parameter_set(value)
    assert (found.text, found.digest) == (vector["text"], vector["digest"])
    assert identity.canonical(identity.parse(vector["text"])) == vector["text"]


def test_every_python_value_has_a_vector() -> None:
    """No value of the table above is left without a frozen form, and no two texts share a digest."""
    named = {v["name"] for v in VECTORS if "yaml" not in v}
    assert named == set(PYTHON)
    by_digest: dict[str, set[str]] = {}
    for vector in VECTORS:
        by_digest.setdefault(vector["digest"], set()).add(vector["text"])
    assert all(len(texts) == 1 for texts in by_digest.values())


@given(values)
def test_round_trip(value: Any) -> None:
    """A text gives back exactly the value that it was written from, types included."""
    written = identity.canonical(value)
    assert same(identity.parse(written), value)
    assert identity.canonical(identity.parse(written)) == written
    assert json.loads(written, parse_constant=pytest.fail) is not ...  # it is strict JSON
    assert identity.digest(written) == hashlib.sha256(written.encode()).hexdigest()


@given(values, values)
def test_two_values_have_one_text_only_where_they_are_one(a: Any, b: Any) -> None:
    """Texts are equal exactly where the values are."""
    assert (identity.canonical(a) == identity.canonical(b)) == same(a, b)


@given(st.dictionaries(keys, scalars), st.randoms())
def test_the_order_of_keys_makes_no_difference(mapping: dict[Any, Any], chance: Any) -> None:
    """A mapping has one text in whatever order its keys were inserted."""
    items = list(mapping.items())
    chance.shuffle(items)
    assert identity.canonical(dict(items)) == identity.canonical(mapping)


def test_one_number_four_ways() -> None:
    """1, 1.0, true and "1" are four different values, as values and as keys."""
    four = [1, 1.0, True, "1"]
    assert len({identity.canonical(v) for v in four}) == 4
    assert len({identity.canonical({v: 0}) for v in four}) == 4


def test_yaml_style_makes_no_difference() -> None:
    """Flow and block style, comments, quotes and anchors lead to one text."""
    styles = [
        "{b: [1, 2], a: {c: text, d: text}}",
        "a: &x\n  c: 'text'\n  d: \"text\"  # comment\nb:\n  - 1\n  - 2\n",
    ]
    texts = {identity.canonical(OmegaConf.to_container(OmegaConf.create(s))) for s in styles}
    assert texts == {'{"a":{"c":"text","d":"text"},"b":[1,2]}'}


def test_members_of_enumerations_go_by_name() -> None:
    """A member enters by module, class and name; an alias is its member; one with a value is no number."""
    here = Color.__module__
    assert identity.canonical(Color.CRIMSON) == identity.canonical(Color.RED)
    assert identity.parse(identity.canonical(Color.RED)) == Member(here, "Color", "RED")
    assert identity.canonical(Color.RED) == identity.canonical(Member(here, "Color", "RED"))
    assert identity.parse(identity.canonical(Level.HIGH)) == Member(here, "Level", "HIGH")
    assert identity.parse(identity.canonical(Mode.FAST)) == Member(here, "Mode", "FAST")
    assert str(Member("m", "Color", "RED")) == "Color.RED"


def test_other_mappings_of_the_language_are_mappings() -> None:
    """An ordered dictionary is the mapping that it holds."""
    assert identity.canonical(OrderedDict(b=1, a=2)) == '{"a":2,"b":1}'


def loop() -> list[Any]:
    value: list[Any] = []
    value.append({"again": value})
    return value


class Local:
    """An object as experiments pass them."""


@pytest.mark.parametrize(
    ("value", "said", "todo"),
    [
        (np.float64(0.5), "numpy.float64", "float(value)"),
        (np.int64(3), "numpy.int64", "value.item()"),
        (np.bool_(True), "numpy.bool", "value.item()"),
        (np.str_("a"), "numpy.str_", "str(value)"),
        (np.array(1.0), "numpy.ndarray", "value.item()"),
        (np.arange(3), "numpy.ndarray", "mitosis.lookup"),
        ({1, 2}, "a set", "write a list"),
        (frozenset(), "a frozenset", "write a list"),
        (1j, "a complex", "two numbers"),
        (PAIR(1, 2), "PAIR", "mapping"),
        (bytearray(b"a"), "a bytearray", "bytes(value)"),
        (math.sin, "builtin_function_or_method", "hydra.utils.get_method"),
        (lambda x: x, "a function", "hydra.utils.get_method"),
        (Local, "a type", "hydra.utils.get_class"),
        (Local(), "Local", "_target_"),
        (Decimal("0.1"), "decimal.Decimal", "numbers or text"),
        (fractions.Fraction(1, 3), "fractions.Fraction", "numbers or text"),
        (dt.timedelta(1), "datetime.timedelta", "numbers or text"),
        (dt.time(1), "datetime.time", "numbers or text"),
        (Option.A | Option.B, "no module knows", "named member"),
        (
            enum.Enum("Inner", "A", module="m", qualname="f.<locals>.Inner").A,
            "no module knows",
            "named member",
        ),
        (2**4000, "4001 bits", "as text"),
        (-(2**4000), "4001 bits", "as text"),
        ("\udcff", "not valid Unicode", "UTF-8"),
        (Path("\udcff"), "not valid Unicode", "UTF-8"),
        ({"\udcff": 1}, "not valid Unicode", "UTF-8"),
        (MISSING, "Missing", "numbers or text"),
        (loop(), "holds itself", "flatter"),
    ],
)
def test_refusals_name_the_key(value: Any, said: str, todo: str) -> None:
    """What has no form is refused: the message names the key, what stands there, and what to write."""
    with pytest.raises(ParameterRefused) as caught:
        identity.canonical({"model": {"kernel": [0, value]}})
    assert caught.value.what.startswith("params.model.kernel[1]")
    assert said in caught.value.what
    assert todo in caught.value.todo
    assert str(caught.value).count("\n") == 1


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a b": {1}}, 'params["a b"] is'),
        ({"a.b": {1}}, 'params["a.b"] is'),
        ({"": {1}}, 'params[""] is'),
        ({"new\nline": {1}}, 'params["new\\nline"] is'),
        ({"\x1b[31m": {1}}, 'params["\\u001b[31m"] is'),
        ({"größe": {1}}, "params.größe is"),
        ({3: {1}}, "params[3] is"),
        ({1.5: ({1},)}, "params[1.5][0] is"),
        ({math.nan: 1}, "params is a mapping with the key nan"),
        ({(1, 2): 1}, "params is a mapping with the key (1, 2)"),
        ({1: 0, frozenset(): 0}, "the key frozenset() of params is"),
        ({1}, "params is"),
    ],
)
def test_paths_of_hostile_keys(value: Any, path: str) -> None:
    """Whatever a key is made of, the message shows one printable line that says where."""
    with pytest.raises(ParameterRefused) as caught:
        identity.canonical(value)
    assert caught.value.what.startswith(path)
    assert caught.value.what.isprintable()


def test_the_root_can_be_named() -> None:
    """Values that are no parameters are named by what they are."""
    with pytest.raises(ParameterRefused, match=r"environment\.cpu is a set"):
        identity.canonical({"cpu": {1}}, "environment")


def test_what_is_shared_is_no_loop() -> None:
    """One list at two places is two lists; only what holds itself is refused."""
    shared = [1]
    assert identity.canonical([shared, {"a": shared}]) == '[[1],{"a":[1]}]'


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "NaN", "[Infinity]", '{"!what":1}', '{"!float":"x"}', '{"!float":[]}', '{"!bytes":"0"}',
        '{"!date":"2024-13-01"}', '{"!map":[1]}', '{"!path":1}', '{"!float":"nan","a":1}',
        '{"!map":[[[],1]]}', "[" * 9999,
    ],
)  # fmt: skip
def test_damaged_text_is_a_fault(text: str) -> None:
    """What `canonical` never wrote is not read as something else."""
    with pytest.raises(InternalError, match="canonical text"):
        identity.parse(text)


def test_seed_free() -> None:
    """Leaves that depend on the seed enter as their text, the others as their values, whatever their type."""
    config = OmegaConf.create(
        """
        seed: 0
        models: {svm: {c: 1.0, state: "${seed}"}}
        params:
          a: 1
          s: ${seed}
          same: ${.a}
          name: run-${seed}
          list: [1, "${seed}", {deep: "${seed}", nan: .nan}]
          model: ${models.svm}
        """
    )

    def resolved(seed: int) -> Any:
        config.seed = seed
        return OmegaConf.to_container(config.params, resolve=True)

    unresolved = OmegaConf.to_container(config.params, resolve=False)
    sets = [identity.seed_free(resolved(s), resolved(s + 1), unresolved) for s in (0, 7, 10**20)]
    assert sets[0] == {
        "a": 1,
        "s": Unresolved("${seed}"),
        "same": 1,
        "name": Unresolved("run-${seed}"),
        "list": [1, Unresolved("${seed}"), {"deep": Unresolved("${seed}"), "nan": sets[0]["list"][2]["nan"]}],
        "model": {"c": 1.0, "state": Unresolved("${models.svm}")},
    }
    assert len({identity.parameter_set(s) for s in sets}) == 1


def test_seed_free_text_is_not_the_users_text() -> None:
    """A parameter whose value is the text "${seed}" is not a parameter that depends on the seed."""
    dependent = identity.seed_free({"a": 0}, {"a": 1}, {"a": "${seed}"})
    assert identity.canonical(dependent) != identity.canonical({"a": "${seed}"})


@pytest.mark.parametrize(
    ("first", "second"),
    [([1], [1, 2]), ({"a": 1}, {"b": 1}), ([1], {"a": 1}), ({1: 0}, {True: 0}), (1, 1.0), ((1,), [1])],
)
def test_seed_free_where_the_shape_depends_on_the_seed(first: Any, second: Any) -> None:
    """Where the two resolutions do not even have one shape, the whole node enters as its text."""
    assert identity.seed_free([first], [second], ["${list:${seed}}"]) == [Unresolved("${list:${seed}}")]
    whole = identity.seed_free([first], [second], [[{"x": 1}]])
    assert whole == [Unresolved('[{"x":1}]')]


@given(values)
def test_seed_free_of_what_no_seed_touches(value: Any) -> None:
    """Without a seed in it a configuration enters as it is."""
    assert same(identity.seed_free(value, value, value), value)


def test_seed_free_refuses_as_canonical_does() -> None:
    """The key is named when a leaf has no form."""
    with pytest.raises(ParameterRefused, match=r"params\.a\.b\[0\] is a set"):
        identity.seed_free({"a": {"b": [{1}]}}, {"a": {"b": [{1}]}}, {})


def test_differences() -> None:
    """Each difference is named by its key, with the old and the new value; types count."""
    old = {"dt": 0.01, "n": 1, "gone": None, "layers": [1, 2], "m": {"k": "rbf", "c d": 1}, 1: "x", "l": [1]}
    new = {
        "dt": 0.02,
        "n": 1.0,
        "layers": [1, 3],
        "m": {"k": "rbf", "c d": 2},
        True: "x",
        "l": [1, 2],
        "new": {},
    }
    found = identity.differences(identity.canonical(old), identity.canonical(new))
    assert {key: (a, b) for key, a, b in found} == {
        "dt": (0.01, 0.02),
        "gone": (None, MISSING),
        "l": ([1], [1, 2]),
        "layers[1]": (2, 3),
        'm["c d"]': (1, 2),
        "n": (1, 1.0),
        "new": (MISSING, {}),
        "[1]": ("x", MISSING),
        "[true]": (MISSING, "x"),
    }
    assert [key for key, _, _ in found if key[0] != "["] == [
        "dt",
        "gone",
        "l",
        "layers[1]",
        'm["c d"]',
        "n",
        "new",
    ]


def test_differences_at_the_top() -> None:
    """Where the values themselves differ, the key is empty."""
    assert identity.differences("1", '"1"') == [("", 1, "1")]
    assert identity.differences("[]", "{}") == [("", [], {})]
    assert identity.differences("[1]", '{"!tuple":[1]}') == [("", [1], (1,))]


@given(values, values)
def test_differences_are_found_exactly_where_there_are_any(a: Any, b: Any) -> None:
    """Nothing differs between equal texts, and something between others."""
    old, new = identity.canonical(a), identity.canonical(b)
    assert identity.differences(old, old) == []
    assert bool(identity.differences(old, new)) == (old != new)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (None, "null"), (True, "true"), (1, "1"), (1.0, "1.0"), (math.nan, "nan"), (-math.inf, "-inf"),
        ("rbf", "rbf"), ("a/b.csv", "a/b.csv"), ("größe", "größe"), ("1", '"1"'), ("true", '"true"'),
        ("No", '"No"'), ("nan", '"nan"'), ("", '""'), ("a b", '"a b"'), ("a\nb", '"a\\nb"'),
        ("\x1b[31mred", '"\\u001b[31mred"'), ("a\u202eb", '"a\\u202eb"'), ("a\x9b", '"a\\x9b"'),
        ([1, "a"], "[1, a]"), ((1,), "(1,)"), ((), "()"), ({"a": [True]}, "{a: [true]}"), ({1: 2}, "{1: 2}"),
        (b"a\x00", "b'a\\x00'"), (dt.date(2024, 2, 29), "2024-02-29"), (Path("a/b"), "a/b"),
        (Path("a\nb"), '"a\\nb"'), (Member("m", "E", "A"), "E.A"), (Color.RED, "Color.RED"),
        (Unresolved("${seed}"), "${seed}"), (MISSING, "(absent)"),
    ],
)  # fmt: skip
def test_shown(value: Any, line: str) -> None:
    """A value is shown as a person would write it in YAML, without anything that a terminal obeys."""
    assert identity.shown(value) == line


@given(values, st.integers(20, 80))
def test_shown_is_one_short_line(value: Any, width: int) -> None:
    """However large the value is, what is shown of it is one printable line of at most that width."""
    line = identity.shown(value, width)
    assert len(line) <= width
    assert line.isprintable()


def test_shown_says_how_much_was_cut() -> None:
    """Long lists say how many values they hold."""
    assert identity.shown(list(range(1000)), 30) == "[0, 1, 2, 3, 4,… (1000 values)"
    assert identity.shown("x" * 100, 10) == "x" * 9 + "…"
