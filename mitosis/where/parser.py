"""Reads the expressions that choose trials (`params.dt < 0.1 and status == failed`) into frozen values.

    expression   one `or` another, one `and` another, `not` one, (one)
    comparison   NAME == VALUE   !=   <   <=   >   >=   or VALUE < NAME, the other way round
                 NAME in (VALUE, VALUE), NAME not in (...)
                 NAME contains TEXT, NAME ~ TEXT: the text occurs in it; of `tags`, that it is one of them
                 VALUE in tags
                 NAME alone, where it is true or false: not dirty
    NAME         a key of a trial; params.model.kernel, params.layers[0], params["odd key"], metrics.loss
    VALUE        0.1, 1e-3, true, null, nan, inf, a bare word, or a text in '' or ""

A comparison is true or false, nothing third: what a trial does not have is `null`, which equals null alone
and is neither less nor greater than anything. `!=` is exactly the contrary of `==`. Nothing of an
expression is ever run.
"""

from __future__ import annotations

import difflib
import re
from typing import NoReturn

from mitosis.errors import SelectionRefused
from mitosis.trial import Status
from mitosis.where.values import (
    ANY,
    FLAG,
    HEX,
    KINDS,
    NUMBER,
    ORDERINGS,
    SET,
    TEXT,
    TIME,
    And,
    Compare,
    Key,
    Not,
    Or,
    Value,
    Where,
    moment,
)

_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_ALLOWED = {
    HEX: ("==", "!=", "in"),
    TEXT: ("==", "!=", "in", "contains"),
    NUMBER: ("==", "!=", "in", *ORDERINGS),
    FLAG: ("==", "!="),
    TIME: ORDERINGS,
    SET: ("==", "!=", "in", "contains"),
    ANY: ("==", "!=", "in", "contains", *ORDERINGS),
}
_WORDS = {"true": True, "false": False, "null": None, "none": None}
_LONGEST = 200  # letters of an expression that a message repeats whole
_DEEPEST = 100  # levels of parentheses and `not`


def parse(text: str) -> Where:
    """What `text` means. Raises SelectionRefused, naming the column of the fault and the ways out."""
    reader = _Reader(text)
    found = reader.either(0)
    if reader.rest():
        reader.refuse(f"{reader.word()!r} is not expected", "put `and` or `or` between two comparisons")
    return found


def parse_key(text: str) -> Key:
    """A single name: `params.dt`, `metrics.loss`, `status`. Raises SelectionRefused as `parse` does."""
    reader = _Reader(text)
    found = reader.key()
    if reader.rest():
        reader.refuse(
            f"{reader.word()!r} is no part of a name", 'write odd names in brackets: params["odd key"]'
        )
    return found


def literal(text: str) -> Value:
    """A word without quotes as the value that it stands for: a number, true, false, null, else a text."""
    if text.lower() in _WORDS:
        return Value(_WORDS[text.lower()], text)
    if re.fullmatch(r"[+-]?\d+", text) and len(text) < 600:
        return Value(int(text), text)
    if re.fullmatch(r"[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|inf|nan)", text):
        return Value(float(text), text)
    return Value(text, text)


