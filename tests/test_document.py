"""The cells of a trial's notebook: what they say, and that they do what they say."""

from __future__ import annotations

import ast
import datetime
import enum
import importlib
import math
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitosis import identity
from mitosis.errors import ConfigurationRefused, ParameterRefused
from mitosis.notebook import document, markup
from mitosis.trial import CodeState, HostProcess, TrialSpec


class Colour(enum.Enum):
    RED = "red"
    dark_blue = 7


HOSTILE = [
    'it\'s "both" quotes',
    "back\\slash\\",
    "two\nlines\r\nand \u2028 three",
    "\"\"\"triple'''",
    "\x1b[31mred\x1b[0m \x00",
    "naïve 数据 😀 \u202eturned",
    "{braces} %d %s ${x} #",
    "%matplotlib inline\n!ls\n?x\n%%bash\nls?",
    ">>> 1\n... 2\nIn [1]: x",
    "",
    " ",
]


def spec(**changes: Any) -> TrialSpec:
    params = changes.pop("params", {"dt": 0.01})
    given: dict[str, Any] = {
        "id": "3f2a91c0de12",
        "experiment": "lorenz",
        "module": "mitosis.examples.lorenz",
        "function": "run",
        "variant": "fast",
        "variants": (),
        "params": identity.canonical(params),
        "param_set": identity.parameter_set(params),
        "seed": 7,
        "code": CodeState("9d7c1b0a4e5f60718293a4b5c6d7e8f901234567", "main", False, "project", "/repo"),
        "environment": "e" * 64,
        "started_at": "2026-03-14T15:09:26.535897Z",
        "folder": "/repo/trials/lorenz/3f2a91c0de12",
        "process": HostProcess("noether", 1, 1.0, "boot"),
    }
    return TrialSpec(**{**given, **changes})


PLAN = document.CallPlan("/repo", ("/repo", "/repo/src"), "mitosis.examples.lorenz")


def evaluated(source: str, modules: tuple[str, ...]) -> Any:
    names: dict[str, Any] = {}
    for module in modules:
        importlib.import_module(module)
        names[module.partition(".")[0]] = sys.modules[module.partition(".")[0]]
    return eval(source, names)


texts = st.text() | st.sampled_from(HOSTILE)
zones = st.integers(-14 * 60, 14 * 60).map(lambda m: datetime.timezone(datetime.timedelta(minutes=m)))
scalars = (
    st.none()
    | st.booleans()
    | st.integers(1 - 2**2000, 2**2000 - 1)
    | st.floats()
    | texts
    | st.binary(max_size=50)
    | st.dates()
    | st.datetimes(timezones=st.none() | zones)
    | st.builds(
        Path, st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
    )
    | st.sampled_from(Colour)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=20)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(texts, inner, max_size=8)
        | st.dictionaries(st.integers() | st.booleans() | texts, inner, max_size=4)
    ),
    max_leaves=40,
)


@given(values, st.integers(20, 120))
def test_a_literal_evaluates_to_its_value(value: Any, width: int) -> None:
    """Whatever identity accepts comes back from the literal with the same canonical text, at any width."""
    text = identity.canonical(value)
    source, modules = document.literal(identity.parse(text), width)
    assert identity.canonical(evaluated(source, modules)) == text


@given(st.dictionaries(texts, values, max_size=5))
def test_the_parameters_cell_defines_the_same_parameters(params: dict[str, Any]) -> None:
    """The cell as a whole, run as Python, leaves `params` with the recorded value."""
    text = identity.canonical(params)
    names: dict[str, Any] = {}
    exec(document.parameters(text, instantiate=False), names)
    assert identity.canonical(names["params"]) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_ipython_takes_a_literal_as_it_is(text: str) -> None:
    """No text of the user's becomes a magic, a shell command, a help request or a prompt in the notebook."""
    from IPython.core.inputtransformer2 import TransformerManager

    params = {"short": text, "long": text * 9, text: [text * 5, {text: text}]}
    cell = document.parameters(identity.canonical(params), instantiate=False)
    assert TransformerManager().transform_cell(cell) == cell + "\n"


def test_a_short_literal_stays_on_one_line() -> None:
    """What fits the width is not broken, and what needs no quotes escaped has double ones."""
    assert document.literal({"dt": 0.01, "model": {"kernel": "rbf", "C": 1.0}, "layers": (8,)}) == (
        '{"dt": 0.01, "model": {"kernel": "rbf", "C": 1.0}, "layers": (8,)}',
        (),
    )


