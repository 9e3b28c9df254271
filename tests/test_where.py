"""Expressions that choose trials: what they mean, how they are refused, and how the store answers them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from mitosis import identity, where
from mitosis.errors import SelectionRefused
from mitosis.identity import Member
from mitosis.store import Query, Store
from mitosis.trial import Outcome, Status
from tests.store_values import BACKENDS, HOSTILE, at, database, trial_outcome, trial_spec
from tests.test_store_schema import plan, statements

PARAMS: dict[str, dict[str, Any]] = {
    "int": {"dt": 1, "name": "1"},
    "float": {"dt": 1.0, "name": "euler"},
    "bool": {"dt": True, "name": True},
    "small": {"dt": 0.30000000000000004, "model": {"kernel": "rbf", "layers": [64, 32]}},
    "nan": {"dt": float("nan"), "odd key": 5, "!bang": 7},
    "inf": {"dt": float("inf"), "data": Path("data/a.csv")},
    "huge": {"dt": -(10**400), "solver": Member("lab.solvers", "Solver", "EULER")},
    "null": {"dt": None, "from": date(2024, 2, 29)},
    "none": {"text": HOSTILE + "it's \x00"},
}
"""Trials by their name, which is their note, with the parameters that they ran with."""


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A trial for each entry of `PARAMS`; the last three failed, died and run."""
    with database(request.param, tmp_path_factory.mktemp("where")) as url, Store.open(url) as made:
        for number, (name, params) in enumerate(PARAMS.items()):
            spec = trial_spec(
                number + 1,
                values=params,
                note=name,
                variant="digits,model=svm" if number == 0 else "fast",
                seed=number if number < 8 else 2**62,
                tags=("good",) if number < 2 else ("draft", "good") if number == 2 else (),
                commit=f"{number}" * 40,
                branch=None if name == "nan" else "main",
                sweep="5eed00000001" if number < 4 else None,
                job=number if number < 4 else None,
            )
            if name == "small":  # what is hashed is not what it ran with
                spec = replace(spec, param_set=identity.parameter_set({"dt": 99}))
            made.start(spec, {})
            if name != "none":
                made.finish(spec.id, _outcome(name, number))
        yield made


def _outcome(name: str, number: int) -> Outcome:
    status = {"huge": Status.FAILED, "null": Status.DIED}.get(name, Status.SUCCEEDED)
    main: Any = {"int": 10, "float": float("nan"), "bool": True, "small": 'a "text"', "nan": None}.get(
        name, 0.5
    )
    metrics = {"loss": number / 10, "a/b": float("nan")} if number < 3 else {"loss": float("nan")}
    taints = () if number else trial_outcome().taints
    return trial_outcome(status=status, main=main, metrics=metrics, taints=taints, code_identity="ab12" * 16)


def _names(store: Store, expression: str, **more: Any) -> list[str]:
    question = Query(where=where.parse(expression), sort="started_at", **more)
    found = [line.note for line in store.find(question)]
    assert sum(store.count(question).values()) == len(found)
    return found


ALL = list(PARAMS)
MEANING = {
    "params.dt == 1": "int float",
    "params.dt == 1.0": "int float",
    "params.dt == true": "bool",
    "params.dt": "bool",
    "params.dt == 0.30000000000000004": "small",
    "params.dt == 99": "",
    "params.dt < 1": "small huge",
    "params.dt <= 1": "int float small huge",
    "params.dt > 1e300": "inf",
    "1 < params.dt": "inf",
    "params.dt < inf": "int float small huge",
    "params.dt == inf": "inf",
    "params.dt == nan": "nan",
    f"params.dt == -{10**400}": "huge",
    "params.dt == null": "null none",
    "params.dt != null": "int float bool small nan inf huge",
    "params.dt != 1": "bool small nan inf huge null none",
    "not params.dt < 1": "int float bool nan inf null none",
    "params.name == '1'": "int",
    "params.name == 1": "",
    "params.name == euler": "float",
    "params.name in (euler, '1')": "int float",
    "params.name not in (euler, '1')": "bool small nan inf huge null none",
    "params.name in ()": "",
    "params.name > a": "float",
    "params.name ~ ule": "float",
    "params.model.kernel == rbf and params.model.layers[0] == 64": "small",
    "params.model.layers[1] > 64": "",
    "params.model.layers.0 == 64": "",
    "params.model[0] == rbf": "",
    "params['odd key'] >= 5 or params['!bang'] == 0": "nan",
    "params['!bang'] == 7": "nan",
    "params.data == data/a.csv": "inf",
    "params.solver == EULER": "huge",
    "params.solver == Solver.EULER": "huge",
    "params.solver == ULER": "",
    "params.solver contains solvers": "huge",
    "params.from < 2024-03-01": "null",
    """params.text contains "it's" """: "none",
    "status == failed": "huge",
    "status in (failed, died, running)": "huge null none",
    "not (status == succeeded)": "huge null none",
    "variant == digits,model=svm": "int",
    "variant contains model": "int",
    "seed < 2": "int float",
    "seed == 4611686018427387904": "none",
    "seed >= 1e19": "",
    "seed in (1, 2)": "float bool",
    "main == 10": "int",
    "main > 0.4 and main < 10": "inf huge null",
    "main == true": "bool",
    "main == nan": "float",
    "main == null": "nan none",
    "main == 'a \"text\"'": "small",
    "main contains '\"'": "small",
    "main != null": "int float bool small inf huge null",
    "metrics.loss < 0.2": "int float",
    "metrics.loss == 0.2": "bool",
    "metrics.loss == nan": "small nan inf huge null",
    "metrics.loss == null": "none",
    "metrics.a/b == nan": "int float bool",
    "not metrics.loss >= 0.1": "int small nan inf huge null none",
    "commit == 333": "small",
    "commit in (0, 1)": "int float",
    "id == 000000000001": "int",
    "sweep == 5eed": "int float bool small",
    "sweep == null": "nan inf huge null none",
    "code_identity == null": "none",
    "branch == null": "nan",
    "not branch == main": "nan",
    "tags == draft": "bool",
    "draft in tags": "bool",
    "tags contains good and not draft in tags": "int float",
    "tags in (draft, wrong)": "bool",
    "tags == null": "small nan inf huge null none",
    "taints > 0": "int",
    "dirty": "",
    "not dirty and job >= 2": "bool small",
    "note contains n or note == int": "int nan inf null none",
    f"started_at < {at(3)} ": "int float",
    "project contains example.org": " ".join(ALL),
    "project == nothing": "",
    "expectation == null": " ".join(ALL),
    "removed": "",
    "seed == 1 or seed == 2 and params.dt == 5": "float",
    "(seed == 1 or seed == 2) and params.dt == true": "bool",
    "not not seed == 1": "float",
}


