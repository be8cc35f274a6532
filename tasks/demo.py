"""The page of ``smartrec demo``: rate titles, see what agents recommend, and how far to trust it.

Streamlit runs this file from the top at every touch; what lasts is in ``st.session_state``: ``rated`` (id to rating,
in the order in which they were given) and ``asked``.
"""

import sys
from typing import cast, get_args

import numpy as np
import streamlit as st

from smartrec.core.errors import SmartRecError
from smartrec.core.nearest import Metric
from smartrec.data.history import id_text
from smartrec.tasks.demo_figures import Crowd, crowd, distance_in, genres_in, matches, overlaps, spacing
from smartrec.tasks.recommender import Recommendations, Recommender
from smartrec.tasks.recommender_files import Shelf

OWN = "the agent's own"
MEANINGS = {
    OWN: "what the agent itself would show",
    "l2": "Euclidean distance",
    "inner": "minus the inner product: long vectors win",
    "cosine": "one minus the cosine: only the direction counts",
}


@st.cache_resource(show_spinner="Loading the agent")
def loaded(folder: str) -> Recommender:
    """Return the recommender in a folder; read once."""
    return Recommender.load(folder)


@st.cache_data(show_spinner="Recommending to a crowd")
def crowd_of(folder: str, k: int, metric: Metric | None) -> Crowd:
    """Return what an agent recommends to many; worked out once."""
    return crowd(loaded(folder), k, metric)


def page(folders: list[str]) -> None:
    """Show everything."""
    st.set_page_config("SmartRec", layout="wide")
    st.session_state.setdefault("rated", {})
    st.title("What would it recommend to you?")
    folder, metric, k = choose(folders)
    shelf = loaded(folder).shelf
    left, right = st.columns([2, 3], gap="large")
    with left:
        rate(shelf)
        show_rated(shelf)
    with right:
        if st.session_state.get("asked") and st.session_state["rated"]:
            show_results(folders, folder, metric, k)
        else:
            st.info("Rate a few titles on the left, then press Recommend.")


def choose(folders: list[str]) -> tuple[str, Metric | None, int]:
    """Ask for an agent, a distance and K."""
    with st.sidebar:
        folder = st.selectbox("Agent", folders, format_func=name_of, key="agent")
        metric = OWN
        if loaded(folder).vectors is None:
            st.caption("This agent scores items; it has no distance to choose.")
        else:
            metric = st.selectbox("Distance", [OWN, *get_args(Metric)], key="metric")
            st.caption(MEANINGS[metric])
        k = st.slider("Recommendations", 1, 30, 10, key="k")
    return folder, None if metric == OWN else cast("Metric", metric), k


def name_of(folder: str) -> str:
    """Return what an agent is called on the page."""
    recommender = loaded(folder)
    return f"{type(recommender.agent).__name__} on {recommender.shelf.dataset} ({folder})"


def rate(shelf: Shelf) -> None:
    """Let the person pick a title and rate it."""
    st.subheader("Your ratings")
    found = matches(shelf, st.text_input("Search", placeholder="words of a title", key="search"))
    if not found:
        st.caption("No title has these words.")
        return
    st.selectbox("Title, the best known first", found, format_func=lambda item: label_of(shelf, item), key="title")
    low, high = shelf.scale
    if high > low:
        step = 0.5 if (2 * (high - low)).is_integer() else (high - low) / 10
        st.slider("Rating", low, high, high - step, step, key="rating")
    st.button("Rate", key="rate", on_click=remember, args=(shelf,))


def show_rated(shelf: Shelf) -> None:
    """List what was rated, last first, each with a button that takes it back."""
    rated = st.session_state["rated"]
    titles = {id_text(own): title for own, title in zip(shelf.ids, shelf.titles, strict=True)}
    for own, rating in reversed(rated.items()):
        title, value, remove = st.columns([6, 2, 2], vertical_alignment="center")
        title.write(plain(titles.get(own, f"{own} (not in this catalogue)")))
        value.write(f"**{rating:g}**")
        remove.button("✕", key=f"remove {own}", help="Take it back", on_click=rated.pop, args=(own,))
    st.button("Recommend", key="recommend", type="primary", disabled=not rated, on_click=ask, width="stretch")


def remember(shelf: Shelf) -> None:
    """Keep what title and slider say at the click, which may be more than the page has shown; the last comes last."""
    state = st.session_state
    own, rating = id_text(shelf.ids[state["title"]]), state.get("rating", shelf.scale[1])
    state["rated"].pop(own, None)
    state["rated"][own] = rating


def ask() -> None:
    """Show recommendations from now on."""
    st.session_state["asked"] = True


