"""What `mitosis --help` and `mitosis --version` say."""

from __future__ import annotations

import platform
from pathlib import Path

import mitosis

_HYDRA = """\
  -m, --multirun        a sweep: every combination of values separated by commas
  --cfg job|hydra|all   show the composed configuration      --resolve  with its references resolved
  --info [...]          what Hydra knows: defaults, searchpath, plugins, config
  -cn, --config-name    another file than config.yaml        -cp, --config-path  another directory than conf/
  -cd, --config-dir     one more directory of configurations
  --hydra-help          all of Hydra's own flags"""


def version() -> int:
    """Print the versions that a report of a fault needs."""
    print(f"mitosis {mitosis.__version__} (Python {platform.python_version()}, {platform.platform()})")
    return 0


def show() -> int:
    """Print how mitosis is used, its commands, Hydra's flags and the experiments there are."""
    from mitosis.cli.main import COMMANDS

    commands = "\n".join(f"  {name:<10} {line}" for name, line in COMMANDS.items())
    print(
        "mitosis runs numerical experiments and keeps a record that says why a number changed.\n"
        "\n"
        "  mitosis experiment=NAME params=OPTION seed=7              one trial\n"
        "  mitosis -m experiment=NAME params=A,B 'seed=range(0,10)'  a sweep\n"
        "  mitosis COMMAND --help\n"
        '  eval "$(mitosis --completion bash)"                         completion in bash\n'
        f"\nCommands\n{commands}\n\nFlags of Hydra\n{_HYDRA}\n\n{_experiments()}"
    )
    return 0


def _experiments() -> str:
    """The options of the group `experiment` in this repository's conf/, by their files' names."""
    conf = next((d / "conf" for d in (Path.cwd(), *Path.cwd().parents) if (d / "conf").is_dir()), None)
    names = (
        sorted(
            str(f.relative_to(conf / "experiment").with_suffix(""))
            for f in (conf / "experiment").rglob("*.yaml")
        )
        if conf is not None
        else []
    )
    if not names:
        return "Experiments here: none. `mitosis init DIRECTORY` makes a first one."
    return f"Experiments in {conf}\n  " + "\n  ".join(names)
