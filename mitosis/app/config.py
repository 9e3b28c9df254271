"""The structured configuration behind every invocation, and the primary config that holds the callback."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from mitosis.settings import Settings
from mitosis.trial import new_id, utc_now

PRIMARY = "mitosis_primary"
SCHEMA = "mitosis_schema"


@dataclass
class Experiment:
    """A named entry point: what `conf/experiment/NAME.yaml` holds."""

    module: str = MISSING
    function: str = "run"  # a qualified name in the module: "run", "Model.fit"
    inputs: list[str] = field(default_factory=list)  # files, directories, globs
    expect: dict[str, str] = field(default_factory=dict)  # by metric: "< 0.01", "1 .. 2", "0.9 +- 0.05"
    direction: Any = None  # minimize or maximize, for an optimizing sweeper; a list with several objectives
    objectives: list[str] = field(default_factory=lambda: ["main"])  # what it is told: main, or metrics


def register(user_config: str, root: str) -> None:
    """Put schema and primary config into Hydra's store; `user_config` is the user's own, without `.yaml`.

    `root` is the default of `mitosis.root`.

    The user's file needs no line of ours, and what it says of the output directories does not
    hold: no two invocations share one, even when they start in the same second.
    """
    store = ConfigStore.instance()
    schema: dict[str, Any] = {
        "experiment": Experiment(),
        "params": {},
        "mitosis": Settings(root=root),
        "hydra": {"output_subdir": None},  # Hydra's own copies of the config: a trial holds all of it
    }
    directory = f"${{mitosis.root}}/hydra/{utc_now()[:19].replace(':', '-')}_{new_id()}"
    store.store(name=SCHEMA, node=schema, provider="mitosis")
    store.store(
        name=PRIMARY,
        provider="mitosis",
        node={
            "defaults": [SCHEMA, user_config, "_self_"],
            "hydra": {
                "run": {"dir": directory},
                "sweep": {"dir": directory, "subdir": "${hydra.job.num}"},
                "job": {"name": "mitosis", "chdir": False},
                "callbacks": {"mitosis": {"_target_": "mitosis.app.callback.Gate"}},
                "hydra_logging": {"root": {"level": "WARNING"}},  # the progress of a sweep is shown by us
            },
        },
    )
