"""Says in two lines what Hydra refuses, or cannot read, where its own report takes ten and more."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

import yaml

from mitosis.app import inner
from mitosis.app.config import Experiment
from mitosis.errors import ConfigurationRefused
from mitosis.settings import Settings

_MORE = "Hydra's whole account of it: HYDRA_FULL_ERROR=1"


@contextlib.contextmanager
def short(conf: Path | None, own: Callable[[Path], Path]) -> Iterator[None]:
    """Let what Hydra refuses arrive as ConfigurationRefused; all else is reported as Hydra does it.

    So do files that are no YAML: `conf` holds them, and `own` gives the one that a user would edit, where a
    sweep reads those of a checkout.

    HYDRA_FULL_ERROR, with which the user asks for Hydra's own words, keeps them.
    """
    from hydra.errors import CompactHydraException

    def report(plain: Callable[[Any], Any], body: Callable[[], Any]) -> Any:
        refused: list[Exception] = []

        def watched() -> Any:
            try:
                return body()
            except (CompactHydraException, yaml.YAMLError, UnicodeDecodeError) as error:
                refused.append(error)

        result = plain(watched)
        if refused:
            raise _refusal(refused[0], conf, own) from refused[0]
        return result

    with contextlib.nullcontext() if os.environ.get("HYDRA_FULL_ERROR") else inner.reported_by(report):
        yield


def check_flags(words: Sequence[str]) -> None:
    """Refuse the flags that Hydra's parser does not know, without the usage of all that it does know.

    Raises ConfigurationRefused.
    """

    def error(message: str) -> NoReturn:
        raise ConfigurationRefused(message, "see `mitosis --help`")

    parser = inner.parser()
    parser.error = error  # type: ignore[method-assign]  # argparse's own way to be told otherwise
    parser.parse_args(list(words))


def check_choices(words: Sequence[str], conf: Path) -> None:
    """Refuse what Hydra's grammar makes of a word of the command line, where Hydra says it unintelligibly.

    Names of options that read as a number, a truth value or null end in a fault of Hydra; letters beyond
    ASCII in a fault of its lexer. Raises ConfigurationRefused.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    for word in inner.parser().parse_args(list(words)).overrides:
        try:
            override = parser.parse_overrides([word])[0]
        except HydraException:
            if word.isascii():
                continue  # Hydra says what is wrong with it
            key, _, value = word.partition("=")
            quoted = ",".join(f"'{each}'" for each in value.split(","))
            todo = f'quote it: "{key}={quoted}"' if key.isascii() else "give that name in a YAML file"
            raise ConfigurationRefused(
                f"Hydra reads letters beyond ASCII in quotes alone: {word}", todo
            ) from None
        if override.is_delete() or not (conf / override.key_or_group).is_dir():
            continue
        for option in _options(override.value()):
            if option is None or isinstance(option, bool | int | float):
                what = f"{word} names no option: Hydra reads it as a number, a truth value or null"
                todo = f"quote the name of the option: \"{override.key_or_group}='...'\""
                raise ConfigurationRefused(what, todo)


def _options(value: Any) -> list[Any]:
    """The names that the value of a group's override gives."""
    from hydra.core.override_parser.types import ChoiceSweep, RangeSweep

    if isinstance(value, ChoiceSweep | list):
        return [
            option for each in (value if isinstance(value, list) else value.list) for option in _options(each)
        ]
    return [value.start] if isinstance(value, RangeSweep) else [value]


def _refusal(error: Exception, conf: Path | None, own: Callable[[Path], Path]) -> ConfigurationRefused:
    """What happened and what to do, from the lines of Hydra's message and those of its cause."""
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, yaml.YAMLError | UnicodeDecodeError):
        return _broken(error, conf, own)
    what, todo = _parts(str(error))
    if isinstance(error.__cause__, OmegaConfBaseException):
        what = f"{what.rstrip('.')}: {_parts(str(error.__cause__))[0]}"
    written = re.search(r"full_key: experiment\.(\w+)", f"{what} {todo}")
    if written is not None and conf is not None:
        return _of_experiment(written[1], f"{what} {todo}", what)
    if what.startswith("Ambiguous value for argument"):
        todo = "run a sweep over it: mitosis -m ...; a list is written in brackets, KEY=[1,2]"
    return ConfigurationRefused(what, _known(what) or todo or _way(what, conf) or _MORE)


def _of_experiment(key: str, whole: str, what: str) -> ConfigurationRefused:
    """What is wrong with a key of `experiment`: it is misspelt, or no list."""
    file = re.search(r"In '([^']+)'", what)
    where = f"conf/{file[1]}.yaml" if file is not None else "the configuration"
    if "is not a ListConfig" in whole:
        return ConfigurationRefused(f"{where}: {key} is a list", f"write it as one: {key}: [...]")
    names = [field.name for field in fields(Experiment)]
    if key in names:
        return ConfigurationRefused(f"{where}: {whole.partition(', full_key')[0]}", _MORE)
    near = difflib.get_close_matches(key, names, n=1)
    todo = f"did you mean {near[0]}?" if near else f"an experiment has: {', '.join(names)}"
    return ConfigurationRefused(f"{where}: an experiment has no key {key!r}", todo)


def _broken(
    error: yaml.YAMLError | UnicodeDecodeError, conf: Path | None, own: Callable[[Path], Path]
) -> ConfigurationRefused:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark
        where = f"{own(Path(mark.name))}, line {mark.line + 1}" if mark is not None else "a file"
        what = f"{where} is no YAML: {error.problem or error}"
        return ConfigurationRefused(what, "mend that line")
    files = sorted(conf.rglob("*.yaml")) if conf is not None else []
    odd = next((str(f) for f in files if not _is_text(f)), f"a file of {conf}")
    return ConfigurationRefused(f"{odd} is no text in UTF-8", "save it as UTF-8")


def _is_text(file: Path) -> bool:
    try:
        yaml.reader.Reader(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.reader.ReaderError):
        return False
    return True


def _known(what: str) -> str:
    """For a misspelt key of ours, the nearest there is; to append it, as Hydra advises, leads nowhere."""
    odd = re.match(r"Could not override 'mitosis\.(\w+)'", what)
    if odd is None:
        return ""
    names = [field.name for field in fields(Settings)]
    near = difflib.get_close_matches(odd[1], names, n=1)
    return f"did you mean mitosis.{near[0]}?" if near else f"it knows: {', '.join(names)}"


def _way(what: str, conf: Path | None) -> str:
    """What to do where Hydra itself names no way: a file that is missing, a sweep without -m."""
    if "requires --multirun" in what:
        return "run a sweep: mitosis -m ..."
    missing = re.search(r"Could not (?:load|find) '([^']+)'", what)
    if missing is None or conf is None or missing[1].startswith("hydra/"):
        return ""
    return f"make {conf / missing[1]}.yaml, or take it out of the defaults list or the command line"


def _parts(message: str) -> tuple[str, str]:
    """The first line, and the others as one: lists by commas, without marks and the search path."""
    lines = message.partition("Config search path:")[0].splitlines()
    first, *rest = [line for line in lines if line.strip(" ^")] or [""]
    joined = ""
    for line in rest:
        joined += f"{', ' if line[:1].isspace() and joined[-1:] not in ('', ':') else ' '}{line.strip()}"
    return first.strip(), joined.strip()
