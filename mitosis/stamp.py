"""Writes into a picture which trials it shows, and reads that back from the file alone, whatever its name.

The mark is a keyword, `mitosis:<id of the trial>:<commit>:<digest of the parameter set>`, where each format
keeps keywords: a tEXt chunk `Keywords` of PNG (PNG 3rd edition, 11.3.3), dc:subject in the metadata of SVG
(as matplotlib and Inkscape have it), /Keywords in the information of PDF, a comment of JPEG, a meta element
of HTML.
"""

from __future__ import annotations

import gzip
import html
import io
import json
import logging
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mitosis.trial import Summary, TrialSpec

_MARK = re.compile(rb"mitosis:([0-9a-f]{12}):([0-9a-f]{64}|[0-9a-f]{40}):([0-9a-f]{64})")
_PNG, _JPEG, _PDF, _GZIP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"%PDF-", b"\x1f\x8b"
_HEADER = 33  # bytes of the signature and of the chunk IHDR, which comes first
_LARGEST = 256_000_000  # bytes of what is decompressed to look for a mark
_NAMESPACES = (
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
    'xmlns:cc="http://creativecommons.org/ns#" xmlns:dc="http://purl.org/dc/elements/1.1/"'
)
_TAG = re.compile(rb"""<([^\s/>]+)(?:[^>"']|"[^"]*"|'[^']*')*>""")


@dataclass(frozen=True, slots=True)
class Origin:
    """The trial that a picture says it is of."""

    trial: str  # id, 12 hex digits
    commit: str  # full hash
    param_set: str  # digest

    def __str__(self) -> str:
        return f"mitosis:{self.trial}:{self.commit}:{self.param_set}"


def origin(trial: TrialSpec | Summary) -> Origin:
    """What a picture of this trial says."""
    if isinstance(trial, Summary):
        return Origin(trial.id, trial.commit, trial.param_set)
    return Origin(trial.id, trial.code.commit, trial.param_set.digest)


def stamped(content: bytes, marks: Iterable[Origin]) -> bytes:
    """The picture with the marks in it; as it is where it has them, is damaged, or is of another format."""
    there = origins(content)
    missing = [mark for mark in dict.fromkeys(marks) if mark not in there]
    if not missing:
        return content
    text = ", ".join(map(str, missing))
    if content.startswith(_PNG) and content[12:16] == b"IHDR":
        return content[:_HEADER] + _chunk(b"tEXt", b"Keywords\0" + text.encode()) + content[_HEADER:]
    if content.startswith(_JPEG):
        comment = text.encode()[:65_000]
        return content[:2] + b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + content[2:]
    if content.startswith(_PDF):
        return _pdf(content, text)
    return _xml(content, text)


def origins(content: bytes) -> tuple[Origin, ...]:
    """The trials that a file says it is of, each once, in their order; empty where it says nothing."""
    for part in _parts(content):
        found = dict.fromkeys(Origin(*(g.decode() for g in m.groups())) for m in _MARK.finditer(part))
        if found:
            return tuple(found)
    return ()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _xml(content: bytes, text: str) -> bytes:
    """SVG or HTML with the marks; unchanged where it is neither."""
    text = html.escape(text)
    head = re.search(rb"<head(?:\s[^>]*)?>", content[:4096], re.IGNORECASE)
    if head is not None and re.match(rb"\s*<!doctype html", content, re.IGNORECASE):
        meta = f'<meta name="keywords" content="{text}">'.encode()
        return content[: head.end()] + meta + content[head.end() :]
    tag = _TAG.match(content, _root(content))
    if tag is None or tag[1].rpartition(b":")[2] != b"svg":
        return content
    name, prefix = tag[1].decode(), tag[1].decode().rpartition(":")[0]
    own = f"{prefix}:metadata" if prefix else "metadata"
    words = "".join(f"<rdf:li>{word}</rdf:li>" for word in text.split(", "))
    work = f"<cc:Work><dc:subject><rdf:Bag>{words}</rdf:Bag></dc:subject></cc:Work>"
    added = f"<{own}><rdf:RDF {_NAMESPACES}>{work}</rdf:RDF></{own}>".encode()
    start, end = content[: tag.end()], content[tag.end() :]
    if start.endswith(b"/>"):
        return start[:-2] + b">" + added + f"</{name}>".encode() + end
    return start + added + end


def _root(content: bytes) -> int:
    """Where the first element of an XML document begins; its end where there is none."""
    from xml.parsers import expat

    found = [len(content)]

    def started(_name: str, _attributes: dict[str, str]) -> None:
        found[0] = min(found[0], parser.CurrentByteIndex)
        parser.StartElementHandler = None

    parser = expat.ParserCreate()
    parser.StartElementHandler = started
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError):
        return found[0]  # what is wrong behind the first element is not ours to judge
    return found[0]


def _pdf(content: bytes, text: str) -> bytes:
    """The PDF with the marks among its keywords, added as an update at its end; as it is where damaged."""
    from pypdf import PdfWriter

    made = io.BytesIO()
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it tells of its own cache
    try:
        writer = PdfWriter(io.BytesIO(content), incremental=True)
        before = str((writer.metadata or {}).get("/Keywords") or "")
        writer.add_metadata({"/Keywords": f"{before}, {text}" if before else text})
        writer.write(made)
    except Exception:  # whatever a damaged file makes of the reader, the picture itself is kept
        return content
    return made.getvalue()


def _parts(content: bytes) -> Iterator[bytes]:
    """What a mark may stand in: the bytes themselves, UTF-16, and what the format compresses."""
    yield content
    yield content.replace(b"\0", b"").replace(b"\\072", b":")  # PDF may write any character in octal
    if content.startswith(_GZIP):  # .svgz
        try:
            with gzip.open(io.BytesIO(content)) as file:
                yield file.read(_LARGEST)
        except (OSError, EOFError, zlib.error):
            return
    elif content.startswith(_PNG):
        yield from _texts(content)
    elif content.startswith(_PDF):
        yield _information(content)
    elif content.lstrip().startswith(b"{"):
        yield _notebook(content)


def _texts(content: bytes) -> Iterator[bytes]:
    """The compressed texts of a PNG: zTXt is keyword, 0, method and data; iTXt may be compressed, too."""
    at = len(_PNG)
    while at + 8 <= len(content):
        size, kind = struct.unpack(">I4s", content[at : at + 8])
        data = content[at + 8 : at + 8 + size]
        at += 12 + size
        keyword, _, rest = data.partition(b"\0")
        if kind == b"zTXt":
            packed = rest[1:]
        elif kind == b"iTXt" and rest[:1] == b"\1":
            packed = rest[2:].split(b"\0", 2)[-1]
        else:
            continue
        try:
            yield keyword + b" " + zlib.decompressobj().decompress(packed, _LARGEST)
        except zlib.error:
            continue


def _information(content: bytes) -> bytes:
    """The information of a PDF that was written anew by another program, which may have compressed it."""
    from pypdf import PdfReader

    try:
        return " ".join(map(str, (PdfReader(io.BytesIO(content)).metadata or {}).values())).encode()
    except Exception:  # whatever a damaged file makes of the reader, it says nothing
        return b""


def _notebook(content: bytes) -> bytes:
    """The mark of a notebook of a trial, from its metadata."""
    try:
        said = json.loads(content)["metadata"]["mitosis"]
        return str(Origin(said["trial"], said["commit"], said["param_set"])).encode()
    except (ValueError, LookupError, TypeError, RecursionError):
        return b""