def test_a_long_literal_has_one_key_per_line() -> None:
    """Long mappings have a line per key, lists of numbers are filled, texts split after their lines."""
    value = {
        "grid": list(range(40)),
        "model": {"kernel": "rbf", "C": float("inf")},
        "names": ["alpha" * 6, "beta" * 9, "gamma" * 9],
        "prompt": "You are given a long task.\nIt has two lines, and the second is long enough to split.\n",
        "when": datetime.date(2024, 2, 29),
    }
    source, modules = document.literal(value)
    assert modules == ("datetime",)
    assert source.splitlines() == [
        "{",
        '    "grid": [',
        "        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,",
        "        22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39,",
        "    ],",
        '    "model": {"kernel": "rbf", "C": float("inf")},',
        '    "names": [',
        f'        "{"alpha" * 6}",',
        f'        "{"beta" * 9}",',
        f'        "{"gamma" * 9}",',
        "    ],",
        '    "prompt": (',
        '        "You are given a long task.\\n"',
        '        "It has two lines, and the second is long enough to split.\\n"',
        "    ),",
        '    "when": datetime.date(2024, 2, 29),',
        "}",
    ]


def test_a_member_of_an_enumeration_is_written_as_itself() -> None:
    """The launcher knows a member by name only; the notebook imports the module and has the member."""
    member = identity.parse(identity.canonical(Colour.dark_blue))
    source, modules = document.literal(member)
    assert (source, modules) == (f'{__name__}.Colour["dark_blue"]', (__name__,))
    assert evaluated(source, modules) is Colour.dark_blue


def test_the_deepest_value_that_identity_knows_can_be_read_by_python() -> None:
    """A hundred levels, the most that has a canonical text, compile and come back."""
    value: Any = {"leaf": math.pi}
    for level in range(99):
        value = [value] if level % 2 else {"k": value}
    text = identity.canonical(value)
    source, modules = document.literal(identity.parse(text))
    assert identity.canonical(evaluated(source, modules)) == text


def test_a_value_without_literal_is_refused() -> None:
    """An object that identity does not give is refused by a message, not written by its repr."""
    with pytest.raises(ParameterRefused, match="cannot be written as Python"):
        document.literal({"x": [object()]})


def test_objects_are_made_in_the_cell_where_params_hold_targets() -> None:
    """With `_target_` the cell says itself that the mapping becomes objects, and by what."""
    text = identity.canonical({"model": {"_target_": "collections.Counter", "a": 1}})
    assert document.parameters(text, instantiate=True).splitlines() == [
        "from hydra.utils import instantiate",
        "",
        'params = {"model": {"_target_": "collections.Counter", "a": 1}}',
        'params = instantiate(params, _convert_="all")',
    ]


@pytest.mark.parametrize("name", [n for n in HOSTILE if "\x00" not in n])
def test_setup_takes_any_path(name: str) -> None:
    """Directories with quotes, newlines and what not are in the source as the very same texts."""
    path = f"/repo {name}"
    tree = ast.parse(document.setup(-3, document.CallPlan(path, (path, "/src"), name)))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert [t for t in texts if isinstance(t, str)] == [path, path, "/src", name]


def test_setup_leaves_the_generators_alone_where_that_is_asked() -> None:
    """`mitosis.seed_globals=false` takes the seeding line out of the notebook, and only that."""
    plain = document.CallPlan("/repo", ("/repo",), "m", seed_globals=False)
    seeded = document.CallPlan("/repo", ("/repo",), "m")
    assert document.setup(7, seeded) == document.setup(7, plain) + "\n\nmitosis.kernel.seed(7)"


@pytest.mark.parametrize(
    ("module", "function", "source"),
    [
        ("mitosis.examples.lorenz", "run", "from mitosis.examples.lorenz import run"),
        ("toy", "train", "from toy import train as run"),
        ("toy", "params", "from toy import params as run"),
        ("toy", "Model.fit", "from toy import Model\n\nrun = Model.fit"),
        ("toy", "sys.fit", "from toy import sys as owner\n\nrun = owner.fit"),
        ("größe.数据", "лоренц", "from größe.数据 import лоренц as run"),
    ],
)
def test_the_import_gives_the_experiment_the_name_run(module: str, function: str, source: str) -> None:
    """Whatever the function is called, the call cell finds it, and no name that the cells use is taken."""
    assert document.import_run(module, function) == source


