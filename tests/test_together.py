"""The page of several trials: it says what differs, mixes nothing that must not be, and loads nothing."""

from __future__ import annotations

import base64
import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mitosis import identity, stamp
from mitosis.cli import answers, report
from mitosis.errors import Refused
from mitosis.notebook import together
from mitosis.store import Store
from mitosis.trial import Failure, ModuleRecord, Remark, Status, Trial
from tests import store_values

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
HOSTILE = "<script>alert(1)</script>&\u202e\x1b[2J"


def trial(number: int, folder: Path, **changes: Any) -> Trial:
    """A trial of the model that `number` says, with a figure and a series."""
    model = changes.pop("model", "svm")
    blob = changes.pop("blob", "a" * 40)
    outcome = changes.pop("outcome", {})
    values = {"dt": 0.1, "model": model}
    here = folder / f"{number:012x}"
    (here / "figures").mkdir(parents=True)
    (here / "figures" / "Curve.png").write_bytes(PIXEL)
    (here / "series").mkdir()
    (here / "series" / "log.jsonl").write_text('{"step": 1, "values": {"loss": 2.0}}\n' * 2)
    spec = store_values.trial_spec(number, folder=str(here), values=values, variant=model, **changes)
    made = {
        "main": 1.0 + number / 10,
        "figures": ("Curve.png",),
        "modules": (ModuleRecord("run", "run.py", blob, "commit"),),
        "code_identity": blob[:1] * 64,
        "taints": (),
        "notes": (),
    }
    return Trial(spec, store_values.trial_outcome(**{**made, **outcome}))


def page(trials: list[Trial], **sources: Any) -> str:
    lines = [answers.summary_of(t) for t in trials]
    return together.page(trials, together.Sources(lines, **sources))


def section(text: str, heading: str) -> str:
    found = re.search(rf"<section[^>]*><h2>{re.escape(heading)}</h2>(.*?)</section>", text, re.DOTALL)
    assert found is not None, heading
    return found[1]


def test_what_differs_is_told_and_what_is_equal_is_not(tmp_path: Path) -> None:
    """Parameters by group, the lines of files that they loaded, packages; equal ones are not listed."""
    old = [trial(n, tmp_path, seed=n, environment="1" * 64) for n in (1, 2)]
    new = [
        trial(n, tmp_path, model="forest", blob="b" * 40, seed=n - 2, environment="2" * 64) for n in (3, 4)
    ]
    blobs = {"a" * 40: b"x = 1\nsame = 0\n", "b" * 40: b"x = 2\nsame = 0\n"}
    environments = {
        d * 64: {"python": "3.11", "distributions": {"numpy": [f"{d}.0", None]}} for d in ("1", "2")
    }
    text = page([*new, *old], environments=environments, blob=lambda _t, blob: blobs[blob])
    params = section(text, "Parameters that differ")
    assert "model" in params and "svm" in params and "forest" in params and "dt" not in params
    code = section(text, "Code that differs")
    assert '<span class="del">-x = 1</span><span class="add">+x = 2</span>' in code and "run.py" in code
    environment = section(text, "Environment that differs")
    assert "package numpy" in environment and "python" not in environment
    figures = section(text, "Curve")
    assert figures.count("<img") == 4 and figures.count("forest, seed") == 4
    assert section(text, "loss, logged while it ran").count("<polyline") == 4
    assert "paired t-test" in section(text, "main over the seeds")
    same = page(old, environments=environments)
    for said in (
        "The parameters are the same.",
        "No file that these trials loaded differs.",
        "The environment is the same.",
    ):
        assert said in same


def test_trials_of_different_code_are_not_averaged(tmp_path: Path) -> None:
    """One variant under two codes is two groups; failed and tainted trials are told, not counted."""
    failed = {"status": Status.FAILED, "main": None, "metrics": {}, "error": Failure("ValueError", HOSTILE)}
    trials = [
        trial(1, tmp_path),
        trial(2, tmp_path, seed=8, blob="b" * 40),
        trial(3, tmp_path, seed=9, outcome={"taints": (Remark("changed", "a file", "run.py"),)}),
        trial(4, tmp_path, seed=10, outcome=failed),
    ]
    text = page(trials)
    overview = section(text, "main over the seeds")
    assert overview.count('<th scope="row">svm') == 2
    assert "2 of 4 trials count" in overview and "1 tainted" in overview and "1 failed" in overview
    assert "taint: changed" in section(text, "Taints and notes")
    assert "The repository here does not hold both versions." in text


class _Loaded(HTMLParser):
    """What a page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            address = name in ("src", "href", "srcset", "data", "action") and not (value or "").startswith(
                "data:"
            )
            if address or name.startswith("on"):
                self.found.append(f"{tag} {name}={value}")
        if tag in ("script", "iframe", "object", "link"):
            self.found.append(tag)


def test_the_page_loads_and_runs_nothing(tmp_path: Path) -> None:
    """Whatever names, notes, errors and files hold, it is shown as text."""
    hostile = dataclasses.replace(trial(1, tmp_path, model=HOSTILE, note=HOSTILE).spec)
    spec = dataclasses.replace(hostile, params=identity.canonical({HOSTILE: HOSTILE}))
    outcome = store_values.trial_outcome(
        main=HOSTILE, taints=(Remark("x", HOSTILE, HOSTILE),), metrics={HOSTILE: 1.0}
    )
    text = page([Trial(spec, outcome), trial(2, tmp_path)], picture=b"<svg onload='alert(1)'/>")
    parser = _Loaded()
    parser.feed(text)
    assert parser.found == []
    assert "alert(1)" in text and "\u202e" not in text and "\x1b" not in text
    assert "default-src 'none'" in text and "prefers-color-scheme: dark" in text and "@media print" in text


def test_the_command_writes_the_page_with_its_marks(tmp_path: Path) -> None:
    """Trials are named by prefix, place or variant, each once; the page says which it is of."""
    url = f"sqlite:///{tmp_path}/mitosis.db"
    with Store.open(url) as store:
        for number in (1, 2):
            made = trial(number, tmp_path, seed=number, model=("svm", "forest")[number - 1])
            store.start(made.spec, store_values.ENVIRONMENT)
            assert made.outcome is not None
            store.finish(made.id, made.outcome)

    def run(*words: str) -> str:
        options = ["--store", url]
        done = CliRunner().invoke(
            report.command, [*words, *options], catch_exceptions=False, standalone_mode=False
        )
        return done.stdout

    output = tmp_path / "page.html"
    said = run("@1", "svm", "000000000002", "-o", str(output))
    assert said.startswith(f"{output}: 2 trials")
    assert [o.trial for o in stamp.origins(output.read_bytes())] == ["000000000002", "000000000001"]
    with pytest.raises(Refused):
        run("nothing", "-o", str(output))
    with pytest.raises(Refused, match="cannot be written"):
        run("@1", "-o", str(tmp_path / "no" / "page.html"))
