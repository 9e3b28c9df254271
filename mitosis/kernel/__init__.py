"""The only code of mitosis inside the user's process: what the cells of a trial's notebook call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["report", "seed"]


def seed(value: int) -> None:
    """Seed the global generators of `random`, `numpy.random`, `torch` and `tensorflow` with `value`.

    Nothing is imported that is not yet loaded: what is imported later is seeded right after its import.
    """
    import os
    import sys

    from mitosis.kernel import chance

    chance.seed(value)
    if os.environ.get("PYTHONHASHSEED") in (None, "", "random"):  # a notebook that is run by hand
        sys.stderr.write(
            "this kernel hashes strings at random, a trial's does not: where the order of a set matters, "
            "start Jupyter with PYTHONHASHSEED=0\n"
        )


def report(result: Mapping[str, Any]) -> None:
    """Show the metrics of an experiment's `result`; inside a trial, record them.

    Raises ContractError where `result` is no mapping or has no usable key `main`.
    """
    from mitosis.kernel import guard

    guard.report(result)
