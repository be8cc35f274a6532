"""Files of frames: what is read is what was written, bit for bit, or an error says what is wrong."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartrec.core.errors import DataError, DataNotFound, InvalidInput, OutputError
from smartrec.data.batches import Batches
from smartrec.data.dense import DenseFrames
from smartrec.data.frames import Frames
from smartrec.data.static_compact import CompactFile, write_compact
from smartrec.data.static_dense import DenseFile, write_dense
from smartrec.data.static_minari import write_minari
from smartrec.data.static_parquet import ParquetFile, write_parquet

WRITERS = {"dense": write_dense, "compact": lambda path, frames, _: write_compact(path, frames)}
WRITERS["parquet"] = lambda path, frames, _: write_parquet(path, frames)
READERS = {"dense": lambda path, _: DenseFile(path), "compact": CompactFile, "parquet": ParquetFile}


def same(left, right):
    assert left.keys() == right.keys()
    for name, values in right.items():
        assert left[name].dtype == values.dtype
        assert np.array_equal(left[name], values)


def joined(batches):
    batches = [*batches]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


@pytest.mark.parametrize("kind", WRITERS)
@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 14), min_size=1, max_size=6),
    f=st.integers(1, 4),
    half_stars=st.booleans(),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_static_equals_dynamic_bit_for_bit(
    kind, lengths, f, half_stars, seed, data, tmp_path_factory, frames_of, vectors_for
):
    scale = np.arange(1, 11) / 2 if half_stars else None
    frames = frames_of([f + 1, *lengths], f, ratings=scale, seed=seed)
    vectors, path = vectors_for(frames, seed=seed), tmp_path_factory.mktemp("static") / "file"
    assert WRITERS[kind](path, frames, vectors) == path
    rows = READERS[kind](path, vectors)
    dense = DenseFrames(frames, vectors)
    assert len(rows) == len(frames)
    size = data.draw(st.integers(1, len(frames) + 2))
    same(joined(rows.slices(size)), dense[np.arange(len(frames))])
    asked = np.array(data.draw(st.lists(st.integers(0, len(frames) - 1), max_size=9)), int)
    same(rows[asked], dense[asked])
    if kind != "dense":
        same(vars(rows.windows(asked)), vars(frames.windows(asked)))
        assert rows.problem() == frames.problem()


@pytest.mark.parametrize("kind", WRITERS)
def test_padded_and_chosen_frames(kind, tmp_path, frames_of, vectors_for):
    frames = frames_of([9, 1, 12], 4)
    padded = Frames(frames.trajectories, 4, padded=True)
    part = padded.only(np.arange(22) % 3 == 0)
    vectors = vectors_for(frames)
    rows = READERS[kind](WRITERS[kind](tmp_path / "file", part, vectors), vectors)
    same(rows[np.arange(8)], DenseFrames(part, vectors)[np.arange(8)])


def test_a_user_of_25_ratings_gives_15_rows(tmp_path, frames_of, vectors_for):
    frames = frames_of([25], 10)
    batch = DenseFile(write_dense(tmp_path / "a.h5", frames, vectors_for(frames, 128))).batch(slice(None))
    assert batch["state"].shape == batch["next_state"].shape == (15, 1290)
    assert batch["action"].shape == (15, 128)
    assert batch["done"].tolist() == 14 * [False] + [True]
    assert np.array_equal(batch["next_state"][:-1], batch["state"][1:])


def test_the_layout_is_recnns_and_its_compact_form_takes_under_five_percent(tmp_path, frames_of, vectors_for):
    frames = frames_of([200] * 20, 10, n_items=500)
    dense = write_dense(tmp_path / "dense.h5", frames, vectors_for(frames, 128))
    with h5py.File(dense) as file:
        kinds = {name: (values.shape[1:], values.dtype) for name, values in file.items()}
    assert kinds == {
        "state": ((1290,), np.float32), "action": ((128,), np.float32), "reward": ((), np.int8),
        "next_state": ((1290,), np.float32), "done": ((), np.bool_),
    }  # fmt: skip
    for path in (write_compact(tmp_path / "c.h5", frames), write_parquet(tmp_path / "c.parquet", frames)):
        assert path.stat().st_size < 0.05 * dense.stat().st_size
    assert write_compact(tmp_path / "g.h5", frames, "gzip").stat().st_size < 0.005 * dense.stat().st_size


def test_anybodys_file_in_recnns_layout(tmp_path):
    rng = np.random.default_rng(0)
    parts = {"state": rng.normal(size=(6, 22)), "action": rng.normal(size=(6, 10)), "next_state": np.ones((6, 22))}
    with h5py.File(tmp_path / "theirs.hdf5", "w") as file:
        for name, values in parts.items():
            file.create_dataset(name, data=values, chunks=(2, values.shape[1]), compression="gzip")
        file["reward"] = np.arange(-3, 3, dtype=np.int64)[:, None]
        file["done"] = np.array([0, 0, 1, 0, 0, 1.0])[:, None]
        file["more"] = 1
    batch = DenseFile(tmp_path / "theirs.hdf5")[[5, 0, 5]]
    assert np.array_equal(batch["state"], parts["state"][[5, 0, 5]])
    assert batch["reward"].tolist() == [2, -3, 2]
    assert batch["done"].tolist() == [True, False, True]


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_loader_takes_it(kind, workers, tmp_path, frames_of, vectors_for):
    from torch.utils.data import DataLoader

    frames = frames_of([30, 40], 5)
    vectors = vectors_for(frames)
    rows = READERS[kind](WRITERS[kind](tmp_path / "file", frames, vectors), vectors)
    dense, order = DenseFrames(frames, vectors), Batches(60, 8, seed=4)
    same(rows[0], dense[0])  # the file is open before the workers are forked
    for options in ({"sampler": order, "batch_size": None}, {"batch_size": 8}):
        loaded = [DataLoader(source, num_workers=workers, **options) for source in (rows, dense)]
        same(*(joined({key: value.numpy() for key, value in batch.items()} for batch in loader) for loader in loaded))


@pytest.mark.parametrize("kind", WRITERS)
def test_pickled_it_reads_on(kind, tmp_path, frames_of, vectors_for):
    frames = frames_of([9], 2)
    rows = READERS[kind](WRITERS[kind](tmp_path / "file", frames, vectors_for(frames)), vectors_for(frames))
    same(pickle.loads(pickle.dumps(rows))[[3, 1]], rows[[3, 1]])


@pytest.mark.parametrize("kind", WRITERS)
def test_frames_that_are_not_there(kind, tmp_path, frames_of, vectors_for):
    frames = frames_of([9], 2)
    rows = READERS[kind](WRITERS[kind](tmp_path / "file", frames, vectors_for(frames)), vectors_for(frames))
    for number in (7, -1):
        with pytest.raises(InvalidInput, match=rf"frame {number} was asked for; allowed: 0\.\.6"):
            rows[[0, number]]
    with pytest.raises(InvalidInput, match="size = 0; allowed: 1 or more"):
        next(rows.slices(0))


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.99])
def test_a_file_cut_short(kind, keep, tmp_path, frames_of, vectors_for):
    frames = frames_of([300], 5)
    path = WRITERS[kind](tmp_path / "file", frames, vectors_for(frames))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(DataError, match=r"file is no sound (HDF5|Parquet) file \(.*\): damaged or cut short"):
        READERS[kind](path, vectors_for(frames))


@pytest.mark.parametrize("kind", WRITERS)
def test_no_file_and_a_file_of_another_kind(kind, tmp_path):
    vectors = np.zeros((7, 3))
    with pytest.raises(DataNotFound, match="is not there; check the path, relative to"):
        READERS[kind](tmp_path / "none", vectors)
    (tmp_path / "text").write_text("user,item\n1,2\n" * 50)
    with pytest.raises(DataError, match="is no sound"):
        READERS[kind](tmp_path / "text", vectors)


def test_damage_in_the_middle_of_a_compressed_file(tmp_path, frames_of, vectors_for):
    frames = frames_of([3000] * 3, 5, n_items=5000)
    path = write_compact(tmp_path / "file", frames, "gzip")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged or cut short"):
        [*CompactFile(path, vectors_for(frames)).slices()]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"next_state": (6, 21)}, r"next_state \[6, 21\].*allowed: state and next_state \[N, S\]"),
        ({"action": (6,)}, r"action \[6\]"),
        ({"done": (6, 2)}, r"done \[6, 2\]"),
        ({"reward": (5,)}, "columns of different lengths"),
        ({"state": None}, "has no data set 'state'; it holds action, done, next_state, reward"),
    ],
)
def test_data_sets_of_other_shapes(change, message, tmp_path):
    shapes = {"state": (6, 22), "action": (6, 10), "reward": (6,), "next_state": (6, 22), "done": (6,)} | change
    with h5py.File(tmp_path / "file", "w") as file:
        for name, shape in shapes.items():
            if shape is not None:
                file[name] = np.zeros(shape)
    with pytest.raises(DataError, match=message):
        DenseFile(tmp_path / "file")


def test_a_dense_file_is_no_compact_one_nor_the_other_way_round(tmp_path, frames_of, vectors_for):
    frames = frames_of([9], 2)
    dense = write_dense(tmp_path / "dense", frames, vectors_for(frames))
    compact = write_compact(tmp_path / "compact", frames)
    with pytest.raises(DataError, match="has no data set 'items'"):
        CompactFile(dense, vectors_for(frames))
    with pytest.raises(DataError, match="has no data set 'state'"):
        DenseFile(compact)
    with h5py.File(compact, "a") as file:
        del file.attrs["n_items"], file.attrs["lowest"], file.attrs["highest"]
    with pytest.raises(DataError, match=r"and says nothing; allowed: items and ratings \[N, f \+ 1\]"):
        CompactFile(compact)


@pytest.mark.parametrize(("place", "number"), [((0, 0), 99), ((1, 0), -1), ((2, 2), 7)])
def test_items_that_no_catalogue_has(place, number, tmp_path, frames_of, vectors_for):
    frames = frames_of([9], 2)
    path = write_compact(tmp_path / "file", frames)
    with h5py.File(path, "a") as file:
        file["items"][place] = number
    read = CompactFile(path, vectors_for(frames))
    for asked in (read.windows, read.batch):
        with pytest.raises(DataError, match=rf"{path}.*{number}.*allowed: 0\.\.6, and 7, nothing yet"):
            asked([place[0]])
    assert len(read.batch([3])["state"]) == 1


def test_facts_that_are_no_numbers(tmp_path, frames_of):
    path = write_compact(tmp_path / "file", frames_of([9], 2))
    with h5py.File(path, "a") as file:
        file.attrs["n_items"] = "many"
    with pytest.raises(DataError, match=r"says n_items = 'many', lowest = .*allowed: numbers"):
        CompactFile(path)


@pytest.mark.parametrize("kind", ["compact", "parquet"])
def test_embeddings_of_another_catalogue(kind, tmp_path, frames_of):
    frames = frames_of([9], 2)
    path = WRITERS[kind](tmp_path / "file", frames, None)
    with pytest.raises(InvalidInput, match=r"embeddings have shape \(6, 3\); allowed: \[7, d\]"):
        READERS[kind](path, np.zeros((6, 3)))
    with pytest.raises(InvalidInput, match="open the file with embeddings"):
        READERS[kind](path, None).batch([0])


@pytest.mark.parametrize("write", [write_dense, lambda path, *rest: write_minari("a-v0", *rest)])
def test_an_item_without_a_vector(write, tmp_path, monkeypatch, frames_of, vectors_for):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    frames = frames_of([90], 2)
    vectors = vectors_for(frames)
    vectors[[2, 5]] = np.nan
    with pytest.raises(InvalidInput, match="item 2 has no finite embedding, one of 2 of the items"):
        write(tmp_path / "file", frames, vectors)
    assert not [*tmp_path.iterdir()]
    rows = CompactFile(write_compact(tmp_path / "file", frames), vectors)
    with pytest.raises(InvalidInput, match=r"item number [25] has no finite embedding"):
        rows.batch(slice(None))


@pytest.mark.parametrize("kind", WRITERS)
def test_what_is_there_stays(kind, tmp_path, frames_of, vectors_for):
    frames = frames_of([9], 2)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="is there already; remove it, or choose another name"):
        WRITERS[kind](tmp_path / "file", frames, vectors_for(frames))
    assert (tmp_path / "file").read_text() == "mine"
    assert len([*tmp_path.iterdir()]) == 1


def test_no_room_is_said_before_anything_is_written(tmp_path, monkeypatch, frames_of, vectors_for):
    frames = frames_of([9], 2)
    monkeypatch.setattr("smartrec.data.static_files.shutil.disk_usage", lambda _: type("U", (), {"free": 100}))
    with pytest.raises(OutputError, match=r"would take 0.0 MB, and 0.0 MB are free; choose another disk.*compact"):
        write_dense(tmp_path / "file", frames, vectors_for(frames))
    assert not [*tmp_path.iterdir()]


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from conftest import make_frames, make_vectors
from test_data_static import WRITERS, write_minari
from smartrec.core.errors import OutputError
frames = make_frames([6000] * 3, 5, n_items=5000)
vectors = make_vectors(frames)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most}))
write = (lambda *rest: write_minari("a-v0", *rest[1:])) if {kind!r} == "minari" else WRITERS[{kind!r}]
try:
    write(Path({path!r}), frames, vectors)
except OutputError as error:
    print("refused", error)
"""


@pytest.mark.parametrize("most", [0, 5_000, 200_000])
@pytest.mark.parametrize("kind", [*WRITERS, "minari"])
def test_a_disk_that_fills_up(kind, most, tmp_path):
    """A limit of the size of files: the system refuses to write on in the middle, as on a full disk."""
    target = tmp_path / "out"
    code = FULL_DISK.format(tests=str(Path(__file__).parent), kind=kind, most=most, path=str(target / "file"))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120,
        env={**os.environ, "MINARI_DATASETS_PATH": str(target)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "refused cannot write" in done.stdout
    assert "kept nothing of it" in done.stdout
    assert not [*target.iterdir()]
