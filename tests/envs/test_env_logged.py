"""The environments that walk a log, against the log itself."""

import pickle
import re

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded

import smartrec
from smartrec.core.errors import (
    CheckFailed,
    DataError,
    DataNotFound,
    InvalidAction,
    InvalidConfig,
    InvalidInput,
    SmartRecError,
)
from smartrec.data import load
from smartrec.data.frames import Frames
from smartrec.data.trajectories import Trajectories
from smartrec.envs import LoggedEnv, LoggedVectorEnv, check_env
from smartrec.response_models.counters import uniforms

LOGGED = "SmartRec/Logged-v0"
MODES = [
    {"mode": mode, "mismatch": mismatch, "observe_user": seen}
    for mode, seen in (("frame", True), ("sequence", False))
    for mismatch in ("rejection", "logged", "simulated")
]


def write_log(path, users, items, ratings, times=None):
    times = np.arange(len(users)) if times is None else times
    rows = zip(users, items, ratings, times, strict=True)
    path.write_text("user,item,rating,timestamp\n" + "".join(f"{u},{i},{r},{t}\n" for u, i, r, t in rows))
    return str(path)


@pytest.fixture
def three_users(tmp_path):
    """Users of 25, 12 and 4 answers, shuffled; numbers of the items and ratings of each user, oldest first."""
    users = np.repeat([1, 2, 3], [25, 12, 4])
    times = np.concatenate([np.arange(25), np.arange(12), np.arange(4)])
    items = (3 * times + users) % 30
    ratings = (times + users) % 10 / 2 + 0.5
    mixed = np.random.default_rng(0).permutation(len(users))
    path = write_log(tmp_path / "log.csv", users[mixed], items[mixed], ratings[mixed], times[mixed])
    numbers = np.unique(items, return_inverse=True)[1]
    return path, {user: (numbers[users == user], ratings[users == user]) for user in (1, 2, 3)}


def walk(envs, choose, seed=0, steps=None):
    """Walk until every walker has been met once in each lane; what happened, a list a visit."""
    envs.reset(seed=seed)
    base, visits = envs.unwrapped, {}
    for _ in range(steps or len(base.log)):
        rows = base.rows
        _, reward, terminated, _, info = envs.step(choose(rows))
        for lane, visit in enumerate(info["visit"].tolist()):
            visits.setdefault(visit, []).append((rows[lane], reward[lane], info["matched"][lane], terminated[lane]))
    return visits


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


def test_a_user_of_25_ratings_is_an_episode_of_15_steps(three_users):
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


def test_who_plays_the_log_matches_15_of_15_and_chance_one_in_i(three_users):
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


def test_replay_is_unbiased_where_the_log_was_drawn_uniformly(tmp_path):
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


def test_its_observations_are_those_of_frames(three_users):
    path, _ = three_users
    log = Trajectories.of(load(path).interactions)
    frames = Frames(log, 10)
    env = gym.make(LOGGED, dataset=path, mismatch="logged")
    assert frames.problem().difference(env.unwrapped.problem) == ""
    assert env.unwrapped.problem.discount == frames.problem().discount > 0
    everything = frames.transitions(np.arange(len(frames)))
    ends = np.cumsum(np.maximum(log.lengths - 10, 0))
    observation, _ = env.reset(seed=0)
    for _ in range(len(frames)):
        row = env.unwrapped.row
        user = np.searchsorted(log.starts, row, side="right") - 1
        frame = row - log.starts[user] - 10 + ends[user] - max(log.lengths[user] - 10, 0)
        following, reward, terminated, *_ = env.step(0)
        for key in ("history_items", "history_responses"):
            assert np.array_equal(observation[key], everything.observation[key][frame])
            assert np.array_equal(following[key], everything.next_observation[key][frame])
        assert reward == everything.reward[frame]
        assert terminated == everything.terminated[frame]
        observation = env.reset()[0] if terminated else following


def test_an_agent_that_learnt_from_frames_acts_here(three_users):
    path, _ = three_users
    frames = Frames(Trajectories.of(load(path).interactions), 10)
    agent = smartrec.agents.make("dqn", frames.problem(), seed=0, epochs=1)
    agent.fit(frames.transitions(np.arange(len(frames))))
    envs = gym.make_vec(LOGGED, num_envs=2, dataset=path)
    assert np.isfinite(smartrec.evaluation.run(agent, envs, seed=0, steps=20).metrics["loop"])


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


def test_a_simulated_click_is_worth_the_mean_of_the_logs_clicks(tmp_path):
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


AGENTS = {"random": {}, "most_popular": {}, "dqn": {"train_every": 64}, "td3": {"train_every": 64}}


