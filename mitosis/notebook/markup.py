"""Makes what an experiment printed and displayed harmless to show: terminal text, long text, foreign HTML."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape, unescape

LONGEST_TEXT = 64_000  # characters of one output that a report holds; the notebook has the rest
_FOLD_LINES, _FOLD_CHARACTERS = 40, 5_000  # an output longer than this is folded ...
_TAIL_LINES, _TAIL_CHARACTERS = 12, 2_000  # ... but for its end

# Control sequences (ECMA-48 5.4, kept are those for colours), strings to the terminal such as titles and
# links, other escapes, and lone control characters.
_CONTROLS = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_TURNED = re.compile("[\u202a-\u202e\u2066-\u2069]")  # they make text read otherwise than it is


@dataclass(frozen=True, slots=True)
class Folded:
    """A text for the page: its end, and where it is long what comes before, to be folded away."""

    end: str
    before: str = ""
    label: str = ""  # what is folded: "4,988 earlier lines"


def visible(text: str) -> str:
    """`text` on one line, with what cannot be seen spelled out: an escape character becomes `\\x1b`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def visible_lines(text: str) -> str:
    """`text` with its lines and indents, each line `visible`."""
    return "\n".join(visible(line) for line in text.expandtabs(4).split("\n"))


def terminal(text: str) -> str:
    """`text` as a terminal leaves it: of a line written over, the last state; of escapes, the colours."""
    if "\r" in text:
        text = "\n".join(_written_over(line) for line in text.split("\n"))
    text = _CONTROLS.sub(lambda m: m[0] if _COLOUR.fullmatch(m[0]) else "", text)
    return _TURNED.sub(lambda m: m[0].encode("unicode_escape").decode(), text)


def _written_over(line: str) -> str:
    states = [state for state in line.split("\r") if state]
    return states[-1] if states else ""


def cut(text: str, limit: int = LONGEST_TEXT) -> str:
    """The first and last `limit // 2` characters of a longer `text`, between them how much is missing."""
    if len(text) <= limit:
        return text
    half = limit // 2
    head, tail = text[:half], text[-half:]
    # whole lines where there are any, so that no escape sequence is cut in two
    head = head[: head.rfind("\n") + 1] or head
    tail = tail[tail.find("\n") + 1 :] or tail
    missing = len(text) - len(head) - len(tail)
    return f"{head.rstrip()}\n\n[... {missing:,} characters are left out here ...]\n\n{tail}"


def fold(text: str) -> Folded:
    """A long text split into what is folded and its end; any text cut and cleaned for the page."""
    lines = text.count("\n") + (not text.endswith("\n"))
    shown = terminal(cut(text)).strip("\n")
    if shown.count("\n") < _FOLD_LINES and len(shown) <= _FOLD_CHARACTERS:
        return Folded(shown)
    end = "\n".join(shown.split("\n")[-_TAIL_LINES:])
    end = end[-_TAIL_CHARACTERS:]
    before = shown[: len(shown) - len(end)].rstrip("\n")
    earlier = lines - 1 - end.count("\n")
    if earlier > 1:
        return Folded(end, before, f"{earlier:,} earlier lines")
    return Folded(end, before, f"{len(text) - len(end):,} earlier characters")


# --- HTML that an experiment displayed --------------------------------------------------------


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_VOID = _words("br col hr img wbr")
_ALLOWED = _VOID | _words(
    "a abbr b blockquote caption center cite code colgroup dd del details div dl dt em figcaption figure "
    "h1 h2 h3 h4 h5 h6 i ins kbd li mark ol p pre q s samp small span strong sub summary sup table tbody td "
    "tfoot th thead tr u ul var"
)
_RAW = _words("iframe noembed noframes noscript plaintext script style textarea title xmp")
_DROPPED = _RAW | _words(  # with all that they hold; those of `_RAW` hold no elements
    "applet audio canvas datalist frameset math object select svg template video"
)
_LOWERED = {"h1": "h3", "h2": "h3"}  # the page's own headings stand above foreign ones
_DEEPEST = 200  # elements inside elements

