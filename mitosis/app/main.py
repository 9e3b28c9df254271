"""Takes the command line, hands it to Hydra, and turns the end of it into an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from mitosis import gate, jobs, signals
from mitosis.app import config as configuration
from mitosis.app import state
from mitosis.display import Display
from mitosis.errors import ConfigurationRefused
from mitosis.trial import Status

INTERRUPTED = 130


def _split(argv: Sequence[str]) -> tuple[str, str | None, list[str]]:
    """Config name, config directory, and the arguments that are Hydra's; -cd is made absolute."""
    taken = {"-cn": "name", "--config-name": "name", "-cp": "path", "--config-path": "path"}
    taken |= {"-cd": "dir", "--config-dir": "dir"}
    found: dict[str, str] = {}
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        flag, equals, value = word.partition("=")
        if flag not in taken:
            rest.append(word)
            continue
        if not equals:
            value = next(words, "")
        if not value:
            raise ConfigurationRefused(f"{flag} needs a value", "see `mitosis --help`")
        found[taken[flag]] = value
    if "dir" in found:
        rest += ["--config-dir", os.path.abspath(found["dir"])]  # noqa: PTH100 - no symlinks resolved
    return found.get("name", "config").removesuffix(".yaml"), found.get("path"), rest


def _conf(repository: Path, given: str | None) -> Path:
    conf = Path(given).absolute() if given is not None else repository / "conf"
    if not conf.is_dir():
        raise ConfigurationRefused(
            f"there is no configuration directory {conf}",
            "`mitosis init .` makes one with an example; or name yours: -cp DIR",
        )
    return conf


def run(argv: Sequence[str], display: Display) -> int:
    """Run Hydra with `argv`; returns the exit code of design.md.

    Raises Refused where nothing ran, InternalError for a fault of ours.
    """
    name, directory, rest = _split(argv)
    if "--hydra-help" in rest:
        return _hydra(rest, None)  # Hydra's own help asks for no configuration, and for no repository
    repository = gate.repository(Path.cwd())
    conf = _conf(repository, directory)
    if not (conf / f"{name}.yaml").is_file():
        raise ConfigurationRefused(
            f"there is no configuration {name}.yaml in {conf}",
            "`mitosis init .` makes one; or name yours: -cn NAME",
        )
    command = (
        *(("-cn", name) if name != "config" else ()),
        *(("-cp", str(conf)) if directory else ()),
        *rest,
    )
    invocation = state.Invocation(repository, display, command)
    state.begin(invocation)
    configuration.register(name, gate.default_root(repository))
    os.chdir(repository)
    with signals.as_interrupts():
        code = _hydra(rest, conf)
    if signals.heard():
        code = INTERRUPTED
    if invocation.error is not None:
        raise invocation.error
    if invocation.verdict is None:
        return code  # --cfg, --info, or Hydra's own refusal
    return _exit_code(invocation, code)


def _hydra(rest: list[str], conf: Path | None) -> int:
    """Hydra's own exit code, with its parser's 2 (wrong usage) as ours, 1."""
    import hydra

    from mitosis.app import inner, refusals
    from mitosis.app.task import task

    refusals.check_flags(rest)
    if conf is not None:
        refusals.check_choices(rest, conf)
    sys.argv = ["mitosis", *rest]
    path, name = (str(conf), configuration.PRIMARY) if conf is not None else (None, None)
    decorated = hydra.main(version_base="1.3", config_path=path, config_name=name)(task)
    try:
        with refusals.short(conf, _own_file), inner.reading_once():
            decorated()
    except KeyboardInterrupt:
        return INTERRUPTED
    except ConfigurationRefused as error:  # some trials of a sweep may have run before
        sys.stderr.write(f"mitosis: {error}\n")
        return 1
    except inner.BROKEN as error:  # with HYDRA_FULL_ERROR=1 Hydra does not print it itself
        traceback.print_exception(error)
        return 1
    except SystemExit as ended:
        if isinstance(ended.code, str):
            sys.stderr.write(f"{ended.code}\n")
            return 1
        return 1 if ended.code == 2 else int(ended.code or 0)
    return 0


def _own_file(path: Path) -> Path:
    """The file that a user would edit, where `path` is that of a checkout."""
    driver = state.invocation()
    return driver.own_file(path) if driver is not None else path


def _exit_code(invocation: state.Invocation, code: int) -> int:
    """0 when every trial succeeded, 2 when one did not, 130 when interrupted; 1 when none was begun."""
    verdict = invocation.verdict
    assert verdict is not None
    statuses = (
        [t.status for t in invocation.trials] if verdict.sweep is None else jobs.sweep_statuses(verdict)
    )
    if verdict.sweep is not None:
        if code == 1 and not statuses and jobs.forget_sweep(verdict):
            return 1  # Hydra has said why it could not compose one of the jobs: no sweep was begun
        invocation.display.sweep_finished(verdict)
    if code == INTERRUPTED or Status.INTERRUPTED in statuses:
        return INTERRUPTED
    if any(s is not Status.SUCCEEDED for s in statuses) or (invocation.faults and statuses):
        return 2
    if invocation.faults:
        return 1  # no worker could begin anything
    if verdict.sweep is None and not invocation.trials:
        return code or 1
    return code
