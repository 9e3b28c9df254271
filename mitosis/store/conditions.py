"""Turns the expressions of `mitosis.where` into conditions of SQL, for SQLite and PostgreSQL.

What stands at the top of an expression, joined by `and`, is a comparison of bare columns, which an index
can answer. Alternatives, contraries and parameters are told in a form that no index is chosen for: the page
is then read in its own order and ends when it is full, where a planner would sort every trial there is.
"""

from __future__ import annotations

import json
import math
import operator as op
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Integer,
    Numeric,
    Text,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    literal_column,
    not_,
    null,
    or_,
    select,
    true,
)

from mitosis import where
from mitosis.identity import escaped
from mitosis.store import schema
from mitosis.store.load import is_hex, prefix
from mitosis.store.rows import dumps
from mitosis.where import And, Compare, Key, Not, Or, Value, Where

Condition: TypeAlias = ColumnElement[bool]
_T = schema.trials.c
_TAGGED = ("!date", "!datetime", "!path", "!bytes", "!unresolved")  # of identity.py: texts with a meaning
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {"<": op.lt, "<=": op.le, ">": op.gt, ">=": op.ge}
_BEYOND = "1e1000"  # greater than every number that a parameter can be (identity.py: 2000 bits)


def condition(expression: Where, dialect: str) -> Condition:
    """Whether a row of `trials` is meant; NULL counts as no."""
    if isinstance(expression, And):
        return and_(*(condition(part, dialect) for part in expression.parts))
    if all(key.name == "params" for key in where.keys(expression)):
        return _by_parameters(expression, dialect)
    if isinstance(expression, Or):
        return _opaque(or_(*(condition(part, dialect) for part in expression.parts)))
    if isinstance(expression, Not):
        return not_(_opaque(condition(expression.part, dialect)))
    return _column(expression, dialect)


def _opaque(found: Condition) -> Condition:
    """False where it is NULL; no index is looked for in it."""
    return func.coalesce(found, false())


# -- parameters --------------------------------------------------------------------------------------


def _by_parameters(expression: Where, dialect: str) -> Condition:
    """Decided once for each parameter set, of which there are far fewer than trials."""
    sets, values = schema.parameter_sets.c, schema.parameter_values.c
    good_sets = select(sets.digest).where(_in_text(expression, sets.text, dialect))
    good_values = select(values.digest).where(_in_text(expression, values.text, dialect))
    return case(
        (_T.param_values.is_(None), _T.param_set.in_(good_sets)), else_=_T.param_values.in_(good_values)
    )


def _in_text(expression: Where, text: ColumnElement[str], dialect: str) -> Condition:
    if isinstance(expression, And):
        return and_(*(_in_text(part, text, dialect) for part in expression.parts))
    if isinstance(expression, Or):
        return or_(*(_in_text(part, text, dialect) for part in expression.parts))
    if isinstance(expression, Not):
        return not_(_opaque(_in_text(expression.part, text, dialect)))
    found = _reading(text, expression.key.path, dialect)
    if expression.operator in where.ORDERINGS:
        return _ordered(found, expression.operator, expression.values[0])
    if expression.operator == "contains":
        return _holds(func.coalesce(found.text, found.tagged("!enum")), expression.values[0].text, dialect)
    return or_(false(), *(_equal(found, value) for value in expression.values))


@dataclass(frozen=True, slots=True)
class _Reading:
    """One value of a canonical text, as each type that it may have; NULL where it has another."""

    there: Condition
    absent: Condition  # it is not there, or null
    number: ColumnElement[Any]
    text: ColumnElement[str]
    flag: ColumnElement[str]  # "true", "false"
    tagged: Callable[[str], ColumnElement[str]]  # the content of {"!enum": ...}
    literal: Callable[[float], ColumnElement[Any]]  # a number of ours, to be compared with `number`
    rank: ColumnElement[Any]  # numbers by size, texts by their letters; NULL where it is neither


def _reading(text: ColumnElement[str], path: Sequence[str | int], dialect: str) -> _Reading:
    keys = [part if isinstance(part, int) else escaped(part) for part in path]
    return _postgresql(text, keys) if dialect == "postgresql" else _sqlite(text, keys)


