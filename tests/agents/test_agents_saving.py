"""Agents on disk and by name: what comes back, and what the errors say."""

import json
import os
import shutil
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

from smartrec import agents
from smartrec.agents import AGENTS, Agent
from smartrec.agents.bandits.ucb import UCB
from smartrec.core import Problem, SmartRecError
from smartrec.core.errors import DataError, DataNotFound, InvalidConfig, InvalidInput, OutputError, UnknownName


@pytest.fixture
def saved(tmp_path, problem, feedback):
    """A folder with a Thompson agent that has learnt, and the agent."""
    agent = agents.make("thompson", problem(4), seed=5, window=3, discount=0.9)
    agent.observe(feedback([0, 1, 2], [1, 0, 1], clock=[1, 2, 2]))
    agent.save(tmp_path / "agent")
    return tmp_path / "agent", agent


@pytest.mark.parametrize("name", list(AGENTS))
@pytest.mark.parametrize("options", [{}, {"discount": 0.9}, {"window": 3}, {"window": 4, "discount": 0.8}], ids=str)
def test_two_n_steps_are_n_save_load_and_n(name, options, tmp_path, problem, seen, feedback):
    """Bit for bit, with late feedback under way, for every kind of forgetting."""
    known = AGENTS.get(name).Config.__dataclass_fields__
    options = {option: value for option, value in options.items() if option in known}
    rng = np.random.default_rng(0)
    features = rng.normal(size=(20, 16, 3)).astype(np.float32)
    responses = rng.integers(2, size=(20, 16, 2))

    def live(agent, steps, pending):
        decisions = []
        for step in steps:
            decision = agent.act(seen(16, step // 2, features[step]))
            told = feedback(decision.action, responses[step], step // 2, features[step])
            pending.append(replace(told, decision=decision))
            if len(pending) > 3:
                agent.observe(pending.pop(0))
                agent.update()
            decisions.append(decision.action)
        return np.array(decisions)

    whole, half = (agents.make(name, problem(6, 2, features=3), seed=1, **options) for _ in range(2))
    pending = []
    expected = live(whole, range(20), [])
    np.testing.assert_array_equal(live(half, range(10), pending), expected[:10])
    half.save(tmp_path)
    loaded = agents.load(tmp_path)
    assert loaded.config == half.config
    np.testing.assert_array_equal(live(loaded, range(10, 20), pending), expected[10:])
    assert loaded.rng.random() == whole.rng.random()


def test_saving_over_an_older_save_replaces_it(saved, feedback):
    folder, agent = saved
    agent.observe(feedback([3], [1], clock=2))
    agent.save(folder)
    np.testing.assert_array_equal(agents.load(folder).counts.sums, agent.counts.sums)
    assert sorted(os.listdir(folder)) == ["agent.json", "arrays.npz"]


def test_item_features_come_back(tmp_path, problem):
    base = problem(3)
    features = np.arange(6.0).reshape(3, 2)
    agent = agents.make(
        "random",
        Problem.from_spaces(base.observation_space, base.action_space, item_features=features),
        seed=0,
    )
    agent.save(tmp_path)
    np.testing.assert_array_equal(agents.load(tmp_path).problem.item_features, features)


def test_no_folder_and_no_agent_in_it(tmp_path):
    with pytest.raises(DataNotFound, match="holds no saved agent"):
        agents.load(tmp_path / "nowhere")
    with pytest.raises(DataNotFound, match=r"agent\.json is missing"):
        agents.load(tmp_path)


@pytest.mark.parametrize("file", ["agent.json", "arrays.npz"])
@pytest.mark.parametrize("damage", ["cut", "emptied", "garbage", "flipped"])
def test_damaged_files_are_noticed(file, damage, saved):
    folder, _ = saved
    path = folder / file
    raw = path.read_bytes()
    if damage == "flipped" and file == "agent.json":
        raw = raw.replace(b'"config"', b'"confix"')
    flipped = raw if file == "agent.json" else bytes([*raw[:300], *(255 - b for b in raw[300:420]), *raw[420:]])
    path.write_bytes(
        {"cut": raw[: len(raw) // 2], "emptied": b"", "garbage": b"\x80\x01 no agent", "flipped": flipped}[damage]
    )
    with pytest.raises(DataError, match="is damaged") as failed:
        agents.load(folder)
    assert str(folder) in str(failed.value)


def test_a_missing_file_and_files_of_two_saves_are_noticed(saved, feedback, tmp_path):
    folder, agent = saved
    agent.observe(feedback([3], [1], clock=2))
    agent.save(tmp_path / "later")
    shutil.copy(tmp_path / "later" / "arrays.npz", folder / "arrays.npz")
    with pytest.raises(DataError, match=r"not the one that agent\.json was written with"):
        agents.load(folder)
    (folder / "arrays.npz").unlink()
    with pytest.raises(DataError, match="is damaged"):
        agents.load(folder)


def test_an_agent_of_another_class_is_named(saved):
    folder, _ = saved
    with pytest.raises(InvalidInput, match=r"holds smartrec\.agents\.bandits\.thompson:Thompson, not .*UCB"):
        UCB.load(folder)


def test_state_of_another_version_is_refused(saved):
    folder, _ = saved
    header = json.loads((folder / "agent.json").read_text())
    del header["state"]["rng"]
    (folder / "agent.json").write_text(json.dumps(header))
    with pytest.raises(DataError, match="does not fit Thompson"):
        agents.load(folder)


def test_a_folder_that_cannot_be_written_is_named(tmp_path, saved):
    _, agent = saved
    (tmp_path / "file").write_text("taken")
    with pytest.raises(OutputError, match="is a file, or lies under one"):
        agent.save(tmp_path / "file")
    with pytest.raises(OutputError, match="is a file, or lies under one"):
        agent.save(tmp_path / "file" / "below")


class Lazy(Agent):
    """Keeps NumPy scalars, and makes a table only when it is first asked."""

    def __init__(self, problem, config=None, *, seed):
        super().__init__(problem, config, seed=seed)
        self.total = np.float32(0.1)
        self.note = None

    def act(self, observation, *, first=None, allowed=None, explore=True):
        if not hasattr(self, "table"):
            self.table, self.count = np.arange(self.items), np.int64(3)
        return self.decide(np.zeros((1, 1), int))


def test_scalars_and_what_is_made_late_come_back(tmp_path, problem, seen):
    agent = Lazy(problem(3), seed=0)
    agent.act(seen(1))
    agent.total += np.float32(0.2)
    agent.save(tmp_path)
    loaded = Lazy.load(tmp_path)
    assert type(loaded.total) is np.float32
    assert loaded.total == agent.total
    assert loaded.count == 3
    assert loaded.note is None
    np.testing.assert_array_equal(loaded.table, [0, 1, 2])


@pytest.mark.parametrize(
    "value", [[1, 2], {"a": 1}, np.array([None]), object()], ids=["list", "dict", "objects", "any"]
)
def test_what_cannot_be_saved_is_named_before_anything_is_written(value, tmp_path, problem):
    agent = agents.make("random", problem(3), seed=0)
    agent.odd = value
    with pytest.raises(SmartRecError, match=r"'odd' of type .* cannot be saved; allowed: arrays"):
        agent.save(tmp_path / "agent")
    assert not (tmp_path / "agent").exists()


# Making agents by name


def test_names_and_options_that_do_not_exist_name_the_nearest(problem):
    with pytest.raises(UnknownName, match="Did you mean 'thompson'"):
        agents.make("thomson", problem(3), seed=0)
    with pytest.raises(InvalidConfig, match=r"agent thompson has no option 'discont'.*Did you mean 'discount'"):
        agents.make("thompson", problem(3), seed=0, discont=0.7)
    with pytest.raises(InvalidConfig, match="agent ucb: sample = 'yes'; allowed: a value of type bool"):
        agents.make("ucb", problem(3), seed=0, sample="yes")
    with pytest.raises(InvalidConfig, match=r"agent thompson: window = 2\.5; allowed: a value of type int"):
        agents.make("thompson", problem(3), seed=0, window=2.5)
    with pytest.raises(InvalidConfig, match="agent random has no option 'epsilon'"):
        agents.make("random", problem(3), seed=0, epsilon=0.1)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("epsilon_greedy", "epsilon", 1.1),
        ("ucb", "coefficient", -1.0),
        ("thompson", "prior_clicks", 0.0),
        ("thompson", "prior_misses", -1.0),
        ("lin_ucb", "alpha", -0.1),
        ("lin_ucb", "ridge", 0.0),
    ],
)
def test_options_out_of_range_say_what_is_allowed(name, option, value, problem):
    with pytest.raises(InvalidConfig, match=f"{option} = {value}; allowed"):
        agents.make(name, problem(3, features=1), seed=0, **{option: value})


@pytest.mark.parametrize("seed", [-1, 1.5, None, True])
def test_what_is_no_seed_is_refused(seed, problem):
    with pytest.raises(InvalidConfig, match=f"seed = {seed}; allowed: a whole number >= 0"):
        agents.make("random", problem(3), seed=seed)


def test_a_plain_gymnasium_environment_of_few_actions_is_a_bandit():
    env = gym.make("CartPole-v1")
    agent = agents.make("thompson", env, seed=0)
    assert (agent.problem.items, agent.problem.slate_size, agent.problem.users) == (2, 1, None)
    action = agent.act({"observation": np.zeros((3, 4), np.float32)}).action
    assert all(env.action_space.contains(one) for one in action)
    with pytest.raises(InvalidConfig, match="LinUCB needs user_features"):
        agents.make("lin_ucb", env, seed=0)


def test_a_plain_vector_environment_gives_its_lanes():
    envs = gym.make_vec("CartPole-v1", num_envs=3, vectorization_mode="sync")
    assert agents.make("ucb", envs, seed=0).problem.lanes == 3
    envs.close()


def test_one_place_in_a_row_of_actions_stays_a_row():
    """MultiDiscrete([5]) takes [N, 1], although it asks for one item."""
    space = gym.spaces.MultiDiscrete([5])
    agent = agents.make("random", Problem.from_spaces(gym.spaces.Discrete(2), space), seed=0)
    action = agent.act({"observation": np.zeros(4, int)}).action
    assert action.shape == (4, 1)
    assert space.contains(action[0])


def test_an_environment_of_vectors_and_what_is_no_environment_are_refused():
    with pytest.raises(InvalidConfig, match="chooses items; action space Box"):
        agents.make("thompson", gym.make("Pendulum-v1"), seed=0)
    with pytest.raises(InvalidInput, match=r"problem is 'CartPole-v1'; allowed: an environment, made by"):
        agents.make("thompson", "CartPole-v1", seed=0)


def test_an_agent_for_one_item_refuses_slates(problem):
    class One(agents.Agent):
        tags = agents.Tags(slates=False)
        act = Lazy.act

    with pytest.raises(InvalidConfig, match="shows one item; slate_size = 2"):
        One(problem(3, slate_size=2), seed=0)
