"""Shows results: a table for the terminal, JSON, and the page docs/performance.md."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- profiles: written by hand, kept by `python -m tests.bench` -->", "<!-- end of profiles -->"
_PACKAGES = ("ipykernel", "nbclient", "nbconvert", "hydra-core", "SQLAlchemy", "joblib")

_HEAD = """\
# Performance

What mitosis costs, against what a researcher would otherwise use. Each ratio is measured side by side: the
two commands in turn, in one run, at least five pairs; the ratio is the median of the pairs' ratios, with the
least and the greatest beside it, and below 1 mitosis is the faster one. CPU is the same ratio of the CPU
times (user and system, of all processes together), which other work on the machine disturbs less.
Measure it on yours:

```sh
python -m tests.bench                    # everything, about an hour
python -m tests.bench --only ls gate     # some rows; the others stay as they are
```
"""


def machine() -> dict[str, Any]:
    """What the measurements ran on, and what else the machine had to do then."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "git": _said("git", "--version").removeprefix("git version "),
        "packages": {name: _version(name) for name in _PACKAGES},
        "load": round(os.getloadavg()[0], 1),
        "at": datetime.now(timezone.utc).isoformat(timespec="minutes"),
        "commit": _said("git", "-C", str(TOP), "describe", "--always", "--dirty"),
    }


def _cpu() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def machine_line(found: Mapping[str, Any]) -> str:
    """The machine in one line."""
    packages = ", ".join(f"{name} {number}" for name, number in found["packages"].items() if number)
    return (
        f"{found['cores']} cores of {found['cpu']}, {found['memory_gib']} GiB, {found['system']}, "
        f"Python {found['python']}, git {found['git']}, {packages}"
    )


def amount(value: float | None, unit: str) -> str:
    """A measured value as people say it."""
    if value is None:
        return "-"
    if unit == "B":
        return f"{value / 1e6:.1f} MB" if value >= 1e6 else f"{value / 1e3:.1f} kB"
    if value < 1:
        return f"{value * 1e3:.3g} ms"
    return f"{value:.2f} s"


def ratio(value: float | None) -> str:
    """A ratio with three significant digits, no more than three after the point."""
    if value is None:
        return "-"
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def _goal(row: Mapping[str, Any]) -> str:
    accepted = f" ({row['accepted']:.2f} with its profile)" if row["accepted"] else ""
    return f"{row['goal']:.2f}{accepted}"


def text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The results as a table for the terminal."""
    lines = [["row", "goal", "ratio", "min..max", "cpu", "ours", "theirs", "pairs", ""]]
    for row in rows:
        if "skipped" in row:
            lines.append([row["name"], "", "", "", "", "", "", "", f"skipped: {row['skipped']}"])
            continue
        span = f"{ratio(row['min'])}..{ratio(row['max'])}"
        ours, theirs = amount(row["ours"], row["unit"]), amount(row["theirs"], row["unit"])
        number, verdict = str(len(row["pairs"])), "met" if row["met"] else "NOT MET"
        lines.append(
            [
                row["name"],
                f"{row['goal']:.2f}",
                ratio(row["ratio"]),
                span,
                ratio(row["cpu_ratio"]),
                ours,
                theirs,
                number,
                verdict,
            ]
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(w) for cell, w in zip(line, widths, strict=False)), line[-1]]).rstrip()
        for line in lines
    )


def markdown(rows: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> str:
    """The results as a table for the page, with the line about the machine."""
    lines = [
        "| what | against | goal | ratio | least to greatest | CPU | mitosis | the other |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if "skipped" in row:
            lines.append(f"| {row['what']} | {row['against']} | {_goal(row)} | not measured | | | | |")
            continue
        span = f"{ratio(row['min'])} to {ratio(row['max'])}"
        ours, theirs = amount(row["ours"], row["unit"]), amount(row["theirs"], row["unit"])
        measured = f"**{ratio(row['ratio'])}**" + ("" if row["met"] else " (not reached)")
        cells = (
            row["what"],
            row["against"],
            _goal(row),
            measured,
            span,
            ratio(row["cpu_ratio"]),
            ours,
            theirs,
        )
        lines.append("| " + " | ".join(cells) + " |")
    missing = [f"{row['name']}: {row['skipped'].splitlines()[0]}" for row in rows if "skipped" in row]
    if missing:
        lines += ["", *(f"Not measured, {line}." for line in missing)]
    when = sorted({row["at"][:10] for row in rows if "at" in row})
    dates = " to ".join(dict.fromkeys((when[0], when[-1]))) if when else found["at"][:10]
    return "\n".join([*lines, "", f"Measured {dates} on {machine_line(found)}.", ""])


def render(page: str, rows: Sequence[Mapping[str, Any]], found: Mapping[str, Any]) -> str:
    """The whole page anew; the profiles of `page`, its former text, stay letter for letter."""
    start, end = page.find(BEGIN), page.find(END)
    profiles = page[start + len(BEGIN) : end] if 0 <= start < end else "\n\n"
    return f"{_HEAD}\n{markdown(rows, found)}\n{BEGIN}{profiles}{END}\n"


def merged(
    old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]], order: Sequence[str]
) -> list[Any]:
    """The rows of both, the new ones in the place of the old, in the order of the table."""
    known = {row["name"]: row for row in [*old, *new]}
    return [known[name] for name in order if name in known]


def load(path: Path) -> list[dict[str, Any]]:
    """The rows of an earlier run; none where there was none."""
    try:
        return list(json.loads(path.read_text(encoding="utf-8"))["rows"])
    except (OSError, ValueError, KeyError):
        return []
