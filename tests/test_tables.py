"""Reading the results: tables, groups, exports, sweeps, tags, completion, data frames; no kernel."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import pty
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas
import pytest

import mitosis
from mitosis import frame, labels, telling, where
from mitosis.capture import environment
from mitosis.cli import complete, tables, watch
from mitosis.cli.main import COMMANDS, main
from mitosis.errors import ResultRefused, SelectionRefused, TrialNotFound
from mitosis.folder import TrialFolder
from mitosis.store import Query, Store
from mitosis.trial import Outcome, Status, Trial, TrialSpec, plain
from tests.store_values import BACKENDS, at, database, trial_outcome, trial_spec
from tests.test_store_schema import plan, statements

SWEEP = "5eed00000001"
ALIKE = (
    "abcdef012345",
    "abcdef01234f",
    "abcdef0",
)  # two ids that share eleven digits, and what they begin with


def spec(number: int, folder: Path, **changes: Any) -> TrialSpec:
    values = {"dt": [0.1, 0.2][number % 2], "model": {"kernel": "rbf"}, "n": number}
    trial_id = changes.pop("id", f"{number + 1:x}" * 12)
    made = trial_spec(number, values=values, seed=number, variant=["fast", "slow"][number % 2], tags=())
    return replace(made, id=trial_id, folder=str(folder / "lorenz" / trial_id), note="", **changes)


def outcome(number: int) -> Outcome:
    if number == 3:
        return trial_outcome(status=Status.FAILED, main=None, metrics={}, taints=())
    return trial_outcome(main=number / 3, metrics={"loss": 1 / (number + 1)}, taints=())


def put(store: Store, filed: TrialSpec, end: Outcome | None) -> None:
    """File a trial and make its folder, as a launch does."""
    root = Path(filed.folder).parent.parent
    TrialFolder.create(root, filed.experiment, filed.id, plain(Trial(filed, end)))
    store.start(filed, {"python": "3"})
    if end is not None:
        store.finish(filed.id, end)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory outside of any repository, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("FORCE_COLOR", "MITOSIS_STORE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def filled(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with six trials; four of a sweep of seven, one of those failed, and one that runs."""
    with Store.open(here / "trials" / "mitosis.db") as store:
        store.begin_sweep(SWEEP, "https://example.org/lab.git", "-m params=fast,slow", 7, at(0))
        for number in range(4):
            put(store, spec(number, here / "trials", sweep=SWEEP, job=number), outcome(number))
        put(store, spec(4, here / "trials"), outcome(4))
        put(store, spec(5, here / "trials", sweep=SWEEP, job=4), None)
    monkeypatch.setenv("MITOSIS_STORE", str(here / "trials" / "mitosis.db"))
    return here / "trials"


