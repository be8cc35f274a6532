"""A small world whose truth is known: films on a circle, people who like one direction, agents that learnt it."""

from types import SimpleNamespace

import numpy as np
import pytest

from smartrec import agents
from smartrec.data.frames import Frames
from smartrec.data.interactions import Catalogue, Interactions, Vocabulary
from smartrec.data.trajectories import Trajectories
from smartrec.tasks.recommender_files import write

FILMS, FRAME = 30, 4
ANGLES = 2 * np.pi * np.arange(FILMS) / FILMS
VECTORS = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
IDS = 100 + np.arange(FILMS)
QUARTERS = ("East", "North", "West", "South")
POINTS = {0.5: -4.0, 5.0: 5.0}
QUICK = {"actor_rate": 5e-4, "critic_rate": 5e-3, "embedding": 8, "policy_delay": 1}


def distance(item, other):
    """Steps between films on the circle."""
    apart = np.abs(np.asarray(item) - other) % FILMS
    return np.minimum(apart, FILMS - apart)


def rating(item, favourite):
    return np.round(2 * (2.75 + 2.25 * np.cos(2 * np.pi * (item - favourite) / FILMS))) / 2


@pytest.fixture(scope="session")
def circle():
    """The log with rewards for ratings, and what is known of the films."""
    rng, users, length = np.random.default_rng(0), 600, 12
    favourite = rng.integers(FILMS, size=users)
    items = np.argsort(rng.random((users, FILMS)), axis=1)[:, :length]
    rewards = 2 * (rating(items, favourite[:, None]) - 2.5)
    log = Interactions(
        np.repeat(np.arange(users), length),
        items.ravel(),
        rewards.ravel(),
        np.tile(np.arange(length), users),
        Vocabulary(np.arange(users)),
        Vocabulary(IDS),
    )
    titles = tuple(f"Film at {360 * n // FILMS} degrees" for n in range(FILMS))
    quarter = np.round(ANGLES / (np.pi / 2)).astype(int) % 4
    catalogue = Catalogue(log.item_ids, titles, tuple(f"genre_{name}" for name in QUARTERS), np.eye(4)[quarter])
    return SimpleNamespace(log=log, catalogue=catalogue, frames=Frames(Trajectories.of(log), FRAME, padded=True))


def learnt(circle, name, steps, **options):
    agent = agents.make(name, circle.frames.problem(VECTORS, 0.0), seed=0, **{"hidden": (64,), **options})
    rng = np.random.default_rng(1)
    for _ in range(steps):
        agent.learn(circle.frames.transitions(rng.integers(len(circle.frames), size=256)))
    return agent


def keep(folder, circle, agent):
    write(folder, agent, circle.catalogue, circle.log, ratings=POINTS, dataset="circle")
    return folder


@pytest.fixture(scope="session")
def td3_folder(circle, tmp_path_factory):
    """An agent of vectors: it imagines the point of the circle that a person likes."""
    return keep(tmp_path_factory.mktemp("td3"), circle, learnt(circle, "td3", 800, **QUICK))


@pytest.fixture(scope="session")
def dqn_folder(circle, tmp_path_factory):
    """An agent that scores items."""
    return keep(tmp_path_factory.mktemp("dqn"), circle, learnt(circle, "dqn", 400, rate=1e-2, embedding=2))
