"""The batch as SB3's vector environment: the same world as one by one, and SB3's own algorithms learn on it."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO, RecurrentPPO
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecNormalize

import smartrec
from smartrec.agents import Mask
from smartrec.agents.adapters.sb3 import as_vec_env
from smartrec.agents.adapters.sb3_agent import SB3Agent
from smartrec.core.errors import InvalidConfig
from smartrec.envs import EmbeddingActions, VectorEmbeddingActions


def light():
    """Options of small networks; made anew, as SB3 writes into them."""
    return {"device": "cpu", "policy_kwargs": {"net_arch": [16]}}


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture(autouse=True)
def _generators_kept():
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.set_rng_state(state)


def batch(task=1, lanes=50, **options):
    return gym.make_vec(f"SmartRec/Task{task}-v0", num_envs=lanes, **options)


def expected(agent, envs, steps=20):
    """Mean expected reward of what ``agent`` shows when it does not explore."""
    envs.seed(1)
    seen, total = envs.reset(), 0.0
    for _ in range(steps):
        masks = {"action_masks": get_action_masks(envs)} if isinstance(agent, MaskablePPO) else {}
        seen, _, _, infos = envs.step(agent.predict(seen, deterministic=True, **masks)[0])
        total += np.mean([info["expected_reward"] for info in infos])
    return total / steps


@pytest.mark.parametrize("options", [{}, {"session_length": 3, "n_users": 200}, {"slate_size": 3, "history": 2}])
def test_one_lane_is_the_single_environment(options):
    replaced = {"on_repeat": "replace"} if "slate_size" in options else {}
    lane, single = as_vec_env(batch(2, 1, **options, **replaced)), gym.make("SmartRec/Task2-v0", **options)
    lane.seed(7)
    seen, alone = lane.reset(), single.reset(seed=7)[0]
    rng, total, length = np.random.default_rng(0), 0.0, 0
    for _ in range(25):
        assert set(seen) == set(alone)
        assert all(np.array_equal(seen[key][0], alone[key]) for key in alone)
        action = rng.integers(10, size=options.get("slate_size"))
        seen, reward, done, infos = lane.step(np.array([action]))
        alone, its_reward, terminated, truncated, info = single.step(action)
        total, length = total + its_reward, length + 1
        assert reward.dtype == np.float32
        assert (reward[0], done[0]) == (its_reward, terminated or truncated)
        assert infos[0]["visit"] == info["visit"]
        assert infos[0]["expected_reward"] == pytest.approx(info["expected_reward"], abs=1e-6)
        assert ("episode" in infos[0]) == done[0]
        if done[0]:
            assert infos[0]["episode"] == {"r": total, "l": length, "t": 0.0}
            assert infos[0]["terminal_observation"]["user"] == alone["user"]
            alone, total, length = single.reset()[0], 0.0, 0


def test_spaces_attributes_and_keys():
    envs = as_vec_env(batch(2, 4, candidates=3), ignore=("user",))
    assert set(envs.observation_space.spaces) == {"clock", "user_features"} == set(envs.reset())
    assert envs.action_space == spaces.Discrete(10)
    assert envs.get_attr("session_length", indices=[0, 2]) == [1, 1]
    assert envs.env_method("action_masks", indices=1)[0].shape == (10,)
    envs.set_attr("reference", True)
    assert "best_expected_reward" in envs.step(np.argmax(get_action_masks(envs), axis=1))[3][0]
    assert is_masking_supported(envs)
    with pytest.raises(AttributeError):
        envs.get_attr("nothing")
    assert not envs.has_attr("nothing")
    envs.close()


def test_seeds_make_worlds():
    rewards = []
    for seed in (3, 3, 4):
        envs = as_vec_env(batch())
        envs.seed(seed)
        envs.reset()
        rewards.append(np.concatenate([envs.step(np.full(50, 2))[1] for _ in range(5)]))
    assert np.array_equal(rewards[0], rewards[1])
    assert not np.array_equal(rewards[0], rewards[2])


def test_any_batch_with_autoreset_in_the_same_step():
    """Pendulum is cut off after 200 steps: SB3 must be told, with the observation to bootstrap from."""
    single = [lambda: gym.make("Pendulum-v1", max_episode_steps=5)] * 3
    envs = as_vec_env(SyncVectorEnv(single, autoreset_mode=AutoresetMode.SAME_STEP))
    envs.seed(0)
    envs.reset()
    for step in range(1, 11):
        seen, _, done, infos = envs.step(np.zeros((3, 1), np.float32))
        assert done.tolist() == [step % 5 == 0] * 3
        for lane, info in enumerate(infos):
            assert info.get("TimeLimit.truncated", False) == (step % 5 == 0)
            if done[lane]:
                assert info["terminal_observation"].shape == (3,)
                assert not np.array_equal(info["terminal_observation"], seen[lane])
                assert info["episode"]["l"] == 5
    with pytest.raises(InvalidConfig, match=r"autoreset_mode = .*NEXT_STEP.*; allowed: AutoresetMode.SAME_STEP"):
        as_vec_env(SyncVectorEnv(single))


def test_what_cannot_be_adapted_is_named():
    for make, message in [
        (lambda: as_vec_env(gym.make("SmartRec/Task1-v0")), "allowed: a batch from gymnasium.make_vec"),
        (lambda: as_vec_env(batch(slate_size=3)), 'on_repeat = None; allowed: "replace"'),
        (lambda: as_vec_env(batch(), ignore=("usr",)), r"ignore = \('usr',\); allowed: keys of the observation, clock"),
        (lambda: as_vec_env(batch(), ignore=("user", "clock")), "leaves nothing"),
        (lambda: as_vec_env(batch(n_users=20_000)), "'user' has 20,000 values"),
    ]:
        with pytest.raises(InvalidConfig, match=message):
            make()
    assert as_vec_env(batch(n_users=20_000), ignore=("user",)).reset()["clock"].shape == (50,)


def test_wrappers_and_evaluation_of_sb3_take_it():
    envs = as_vec_env(batch(2, 10), ignore=("user",))
    seen = VecNormalize(envs, norm_obs_keys=["user_features"]).reset()
    assert seen["user_features"].shape == (10, 10)
    mean, _ = evaluate_policy(PPO("MultiInputPolicy", envs, **light()), envs, n_eval_episodes=40)
    assert 0 < mean < 1


REPLAY = {"learning_starts": 500, "gradient_steps": 10, "learning_rate": 0.005}


@pytest.mark.parametrize(
    ("cls", "steps", "options"),
    [
        (PPO, 4000, {"n_steps": 10, "batch_size": 100, "learning_rate": 0.01}),
        (A2C, 8000, {"n_steps": 2, "learning_rate": 0.01}),
        slow(TRPO, 4000, {"n_steps": 10, "batch_size": 100}),
        slow(DQN, 4000, {**REPLAY, "exploration_fraction": 0.5}),
        slow(QRDQN, 4000, REPLAY),
    ],
)
def test_task_1_is_learnt_on_the_batch(cls, steps, options):
    """The best item is worth 0.75, a random one 0.415."""
    envs = as_vec_env(batch(), ignore=("user",))
    agent = cls("MultiInputPolicy", envs, seed=0, gamma=0.0, **light(), **options)
    agent.learn(steps)
    assert agent.num_timesteps >= steps
    assert np.mean([episode["l"] for episode in agent.ep_info_buffer]) == 1
    assert expected(agent, envs) > 0.6


def test_a_policy_with_masks_never_shows_what_is_not_allowed():
    envs = as_vec_env(batch(2, 50, candidates=4), ignore=("user",))
    inside, step, seen = envs.envs, envs.envs.step, []

    def note(actions):
        seen.append(inside.unwrapped.action_masks()[np.arange(50), actions].all())
        return step(actions)

    inside.step = note
    agent = MaskablePPO(
        "MultiInputPolicy", envs, n_steps=10, batch_size=100, learning_rate=0.01, gamma=0.0, seed=0, **light()
    )
    untrained = expected(agent, envs)
    agent.learn(5000)
    assert expected(agent, envs) > untrained + 0.05
    assert len(seen) == 140
    assert all(seen)


def test_slates_with_masks_and_repeats_that_are_replaced():
    envs = as_vec_env(batch(1, 20, slate_size=3, candidates=5, on_repeat="replace"), ignore=("user",))
    agent = MaskablePPO("MultiInputPolicy", envs, n_steps=4, batch_size=40, seed=0, **light())
    agent.learn(160)
    envs.reset()
    infos = envs.step(np.zeros((20, 3), int))[3]
    assert all(info["replaced"] >= 2 for info in infos)
    assert all(len(set(info["shown"].tolist())) == 3 for info in infos)


@pytest.mark.parametrize("cls", [DDPG, *(slow(cls) for cls in (TD3, SAC, TQC, CrossQ))])
def test_algorithms_for_vectors_learn_by_look_up(cls):
    """Items on a line in the order of their worth, so that the best is at its end."""
    envs = batch()
    clicks = np.zeros(10)
    envs.reset(seed=0)
    for item in range(10):
        clicks[item] = envs.step(np.full(50, item))[-1]["expected_reward"].mean()
    line = np.linspace(-1, 1, 10)[clicks.argsort().argsort()][:, None]
    wrapped = as_vec_env(VectorEmbeddingActions(envs, line), ignore=("user",), flat=cls is CrossQ)
    options = {} if cls in (DDPG, TD3) else {"ent_coef": 0.05}
    options |= {"gamma": 0.0, "learning_starts": 1000, "gradient_steps": 5, "learning_rate": 0.003, "seed": 0}
    agent = cls("MlpPolicy" if cls is CrossQ else "MultiInputPolicy", wrapped, **options, **light())
    agent.learn(4000)
    assert expected(agent, wrapped) > 0.6


def test_recurrent_and_random_search_run_too():
    envs = as_vec_env(batch(2, 8), ignore=("user", "clock"))
    agent = RecurrentPPO("MultiInputLstmPolicy", envs, n_steps=8, batch_size=32, device="cpu")
    agent.learn(64)
    assert agent.num_timesteps == 64
    flat = as_vec_env(SyncVectorEnv([lambda: gym.make("CartPole-v1")] * 2, autoreset_mode=AutoresetMode.SAME_STEP))
    search = ARS("LinearPolicy", flat, n_delta=2, n_eval_episodes=2, seed=0)
    search.learn(100)
    assert search.num_timesteps >= 100


@pytest.mark.parametrize("cls", [PPO, DQN])
def test_the_single_environment_is_learnt_on_too(cls):
    agent = cls("MultiInputPolicy", gym.make("SmartRec/Task2-v0", observe_user=False), seed=0, **light())
    agent.learn(300)
    assert agent.num_timesteps >= 300
    point = DDPG(
        "MultiInputPolicy", EmbeddingActions(gym.make("SmartRec/Task2-v0", observe_user=False)), seed=0, **light()
    )
    point.learn(150)
    assert point.num_timesteps >= 150


OPTIONS = {
    PPO: {"n_steps": 8, "batch_size": 80},
    A2C: {},
    MaskablePPO: {"n_steps": 8, "batch_size": 80},
    DQN: {},
    QRDQN: {},
}


@pytest.mark.parametrize("cls", OPTIONS)
def test_what_sb3_trained_decides_the_same_as_an_agent(cls, tmp_path):
    inside = batch(2, 20)
    envs = as_vec_env(inside, ignore=("user",))
    trained = cls("MultiInputPolicy", envs, learning_rate=0.01, seed=0, **OPTIONS[cls], **light())
    trained.learn(800)
    trained.save(tmp_path / "trained.zip")
    problem = inside.unwrapped.problem
    seen, _ = inside.reset(seed=5)
    rng = np.random.default_rng(0)
    table = rng.random((20, 10)) < 0.5
    table[:, 0] = True
    shown = {key: seen[key] for key in envs.observation_space.spaces}
    agent = SB3Agent.of(cls.load(tmp_path / "trained.zip"), problem, seed=0, every=1000, gradient_steps=5)
    greedy = agent.act(seen, explore=False).action
    assert np.array_equal(greedy, trained.predict(shown, deterministic=True)[0])
    assert len(set(greedy.tolist())) > 1 or cls in (A2C, DQN, QRDQN)
    if cls is MaskablePPO:
        masked = agent.act(seen, allowed=Mask(table), explore=False).action
        assert np.array_equal(masked, trained.predict(shown, deterministic=True, action_masks=table)[0])
    smartrec.evaluation.run(agent, inside, seed=2)  # goes on learning
    agent.save(tmp_path / "agent")
    again = smartrec.agents.load(tmp_path / "agent")
    assert np.array_equal(again.act(seen, explore=False).action, agent.act(seen, explore=False).action)


@pytest.mark.parametrize("cls", [DDPG, TD3, SAC, TQC, CrossQ])
def test_what_sb3_trained_to_point_shows_the_same_items_as_an_agent(cls):
    inside = batch(2, 20)
    wrapped = VectorEmbeddingActions(inside)
    envs = as_vec_env(wrapped, ignore=("user",), flat=cls is CrossQ)
    policy = "MlpPolicy" if cls is CrossQ else "MultiInputPolicy"
    trained = cls(policy, envs, learning_starts=40, seed=0, **light())
    trained.learn(200)
    # One vector does not say which keys it is made of.
    options = {"ignore": ("user",)} if cls is CrossQ else {}
    agent = SB3Agent.of(trained, inside.unwrapped.problem, seed=0, **options)
    envs.seed(5)
    points = trained.predict(envs.reset(), deterministic=True)[0]
    seen, _ = wrapped.reset(seed=5)
    items = agent.act(seen, explore=False).action
    assert np.array_equal(items, wrapped.step(points)[-1]["items"][:, 0])


def test_what_cannot_become_an_agent_is_named():
    inside = batch(2, 4)
    trained = PPO("MultiInputPolicy", as_vec_env(inside, ignore=("user",)), **light())
    with pytest.raises(InvalidConfig, match="observation_space of the algorithm is"):
        SB3Agent.of(trained, batch(2, 4, n_users=50).unwrapped.problem, seed=0)
    with pytest.raises(InvalidConfig, match="action_space of the algorithm is"):
        SB3Agent.of(trained, batch(2, 4, slate_size=2).unwrapped.problem, seed=0)
    recurrent = RecurrentPPO("MultiInputLstmPolicy", as_vec_env(inside, ignore=("user",)), device="cpu")
    with pytest.raises(InvalidConfig, match="algorithm = 'RecurrentPPO'"):
        SB3Agent.of(recurrent, inside.unwrapped.problem, seed=0)
