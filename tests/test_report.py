"""The page of a trial: that it says what happened, loads nothing, runs nothing, and has a bearable size."""

from __future__ import annotations

import base64
import dataclasses
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat import v4

from mitosis import identity
from mitosis.notebook import document, markup, report
from mitosis.trial import (
    CodeState,
    Failure,
    FileRecord,
    HostProcess,
    ModuleRecord,
    Outcome,
    Remark,
    Status,
    Trial,
    TrialSpec,
    Variant,
)

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SVG = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><script>alert(1)</script></svg>"
EVIL = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</pre></div></details></body><h1>succeeded",
    "\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b[2J",
    "{{ 7 * 7 }}{% raw %}",
    "naïve 数据 \u202eturned\x00",
    "javascript:alert(1)",
]


def make(folder: Path, **changes: Any) -> TrialSpec:
    params = changes.pop("params", {"dt": 0.01, "model": {"kernel": "rbf"}})
    given: dict[str, Any] = {
        "id": "3f2a91c0de12",
        "experiment": "lorenz",
        "module": "mitosis.examples.lorenz",
        "function": "run",
        "variant": "fast",
        "variants": (Variant("params", "fast", "ab" * 32, "{}"),),
        "params": identity.canonical(params),
        "param_set": identity.parameter_set(params),
        "seed": 7,
        "code": CodeState(
            "9d7c1b0a4e5f60718293a4b5c6d7e8f901234567", "main", False, "github.com/ada/l", "/repo"
        ),
        "environment": "e" * 64,
        "started_at": "2026-03-14T15:09:26.535897Z",
        "folder": str(folder),
        "process": HostProcess("noether", 1, 1.0, "boot"),
    }
    return TrialSpec(**{**given, **changes})


def notebook(spec: TrialSpec, *outputs: Any, executed: bool = True) -> Any:
    """The notebook of `spec` as if its call had put out `outputs`."""
    nb = document.new(spec, document.CallPlan("/repo", ("/repo",), spec.module))
    if executed:
        for count, cell in enumerate(nb.cells[1:], start=1):
            cell.execution_count = count
    nb.cells[4].outputs = list(outputs)
    return nb


def stream(text: str, name: str = "stdout") -> Any:
    return v4.new_output("stream", name=name, text=text)


def shown(title: str = "", **data: str) -> Any:
    mimes = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf", "html": "text/html"}
    mimes |= {"jpeg": "image/jpeg", "plain": "text/plain", "markdown": "text/markdown"}
    metadata = {"mitosis": {"title": title}} if title else {}
    return v4.new_output("display_data", {mimes[k]: v for k, v in data.items()}, metadata=metadata)


def ended(status: Status = Status.SUCCEEDED, **changes: Any) -> Outcome:
    given: dict[str, Any] = {"main": 0.0189} if status is Status.SUCCEEDED else {}
    return Outcome(status, "2026-03-14T15:09:30Z", **{"seconds": 3.2, **given, **changes})


class Page(HTMLParser):
    """What a browser would find in a page: its elements, its text, and what stands open at the end."""

    VOID = {"meta", "link", "img", "br", "hr", "col", "wbr"}  # noqa: RUF012

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = ""
        self.elements: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.text += " "

    def handle_data(self, data: str) -> None:
        if not {"style"} & set(self.open):
            self.text += data


def check_harmless(text: str) -> Page:
    """The page is whole, balanced, runs nothing and loads nothing."""
    page = Page(text)
    assert not page.open
    active = {"script", "iframe", "object", "embed", "form", "input", "base", "svg", "video", "audio"}
    assert not active & set(page.elements)
    assert page.elements["body"] == page.elements["h1"] == page.elements["main"] == 1
    for tag, name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "srcset", "poster", "background", "action") or (tag, name) == ("link", "href"):
            assert value.startswith("data:image/")
        if name == "href":
            assert re.match(r"data:image/|https?:|mailto:|#|[\w./%-]+$", value)
    assert "url(" not in text
    assert "@import" not in text
    return page


