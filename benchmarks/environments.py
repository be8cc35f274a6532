"""Rows 1 to 3: what a step of an environment costs."""

from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import cycle
from typing import Any

import gymnasium
import numpy as np

import smartrec  # noqa: F401 - registers the ids
from benchmarks.peers import missing, named
from benchmarks.table import Row, seconds, short
from benchmarks.timing import in_turn
from smartrec.core.arrays import BoolArray
from smartrec.envs import Crowd, RecommendationVectorEnv, Settings
from smartrec.response_models.popularity import BREADS
from smartrec.response_models.preferences import Preferences

LANES = 10_000
FACTORS = 32


def batched_step(quick: bool) -> list[Row]:
    """Task 1, a tick a step, against drawing users and dice and nothing else."""
    n_users = 50_000
    rng = np.random.default_rng(0)
    items, popularity = rng.integers(len(BREADS), size=LANES), np.array(BREADS)
    envs = gymnasium.make_vec("SmartRec/Task1-v0", num_envs=LANES, n_users=n_users, users_per_iteration=LANES)
    envs.reset(seed=0)

    def bare() -> BoolArray:
        rng.choice(n_users, LANES, replace=False, shuffle=False)
        return rng.random(LANES) < popularity[items]

    ours, peer = map(min, in_turn([lambda: envs.step(items), bare], 20 if quick else 300))
    what = "task 1, batched step, 10,000 of 50,000 users"
    return [Row(1, what, seconds(ours), f"bare NumPy {seconds(peer)}", ours / peer, bar=2.5, goal=1.5)]


def single_step(quick: bool) -> list[Row]:
    """One user a step through ``gymnasium.make``, resets counted in, against CartPole and SARDINE."""
    rng = np.random.default_rng(0)
    scale, rounds = (1, 2) if quick else (5, 7)
    breads = rng.integers(10, size=1000 * scale).tolist()
    names = ["CartPole-v1", *(f"SmartRec/Task{task}-v0" for task in (1, 2, 3))]
    walks = [_walk(name, rng.integers(2, size=1000 * scale).tolist() if name == names[0] else breads) for name in names]
    peer, *ours = (len(breads) / min(times) for times in in_turn(walks, rounds))
    rows = [
        Row(
            2,
            f"task {task}, single environment, a reset a visit counted in",
            f"{short(speed)} steps/s",
            f"CartPole-v1 {short(peer)} steps/s",
            speed / peer,
            bar=1,
            at_least=True,
            goal=2,
        )
        for task, speed in enumerate(ours, 1)
    ]
    slates = [rng.choice(1000, 10, replace=False) for _ in range(200 * scale)]
    whats = ("task 1 beside SARDINE's SingleItem-Static", "task 4 (10 of 1,000) beside SARDINE's SlateTopK-Bored")
    reason = missing("sardine", "sardine-rec")
    if reason:
        return [*rows, *(Row(2, what, "-", reason, None) for what in whats)]
    import_module("sardine")  # registers its ids
    peer_name = named("sardine-rec")
    singles = [slate[:1] for slate in slates]
    pairs = [
        (_walk("SmartRec/Task1-v0", breads[: len(slates)]), _walk("sardine/SingleItem-Static-v0", singles)),
        (_walk("SmartRec/Task4-v0", slates), _walk("sardine/SlateTopK-Bored-v0", slates)),
    ]
    for what, pair in zip(whats, pairs, strict=True):
        mine, theirs = (len(slates) / min(times) for times in in_turn(pair, rounds))
        rows.append(Row(2, what, f"{short(mine)} steps/s", f"{peer_name} {short(theirs)} steps/s", mine / theirs))
    return rows


def hidden_preferences(quick: bool) -> list[Row]:
    """Factors of users and items, against gather, dot, sigmoid and compare for users that are there already."""
    n_users, n_items = 100_000, 1_000
    rng = np.random.default_rng(0)
    user_factors = rng.normal(size=(n_users, FACTORS)).astype(np.float32) / 6
    item_factors = rng.normal(size=(n_items, FACTORS)).astype(np.float32)
    crowd = Crowd(Preferences(user_factors, item_factors), n_users)
    # The world serves other users at every step; a peer that asked for the same ones would find them in the cache.
    batches = cycle([rng.choice(n_users, LANES, replace=False) for _ in range(50)])
    rows = []
    for slate_size in (1, 10):
        settings = Settings(slate_size=slate_size, users_per_iteration=LANES)
        envs = RecommendationVectorEnv(crowd, settings, LANES)
        envs.reset(seed=0)
        items = rng.random((LANES, n_items), np.float32).argsort(axis=1)[:, :slate_size].copy()
        items = items[:, 0] if slate_size == 1 else items
        products = "nf,nf->n" if slate_size == 1 else "nkf,nf->nk"

        # The fastest of what was tried: take beats indexing, einsum beats matmul and vecdot.
        def bare(items: Any = items, products: str = products) -> BoolArray:
            taken, users = item_factors.take(items, axis=0), user_factors.take(next(batches), axis=0)
            compared: BoolArray = rng.random(items.shape) < 1 / (1 + np.exp(-np.einsum(products, taken, users)))
            return compared

        def step(envs: RecommendationVectorEnv = envs, items: Any = items) -> object:
            return envs.step(items)

        ours, peer = map(min, in_turn([step, bare], 10 if quick else 60))
        what = f"hidden preferences, 10,000 of 100,000 users, {slate_size} of 1,000 items, {FACTORS} factors"
        rows.append(Row(3, what, seconds(ours), f"bare NumPy {seconds(peer)}", ours / peer, bar=2))
    return rows


def _walk(name: str, actions: Sequence[Any]) -> Callable[[], None]:
    """Return what takes ``actions`` one after another, and resets where an episode ends."""
    env = gymnasium.make(name)
    env.reset(seed=0)

    def walk() -> None:
        env.reset()
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return walk