# Comments, what is neither comment nor tag, end tags, start tags, a tag that never ends (all the rest, as in
# browsers), text. Each alternative consumes what it has looked at, so that no input takes quadratic time, as
# many do in the standard library's html.parser (CVE-2025-6069).
_TOKEN = re.compile(
    r"""<!--(?:.*?-->|.*)
    | <(?:[!?]|/(?![a-z]))[^>]*>?
    | </(?P<end>[a-z][^\s/>]*)[^>]*>?
    | <(?P<start>[a-z][^\s/>]*)(?P<attributes>(?:[^>"']|"[^"]*"|'[^']*')*)>
    | <[a-z].*
    | (?P<text>[^<]+|<)""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE | re.ASCII,
)
_ATTRIBUTE = re.compile(r"""([^\s"'<>/=]+)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s"'>]+))?""")
_ATTRIBUTES = _words("align alt colspan height rowspan scope span start title valign width")
_PROPERTIES = _words(
    "background-color border border-bottom border-collapse border-color border-left border-right "
    "border-style border-top border-width color font-style font-weight max-width min-width padding "
    "padding-bottom padding-left padding-right padding-top text-align text-decoration vertical-align "
    "white-space width"
)
_VALUE = re.compile(r"(?:[\w\s#%.,!+-]|(?:rgba?|hsla?)\([\d\s.,%/]*\))*")
_LINK = re.compile(r"https?://\S*|mailto:\S*|#\S*|(?!//)[\w./-]+")
_IMAGE = re.compile(r"data:image/(?:png|jpeg|gif|webp|svg\+xml)[;,][\w+/=;,%.-]*")


def harmless(html: str) -> str:
    """The part of `html` that only shows something: text, tables, headings, lists, embedded images.

    Scripts, styles, frames, forms, inline SVG and what these hold are removed, as are classes, ids, event
    handlers, positions and every address that would be loaded. What remains is balanced, so that it
    cannot end the element it is put into. An empty string means that nothing of it could be seen.
    """
    parts: list[str] = []
    opened: list[str] = []
    seen = False
    at = 0
    while token := _TOKEN.match(html, at):
        at = token.end()
        start, end = ((token[name] or "").lower() for name in ("start", "end"))
        start, end, text = _LOWERED.get(start, start), _LOWERED.get(end, end), token["text"]
        if start in _DROPPED:
            at = _after(start, html, at)
        elif start in _ALLOWED and len(opened) < _DEEPEST:
            attributes = _attributes(start, token["attributes"])
            if start == "img" and "src" not in attributes:
                continue
            seen |= start in ("img", "hr")
            parts.append(
                " ".join([f"<{start}", *(f'{n}="{escape(v)}"' for n, v in attributes.items())]) + ">"
            )
            if start not in _VOID:
                opened.append(start)
        elif end in opened:
            parts.append(_close(opened, opened[::-1].index(end) + 1))
        elif text:
            seen |= not text.isspace()
            parts.append(escape(_COLOUR.sub("", terminal(unescape(text)))))
    return "".join(parts) + _close(opened, len(opened)) if seen else ""


def prose(html: str) -> str:
    """`harmless` for what nbconvert made of Markdown, without the anchors that it puts beside headings."""
    return harmless(re.sub(r'<a class="anchor-link" href="[^"]*">[^<]*</a>', "", html))


def _after(tag: str, html: str, at: int) -> int:
    """Where the element `tag` ends whose content begins at `at`: everywhere in it only its own tags count."""
    depth = 1
    for token in re.compile(rf"<(/?){tag}(?=[\s/>])", re.IGNORECASE).finditer(html, at):
        depth += -1 if token[1] else tag not in _RAW
        if not depth:
            return token.start()
    return len(html)


def _close(opened: list[str], count: int) -> str:
    """The end tags of the last `count` elements of `opened`, which are taken off it."""
    return "".join(f"</{opened.pop()}>" for _ in range(count))


def _attributes(tag: str, source: str) -> dict[str, str]:
    kept = {"rel": "noreferrer"} if tag == "a" else {}
    for name, given in _ATTRIBUTE.findall(source):
        name, value = name.lower(), visible(unescape(given.strip("\"'")))
        if name == "style":
            value = _style(value)
        allowed = (
            name in _ATTRIBUTES
            or (name == "style" and value)
            or (name == "href" and tag == "a" and _LINK.fullmatch(value))
            or (name == "src" and tag == "img" and _IMAGE.fullmatch(value))
        )
        if allowed:
            kept[name] = value
    return kept


def _style(declarations: str) -> str:
    kept = {}
    for declaration in declarations.split(";"):
        name, _, value = declaration.partition(":")
        name, value = name.strip().lower(), value.strip()
        if name in _PROPERTIES and _VALUE.fullmatch(value):
            kept[name] = value
    if "background-color" in kept:
        kept.setdefault("color", "#16191d")  # a light cell stays readable on a dark page
    return ";".join(f"{name}:{value}" for name, value in kept.items())
