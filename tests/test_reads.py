"""Which reads of libraries are seen: the table of the page, tried in one trial with each of them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import joblib
import numpy
import pandas
import pytest
import scipy.io
from PIL import Image

from tests import project as project_of_tests
from tests.record import Record, cut_off, reads, sha256, trial_of

pytestmark = pytest.mark.kernel

READS = '''\
"""Each line reads the file that its comment names, and no other."""

import mmap
import sqlite3

import h5py
import joblib
import numpy
import pandas
import pyarrow
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import scipy.io
import scipy.io.wavfile
from PIL import Image


def run(seed, x):
    pandas.read_csv("data/c.csv", engine="c")
    pandas.read_csv("data/python.csv", engine="python")
    pandas.read_csv("data/pyarrow.csv", engine="pyarrow")
    pandas.read_csv("data/packed.csv.gz")
    pandas.read_table("data/table.tsv")
    pandas.read_json("data/frame.json")
    pandas.read_pickle("data/frame.pkl")
    pandas.read_feather("data/frame.feather")
    with sqlite3.connect("data/frame.db") as connection:
        pandas.read_sql("select * from t", connection)
        connection.execute("attach 'data/attached.db' as other")
        connection.execute("select * from other.t").fetchall()
    numpy.load("data/array.npy")
    numpy.load("data/arrays.npz")["a"]
    numpy.loadtxt("data/array.txt")
    numpy.genfromtxt("data/gen.txt")
    numpy.fromfile("data/array.bin")
    numpy.memmap("data/memmap.bin", mode="r")[:].sum()
    numpy.load("data/mapped.npy", mmap_mode="r").sum()
    with open("data/plain.bin", "rb") as file:
        mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)[:]
    scipy.io.loadmat("data/matlab.mat")
    scipy.io.wavfile.read("data/sound.wav")
    scipy.io.mmread("data/matrix.mtx")
    with Image.open("data/picture.png") as picture:
        picture.load()
    joblib.load("data/dumped.joblib")
    joblib.load("data/dumped_mapped.joblib", mmap_mode="r").sum()
    with h5py.File("data/whole.h5", "r") as file:
        file["a"][:]
        file["linked"][:]
    pandas.read_parquet("data/frame.parquet")
    pyarrow.parquet.read_table("data/pyarrow.parquet")
    pyarrow.csv.read_csv("data/arrow.csv")
    pyarrow.feather.read_table("data/arrow.feather")
    pyarrow.memory_map("data/arrow.bin").read()
    return {"main": x}
'''

SEEN = [
    "c.csv", "python.csv", "pyarrow.csv", "packed.csv.gz", "table.tsv", "frame.json", "frame.pkl",
    "frame.feather", "frame.db", "array.npy", "arrays.npz", "array.txt", "gen.txt", "array.bin", "memmap.bin",
    "mapped.npy", "plain.bin", "matlab.mat", "sound.wav", "picture.png", "dumped.joblib",
    "dumped_mapped.joblib",
]  # fmt: skip
NOT_SEEN = [
    "frame.parquet", "pyarrow.parquet", "arrow.csv", "arrow.feather", "arrow.bin", "attached.db", "linked.h5",
    "whole.h5", "matrix.mtx",
]  # fmt: skip


def _fill(data: Path) -> None:
    """Write the files that `READS` reads."""
    data.mkdir()
    frame, array = pandas.DataFrame({"a": [1.0, 2.0]}), numpy.arange(6.0)
    for name in ("c", "python", "pyarrow", "arrow"):
        frame.to_csv(data / f"{name}.csv", index=False)
    frame.to_csv(data / "packed.csv.gz")
    frame.to_csv(data / "table.tsv", sep="\t")
    frame.to_json(data / "frame.json")
    frame.to_pickle(data / "frame.pkl")
    for name in ("frame", "arrow"):
        frame.to_feather(data / f"{name}.feather")
    for name in ("frame", "pyarrow"):
        frame.to_parquet(data / f"{name}.parquet")
    for name in ("frame", "attached"):
        connection = sqlite3.connect(data / f"{name}.db")
        frame.to_sql("t", connection)
        connection.close()
    for name in ("array", "mapped"):
        numpy.save(data / f"{name}.npy", array)
    numpy.savez(data / "arrays.npz", a=array)
    for name in ("array", "gen"):
        numpy.savetxt(data / f"{name}.txt", array)
    for name in ("array", "memmap", "plain", "arrow"):
        array.tofile(data / f"{name}.bin")
    scipy.io.savemat(data / "matlab.mat", {"a": array})
    scipy.io.wavfile.write(data / "sound.wav", 8000, array.astype("int16"))
    scipy.io.mmwrite(data / "matrix.mtx", array.reshape(2, 3))
    Image.new("RGB", (4, 4), "red").save(data / "picture.png")
    for name in ("dumped", "dumped_mapped"):
        joblib.dump(array, data / f"{name}.joblib")
    for name in ("linked", "whole"):
        with h5py.File(data / f"{name}.h5", "w") as file:
            file["a"] = array
            if name == "whole":
                file["linked"] = h5py.ExternalLink("linked.h5", "a")


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Record]]:
    """The directory of the files, and the record of the trial that makes the reads of `READS`."""
    with cut_off(tmp_path_factory.mktemp("home")) as home:
        project = project_of_tests.make(home / "reads")
        project.write("toy.py", READS)
        project.write(".gitignore", "/data/\n__pycache__/\n")
        project.commit()
        _fill(project.path / "data")
        yield project.path / "data", trial_of(project, "experiment=toy", "params=one")


@pytest.mark.parametrize("name", SEEN)
def test_a_read_that_is_said_to_be_seen_is_seen(read: tuple[Path, Record], name: str) -> None:
    """The file is an input, with the digest of its content."""
    assert reads(read[1]).get(f"data/{name}") == sha256((read[0] / name).read_bytes())


@pytest.mark.parametrize("name", NOT_SEEN)
def test_a_read_that_is_said_not_to_be_seen_is_not(read: tuple[Path, Record], name: str) -> None:
    """Where this fails the page says less than is true."""
    assert f"data/{name}" not in reads(read[1])


@pytest.mark.parametrize("library", ["h5py", "pyarrow", "scipy.io.mmread"])
def test_a_library_whose_reads_are_not_seen_is_noted(read: tuple[Path, Record], library: str) -> None:
    """The record says where it ends, and what to do about it."""
    (note,) = [n for n in read[1]["notes"] if n["kind"] == "unseen" and n["where"] == library]
    assert "experiment.inputs" in note["what"]


def test_pandas_alone_is_not_noted() -> None:
    """pandas loads parts of pyarrow that open no file; an experiment that only reads CSV gets no note."""
    code = "from mitosis.kernel import notes, unseen; unseen.loaded(); print(notes.found())"
    code = f"import pandas, scipy.io; {code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
