"""What no seed decides, and what cannot be watched, is noted with the user's line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PRELUDE = """\
import json, os, sys
sys.path.insert(0, {here!r})
from mitosis.kernel import chance, notes, places, relay, unseeded, unseen, watch
relay.begin({here!r})
notes.begin(places.code({here!r}))
unseeded.install()
chance.seed(1)
watch.begin(places.data(own=[{here!r}]), {{**unseen.EVENTS, "chance": unseeded.drawn}})
import user
unseeded.settle()
unseen.loaded()
print("NOTED", json.dumps(notes.found()))
"""


def noted(here: Path, code: str, **env: str) -> list[dict[str, str]]:
    """The notes on a module of the user's that holds `code`, in a process of its own: hooks stay."""
    (here / "user.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE.format(here=str(here))],
        capture_output=True, text=True, check=False,
        env={"PYTHONHASHSEED": "0", "PATH": "/bin:/usr/bin", **env},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[dict[str, str]] = json.loads(done.stdout.partition("NOTED ")[2])
    return found


UNSEEDED = [
    "import random; random.Random()",
    "import random; random.Random(None)",
    "import random; random.seed()",
    "from random import seed; seed()",
    "import random; random.SystemRandom().random()",
    "import random; random.SystemRandom(3).choice([1, 2])",
    "import os; os.urandom(1)",
    "from os import urandom; urandom(1)",
    "import os; os.getrandom(1)",
    "import secrets; secrets.token_bytes(1)",
    "import secrets; secrets.randbelow(9)",
    "import uuid; uuid.uuid4()",
    "open('/dev/urandom', 'rb').read(1)",
    "open('/dev/random', 'rb').read(1)",
    "import numpy as np; np.random.default_rng()",
    "import numpy as np; np.random.default_rng(None)",
    "import numpy as np; np.random.RandomState()",
    "import numpy as np; np.random.RandomState(None)",
    "import numpy as np; np.random.SeedSequence()",
    "import numpy as np; np.random.Generator(np.random.MT19937())",
    "import numpy as np; np.random.seed()",
    "import numpy as np; np.random.seed(None)",
    "import numpy as np; np.random.default_rng(None); np.random.seed(5)",
    "import numpy as np; f = np.random.default_rng; f(*())",
]


@pytest.mark.parametrize("code", UNSEEDED)
def test_a_draw_without_a_seed_is_noted_with_its_line(tmp_path: Path, code: str) -> None:
    """Once, whether the module draws while it is imported or later."""
    if "numpy" in code:
        pytest.importorskip("numpy")
    code = code.replace("; ", "\n", 1)
    (note,) = noted(tmp_path, code)
    assert note["kind"] == "unseeded"
    assert note["where"] == f"{tmp_path / 'user.py'}:{len(code.splitlines())}"


@pytest.mark.parametrize(
    "code",
    [
        "import random; random.Random(3).random(); random.seed(3); random.random()",
        "import numpy as np; np.random.default_rng(3); np.random.seed(3); np.random.random()",
        "import numpy as np; np.random.RandomState(3); np.random.RandomState([3, 4]); np.random.MT19937(3)",
        "import numpy as np; np.random.RandomState(seed=np.int64(3)); np.random.default_rng(seed=3).spawn(2)",
        "import tempfile; tempfile.TemporaryFile(); tempfile.mkdtemp()",
        "import multiprocessing; multiprocessing.Queue()",
        "import numpy, email.message",
    ],
)
def test_what_is_seeded_or_harmless_is_not_noted(tmp_path: Path, code: str) -> None:
    """A seed of any kind, names of temporary files, and what libraries draw for themselves."""
    if "numpy" in code:
        pytest.importorskip("numpy")
    assert noted(tmp_path, code) == []


def test_a_users_module_is_not_harmless_by_its_name(tmp_path: Path) -> None:
    """A package of the user's called `comm` is the user's."""
    (tmp_path / "comm.py").write_text("import os\n\ndef f():\n    return os.urandom(3)\n")
    (note,) = noted(tmp_path, "import comm\ncomm.f()")
    assert note["where"].endswith("comm.py:4")


def test_the_draw_of_a_forked_child_is_noted(tmp_path: Path) -> None:
    """It comes back to the process that wrote the outcome."""
    pytest.importorskip("numpy")
    code = (
        "import os\nimport numpy as np\npid = os.fork()\n"
        "if not pid:\n    np.random.default_rng()\n    os._exit(0)\nos.waitpid(pid, 0)"
    )
    assert [n["where"].rpartition(":")[2] for n in noted(tmp_path, code)] == ["5"]


def test_a_loop_does_not_fill_the_record(tmp_path: Path) -> None:
    """A line is noted once, and of one kind not more than twenty."""
    code = "import os\n" + "for _ in range(9): os.urandom(1)\n" * 40
    assert len(noted(tmp_path, code)) == 20


@pytest.mark.parametrize("value", ["random", ""])
def test_random_hashes_are_noted(tmp_path: Path, value: str) -> None:
    """Python takes an empty PYTHONHASHSEED for none; a number is one."""
    assert [n["where"] for n in noted(tmp_path, "", PYTHONHASHSEED=value)] == ["PYTHONHASHSEED"]
    assert noted(tmp_path, "", PYTHONHASHSEED="7") == []


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("import subprocess\nsubprocess.run(['true', 'x'])", "program true"),
        ("import subprocess\nsubprocess.run('true x', shell=True)", "program sh"),
        ("import os\nos.system('true x')", "program true"),
        ("import os\nos.waitpid(os.posix_spawn('/bin/true', ['x'], {}), 0)", "program true"),
        ("import socket\ns = socket.socket(); s.setblocking(0); s.connect_ex(('192.0.2.1', 9))", "192.0.2.1"),
        ("import multiprocessing\nmultiprocessing.get_context('spawn').Process(target=print)._Popen", ""),
    ],
)
def test_what_cannot_be_watched_is_noted(tmp_path: Path, code: str, word: str) -> None:
    """Programs by name, hosts by address; a loopback connection and a helper of the libraries are none."""
    found = noted(tmp_path, code)
    if not word:
        assert found == []
        return
    (note,) = found
    assert note["kind"] == "unseen" and word in note["what"] and note["where"].endswith("user.py:2")


def test_new_interpreters_are_noted(tmp_path: Path) -> None:
    """Workers that are spawned load and read where nothing watches."""
    code = (
        "import multiprocessing as mp\ndef start():\n    p = mp.get_context('spawn').Process(target=print)\n"
        "    p.start(); p.join()\nif __name__ == 'user':\n    start()\n"
    )
    assert "unseen" in {n["kind"] for n in noted(tmp_path, code)}


def test_connections_within_the_machine_are_not_noted(tmp_path: Path) -> None:
    """Loopback and sockets of the file system."""
    code = "import socket\nfor host in ('127.0.0.1', 'localhost'):\n    socket.socket().connect_ex((host, 9))"
    assert noted(tmp_path, code) == []
