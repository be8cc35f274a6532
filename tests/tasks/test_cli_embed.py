"""Item vectors from the command line."""

import os
import subprocess
import sys

import numpy as np
import pytest

from smartrec.data.embeddings import ItemEmbedder, read_vectors


def embed(*arguments, cwd):
    environment = {**os.environ, "SMARTREC_CACHE": str(cwd / "cache")}
    command = [sys.executable, "-m", "smartrec", "data", "embed", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture
def log(tmp_path):
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((40, 30)) < 0.4)
    rows = "\n".join(f"{user},{1000 + item}" for user, item in zip(users, items, strict=True))
    (tmp_path / "log.csv").write_text(f"reader,book\n{rows}\n")
    lines = "\n".join(f"{1000 + item},{'sea' if item % 2 else 'air'}|x{item % 5},{item}" for item in range(30))
    (tmp_path / "books.csv").write_text(f"item,topics,pages\n{lines}\n")
    return tmp_path


def test_vectors_of_a_log_and_a_table_of_ones_own(log):
    options = ("--columns", "user=reader,item=book", "--items", "books.csv", "--size", "12")
    done = embed("log.csv", "--out", "v.npy", *options, cwd=log)
    assert done.returncode == 0, done.stderr
    assert "30 items, 12 numbers each" in done.stdout
    assert "factors" in done.stdout
    again = embed("log.csv", "--out", "all.npz", *options, cwd=log)
    assert again.stderr == ""  # kept from the first time
    vectors = np.load(log / "v.npy")
    assert vectors.shape == (30, 12)
    np.testing.assert_array_equal(ItemEmbedder.load(log / "all.npz").vectors, vectors)
    assert read_vectors(log / "all.npz").ids.ids.tolist() == list(range(1000, 1030))


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["nowhere.csv", "--out", "v.npy"], "nowhere.csv is not there"),
        (["log.csv", "--out", "v.npy", "--blocks", "txt"], "Did you mean 'text'"),
        (["log.csv", "--out", "v.csv", "--columns", "user=reader,item=book"], "ends in '.csv'"),
        (["log.csv", "--out", "v.npy", "--items", "none.csv", "--columns", "user=reader,item=book"], "none.csv"),
        (["log.csv", "--out", "v.npy", "--columns", "user=reader,item=book", "--blocks", "text"], "pass items="),
    ],
)
def test_mistakes_get_one_message_and_no_traceback(arguments, fragment, log):
    done = embed(*arguments, cwd=log)
    assert done.returncode == 2
    assert fragment in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(log.glob("v.*"))
