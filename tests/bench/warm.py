"""A process that has imported nbclient and executes a notebook for each line it reads; run by sweep.py."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def _cpu() -> float:
    both = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def main(path: Path) -> None:
    """Each line is a number of executions; the answer is a line of JSON, `{seconds, cpu}` for one of them."""
    for line in sys.stdin:
        times = int(line)
        start, cpu = time.perf_counter(), _cpu()
        for _ in range(times):
            notebook = nbformat.read(path, as_version=4)
            NotebookClient(notebook, resources={"metadata": {"path": str(path.parent)}}).execute()
        cost = {"seconds": (time.perf_counter() - start) / times, "cpu": (_cpu() - cpu) / times}
        print(json.dumps(cost), flush=True)


if __name__ == "__main__":
    asyncio.set_event_loop(asyncio.new_event_loop())  # nbclient looks for one, and Python makes none any more
    main(Path(sys.argv[1]))
