"""Lines of digits, many at once: what Python reads from each line, or nothing at all."""

import io
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from smartrec.core.errors import DataError
from smartrec.data import load_ml_latest, rating_lines
from smartrec.data.rating_lines import parse_lines, read_rating_lines

FORM = re.compile(r"(\d{1,7}),(\d{1,7}),(\d\.\d),(\d{9,10})")

lines = st.lists(
    st.builds(
        "{},{},{:.1f},{}".format,
        st.integers(0, 9_999_999),
        st.integers(0, 9_999_999),
        st.integers(0, 99).map(lambda tenths: tenths / 10),
        st.integers(100_000_000, 9_999_999_999),
    ),
    min_size=1,
    max_size=40,
)


def truth(text):
    """Read line by line; None unless each is of the form."""
    found = [FORM.fullmatch(line) for line in text.split("\n")[:-1]]
    if not all(found):
        return None
    return [(int(m[1]), int(m[2]), float(np.float32(m[3])), int(m[4])) for m in found]


def rows(columns):
    return None if columns is None else list(zip(*(column.tolist() for column in columns), strict=True))


@settings(max_examples=300, deadline=None)
@given(lines, st.sampled_from(["\n", "\r\n"]))
@example(["1,1,0.5,789652009"], "\n")
@example(["9999999,9999999,5.0,9999999999"], "\r\n")
def test_every_line_of_the_form(written, end):
    expected = truth("\n".join(written) + "\n")
    columns = parse_lines((end.join(written) + end).encode())
    assert rows(columns) == expected
    assert [column.dtype for column in columns] == [np.int32, np.int32, np.float32, np.int64]


@settings(max_examples=300, deadline=None)
@given(lines, st.data())
def test_any_other_byte_anywhere_is_noticed(written, data):
    text = "\n".join(written) + "\n"
    place = data.draw(st.integers(0, len(text) - 2))
    byte = data.draw(st.sampled_from("0123456789,.-+ eE\n\r\t:/;\0") | st.characters(max_codepoint=127))
    broken = text[:place] + byte + text[place + 1 :]
    assert rows(parse_lines(broken.encode())) == truth(broken)


@settings(max_examples=300, deadline=None)
@given(lines, st.data())
def test_a_byte_more_or_less_is_noticed(written, data):
    text = "\n".join(written) + "\n"
    place = data.draw(st.integers(0, len(text) - 2))
    byte = data.draw(st.sampled_from(["", *"0123456789,.\n"]))
    broken = text[:place] + byte + text[place + (byte == "") :]
    assert rows(parse_lines(broken.encode())) == truth(broken)


@pytest.mark.parametrize("size", [7, 30, 64, 1000, 1 << 19])
@pytest.mark.parametrize("last", ["", "\n"])
def test_blocks_are_cut_at_ends_of_lines(monkeypatch, size, last):
    monkeypatch.setattr(rating_lines, "_BLOCK", size)
    rng = np.random.default_rng(0)
    written = [
        f"{user},{item},{stars / 2},{time}"
        for user, item, stars, time in zip(
            rng.integers(1, 10 ** rng.integers(1, 8, 300)),
            rng.integers(1, 10 ** rng.integers(1, 7, 300)),
            rng.integers(1, 11, 300),
            rng.integers(789_000_000, 1_500_000_000, 300),
            strict=True,
        )
    ]
    text = "\n".join(written)
    assert rows(read_rating_lines(io.BytesIO((text + last).encode()))) == truth(text + "\n")
    assert read_rating_lines(io.BytesIO((text + "\n1,2,x,4" + last).encode())) is None


def test_nothing_to_read():
    assert read_rating_lines(io.BytesIO(b"")) is None


def folder(tmp_path, ratings):
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + ratings, newline="")
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n5,A (1990),Drama\n7,B (1991),Drama\n")
    return tmp_path


@pytest.mark.parametrize("other", ["9,5,4,1000000000\n", "12345678,7,4.5,1000000000\n", "9,7, 4.5,1000000000\n"])
def test_other_forms_are_read_more_slowly_and_the_same(tmp_path, other):
    log = load_ml_latest(folder(tmp_path, "3,5,0.5,999999999\n3,7,5.0,1000000001\n" + other)).interactions
    assert log.ratings.tolist() == [0.5, 5.0, float(other.split(",")[2])]
    assert log.timestamps.tolist() == [999999999, 1000000001, 1000000000]
    assert log.user_ids.ids.tolist() == sorted([3, int(other.split(",")[0])])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("9,5,9.5,1000000000", r"line 3: rating is 9.5; allowed: 0.5 to 5"),
        ("9,5,4.5,100000000x", r"line 3: timestamp is '100000000x'; allowed: whole numbers"),
        ("9,5,4.5", r"line 3: expected 4 comma-separated fields"),
        ("9,6,4.5,1000000000", r"line 3: item 6 is not among the 2 items"),
    ],
)
def test_the_bad_line_is_named(tmp_path, bad, message):
    with pytest.raises(DataError, match=message):
        load_ml_latest(folder(tmp_path, f"3,5,0.5,999999999\n{bad}\n"))