# --- what the page says -----------------------------------------------------------------------


def test_the_head_says_what_happened(tmp_path: Path) -> None:
    """Status, number, seed, variant, commit, times, metrics, parameters, remarks and files are all there."""
    spec = make(tmp_path, note="a first line\nand a second", tags=("paper",), sweep="5eeb", job=3)
    (tmp_path / "result.pkl").write_bytes(b"")
    outcome = ended(
        metrics={"exponent": 0.9012345678901, "nothing": float("nan")},
        cpu_seconds=7500.0,
        figures=("figure-01.png",),
        taints=(Remark("input_changed", "a file changed while the trial ran", "data/a.csv"),),
        notes=(Remark("unkept", "the commit may be collected"),),
        inputs=(FileRecord("data/b.csv", "cd" * 32, 1234567, "observed"),),
        modules=(
            ModuleRecord("toy", "toy.py", "0", "commit"),
            ModuleRecord("lib", "/lib.py", "0", "outside"),
        ),
    )
    page = check_harmless(report.html(notebook(spec, shown(png=PNG)), Trial(spec, outcome)))
    words = " ".join(page.text.split())
    for text in (
        "succeeded lorenz variant fast seed 7 main 0.0189 a first line and a second",
        "trial 3f2a91c0de12 commit 9d7c1b0 branch main started (UTC) 2026-03-14 15:09:26",
        "run time 3.2 s CPU time 2 h 5 min host noether sweep 5eeb, job 3 tags paper",
        "taint: input changed a file changed while the trial ran data/a.csv note: unkept the commit",
        "Metrics main 0.0189 exponent 0.9012345678901 nothing nan Parameters dt 0.01 model.kernel rbf",
        "notebook.ipynb result.pkl trial.json figures/",
        "data/b.csv 1,234,567 bytes cdcdcdcdcdcd",
        "1 as in the commit lib: outside",
        "params/fast version 1, abababababab",
        str(tmp_path),
    ):
        assert text in words
    assert ("a", "href", "notebook.ipynb") in page.attributes
    assert ("a", "href", "figures/figure-01.png") in page.attributes


@pytest.mark.parametrize("status", [s for s in Status if s not in (Status.RUNNING, Status.SUCCEEDED)])
def test_the_cause_stands_at_the_head(tmp_path: Path, status: Status) -> None:
    """A trial that did not succeed shows its status, why, and the user's traceback before the notebook."""
    spec = make(tmp_path)
    error = Failure(
        "ValueError", "step <b>too</b> large\nsecond line", 'File "toy.py", line 3\nValueError: step'
    )
    trial = Trial(spec, ended(status, error=error))
    page = check_harmless(report.html(notebook(spec, stream("before the end\n")), trial))
    words = page.text
    order = [
        status.value.replace("_", " "),
        "no result",
        "step <b>too</b> large\nsecond line",
        "toy.py",
        "before",
    ]
    places = [words.index(text) for text in order]
    assert places == sorted(places)
    assert ("html", "data-status", status.value) in page.attributes


def test_a_traceback_that_only_the_notebook_has_is_shown(tmp_path: Path) -> None:
    """Where the record has no traceback, the notebook's own stands at the head, its colours kept."""
    spec = make(tmp_path)
    error = v4.new_output("error", ename="KeyError", evalue="'x'", traceback=["\x1b[31mKeyError\x1b[0m: 'x'"])
    trial = Trial(spec, ended(Status.FAILED, error=Failure("KeyError", "'x'")))
    text = report.html(notebook(spec, error), trial)
    assert check_harmless(text).elements["h1"] == 1
    assert text.count('<span class="ansi-red-fg">KeyError</span>') == 2


@pytest.mark.parametrize(
    "main", [0, -0.0, float("nan"), float("inf"), True, None, "text", [1, 2], {"a": 1}, 2**2100]
)
def test_any_main_is_shown(tmp_path: Path, main: Any) -> None:
    """Zero, nan, null and whole documents are results, and none of them is taken for `no result`."""
    page = check_harmless(report.html(None, Trial(make(tmp_path), ended(main=main))))
    assert "no result" not in page.text
    assert "Metrics" in page.text


