"""Completion for bash: commands, options, trials, sweeps and names; what is no command is asked of Hydra."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

import click

from mitosis.errors import MitosisError, SelectionRefused
from mitosis.where import KINDS

SCRIPT = """\
_mitosis_complete() {
    local IFS=$'\\n'
    COMPREPLY=($(COMP_LINE="$COMP_LINE" COMP_POINT="$COMP_POINT" MITOSIS_BREAKS="$COMP_WORDBREAKS" \\
        "${COMP_WORDS[0]}" --completion query 2>/dev/null))
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} != *[=.,] ]] || compopt -o nospace 2>/dev/null
}
complete -o default -F _mitosis_complete mitosis
"""
"""What `mitosis --completion bash` prints: `eval "$(mitosis --completion bash)"` in ~/.bashrc."""

_TRIALS = 200  # the newest, whose ids are offered
_KEYS = ("sort", "columns", "by", "x", "y")
_NAMES = {
    "trial": "trial", "trials": "trial", "words": "trial", "a": "trial", "b": "trial", "good": "trial",
    "bad": "trial", "metric": "metric", "metrics": "metric", "what": "metric", "experiment": "experiment",
    "variant": "variant", "sweep": "sweep", "tags": "tags", "name": "name",
}  # fmt: skip
"""What of the store a parameter of that name takes."""
_SEVERAL = ("diff", "report")  # commands that take variants and sweeps wherever they take trials


def run(words: Sequence[str], ask_hydra: Callable[[], object]) -> int:
    """`--completion bash` prints the script, `--completion query` the candidates for COMP_LINE."""
    if list(words) == ["bash"]:
        print(SCRIPT, end="")
        return 0
    if list(words) != ["query"]:
        todo = 'put this into ~/.bashrc: eval "$(mitosis --completion bash)"'
        raise SelectionRefused("completion is there for bash alone", todo)
    line = os.environ.get("COMP_LINE", "")
    with contextlib.suppress(ValueError):
        line = line.encode()[: int(os.environ.get("COMP_POINT", ""))].decode("utf-8", "ignore")
    *before, current = line.split(" ")
    before = [word for word in before if word]
    found = sorted({c for c in candidates(before[1:], current, ask_hydra) if c.startswith(current)})
    cut = _broken(current, os.environ.get("MITOSIS_BREAKS", ""))
    print("\n".join(word[cut:] for word in found))
    return 0


def candidates(before: Sequence[str], current: str, ask_hydra: Callable[[], object]) -> Iterator[str]:
    """What could stand for `current` after the words `before`, the program's name left out."""
    from mitosis.cli.main import COMMANDS

    if not before:
        matching = [name for name in COMMANDS if name.startswith(current)]
        yield from matching
        if current.startswith("-"):
            yield from ("--help", "--version", "--multirun")
        if matching and "=" not in current:
            return
    if not before or before[0] not in COMMANDS:
        yield from _hydra(ask_hydra)
        return
    import importlib

    command: click.Command = importlib.import_module(f"mitosis.cli.{before[0]}").command
    options = {name: p for p in command.params if isinstance(p, click.Option) for name in p.opts}
    wanted = options.get(before[-1])
    if wanted is not None and not wanted.is_flag:
        yield from _values(before[0], wanted, current)
    elif current.startswith("-"):
        yield from (*options, "--help")
    else:
        for parameter in command.params:
            if isinstance(parameter, click.Argument):
                yield from _values(before[0], parameter, current)


def _values(command: str, parameter: click.Parameter, current: str) -> Iterator[str]:
    """Values of an option or an argument, by its type or its name."""
    name = parameter.name or ""
    if isinstance(parameter.type, click.Choice):
        yield from map(str, parameter.type.choices)
    elif name in _KEYS:
        begun = current[: current.rfind(",") + 1]
        yield from (f"{begun}{key}" for key in KINDS if key not in ("params", "metrics"))
        yield from (begun + key for key in _of_store("keys"))
        if command in ("compare", "plot"):
            yield from (begun + group for group in _of_store("groups"))
    kind = _NAMES.get(name)
    if kind is not None:
        yield from _of_store(kind)
    if kind == "trial" and command in _SEVERAL:
        yield from (*_of_store("variant"), *_of_store("sweep"))


def _of_store(kind: str) -> Iterable[str]:
    """Names that the latest trials have; none where there is no store, or it cannot be read."""
    from mitosis import finding, frame, groups
    from mitosis.store import Query

    try:
        store = finding.existing(None)
        if store is None:
            return []
        with store:
            if kind == "name":
                return [use.variant.name for use in store.variant_history(finding.project())]
            latest = store.find(Query(project=finding.project(), limit=_TRIALS))
            if kind == "keys":
                return [name for name in frame.whole(latest).columns if "." in name]
            if kind == "groups":
                return [group for trial in latest for group in groups.choices(trial.variant)]
            if kind == "metric":
                return ["main", *(name for trial in latest for name in trial.metrics)]
            if kind == "trial":
                return store.brief("id", [trial.id for trial in latest]).values()
            if kind == "sweep":
                return store.brief("sweep", {t.sweep for t in latest if t.sweep is not None}).values()
            if kind == "tags":
                return [tag for trial in latest for tag in trial.tags]
            return [str(getattr(trial, kind)) for trial in latest]
    except MitosisError:
        return []


def _hydra(ask: Callable[[], object]) -> list[str]:
    """The candidates of Hydra's own completion, which reads COMP_LINE and prints them."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(MitosisError):
        ask()
    return said.getvalue().split()


def _broken(current: str, breaks: str) -> int:
    """How much of the word bash keeps by itself: where `=` breaks words, `params=fa` is three of them."""
    return max((current.rfind(c) + 1 for c in breaks if c in "=:@"), default=0)
