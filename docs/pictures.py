"""Makes the pictures of the documentation: `python docs/pictures.py`, with the examples installed.

It runs the committed state of this repository in a clone, takes `mitosis ls`, `mitosis compare` and a report
as they are, and lets a headless Chromium draw them, reduced to 256 colours. `mitosis plot` draws the plot.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PICTURES = Path(__file__).resolve().parent / "pictures"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

RUNS = (
    ("-m", "experiment=digits", "model=svm,forest", "seed=range(0,5)"),
    ("experiment=lorenz", "params=fast", "params.dt=1.0"),
    ("-m", "experiment=lorenz", "params=fast", "seed=range(5,8)"),
)
"""What `mitosis ls` lists; the last trial is the one whose report is shown."""

COMMANDS = {
    "ls": ("ls",),
    "compare": ("compare", "--experiment", "digits", "--better", "higher"),
}

TERMINAL = """\
<!DOCTYPE html>
<meta charset="utf-8">
<style>
  body {{ margin: 0; padding: 14px; background: #fff; }}
  pre {{ margin: 0; padding: 18px 22px; border-radius: 10px; background: #1c2128; color: #d5dbe3;
        font: 14px/1.5 "DejaVu Sans Mono", monospace; }}
</style>
<pre>{code}</pre>
"""


def main() -> None:
    """Write the pictures of docs/pictures/."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        sys.exit("no Chromium was found; install it: apt-get install chromium")
    with tempfile.TemporaryDirectory(prefix="mitosis-pictures-") as name:
        scratch = Path(name)
        clone = scratch / "mitosis"
        subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(clone)], check=True)
        for words in RUNS:
            mitosis(clone, *words)
        for name, words in COMMANDS.items():
            printed = mitosis(clone, *words, colours=True)
            page = scratch / f"{name}.html"
            shown = f"$ mitosis {' '.join(words)}\n{printed.rstrip()}"
            page.write_text(terminal(shown), encoding="utf-8")
            size = (1000, 64 + 21 * len(shown.split("\n")))
            draw(browser, page, PICTURES / f"{name}.png", size, scale=2)
        mitosis(
            clone, "plot", "main", "--experiment", "digits", "--by", "model", "-o", str(PICTURES / "plot.png")
        )
        report = json.loads(mitosis(clone, "ls", "--json", "--limit", "1"))[0]["html"]
        draw(browser, Path(report), PICTURES / "report.png", (1060, 1388))


def mitosis(clone: Path, *words: str, colours: bool = False) -> str:
    """What the command prints, run from the clone; a trial that fails is one of the pictures.

    With `colours` it is all that a terminal shows: the next command, too, which goes to stderr in a pipe.
    """
    env = {k: v for k, v in os.environ.items() if k not in ("MITOSIS_STORE", "NO_COLOR", "FORCE_COLOR")}
    if colours:
        env["FORCE_COLOR"] = "1"
    done = subprocess.run(
        [sys.executable, "-m", "mitosis", *words],
        cwd=clone,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 2):
        sys.exit(f"mitosis {' '.join(words)}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout + done.stderr * colours


def terminal(text: str) -> str:
    """A page that shows `text`, with its colours, as a terminal does."""
    from rich.console import Console
    from rich.terminal_theme import TerminalTheme
    from rich.text import Text

    dim = [(40, 44, 52), (240, 113, 120), (110, 200, 130), (230, 190, 110),
           (110, 170, 240), (200, 140, 230), (100, 200, 210), (213, 219, 227)]  # fmt: skip
    theme = TerminalTheme((28, 33, 40), (213, 219, 227), dim, dim)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=200, file=nowhere)
        console.print(Text.from_ansi(text), soft_wrap=True)
        return console.export_html(theme=theme, inline_styles=True, code_format=TERMINAL)


def draw(browser: str, page: Path, picture: Path, size: tuple[int, int], scale: int = 1) -> None:
    """Let the browser draw the top of `page` into `picture`, `size` wide and high, times `scale`."""
    from PIL import Image

    picture.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mitosis-browser-") as profile:
        raw = Path(profile, "raw.png")
        words = ["--headless", "--no-sandbox", "--hide-scrollbars", f"--user-data-dir={profile}",
                 f"--force-device-scale-factor={scale}", f"--window-size={size[0]},{size[1]}",
                 f"--screenshot={raw}", page.as_uri()]  # fmt: skip
        subprocess.run([browser, *words], check=True, capture_output=True, timeout=300)
        Image.open(raw).convert("RGB").quantize(256).save(picture, optimize=True)
    print(f"{picture.relative_to(REPOSITORY)}: {picture.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
