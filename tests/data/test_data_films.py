import os
from pathlib import Path

import numpy as np
import pytest

from smartrec.core.errors import DataError, DataNotFound, InvalidInput
from smartrec.data.embeddings import items_of_films, read_items
from smartrec.data.films import FILM_FIELDS, film_schema, film_table, read_films, write_films

TOY_STORY = {
    "item": 1,
    "adult": False,
    "collection": "Toy Story Collection",
    "genres": ["Animation", "Comedy", "Family"],
    "original_language": "en",
    "popularity": 21.946943,
    "production_companies": ["Pixar Animation Studios"],
    "production_countries": ["United States of America"],
    "release_year": 1995,
    "release_month": 10,
    "revenue": 373554033.0,
    "runtime": 81.0,
    "spoken_languages": ["English"],
    "title": "Toy Story",
    "vote_average": 7.7,
    "vote_count": 5415,
    "budget": 30000000.0,
    "revenue_d": 373554033.0,
}
NOTHING = {name: [] if kind == "texts" else None for name, kind in FILM_FIELDS.items()}
LINES = (
    "1::Toy Story::1995::G::22 Nov 1995::Animation, Comedy::John Lasseter::John Lasseter (original story by), "
    "Joss Whedon (screenplay, dialogue), John Lasseter (idea)::Tom Hanks, Tim Allen::Toys come to life.::https://x/a.jpg\n"
    "2::Café::1960::UNRATED::N/A::N/A::N/A::N/A::N/A::N/A::N/A\n"
)


def test_the_record_of_a_film_comes_back(tmp_path):
    films = film_table([TOY_STORY, {"item": 2}])
    write_films(films, tmp_path / "films.parquet")
    again = read_films(tmp_path / "films.parquet")
    assert again.schema == film_schema()
    assert again.to_pylist() == [NOTHING | TOY_STORY, NOTHING | {"item": 2}]
    assert films.equals(again)


def test_texts_about_the_films_of_movielens(tmp_path):
    (tmp_path / "movies.dat").write_text(LINES, encoding="utf-8")
    assert read_films(tmp_path / "movies.dat").to_pylist() == [
        NOTHING
        | {
            "item": 1,
            "title": "Toy Story",
            "genres": ["Animation", "Comedy"],
            "release_year": 1995,
            "release_month": 11,
            "certificate": "G",
            "directors": ["John Lasseter"],
            "writers": ["John Lasseter", "Joss Whedon"],
            "actors": ["Tom Hanks", "Tim Allen"],
            "plot": "Toys come to life.",
        },
        NOTHING | {"item": 2, "title": "Café", "release_year": 1960, "certificate": "UNRATED"},
    ]


def test_films_are_items(tmp_path):
    write_films(
        film_table([TOY_STORY | {"plot": "Toys.", "directors": ["John Lasseter"]}, {"item": 2}]), tmp_path / "f.parquet"
    )
    table = read_items(tmp_path / "f.parquet")
    assert table.ids.ids.tolist() == [1, 2]
    assert table.texts == ("Toys. John_Lasseter", "")
    assert table.categories["genre"] == (("Animation", "Comedy", "Family"), ())
    assert table.categories["original_language"] == (("en",), ())
    np.testing.assert_array_equal(table.numbers["year"], [0.75, np.nan])  # (1995 - 1980) / 20
    np.testing.assert_array_equal(table.numbers["runtime"], [81, np.nan])
    assert items_of_films(film_table([{"item": 3}])).texts == ("",)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"title": "x"}, "has no item"),
        ({"item": 1, "runtme": 3}, "Did you mean 'runtime'"),
        ({"item": 1, "runtime": "81"}, "runtime of film 1 is '81'; allowed: a number"),
        ({"item": 1, "genres": "Comedy"}, "allowed: a list of texts"),
        ({"item": 1, "adult": 0}, "allowed: True or False"),
        ({"item": 1, "vote_count": 1.5}, "allowed: int"),
        ({"item": "tt1"}, "item of film tt1 is 'tt1'"),
        ({"item": 1, "release_month": 13}, "release_month of film 1 is 13; allowed: 1..12"),
        ({"item": 7}, "item 7 occurs twice"),
    ],
)
def test_bad_records(record, message):
    with pytest.raises(InvalidInput, match=message):
        film_table([{"item": 7}, record])


def test_bad_files(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    with pytest.raises(DataNotFound, match="is not there"):
        read_films(tmp_path / "films.parquet")
    parquet.write_table(pa.table({"item": [1]}), tmp_path / "other.parquet")
    with pytest.raises(DataError, match="has columns item; write it with write_films"):
        read_films(tmp_path / "other.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="no sound Parquet"):
        read_films(tmp_path / "bad.parquet")
    (tmp_path / "bad.dat").write_text(LINES + "3::Short::1990\n")
    with pytest.raises(DataError, match="line 3: expected 11"):
        read_films(tmp_path / "bad.dat")
    with pytest.raises(InvalidInput, match="make one with film_table"):
        write_films(pa.table({"item": [1]}), tmp_path / "new.parquet")
    assert not (tmp_path / "new.parquet").exists()


@pytest.mark.data
def test_real_texts_of_movielens_1m():
    films = read_films(Path(os.environ["SMARTREC_DATA"]) / "ml-1m-text" / "movies_extrainfos.dat")
    assert len(films) == 3_881
    assert films["plot"].null_count == 3_881 - 3_845
    assert films["release_month"].null_count == 42
    genres = {genre for own in films["genres"].to_pylist() for genre in own}
    assert len(genres) == 24
    assert films.slice(0, 1).to_pylist()[0]["actors"] == ["Tom Hanks", "Tim Allen", "Don Rickles", "Jim Varney"]
