import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from smartrec.core.errors import DataError, DataNotFound
from smartrec.data import load_ml_1m, load_ml_100k, load_ml_latest


@pytest.fixture
def real():
    return Path(os.environ["SMARTREC_DATA"])


GENRES = ["unknown", "Action", "Comedy"]


def write_100k(folder, **files):
    content = {
        "u.data": "1\t10\t5\t881250949\n2\t20\t3\t881250950\n1\t30\t4\t881250951\n",
        "u.item": (
            "10|Toy Story (1995)|01-Jan-1995||http://x|0|0|1\n"
            "20|unknown||||1|0|0\n"
            "30|Misérables, Les (1958)|01-Jan-1958||http://y|0|1|0\n"
            "40|Not Rated (2000) (V)|||http://z|0|1|1\n"
        ),
        "u.user": "1|24|M|technician|85711\n2|53|F|other|94043\n3|35|F|writer|T8H1N\n",
        "u.genre": "unknown|0\nAction|1\nComedy|2\n\n",
    } | {name.replace("_", "."): text for name, text in files.items()}
    for name, text in content.items():
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode("latin-1"))
    return folder


def write_1m(folder, **files):
    content = {
        "ratings.dat": "1::1193::5::978300760\n2::661::3::978302109\n",
        "users.dat": "1::F::1::10::48067\n2::M::56::16::70072\n",
        "movies.dat": "661::Star Wars: Episode IV (1977)::Action|Sci-Fi\n1193::Café (1975)::Drama\n",
    } | {f"{name}.dat": text for name, text in files.items()}
    for name, text in content.items():
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode("latin-1"))
    return folder


def write_latest(folder, ratings=None, movies=None):
    head = "userId,movieId,rating,timestamp\r\n"
    rows = "7,1,4.0,964982703\r\n3,50,0.5,964981247\r\n"
    films = "movieId,title,genres\r\n1,Toy Story (1995),Adventure|Comedy\r\n"
    films += '50,"Ring, The ""x"" (2002)",Horror\r\n'
    films += "60,Née (2006–2007),(no genres listed)\r\n"
    (folder / "ratings.csv").write_bytes(ratings or (head + rows).encode())
    (folder / "movies.csv").write_bytes(movies or films.encode())
    return folder


def test_100k_columns(tmp_path):
    dataset = load_ml_100k(write_100k(tmp_path))
    log = dataset.interactions
    assert (log.users.tolist(), log.items.tolist()) == ([0, 1, 0], [0, 1, 2])
    assert (log.ratings.tolist(), log.timestamps.tolist()) == ([5, 3, 4], [881250949, 881250950, 881250951])
    assert (log.n_users, log.n_items) == (3, 4)
    assert dataset.items.labels[2] == "Misérables, Les (1958)"
    assert dataset.items.feature_names == ("genre_unknown", "genre_Action", "genre_Comedy", "year")
    expected = [[0, 0, 1, 0.75], [1, 0, 0, 0], [0, 1, 0, -1.1], [0, 1, 1, 1]]
    np.testing.assert_allclose(dataset.items.features, expected, atol=1e-6)
    assert dataset.users.feature_names[2:] == (
        "occupation_other",
        "occupation_technician",
        "occupation_writer",
    )
    np.testing.assert_allclose(
        dataset.users.features,
        [[0, -11 / 15, 0, 1, 0], [1, 18 / 15, 1, 0, 0], [1, 0, 0, 0, 1]],
        atol=1e-6,
    )
    assert (dataset.name, dataset.positive) == ("ml-100k", 4)


