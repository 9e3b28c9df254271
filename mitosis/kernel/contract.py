"""The contract of an experiment: how `run` is called, and what of its result is recorded."""

from __future__ import annotations

import inspect
import json
import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


class ContractError(Exception):
    """The experiment's function does not take what it is given, or returns what cannot be recorded."""

    def _render_traceback_(self) -> list[str]:
        """IPython's way to show an exception: the message alone, none of our frames."""
        return [f"{type(self).__name__}: {self}"]


@dataclass(frozen=True)
class Reading:
    """What of a result is recorded: `main` (a JSON value), the metrics, and what was left out."""

    main: Any
    metrics: dict[str, float] = field(default_factory=dict)
    left_out: list[dict[str, str]] = field(default_factory=list)  # {kind, what, where}


def by_keyword(run: Callable[..., Any], params: Mapping[str, Any]) -> bool:
    """True where the seed must be passed as `seed=`, False where it can go first.

    Raises ContractError, before anything ran, where the signature shows that the call cannot work.
    """
    if not callable(run):
        raise ContractError(f"{run!r} is not callable: `function` must name a function, method or callable")
    name = getattr(run, "__qualname__", "")
    owner = name.rpartition(".")[0]
    if inspect.isfunction(run) and owner and not owner.endswith("<locals>") and _first(run) == "self":
        raise ContractError(f"{name} needs an object of its class: make it a static or a class method.")
    try:
        signature = inspect.signature(run)
    except (TypeError, ValueError):  # some callables written in C show none
        return False
    kinds = inspect.Parameter
    positional = [
        p
        for p in signature.parameters.values()
        if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD, kinds.VAR_POSITIONAL)
    ]
    named = signature.parameters.get("seed")
    if named is not None and named.kind is not kinds.VAR_POSITIONAL:
        keyword = bool(named.kind is kinds.KEYWORD_ONLY or positional[0] is not named)
    else:
        keyword = not positional
    _check(run, signature, params, keyword)
    return keyword


def _first(run: Callable[..., Any]) -> str:
    """The name of the first argument."""
    return next(iter(inspect.signature(run).parameters), "")


def _check(
    run: Callable[..., Any], signature: inspect.Signature, params: Mapping[str, Any], keyword: bool
) -> None:
    name = getattr(run, "__qualname__", repr(run))
    try:
        if keyword:
            signature.bind(seed=0, **params)
        else:
            signature.bind(0, **params)
        return
    except TypeError as error:
        reason = str(error)
    kinds = inspect.Parameter
    takes = {
        p.name: p
        for p in signature.parameters.values()
        if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)
    }
    seed_name = "seed" if keyword else next(iter(signature.parameters), "seed")
    offered = [n for n in takes if n != seed_name]
    unknown = sorted(set(params) - set(offered))
    missing = [n for n in offered if takes[n].default is kinds.empty and n not in params]
    if not any(p.kind is kinds.VAR_KEYWORD for p in signature.parameters.values()) and unknown:
        raise ContractError(
            f"{name}{signature} does not take {_keys(unknown)}; it takes {', '.join(offered) or 'none'}. "
            "Rename or remove the parameter, or add it to the function."
        )
    if missing:
        raise ContractError(
            f"{name}{signature} needs {_keys(missing)}, which the configuration does not give. "
            "Add it to the parameter group, or give it a default in the function."
        )
    raise ContractError(f"{name}{signature} cannot be called with the seed and these parameters: {reason}.")


def _keys(names: list[str]) -> str:
    return ", ".join(f"params.{n}" for n in names)


def unwrapped(value: Any) -> Any:
    """A numpy scalar, 0-d array or 0-d tensor as the Python value it holds; anything else as it is."""
    shape = getattr(value, "shape", None)
    if shape is not None and not callable(shape) and tuple(shape) == () and hasattr(value, "item"):
        return value.item()
    return value