@pytest.mark.parametrize("mismatch", ["rejection", "logged", "simulated"])
@pytest.mark.parametrize("name", AGENTS)
def test_agents_run(name, mismatch):
    envs = gym.make_vec(LOGGED, num_envs=20, mismatch=mismatch, rating_map="click")
    agent = smartrec.agents.make(name, envs, seed=0, **AGENTS[name])
    record = smartrec.evaluation.run(agent, envs, seed=0, steps=120)
    assert record.environment == LOGGED
    log = envs.unwrapped.log
    if mismatch == "logged":  # all 20 lanes end 6 users of 20 steps each, whose clicks are in the log
        assert 0 < record.metrics["loop"] < 20 * log.ratings.mean() * 1.5


def test_where_the_log_is_played_agents_learn_of_the_logged_items():
    envs = gym.make_vec(LOGGED, num_envs=25, mismatch="logged", rating_map="click", mode="sequence")
    log = envs.unwrapped.log
    agent = smartrec.agents.make("most_popular", envs, seed=0)
    smartrec.evaluation.run(agent, envs, seed=0, steps=len(log) // 25)  # every user once
    assert np.array_equal(agent.counts.shown, np.bincount(log.items, minlength=100))
    assert np.array_equal(agent.counts.clicks, np.bincount(log.items, log.ratings, minlength=100))


def test_what_is_rejected_is_not_learnt_from():
    envs = gym.make_vec(LOGGED, num_envs=25, rating_map="click", mode="sequence")
    agent = smartrec.agents.make("most_popular", envs, seed=0)
    seen = []
    step = envs.step
    envs.step = lambda action: seen.append(step(action)) or seen[-1]
    smartrec.evaluation.run(agent, envs, seed=0, steps=200)
    assert agent.counts.shown.sum() == sum(info["matched"].sum() for *_, info in seen) > 0
    assert agent.counts.clicks.sum() == sum(reward.sum() for _, reward, *_ in seen)


def test_recommenders_know_the_users():
    envs = gym.make_vec(LOGGED, num_envs=50, mismatch="logged", rating_map="click", observe_user=True)
    agent = smartrec.agents.make("ease", envs, seed=0)
    smartrec.evaluation.run(agent, envs, seed=0, steps=100)


@pytest.mark.slow
def test_stable_baselines3_learns(tmp_path):
    import torch
    from stable_baselines3 import PPO

    rng = np.random.default_rng(0)
    users, items = np.repeat(np.arange(60), 12), np.tile(rng.permutation(12), 60)
    path = write_log(tmp_path / "log.csv", users, items, (items < 3).astype(int))
    env = gym.make(LOGGED, dataset=path, frame_size=2, mismatch="simulated")
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(1)
    try:
        agent = PPO("MultiInputPolicy", env, n_steps=256, batch_size=64, learning_rate=3e-3, seed=0, device="cpu")
        agent.learn(2048)
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(state)
    assert {episode["l"] for episode in agent.ep_info_buffer} == {10}
    # Three of twelve items are clicked by everybody.
    returns = [episode["r"] for episode in agent.ep_info_buffer]
    assert np.mean(returns[-20:]) > 6


@pytest.mark.parametrize("options", MODES[:3], ids=str)
def test_pickled_in_the_middle_of_a_run_it_goes_on_alike(options):
    for world in (gym.make(LOGGED, **options), gym.make_vec(LOGGED, num_envs=4, **options)):
        world.reset(seed=3)
        world.step(world.action_space.sample())
        twin = pickle.loads(pickle.dumps(world))
        for _ in range(8):
            action = world.action_space.sample()
            assert str(world.step(action)) == str(twin.step(action))


def test_specs_make_the_same_environment_again(three_users):
    options = {"dataset": three_users[0], "rating_map": "recnn", "frame_size": 3}
    envs = gym.make_vec(LOGGED, num_envs=4, **options)
    twins = gym.make_vec(envs.spec)
    assert str(envs.reset(seed=1)) == str(twins.reset(seed=1))
    env = gym.make(LOGGED, **options)
    twin = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert twin.observation_space == env.observation_space
    assert twin.unwrapped.log.settings == env.unwrapped.log.settings


def test_rewards_of_recnn_and_embeddings(three_users, tmp_path):
    path, users = three_users
    vectors = np.random.default_rng(0).normal(size=(24, 4)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", vectors)
    env = gym.make("SmartRec/ML20M-v0", dataset=path, embeddings=tmp_path / "vectors.npy")
    assert np.array_equal(env.unwrapped.problem.item_features, vectors)
    mapped = env.unwrapped.log.ratings
    assert (mapped.min(), mapped.max()) == (-4, 5)
    assert sorted(mapped) == sorted(np.concatenate([2 * (ratings - 2.5) for _, ratings in users.values()]))


def test_vectors_by_id_and_vectors_made_of_the_data_set(tmp_path):
    from smartrec.data.embeddings import embed, write_vectors

    dataset = load(write_log(tmp_path / "log.csv", np.arange(60) // 6, np.arange(60) % 11 + 5, np.arange(60) % 5 + 1))
    vectors = np.random.default_rng(0).normal(size=(11, 3)).astype(np.float32)
    write_vectors(tmp_path / "vectors.npz", dataset.items.ids, vectors)
    options = {"dataset": str(tmp_path / "log.csv"), "frame_size": 2}
    env = LoggedEnv(**options, embeddings=str(tmp_path / "vectors.npz"))
    assert np.array_equal(env.problem.item_features, vectors)
    assert np.array_equal(LoggedEnv(**options, embeddings="auto").problem.item_features, embed(dataset).vectors)
    assert LoggedEnv(**options).problem.item_features is None


def test_where_movielens_20m_is_missing_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SMARTREC_DATA", str(tmp_path))
    with pytest.raises(DataNotFound, match=r"'ml-20m' is not on this machine.*smartrec data fetch ml-20m"):
        gym.make_vec("SmartRec/ML20M-v0", num_envs=2)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"frame_size": 0}, InvalidConfig, "frame_size = 0; allowed: a whole number >= 1"),
        ({"frame_size": 30}, InvalidInput, "no user of synthetic has more than frame_size = 30 answers"),
        ({"mode": "frames"}, InvalidConfig, "mode: 'frames'|mode = 'frames'; allowed: 'frame', 'sequence'"),
        ({"mismatch": "reject"}, InvalidConfig, "allowed: 'rejection', 'logged', 'simulated'"),
        ({"rating_map": "recnn"}, InvalidInput, "ratings from 0 to 1; rating_map='recnn' is for 0.5 .. 5"),
        ({"framesize": 3}, InvalidConfig, "SmartRec/Logged-v0 has no option 'framesize'. Did you mean 'frame_size'"),
        ({"positive": 4}, InvalidConfig, "positive = 4.0; allowed: None for the synthetic log"),
        ({"embeddings": "none.npy"}, DataNotFound, "embeddings = 'none.npy' is not there"),
        ({"dataset": "ml-200k"}, SmartRecError, "unknown dataset 'ml-200k'"),
        ({"num_envs": 0}, InvalidConfig, "num_envs = 0; allowed: a whole number >= 1"),
    ],
)
def test_options_that_cannot_be(options, kind, message):
    with pytest.raises(kind, match=message):
        LoggedVectorEnv(**options)


