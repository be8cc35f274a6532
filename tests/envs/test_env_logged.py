"""The environments that walk a log, against the log itself."""

import gymnasium as gym
import numpy as np
import pytest

from smartrec.core.errors import (
    CheckFailed,
    InvalidInput,
)
from smartrec.envs import LoggedEnv, LoggedVectorEnv, check_env
from smartrec.response_models.counters import uniforms

LOGGED = "SmartRec/Logged-v0"
MODES = [
    {"mode": mode, "mismatch": mismatch, "observe_user": seen}
    for mode, seen in (("frame", True), ("sequence", False))
    for mismatch in ("rejection", "logged", "simulated")
]


@pytest.mark.parametrize("options", MODES, ids=str)
def test_check_env(options):
    check_env(LOGGED, **options)


def test_check_env_on_made_ones_and_on_a_log_of_few_rows(three_users):
    path, _ = three_users
    check_env(LoggedVectorEnv(3, dataset=path, mode="sequence", frame_size=60))
    check_env(LoggedEnv(dataset=path, mismatch="logged", rating_map="recnn"))
    check_env(gym.make_vec("smartrec:SmartRec/ML20M-v0", num_envs=2, dataset=path))
    with pytest.raises(InvalidInput, match="allowed with an id only"):
        check_env(gym.make(LOGGED), mode="frame")


class _Generous(LoggedVectorEnv):
    """Pays for what is rejected."""

    def step(self, actions):
        observation, reward, *rest = super().step(actions)
        return observation, reward + 0.5, *rest


class _PaysByLanes(LoggedVectorEnv):
    """Says another visit to half of the lanes."""

    def step(self, actions):
        *rest, info = super().step(actions)
        return *rest, {**info, "visit": info["visit"] + np.arange(self.num_envs) // 2}


class _TakesAll(LoggedVectorEnv):
    def step(self, actions):
        return super().step(np.clip(np.asarray(actions)[: self.num_envs], 0, self.log.n_items - 1).astype(int))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (_Generous, "a logged answer has the logged reward"),
        (_PaysByLanes, "the same seed gives the same visits with \\d+ lanes"),
        (_TakesAll, "an item number below 0 is refused"),
    ],
)
def test_check_env_names_the_broken_rule(kind, message):
    with pytest.raises(CheckFailed, match=message):
        check_env(kind(2))


def test_a_user_of_25_ratings_is_an_episode_of_15_steps(three_users, walk):
    path, users = three_users
    envs = gym.make_vec(LOGGED, num_envs=1, dataset=path, mismatch="logged")
    log = envs.unwrapped.log
    assert envs.unwrapped.about == "log: 2 of 3 users have more than 10 answers"
    assert len(log) == 15 + 2
    visits = walk(envs, lambda rows: np.zeros(1, int))
    assert sorted(map(len, visits.values())) == [2, 15]
    for visit in visits.values():
        items, ratings = users[1 if len(visit) == 15 else 2]
        assert [reward for _, reward, _, _ in visit] == ratings[10:].tolist()
        assert [log.items[row] for row, _, _, _ in visit] == items[10:].tolist()
        assert [done for *_, done in visit] == [False] * (len(visit) - 1) + [True]


def test_who_plays_the_log_matches_15_of_15_and_chance_one_in_i(three_users, walk):
    path, users = three_users
    envs = gym.make_vec(LOGGED, num_envs=1, dataset=path)
    log = envs.unwrapped.log
    (visit,) = [visit for visit in walk(envs, lambda rows: log.items[rows]).values() if len(visit) == 15]
    assert all(matched for _, _, matched, _ in visit)
    assert [reward for _, reward, _, _ in visit] == users[1][1][10:].tolist()
    rng, many = np.random.default_rng(0), gym.make_vec(LOGGED, num_envs=400, dataset=path)
    visits = walk(many, lambda rows: rng.integers(log.n_items, size=400), steps=100)
    matched = np.concatenate([[step[2] for step in visit] for visit in visits.values()])
    rate = 1 / log.n_items
    assert abs(matched.mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / len(matched))


