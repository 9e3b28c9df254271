"""Streams: what a terminal would show, at bounded length."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mitosis.notebook import streams


def test_a_progress_bar_stays_one_line() -> None:
    """Each carriage return overwrites its line, across messages as well."""
    text = ""
    for part in ("start\n", "\r 0%", "\r 50%", "\r100%", "\n", "end\n"):
        text = streams.joined(text, part, "output.log")
    assert text.replace("\r", "") == "start\n100%\nend\n"


def test_a_carriage_return_at_the_end_waits_for_what_comes() -> None:
    """A bar that ends each state with a return shows its last state."""
    text = ""
    for part in ("10%\r", "20%\r", "30%\r"):
        text = streams.joined(text, part, "output.log")
    assert text.replace("\r", "") == "30%"


def test_windows_line_ends_overwrite_nothing() -> None:
    """A return before a line end is a line end."""
    assert streams.joined("", "a\r\nb\r\n", "output.log") == "a\r\nb\r\n"


def test_a_backspace_erases() -> None:
    """Spinners that use backspaces leave one character."""
    assert streams.joined("|", "\b/\b-", "output.log") == "-"


@given(st.lists(st.text(alphabet="ab\n", max_size=20), max_size=30))
def test_plain_text_is_kept_whole(parts: list[str]) -> None:
    """Without control characters nothing is changed, however it is cut into messages."""
    text = ""
    for part in parts:
        text = streams.joined(text, part, "output.log")
    assert text == "".join(parts)


def test_a_flood_keeps_its_start_and_its_end() -> None:
    """Fifty megabytes become a bounded text that says where all of it is."""
    text = ""
    for number in range(5000):
        text = streams.joined(text, f"{number:07d}" + "x" * 10_000 + "\n", "output.log")
    assert len(text) <= 3 * streams.LONGEST
    assert text.startswith("0000000x") and text.endswith("x\n")
    assert "0004999" in text and "output.log" in text