def test_a_notebook_that_was_cut_short_is_shown_as_far_as_it_came(tmp_path: Path) -> None:
    """A dead kernel leaves cells without number and output: they are shown, and marked as not run."""
    spec = make(tmp_path)
    nb = notebook(spec, executed=False)
    page = check_harmless(report.html(nb, Trial(spec, ended(Status.DIED, error=Failure("died", "SIGKILL")))))
    assert page.text.count("not run") == 5
    running = check_harmless(report.html(nb, Trial(spec)))
    assert "not run" not in running.text
    assert "no result yet" in running.text


def test_a_notebook_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    """Without a readable notebook there is a page all the same, with everything that the record knows."""
    page = check_harmless(report.html(None, Trial(make(tmp_path), ended(Status.LOST))))
    assert "cannot be read" in page.text
    assert "lost" in page.text


def test_a_notebook_of_somebody_else_is_shown(tmp_path: Path) -> None:
    """Cells of any kind, without tags, ids or outputs, make no trouble."""
    nb = v4.new_notebook(
        cells=[v4.new_markdown_cell("# Own *title*"), v4.new_raw_cell("raw"), v4.new_code_cell("")]
    )
    page = check_harmless(report.html(nb, Trial(make(tmp_path), ended())))
    assert "Own title" in page.text


# --- nothing hostile gets through -------------------------------------------------------------


@pytest.mark.parametrize("evil", EVIL)
def test_hostile_text_is_text_everywhere(tmp_path: Path, evil: str) -> None:
    """Names, values, messages and outputs that look like markup or control a terminal are only shown."""
    spec = make(
        tmp_path / evil.replace("\x00", "").replace("/", ""),
        experiment=evil,
        variant=evil,
        note=evil,
        tags=(evil,),
        sweep=evil,
        module="toy",
        params={evil: evil, "deep": {evil: [evil]}},
        overrides=(f"params.x={evil}",),
        code=CodeState(evil, evil, True, evil, evil, evil, False, evil),
        process=HostProcess(evil, 1, 1.0, "boot"),
        notes=(Remark("kind", evil, evil),),
    )
    outcome = ended(
        Status.FAILED,
        metrics={evil: 1.0},
        main=evil,
        error=Failure(evil, evil, evil),
        taints=(Remark(evil, evil, evil),),
        inputs=(FileRecord(evil, evil, 1, evil),),
        figures=(f"{evil}.png",),
        modules=(ModuleRecord(evil, evil, evil, evil),),
    )
    error = v4.new_output("error", ename=evil, evalue=evil, traceback=[evil])
    outputs = [stream(evil), stream(evil, "stderr"), error, shown(evil, png=PNG), shown(plain=evil)]
    nb = notebook(
        spec, *outputs, shown(evil, html=evil), shown(markdown=evil), shown(svg=SVG), shown(png=evil)
    )
    nb.cells.append(v4.new_markdown_cell(evil))
    nb.cells.append(v4.new_code_cell(evil))
    text = report.html(nb, Trial(spec, outcome))
    check_harmless(text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)


def test_no_output_can_be_a_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Templates in the working directory or in Jupyter's own folders do not take the place of ours."""
    for folder in (tmp_path, tmp_path / "jupyter/nbconvert/templates/base"):
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("report.html.j2", "index.html.j2", "report.css", "conf.json"):
            (folder / name).write_text('{"preprocessors": {"1": {"type": "no.such.module"}}}')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    report._exporter.cache_clear()
    check_harmless(report.html(None, Trial(make(tmp_path), ended())))


