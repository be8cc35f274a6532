"""Every registered agent passes the examination, one broken in any one way does not, and one of your own can."""

import random
from dataclasses import replace
from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from smartrec import agents
from smartrec.agents import AGENTS, Agent, CheckFailed, Decision, Mask, Tags, check_agent, exploration
from smartrec.agents.base import lanes_of
from smartrec.agents.checks import RULES
from smartrec.agents.registry import problem_of
from smartrec.core import SmartRecError
from smartrec.core.errors import InvalidConfig, InvalidInput, UnknownName
from smartrec.core.seeding import generators


class Rates(Agent):
    """A sound agent that the broken ones below are made from."""

    tags: ClassVar[Tags] = Tags(propensities=True)

    def __init__(self, problem, config=None, *, seed):
        super().__init__(problem, config, seed=seed)
        self.clicks, self.shown = np.zeros(self.items), np.zeros(self.items)

    def act(self, observation, *, first=None, allowed=None, explore=True):
        rates = self.clicks / np.maximum(self.shown, 1) if not explore else np.where(self.shown > 0, 0.0, 1.0)
        scores, candidates = self.restrict(rates[None], allowed)
        slates = exploration.best(scores, lanes_of(observation), self.problem.slate_size, self.rng)
        return self.decide(*slates, candidates)

    def observe(self, transitions):
        seen = transitions.observed
        np.add.at(self.clicks, transitions.items[seen], transitions.responses[seen])
        np.add.at(self.shown, transitions.items[seen], 1)


class Squeezes(Rates):
    def act(self, observation, **options):
        decision = super().act(observation, **options)
        return Decision(decision.action.squeeze(), decision.log_probability)


class IgnoresMasks(Rates):
    def act(self, observation, *, allowed=None, **options):
        if allowed is not None:
            allowed.require(self.problem.slate_size)
        return super().act(observation, **options)


class IgnoresPadding(Rates):
    def act(self, observation, *, allowed=None, **options):
        decision = super().act(observation, allowed=allowed, **options)
        if isinstance(allowed, agents.Items):
            return replace(decision, action=allowed.items[:, : self.problem.slate_size].reshape(decision.action.shape))
        return decision


class ServesTheStarved(Rates):
    def act(self, observation, *, allowed=None, **options):
        if isinstance(allowed, Mask) and (allowed.allowed.sum(axis=1) < self.problem.slate_size).any():
            allowed = None
        return super().act(observation, allowed=allowed, **options)


class IgnoresItsSeed(Rates):
    def __init__(self, problem, config=None, *, seed):
        super().__init__(problem, config, seed=7)


class ForgetsItsSeed(Rates):
    def __init__(self, problem, config=None, *, seed):
        super().__init__(problem, config, seed=seed)
        self.rng = np.random.default_rng()


class RefusesSeedZero(Rates):
    def __init__(self, problem, config=None, *, seed):
        assert seed > 0
        super().__init__(problem, config, seed=seed)


class FirstIndexWins(Rates):
    def act(self, observation, *, allowed=None, **options):
        decision = super().act(observation, allowed=allowed, **options)
        if allowed is not None:
            return decision
        order = np.argsort(self.shown, kind="stable")[: self.problem.slate_size]
        return replace(decision, action=np.resize(order, decision.action.shape))


class CountsWhatNobodySaw(Rates):
    def observe(self, transitions):
        super().observe(replace(transitions, observed=np.ones_like(transitions.observed)))


class NeedsFeedback(Rates):
    def observe(self, transitions):
        transitions.reward.max()
        super().observe(transitions)


class LogsText(Rates):
    def update(self):
        return {"shown": str(self.shown.sum())}


class LosesItsCounts(Rates):
    def save(self, folder):
        kept, self.shown = self.shown, np.zeros_like(self.shown)
        super().save(folder)
        self.shown = kept


class LosesItsGenerator(Rates):
    def save(self, folder):
        kept, self.rng = self.rng, np.random.default_rng(0)
        super().save(folder)
        self.rng = kept


class KeepsAList(Rates):
    def update(self):
        self.log = [1, 2]
        return {}


class DrawsGlobally(Rates):
    def act(self, observation, **options):
        np.random.random()  # noqa: NPY002 - this is what is wrong with it
        return super().act(observation, **options)


class DrawsFromRandom(Rates):
    def observe(self, transitions):
        random.random()
        super().observe(transitions)


class ChangesTheObservation(Rates):
    def act(self, observation, **options):
        observation["user_features"] *= 2
        return super().act(observation, **options)


class ChangesTheFeedback(Rates):
    def observe(self, transitions):
        super().observe(transitions)
        transitions.responses[:] = 0


class ClaimsCertainty(Rates):
    def act(self, observation, **options):
        decision = super().act(observation, **options)
        return replace(decision, log_probability=np.zeros(len(decision.action)))


class BreaksItsPromise(Rates):
    def act(self, observation, **options):
        return replace(super().act(observation, **options), log_probability=None)


class Repeats(Rates):
    def act(self, observation, **options):
        decision = super().act(observation, **options)
        action = decision.action.copy()
        if action.ndim == 2:
            action[:, 1] = action[:, 0]
        return replace(decision, action=action)


