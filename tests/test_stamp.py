"""The mark in a picture: it says which trial the picture is of, survives a new name, and harms nothing."""

from __future__ import annotations

import gzip
import io
import re
import struct
import zlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pypdf import PdfReader, PdfWriter

from mitosis import stamp
from mitosis.cli import figures, whence
from mitosis.errors import Refused
from mitosis.store import Store
from tests import store_values

MARK = stamp.Origin("0123456789ab", "c" * 40, "d" * 64)
OTHER = stamp.Origin("ba9876543210", "e" * 64, "f" * 64)
SVG = b"""<?xml version="1.0"?>
<!-- <svg> --><!DOCTYPE svg>
<svg xmlns="http://www.w3.org/2000/svg" a=">">%s</svg>"""
HEADS = [
    b"",
    b"%PDF-1.4\n",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8",
    b"<svg ",
    b"<!doctype html><",
    b"{",
    b"\x1f\x8b",
]


def picture(kind: str, **options: Any) -> bytes:
    mpl.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([1, 4, 9])
    made = io.BytesIO()
    figure.savefig(made, format=kind, **options)
    return made.getvalue()


@pytest.mark.parametrize("kind", ["png", "svg", "pdf", "jpeg"])
def test_a_stamped_picture_says_which_trials_it_is_of(kind: str) -> None:
    """Every format carries the marks, once, however often it is stamped."""
    content = picture(kind)
    once = stamp.stamped(content, [MARK, OTHER])
    assert stamp.origins(content) == () and stamp.origins(once) == (MARK, OTHER)
    assert stamp.stamped(once, [MARK]) == once


def test_other_programs_read_the_mark_as_keywords() -> None:
    """Pillow finds it in a PNG, an XML parser in the metadata of an SVG, pypdf in a PDF."""
    png = Image.open(io.BytesIO(stamp.stamped(picture("png"), [MARK])))
    png.load()
    assert png.text["Keywords"] == str(MARK)
    root = ElementTree.fromstring(stamp.stamped(picture("svg"), [MARK]))
    assert str(MARK) in [e.text for e in root.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li")]
    pdf = stamp.stamped(picture("pdf", metadata={"Title": "Mine", "Keywords": "theirs"}), [MARK])
    read = PdfReader(io.BytesIO(pdf), strict=True).metadata
    assert read is not None
    assert (read["/Keywords"], read["/Title"]) == (f"theirs, {MARK}", "Mine")


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_the_picture_itself_is_the_same(kind: str) -> None:
    """Every pixel is what it was."""
    content = picture(kind)
    before, after = (Image.open(io.BytesIO(c)) for c in (content, stamp.stamped(content, [MARK])))
    assert before.tobytes() == after.tobytes() and before.size == after.size


@pytest.mark.parametrize(
    "content",
    [
        SVG % b"<g/>",
        b"<svg/>",
        b"<svg  />",
        b'<s:svg xmlns:s="http://www.w3.org/2000/svg"></s:svg>',
        "<svg><text>ä</text></svg>".encode(),
    ],
)
def test_svg_of_every_spelling_is_stamped(content: bytes) -> None:
    """Comments, prefixes, empty elements and signs in attributes do not lead astray."""
    stamped = stamp.stamped(content, [MARK])
    assert stamp.origins(stamped) == (MARK,)
    root = ElementTree.fromstring(stamped)
    assert root.tag.endswith("svg") and root[0].tag.rpartition("}")[2] == "metadata"


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(HEADS), st.binary(max_size=300))
def test_what_is_damaged_stays_as_it_is_or_keeps_all_its_bytes(head: bytes, rest: bytes) -> None:
    """No input makes stamping or reading fail, and no byte of it is lost."""
    stamped = stamp.stamped(head + rest, [MARK])
    assert len(stamped) >= len(head + rest) - 1
    assert stamp.origins(stamped) in ((), (MARK,))


def test_a_mark_is_found_where_other_programs_put_it() -> None:
    """In a compressed text of a PNG, in UTF-16, in a zipped SVG, in a PDF that was written anew."""
    png = picture("png")
    for kind, data in (
        (b"zTXt", b"Keywords\0\0" + zlib.compress(str(MARK).encode())),
        (b"iTXt", b"Keywords\0\1\0en\0\0" + zlib.compress(str(MARK).encode())),
    ):
        chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        assert stamp.origins(png[:33] + chunk + png[33:]) == (MARK,)
    assert stamp.origins(str(MARK).encode("utf-16-be")) == (MARK,)
    assert stamp.origins(gzip.compress(stamp.stamped(picture("svg"), [MARK]))) == (MARK,)
    anew = PdfWriter(clone_from=io.BytesIO(stamp.stamped(picture("pdf"), [MARK])))
    anew.compress_identical_objects()
    made = io.BytesIO()
    anew.write(made)
    assert stamp.origins(made.getvalue()) == (MARK,)