BAD_100K = [
    ("u_data", "1\t10\t5\t881250949\n1\t242\t3\n", "u.data, line 2: expected 4 tab-separated fields (user, "
     "item, rating, timestamp), found 3: '1\\t242\\t3'. The file is damaged or truncated; fetch it again."),
    ("u_data", "1\t10\t5\t881250949\t7\n", "u.data, line 1: expected 4 tab-separated fields"),
    ("u_data", "1\t10\t5\t881250949\n\n1\t10\tfive\t881250949\n", "line 3: rating is 'five'; allowed: whole"),
    ("u_data", "1\t10\t9\t881250949\n", "line 1: rating is 9; allowed: 1 to 5"),
    ("u_data", "1\t10\t3.5\t881250949\n", "line 1: rating is '3.5'; allowed: whole numbers"),
    ("u_data", "1\t10\t\t881250949\n", "line 1: rating is empty"),
    ("u_data", "1\t10\tnan\t881250949\n", "line 1: rating is 'nan'"),
    ("u_data", "1\t10\t5\t881250949\n1\t10\t5\t8812", "line 2: timestamp is 8812; allowed: 789000000 to"),
    ("u_data", "1\t10\t5\t881250949\n9\t10\t5\t881250949\n", "line 2: user 9 is not among the 3 users"),
    ("u_data", "\n1\t99\t5\t881250949\n", "line 2: item 99 is not among the 4 items"),
    ("u_data", "1\t1_0\t5\t881250949\n", "line 1: item is '1_0'"),
    ("u_data", "1\t99999999999999999999\t5\t881250949\n", "line 1: item is '99999999999999999999'"),
    ("u_data", b"1\t10\t5\t881250949\n1\t\xff\t5\t881250949\n", "line 2: byte 0xff is not utf-8 text"),
    ("u_data", "", "u.data has no rows"),
    ("u_data", "\n\n", "u.data has no rows"),
    ("u_item", "10|Toy|1995||x|0|0\n", "u.item, line 1: expected 8 '|'-separated fields"),
    ("u_item", "10|Toy|1995||x|0|0|2\n", "u.item, line 1: Comedy is 2; allowed: 0 to 1"),
    ("u_item", "10|A|||x|0|0|1\n10|B|||x|0|0|1\n", "u.item, line 2: item '10' occurs a second time"),
    ("u_user", "1|24|M|technician|85711\n2|x|F|other|9\n", "u.user, line 2: age is 'x'"),
    ("u_user", "1|240|M|technician|85711\n", "u.user, line 1: age is 240; allowed: 0 to 120"),
    ("u_user", "1|24|X|technician|85711\n", "u.user, line 1: gender is 'X'; allowed: F, M"),
    ("u_user", "", "u.user has no rows"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "text", "fragment"), BAD_100K)
def test_100k_damaged(tmp_path, file, text, fragment):
    write_100k(tmp_path, **{file: text})
    with pytest.raises(DataError) as caught:
        load_ml_100k(tmp_path)
    assert fragment in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_1m_columns(tmp_path):
    dataset = load_ml_1m(write_1m(tmp_path))
    log = dataset.interactions
    assert (log.users.tolist(), log.items.tolist(), log.ratings.tolist()) == ([0, 1], [1, 0], [5, 3])
    assert dataset.items.labels == ("Star Wars: Episode IV (1977)", "Café (1975)")
    assert dataset.items.feature_names == ("genre_Action", "genre_Drama", "genre_Sci-Fi", "year")
    np.testing.assert_allclose(dataset.items.features, [[1, 0, 1, -0.15], [0, 1, 0, -0.25]], atol=1e-6)
    assert dataset.users.feature_names == ("gender_f", "age", "occupation_10", "occupation_16")
    np.testing.assert_allclose(dataset.users.features, [[1, -34 / 15, 1, 0], [0, 21 / 15, 0, 1]], atol=1e-6)


@pytest.mark.parametrize(
    ("file", "text", "fragment"),
    [
        (
            "ratings",
            "1::1193::5::978300760\n1::661::3\n",
            "ratings.dat, line 2: expected 4 '::'-separated fields",
        ),
        (
            "ratings",
            "1::1193::5::978300760\n1:x:661::3::978300760\n",
            "line 2: expected 4 '::'-separated fields",
        ),
        (
            "ratings",
            "1::1193::5::978300760\n3::661::3::978300760\n",
            "line 2: user 3 is not among the 2 users",
        ),
        ("ratings", "1::1193::0::978300760\n", "line 1: rating is 0; allowed: 1 to 5"),
        ("users", "1::F::1::xx::48067\n", "users.dat, line 1: occupation is 'xx'"),
        ("movies", "661::Star Wars\n", "movies.dat, line 1: expected 3 '::'-separated fields"),
    ],
)
def test_1m_damaged(tmp_path, file, text, fragment):
    with pytest.raises(DataError) as caught:
        load_ml_1m(write_1m(tmp_path, **{file: text}))
    assert fragment in str(caught.value)