def test_embeddings_that_cannot_be(tmp_path):
    (tmp_path / "text.npy").write_text("1 2 3")
    with pytest.raises(DataError, match=r"no sound .npy file"):
        LoggedVectorEnv(embeddings=str(tmp_path / "text.npy"))
    np.save(tmp_path / "few.npy", np.zeros((3, 2)))
    with pytest.raises(InvalidInput, match=r"vectors \(3, 2\) for 100 ids; allowed: one row an id"):
        LoggedVectorEnv(embeddings=str(tmp_path / "few.npy"))


def test_answers_all_alike_cannot_be_simulated(tmp_path):
    path = write_log(tmp_path / "log.csv", np.repeat(np.arange(5), 4), np.tile(np.arange(4), 5), np.ones(20, int))
    with pytest.raises(DataError, match="every answer is a click"):
        LoggedVectorEnv(dataset=path, frame_size=2, mismatch="simulated")


def test_steps_out_of_turn():
    env, envs = gym.make(LOGGED, disable_env_checker=True).unwrapped, LoggedVectorEnv(2)
    for world, action in ((env, 0), (envs, [0, 0])):
        with pytest.raises(ResetNeeded, match=r"call reset\(\)"):
            world.step(action)
        world.reset(seed=0)
        with pytest.raises(InvalidAction, match="item 100 in lane 0; allowed: item numbers 0 to 99"):
            world.step(np.full(np.shape(action), 100))
        with pytest.raises(InvalidConfig, match=r"reset takes no options; it was given \['user'\]"):
            world.reset(options={"user": 1})
    while not env.step(0)[2]:
        pass
    with pytest.raises(ResetNeeded, match="the user's answers have ended"):
        env.step(0)
    with pytest.raises(InvalidConfig, match=r"seed = \[1, 2\]; allowed: one whole number"):
        envs.reset(seed=[1, 2])
    with pytest.raises(TypeError, match="render_mode"):
        LoggedEnv(render_mode="human")
    with pytest.raises(InvalidConfig, match=re.escape("num_envs = 3 for a single environment")):
        LoggedEnv(num_envs=3)


@pytest.mark.data
def test_movielens_100k():
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