class _Reader:
    """The text and how far it has been read."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def refuse(self, what: str, todo: str, at: int | None = None) -> NoReturn:
        column = (self.at if at is None else at) + 1
        near = (
            self.text if len(self.text) <= _LONGEST else f"…{self.text[max(column - 20, 0) : column + 20]}…"
        )
        raise SelectionRefused(f"column {column} of `{near}`: {what}", todo)

    def rest(self) -> str:
        """What is not read yet, without the space before it."""
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.text[self.at :]

    def word(self) -> str:
        """What stands next, for a message."""
        found = re.match(r"[\w.]+|\S", self.rest())
        return found[0] if found else "the end"

    def take(self, pattern: str) -> str | None:
        """What matches `pattern` next; None, and nothing is read, where nothing does."""
        found = re.compile(pattern).match(self.rest())
        if not found:
            return None
        self.at += found.end()
        return found[0]

    def either(self, depth: int) -> Where:
        parts = [self.both(depth)]
        while self.take(r"or\b"):
            parts.append(self.both(depth))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def both(self, depth: int) -> Where:
        parts = [self.single(depth)]
        while self.take(r"and\b"):
            parts.append(self.single(depth))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def single(self, depth: int) -> Where:
        if depth > _DEEPEST:
            self.refuse(f"it nests over {_DEEPEST} levels", "write it flatter")
        if self.take(r"not\b"):
            return Not(self.single(depth + 1))
        begin = self.at
        if self.take(r"\("):
            found = self.either(depth + 1)
            if not self.take(r"\)"):
                self.refuse(f"the parenthesis of column {begin + 1} is not closed", "write `)`")
            return found
        return self.comparison()

    def comparison(self) -> Where:
        rest = self.rest()
        begin = self.at
        if re.match(r"""['"\d+-]|\.\d""", rest) or re.match(r"[\w.-]+\s+in\s+tags\b", rest):
            return self.turned(begin)
        key = self.key()
        negated = self.take(r"not\b") is not None
        if negated and not re.match(r"(in|contains)\b", self.rest()):
            todo = "write NAME not in (...), or not NAME == VALUE"
            self.refuse(f"{self.word()!r} cannot follow `not`", todo)
        operator = self.operator()
        if operator is None:
            if KINDS[key.name] in (FLAG, ANY) and key != Key("main"):
                return Compare(key, "==", (Value(True, "true"),))
            self.refuse(f"{key} is compared with nothing", f"write one of {_listed(key)} and a value")
        self.fits(key, operator, begin)
        bare = r"""[^\s()'"]+"""
        values = self.several(key) if operator == "in" else (self.value(key, bare),)
        self.ordered(key, operator, values[0] if values else None, begin)
        found = _contrary(Compare(key, operator, values))
        return Not(found) if negated else found

    def turned(self, begin: int) -> Where:
        """A comparison that begins with its value."""
        found = self.take(r"""'[^']*'|"[^"]*"|[+-]?[\w.]+([+-]\d+)?|[\w.-]+""")
        if found is None:
            self.refuse(f"{self.word()!r} is not closed, or no value", "write 0.1, or a text in quotes")
        value = Value(found[1:-1], found[1:-1]) if found[0] in "'\"" else literal(found)
        if self.take(r"in\b"):
            key = self.key()
            if KINDS[key.name] != SET:
                self.refuse(f"{key} is no list of texts", "only tags are: draft in tags", begin)
            return Compare(key, "==", (Value(value.text, value.text),))
        operator = self.operator()
        if operator not in _FLIPPED:
            self.refuse(
                f"the value {value.text} is compared with nothing", f"write {value.text} < NAME", begin
            )
        key = self.key()
        self.fits(key, operator, begin)
        if self.take(r"[<>=!]"):
            self.refuse("three values cannot be compared at once", "write two comparisons with `and` between")
        value = self.typed(key, value, begin)
        self.ordered(key, operator, value, begin)
        return _contrary(Compare(key, _FLIPPED[operator], (value,)))

    def key(self) -> Key:
        self.rest()
        begin = self.at
        name = self.take(r"[^\W\d]\w*")
        if name is None:
            self.refuse(
                f"a name is expected here, not {self.word()!r}", f"the names are {', '.join(_shown())}"
            )
        if name not in KINDS:
            near = difflib.get_close_matches(name, KINDS, n=1)
            hint = (
                f"did you mean {near[0]}?"
                if near
                else f"a parameter is params.{name}, a metric metrics.{name};"
            )
            self.refuse(f"there is no name {name!r}", f"{hint} the names are {', '.join(_shown())}", begin)
        path: list[str | int] = []
        while self.at < len(self.text) and self.text[self.at] in ".[":
            path.append(self.part())
        if path and name not in ("params", "metrics"):
            self.refuse(f"{name} has nothing below it", "only params.NAME and metrics.NAME have", begin)
        if not path and name in ("params", "metrics"):
            self.refuse(f"{name} needs the name of one of them", f"write {name}.NAME", begin)
        if name == "metrics":
            return Key(name, (".".join(str(part) for part in path),))
        return Key(name, tuple(path))

    def part(self) -> str | int:
        """One step further down: `.name`, `[3]` or `["any name"]`."""
        begin = self.at
        found = re.compile(r"""\.(\w[\w/-]*)|\[(-?\d+)\]|\[("[^"]*"|'[^']*')\]""").match(self.text, self.at)
        if found is None:
            self.refuse(
                "a part of the name is expected", 'write params.name, params.list[0] or params["a name"]'
            )
        self.at = found.end()
        if found[2] is not None:
            if found[2].startswith("-"):
                self.refuse("items are counted from 0 upwards", "write [0] for the first", begin)
            return int(found[2])
        name = found[1] if found[1] is not None else found[3][1:-1]
        if re.search(r'["\\\x00-\x1f\ud800-\udfff]', name):
            self.refuse("such a name cannot be asked for", "names without quotes and backslashes can", begin)
        return name

    def operator(self) -> str | None:
        found = self.take(r"==|!=|<=|>=|<|>|=|~|in\b|contains\b")
        if found == "=":
            return "=="
        return "contains" if found == "~" else found

    def fits(self, key: Key, operator: str, begin: int) -> None:
        if operator not in _ALLOWED[KINDS[key.name]]:
            self.refuse(f"{key} cannot be compared by {operator}", f"write one of {_listed(key)}", begin)

    def ordered(self, key: Key, operator: str, value: Value | None, begin: int) -> None:
        """Refuse to order what has no order."""
        if operator not in ORDERINGS or value is None:
            return
        unordered = value.value is None or isinstance(value.value, bool)
        if unordered or (key.name == "main" and isinstance(value.value, str)):
            self.refuse(f"{key} is never less or greater than {value.text}", "compare by == or !=", begin)

    def several(self, key: Key) -> tuple[Value, ...]:
        if not self.take(r"[(\[]"):
            self.refuse("a list is expected after `in`", "write NAME in (VALUE, VALUE)")
        values = []
        while not self.take(r"[)\]]"):
            values.append(self.value(key, r"""[^\s()\[\]'",]+"""))
            if not self.take(r",") and not re.match(r"[)\]]", self.rest()):
                self.refuse(
                    f"{self.word()!r} is not expected in a list", "write commas between, and `)` at the end"
                )
        return tuple(values)

    def value(self, key: Key, bare: str) -> Value:
        self.rest()
        begin = self.at
        quoted = self.take(r"""'[^']*'|"[^"]*\"""")
        if quoted is not None:
            return self.typed(key, Value(quoted[1:-1], quoted[1:-1]), begin)
        word = self.take(bare)
        if word is None and self.text[self.at : self.at + 1] in ("'", '"'):
            self.refuse(f"this quote is not closed: {self.text[self.at :]}", "end the text by the same quote")
        if word is None:
            self.refuse(
                f"a value is expected here, not {self.word()!r}", "write 0.1, true, or a text in quotes"
            )
        return self.typed(key, literal(word), begin)

    def typed(self, key: Key, value: Value, begin: int) -> Value:
        """The value as the kind of the key takes it."""
        kind = KINDS[key.name]
        if value.value is None:
            return value
        if kind in (TEXT, SET):
            if key.name == "status" and value.text not in [s.value for s in Status]:
                words = ", ".join(s.value for s in Status)
                self.refuse(f"there is no status {value.text!r}", f"it is one of {words}", begin)
            return Value(value.text, value.text)
        if kind == HEX:
            return Value(value.text.lower(), value.text)
        if kind == TIME:
            try:
                return Value(moment(value.text), value.text)
            except SelectionRefused as error:
                self.refuse(error.what, error.todo, begin)
        if kind == FLAG and not isinstance(value.value, bool):
            self.refuse(f"{key} is true or false, not {value.text!r}", f"write {key} or not {key}", begin)
        if kind == NUMBER and (isinstance(value.value, bool) or not isinstance(value.value, int | float)):
            self.refuse(f"{key} is a number, {value.text!r} is none", f"write {key} > 0", begin)
        return value


def _contrary(found: Compare) -> Where:
    """`!=` as what it is, so that whoever reads the value knows one operator less."""
    if found.operator == "!=":
        return Not(Compare(found.key, "==", found.values))
    return found


def _shown() -> list[str]:
    return [f"{name}.NAME" if name in ("params", "metrics") else name for name in KINDS]


def _listed(key: Key) -> str:
    return " ".join(_ALLOWED[KINDS[key.name]])