@pytest.mark.parametrize(
    "name", [*HOSTILE, "a-b", "class", "a.if", "a..b", ".a", "a.", "1a", "ﬁle", "a;b", "a b"]
)
def test_what_is_no_name_is_refused(name: str) -> None:
    """A module or function that no import statement could name is refused, and the message names it."""
    for pair in ((name, "run"), ("toy", name)):
        with pytest.raises(ConfigurationRefused, match="is no name that Python can import") as caught:
            document.import_run(*pair)
        assert "\n" not in caught.value.what


def test_the_call_passes_the_seed_either_way() -> None:
    """By position for `run(seed, /)`, by keyword where the signature wants it."""
    bare = document.CallPlan(cwd="/", source_roots=(), argv0="m", seed_globals=False)
    assert document.call(7, bare, by_keyword=False) == "result = run(7, **params)"
    assert document.call(-7, bare, by_keyword=True) == "result = run(seed=-7, **params)"
    seeded = document.CallPlan(cwd="/", source_roots=(), argv0="m")
    assert document.call(7, seeded, by_keyword=False) == "mitosis.kernel.seed(7)\nresult = run(7, **params)"


def test_a_notebook_is_valid_and_its_cells_can_be_found() -> None:
    """The cells have the agreed tags in the agreed order, as ids too, so that two notebooks compare well."""
    nb = document.new(spec(), PLAN)
    nbformat.validate(nb)
    tags = ["title", "setup", "parameters", "import", "call", "metrics"]
    assert [cell.id for cell in nb.cells] == tags
    assert [cell.metadata.tags for cell in nb.cells] == [[tag] for tag in tags]
    assert nb == document.new(spec(), PLAN)


@pytest.mark.parametrize(
    "name", [*HOSTILE, "<script>alert(1)</script>", "a|b", "[x](javascript:1)", "$x_1$ *b* `c`"]
)
def test_the_title_shows_hostile_names_as_text(name: str) -> None:
    """Rendered, there are one heading and one table whose cells are the names, and no other markup."""
    from nbconvert.filters import markdown2html

    page = markdown2html(document.title(spec(experiment=name, variant=name)))
    cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", page, re.DOTALL)
    assert len(cells) == 12
    shown = {unescape(k): unescape(v) for k, v in zip(cells[::2], cells[1::2], strict=True)}
    assert shown["experiment"] == shown["variant"] == markup.visible(name).strip()
    assert set(re.findall(r"<(\w+)", page)) <= {"h1", "a", "table", "thead", "tbody", "tr", "th", "td"}


def test_importing_the_module_imports_nothing_heavy() -> None:
    """Neither document nor report costs the launcher nbconvert or nbformat before they are needed."""
    code = (
        "import sys, mitosis.notebook.document, mitosis.notebook.report\n"
        "print([m for m in ('nbconvert', 'nbformat', 'nbclient', 'jinja2', 'traitlets') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"


@pytest.mark.kernel
def test_restart_and_run_all_by_hand_gives_the_same_main(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The notebook alone, run in a plain Jupyter kernel from another folder, repeats what the cells say."""
    from nbclient import NotebookClient

    source = tmp_path / 'it\'s a "repo" 数据' / "src"
    source.mkdir(parents=True)
    (source / "toy.py").write_text(
        "import os, random, sys\n"
        "class Model:\n"
        "    @staticmethod\n"
        "    def fit(seed, /, text, scale):\n"
        "        return {'main': scale * random.random() + seed, 'text': [text, os.getcwd(), sys.argv]}\n"
    )
    plan = document.CallPlan(str(source.parent), (str(source.parent), str(source)), "toy")
    text = HOSTILE[2]
    nb = document.new(spec(module="toy", function="Model.fit", params={"text": text, "scale": 2.0}), plan)
    nb.cells.append(nbformat.v4.new_code_cell("import json\nprint(json.dumps(result))"))
    monkeypatch.chdir(tmp_path)
    mains = []
    for _ in range(2):
        NotebookClient(nb, timeout=60, kernel_name="python3").execute()
        result = ast.literal_eval(nb.cells[-1].outputs[0].text)
        mains.append(result["main"])
        assert result["text"] == [text, os.path.realpath(source.parent), ["toy"]]
    assert mains[0] == mains[1]
    assert 7 <= mains[0] < 9