def told(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What the command writes to stdout; it must succeed."""
    assert main(words) == 0, capsys.readouterr().err
    return capsys.readouterr().out


# -- ls ----------------------------------------------------------------------------------------------


def test_columns_are_the_ones_asked_for(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Keys, parameters, metrics and the headings of the table can be columns; other words are refused."""
    out = told(
        capsys, "ls", "--columns", "id,params.dt,params.model.kernel,metrics.loss,took", "--limit", "2"
    )
    assert out.splitlines()[0].split() == [
        "id",
        "params.dt",
        "params.model.kernel",
        "metrics.loss",
        "seconds",
    ]
    assert out.splitlines()[2].split()[:4] == ["5555555", "0.1", "rbf", "0.2"]
    assert main(["ls", "--columns", "id,colour"]) == 1
    assert "there is no column 'colour'" in capsys.readouterr().err


def test_the_table_in_a_pipe_is_stable(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No parameter is added where nothing has a width, and the hint is beside the data."""
    assert main(["ls"]) == 0
    said = capsys.readouterr()
    heads = said.out.splitlines()[0].split()
    assert heads == ["id", "experiment", "variant", "seed", "status", "main", "took", "commit", "started"]
    assert len(said.out.splitlines()) == 7 and said.err == "next: mitosis show 6666666\n"


def test_csv_and_data_frame_hold_the_same_numbers(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every digit of every number, whole ids and digests, and nothing else."""
    text = told(capsys, "ls", "--csv", "--where", "seed < 5")
    read = pandas.read_csv(io.StringIO(text))
    table = mitosis.trials("seed < 5").to_pandas()
    assert list(read.columns) == list(table.columns) and len(read) == 5
    for column in ("seed", "main", "params.dt", "params.n", "metrics.loss", "seconds"):
        pandas.testing.assert_series_equal(read[column], table[column], check_dtype=False, check_exact=True)
    assert list(read["id"].astype(str).str.len()) == [12] * 5
    assert math.isnan(read["main"][1]) and read["main"].mean() == pytest.approx(7 / 12)
    assert read["param_set"][0] == mitosis.trials("seed == 4")[0].summary.param_set


def test_an_export_is_of_all_that_match(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CSV and Parquet are not cut to a page, unless asked; chosen columns and JSON go together."""
    with Store.open(filled / "mitosis.db") as store:
        for number in range(6, 30):
            put(store, spec(number, filled, id=f"{number:012x}"), outcome(number))
    assert len(list(csv.reader(io.StringIO(told(capsys, "ls", "--csv"))))) == 31
    assert len(list(csv.reader(io.StringIO(told(capsys, "ls", "--csv", "--limit", "3"))))) == 4
    assert len(told(capsys, "ls").splitlines()) == 21
    records = json.loads(told(capsys, "ls", "--json", "--columns", "seed,params.dt", "--limit", "1"))
    assert records == [{"seed": 29, "params.dt": 0.2}]


def test_parquet_keeps_types(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Numbers are numbers, times times, and a column of several types is text."""
    told(capsys, "ls", "--parquet", "x.parquet")
    read = pandas.read_parquet("x.parquet")
    assert len(read) == 6 and read["seed"].dtype == "int64" and read["params.dt"].dtype == "float64"
    assert str(read["started_at"].dt.tz) == "UTC"
    assert list(read["main"])[1] == 4 / 3
    assert (
        main(["ls", "--parquet", "no/such/x.parquet"]) == 1 and "cannot be written" in capsys.readouterr().err
    )


@pytest.mark.parametrize(("missing", "extra"), [("pyarrow", "parquet"), ("pandas", "pandas")])
def test_an_extra_that_is_missing_is_named(
    filled: Path, monkeypatch: pytest.MonkeyPatch, missing: str, extra: str
) -> None:
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SelectionRefused, match=rf"pip install 'mitosis\[{extra}\]'"):
        if missing == "pandas":
            mitosis.trials().to_pandas()
        else:
            from mitosis.cli import export

            export.to_parquet(frame.Frame((), ()), filled / "x.parquet")


@pytest.mark.parametrize("backend", BACKENDS)
def test_groups_count_and_average(backend: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By parameter, status or column: how many of each status, and mean, least and greatest main."""
    with database(backend, here) as url:
        with Store.open(url) as store:
            for number in range(5):
                put(store, spec(number, here / "trials"), outcome(number))
        words = ("ls", "--store", url, "--group-by", "params.dt,variant")
        groups = json.loads(told(capsys, *words, "--json"))
        assert groups[0] == {
            "params.dt": 0.1,
            "variant": "fast",
            "trials": 3,
            "succeeded": 3,
            "failed": 0,
            "n": 3,
            "mean": pytest.approx(2 / 3),
            "min": 0.0,
            "max": 4 / 3,
        }
        assert groups[1]["failed"] == 1 and groups[1]["n"] == 1 and len(groups) == 2
        assert told(capsys, *words).splitlines()[1].split()[:5] == ["0.1", "fast", "3", "3", "0"]
        assert told(capsys, *words, "--csv", "--where", "seed > 2").count("\n") == 3
        assert (
            json.loads(told(capsys, "ls", "--store", url, "--group-by", "params.x", "--json"))[0]["trials"]
            == 5
        )
        assert main(["ls", "--store", url, "--group-by", "metrics.loss"]) == 1


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("mains", "mean"),
    [
        ([1.7e308, 1.7e308, 1.6e308], 5 / 3 * 1e308),
        ([1.7e308, -1.7e308, 3.0], 1.0),
        ([5e-324, 5e-324, 5e-324], 5e-324),
        ([math.inf, 1.0, 2.0], math.inf),
        ([math.inf, -math.inf, 2.0], math.nan),
    ],
)
def test_groups_average_numbers_of_any_size(
    backend: str, mains: list[float], mean: float, tmp_path: Path
) -> None:
    """Whose sum no float holds; the same on both backends."""
    with database(backend, tmp_path) as url, Store.open(url) as store:
        for number, value in enumerate(mains):
            put(store, spec(number, tmp_path / "trials"), trial_outcome(main=value))
        (group,) = store.groups(Query(), [where.Key("experiment")])
        assert group.mean == pytest.approx(mean, rel=1e-12, nan_ok=True)


@pytest.mark.parametrize("backend", BACKENDS)
def test_tags_put_at_once_are_put_once(backend: str, tmp_path: Path) -> None:
    """Row and folder say the same afterwards."""
    with database(backend, tmp_path) as url, Store.open(url) as store:
        put(store, spec(0, tmp_path / "trials"), outcome(0))
        (line,) = store.find(Query())
        trial = store.get(line.id)

        def tag(number: int) -> None:
            with Store.open(url) as own:
                labels.put(own, trial, ["good", f"n{number}"], (), None)

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(tag, range(12)))
        tags = store.get(line.id).spec.tags
        assert set(tags) >= {"good", *(f"n{number}" for number in range(12))}
        assert labels.applied(trial.spec, TrialFolder(trial.spec.folder)).tags == tags


def test_a_name_that_no_trial_has_is_noted(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt parameter or metric is no error, and it is said on stderr, with the nearest there is."""
    assert main(["ls", "--where", "params.dtt < 1 or metrics.los > 2 or params.model.kernel == rbf"]) == 0
    said = capsys.readouterr().err
    assert "no trial has params.dtt; did you mean params.dt?" in said
    assert "no trial has metrics.los; did you mean metrics.loss?" in said and "kernel" not in said


@pytest.mark.parametrize(
    "words",
    [
        ("--columns", "id,params.modle.kernel"),
        ("--sort", "params.modle.kernel"),
        ("--group-by", "params.modle.kernel"),
    ],
)
def test_a_column_that_no_trial_has_is_noted(
    words: tuple[str, ...], filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in an expression: it is mistyped."""
    assert main(["ls", *words]) == 0
    assert "no trial has params.modle.kernel; did you mean params.model.kernel?" in capsys.readouterr().err


def test_a_label_of_thousands_of_letters_leaves_a_table_readable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON has it whole."""
    url = str(tmp_path / "trials" / "mitosis.db")
    with Store.open(url) as store:
        put(store, replace(spec(0, tmp_path / "trials"), variant="x" * 5000), outcome(0))
    assert max(map(len, told(capsys, "ls", "--all-projects", "--store", url).splitlines())) < 400
    assert "x" * 5000 in told(capsys, "ls", "--all-projects", "--store", url, "--json")


def test_only_parameters_that_differ_are_told(filled: Path) -> None:
    """Of the page's trials, in the order of the parameters."""
    assert frame.differing([t.summary for t in mitosis.trials()]) == ["params.dt", "params.n"]
    assert frame.differing([t.summary for t in mitosis.trials("seed in (0, 2)")]) == ["params.n"]
    assert frame.differing([]) == []


def on_terminal(*words: str, wide: int, **env: str) -> tuple[subprocess.Popen[bytes], int]:
    """The command with a terminal of that many columns and ten lines; the process and our end of it."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "mitosis", *words]
    surroundings = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    sized = {"COLUMNS": str(wide), "LINES": "10", "TERM": "xterm", "NO_COLOR": "1"}
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env={**surroundings, **sized, **env}
    )
    os.close(theirs)
    return process, ours


def everything(terminal: int, until: str = "") -> str:
    """What is written to the terminal until it is closed, or until the words `until` have come."""
    said = b""
    while until.encode() not in said or not until:
        try:
            some = os.read(terminal, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not some:
            break
        said += some
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said.decode())


def test_a_terminal_shows_the_parameters_it_has_room_for(filled: Path) -> None:
    """A wide one those that differ, a narrow one none; a long answer goes through $PAGER."""
    process, terminal = on_terminal("ls", "--limit", "3", wide=200)
    heads = everything(terminal).splitlines()[0].split()
    assert process.wait() == 0 and heads[3:6] == ["seed", "params.dt", "params.n"]
    process, terminal = on_terminal("ls", "--limit", "3", wide=95)
    assert "params" not in everything(terminal) and process.wait() == 0
    process, terminal = on_terminal("show", "6666666", wide=95, PAGER="grep entry")
    said = everything(terminal).splitlines()
    assert process.wait() == 0 and len(said) == 2 and said[0].startswith("entry point")
    assert said[1] == "next: mitosis ls --watch"


def test_a_narrow_terminal_cuts_no_id_and_no_number(filled: Path) -> None:
    """Whole columns give way, then the ends of words."""
    process, terminal = on_terminal("ls", "--limit", "2", wide=34)
    heads, *lines = (line.split() for line in everything(terminal).splitlines())
    assert process.wait() == 0 and [heads[0], heads[-1]] == ["id", "main"]
    assert [line[0] for line in lines[:2]] == ["6666666", "5555555"] and lines[1][-1] == "1.33333"
    process, terminal = on_terminal("ls", "--limit", "2", wide=80)
    heads = everything(terminal).splitlines()[0].split()
    assert process.wait() == 0 and heads[:3] == ["id", "experiment", "variant"] and "started" not in heads


def test_watching_ends_with_an_interruption(filled: Path) -> None:
    """While a trial runs the table stays; ^C ends it with 130."""
    with Store.open(filled / "mitosis.db") as store:
        running = replace(spec(9, filled), process=environment.host_process())
        put(store, running, None)
    process, terminal = on_terminal("ls", "--watch", wide=120)
    everything(terminal, until=running.id[:7])
    process.send_signal(signal.SIGINT)
    said = everything(terminal)
    assert process.wait() == 130 and "interrupted" in said


def test_watching_waits_for_the_queue(filled: Path) -> None:
    """A sweep of which the engine has begun nothing yet is shown beside running trials, and waited for."""
    project = spec(1, filled).code.project
    with Store.open(filled / "mitosis.db") as store:
        store.begin_sweep("e" * 12, project, "-m", 4, store.now())
        assert store.unbegun_sweep(project) == store.unbegun_sweep(None) == "e" * 12
        assert store.unbegun_sweep("another") is None
        (state,) = watch.sweeps_of(store, [], None, project)
        assert watch.waits(state, named=False)
        assert not watch.waits(replace(state, now="2099-01-01T00:00:00+00:00"), named=False)
        assert watch.waits(replace(state, now="2099-01-01T00:00:00+00:00"), named=True)
    process, terminal = on_terminal("ls", "--watch", "--all-projects", wide=120)
    everything(terminal, until="4 waiting")
    process.send_signal(signal.SIGINT)
    everything(terminal)
    assert process.wait() == 130


def test_watching_ends_when_nothing_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """It goes on between two trials of a sweep, and stops when no job runs or waits."""
    looks = iter([
        watch.Look(["1 running"], runs=True, waits=True),
        watch.Look(["0 running, 1 waits"], runs=False, waits=True),
        watch.Look(["done"], runs=False, waits=False),
    ])  # fmt: skip
    watch.follow(lambda: next(looks))
    assert capsys.readouterr().out == "done\n"


def test_a_watched_store_that_is_idle_answers_once(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The trial on another host is not waited for longer than its sweep is looked at."""
    with Store.open(filled / "mitosis.db") as store:
        store.finish("6" * 12, outcome(5))
    out = told(capsys, "ls", "--watch", "--where", "sweep == null")
    assert out.splitlines()[1].startswith("5555555")


# -- sweeps ------------------------------------------------------------------------------------------


def test_a_sweep_is_shown(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By any beginning of its id: the command, what waits, runs and is over, its trials in order."""
    document = json.loads(told(capsys, "show", SWEEP[:5], "--json"))
    assert document["sweep"] == SWEEP and document["size"] == 7 and document["waiting"] == 2
    counts = {k: v for k, v in document["counts"].items() if v}
    assert counts == {"running": 1, "succeeded": 3, "failed": 1}
    assert document["hosts"] == ["node-1"] and [t["seed"] for t in document["trials"]] == [0, 1, 2, 3, 5]
    assert document["eta_seconds"] > 0
    out = told(capsys, "show", SWEEP)
    assert "waiting" in out and "mitosis -m params=fast,slow" in out and "4444444" in out
    with pytest.raises(TrialNotFound, match="no trial has an id that begins with"):
        mitosis.load("eeee")


def test_a_sweep_is_a_table_of_its_trials(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With those that stand for its jobs, as `ls` has them."""
    with Store.open(filled / "mitosis.db") as store:
        other = next(line for line in store.find(Query()) if line.sweep != SWEEP)
        store.stand_in(SWEEP, 5, other.id)
    table = told(capsys, "show", SWEEP, "--csv")
    assert table == told(capsys, "ls", "--sweep", SWEEP, "--sort", "job", "--csv") and other.id in table
    assert other.id in {t["id"] for t in json.loads(told(capsys, "show", SWEEP, "--json"))["trials"]}
    assert main(["show", "@1", "--csv"]) == 1


# -- short names -------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_ids_are_shown_by_their_shortest_beginning(
    backend: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seven digits, and as many more as it takes until the name means one trial."""
    with database(backend, here) as url:
        with Store.open(url) as store:
            for number, trial in enumerate([*ALIKE[:2], "abcdef1" + "0" * 5]):
                put(store, spec(number, here / "trials", id=trial), outcome(number))
            names = store.brief("id", [*ALIKE[:2], "abcdef1" + "0" * 5])
            assert list(names.values()) == [ALIKE[0], ALIKE[1], "abcdef1"]
            assert all(store.get(name).id == trial for trial, name in names.items())
            commit = trial_spec().code.commit
            assert store.brief("commit", [commit]) == {commit: commit[:7]}
            assert store.brief("environment", ["e" * 64, "f" * 64]) == {"e" * 64: "e" * 7, "f" * 64: "f" * 7}
            assert store.brief("sweep", []) == {} and store.brief("sweep", ["näme"]) == {"näme": "näme"}
        first = told(capsys, "ls", "--store", url).splitlines()[1:]
        assert [line.split()[0] for line in first] == ["abcdef1", ALIKE[1], ALIKE[0]]


def test_short_names_are_read_off_an_index(tmp_path: Path) -> None:
    """One query for a page, and no table is read for it."""
    with Store.open(tmp_path / "x.db") as store:
        store.start(trial_spec(1, sweep=SWEEP, job=0), {})
        for kind in ("id", "commit", "sweep", "param_set", "environment"):
            with statements() as sent:
                store.brief(kind, [f"{n:x}" * 12 for n in range(16)])
            asked = [item for item in sent if item[0].startswith("SELECT")]
            steps = plan(tmp_path / "x.db", asked)
            assert len(asked) == 1 and "SCAN" not in steps.replace("SCAN projects", ""), (kind, steps)


def test_the_count_of_groups_reads_no_parameters_twice(tmp_path: Path) -> None:
    """Groups, counts and sums are reckoned by the database, in one query."""
    with Store.open(tmp_path / "x.db") as store:
        for number in range(3):
            store.start(trial_spec(number), {})
        with statements() as sent:
            store.groups(Query(), [mitosis.where.parse_key("params.dt")])
    assert len([item for item in sent if item[0].startswith("SELECT")]) == 1


# -- tags --------------------------------------------------------------------------------------------


def test_tags_and_notes_come_later_and_stay(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are in the row and in tags.json; trial.json is as it was, and a store made anew knows them."""
    before = TrialFolder(filled / "lorenz" / ("1" * 12)).trial_json.read_bytes()
    told(capsys, "tag", "1111111", "22222", "+good", "+draft", "--note", "look\nhere")
    out = told(capsys, "tag", "1111111", "-draft")
    assert out == "1111111 lorenz fast seed=0: good  look here\n"
    assert [t.seed for t in mitosis.trials("good in tags")] == [1, 0]
    assert json.loads(told(capsys, "ls", "--tag", "draft", "--json"))[0]["tags"] == ["draft", "good"]
    assert TrialFolder(filled / "lorenz" / ("1" * 12)).trial_json.read_bytes() == before
    assert main(["check", "--rebuild"]) in (0, 2)  # their folders hold no notebooks
    capsys.readouterr()
    assert mitosis.load("1111111").tags == ("good",) and mitosis.load("1111111").note == "look\nhere"
    assert json.loads(told(capsys, "tag", "1111111", "--note", "", "--json"))[0]["note"] == ""


@pytest.mark.parametrize(
    "words", [["1111111"], ["+good"], ["1111111", "+a b"], ["1111111", "+"], ["eee", "+x"]]
)
def test_a_tag_that_cannot_be_is_refused(
    filled: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """No trial, no tag, a space, nothing behind the sign, no such trial: exit 1, nothing changes."""
    assert main(["tag", *words]) == 1
    assert (
        capsys.readouterr().err.startswith("mitosis: ") and mitosis.trials("tags != null").to_pandas().empty
    )


def test_a_folder_that_is_gone_is_a_note(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The store has the tag then, and the user hears that the folder has not."""
    TrialFolder(filled / "lorenz" / ("1" * 12)).remove()
    assert main(["tag", "1111111", "+good"]) == 0
    assert "in the store alone" in capsys.readouterr().err and mitosis.load("1111111").tags == ("good",)


# -- Python ------------------------------------------------------------------------------------------


def test_trials_are_chosen_as_by_ls(filled: Path) -> None:
    """The arguments are the options; the answer is a sequence of frozen trials."""
    found = mitosis.trials(experiment="lorenz", variant="fast", status="succeeded", since="2024-01-01")
    assert (
        [t.seed for t in found] == [4, 2, 0] and found[0].main == 4 / 3 and found[0].metrics == {"loss": 0.2}
    )
    assert found[0].params == {"dt": 0.1, "model": {"kernel": "rbf"}, "n": 4} and found[:2][1].seed == 2
    assert "seed=4 succeeded" in repr(found) and len(mitosis.trials(limit=2)) == 2
    assert mitosis.trials(store=filled / "none.db").to_pandas().empty
    for wrong in ({"status": "done"}, {"since": "soon"}, {"where": "x =="}, {"sort": "colour"}):
        with pytest.raises(mitosis.errors.Refused):
            mitosis.trials(**wrong)  # type: ignore[arg-type]


def test_a_trial_shows_what_its_folder_holds(filled: Path) -> None:
    """Figures, report and log where they are, and a result that is refused in words where it is not."""
    trial = mitosis.load("1111111")
    folder = TrialFolder(trial.folder)
    assert trial.figures == [] and trial.html is None and trial.log == ""
    with pytest.raises(ResultRefused, match="kept no result"):
        _ = trial.result
    folder.figures.mkdir()
    (folder.figures / "a.png").touch()
    folder.html.write_text("<p>")
    folder.result.write_bytes(b"\x80\x04\x8c\x04none\x8c\x01x\x93.")
    assert trial.figures == [folder.figures / "a.png"] and trial.html == folder.html
    with pytest.raises(ResultRefused, match="cannot be imported here"):
        _ = trial.result
    folder.result.write_bytes(b"no pickle")
    with pytest.raises(ResultRefused, match="cannot be read"):
        _ = trial.result


def test_a_notebook_shows_links_to_the_reports(filled: Path) -> None:
    """HTML with a relative link where there is a report, and the parameters that differ; all escaped."""
    TrialFolder(filled / "lorenz" / ("1" * 12)).html.write_text("<p>")
    page = mitosis.trials("seed < 2")._repr_html_()
    assert '<a href="trials/lorenz/111111111111/report.html">111111111111</a>' in page
    assert "<th>params.dt</th>" in page and "<td>222222222222</td>" in page
    assert "<th>params" not in mitosis.load("1111111")._repr_html_()


def test_reading_imports_neither_hydra_nor_jupyter(filled: Path) -> None:
    """In a fresh interpreter, with a store to read."""
    script = (
        "import mitosis, sys; t = mitosis.trials('seed < 9'); t.to_pandas(); t._repr_html_()\n"
        "mitosis.load('@1')\n"
        "print(len(t), *{'hydra', 'omegaconf', 'IPython', 'nbclient', 'nbformat', 'nbconvert', 'click',"
        " 'jupyter_client', 'ipykernel'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "6\n"


# -- the next command, and other forms of a table ----------------------------------------------------


ANSWERS = (
    *("ls", "ls --seed 99", "ls --variant nosuch", "ls --group-by status", "show 2222222", "show 5eed"),
    *("compare", "compare --experiment nosuch", "variants", "check", "diff 1111111 3333333", "gc"),
    *("diff fast slow", "tag 1111111 +good", "rm 2222222", "rm 2222222 --yes", "plot main -o p.png"),
    *("report 1111111 3333333 -o r.html", "init walk"),
)


@pytest.mark.parametrize("line", ANSWERS)
def test_an_answer_ends_with_the_next_command(
    filled: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    """On stderr where stdout is no terminal; where a store was named, the next command names it too."""
    named = [] if line.startswith("init") else ["--store", str(filled / "mitosis.db")]
    assert main([*line.split(), *named]) == 0
    said = capsys.readouterr()
    last = said.err.splitlines()[-1]
    assert "next: " in last and "next:" not in said.out
    lost = named and "mitosis --help" not in last and f"--store {filled / 'mitosis.db'}" not in last
    assert not lost, last


def test_every_command_knows_a_next_one() -> None:
    """Each module of a command gives the hint; `resume` ends as the sweep does that it goes on with."""
    for name in set(COMMANDS) - {"resume"}:
        source = Path(str(import_module(f"mitosis.cli.{name}").__file__)).read_text()
        assert "tables.hint(" in source, name


def test_every_table_goes_to_other_programs(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`compare`, `variants` and series as CSV and Parquet: the rows and names of the JSON, whole digests."""
    groups = json.loads(told(capsys, "compare", "--json"))["groups"]
    table = csv.DictReader(
        io.StringIO(told(capsys, "compare", "--metric", "main", "--metric", "loss", "--csv"))
    )
    read = [row for row in table if row["metric"] == "main"]
    assert [(row["variant"], int(row["n"]), float(row["mean"])) for row in read] == [
        (group["variant"], group["n"], group["mean"]) for group in groups
    ]
    known = json.loads(told(capsys, "variants", "--json"))
    told(capsys, "variants", "--parquet", "v.parquet")
    assert list(pandas.read_parquet("v.parquet")["digest"]) == [use["digest"] for use in known] != []
    folder = filled / "lorenz" / "222222222222" / "series"
    folder.mkdir()
    (folder / "log.jsonl").write_text(
        '{"step": 0, "values": {"loss": 0.5}}\n{"step": 1, "values": {"loss": 0.25}}\n'
    )
    points = told(capsys, "show", "--series", "2222222", "--csv").splitlines()
    assert points == ["trial,series,step,value", "222222222222,loss,0,0.5", "222222222222,loss,1,0.25"]
    assert main(["show", "2222222", "--csv"]) == main(["compare", "--csv", "--json"]) == 1
    assert "add --series" in capsys.readouterr().err


def test_a_name_that_no_trial_has_is_told(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing matches, the experiments, variants and tags there are are named."""
    assert main(["compare", "--variant", "fats"]) == main(["ls", "--variant", "slow", "--seed", "99"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "note: no variant 'fats' among the latest trials; there are: slow, fast",
        "next: mitosis ls",
        "next: mitosis ls",
    ]


# -- completion --------------------------------------------------------------------------------------


LINES = {
    "mitosis l": "ls",
    "mitosis show 1": "1111111",
    "mitosis ls --wh": "--where",
    "mitosis ls --status f": "failed",
    "mitosis ls --sort params.d": "params.dt",
    "mitosis ls --columns id,metrics.": "id,metrics.loss",
    "mitosis ls --variant s": "slow",
    "mitosis resume 5": "5eed000",
    "mitosis tag 1111111 +x 22": "2222222",
    "mitosis ls --status failed --exp": "--experiment",
    "mitosis plot lo": "loss",
    "mitosis compare --by params.d": "params.dt",
    "mitosis compare --by status,para": "status,param_set status,params status,params.dt"
    " status,params.model.kernel status,params.n",
    "mitosis report 11 sl": "slow",
    "mitosis nothing here": "",
}


@pytest.mark.parametrize("line", LINES)
def test_words_are_completed(
    filled: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    """Commands, options, their values, trials, sweeps and keys; what bash asks and how."""
    monkeypatch.setenv("COMP_LINE", line + " --and-more")
    monkeypatch.setenv("COMP_POINT", str(len(line)))
    assert told(capsys, "--completion", "query").split() == LINES[line].split()


def test_what_is_no_command_is_asked_of_hydra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its candidates are taken; where bash breaks words at `=`, only what comes behind it is given."""
    monkeypatch.setenv("COMP_LINE", "mitosis params=f")
    monkeypatch.setenv("MITOSIS_BREAKS", " =")
    assert list(complete.candidates([], "params=f", lambda: print("params=fast params=slow"))) == [
        "params=fast",
        "params=slow",
    ]
    assert list(complete.candidates(["-m"], "x", lambda: print("x=1"))) == ["x=1"]


def test_the_script_for_bash_is_bash(capsys: pytest.CaptureFixture[str]) -> None:
    """It is read without a complaint and knows the command; another shell is refused."""
    script = told(capsys, "--completion", "bash")
    done = subprocess.run(
        ["bash", "-euc", f"{script}\ncomplete -p mitosis"], capture_output=True, text=True, check=True
    )
    assert "_mitosis_complete mitosis" in done.stdout
    assert main(["--completion", "fish"]) == 1


# -- words -------------------------------------------------------------------------------------------


def test_durations_and_names() -> None:
    """One form of each, wherever they are shown."""
    told = [telling.duration(s) for s in (None, 0.0001, 0.42, 75.3, 3600 * 2 + 190, 90000)]
    assert told == ["", "under 1 ms", "0.42 s", "75.3 s", "2 h 3 min", "1 d 1 h"]
    names = dict(telling.leaves({"a": {"b": 1, "c d": {}}, 3: 4}, "params"))
    assert names == {"params.a.b": 1, 'params.a["c d"]': {}, "params[3]": 4}
    assert tables.plain(["a"], [["x"]]) == ["a", "x"]
