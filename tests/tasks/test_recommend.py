"""From one person's ratings to titles, in a world where it is known what they like."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from gymnasium import spaces

import smartrec
from smartrec import agents
from smartrec.core.errors import DataError, DataNotFound, InvalidConfig, InvalidInput, OutputError
from smartrec.core.problem import Problem
from smartrec.data.interactions import Catalogue, Vocabulary
from smartrec.tasks.recommender import Recommender, recommend
from smartrec.tasks.recommender_files import read, write

FILMS = 30


def rating(item, favourite):
    return float(np.round(2 * (2.75 + 2.25 * np.cos(2 * np.pi * (item - favourite) / FILMS))) / 2)


def liking(favourite, *places):
    """Ratings of a person who likes the film at ``favourite``; places are counted from there."""
    return [(100 + (favourite + place) % FILMS, rating(place, 0)) for place in places]


def apart(row, favourite):
    steps = abs(row.id - 100 - favourite) % FILMS
    return min(steps, FILMS - steps)


@pytest.fixture(scope="module")
def td3(td3_folder):
    return Recommender.load(td3_folder)


@pytest.mark.parametrize("folder", ["td3_folder", "dqn_folder"])
def test_what_a_person_likes_is_recommended_and_nothing_they_rated(folder, request):
    recommender = Recommender.load(request.getfixturevalue(folder))
    found = []
    for favourite in range(FILMS):
        history = liking(favourite, 12, 7, 1, 18)
        rows = recommender.recommend(history, 5).rows
        assert not {row.id for row in rows} & {item for item, _ in history}
        assert len({row.id for row in rows}) == 5
        found.append([apart(row, favourite) for row in rows])
    # Those five that are left and lie nearest are 1.6 steps away on average, any five 7.5.
    assert np.mean(found) < 3


def test_distances_are_those_from_the_proto_action(td3):
    history = liking(3, 12, 7, 1, 18)
    rows = td3.recommend(history, FILMS).rows
    items = np.array([item for item, _ in history]) - 100
    point = td3.proto(td3.observation(items, np.array([given for _, given in history])))[0]
    offered = {row.id - 100 for row in rows}
    assert offered == {*range(FILMS)} - {*items.tolist()}
    expected = {
        "l2": np.linalg.norm(td3.vectors - point, axis=1),
        "inner": -td3.vectors @ point,
        "cosine": 1 - td3.vectors @ point / np.linalg.norm(td3.vectors, axis=1) / np.linalg.norm(point),
    }
    for metric, distances in expected.items():
        rows = td3.recommend(history, 7, metric=metric)
        best = sorted(distances[[*offered]])[:7]
        np.testing.assert_allclose([row.distance for row in rows], best, atol=1e-6)
        np.testing.assert_allclose([distances[row.id - 100] for row in rows], best, atol=1e-6)
        assert rows.metric == metric
    assert td3.recommend(history, 7) == td3.recommend(history, 7, metric="l2")


def test_what_the_agent_itself_would_show_comes_first(td3):
    observation = td3.observation(np.array([3, 9, 12, 20]), np.array([1.0, 2.0, 5.0, 3.0]))
    items, _ = td3.top(observation, 1, np.ones((1, FILMS), bool))
    assert items[0, 0] == td3.agent.act(observation, explore=False).action[0]


def test_a_critic_that_ranks_anew_is_asked(circle, tmp_path):
    agent = agents.make("td3", circle.frames.problem(circle.catalogue.features), seed=0, neighbours=FILMS)
    agent.learn(circle.frames.transitions(np.arange(50)))
    write(tmp_path, agent, circle.catalogue, circle.log, ratings={0.5: -4, 5: 5}, dataset="circle")
    found = Recommender.load(tmp_path)
    observation = found.observation(np.array([3]), np.array([1.0]))
    allowed = found.unseen(np.array([[3]]))
    order, distances = found.top(observation, 4, allowed)
    assert distances is None
    for place in range(4):
        decision = agent.act(observation, allowed=agents.Mask(allowed), explore=False)
        assert decision.action[0] == order[0, place]
        allowed[0, decision.action[0]] = False


def test_the_same_history_has_the_same_answer_and_moves_nothing(circle, tmp_path):
    agent = agents.make("bcq", circle.frames.problem(circle.catalogue.features), seed=0, hidden=(8,))
    agent.learn(circle.frames.transitions(np.arange(50)))
    write(tmp_path, agent, circle.catalogue, circle.log, ratings={0.5: -4, 5: 5}, dataset="circle")
    found = Recommender.load(tmp_path)
    before = found.agent.rng.bit_generator.state
    first = found.recommend(liking(3, 1, 2, 3, 4))
    assert found.recommend(liking(3, 1, 2, 3, 4)) == first == recommend(tmp_path, liking(3, 1, 2, 3, 4))
    assert found.agent.rng.bit_generator.state == before


def test_the_last_by_time_are_the_state_and_all_are_left_out(td3):
    old, new = liking(20, 0, 1, 2), liking(3, 12, 7, 1, 18)
    timed = [(item, given, 50 + at) for at, (item, given) in enumerate(new)]
    timed = [*timed[2:], *((item, given, at) for at, (item, given) in enumerate(old)), *timed[:2]]
    offered = [row.id for row in td3.recommend(timed, FILMS)]
    without = {item for item, _ in old}
    assert offered == [row.id for row in td3.recommend(new, FILMS) if row.id not in without]


def test_fewer_ratings_are_filled_up_in_front_as_in_training(td3):
    found = td3.recommend(liking(3, 1, 7))
    assert found.notes()[1] == "the state has room for 4: 2 are empty"
    observation = td3.observation(np.array([4, 10]), np.array([5.0, 3.0]))
    assert observation["history_items"].tolist() == [[FILMS, FILMS, 4, 10]]
    assert observation["history_responses"].tolist() == [[0.0, 0.0, 5.0, 1.0]]
    td3_alone = Recommender(td3.agent, td3.shelf)
    td3_alone._takes_short = False
    with pytest.raises(InvalidInput, match="2 known items are rated, and this agent reads 4; rate 2 more"):
        td3_alone.recommend(liking(3, 1, 7))


def test_unknown_ids_are_named_and_left_out_of_the_state(td3):
    history = liking(3, 12, 7, 1, 18)
    more = [("tt1", 1), *history[:2], (9999, 5), *history[2:]]
    found = td3.recommend(more)
    assert found.rows == td3.recommend(history).rows
    assert found.unknown == ("tt1", "9999")
    assert found.notes() == [
        "4 of 6 ratings are of known items; the last 4 are the state",
        "unknown and left out (2): tt1, 9999",
    ]
    with pytest.raises(InvalidInput, match=r"none of the 2 rated items is known \(1, 2\); allowed: ids of circle, 30"):
        td3.recommend([(1, 3), (2, 4)])


def test_more_than_is_left_gives_what_is_left(td3):
    found = td3.recommend(liking(0, *range(27)), 10)
    assert {row.id for row in found} == {127, 128, 129}
    assert found.notes()[-1] == "10 were asked for, and only 3 items are left"
    with pytest.raises(InvalidInput, match="all 30 items are rated already"):
        td3.recommend(liking(0, *range(30)))


def test_ratings_are_on_the_scale_that_was_learnt(td3):
    with pytest.raises(DataError, match=r"row 2: rating is 5\.5; allowed: 0\.5 to 5"):
        td3.recommend([(101, 3.0), (102, 5.5)])
    for k in (0, -1):
        with pytest.raises(InvalidConfig, match="k = "):
            td3.recommend(liking(3, 1), k)


def test_metrics_are_for_agents_of_vectors(td3, dqn_folder):
    with pytest.raises(InvalidConfig, match="metric = 'l1'"):
        td3.recommend(liking(3, 1), metric="l1")
    with pytest.raises(InvalidConfig, match="metric = 'l2' for DQN, which acts by no vectors"):
        recommend(dqn_folder, liking(3, 1), metric="l2")
    found = recommend(dqn_folder, liking(3, 1))
    assert found.metric == ""
    assert [*found.frame().columns] == ["id", "title", "genres"]


def test_the_one_call_and_the_table(td3_folder):
    found = smartrec.tasks.recommend(td3_folder, liking(0, 5, 3, 8, 1), k=3)
    table = found.frame()
    assert isinstance(table, pd.DataFrame)
    assert table["id"].tolist() == [row.id for row in found]
    assert found.rows[0].title == f"Film at {12 * (found.rows[0].id - 100)} degrees"
    assert found.rows[0].genres in {("East",), ("North",), ("South",)}


def test_what_is_written_comes_back(circle, td3_folder):
    agent, shelf = read(td3_folder)
    assert shelf.ids == tuple(circle.catalogue.ids.ids.tolist())
    assert shelf.titles == circle.catalogue.labels
    assert shelf.counts.tolist() == np.bincount(circle.log.items, minlength=FILMS).tolist()
    assert shelf.rewards(np.array([0.5, 2.0, 5.0])).tolist() == [-4, -1, 5]
    assert {path.name for path in td3_folder.iterdir()} == {
        "agent.json", "arrays.npz", "catalogue.parquet", "people.npz", "recommender.json",
    }  # fmt: skip
    lasts = {tuple(last) for last in circle.log.items.reshape(-1, 12)[:, -4:].tolist()}
    assert {tuple(row) for row in shelf.people["history_items"].tolist()} <= lasts
    assert len(shelf.people["history_items"]) == 200
    assert agent.items == FILMS


def test_agents_that_read_no_history_are_refused_before_anything_is_written(circle, tmp_path):
    task = agents.make("thompson", smartrec_envs(), seed=0)
    user = Problem.from_spaces(
        spaces.Dict({"user": spaces.Discrete(5), **circle.frames.problem().observation_space.spaces}),
        spaces.Discrete(FILMS),
    )
    plain = Problem.from_spaces(spaces.Box(-1, 1, (12,)), spaces.Discrete(FILMS))
    cases = [(task, "sees clock"), (agents.make("als", user, seed=0), "sees history_items, history_responses, user"),
             (agents.make("td3", plain, seed=0), r"sees Box\(")]  # fmt: skip
    for number, (agent, match) in enumerate(cases):
        with pytest.raises(InvalidConfig, match=f"this agent {match}.*td3"):
            write(tmp_path / "own", agent, circle.catalogue, circle.log, ratings={1: 1}, dataset="circle")
        assert not (tmp_path / "own").exists()
        agent.save(tmp_path / str(number))
        with pytest.raises(DataNotFound, match="holds an agent, but not what its items are called"):
            recommend(tmp_path / str(number), liking(3, 1))


def smartrec_envs():
    import gymnasium as gym

    return gym.make_vec("SmartRec/Task1-v0", num_envs=10, n_items=FILMS)


def test_what_does_not_belong_together_is_refused(circle, td3, tmp_path):
    other = Vocabulary(np.arange(FILMS))
    for items in (Catalogue.without_features(other), Catalogue.without_features(Vocabulary(100 + np.arange(29)))):
        with pytest.raises(InvalidInput, match="the same items in the same order"):
            write(tmp_path, td3.agent, items, circle.log, ratings={1: 1}, dataset="circle")
    for ratings in ({}, {1: np.nan}):
        with pytest.raises(InvalidInput, match="a reward for each"):
            write(tmp_path, td3.agent, circle.catalogue, circle.log, ratings=ratings, dataset="circle")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("name", ["agent.json", "arrays.npz", "catalogue.parquet", "people.npz", "recommender.json"])
def test_damaged_folders_are_named(td3_folder, tmp_path, name):
    folder = shutil.copytree(td3_folder, tmp_path / "own")
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="damaged"):
        Recommender.load(folder)
    (folder / name).unlink()
    with pytest.raises((DataError, DataNotFound), match="own"):
        Recommender.load(folder)


def test_a_catalogue_of_another_size_is_damage(circle, td3_folder, tmp_path):
    folder = shutil.copytree(td3_folder, tmp_path / "own")
    table = pd.read_parquet(folder / "catalogue.parquet")
    table[:-1].to_parquet(folder / "catalogue.parquet")
    with pytest.raises(DataError, match=r"29 items in catalogue\.parquet, 30 in the agent"):
        Recommender.load(folder)


def test_writing_that_breaks_leaves_no_recommender(circle, td3_folder, td3, tmp_path, monkeypatch):
    folder = shutil.copytree(td3_folder, tmp_path / "own")
    monkeypatch.setattr("smartrec.tasks.recommender_files._last_frames", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(folder, td3.agent, circle.catalogue, circle.log, ratings={0.5: -4, 5: 5}, dataset="circle")
    with pytest.raises(DataNotFound, match=r"recommender\.json is missing"):
        Recommender.load(folder)


def test_string_ids_and_lists_of_ratings(circle, td3, tmp_path):
    names = Vocabulary([f"tt{n:02}" for n in range(FILMS)])
    items = replace(circle.catalogue, ids=names)
    write(tmp_path, td3.agent, items, replace(circle.log, item_ids=names), ratings={0: -1, 1: 1}, dataset="circle")
    assert json.loads((tmp_path / "recommender.json").read_text())["ratings"] == [[0.0, -1.0], [1.0, 1.0]]
    found = recommend(tmp_path, [("tt05", 1), ("tt06", 0)])
    assert len(found) == 10
    assert all(row.id.startswith("tt") for row in found)


def test_ids_that_a_log_wrote_with_a_point_are_found_with_it_and_without(circle, td3, tmp_path):
    names = Vocabulary([f"{n}.0" for n in range(FILMS)])
    items = replace(circle.catalogue, ids=names)
    write(tmp_path, td3.agent, items, replace(circle.log, item_ids=names), ratings={0: -1, 1: 1}, dataset="circle")
    for history in ([("5.0", 1), ("6.0", 0)], [(5.0, 1), (6.0, 0)], [("5", 1), (6, 0)]):
        assert recommend(tmp_path, history, 28).unknown == ()


def test_k_is_a_whole_number(td3):
    with pytest.raises(InvalidConfig, match=r"k = 2\.5; allowed: a whole number >= 1"):
        td3.recommend(liking(3, 1), 2.5)
    assert len(td3.recommend(liking(3, 1), np.int64(2))) == 2


def test_a_disk_that_fills_up_says_how_to_go_on(circle, td3, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    for place in ("_write_catalogue", "np.savez", "json.dump"):
        with monkeypatch.context() as patch:
            patch.setattr(f"smartrec.tasks.recommender_files.{place}", full)
            with pytest.raises(OutputError, match=r"cannot be written \(No space left.*make room.*train --resume"):
                write(tmp_path, td3.agent, circle.catalogue, circle.log, ratings={0.5: -4, 5: 5}, dataset="circle")
        assert not (tmp_path / "recommender.json").exists()
