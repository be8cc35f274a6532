"""Rows 4 and 5: decisions and updates of bandits in a CPU-second, against bandit libraries."""

import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from benchmarks.peers import Contextualbandits, Learner, Mabwiser, Ours, missing, named, transitions
from benchmarks.table import Row, short
from benchmarks.timing import in_turn
from smartrec import agents
from smartrec.core import Problem
from smartrec.core.arrays import FloatArray

D = 20
USERS = 1000


class Crowd(NamedTuple):
    """Users and what they would answer.

    Attributes:
        x: float [N, D], features.
        answers: float [N, I], 1 for a click.
    """

    x: FloatArray
    answers: FloatArray


PEERS: tuple[tuple[str, Callable[[int, int], Learner]], ...] = (
    ("mabwiser", Mabwiser),
    ("contextualbandits", Contextualbandits),
)


def lin_ucb(quick: bool) -> list[Row]:
    """LinUCB with 20 features: 1000 users a batch with 100 and 1000 items, then one user at a time."""
    rounds = 2 if quick else 7
    rows = []
    for package, peer in PEERS:
        for n_items in (100, 1000):
            what = f"LinUCB, d={D}, 1,000 users a batch, {n_items:,} items, decisions + updates a CPU-second"
            rows.append(_against(package, peer, what, n_items, (USERS, USERS), 5, rounds))
    # A second of MABWiser is ten decisions, so few of them have to do.
    what = f"LinUCB, d={D}, one user at a time, 1,000 items, decisions + updates a CPU-second"
    rows.append(_against("mabwiser", Mabwiser, what, 1000, (100, 4), 50, rounds, at_once=False))
    return rows


def thompson(quick: bool) -> list[Row]:
    """Thompson sampling on 100 items, 1000 users a call; MABWiser both a user and 1000 users a call.

    The bar is against one user a call, which is how MABWiser's figure was taken. Beside it stands its own batch: both
    sides then draw the same 100,000 numbers, and the ratio says what is left.
    """
    n_items = 100
    reason = missing("mabwiser", "mabwiser")
    ways, bars = ("one user a call", "1,000 users a call"), (100, None)
    what = "Thompson, 1,000 users a call, 100 items, decisions + updates a CPU-second; peer {}"
    if reason:
        return [Row(5, what.format(ways[0]), "-", reason, None, bar=bars[0], at_least=True)]
    rng = np.random.default_rng(0)
    items, rewards = rng.integers(n_items, size=5 * USERS), (rng.random(5 * USERS) < 0.3).astype(float)
    users = {"user": np.arange(USERS)}
    problem = Problem.from_spaces(spaces.Dict(user=spaces.Discrete(USERS)), spaces.Discrete(n_items), discount=0.0)
    agent = agents.make("thompson", problem, seed=0)
    agent.observe(transitions({"user": np.arange(5 * USERS)}, items, rewards))
    mab: Any = import_module("mabwiser.mab")
    peer = mab.MAB(list(range(n_items)), mab.LearningPolicy.ThompsonSampling())
    peer.fit(items, rewards)
    contexts = np.zeros((USERS, 1))  # they say for how many users to draw; the policy does not look at them

    def ours() -> None:
        agent.observe(transitions(users, agent.act(users).action, rewards[:USERS]))
        agent.update()

    def one_by_one() -> None:
        for reward in rewards[: USERS // 10]:
            peer.partial_fit([peer.predict()], [reward])

    def at_once() -> None:
        peer.partial_fit(peer.predict(contexts), rewards[:USERS])

    times = in_turn([ours, one_by_one, at_once], 2 if quick else 10, time.process_time)
    mine, *theirs = (count / min(side) for count, side in zip((USERS, USERS // 10, USERS), times, strict=True))
    name = named("mabwiser")
    return [
        Row(5, what.format(way), f"{short(mine)}/s", f"{name} {short(speed)}/s", mine / speed, bar=bar, at_least=True)
        for way, speed, bar in zip(ways, theirs, bars, strict=True)
    ]


def _against(
    package: str,
    peer: Callable[[int, int], Learner],
    what: str,
    n_items: int,
    users: tuple[int, int],
    bar: float,
    rounds: int,
    *,
    at_once: bool = True,
) -> Row:
    """Compare LinUCB with a peer's after both have learnt the same five rows an item.

    Args:
        package: Name of the peer.
        peer: Makes it from numbers of items and features.
        what: What the row says.
        n_items: I.
        users: How many decisions a round, ours and the peer's.
        bar: Least ratio.
        rounds: How often.
        at_once: Whether a round's users come in one batch, else one by one.
    """
    reason = missing(package, package)
    if reason:
        return Row(4, what, "-", reason, None, bar=bar, at_least=True)
    rng = np.random.default_rng(0)
    tastes = rng.normal(size=(n_items, D))
    crowds = [_crowd(tastes, USERS, rng) for _ in range(rounds + 2)]
    seen, learnt = _crowd(tastes, 5 * n_items, rng), np.arange(5 * n_items)
    learners = Ours(n_items, D), peer(n_items, D)
    for learner in learners:
        learner.learn(seen.x, learnt % n_items, seen.answers[learnt, learnt % n_items])
    choices = [learner.decide(crowds[0].x[:200]) for learner in learners]
    same = float((choices[0] == choices[1]).mean())
    sides = [_serve(learner, crowds[1:], n, at_once) for learner, n in zip(learners, users, strict=True)]
    times = in_turn(sides, rounds, time.process_time)
    mine, theirs = (count / min(side) for count, side in zip(users, times, strict=True))
    told = f"{named(package)} {short(theirs)}/s ({same:.0%} same choices)"
    return Row(4, what, f"{short(mine)}/s", told, mine / theirs, bar=bar, at_least=True)


def _crowd(tastes: FloatArray, users: int, rng: np.random.Generator) -> Crowd:
    """Return users who like each item as their features and its ``tastes`` [I, D] say."""
    x = rng.normal(size=(users, D)) / np.sqrt(D)
    return Crowd(x, (rng.random((users, len(tastes))) < 1 / (1 + np.exp(-x @ tastes.T))).astype(float))


def _serve(learner: Learner, crowds: Sequence[Crowd], users: int, at_once: bool) -> Callable[[], None]:
    """Return what decides for ``users`` of the next crowd and learns from their answers."""
    size = users if at_once else 1
    following = iter(crowds)

    def serve() -> None:
        crowd = next(following)
        for start in range(0, users, size):
            rows = np.arange(start, start + size)
            x = crowd.x[rows]
            items = learner.decide(x)
            learner.learn(x, items, crowd.answers[rows, items])

    return serve
