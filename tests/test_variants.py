"""What a trial's variant is called: choices, values of the command line, and what these refer to."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from mitosis.app import naming

CONF = {
    "config.yaml": "defaults:\n  - params: fast\n  - model@params.model: svm\n  - machine: small\n"
    "  - optional experiment: null\n  - seed\n  - _self_\nscale: 1\nunit: ${scale}\nalone: 1\n",
    "seed.yaml": "# @package _global_\nseed: 0\n",
    "params/fast.yaml": "dt: 0.1\nx: ${unit}\ny: ${oc.decode:${text}}\nstart: ${seed}\n",
    "experiment/louder.yaml": "# @package _global_\nparams: {dt: 0.7, own: 1}\n",
    "params/plain.yaml": "dt: 0.1\n",
    "params/unknown.yaml": "dt: .nan\nmany: [.nan]\n",
    "params/odd,one.yaml": "dt: 0.2\n",
    "model/svm.yaml": "c: 1\n",
    "model/forest.yaml": "trees: 10\n",
    "machine/small.yaml": "# @package _global_\ntext: '3'\n",
    "machine/big.yaml": "# @package _global_\ntext: '4'\n",
}


@pytest.fixture(scope="module")
def conf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("conf")
    for name, content in CONF.items():
        (top / name).parent.mkdir(exist_ok=True)
        (top / name).write_text(content, encoding="utf-8")
    return top


def label(conf: Path, *words: str) -> str:
    with initialize_config_dir(version_base="1.3", config_dir=str(conf)):
        config = compose("config", overrides=list(words), return_hydra_config=True)
        return naming.chosen(config.hydra, config).label


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "fast,model@params.model=svm,machine=small"),
        (["model@params.model=forest"], "fast,model@params.model=forest,machine=small"),
        (["params.dt=0.5"], "fast,model@params.model=svm,machine=small+dt=0.5"),
        (["+params.new=1", "params.dt=0.5"], "fast,model@params.model=svm,machine=small+dt=0.5+new=1"),
        (["~params.dt"], "fast,model@params.model=svm,machine=small+~dt"),
        (["seed=3"], "fast,model@params.model=svm,machine=small"),
        (["scale=5"], "fast,model@params.model=svm,machine=small+_global_.scale=5"),
        (["unit=5"], "fast,model@params.model=svm,machine=small+_global_.unit=5"),
        (["text='7'"], "fast,model@params.model=svm,machine=small+_global_.text='7'"),
        (["alone=5"], "fast,model@params.model=svm,machine=small"),
        (["machine=big"], "fast,model@params.model=svm,machine=big"),
        (["params=plain", "machine=big"], "plain,model@params.model=svm"),
        (["params=plain", "scale=5"], "plain,model@params.model=svm"),
        (["experiment=louder"], "fast,model@params.model=svm,machine=small+dt=0.7"),
        (["experiment=louder", "params.dt=3"], "fast,model@params.model=svm,machine=small+dt=3"),
        (["params=unknown"], "unknown,model@params.model=svm"),  # nan and [nan] are what they were
        (["params='odd,one'"], '"odd,one",model@params.model=svm'),
    ],
)
def test_labels(conf: Path, words: list[str], expected: str) -> None:
    """Two sets of parameters never have the same label because a value outside of `params` was changed."""
    assert label(conf, *words) == expected