BROKEN = {
    Squeezes: "one row a lane",
    Repeats: "one row a lane",
    BreaksItsPromise: "one row a lane",
    RefusesSeedZero: "one row a lane",
    IgnoresMasks: "Only what is allowed",
    IgnoresPadding: "Only what is allowed",
    ServesTheStarved: "raises InvalidAction",
    IgnoresItsSeed: "same seed decides alike",
    ForgetsItsSeed: "same seed decides alike",
    FirstIndexWins: "decided alike|not all get the same",
    NeedsFeedback: "Feedback may come late",
    LogsText: "Feedback may come late",
    CountsWhatNobodySaw: "neither a success nor a failure",
    LosesItsCounts: "goes on exactly",
    LosesItsGenerator: "goes on exactly",
    KeepsAList: "goes on exactly",
    DrawsGlobally: "global generator of numpy.random",
    DrawsFromRandom: "global generator of random",
    ChangesTheObservation: "act changed",
    ChangesTheFeedback: "observe or update changed",
    ClaimsCertainty: "as often as its log_probability",
}


@pytest.mark.parametrize("name", list(AGENTS))
def test_every_registered_agent_passes(name):
    check_agent(name)


@pytest.mark.parametrize("name", list(AGENTS))
def test_every_registered_agent_passes_with_many_items(name, problem):
    check_agent(name, problem(60, slate_size=5, features=2))


@pytest.mark.parametrize("name", ["random", "epsilon_greedy", "ucb", "thompson"])
def test_agents_that_need_no_users_pass_on_a_plain_environment(name):
    """CartPole shows neither users nor a clock, and its bounds are those of single precision."""
    check_agent(name, problem_of(gym.make("CartPole-v1")))


def test_a_sound_agent_passes():
    check_agent(Rates)


@pytest.mark.parametrize("cls", list(BROKEN), ids=lambda cls: cls.__name__)
def test_an_agent_broken_in_one_way_fails_by_that_rule(cls):
    with pytest.raises(CheckFailed, match=BROKEN[cls]) as failed:
        check_agent(cls)
    assert cls.__name__ in str(failed.value)
    assert isinstance(failed.value, (AssertionError, SmartRecError))


def test_every_rule_says_what_it_holds_and_what_to_do():
    for rule in RULES:
        assert rule.check.__doc__
        assert rule.what_to_do


def test_what_is_no_agent_is_refused():
    with pytest.raises(InvalidInput, match="derived from"):
        check_agent(dict)
    with pytest.raises(UnknownName, match="Did you mean 'thompson'"):
        check_agent("tompson")


def test_agents_of_one_seed_share_no_stream(problem, seen):
    """Neither with each other nor with what ``generators`` gives to the world of the same seed."""
    tables = [agents.make(name, problem(1000), seed=3).act(seen(1000)).action for name in ("random", "ucb")]
    assert (tables[0] == tables[1]).mean() < 0.02
    world, agent = generators(3, 1)[0], agents.make("random", problem(5), seed=3)
    assert not np.array_equal(world.random(10), agent.rng.random(10))


MODULE = """
import numpy as np
from smartrec.agents import Agent
from smartrec.agents.exploration import best

class MyAgent(Agent):
    def __init__(self, problem, config=None, *, seed):
        super().__init__(problem, config, seed=seed)
        self.clicks = np.zeros(self.items)

    def act(self, observation, *, first=None, allowed=None, explore=True):
        scores, candidates = self.restrict(self.clicks[None], allowed)
        return self.decide(*best(scores, len(observation["user"]), self.problem.slate_size, self.rng), candidates)

    def observe(self, transitions):
        seen = transitions.observed
        np.add.at(self.clicks, transitions.items[seen], transitions.responses[seen])
"""


def test_an_agent_of_your_own_in_twenty_lines(tmp_path, monkeypatch, problem, seen, feedback):
    assert len(MODULE.strip().splitlines()) <= 20
    (tmp_path / "my_own_agent.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    check_agent("my_own_agent:MyAgent")
    agent = agents.make("my_own_agent:MyAgent", problem(5), seed=0)
    agent.observe(feedback([3], [1]))
    agent.save(tmp_path / "saved")
    assert (agents.load(tmp_path / "saved").act(seen(10)).action == 3).all()


class Vectors(Agent):
    tags: ClassVar[Tags] = Tags(slates=False, vectors=True)

    def __init__(self, problem, config=None, *, seed):
        if not isinstance(problem.action_space, spaces.Box):
            raise InvalidConfig(f"action space {problem.action_space}; allowed: Box")
        super().__init__(problem, config, seed=seed)

    def act(self, observation, *, first=None, allowed=None, explore=True):
        space = self.problem.action_space
        return Decision(self.rng.uniform(space.low, space.high, (lanes_of(observation), *space.shape)))


class TooLong(Vectors):
    def act(self, observation, **options):
        return Decision(2 * super().act(observation, **options).action.round() + 2)


def test_agents_for_vectors_are_examined_too():
    check_agent(Vectors)
    with pytest.raises(CheckFailed, match="leaves the box"):
        check_agent(TooLong)