# --- the commands ---------------------------------------------------------------------------------


def test_whence_answers_from_the_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of any repository, without a store, under another name; a file without a mark is refused."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MITOSIS_STORE", raising=False)
    (tmp_path / "figure 3 (final).bin").write_bytes(stamp.stamped(picture("png"), [MARK]))
    said = CliRunner().invoke(whence.command, ["figure 3 (final).bin"], catch_exceptions=False)
    assert MARK.trial in said.stdout and MARK.commit in said.stdout and MARK.param_set in said.stdout
    (tmp_path / "other.png").write_bytes(picture("png"))
    for name in ("other.png", "nothing.png"):
        with pytest.raises(Refused):
            CliRunner().invoke(whence.command, [name], catch_exceptions=False, standalone_mode=False)


def _store(tmp_path: Path) -> str:
    """A store with the trials 1 and 2, each with a figure in two formats."""
    url = f"sqlite:///{tmp_path}/mitosis.db"
    with Store.open(url) as store:
        for number in (1, 2):
            folder = tmp_path / f"{number:012x}"
            spec = store_values.trial_spec(number, folder=str(folder), seed=3)
            (folder / "figures").mkdir(parents=True)
            for name in ("Curve.png", "Curve.svg"):
                (folder / "figures" / name).write_bytes(picture(name[-3:]))
            store.start(spec, store_values.ENVIRONMENT)
            store.finish(spec.id, store_values.trial_outcome(figures=("Curve.png", "Curve.svg")))
    return url


def _copy(url: str, *arguments: str) -> str:
    words = ["--store", url, *arguments]
    done = CliRunner().invoke(figures.command, words, catch_exceptions=False, standalone_mode=False)
    return done.stdout


def test_figures_are_copied_under_names_that_stay(tmp_path: Path) -> None:
    """A copy carries the mark, is replaced by that of a newer trial, and nobody else's file is."""
    url, out = _store(tmp_path), tmp_path / "paper"
    said = _copy(url, "000000000001", "-o", str(out))
    assert sorted(p.name for p in out.iterdir()) == [
        "lorenz-fast-seed3-Curve.png",
        "lorenz-fast-seed3-Curve.svg",
    ]
    assert str(out / "lorenz-fast-seed3-Curve.png") in said
    _copy(url, "000000000002", "-o", str(out), "--format", "svg")
    ids = {p.suffix: stamp.origins(p.read_bytes())[0].trial for p in out.iterdir()}
    assert ids == {".png": "000000000001", ".svg": "000000000002"}
    (out / "lorenz-fast-seed3-Curve.png").write_bytes(b"mine")
    with pytest.raises(Refused, match="is not from mitosis"):
        _copy(url, "000000000001", "-o", str(out))
    assert (out / "lorenz-fast-seed3-Curve.png").read_bytes() == b"mine"
    with pytest.raises(Refused, match=re.escape("both be copied")):
        _copy(url, "000000000001", "000000000002", "-o", str(tmp_path / "both"))


def test_a_format_that_was_not_kept_is_refused(tmp_path: Path) -> None:
    """The message names the formats there are, and how to have another."""
    with pytest.raises(Refused, match=r"no pdf figure, but png, svg\n.*figure_formats=\[png, svg, pdf\]"):
        _copy(_store(tmp_path), "000000000001", "--format", "pdf")


def test_whence_shows_the_trial_that_the_store_knows(tmp_path: Path) -> None:
    """With its store, the line of the trial comes with the answer, in text and in JSON."""
    url = _store(tmp_path)
    _copy(url, "000000000002", "-o", str(tmp_path / "out"))
    file = str(tmp_path / "out" / "lorenz-fast-seed3-Curve.svg")
    said = CliRunner().invoke(whence.command, [file, "--store", url], catch_exceptions=False).stdout
    assert "000000000002  lorenz  fast  seed=3  succeeded  main=0.125" in said