def test_latest_columns(tmp_path):
    dataset = load_ml_latest(write_latest(tmp_path))
    log = dataset.interactions
    assert log.user_ids.ids.tolist() == [3, 7]
    assert (log.users.tolist(), log.items.tolist(), log.ratings.tolist()) == ([1, 0], [0, 1], [4, 0.5])
    assert dataset.items.labels == ("Toy Story (1995)", 'Ring, The "x" (2002)', "Née (2006–2007)")
    assert dataset.items.feature_names == ("genre_Adventure", "genre_Comedy", "genre_Horror", "year")
    np.testing.assert_allclose(dataset.items.features, [[1, 1, 0, 0.75], [0, 0, 1, 1.1], [0, 0, 0, 1.3]], atol=1e-6)
    assert dataset.users.features.shape == (2, 0)


@pytest.mark.parametrize(
    ("files", "fragment"),
    [
        ({"ratings": b"userId,movieId,rating,timestamp\n7,1,4.0\n"}, "ratings.csv, line 2: expected 4"),
        (
            {"ratings": b"userId,movieId,rating,timestamp\n7,1,4.0,964982703\n7,1,6,964982703\n"},
            "line 3: rating is 6",
        ),
        ({"ratings": b"userId,movieId,rating,timestamp\n7,2,4.0,964982703\n"}, "line 2: item 2 is not among"),
        ({"ratings": b"userId,movieId,rating,timestamp\n7,1,inf,964982703\n"}, "line 2: rating is 'inf'"),
        ({"ratings": b"user,film,stars,when\n7,1,4.0,964982703\n"}, "line 1: the header is"),
        ({"ratings": b"userId,movieId,rating,timestamp\n"}, "ratings.csv has no rows"),
        ({"movies": b'movieId,title,genres\n1,"Toy,x\n'}, "movies.csv, line 2: cannot be split into cells"),
        (
            {"movies": b"movieId,title,genres\n1,Caf\xe9,Drama\n"},
            "movies.csv, line 2: byte 0xe9 is not utf-8 text",
        ),
    ],
)
def test_latest_damaged(tmp_path, files, fragment):
    with pytest.raises(DataError) as caught:
        load_ml_latest(write_latest(tmp_path, **files))
    assert fragment in str(caught.value)


def zipped(folder, target, prefix):
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"{prefix}{path.name}")
    return target


@pytest.mark.parametrize("prefix", ["", "ml-x/", "a/b/ml-x/"])
def test_a_zip_reads_like_its_folder(tmp_path, prefix):
    (tmp_path / "in").mkdir()
    folder = write_latest(tmp_path / "in")
    archive = zipped(folder, tmp_path / "ml-x.zip", prefix)
    packed = load_ml_latest(archive)
    assert packed.digest() == load_ml_latest(folder).digest()
    assert packed.name == "ml-x"


def test_of_two_members_with_one_name_the_one_nearer_to_the_root_counts(tmp_path):
    (tmp_path / "in").mkdir()
    archive = zipped(write_latest(tmp_path / "in"), tmp_path / "ml.zip", "ml/")
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("ml/backup/ratings.csv", "rubbish")
        file.writestr("__MACOSX/ml/._ratings.csv", "rubbish")
    assert len(load_ml_latest(archive).interactions) == 2


def test_line_numbers_inside_a_zip(tmp_path):
    (tmp_path / "in").mkdir()
    folder = write_latest(tmp_path / "in", ratings=b"userId,movieId,rating,timestamp\n7,1,oops,964982703\n")
    with pytest.raises(DataError, match=r"ml\.zip/ml/ratings\.csv, line 2: rating is 'oops'"):
        load_ml_latest(zipped(folder, tmp_path / "ml.zip", "ml/"))


