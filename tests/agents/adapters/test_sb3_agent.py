"""SB3's algorithms as agents: the same decisions, exact chances, masks, exact resume, and learning in our loop."""

import numpy as np
import pytest
from gymnasium import spaces

import smartrec
from smartrec.agents import Items, Mask, check_agent
from smartrec.agents.adapters.sb3_agent import PPO, MaskablePPO, SB3Agent
from smartrec.agents.adapters.sb3_config import KINDS, SB3Config
from smartrec.core import Decision, Problem, Slate, Transitions
from smartrec.core.errors import InvalidConfig, InvalidInput

SMALL = {"policy_kwargs": {"net_arch": [16]}}
POLICIES = ("PPO", "A2C", "TRPO", "MaskablePPO")
POINTS = ("DDPG", "TD3", "SAC", "TQC", "CrossQ")


def small(algorithm, **options):
    """An agent of few weights that learns every 16 transitions."""
    more = {"learning_starts": 8} if algorithm not in POLICIES else {}
    more |= {"batch_size": 8} if algorithm != "A2C" else {}
    more |= {"n_epochs": 2} if "PPO" in algorithm else {}
    return SB3Config(algorithm=algorithm, options={**SMALL, **more}, every=16, gradient_steps=2, **options)


def problem_of(action_space, features=None, **observed):
    parts = {"user": spaces.Discrete(50), "user_features": spaces.Box(-1, 1, (3,), np.float32), **observed}
    return Problem.from_spaces(spaces.Dict(parts), action_space, item_features=features, discount=0.5)


FEATURES = np.random.default_rng(0).normal(size=(7, 3))
ITEMS, SLATES = problem_of(spaces.Discrete(7), FEATURES), problem_of(Slate(7, 3), FEATURES)


def users(lanes, rng):
    return {"user": rng.integers(50, size=lanes), "user_features": rng.uniform(-1, 1, (lanes, 3)).astype(np.float32)}


