"""`mitosis rerun`: a trial's parameters and seed again, with today's code."""

from __future__ import annotations

import os

import click

from mitosis import gate, identity, launch, signals
from mitosis.cli import answers, locate, tables
from mitosis.cli.main import DONE, UNSUCCESSFUL
from mitosis.cli.terminal import Terminal
from mitosis.errors import ConfigurationRefused, TrialNotFound
from mitosis.request import Request
from mitosis.settings import Settings, changed, restored
from mitosis.trial import Status, Trial


@click.command()
@click.argument("trial")
@click.option("--json", "as_json", is_flag=True, help="The new trial as one JSON document on stdout.")
@locate.store_option
def command(trial: str, as_json: bool, url: str | None) -> int:
    """Run the parameters and the seed of TRIAL again, with the code and the input data of today."""
    from mitosis.notebook import forking

    with locate.required(url, trial) as store:
        found = store.get(trial, locate.scope(url))
        address = store.url
    os.environ["MITOSIS_STORE"] = locate.url_of(url) or address  # with its password, where it has one
    forking.prestart()
    top = locate.repository()
    if top is None:
        raise TrialNotFound(
            "there is no repository here to take the code from", f"cd {found.spec.code.repository}"
        )
    if found.spec.code.project != locate.project():
        raise TrialNotFound(
            f"trial {found.id} is of another project: {found.spec.code.project}",
            f"run it from its own repository: cd {found.spec.code.repository}",
        )
    os.chdir(top)
    settings = _settings(found, address)
    verdict = gate.check(top, settings)
    with signals.as_interrupts():
        new = launch.run_trial(verdict, _request(found, settings), Terminal(quiet_stdout=as_json))
    if as_json:
        with gate.open_store(verdict.store) as store:
            answers.emit(answers.whole(new, store.environment(new.spec.environment)))
    else:
        tables.hint(f"mitosis diff {found.id} {new.spec.id}")
    if new.status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    return DONE if new.status is Status.SUCCEEDED else UNSUCCESSFUL


def _settings(trial: Trial, address: str) -> Settings:
    """The settings that the trial ran with, its store and its root."""
    once = ("rerun", "resume", "redefine", "on_dirty")  # what was meant for that one command line
    settings = restored({k: v for k, v in trial.spec.settings.items() if k not in once})
    settings.root = locate.root_of(address) or settings.root
    settings.store = None  # it is given by MITOSIS_STORE: the one where the trial was found
    return settings


def _request(trial: Trial, settings: Settings) -> Request:
    spec = trial.spec
    if trial.refused:
        raise ConfigurationRefused(
            f"trial {spec.id} was refused before it began: there is nothing to run again",
            "see why: mitosis show " + spec.id,
        )
    params = identity.parse(spec.params)
    return Request(
        experiment=spec.experiment,
        module=spec.module,
        function=spec.function,
        input_patterns=tuple(i.path for i in spec.inputs),
        params=params,
        tracked=identity.parse(spec.param_set.text),
        seed=spec.seed,
        label=spec.variant,
        variants=spec.variants,
        settings=settings,
        overrides=spec.overrides,
        instantiate="_target_" in spec.params,
        changed_settings=changed(settings),
        expect=spec.expect,
    )