def test_what_is_not_the_logged_item_is_rejected(three_users):
    path, _ = three_users
    envs = gym.make_vec(LOGGED, num_envs=4, dataset=path)
    log = envs.unwrapped.log
    envs.reset(seed=0)
    rows = envs.unwrapped.rows
    hit = np.array([True, False, True, False])
    observation, reward, _, _, info = envs.step(np.where(hit, log.items[rows], (log.items[rows] + 1) % log.n_items))
    assert info["matched"].tolist() == info["observed"][:, 0].tolist() == hit.tolist()
    assert np.array_equal(reward, np.where(hit, log.ratings[rows], 0))
    # Users live what the log says, whatever the agent does.
    assert np.array_equal(observation["history_items"][:, -1], log.items[rows])
    assert np.array_equal(observation["history_responses"][:, -1], log.ratings[rows])


def test_replay_is_unbiased_where_the_log_was_drawn_uniformly(tmp_path, write_log):
    """Li et al. 2011: a policy that looks at the user earns in matched steps what it would earn in the world."""
    rng = np.random.default_rng(3)
    n_users, n_items, answers = 3000, 5, 12
    users = np.repeat(np.arange(n_users), answers)
    items = rng.integers(n_items, size=len(users))
    truth = np.array([[0.9, 0.6, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.6, 0.9]])  # by parity of the user
    clicks = rng.random(len(users)) < truth[users % 2, items]
    path = write_log(tmp_path / "log.csv", users, items, clicks.astype(int))
    envs = gym.make_vec(LOGGED, num_envs=100, dataset=path, frame_size=2, observe_user=True)
    shares = np.array([[0.5, 0.2, 0.1, 0.1, 0.1], [0.0, 0.0, 0.3, 0.3, 0.4]])
    observation, _ = envs.reset(seed=0)
    earned = []
    for _ in range(len(envs.unwrapped.log) // 100):
        policy = shares[observation["user"] % 2].cumsum(axis=1)
        action = (rng.random(100)[:, None] > policy).sum(axis=1)
        observation, reward, _, _, info = envs.step(action)
        earned.extend(reward[info["matched"]])
    value = (truth * shares).sum(axis=1).mean()
    assert len(earned) == pytest.approx(len(envs.unwrapped.log) / n_items, rel=0.05)
    assert abs(np.mean(earned) - value) < 4 * np.std(earned) / np.sqrt(len(earned))
    assert abs(clicks.mean() - value) > 10 * np.std(earned) / np.sqrt(len(earned))  # the log's own rate is far off


def test_every_user_comes_once_before_any_comes_again():
    envs = gym.make_vec(LOGGED, num_envs=7, observe_user=True, mode="sequence")
    users = {}
    for seed in (0, 0, 1):
        observation, _ = envs.reset(seed=seed)
        seen = {}
        for _ in range(5200):
            before = observation["user"]
            observation, *_, info = envs.step(np.zeros(7, int))
            seen.update(zip(info["visit"].tolist(), before.tolist(), strict=True))
        order = [seen[visit] for visit in range(1000)]
        assert sorted(order[:500]) == sorted(order[500:]) == list(range(500))
        assert order[:500] != order[500:]
        users.setdefault(seed, []).append(order)
    assert users[0][0] == users[0][1]
    assert users[0][0] != users[1][0]


def test_reset_without_a_seed_goes_on_with_the_next_users():
    env = gym.make(LOGGED, observe_user=True)
    first = [env.reset(seed=0)[0]["user"], *(env.reset()[0]["user"] for _ in range(3))]
    envs = gym.make_vec(LOGGED, num_envs=2, observe_user=True)
    pairs = [envs.reset(seed=0)[0]["user"].tolist(), envs.reset()[0]["user"].tolist()]
    assert first == pairs[0] + pairs[1]
    assert env.step(0)[4]["visit"] == 3


def test_sequences_begin_with_nothing(three_users):
    path, users = three_users
    env = gym.make(LOGGED, dataset=path, mode="sequence", frame_size=6, mismatch="logged", observe_user=True)
    lengths = []
    for visit in range(3):
        observation, _ = env.reset(seed=0) if visit == 0 else env.reset()
        items, ratings = users[1 + observation["user"]]
        for step in range(len(items)):
            known = min(step, 6)
            assert (
                observation["history_items"].tolist()
                == [env.action_space.n] * (6 - known) + items[step - known : step].tolist()
            )
            padded = [0] * (6 - known) + ratings[step - known : step].tolist()
            assert observation["history_responses"].tolist() == padded
            observation, _, done, _, _ = env.step(0)
        assert done
        lengths.append(len(items))
    assert sorted(lengths) == [4, 12, 25]


def test_a_response_model_answers_for_other_items():
    options = {"mismatch": "simulated", "rating_map": "click", "mode": "sequence"}
    envs = gym.make_vec(LOGGED, num_envs=500, **options)
    log = envs.unwrapped.log
    assert any("AUC" in name or "AUC" in value for name, value in log.report)
    assert (log.stand.no_click, log.stand.click) == (0, 1)
    envs.reset(seed=0)
    rewards, expected, matched, clicks = [], [], [], []
    for step in range(60):
        rows = envs.unwrapped.rows
        item = np.full(500, step % 100)
        observation, reward, _, _, info = envs.step(item)
        hit = log.items[rows] == item
        assert np.array_equal(info["matched"], hit)
        assert np.array_equal(reward[hit], log.ratings[rows[hit]])
        lived = np.where(observation["history_items"][:, -1] == log.n_items, item, observation["history_items"][:, -1])
        assert np.array_equal(lived, item)
        for place, values in ((rewards, reward), (expected, info["expected_reward"]), (matched, hit)):
            place.extend(values)
        clicks.extend(reward)
    rewards, expected, free = np.array(rewards), np.array(expected), ~np.array(matched)
    spread = np.sqrt((expected * (1 - expected))[free].sum()) / free.sum()
    assert abs(rewards[free].mean() - expected[free].mean()) < 4 * spread
    # The model's users differ: rewards follow the expectation as closely as dice let them.
    closeness = expected[free].std() / rewards[free].std()
    assert closeness > 0.1
    assert np.corrcoef(rewards[free], expected[free])[0, 1] == pytest.approx(closeness, abs=0.03)
    assert set(clicks) == {0, 1}


def test_a_simulated_click_is_worth_the_mean_of_the_logs_clicks(tmp_path, write_log):
    rng = np.random.default_rng(0)
    users, items = np.repeat(np.arange(40), 20), np.tile(np.arange(20), 40)
    ratings = rng.integers(1, 6, size=800)
    path = write_log(tmp_path / "log.csv", users, items, ratings)
    envs = gym.make_vec(LOGGED, num_envs=40, dataset=path, mismatch="simulated", positive=4, rating_map="recnn")
    worth = 2 * (ratings - 2.5)
    high, low = worth[ratings >= 4].mean(), worth[ratings < 4].mean()
    envs.reset(seed=0)
    *_, info = envs.step(np.full(40, 3))
    envs.reset(seed=0)
    _, reward, _, _, info = envs.step(np.full(40, 3))
    assert set(np.round(reward[~info["matched"]], 4)) == {round(high, 4), round(low, 4)}
    assert (info["expected_reward"][~info["matched"]] > low).all()
    assert (info["expected_reward"][~info["matched"]] < high).all()


def test_uniforms_are_uniform_and_apart():
    from scipy.stats import kstest

    dice = uniforms(5, 0, np.arange(1000)[:, None], np.arange(50))
    assert kstest(dice.ravel(), "uniform").pvalue > 1e-4
    for other in (uniforms(6, 0, np.arange(1000)[:, None], np.arange(50)), np.roll(dice, 1, 0), np.roll(dice, 1, 1)):
        assert abs(np.corrcoef(dice.ravel(), other.ravel())[0, 1]) < 0.02


@pytest.mark.data
def test_movielens_100k(walk):
    envs = gym.make_vec(LOGGED, num_envs=100, dataset="ml-100k", mismatch="logged", rating_map="recnn")
    log = envs.unwrapped.log
    assert envs.unwrapped.about == "ml-100k: 943 of 943 users have more than 10 answers"
    assert len(log) == 100_000 - 943 * 10
    assert (log.ratings.min(), log.ratings.max()) == (-3, 5)
    assert envs.unwrapped.problem.items == 1682
    check_env(envs)
    visits = walk(envs, lambda rows: np.zeros(100, int), steps=300)
    for visit in visits.values():
        rows = [row for row, *_ in visit]
        assert [reward for _, reward, _, _ in visit] == log.ratings[rows].tolist()
