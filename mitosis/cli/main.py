"""The entry point: the first word is a command of ours, or everything goes to Hydra."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Callable, Sequence

from mitosis.errors import MitosisError, Refused

DONE, REFUSED, UNSUCCESSFUL, FAULT, INTERRUPTED = 0, 1, 2, 3, 130

_NO_RUN = ("--cfg", "-c", "--info", "-i", "--hydra-help", "--shell-completion", "-sc", "hydra/launcher")
"""Words of a command line that runs nothing, or nothing here."""

COMMANDS = {
    "init": "make a directory with a first experiment, ready to run",
    "ls": "list trials, newest first",
    "show": "everything about one trial",
    "tag": "put tags and a note on trials, or take them off",
    "open": "open a trial's report in the browser",
    "compare": "which variant is better, by how much, and whether the seeds could explain it",
    "report": "one page, in one file, about chosen trials: what differs and what came out",
    "plot": "a metric over what was swept, or a logged series, as a picture or an interactive page",
    "figures": "copy the figures of trials out, each under a name that stays the same",
    "whence": "which trial a picture came from, by the file alone",
    "variants": "the named choices, their versions, and how often each was used",
    "resume": "go on with a sweep: run what has not succeeded yet",
    "check": "verify the record: store, folders, commits; --rebuild, --merge",
    "diff": "what differs between two trials, variants or sweeps, by cause",
    "why": "which cause made a number change, measured by the trials in between",
    "bisect": "the first commit between two trials at which a number leaves its tolerance",
    "reproduce": "run a trial's recorded recipe again and compare what comes out",
    "noise": "how much a trial's number varies by chance, with one seed and with several",
    "rm": "move trials into the trash",
    "restore": "bring trials back out of the trash",
    "gc": "delete what nothing needs any more: old checkouts, old trash, leftovers",
    "rerun": "run a trial's parameters and seed again, with today's code",
}
"""The commands and the line that `--help` gives each; `mitosis.cli.NAME` holds `command`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; the only place that knows the codes."""
    words = list(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _dispatch(words))


def guarded(body: Callable[[], int]) -> int:
    """Run `body`; an expected error is one or two lines on stderr, a fault of ours shows where it is."""
    try:
        code = body()
        sys.stdout.flush()
    except Refused as error:
        _complain(str(error))
        return REFUSED
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # `mitosis ls | head`: the reader has seen enough
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO) or error.filename is not None:
            return _fault(error)
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _complain(f"the answer could not be written: {error.strerror}\n  make room, or send it elsewhere")
        return REFUSED
    except MitosisError as error:
        _complain(str(error))
        return FAULT
    except Exception as error:  # the boundary: whatever is not foreseen is a fault of ours
        return _fault(error)
    return code


def _fault(error: Exception) -> int:
    traceback.print_exception(error)
    _complain(
        f"a fault of mitosis itself: {type(error).__name__}: {error}\n"
        "  please report it with the lines above and the output of `mitosis --version`"
    )
    return FAULT


def _complain(message: str) -> None:
    """Say it; what was recorded or typed may stand in it, and drives no terminal."""
    from mitosis.cli import text

    message = "\n".join(text.safe_lines(message))
    with contextlib.suppress(OSError, ValueError):  # stderr may be closed
        sys.stderr.write(f"mitosis: {message}\n")
        sys.stderr.flush()


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        from mitosis.cli import overview

        return overview.show()
    if words[0] == "--version":
        from mitosis.cli import overview

        return overview.version()
    if words[0] == "--completion":
        from mitosis.cli import complete

        return complete.run(words[1:], lambda: _to_hydra(["--shell-completion", "query=bash"]))
    if words[0] in COMMANDS:
        return _command(words[0], words[1:])
    if "-h" in words or "--help" in words:
        from mitosis.cli import overview

        return overview.show()
    if sys.platform == "win32":
        raise Refused("mitosis does not run on Windows yet: nobody has tested it", "use Linux, macOS or WSL")
    _refuse_mistyped(words[0])
    if not any(word.partition("=")[0] in _NO_RUN for word in words):
        from mitosis.notebook import forking

        forking.prestart()  # the kernel boots beside Hydra, git and the store
    return _to_hydra(words)


def _to_hydra(words: list[str]) -> int:
    from mitosis.app import main as app
    from mitosis.cli.terminal import Terminal

    return app.run(words, Terminal(hints=True))


def _refuse_mistyped(word: str) -> None:
    """A first word that is neither a command nor an override of Hydra's is a mistyped command."""
    if word.startswith("-") or any(c in word for c in "=~+@") or not word.isidentifier():
        return
    import difflib

    near = difflib.get_close_matches(word, COMMANDS, n=1)
    hint = f"did you mean `mitosis {near[0]}`? " if near else ""
    raise Refused(f"there is no command {word!r}", f"{hint}`mitosis --help` lists the commands")


def _command(name: str, words: list[str]) -> int:
    """Run a click command; click's wrong usage (2) is ours (1)."""
    import importlib

    import click

    command: click.Command = importlib.import_module(f"mitosis.cli.{name}").command
    try:
        words = ["--help" if word == "-h" else word for word in words]
        # not by click's own `main`, which takes a reader that left for an error
        with command.make_context(f"mitosis {name}", words) as context:
            code = command.invoke(context)
    except click.exceptions.Exit as ended:  # of `--help`
        return ended.exit_code
    except click.ClickException as error:
        raise Refused(error.format_message(), f"see `mitosis {name} --help`") from error
    except click.Abort as error:
        raise KeyboardInterrupt from error
    return int(code or 0)