def show_results(folders: list[str], folder: str, metric: Metric | None, k: int) -> None:
    """Show what is recommended, and what to think of it."""
    recommender, history = loaded(folder), [*st.session_state["rated"].items()]
    try:
        found = recommender.recommend(history, k, metric=metric)
    except SmartRecError as error:
        st.error(plain(str(error)))
        return
    first, second = st.tabs(["Recommendations", "Diagnostics"])
    with first:
        show_items(recommender, found)
    with second:
        show_point(recommender, found, metric)
        show_overlap(folders, folder, found, history)
        show_crowd(recommender.shelf, crowd_of(folder, k, metric))


def show_items(recommender: Recommender, found: Recommendations) -> None:
    """Show the items, and how varied they are."""
    items = numbers_of(recommender, found)
    genres, apart = genres_in(recommender.shelf, items), distance_in(recommender, items)
    first, second = st.columns(2)
    first.metric("Distinct genres", len(genres), help=", ".join(genres) or "The catalogue has no genres.")
    meaning = "Mean of one minus the cosine over all pairs, 0 (all alike) to 2."
    second.metric("Distance between items", "unknown" if apart is None else f"{apart:.2f}", help=meaning)
    table = {"": [*range(1, len(found) + 1)], "Title": [plain(row.title) for row in found]}
    table["Genres"] = [plain(", ".join(row.genres)) for row in found]
    if found.metric:
        table[f"Distance ({found.metric})"] = [f"{row.distance:.3f}" for row in found]
    st.table(table)
    for note in found.notes():
        st.caption(plain(note))


def show_point(recommender: Recommender, found: Recommendations, metric: Metric | None) -> None:
    """Show how far from any item the point lies that the agent imagined."""
    st.subheader("Is there anything where it looks?")
    if not found.metric:
        st.caption("This agent scores items, or ranks them by its critic; it names no point to be near to.")
        return
    nearest, among = found.rows[0].distance, spacing(recommender, metric or recommender.agent.config.metric)
    first, second = st.columns(2)
    first.metric("Proto-action to nearest item", f"{nearest:.3f}")
    second.metric("Item to nearest item, median", "no such number" if among is None else f"{among:.3f}")
    st.caption("Much farther than items are from each other: the agent imagines something that does not exist.")


def show_overlap(folders: list[str], folder: str, found: Recommendations, history: list[tuple[str, float]]) -> None:
    """Show what share of the chosen agent's list the other agents recommend too."""
    st.subheader("Do the agents agree?")
    if len(folders) == 1:
        st.caption("Name several agents, smartrec demo --agent FOLDER --agent FOLDER, to compare them.")
        return
    table: dict[str, list[str]] = {"Agent": [], "Share of this list that it recommends too": []}
    for other in (name for name in folders if name != folder):
        try:
            theirs = [id_text(row.id) for row in loaded(other).recommend(history, found.asked)]
            share = f"{overlaps([[id_text(row.id) for row in found], theirs])[0, 1]:.0%}"
        except SmartRecError as error:
            share = plain(str(error))
        table["Agent"].append(plain(name_of(other)))
        table["Share of this list that it recommends too"].append(share)
    st.table(table)


def show_crowd(shelf: Shelf, seen: Crowd) -> None:
    """Show whether others are recommended the same."""
    st.subheader("Does everybody get the same?")
    first, second = st.columns(2)
    first.metric(f"Titles in the lists of {seen.people} people", f"{seen.distinct} of {seen.catalogue}")
    second.metric("Lists that hold the title shown most", f"{seen.shares[0]:.0%}")
    shown = [place for place in range(min(5, len(seen.items))) if seen.shares[place] > 0]
    titles = [plain(shelf.titles[seen.items[place]]) for place in shown]
    st.table({"Shown most": titles, "Share of lists": [f"{seen.shares[place]:.0%}" for place in shown]})
    st.caption(f"People of {plain(shelf.dataset)}, by their last ratings in what was learnt from.")


def numbers_of(recommender: Recommender, found: Recommendations) -> np.ndarray:
    """Return the numbers of recommended items, int [K]."""
    places = {own: number for number, own in enumerate(recommender.shelf.ids)}
    return np.array([places[row.id] for row in found])


def label_of(shelf: Shelf, item: int) -> str:
    """Return a title with its genres."""
    return f"{shelf.titles[item]} · {', '.join(shelf.genres[item])}" if shelf.genres[item] else shelf.titles[item]


def plain(text: str) -> str:
    """Return text in which no character is a mark of Markdown."""
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]()<>#+-.!|~$:" else sign for sign in text)


if __name__ == "__main__":
    page(sys.argv[1:])
