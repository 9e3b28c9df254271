"""Seeding: the global generators, now or right after their import, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def _python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_seeding_imports_nothing() -> None:
    """An experiment that does not use numpy does not get it loaded."""
    code = (
        "import sys, mitosis.kernel as k; k.seed(7); print(any(m in sys.modules for m in ('numpy', 'torch')))"
    )
    assert _python(code) == "False"


@pytest.mark.parametrize(
    "when", ["import numpy; k.seed(7)", "k.seed(7); import numpy", "k.seed(7); from numpy import random"]
)
def test_numpy_is_seeded_whenever_it_is_imported(when: str) -> None:
    """The global generator of numpy gives the same numbers, imported before or after the seeding."""
    got = _python(f"import mitosis.kernel as k; {when}; import numpy; print(numpy.random.random())")
    assert got == _python("import numpy; numpy.random.seed(7); print(numpy.random.random())")


def test_random_is_seeded() -> None:
    """The generator of the standard library is seeded with the very number."""
    got = _python("import random, mitosis.kernel as k; k.seed(-3); print(random.random())")
    assert got == _python("import random; random.seed(-3); print(random.random())")


@pytest.mark.parametrize("seed", [-1, 2**40, 0])
def test_any_integer_is_a_seed(seed: int) -> None:
    """Negative and huge seeds are taken; two of them still give different numbers."""
    code = "import numpy, mitosis.kernel as k; k.seed({}); print(numpy.random.random())"
    assert _python(code.format(seed)) != _python(code.format(seed + 1))


def test_the_loader_of_a_seeded_module_is_the_real_one() -> None:
    """After its import nothing of ours is left in the module that was seeded."""
    code = (
        "import mitosis.kernel as k; k.seed(1); import numpy.random as r; "
        "print(type(r.__spec__.loader).__name__, type(r.__loader__).__name__)"
    )
    assert _python(code) == "SourceFileLoader SourceFileLoader"


FRAMEWORKS = {
    "torch.py": "seeds = []\n\ndef manual_seed(value):\n    seeds.append(value)\n",
    "tensorflow/__init__.py": "from . import random\nseeds = random.seeds\n",
    "tensorflow/random.py": "seeds = []\n\ndef set_seed(value):\n    seeds.append(value)\n",
}


@pytest.mark.parametrize("name", ["torch", "tensorflow"])
@pytest.mark.parametrize(
    ("when", "seeds"),
    [
        ("k.seed(7); import {0}", [7]),
        ("import {0}; k.seed(7)", [7]),
        ("k.seed(7); import {0}; k.seed(7)", [7, 7]),
        ("import {0}; k.seed(-1)", [2**63 - 1]),
        ("k.seed(2**64 + 5); import {0}", [5]),
    ],
)
def test_frameworks_are_seeded_whenever_they_are_imported(
    tmp_path: Path, name: str, when: str, seeds: list[int]
) -> None:
    """By the function that each of them has for it, at once or right after the import, within its range."""
    for file, content in FRAMEWORKS.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(content)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import mitosis.kernel as k"
    other = {"torch": "tensorflow", "tensorflow": "torch"}[name]
    shown = f"print({name}.seeds, {other!r} in sys.modules)"
    assert _python(f"{code}; {when.format(name)}; {shown}") == f"{seeds} False"
