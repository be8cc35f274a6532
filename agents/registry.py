"""The names of the agents. A new agent is one file and one line here."""

from pathlib import Path
from typing import Any

from smartrec.agents.base import Agent
from smartrec.agents.saving import read
from smartrec.core.config import from_dict
from smartrec.core.errors import InvalidInput
from smartrec.core.problem import Problem
from smartrec.core.registry import Registry, load

AGENTS = Registry("agent")
_add, _bandits = AGENTS.add, "smartrec.agents.bandits"
_add("random", "smartrec.agents.simple:Random", "a uniformly random slate; the floor")
_add("most_popular", "smartrec.agents.simple:MostPopular", "what was clicked most so far; does not explore")
_add("epsilon_greedy", f"{_bandits}.epsilon_greedy:EpsilonGreedy", "best click rate, sometimes anything")
_add("ucb", f"{_bandits}.ucb:UCB", "upper confidence bound on the click rate; greedy or sampling")
_add("thompson", f"{_bandits}.thompson:Thompson", "a draw from the posterior of the click rate a user")
_add("softmax", f"{_bandits}.softmax:Softmax", "the better the click rate, the more likely; Boltzmann")
_add("ucb1", f"{_bandits}.ucb1:UCB1", "every item once, then the upper confidence bound; in a window, discounted")
_add("kl_ucb", f"{_bandits}.kl_ucb:KLUCB", "upper confidence bound by the Kullback-Leibler divergence; tighter")
_add("bayes_ucb", f"{_bandits}.bayes_ucb:BayesUCB", "a rising quantile of the posterior of the click rate")
_add("gaussian_thompson", f"{_bandits}.gaussian_thompson:GaussianThompson", "posterior draws, rewards of any scale")
_add("exp3", f"{_bandits}.exp3:Exp3", "exponential weights; users may change their minds at will")
_add("kalman_thompson", f"{_bandits}.kalman_thompson:KalmanThompson", "posterior draws of click rates that move")
_add(
    "lin_ucb",
    f"{_bandits}.lin_ucb:LinUCB",
    "upper confidence bound of a linear model an item on user features",
)
_add("lin_ts", f"{_bandits}.lin_ts:LinTS", "a draw from the posterior of a linear model an item, a user")
_add("lin_greedy", f"{_bandits}.lin_greedy:LinGreedy", "best linear model an item, sometimes anything")
_add(
    "hybrid_lin_ucb",
    f"{_bandits}.hybrid_lin_ucb:HybridLinUCB",
    "LinUCB with weights on user x item features, shared by all items",
)
_add(
    "logistic_thompson",
    f"{_bandits}.logistic_thompson:LogisticThompson",
    "a draw from the posterior of a logistic regression an item, a user",
)
_add("boosted", f"{_bandits}.boosted:Boosted", "boosted trees on users and items, a bootstrapped ensemble")
_add(
    "neural_linear",
    f"{_bandits}.neural_linear:NeuralLinear",
    "Bayesian linear models an item on what a small network sees",
)
_deep = "smartrec.agents.deep"
_add("bcq", f"{_deep}.bcq:BCQ", "learns from logs: imitated vectors, moved a little towards what is worth more")
_add("ddpg", f"{_deep}.ddpg:DDPG", "an actor of vectors that climbs a critic; items by look-up")
_add("discrete_bcq", f"{_deep}.discrete_bcq:DiscreteBCQ", "learns from logs: the best of what the log may have shown")
_add(
    "discrete_sac",
    f"{_deep}.discrete_sac:DiscreteSAC",
    "a softmax over items, paid for its entropy, judged by two critics",
)
_add("dqn", f"{_deep}.dqn:DQN", "values of items by a network that learns from past transitions")
_add("reinforce", f"{_deep}.reinforce:Reinforce", "policy gradient, with corrections for logs and for slates")
_add("sac", f"{_deep}.sac:SAC", "random vectors, paid for their entropy; items by look-up")
_add("td3", f"{_deep}.td3:TD3", "DDPG with two critics and a patient actor; items by look-up")
_recommenders = "smartrec.agents.recommenders"
_add("als", f"{_recommenders}.als:ALS", "alternating least squares on clicks, explored")
_add("bpr", f"{_recommenders}.bpr:BPR", "Bayesian personalised ranking of clicks, explored")
_add("item_knn", f"{_recommenders}.item_knn:ItemKNN", "items like those a user clicked, explored")
_add("ease", f"{_recommenders}.ease:EASE", "each item's clicks regressed on all others', explored")
_add("low_rank_thompson", f"{_recommenders}.low_rank_thompson:LowRankThompson", "posterior draws of hidden taste")
_add(
    "two_tower",
    f"{_recommenders}.two_tower:TwoTower",
    "a network of the user and one of the item, explored",
    extra="deep",
)
_sb3 = "smartrec.agents.adapters.sb3_agent"
_add("ppo", f"{_sb3}:PPO", "proximal policy optimisation, by Stable-Baselines3")
_add("maskable_ppo", f"{_sb3}:MaskablePPO", "the same, learning with the masks it acted under, by sb3-contrib")
_add("sb3", f"{_sb3}:SB3Agent", "any algorithm of Stable-Baselines3 or sb3-contrib; PPO unless told otherwise")


def agent_class(name: str) -> type[Agent]:
    """Return the class of a registered name, or of ``"module:Class"``.

    Raises:
        UnknownName: No such name, module or class.
        InvalidInput: What is found is no agent.
    """
    found = load(name) if ":" in name else AGENTS.get(name)
    if not (isinstance(found, type) and issubclass(found, Agent)):
        raise InvalidInput(f"{name} is {found!r}; allowed: a class derived from smartrec.agents.Agent")
    return found


def make(name: str, problem: Any, *, seed: int, **config: Any) -> Agent:
    """Make an agent.

    Args:
        name: A registered name (``smartrec list``), or ``"module:Class"`` for one of your own.
        problem: An environment, single or batched, or a ``Problem``.
        seed: Of the agent's own draws, >= 0.
        **config: Its options, for example ``discount=0.7``.

    Raises:
        UnknownName: No such agent; the message names the nearest.
        InvalidConfig: An unknown option or a wrong value, or a problem that the agent cannot solve.
        InvalidInput: ``name`` is no agent, or ``problem`` no environment.
    """
    cls = agent_class(name)
    options = from_dict(cls.Config, config, f"agent {name}") if config else None
    return cls(problem_of(problem), options, seed=seed)


def problem_of(source: Any) -> Problem:
    """Return the problem of an environment; of any Gymnasium environment by its spaces.

    Raises:
        InvalidConfig: Its action space is none that an agent could act in.
        InvalidInput: It is no environment.
    """
    if isinstance(source, Problem):
        return source
    if not hasattr(source, "unwrapped"):
        raise InvalidInput(
            f"problem is {source!r}; allowed: an environment, made by gymnasium.make or gymnasium.make_vec, or a "
            "Problem"
        )
    base = source.unwrapped
    if isinstance(getattr(base, "problem", None), Problem):
        return base.problem  # type: ignore[no-any-return]
    if hasattr(source, "single_action_space"):
        spaces = source.single_observation_space, source.single_action_space
        return Problem.from_spaces(*spaces, lanes=source.num_envs)
    return Problem.from_spaces(source.observation_space, source.action_space)


def load_agent(folder: str | Path) -> Agent:
    """Load an agent from the folder that ``save`` wrote, whatever its class.

    Raises:
        DataNotFound: The folder holds no agent.
        DataError: A file is damaged.
    """
    header, _ = read(Path(folder))
    return agent_class(header["agent"]).load(folder)