def _sqlite(text: ColumnElement[str], keys: Sequence[str | int]) -> _Reading:
    """By SQLite's functions for JSON: https://www.sqlite.org/json1.html."""
    place = "$" + "".join(f"[{key}]" if isinstance(key, int) else f'."{key}"' for key in keys)
    kind, value = func.json_type(text, place), func.json_extract(text, place)

    def tagged(tag: str) -> ColumnElement[str]:
        return func.json_extract(text, f'{place}."{tag}"')

    def number(value: float) -> ColumnElement[Any]:
        # written and read again as the stored text is: SQLite may round the last digit otherwise than Python
        written = {math.inf: "9e999", -math.inf: "-9e999"}.get(value, json.dumps(value))
        return func.json_extract(written, "$")

    floats = case(
        (tagged("!float") == "inf", number(math.inf)), (tagged("!float") == "-inf", number(-math.inf))
    )
    numbers = case((kind.in_(("integer", "real")), value), (kind == "object", floats))
    texts = case((kind == "text", value), (kind == "object", func.coalesce(*map(tagged, _TAGGED))))
    flags = case((kind.in_(("true", "false")), kind))
    absent = or_(kind.is_(None), kind == "null")
    rank = func.coalesce(numbers, texts, flags)
    return _Reading(kind.is_not(None), absent, numbers, texts, flags, tagged, number, rank)


def _postgresql(text: ColumnElement[str], keys: Sequence[str | int]) -> _Reading:
    """By PostgreSQL's: https://www.postgresql.org/docs/current/functions-json.html."""
    from sqlalchemy.dialects.postgresql import JSONB

    # jsonb refuses NUL in texts; a text of the six characters themselves is taken for one, and nobody has it
    node: ColumnElement[Any] = cast(func.replace(text, "\\u0000", "\\ufffd"), JSONB)
    for key in keys:  # by `->`, which tells the number of an entry from a key, as a path does not
        node = node.op("->", return_type=JSONB())(literal(key, Integer() if isinstance(key, int) else Text()))
    kind = func.jsonb_typeof(node)
    value = node.op("#>>", return_type=Text())(literal_column("'{}'::text[]"))

    def tagged(tag: str) -> ColumnElement[str]:
        return func.jsonb_extract_path_text(node, tag)

    def number(value: float) -> ColumnElement[Any]:
        written = {math.inf: _BEYOND, -math.inf: f"-{_BEYOND}"}.get(value, repr(value))
        return literal(Decimal(written), Numeric())

    floats = case(
        (tagged("!float") == "inf", number(math.inf)), (tagged("!float") == "-inf", number(-math.inf))
    )
    numbers = case((kind == "number", cast(value, Numeric())), (kind == "object", floats))
    # texts are ordered by their code points, as in SQLite, not by a locale
    words = case((kind == "string", value), (kind == "object", func.coalesce(*map(tagged, _TAGGED))))
    texts = words.collate("C")
    flags = case((kind == "boolean", value))
    absent = or_(kind.is_(None), kind == "null")
    rank = func.coalesce(*map(func.to_jsonb, (numbers, texts, flags)))
    return _Reading(kind.is_not(None), absent, numbers, texts, flags, tagged, number, rank)


def has(text: ColumnElement[str], key: Key, dialect: str) -> Condition:
    """Whether the canonical text holds a value under that name, be it null."""
    keys = [part if isinstance(part, int) else escaped(part) for part in key.path]
    return (_postgresql if dialect == "postgresql" else _sqlite)(text, keys).there


def rank(text: ColumnElement[str], key: Key, dialect: str) -> ColumnElement[Any]:
    """What a page is sorted by where it is sorted by a parameter; `text` holds the canonical text."""
    return _reading(text, key.path, dialect).rank


def _equal(found: _Reading, value: Value) -> Condition:
    wanted = value.value
    if wanted is None:
        return found.absent
    if isinstance(wanted, bool):
        return found.flag == ("true" if wanted else "false")
    if isinstance(wanted, int | float):
        if wanted != wanted:
            return found.tagged("!float") == "nan"
        return found.number == found.literal(wanted)
    member, length = found.tagged("!enum"), len(value.text)  # "package.module:Color.RED" by any end of it
    end = func.substr(member, func.length(member) - length, length + 1)
    named = or_(member == value.text, end.in_((f".{value.text}", f":{value.text}")))
    return or_(found.text == value.text, named)