@pytest.mark.parametrize("expression", MEANING)
def test_an_expression_means_the_same_in_every_store(store: Store, expression: str) -> None:
    """Each kind of name, value and operator, on trials that have it, have it of another type, or lack it."""
    assert _names(store, expression) == MEANING[expression].split()


@pytest.mark.parametrize("expression", [e for e in MEANING if " and " not in e and " or " not in e])
def test_a_comparison_is_true_or_false(store: Store, expression: str) -> None:
    """What is not chosen by an expression is chosen by its contrary: there is no third."""
    rest = set(_names(store, f"not ({expression})"))
    assert rest | set(_names(store, expression)) == set(ALL)
    assert not rest & set(_names(store, expression))


REFUSED = {
    "prams.dt < 1": (1, "did you mean params? "),
    "seed == 1 and stats == failed": (15, "did you mean status? "),
    "params.dt < ": (13, "a value is expected here, not 'the end'"),
    "": (1, "the names are id, project"),
    "(seed == 1": (11, "the parenthesis of column 1 is not closed"),
    "seed == 1 seed == 2": (11, "put `and` or `or` between"),
    "seed == x": (9, "seed is a number, 'x' is none"),
    "status == fialed": (11, "it is one of running, succeeded"),
    "seed": (5, "seed is compared with nothing"),
    "0.1 < params.dt < 1": (18, "two comparisons"),
    "note < b": (1, "note cannot be compared by <"),
    "params.dt < true": (1, "never less or greater"),
    "seed.x == 1": (1, "nothing below it"),
    "params == 1": (1, "params.NAME"),
    "params[-1] == 1": (7, "from 0 upwards"),
    "params['a\"b'] == 1": (7, "cannot be asked for"),
    "started_at > soon": (14, "'soon' is no date"),
    "seed in 1, 2": (9, "NAME in (VALUE, VALUE)"),
    "seed in (1 2)": (12, "commas between"),
    "seed not 1": (10, "cannot follow `not`"),
    "'open == 1": (1, "not closed"),
    "__import__('os')": (1, "there is no name"),
    "not " * 200 + "dirty": (404, "flatter"),
    "(" * 5000 + "dirty": (102, "flatter"),
}


@pytest.mark.parametrize("expression", REFUSED)
def test_what_cannot_be_read_is_refused_with_its_column(expression: str) -> None:
    """The message names the column of the fault, and what could stand there."""
    column, words = REFUSED[expression]
    with pytest.raises(SelectionRefused) as caught:
        where.parse(expression)
    assert str(caught.value).startswith(f"column {column} of `") and words in str(caught.value)


def test_an_age_counts_back_from_now(store: Store) -> None:
    """`started_at > 2d` means: in the last two days."""
    assert _names(store, "started_at > 2d") == [] and _names(store, "started_at < 2d") == ALL


def test_a_page_goes_on_where_the_last_one_ended(store: Store) -> None:
    """Expression, order by a parameter, limit and `after` go together."""
    expression, seen, after = where.parse("not dirty"), [], None
    while page := store.find(Query(where=expression, sort="-params.dt", limit=2, after=after)):
        seen += [line.note for line in page]
        after = page[-1].id
    assert sorted(seen) == sorted(ALL) and seen[-3:] == ["none", "null", "nan"]


def test_parameters_are_judged_by_set_and_the_page_by_its_index(tmp_path: Path) -> None:
    """A condition on parameters reads each set once; the page is read off the index, nothing is sorted."""
    with Store.open(tmp_path / "x.db") as made:
        made.start(trial_spec(1), {})
        for text in (
            "params.dt < 1 and experiment == lorenz",
            "params.dt < 1 or main > 2",
            "metrics.loss > 0",
        ):
            with statements() as sent:
                made.find(Query(project="p", where=where.parse(text), limit=20))
            steps = plan(tmp_path / "x.db", [sent[-1]])
            assert "SEARCH trials USING INDEX ix_trials_project_" in steps
            assert "TEMP B-TREE" not in steps and "SCAN trials" not in steps


def test_every_name_is_described() -> None:
    """The table of names in the reference is the one that the parser knows."""
    from tests.test_docs import _page, rows

    assert list(rows(_page("reference/where.md"), "Names")) == list(where.KINDS)
