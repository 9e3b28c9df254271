"""`python -m mitosis` is the same as the command `mitosis`."""

import gc
import sys
from typing import Any

from mitosis.cli.main import main

_GARBAGE = 100_000
"""Objects made until Python looks for cycles among them; its own 700 cost a sixth of a short trial.

What is imported is made and stays: hundreds of thousands of objects, that are looked through in vain.
"""


def command() -> None:
    """Run the command line of this process, and end it with the exit code.

    Python takes every module apart at its end, which for Hydra, SQLAlchemy and nbconvert is a tenth of a
    short trial. First comes what it does first, as in its own `multiprocessing`: threads end, and who wants
    to hear of the end does. Under a debugger or a profiler, which have more to say, Python ends as it does.
    """
    gc.set_threshold(_GARBAGE, 20, 100)
    code = main()
    watching = getattr(sys, "monitoring", None)  # Python 3.12: how a profiler hears
    tools = watching is not None and any(map(watching.get_tool, range(6)))
    if tools or sys.gettrace() is not None or sys.getprofile() is not None:
        sys.exit(code)
    import atexit
    import contextlib
    import os
    import threading

    with contextlib.suppress(KeyboardInterrupt):  # it cannot stop any more what is over
        ending: Any = threading  # no public name waits for the threads that are to be waited for
        ending._shutdown()
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, broken, or none
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    command()