def number(value: Any) -> float | None:
    """`value` as a float where it is one real number (booleans are none), else None."""
    value = unwrapped(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real | _decimal()):
        return None
    try:
        return float(value)  # type: ignore[arg-type]  # a Real or a Decimal, as checked above
    except (OverflowError, ValueError):
        return None


def _decimal() -> type:
    from decimal import Decimal

    return Decimal


def read(result: Any) -> Reading:
    """What is recorded of the experiment's `result`.

    Raises ContractError where it is no mapping, has no `main`, `main` is no JSON value, or it raises.
    """
    try:
        return _read(result)
    except ContractError:
        raise
    except Exception as error:  # a mapping, a number and a text of the user's may raise anything
        raise ContractError(
            f"what the experiment returned, {_described(result)}, cannot be read: "
            f"{type(error).__name__}: {message(error)}; return a dict of plain values."
        ) from None


def kind(error: BaseException) -> str:
    """What kind of exception it is: its name, and that of its module unless that is Python's or this one."""
    module = type(error).__module__
    name = type(error).__qualname__
    return name if module in ("builtins", __name__) else f"{module}.{name}"


def message(error: BaseException) -> str:
    """The text of an exception; its `__str__` may raise anything, too."""
    try:
        return str(error)
    except Exception as failed:  # whatever the user's own class raises
        return f"<its message cannot be shown: {type(failed).__name__}>"


def _read(result: Any) -> Reading:
    if not isinstance(result, Mapping):
        raise ContractError(
            f"the experiment returned {_described(result)}; "
            "it must return a mapping (a dict) with the key 'main'."
        )
    if "main" not in result:
        keys = ", ".join(repr(k) for k in list(result)[:10]) or "none"
        raise ContractError(f"the returned mapping has no key 'main'; its keys: {keys}.")
    left_out: list[dict[str, str]] = []
    metrics: dict[str, float] = {}
    for key, value in result.items():
        as_number = number(value)
        if key not in ("main", "metrics") and isinstance(key, str) and as_number is not None:
            metrics[_name(key)] = as_number
    nested = result.get("metrics")
    if isinstance(nested, Mapping):
        for key, value in nested.items():
            as_number = number(value)
            if isinstance(key, str) and as_number is not None:
                metrics[_name(key)] = as_number
            else:
                left_out.append(_note(f"metrics.{_name(str(key))}", value))
    elif nested is not None and number(nested) is not None:
        metrics["metrics"] = number(nested) or 0.0
    elif nested is not None:
        left_out.append(_note("metrics", nested))
    return Reading(_main(result["main"]), metrics, left_out)


def _name(key: str) -> str:
    """A key as text that can be written: half of a surrogate pair is spelled out."""
    return key.encode("utf-8", "backslashreplace").decode()


def _main(value: Any) -> Any:
    value = unwrapped(value)
    whole = isinstance(value, int) and not isinstance(value, bool)
    as_number = number(value)
    if as_number is not None and not whole:
        return as_number
    try:
        text = json.dumps(int(value) if whole else value, allow_nan=False, ensure_ascii=False)
        text.encode()  # half of a surrogate pair is no text
    except (TypeError, ValueError, RecursionError) as error:
        raise ContractError(
            f"'main' is {_described(value)}, which cannot be recorded ({error}); "
            "return a number, or a JSON value (text, list, dict) that is stored but not compared."
        ) from None
    return json.loads(text)


def _described(value: Any) -> str:
    shape = getattr(value, "shape", None)
    kind = type(value).__name__
    article = "an" if kind[:1].lower() in "aeiou" else "a"
    if isinstance(shape, tuple):
        return f"{article} {kind} of shape {shape}"
    return "None" if value is None else f"{article} {kind}"


def _note(where: str, value: Any) -> dict[str, str]:
    return {
        "kind": "metric_left_out",
        "what": f"{_described(value)} is not a number and was not recorded as a metric",
        "where": where,
    }


def shown(value: Any) -> str:
    """A number as people read it: up to six significant digits; any other JSON value as its text."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value)