def test_the_browser_is_forbidden_to_load_or_run_anything(tmp_path: Path) -> None:
    """The policy stands before everything it is to govern, and allows embedded images and our style alone."""
    text = report.html(None, Trial(make(tmp_path), ended()))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    assert policy[1].split("; ") == [
        "default-src 'none'",
        "img-src data:",
        "style-src 'unsafe-inline'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert policy.start() < text.index("<title>")


def test_lone_surrogates_can_be_saved(tmp_path: Path) -> None:
    """A file name that is no UTF-8 reaches the page as an escape, and the page can be written."""
    spec = make(Path("/data/\udcff"))
    nb = notebook(spec, stream("name \udcff\n"))
    assert b"\\udcff" in report.html(nb, Trial(spec, ended())).encode()


# --- outputs ----------------------------------------------------------------------------------


def test_pieces_of_a_stream_are_one_output(tmp_path: Path) -> None:
    """What was flushed in several pieces reads as one text; the other stream in between is its own."""
    spec = make(tmp_path)
    nb = notebook(spec, stream("a"), stream("b\n"), stream("warn\n", "stderr"), stream("c\n"))
    assert re.findall(r"<pre[^>]*aria-label[^>]*>([^<]*)", report.html(nb, Trial(spec, ended()))) == [
        "ab",
        "warn",
        "c",
    ]


def test_a_progress_bar_is_its_last_state() -> None:
    """Carriage returns write over, also at the end of a line; colours stay, other escapes go."""
    assert markup.terminal("x\n 10%\r 50%\r100%\r\ny\r\n") == "x\n100%\ny\n"
    assert markup.terminal("\x1b[1;31mred\x1b[0m\x1b[2K\x1b]8;;http://x\x1b\\link\x1b(B\x07\x9b") == (
        "\x1b[1;31mred\x1b[0mlink"
    )


@given(st.text(st.sampled_from("ab\n \x1b[m0;3\r\x9b\x07]\\"), max_size=300))
def test_terminal_text_keeps_no_control_but_colours(text: str) -> None:
    """Whatever the mixture of escapes, newlines and colour sequences are all that is left of control."""
    rest = re.sub(r"\x1b\[[0-9;]*m", "", markup.terminal(text))
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", rest)


@given(st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=200), max_size=120))
def test_folding_hides_nothing(lines: list[str]) -> None:
    """A text within the limit is all there, in its order, and only long texts are folded."""
    text = "\n".join(lines)
    parts = markup.fold(text)
    assert text in (parts.end, f"{parts.before}\n{parts.end}", parts.before + parts.end)
    assert bool(parts.before) == bool(parts.label) == (len(lines) > 40 or len(text) > 5000)


def test_long_outputs_are_folded_to_their_end(tmp_path: Path) -> None:
    """Of five thousand lines the last twelve are in sight, the others one click away without any script."""
    spec = make(tmp_path)
    nb = notebook(spec, stream("".join(f"epoch {i}\n" for i in range(5000))))
    text = report.html(nb, Trial(spec, ended()))
    assert "<summary>4,988 earlier lines</summary>" in text
    assert "epoch 4987</pre></details>" in text
    assert re.search(r">epoch 4988\n(.*\n){10}epoch 4999</pre>", text)