def answers(agent, seen, then, decision, step, reward, **options):
    lanes = len(reward)
    return Transitions(
        observation=seen,
        decision=decision,
        responses=np.repeat(reward[:, None], agent.problem.slate_size, 1),
        observed=np.ones((lanes, agent.problem.slate_size), bool),
        reward=reward,
        next_observation=then,
        terminated=np.full(lanes, step % 2 == 1),
        truncated=np.zeros(lanes, bool),
        visit=np.arange(lanes) + lanes * (step // 2),
        step=np.full(lanes, step),
        **options,
    )


def live(agent, rng, steps, start=0, lanes=10, **options):
    """Two-step episodes with random rewards; return what was decided, and the figures of the last learning."""
    decided, figures = [], {}
    seen = users(lanes, rng)
    for step in range(start, start + steps):
        decision, then = agent.act(seen, **options), users(lanes, rng)
        agent.observe(answers(agent, seen, then, decision, step, rng.random(lanes), **options))
        figures = agent.update() or figures
        decided.append(decision)
        seen = then
    return decided, figures


def same(one, other):
    return all(np.array_equal(a.action, b.action) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("algorithm", KINDS)
@pytest.mark.parametrize("problem", [ITEMS, SLATES], ids=["items", "slates"])
def test_two_lives_are_one_saved_in_the_middle_bit_for_bit(algorithm, problem, tmp_path):
    if algorithm in ("DQN", "QRDQN") and problem is SLATES:
        with pytest.raises(InvalidConfig, match="MultiDiscrete"):
            SB3Agent(problem, small(algorithm), seed=0)
        return
    rng, again = np.random.default_rng(1), np.random.default_rng(1)
    whole = SB3Agent(problem, small(algorithm), seed=3)
    live(whole, rng, 11)
    expected, figures = live(whole, rng, 9, 11)
    assert figures
    saved = SB3Agent(problem, small(algorithm), seed=3)
    live(saved, again, 11)
    saved.save(tmp_path)
    assert not list(tmp_path.glob("*.zip"))
    loaded = smartrec.agents.load(tmp_path)
    assert type(loaded) is SB3Agent
    state = again.bit_generator.state
    for agent in (saved, loaded):
        again.bit_generator.state = state
        decided, learnt = live(agent, again, 9, 11)
        assert same(decided, expected)
        assert learnt == figures


@pytest.mark.parametrize("algorithm", [*POLICIES, *POINTS])
def test_vectors_on_a_plain_box(algorithm, tmp_path):
    if algorithm == "MaskablePPO":
        with pytest.raises(InvalidConfig, match="refuses"):
            SB3Agent(problem_of(spaces.Box(-2, 2, (2,), np.float32)), small(algorithm), seed=0)
        return
    agent = SB3Agent(problem_of(spaces.Box(-2, 2, (2,), np.float32)), small(algorithm), seed=0)
    decided, figures = live(agent, np.random.default_rng(0), 8)
    assert figures
    actions = np.concatenate([decision.action for decision in decided])
    assert actions.shape == (80, 2)
    assert np.abs(actions).max() <= 2
    assert np.abs(actions).max() > 1  # scaled to the box
    agent.save(tmp_path)
    seen = users(5, np.random.default_rng(2))
    greedy = [one.act(seen, explore=False).action for one in (agent, smartrec.agents.load(tmp_path))]
    assert np.array_equal(*greedy)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", [name for name in KINDS if name != "PPO"])
def test_each_algorithm_passes_the_examination(algorithm, monkeypatch):
    """A class of its own for each, as the examination takes the default options."""

    class Config(SB3Config):
        def __init__(self, **options):
            super().__init__(**{**vars(small(algorithm)), **options})

    monkeypatch.setattr(SB3Agent, "Config", Config)
    check_agent(SB3Agent, problem_of(spaces.Discrete(7), FEATURES, clock=spaces.Discrete(100)))


def test_chances_of_slates_are_exact_under_masks_and_add_up_to_one():
    agent = PPO(problem_of(Slate(4, 2)), seed=0)
    lanes = 3000
    seen = {key: np.repeat(value[:1], lanes, 0) for key, value in users(1, np.random.default_rng(0)).items()}
    allowed = Mask(np.array([[True, True, False, True]]))
    logits = [row[0] for row in agent.learner.logits(agent.learner.view(seen))]
    decision = agent.act(seen, allowed=allowed)
    total = 0.0
    for first in (0, 1, 3):
        for second in {0, 1, 3} - {first}:
            left = [item for item in (0, 1, 3) if item != first]
            chance = np.exp(logits[0][first]) / np.exp(logits[0][[0, 1, 3]]).sum()
            chance *= np.exp(logits[1][second]) / np.exp(logits[1][left]).sum()
            hit = (decision.action == [first, second]).all(axis=1)
            np.testing.assert_allclose(decision.log_probability[hit], np.log(chance), rtol=1e-5)
            assert abs(hit.mean() - chance) < 5 * np.sqrt(chance / lanes)
            total += chance
    assert total == pytest.approx(1)


@pytest.mark.parametrize(("problem", "masked"), [(ITEMS, False), (ITEMS, True), (SLATES, False), (SLATES, True)])
def test_the_chance_that_comes_back_is_the_one_that_sb3_works_out_when_it_learns(problem, masked):
    """So the first ratio of new to old policy is 1; for MaskablePPO with masks and without repeats."""
    import torch

    agent = (MaskablePPO if masked else PPO)(problem, seed=1)
    rng = np.random.default_rng(0)
    seen = users(30, rng)
    table = rng.random((30, 7)) < 0.5
    table[:, :3] = True
    allowed = Mask(table) if masked else None
    decision = agent.act(seen, allowed=allowed)
    agent.observe(answers(agent, seen, seen, decision, 1, rng.random(30), allowed=allowed))
    sent = {}
    agent.learner.learn_from_rollout = lambda batch, count, seed: sent.update(batch) or {}
    agent.pending = 500
    agent.update()
    more = {"action_masks": sent["action_masks"]} if masked else {}
    with torch.no_grad():
        _, known, _ = agent.learner.algorithm.policy.evaluate_actions(
            torch.from_numpy(sent["observations"]), torch.from_numpy(sent["actions"]), **more
        )
    np.testing.assert_allclose(known.numpy(), sent["log_probs"], atol=1e-5)
    if masked:
        np.testing.assert_allclose(known.numpy(), decision.log_probability, atol=1e-5)


@pytest.mark.parametrize("algorithm", ["PPO", "A2C", "TRPO", "MaskablePPO", "DQN", "QRDQN"])
def test_the_better_of_two_arms_is_found(algorithm):
    """Arm 1 pays for users whose first feature is positive, arm 0 for the others."""
    learning_rate = {} if algorithm == "TRPO" else {"learning_rate": 0.01}
    options = {**SMALL, **learning_rate} | ({"learning_starts": 20} if algorithm in ("DQN", "QRDQN") else {})
    options |= {"n_quantiles": 5} if algorithm == "QRDQN" else {}
    config = SB3Config(algorithm=algorithm, options=_for(algorithm, options), every=50, gradient_steps=20, horizon=1500)
    agent = SB3Agent(problem_of(spaces.Discrete(2)), config, seed=0)
    rng = np.random.default_rng(0)
    for _ in range(60):
        seen = users(50, rng)
        decision = agent.act(seen)
        reward = (decision.action == (seen["user_features"][:, 0] > 0)).astype(float)
        agent.observe(answers(agent, seen, seen, decision, 1, reward))
        agent.update()
    seen = users(500, rng)
    right = agent.act(seen, explore=False).action == (seen["user_features"][:, 0] > 0)
    assert right.mean() > 0.9


def _for(algorithm, options):
    options = dict(options)
    quantiles = options.pop("n_quantiles", None)
    if quantiles:
        options["policy_kwargs"] = {**options["policy_kwargs"], "n_quantiles": quantiles}
    return options


@pytest.mark.parametrize("algorithm", ["DDPG", "TD3", "SAC", "TQC", "CrossQ"])
def test_points_find_the_better_items(algorithm):
    """Items on a line; only the two at its right end pay."""
    features = np.linspace(-1, 1, 9)[:, None]
    options = {**SMALL, "learning_rate": 0.01, "learning_starts": 100, "batch_size": 64}
    config = SB3Config(algorithm=algorithm, options=options, every=50, gradient_steps=10, noise=0.3)
    agent = SB3Agent(problem_of(spaces.Discrete(9), features), config, seed=0)
    rng = np.random.default_rng(0)
    for _ in range(30):
        seen = users(50, rng)
        decision = agent.act(seen)
        assert np.array_equal(decision.extras["point"], features[decision.action].astype(np.float32))
        agent.observe(answers(agent, seen, seen, decision, 1, (decision.action >= 7).astype(float)))
        agent.update()
    assert (agent.act(users(200, rng), explore=False).action >= 7).mean() > 0.9


def test_the_user_and_the_clock_are_left_out_unless_asked_for():
    rng = np.random.default_rng(0)
    problem = problem_of(spaces.Discrete(3), clock=spaces.Discrete(11))
    seen = {**users(4, rng), "clock": np.array([0, 5, 10, 10])}
    plain = SB3Agent(problem, small("PPO"), seed=0).learner.view(seen)["observation"]
    assert np.array_equal(plain, seen["user_features"])
    both = SB3Agent(problem, small("PPO", ignore=()), seed=0).learner.view(seen)["observation"]
    assert both.shape == (4, 1 + 50 + 3)
    assert both[:, 0].tolist() == [0, 0.5, 1, 1]
    assert np.array_equal(both[:, 1:51].argmax(axis=1), seen["user"])
    embedded = SB3Agent(problem, small("PPO", embed_user=4), seed=0)
    assert np.array_equal(embedded.learner.view(seen)["observation"][:, 0], seen["user"])
    assert embedded.learner.algorithm.policy.features_extractor.table.weight.shape == (50, 4)
    nothing = Problem.from_spaces(spaces.Dict(user=spaces.Discrete(5)), spaces.Discrete(3))
    assert (
        SB3Agent(nothing, small("PPO"), seed=0).learner.view({"user": np.arange(4)})["observation"].tolist()
        == [[1]] * 4
    )


def test_an_embedded_user_is_told_from_others():
    """Users of even number like item 0, the others item 1, and nothing else tells them apart."""
    problem = Problem.from_spaces(spaces.Dict(user=spaces.Discrete(20)), spaces.Discrete(2), discount=0.0)
    config = SB3Config(options={**SMALL, "learning_rate": 0.02}, embed_user=8, every=100)
    agent, rng = SB3Agent(problem, config, seed=0), np.random.default_rng(0)
    for _ in range(30):
        seen = {"user": rng.integers(20, size=100)}
        decision = agent.act(seen)
        agent.observe(answers(agent, seen, seen, decision, 1, (decision.action == seen["user"] % 2).astype(float)))
        agent.update()
    greedy = agent.act({"user": np.arange(20)}, explore=False).action
    assert (greedy == np.arange(20) % 2).mean() > 0.9


def test_more_data_than_the_buffer_keeps_the_last_ones():
    config = SB3Config(algorithm="DQN", options={**SMALL, "buffer_size": 16, "learning_starts": 1000})
    agent = SB3Agent(ITEMS, config, seed=0)
    rng = np.random.default_rng(0)
    rewards = []
    for step in range(3):
        seen = users(7, rng)
        reward = rng.random(7)
        agent.observe(answers(agent, seen, seen, agent.act(seen), step, reward))
        rewards.extend(reward)
    buffer = agent.learner.algorithm.replay_buffer
    assert buffer.full
    assert buffer.pos == 5
    kept = np.concatenate([buffer.rewards[5:, 0], buffer.rewards[:5, 0]])
    np.testing.assert_allclose(kept, rewards[-16:], rtol=1e-6)


def test_dqn_moves_its_target_by_transitions():
    options = {**SMALL, "target_update_interval": 35, "learning_starts": 1, "batch_size": 4}
    agent = SB3Agent(ITEMS, SB3Config(algorithm="DQN", options=options, every=10, gradient_steps=1), seed=0)
    rng, moved = np.random.default_rng(0), []
    weights = agent.learner.algorithm.q_net_target.state_dict()["q_net.0.weight"]
    for step in range(8):
        before = weights.clone()
        live(agent, rng, 1, step)
        moved.append(not bool((weights == before).all()))
    # Its copy moves while the transitions 31 to 40 and 61 to 70 come in.
    assert moved == [False, False, False, True, False, False, True, False]


def test_bad_feedback_changes_nothing():
    agent, rng = PPO(ITEMS, seed=0), np.random.default_rng(0)
    seen = users(4, rng)
    decision = agent.act(seen)
    with pytest.raises(InvalidInput, match="reward is NaN"):
        agent.observe(answers(agent, seen, seen, decision, 0, np.full(4, np.nan)))
    with pytest.raises(InvalidInput, match=r"without extras\['log_prob'\]; PPO learns from its own decisions only"):
        agent.observe(answers(agent, seen, seen, Decision(decision.action), 0, np.ones(4)))
    broken = {**seen, "user_features": np.full((4, 3), np.nan, np.float32)}
    with pytest.raises(InvalidInput, match="NaN or infinity"):
        agent.observe(answers(agent, seen, broken, decision, 0, np.ones(4)))
    assert (len(agent.rollout), agent.pending) == (0, 0)


@pytest.mark.parametrize("algorithm", ["DQN", "PPO", "MaskablePPO"])
def test_a_loss_that_diverges_is_named_and_undone(algorithm):
    from smartrec.core.errors import Diverged

    agent = SB3Agent(ITEMS, small(algorithm), seed=0)
    live(agent, np.random.default_rng(0), 5)
    seen = users(16, np.random.default_rng(0))
    decision = agent.act(seen)
    before = agent.learner.get_state()
    agent.observe(answers(agent, seen, seen, decision, 1, 3e38 * np.linspace(-1, 1, 16).round()))
    with pytest.raises(Diverged, match=rf"{algorithm} diverged after \d+ updates.*weights are those before"):
        agent.update()
    after = agent.learner.get_state()
    assert all(np.array_equal(before[key], after[key]) for key in before if key.startswith("policy/"))


@pytest.mark.parametrize("algorithm", ["PPO", "MaskablePPO"])
def test_a_row_left_over_waits_for_company(algorithm):
    agent, rng = SB3Agent(ITEMS, small(algorithm), seed=0), np.random.default_rng(0)
    _, figures = live(agent, rng, 1, lanes=17)  # two batches of 8, and one
    assert np.isfinite(list(figures.values())).all()
    assert (len(agent.rollout), agent.pending) == (1, 1)
    live(agent, rng, 1, 1, lanes=15)
    assert (len(agent.rollout), agent.pending) == (0, 0)


def test_lists_of_candidates_are_kept_too():
    for cls in (PPO, MaskablePPO):
        agent = cls(SLATES, seed=0)
        listed = np.array([[6, 2, 4, -1], [0, 1, 2, 3]])
        action = agent.act(users(2, np.random.default_rng(0)), allowed=Items(listed)).action
        assert set(action[0]) == {2, 4, 6}
        assert set(action[1]) < {0, 1, 2, 3}
