"""Says in two lines what Hydra refuses, where its own report takes ten."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from mitosis.errors import ConfigurationRefused

_MORE = "Hydra's whole account of it: HYDRA_FULL_ERROR=1"


@contextlib.contextmanager
def short() -> Iterator[None]:
    """Let what Hydra refuses arrive as ConfigurationRefused; all else is reported as Hydra does it.

    The report is private to Hydra. A version that has none of that name keeps its own words; so does
    HYDRA_FULL_ERROR, with which the user asks for them.
    """
    from hydra._internal import utils
    from hydra.errors import CompactHydraException

    plain: Callable[[Any], Any] | None = getattr(utils, "run_and_report", None)
    if plain is None or os.environ.get("HYDRA_FULL_ERROR"):
        yield
        return

    def report(body: Callable[[], Any]) -> Any:
        refused: list[CompactHydraException] = []

        def watched() -> Any:
            try:
                return body()
            except CompactHydraException as error:
                refused.append(error)

        result = plain(watched)
        if refused:
            raise _refusal(refused[0]) from refused[0]
        return result

    utils.run_and_report = report  # type: ignore[assignment]
    try:
        yield
    finally:
        utils.run_and_report = plain  # type: ignore[assignment]


def check_flags(words: Sequence[str]) -> None:
    """Refuse the flags that Hydra's parser does not know, without the usage of all that it does know.

    Raises ConfigurationRefused.
    """
    from hydra._internal.utils import get_args_parser

    def error(message: str) -> NoReturn:
        raise ConfigurationRefused(message, "see `mitosis --help`")

    parser = get_args_parser()
    parser.error = error  # type: ignore[method-assign]
    parser.parse_args(list(words))


def _refusal(error: Exception) -> ConfigurationRefused:
    """What happened and what to do, from the lines of Hydra's message and those of its cause."""
    from omegaconf.errors import OmegaConfBaseException

    what, todo = _parts(str(error))
    if isinstance(error.__cause__, OmegaConfBaseException):
        what = f"{what.rstrip('.')}: {_parts(str(error.__cause__))[0]}"
    return ConfigurationRefused(what, todo or _MORE)


def _parts(message: str) -> tuple[str, str]:
    """The first line, and the others as one: lists by commas, without marks and the search path."""
    lines = message.partition("Config search path:")[0].splitlines()
    first, *rest = [line for line in lines if line.strip(" ^")] or [""]
    joined = ""
    for line in rest:
        joined += f"{', ' if line[:1].isspace() and joined[-1:] not in ('', ':') else ' '}{line.strip()}"
    return first.strip(), joined.strip()