@pytest.mark.parametrize(
    ("html", "left"),
    [
        ("<b>x</b><script>alert('</b>')</script>", "<b>x</b>"),
        ("a<style>.x{}</style><p class=x id=y onclick=z>b", "a<p>b</p>"),
        (
            "<table><tr><td colspan='2'>1</table></div></div></main>",
            '<table><tr><td colspan="2">1</td></tr></table>',
        ),
        ("<a href='java\nscript:x'>k</a>", '<a rel="noreferrer">k</a>'),
        ("<a href='//h/x'>k</a>", '<a rel="noreferrer">k</a>'),
        ("<a href=https://a.b/?c&amp;d>k</a>", '<a rel="noreferrer" href="https://a.b/?c&amp;d">k</a>'),
        ("<img src='http://x/y.png'><img src=x onerror=alert(1)>", ""),
        (f"<img src='data:image/png;base64,{PNG}'>", f'<img src="data:image/png;base64,{PNG}">'),
        ("<img src='data:text/html,x'>text", "text"),
        ("<svg><svg/><a xlink:href='x'>in</a></svg></svg>out", "out"),
        ("<td style='COLOR: red; position:fixed; width: expression(1)'>x", '<td style="color:red">x</td>'),
        ("<td style='background-color: #ffd'>x", '<td style="background-color:#ffd;color:#16191d">x</td>'),
        ("<td style='color:red;background-color:url(//x)'>x", '<td style="color:red">x</td>'),
        ("1 < 2 &lt;b&gt; &amp; <!-- <b> --> 3 <3", "1 &lt; 2 &lt;b&gt; &amp;  3 &lt;3"),
        ("<iframe srcdoc='<b>x</b>'>no</iframe>", ""),
        ("<div>  \n</div>", ""),
        ("<unknown>text</unknown>", "text"),
        ("text<b title='>' title=\"<i>\">x</b", 'text<b title="&lt;i&gt;">x</b>'),
        ("<plaintext>all the rest <b>", ""),
        ("<noscript><p title='</noscript><img src=x onerror=alert(1)>'>", "&#x27;&gt;"),
    ],
)
def test_of_foreign_html_only_what_shows_something_is_left(html: str, left: str) -> None:
    """Scripts, styles, frames, handlers, positions and addresses go; text, tables and their colours stay."""
    assert markup.harmless(html) == left


PIECES = (
    "<b> </b> <div> </div> <table> <tr> <td> </td> </table> <a href=x> </a> <img src=x> <p/> <br> <h1> </h1> "
    '<script> </script> <svg> </svg> <style> </style> <!-- --> <!x> </ <a \' " <b title=" > < & &lt; &#60; t '
    "<textarea> </textarea> <K> <\u017fcript> </main> </body> <![CDATA[ ]]>"
)
pieces = st.sampled_from(PIECES.split())


@given(st.lists(pieces, max_size=40).map("".join) | st.text())
def test_foreign_html_comes_out_balanced_and_inactive(html: str) -> None:
    """No input, however broken, leaves an element open or ends one that it did not begin."""
    page = Page(f"<main>{markup.harmless(html)}</main>")
    assert not page.open
    assert page.elements["main"] == 1
    assert set(page.elements) <= set(markup._ALLOWED) | {"main"}
    assert {name for _, name, _ in page.attributes} <= {"href", "rel", "title"}


@pytest.mark.parametrize(
    "piece", ["<!--", "<", "<a ", "<a href='", "<a b=", "<![CDATA[", "&#", "</", "<?", "<p>", "<svg>"]
)
def test_no_foreign_html_takes_forever(piece: str) -> None:
    """A quarter of a megabyte of what makes parsers quadratic is cleaned like any other text."""
    check = Page(f"<main>{markup.harmless(piece * (250_000 // len(piece)))}</main>")
    assert not check.open


def test_a_table_is_shown_and_its_scripts_are_not(tmp_path: Path) -> None:
    """A pandas table keeps its cells; one with a script loses that, and what is only script is said so."""
    spec = make(tmp_path)
    table = "<style scoped>td{}</style><table class='dataframe'><tr><th>model</th><td>svm</td></tr></table>"
    only_script = shown(
        html="<div id=x></div><script>draw()</script>", plain="<IPython.core.display.HTML object>"
    )
    drawn = shown(html="<div>Trust me</div><script>draw()</script>", png=PNG)
    text = report.html(notebook(spec, shown(html=table, plain="t"), only_script, drawn), Trial(spec, ended()))
    page = check_harmless(text)
    assert "<table><tr><th>model</th><td>svm</td></tr></table>" in text
    assert page.text.count("An output that needs scripts is not shown here") == 1
    assert "IPython.core" not in page.text
    assert "Trust me" not in page.text
    assert page.elements["img"] == 1


def test_svg_is_an_image_and_cannot_run(tmp_path: Path) -> None:
    """An SVG is embedded as an image, in which no script runs, and a huge one gives way to its PNG."""
    spec = make(tmp_path)
    huge = SVG + "<!--" + "x" * 300_000 + "-->"
    text = report.html(
        notebook(spec, shown(svg=SVG, png=PNG), shown(svg=huge, png=PNG)), Trial(spec, ended())
    )
    check_harmless(text)
    sources = re.findall(r'<img src="data:(image/[^;]*);base64,([^"]*)"', text)
    assert [mime for mime, _ in sources] == ["image/svg+xml", "image/png"]
    assert base64.b64decode(sources[0][1]).decode() == SVG