def _ordered(found: _Reading, operator: str, value: Value) -> Condition:
    if isinstance(value.value, int | float):
        if value.value != value.value:
            return false()
        return _compared(found.number, operator, found.literal(value.value))
    return _compared(found.text, operator, value.text)


# -- columns -----------------------------------------------------------------------------------------


def _column(found: Compare, dialect: str) -> Condition:
    """A comparison of a column, by the kind of the key."""
    key, operator, first = found.key, found.operator, found.values[0] if found.values else None
    if first is None:
        return false()  # in ()
    if operator == "contains" and key.name != "tags":
        return _contains(key, first.text, dialect)
    if operator in where.ORDERINGS:
        if key.name == "started_at":
            assert isinstance(first.value, datetime)  # the parser has read it as one
            return _compared(_T.started, operator, schema.micros(first.value))
        return _compared(_number_of(key), operator, _number(first.value))
    one = [_is(key, value) for value in found.values]
    return one[0] if len(one) == 1 else _opaque(or_(*one))


def _is(key: Key, value: Value) -> Condition:
    kind, wanted = where.KINDS[key.name], value.value
    if key.name == "removed":
        return _T.removed.is_not(None) if wanted else _T.removed.is_(None)
    if key.name == "main":
        return _main(value)
    if key.name == "metrics":
        return _metric(key, wanted)
    if kind == where.SET:
        tagged = select(schema.tags.c.trial)
        if wanted is None:
            return _T.seq.not_in(tagged)
        return _T.seq.in_(tagged.where(schema.tags.c.name == value.text))
    if key.name == "project":
        projects = schema.projects.c
        return _T.project.in_(select(projects.id).where(projects.name == value.text))
    column: ColumnElement[Any] = _T[key.name]
    if wanted is None:
        return or_(column.is_(None), column == "") if kind == where.TEXT else column.is_(None)
    if kind == where.FLAG:
        return column.is_(true() if wanted else false())
    if kind == where.HEX:
        digits = str(wanted)
        return prefix(column, digits) if digits and is_hex(digits) else column == value.text
    return column == (value.text if kind == where.TEXT else _number(wanted))


def _main(value: Value) -> Condition:
    """`main` is any JSON: numbers stand in a column of their own, NaN and everything else in its text."""
    wanted = value.value
    if wanted is None:
        return _T.main_text.is_(None)
    number = isinstance(wanted, int | float) and not isinstance(wanted, bool) and wanted == wanted
    return _T.main == _number(wanted) if number else _T.main_text == dumps(wanted)


def _metric(key: Key, wanted: object) -> Condition:
    m = schema.metrics.c
    measured = select(m.trial).where(m.trial == _T.seq, m.name == key.path[0])
    if wanted is None:
        return not_(measured.exists())
    if isinstance(wanted, float) and wanted != wanted:
        return measured.where(m.value.is_(None)).exists()  # NULL is nan
    return _number_of(key) == _number(wanted)


def _number_of(key: Key) -> ColumnElement[Any]:
    if key.name == "metrics":
        m = schema.metrics.c
        return select(m.value).where(m.trial == _T.seq, m.name == key.path[0]).scalar_subquery()
    return _T[key.name]


def _number(value: object) -> ColumnElement[Any] | float | int:
    """A number as a column is compared with it; whole numbers beyond 64 bits as floats."""
    assert isinstance(value, int | float)
    if isinstance(value, int) and value not in schema.SEEDS:
        return math.copysign(math.inf, value) if abs(value) > 2**1000 else float(value)
    return null() if value != value else value


def _contains(key: Key, text: str, dialect: str) -> Condition:
    if key.name == "project":
        projects = schema.projects.c
        return _T.project.in_(select(projects.id).where(_holds(projects.name, text, dialect)))
    if key.name == "main":
        return and_(func.substr(_T.main_text, 1, 1) == '"', _holds(_T.main_text, dumps(text)[1:-1], dialect))
    return _holds(_T[key.name], text, dialect)


def _holds(column: ColumnElement[Any], text: str, dialect: str) -> Condition:
    place = func.strpos if dialect == "postgresql" else func.instr
    return place(column, text) > 0


def _compared(column: ColumnElement[Any], operator: str, value: Any) -> Condition:
    found: Condition = _OPERATORS[operator](column, value)
    return found
