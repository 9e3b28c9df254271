"""Tells what is wrong with a `_target_` of the parameters, without the frames of what makes the objects."""

from __future__ import annotations

import re

from mitosis.kernel.contract import message


def wrong(error: BaseException) -> tuple[str, BaseException] | None:
    """What to say of an object that could not be made, and the exception it comes from; None for others."""
    if type(error).__name__ != "InstantiationException" or type(error).__module__ != "hydra.errors":
        return None
    said = message(error)
    key = re.search(r"^full_key: (.+)$", said, re.MULTILINE)
    target = re.search(r"target '([^']+)'", said)
    root: BaseException = error
    while root.__cause__ is not None:
        root = root.__cause__
    reason = said.partition(", set env var")[0].partition("\n")[0]
    if root is not error:
        reason = f"{type(root).__name__}: {message(root)}"
    where = f"params.{key[1]}" if key else "params"
    named = f" _target_={target[1]}" if target else ""
    return (
        f"{where}{named} cannot be made: {reason}\n  correct the parameter, or what its _target_ names"
    ), root