# --- sizes ------------------------------------------------------------------------------------


def test_a_page_and_its_notebook_are_small(tmp_path: Path) -> None:
    """Of its own the page has under 25 KB, and with the notebook of a no-op trial under 40 KB."""
    spec = make(tmp_path)
    nb = notebook(spec)
    text = report.html(nb, Trial(spec, ended()))
    assert len(text.encode()) < 25_000
    assert len(text.encode()) + len(nbformat.writes(nb).encode()) < 40_000


@pytest.mark.parametrize(
    "text", ["0123456789abcdef\n" * 3_000_000, "x" * 100_000_000, "\x1b[31mx\x1b[0m" * 2_000_000]
)
def test_a_flood_of_output_does_not_flood_the_page(tmp_path: Path, text: str) -> None:
    """Of 50 MB of stdout, a line of 100 MB, or a million colours, head and tail are shown."""
    spec = make(tmp_path)
    page = report.html(notebook(spec, stream(text + "\nthe end\n")), Trial(spec, ended()))
    assert len(page) < 1_500_000
    assert "characters are left out here" in page
    assert "the end</pre>" in page


def test_a_flood_of_outputs_does_not_flood_the_page(tmp_path: Path) -> None:
    """A hundred thousand small outputs end in a line that counts the others and says where they are."""
    spec = make(tmp_path)
    nb = notebook(spec, *[shown(plain=f"object {i}") for i in range(20_000)])
    page = report.html(nb, Trial(spec, ended()))
    assert len(page) < 3_000_000
    assert re.search(r"[\d,]+ more outputs are in notebook.ipynb", page)


def test_many_figures_are_files_and_the_page_shows_what_it_can_hold(tmp_path: Path) -> None:
    """Five thousand figures become as many files; those too many for the page are counted there."""
    spec = make(tmp_path)
    large = base64.b64encode(base64.b64decode(PNG) + bytes(9_000)).decode()
    nb = notebook(spec, *[shown("loss", png=large) for _ in range(5_000)])
    names = report.figures(nb, tmp_path / "figures", ["png"])
    assert len(set(names)) == len(list((tmp_path / "figures").iterdir())) == 5_000
    assert names[0] == "loss.png"
    assert names[-1] == "loss-5000.png"
    page = report.html(nb, Trial(spec, ended(figures=tuple(names))))
    assert len(page) < 30_000_000
    assert re.search(r"[\d,]+ more outputs are in notebook.ipynb, their figures in figures/", page)


def test_many_metrics_and_parameters_are_folded_and_counted(tmp_path: Path) -> None:
    """Ten thousand metrics show the first, fold some and count the rest; a long value keeps its ends."""
    spec = make(tmp_path, params={"grid": list(range(100_000)), **{f"p{i}": i for i in range(30)}})
    outcome = ended(metrics={f"m{i}": float(i) for i in range(10_000)})
    text = report.html(notebook(spec), Trial(spec, outcome))
    assert len(text) < 1_000_000
    assert "<summary>9,976 more</summary>" in text
    assert "<summary>6 more</summary>" in text
    assert "The other 9,501 are in trial.json." in text
    assert "(100000 values)" in text


# --- figures ----------------------------------------------------------------------------------


