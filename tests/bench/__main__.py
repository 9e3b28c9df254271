"""`python -m tests.bench`: measures the rows, prints the table, writes the JSON and renders the page."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.bench import (
    environment,
    faults,
    gate,
    guard,
    inputs,
    launchers,
    memory,
    page,
    parallel,
    process,
    store,
    sweep,
)
from tests.bench.measure import Row, Skip, measure
from tests.bench.place import Place

RESULTS = Path(__file__).with_name("results.json")
PAGE = page.TOP / "docs" / "performance.md"
ROWS: tuple[Row, ...] = (
    *process.ROWS[:1],
    *sweep.ROWS,
    *parallel.ROWS,
    *launchers.ROWS,
    *process.ROWS[1:],
    *store.ROWS,
    *gate.ROWS,
    *environment.ROWS,
    *inputs.ROWS[:2],
    *guard.ROWS,
    *inputs.ROWS[2:],
    *memory.ROWS,
)
NAMES = tuple(row.name for row in ROWS)


def options(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=NAMES, metavar="NAME", help=f"some rows: {', '.join(NAMES)}"
    )
    parser.add_argument(
        "--pairs", type=int, metavar="N", help="so many pairs a row (default: 5 to 25, by row)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes and one pair: tries the harness itself"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help=f"where the results go (default: {RESULTS})"
    )
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help=f"the page (default: {PAGE}; --quick: none)"
    )
    parser.add_argument("--place", type=Path, metavar="DIR", help="work in DIR and keep what was made there")
    return parser.parse_args(words)


@contextlib.contextmanager
def workplace(given: Path | None, quick: bool) -> Iterator[Place]:
    """The directory to work in: `given`, which is kept, or a temporary one."""
    path = given.absolute() if given else Path(tempfile.mkdtemp(prefix="mitosis-bench-"))
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield Place(path, quick)
    finally:
        if given is None:
            shutil.rmtree(path, ignore_errors=True)


def main(words: Sequence[str] | None = None) -> int:
    """Measure what `words` ask for; 0 unless a row could not be measured. `faults` kills instead."""
    words = sys.argv[1:] if words is None else list(words)
    if words[:1] == ["faults"]:
        return faults.main(words[1:])
    given = options(words)
    chosen = [row for row in ROWS if given.only is None or row.name in given.only]
    results = given.json or (None if given.quick else RESULTS)
    rendered = given.page or (None if given.quick else PAGE)
    found = page.machine()
    print(page.machine_line(found), file=sys.stderr)
    rows: list[dict[str, Any]] = []
    with workplace(given.place, given.quick) as place:
        environ = place.environ()
        os.environ.clear()
        os.environ.update(environ)
        for row in chosen:
            print(f"{row.name}: {row.what} against {row.against} ...", file=sys.stderr, flush=True)
            rows.append(_measured(row, place, given.pairs or (1 if given.quick else None)))
            print(page.text(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    every = rows if given.quick or results is None else page.merged(page.load(results), rows, NAMES)
    print(page.text(every))
    if results is not None:
        results.write_text(
            json.dumps({"machine": found, "quick": given.quick, "rows": every}, indent=1) + "\n"
        )
    if rendered is not None:
        before = rendered.read_text(encoding="utf-8") if rendered.exists() else ""
        rendered.write_text(page.render(before, every, found), encoding="utf-8")
    return 1 if any("skipped" in row for row in rows) else 0


def _measured(row: Row, place: Place, pairs: int | None) -> dict[str, Any]:
    load = os.getloadavg()[0]
    try:
        result = measure(row, place, pairs)
    except Skip as reason:
        keys = ("name", "what", "against", "goal", "accepted", "unit")
        return {**{key: getattr(row, key) for key in keys}, "skipped": str(reason)}
    about = page.machine()
    return {**result.document(), "at": about["at"], "commit": about["commit"], "load": [load, about["load"]]}


if __name__ == "__main__":
    sys.exit(main())