def test_damaged_zips(tmp_path):
    (tmp_path / "in").mkdir()
    rows = "".join(f"7,1,4.0,{964982703 + 7919 * k}\n" for k in range(5000))
    folder = write_latest(tmp_path / "in", ratings=f"userId,movieId,rating,timestamp\n{rows}".encode())
    archive = zipped(folder, tmp_path / "ml.zip", "ml/")
    sound = archive.read_bytes()
    middle = sound.index(b"ml/ratings.csv") + 3000
    damaged = {
        "truncated": sound[: len(sound) // 2],
        "flipped": sound[:middle] + bytes(byte ^ 0xFF for byte in sound[middle : middle + 40]) + sound[middle + 40 :],
        "empty": b"",
        "no zip": b"userId,movieId\n",
    }
    for content in damaged.values():
        archive.write_bytes(content)
        with pytest.raises(DataError, match="is no sound zip") as caught:
            load_ml_latest(archive)
        assert str(archive) in str(caught.value)


def test_missing_files(tmp_path):
    write_latest(tmp_path)
    (tmp_path / "movies.csv").unlink()
    with pytest.raises(DataError, match=r"has no file movies\.csv; needed: .*; found: ratings\.csv"):
        load_ml_latest(tmp_path)
    with pytest.raises(DataNotFound, match="is not there"):
        load_ml_latest(tmp_path / "nowhere.zip")


@pytest.mark.data
def test_real_100k(real):
    dataset = load_ml_100k(real / "ml-100k")
    log = dataset.interactions
    assert (len(log), log.n_users, log.n_items, log.repeats()) == (100_000, 943, 1_682, 0)
    values, counts = np.unique(log.ratings, return_counts=True)
    assert values.tolist() == [1, 2, 3, 4, 5]
    assert counts.tolist() == [6_110, 11_370, 27_145, 34_174, 21_201]
    first = (log.user_ids.id(log.users[0]), log.item_ids.id(log.items[0]), log.ratings[0], log.timestamps[0])
    assert first == (196, 242, 3, 881250949)
    assert dataset.items.labels[0] == "Toy Story (1995)"
    assert dataset.items.features.shape == (1_682, 20)
    assert dataset.users.features.shape == (943, 2 + 21)
    assert dataset.users.features[:, 0].sum() == 273  # women
    # Star Wars is the most rated film, 583 times.
    assert dataset.items.labels[log.most_rated(1)[0]] == "Star Wars (1977)"
    assert (log.items == log.most_rated(1)[0]).sum() == 583


@pytest.mark.data
def test_real_latest_small(real):
    dataset = load_ml_latest(real / "ml-latest-small" / "ml-latest-small.zip")
    log = dataset.interactions
    assert (len(log), log.n_users, len(np.unique(log.items))) == (100_836, 610, 9_724)
    assert len(dataset.items) == 9_742
    assert dataset.name == "ml-latest-small"
    assert np.unique(log.ratings).tolist() == [k / 2 for k in range(1, 11)]
    assert len(dataset.items.feature_names) == 19 + 1


@pytest.mark.data
def test_real_1m_in_its_original_format(real, tmp_path):
    import pandas as pd

    part = real / "ml-1m-part"
    rows = pd.read_parquet(part / "ratings_users_1_2999.parquet")
    columns = (rows[name].tolist() for name in ("user_id", "movie_id", "rating", "timestamp"))
    lines = ("::".join(map(str, map(int, row))) for row in zip(*columns, strict=True))
    (tmp_path / "ratings.dat").write_text("\n".join(lines) + "\n")
    for name in ("users.dat", "movies.dat"):
        (tmp_path / name).write_bytes((part / name).read_bytes())
    dataset = load_ml_1m(tmp_path)
    log = dataset.interactions
    assert (len(log), len(np.unique(log.users)), len(np.unique(log.items))) == (487_650, 2_999, 3_615)
    assert (log.n_users, log.n_items) == (6_040, 3_883)
    np.testing.assert_array_equal(log.user_ids.id(log.users), rows["user_id"])
    np.testing.assert_array_equal(log.item_ids.id(log.items), rows["movie_id"])
    np.testing.assert_array_equal(log.ratings, rows["rating"])
    assert dataset.users.features.shape == (6_040, 2 + 21)
    assert len(dataset.items.feature_names) == 18 + 1