def test_figures_are_called_by_their_titles(tmp_path: Path) -> None:
    """Titles become names, sanitised and unique also where case does not count; others have their number."""
    titles = [
        "Lorenz attractor",
        "",
        "../../etc/passwd",
        r"$\lambda_1$ vs. t",
        "Loss",
        "loss",
        "数据 é",
        "\n",
        "x" * 300,
    ]
    nb = v4.new_notebook(cells=[v4.new_code_cell(outputs=[shown(t, png=PNG, plain="p") for t in titles])])
    names = report.figures(nb, tmp_path / "a b" / "figures", ["png"])
    assert names == [
        "Lorenz-attractor.png",
        "figure-02.png",
        "etc-passwd.png",
        "lambda_1-vs-t.png",
        "Loss.png",
        "loss-2.png",
        "数据-é.png",
        "figure-08.png",
        f"{'x' * 150}.png",
    ]
    assert all((tmp_path / "a b" / "figures" / n).read_bytes() == base64.b64decode(PNG) for n in names)
    assert report.figures(nb, tmp_path / "a b" / "figures", ["png"]) == names
    assert len(list((tmp_path / "a b" / "figures").iterdir())) == len(names)


def test_figures_come_in_the_formats_that_are_asked_for(tmp_path: Path) -> None:
    """Of what an output carries the formats asked for are written; one that has none of them is not lost."""
    pdf = base64.b64encode(b"%PDF-1.4").decode()
    outputs = [shown("both", png=PNG, svg=SVG, pdf=pdf), shown("only", jpeg=PNG), shown(plain="no figure")]
    nb = v4.new_notebook(cells=[v4.new_code_cell(outputs=outputs)])
    assert report.figures(nb, tmp_path / "1", ["svg", "png"]) == ["both.png", "both.svg", "only.jpg"]
    assert (tmp_path / "1" / "both.svg").read_text() == SVG
    assert report.figures(nb, tmp_path / "2", ["pdf"]) == ["both.pdf", "only.jpg"]
    assert (tmp_path / "2" / "both.pdf").read_bytes() == b"%PDF-1.4"
    assert report.figures(nb, tmp_path / "3", ["jpg"]) == ["both.pdf", "both.png", "both.svg", "only.jpg"]


def test_a_figure_that_no_page_can_show_is_linked(tmp_path: Path) -> None:
    """A figure in PDF alone is a link with its title."""
    spec = make(tmp_path)
    nb = notebook(spec, shown("My plot", pdf=base64.b64encode(b"%PDF-1.4").decode(), plain="<Figure>"))
    names = report.figures(nb, tmp_path / "figures", ["pdf"])
    text = report.html(nb, Trial(spec, ended(figures=tuple(names))))
    assert '<figcaption>My plot <a href="figures/My-plot.pdf">pdf</a></figcaption>' in text


def test_a_damaged_figure_is_left_out_and_said_so(tmp_path: Path) -> None:
    """What is no base64 becomes no file, and the page says that the image is damaged."""
    spec = make(tmp_path)
    nb = notebook(spec, shown("bad", png="<script>"), shown("half", png=PNG[:-3]), shown("none", png=""))
    assert report.figures(nb, tmp_path / "figures", ["png"]) == []
    page = check_harmless(report.html(nb, Trial(spec, ended())))
    assert page.text.count("This image is damaged.") >= 2


def test_no_figures_leave_no_folder(tmp_path: Path) -> None:
    """A notebook without figures makes no empty directory."""
    assert report.figures(notebook(make(tmp_path), stream("x")), tmp_path / "figures", ["png"]) == []
    assert not (tmp_path / "figures").exists()


def test_the_template_is_part_of_the_package() -> None:
    """Template and style lie inside the package, so that every way of installing it brings them along."""
    package = Path(report.__file__).parents[1]
    assert report.TEMPLATE.is_file()
    assert (report.TEMPLATE.parent / "report.css").is_file()
    assert report.TEMPLATE.is_relative_to(package)


def test_a_page_changes_nothing_in_the_notebook(tmp_path: Path) -> None:
    """Neither the figures' extraction nor the page touches what was executed."""
    spec = make(tmp_path)
    nb = notebook(spec, stream("a"), stream("b"), shown("t", png=PNG, html="<p> x"))
    before = nbformat.writes(nb)
    report.figures(nb, tmp_path / "figures", ["png"])
    report.html(nb, Trial(spec, dataclasses.replace(ended(), figures=("t.png",))))
    assert nbformat.writes(nb) == before
