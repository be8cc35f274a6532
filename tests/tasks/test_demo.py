"""The page of the demo without a browser, and the numbers on it."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import smartrec.tasks
from smartrec.tasks.demo_figures import crowd, distance_in, genres_in, matches, overlaps, spacing
from smartrec.tasks.recommender import Recommender

PAGE = Path(smartrec.tasks.__file__).with_name("demo.py")
FILMS = 30


@pytest.fixture(scope="module")
def td3(td3_folder):
    return Recommender.load(td3_folder)


@pytest.fixture
def shown(td3_folder, dqn_folder, monkeypatch):
    from streamlit.testing import v1 as testing

    monkeypatch.setattr(sys, "argv", [str(PAGE), str(td3_folder), str(dqn_folder)])
    return testing.AppTest.from_file(str(PAGE), default_timeout=60).run()


def rate(page, words, rating):
    page.text_input(key="search").set_value(words).run()
    page.slider(key="rating").set_value(rating).run()
    return page.button(key="rate").click().run()


def rate_four(page):
    for title, rating in (("180", 0.5), ("120", 1.5), ("60", 4.0), ("252", 0.5)):
        rate(page, f"at {title} degrees", rating)
    return page.button(key="recommend").click().run()


HISTORY = [(115, 0.5), (110, 1.5), (105, 4.0), (121, 0.5)]


def titles(page):
    return [cell.replace("\\", "") for cell in page.table[0].value["Title"]]


def test_search_finds_every_word_most_answered_first(td3):
    shelf = td3.shelf
    assert sorted(matches(shelf, "FILM 48")) == [4, 29]  # 48 and 348 degrees
    assert matches(shelf, "film nothing") == []
    everything = matches(shelf, "")
    assert sorted(everything) == [*range(FILMS)]
    assert (np.diff(shelf.counts[everything]) <= 0).all()
    assert matches(shelf, "", most=3) == everything[:3]


def test_figures_have_their_closed_form(td3):
    # Films are points of a circle, 12 degrees apart; their features are the four quarters.
    assert spacing(td3, "l2") == pytest.approx(2 * np.sin(np.pi / FILMS), rel=0.01)
    assert spacing(td3, "cosine") == pytest.approx(1 - np.cos(2 * np.pi / FILMS), rel=0.05)
    assert spacing(td3, "inner") is None
    # Of three points at 0, 120 and 240 degrees each pair has the cosine -1/2.
    assert distance_in(td3, np.array([0, 10, 20])) == pytest.approx(1.5)
    assert genres_in(td3.shelf, [0, 1, 15]) == ["East", "West"]
    np.testing.assert_allclose(overlaps([["1", "2"], ["2", "3"], ["4", "5"]]), [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]])


def test_diversity_falls_back_on_genres(td3):
    bare = SimpleNamespace(agent=SimpleNamespace(problem=SimpleNamespace(item_features=None)), shelf=td3.shelf)
    assert distance_in(bare, np.array([0, 1, 15])) == pytest.approx(2 / 3)  # East, East, West


def test_a_crowd_is_recommended_to_without_what_is_in_its_state(td3):
    seen = crowd(td3, 5)
    people = td3.shelf.people
    items, _ = td3.top(people, 5, td3.unseen(people["history_items"]))
    assert not (items[:, :, None] == people["history_items"][:, None]).any()
    share = [(items == item).any(axis=1).mean() for item in range(FILMS)]
    assert seen.shares[0] == max(share) == share[seen.items[0]]
    assert (seen.people, seen.distinct, seen.catalogue) == (200, len(np.unique(items)), FILMS)


def test_rated_titles_become_recommendations(shown, td3):
    assert not shown.table
    page = rate_four(shown)
    assert not page.exception
    assert titles(page) == [row.title for row in td3.recommend(HISTORY)]
    page.selectbox(key="metric").select("inner").run()
    assert titles(page) == [row.title for row in td3.recommend(HISTORY, metric="inner")]
    page.slider(key="k").set_value(3).run()
    items = np.array([row.id - 100 for row in td3.recommend(HISTORY, 3, metric="inner")])
    assert len(titles(page)) == 3
    figures = {figure.label: figure.value for figure in page.metric}
    assert figures["Distinct genres"] == str(len(genres_in(td3.shelf, items)))
    assert figures["Distance between items"] == f"{distance_in(td3, items):.2f}"
    assert figures["Titles in the lists of 200 people"] == f"{crowd(td3, 3, 'inner').distinct} of 30"


def test_agents_are_compared_and_changed(shown, td3, dqn_folder):
    page = rate_four(shown)
    dqn = Recommender.load(dqn_folder)
    theirs = [row.title for row in dqn.recommend(HISTORY)]
    ours = [row.title for row in td3.recommend(HISTORY)]
    share = f"{len({*ours} & {*theirs}) / 10:.0%}"
    assert page.table[1].value.iloc[0, 1] == share
    page.selectbox(key="agent").select(str(dqn_folder)).run()
    assert not page.exception
    assert titles(page) == theirs
    assert "Distance (l2)" not in page.table[0].value


def test_a_rating_is_taken_back_and_replaced(shown):
    page = rate(rate(shown, "60 degrees", 5.0), "180 degrees", 1.0)
    page = rate(page, "60 degrees", 2.0)
    assert [*page.session_state["rated"].values()] == [1.0, 2.0]
    page.button(key="remove 115").click().run()
    assert len(page.session_state["rated"]) == 1
    assert page.button(key="recommend").disabled is False
    (left,) = page.session_state["rated"]
    page.button(key=f"remove {left}").click().run()
    assert page.button(key="recommend").disabled


def test_words_that_no_title_has_are_said(shown):
    shown.text_input(key="search").set_value("casablanca").run()
    assert any("No title has these words" in caption.value for caption in shown.caption)


def test_everything_rated_is_said_not_raised(shown):
    for item in range(FILMS):
        shown.session_state["rated"][str(100 + item)] = 3.0
    shown.session_state["asked"] = True
    shown.run()
    assert not shown.exception
    assert "all 30 items are rated already" in shown.error[0].value
