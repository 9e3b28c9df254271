"""Tests of the documentation: every console block is run, every reference table is checked against the code.

In README.md and docs/ a block ```` ```console ```` holds commands (lines beginning with `$ `) and what they
print, stdout and stderr together; a block with `title="PATH"` is a file that the reader writes. The blocks
of a page are run in their order, in one fresh directory. `...` stands for anything within a line, or, alone
on a line, for any number of lines; ids, durations and times count as equal whatever their digits. A command
that fails is followed by `$ echo $?`.
"""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from mitosis import settings, trial
from mitosis.cli import answers, main
from mitosis.folder import TrialFolder
from tests import store_values

TOP = Path(__file__).resolve().parent.parent
DOCS = TOP / "docs"
PAGES = [TOP / "README.md", *sorted(DOCS.rglob("*.md"))]
WITH_ENGINES = ("postgres", "joblib", "slurm", "ray", "optuna")  # followed by tests/engines/test_pages.py

HOME = "/home/ada"
"""What the pages show as the directory in which they begin."""

_BLOCK = re.compile(r"^```(?P<info>[^\n`]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_TITLE = re.compile(r'title="(?P<path>[^"]+)"')
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_VARIABLE = [  # what differs from run to run, and how both sides are written before they are compared
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?([+-]\d\d:\d\d|Z)?"), "TIME"),
    (re.compile(r"(?<![\w.])(\d[\d.e-]* s|under 1 ms)(?!\w)"), "SECONDS"),
    (re.compile(r"(?<![\w.])[0-9a-f]{7,64}(?!\w)"), "ID"),
    (re.compile(r"[ \t]+"), " "),
]


@dataclasses.dataclass(frozen=True)
class File:
    """A file that the reader writes."""

    path: str
    content: str


@dataclasses.dataclass(frozen=True)
class Command:
    """A command that the reader gives, the lines that it prints, and whether it may fail."""

    text: str
    expected: tuple[str, ...]
    line: int  # in the page
    may_fail: bool


def steps(page: str) -> Iterator[File | Command]:
    """The steps of a page in their order."""
    for block in _BLOCK.finditer(page):
        title = _TITLE.search(block["info"])
        if title is not None:
            yield File(title["path"], block["text"])
        elif block["info"].split()[0] == "console":
            yield from _commands(block["text"], page.count("\n", 0, block.start("text")) + 1)


def _commands(block: str, first_line: int) -> Iterator[Command]:
    lines = block.splitlines()
    assert lines and lines[0].startswith("$ "), f"line {first_line}: a console block begins with `$ `"
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield Command(
            text=lines[start].removeprefix("$ "),
            expected=tuple(lines[start + 1 : end]),
            line=first_line + start,
            may_fail=end < len(lines) and lines[end] == "$ echo $?",
        )


def comparable(text: str, home: Path | None = None) -> str:
    """`text` without what differs from run to run."""
    if home is not None:
        text = text.replace(str(home), HOME)
    lines = text.splitlines()
    for pattern, word in _VARIABLE:
        lines = [pattern.sub(word, line) for line in lines]
    return "".join(f"{line.strip()}\n" for line in lines)


def pattern(expected: Sequence[str]) -> re.Pattern[str]:
    """What matches the output that the page shows."""
    parts = []
    for line in comparable("\n".join(expected)).splitlines():
        whole = r"(?:[^\n]*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", "[^\n]*") + r"\n"
        parts.append(whole)
    return re.compile("".join(parts))


@dataclasses.dataclass
class Shell:
    """The reader's shell: its directory and the last exit code live from one command to the next."""

    home: Path
    directory: Path
    code: int = 0

    def run(self, command: str) -> str:
        """What `command` prints, stdout and stderr as they come."""
        left = self.home.parent / "directory"
        script = f'(exit {self.code})\n{command}\ncode=$?\npwd -P > "$LEFT"\nexit $code\n'
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            env={**os.environ, "LEFT": str(left)},
            timeout=600,
            check=False,
        )
        self.code = done.returncode
        self.directory = Path(left.read_text(encoding="utf-8").removesuffix("\n"))
        return done.stdout


@pytest.fixture
def shell(tmp_path: Path, git_config: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A shell in an empty home directory, in which `mitosis` and `python` are those under test."""
    home = (tmp_path / "home").resolve()
    home.mkdir()
    for name in ("MITOSIS_STORE", "FORCE_COLOR", "PYTHONWARNINGS", "PYTHONHASHSEED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return Shell(home, home)


def _name(page: Path) -> str:
    return page.relative_to(TOP).as_posix()


def _page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.mark.kernel
@pytest.mark.parametrize(
    "page",
    [p for p in PAGES if "```console" in p.read_text(encoding="utf-8") and p.stem not in WITH_ENGINES],
    ids=_name,
)
def test_what_a_page_shows_is_what_happens(page: Path, shell: Shell) -> None:
    """The commands of the page, given in their order in an empty directory, print what the page says."""
    follow(page, shell)


def follow(page: Path, shell: Shell) -> None:
    """Give the commands of the page in their order, and compare what they print with what it shows."""
    for step in steps(page.read_text(encoding="utf-8")):
        if isinstance(step, File):
            file = shell.directory / step.path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(step.content, encoding="utf-8")
            continue
        output = shell.run(step.text)
        where = f"{_name(page)}:{step.line}: $ {step.text}"
        assert shell.code == 0 or step.may_fail, f"{where}\nexit code {shell.code}\n{output}"
        printed = comparable(output, shell.home)
        shown = comparable("\n".join(step.expected))
        if not pattern(step.expected).fullmatch(printed):
            pytest.fail(f"{where}\n--- the page shows\n{shown}--- the command prints\n{printed}")


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page names a file that is there, and every anchor a heading of it."""
    for link in _LINK.finditer(_BLOCK.sub("", page.read_text(encoding="utf-8"))):
        target, _, anchor = link["target"].partition("#")
        if "://" in target:
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{_name(page)}: {link['target']}"
        if anchor:
            assert anchor in _anchors(file.read_text(encoding="utf-8")), f"{_name(page)}: {link['target']}"


def _anchors(page: str) -> set[str]:
    """The anchors that GitHub gives to the headings."""
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def test_every_page_is_found_from_the_index() -> None:
    """docs/index.md links every page of docs/."""
    linked = {(DOCS / link["target"]).resolve() for link in _LINK.finditer(_page("index.md"))}
    assert set(DOCS.rglob("*.md")) - {DOCS / "index.md"} <= linked


def test_pictures_are_small() -> None:
    """Every picture that the pages show is there, below 200 kB."""
    sizes = {p.name: p.stat().st_size for p in (DOCS / "pictures").glob("*.png")}
    assert sizes.keys() == {"report.png", "ls.png", "compare.png", "plot.png"}
    assert max(sizes.values()) < 200_000


def rows(page: str, heading: str) -> dict[str, tuple[str, ...]]:
    """The table below `heading`: first cell, without backticks -> all other cells."""
    section = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#|\Z)", page, re.MULTILINE | re.DOTALL)
    assert section is not None, f"there is no heading {heading!r}"
    found = {}
    for line in section[2].splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
            found[cells[0].strip("`")] = tuple(cells[1:])
    assert found, f"there is no table below {heading!r}"
    return found


def _default(field: dataclasses.Field[Any]) -> str:
    """A default as the pages write it."""
    factory = field.default_factory
    value = factory() if factory is not dataclasses.MISSING else field.default
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, list):
        return f"[{', '.join(value)}]"
    plain = {None: "null", True: "true", False: "false", "": "''"}
    return plain[value] if value is None or isinstance(value, bool) or value == "" else str(value)


def test_every_setting_is_described_with_its_default() -> None:
    """The table of `mitosis.*` keys has those of mitosis/settings.py, their defaults and their choices."""
    described = rows(_page("reference/configuration.md"), "Keys under `mitosis`")
    fields = {f"mitosis.{f.name}": f for f in dataclasses.fields(settings.Settings)}
    assert described.keys() == fields.keys()
    for key, field in fields.items():
        assert described[key][0] == f"`{_default(field)}`", key
        if isinstance(field.default, Enum):
            assert all(f"`{choice.value}`" in described[key][1] for choice in type(field.default)), key


def test_every_key_of_an_experiment_is_described() -> None:
    """The table of `experiment.*` keys has those of the schema."""
    from mitosis.app.config import Experiment

    described = rows(_page("reference/configuration.md"), "Keys under `experiment`")
    assert described.keys() == {f"experiment.{f.name}" for f in dataclasses.fields(Experiment)}


def _json_of_a_trial() -> tuple[dict[str, Any], dict[str, Any]]:
    """A trial as `ls --json` and as `show --json` have it."""
    value = trial.Trial(store_values.trial_spec(), trial.Outcome(trial.Status.FAILED, store_values.at(1)))
    return answers.line(answers.summary_of(value)), answers.whole(value, {})


def test_every_key_of_the_json_is_described() -> None:
    """The tables of keys are those of the documents that `ls --json` and `show --json` print."""
    page = _page("reference/json.md")
    line, whole = _json_of_a_trial()
    assert rows(page, "A trial in `ls` and in `show`").keys() == line.keys()
    assert rows(page, "A trial in `show` alone").keys() == whole.keys() - line.keys()
    for key in ("code", "environment", "recipe"):
        assert rows(page, f"`{key}`").keys() == whole[key].keys()
    assert rows(page, "An item of `variants`").keys() == whole["variants"][0].keys()
    values = {
        "An item of `inputs` and `outputs`": trial.FileRecord,
        "An item of `modules`": trial.ModuleRecord,
        "`error`": trial.Failure,
        "An item of `taints` and `notes`": trial.Remark,
    }
    for heading, kind in values.items():
        assert rows(page, heading).keys() == {f.name for f in dataclasses.fields(kind)}


def test_every_key_of_an_audit_is_described() -> None:
    """The table of keys is that of the document that `check --json` prints."""
    from mitosis.audit import Audit

    assert rows(_page("reference/json.md"), "Check").keys() == {f.name for f in dataclasses.fields(Audit)}


def test_the_house_is_complete() -> None:
    """The plan of the house names every module and room of the package, and no other."""
    plan = re.search(r"^mitosis/\n(.*?)^```", _page("explanation/the-house.md"), re.MULTILINE | re.DOTALL)
    assert plan is not None
    named = {line.split()[0].rstrip("/") for line in plan[1].splitlines()}
    package = TOP / "mitosis"
    rooms = {p.parent.name for p in package.glob("*/__init__.py")}
    assert named == rooms | {p.name for p in package.glob("*.py") if not p.name.startswith("__")}


def test_every_file_of_a_trial_is_described() -> None:
    """The table of files has every name that mitosis/folder.py gives."""
    folder = TrialFolder("trials/lorenz/0123456789ab")
    names = {n for n, kind in vars(TrialFolder).items() if isinstance(kind, property)}
    described = rows(_page("reference/files.md"), "The folder of a trial")
    assert {d.rstrip("/") for d in described} == {getattr(folder, n).name for n in names}


def test_every_status_is_described() -> None:
    """The table of statuses has every status."""
    assert list(rows(_page("reference/statuses.md"), "Statuses")) == [s.value for s in trial.Status]


def test_every_exit_code_is_described() -> None:
    """The table of exit codes has every code that mitosis/cli/main.py knows."""
    codes = {main.DONE, main.REFUSED, main.UNSUCCESSFUL, main.FAULT, main.INTERRUPTED}
    assert rows(_page("reference/exit-codes.md"), "Exit codes").keys() == {str(c) for c in codes}


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_option_of_a_command_is_described(name: str) -> None:
    """The section of the command has its options and arguments."""
    import click

    command: click.Command = importlib.import_module(f"mitosis.cli.{name}").command
    described = rows(_page("reference/command-line.md"), f"`mitosis {name}`")
    wanted = {p.opts[0] if isinstance(p, click.Option) else str(p.name).upper() for p in command.params}
    assert {row.partition(" ")[0] for row in described} == wanted


def test_the_canonical_form_is_as_described() -> None:
    """The examples of the canonical form give what the page says."""
    page = _page("reference/canonical-form.md")
    example = doctest.DocTestParser().get_doctest(
        "\n\n".join(b["text"] for b in _BLOCK.finditer(page) if b["info"].startswith("pycon")),
        {},
        "canonical-form.md",
        None,
        0,
    )
    assert len(example.examples) > 10
    assert doctest.DocTestRunner().run(example).failed == 0


# --- README -------------------------------------------------------------------------------------------


def _set_up() -> list[str]:
    """The two commands of the README that do all the set-up."""
    blocks = [b["text"] for b in _BLOCK.finditer((TOP / "README.md").read_text(encoding="utf-8"))
              if b["info"].strip() == "sh"]  # fmt: skip
    return [line for block in blocks for line in block.splitlines()]


def test_the_set_up_is_two_commands() -> None:
    """One installs and runs the main job, one installs and passes the tests; the latter is .ci/run's own."""
    run, test = _set_up()
    assert run.endswith(".venv/bin/python -m mitosis experiment=lorenz params=fast seed=7")
    ci = (TOP / ".ci" / "run").read_text(encoding="utf-8")
    for part in ("-e '.[test]'", "python -m pytest -q"):
        assert part in test and part in ci


@pytest.mark.kernel
def test_the_main_job_runs_in_a_clone(shell: Shell) -> None:
    """The job of the README runs in a repository that holds what this one holds, and leaves it clean."""
    shell.directory = shell.home / "clone"
    for name in ("mitosis", "conf"):
        shutil.copytree(TOP / name, shell.directory / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(TOP / ".gitignore", shell.directory)
    shell.run("git init --quiet && git add --all && git commit --quiet --message first")
    assert shell.code == 0
    job = _set_up()[0].rpartition("&& .venv/bin/")[2]
    output = shell.run(job)
    assert shell.code == 0, output
    shown = (TOP / "README.md").read_text(encoding="utf-8")
    closing, following = comparable(output).splitlines()[-2:]
    assert following == "next: mitosis open ID"
    assert re.fullmatch(r"ID succeeded main=0\.0\d+ SECONDS trials/lorenz/ID/report\.html", closing)
    assert closing.partition("main=")[0] in comparable(shown)
    assert shell.run("git status --porcelain") == ""
