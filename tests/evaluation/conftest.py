"""A small agent that learns from batches, a feed for it, and means to cut its training off."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from gymnasium import spaces

from smartrec.agents import Agent
from smartrec.core import Decision, Problem, Transitions
from smartrec.evaluation.training import train

TRUTH = np.array([1.0, -2.0, 0.5])


class Line(Agent):
    """Least squares by noisy gradient steps; both learning and testing draw from its generator."""

    def __init__(self, problem, config=None, *, seed):
        super().__init__(problem, config, seed=seed)
        self.weights, self.told = np.zeros(3), 0

    def act(self, observation, *, first=None, allowed=None, explore=True):
        return Decision(self.rng.integers(2, size=len(observation["observation"])))

    def learn(self, transitions):
        figures = self.test(transitions)
        x, wrong = transitions.observation["observation"], self.wrong(transitions)
        self.weights = self.weights - 0.05 * x.T @ wrong / len(x) + 1e-3 * self.rng.normal(size=3)
        self.told += 1
        return {**figures, "odd": 1.0} if self.told % 2 else figures

    def test(self, transitions):
        return {"loss": float((self.wrong(transitions) ** 2).mean()), "noise": float(self.rng.normal())}

    def wrong(self, transitions):
        return transitions.observation["observation"] @ self.weights - transitions.reward


class Feed:
    """Seven batches an epoch, of five rows each."""

    def __len__(self):
        return 7

    def at(self, epoch, start=0):
        for number in range(start, 7):
            yield batch_of(np.random.default_rng([epoch, number]), 5)


def batch_of(rng, rows):
    x = rng.normal(size=(rows, 3))
    reward, yes = x @ TRUTH, np.ones(rows, bool)
    return Transitions(
        {"observation": x}, Decision(np.zeros(rows, int)), reward[:, None], yes[:, None], reward, {"observation": x},
        yes, ~yes, np.arange(rows), np.zeros(rows, int),
    )  # fmt: skip


TESTS = [batch_of(np.random.default_rng([99, number]), rows) for number, rows in enumerate((4, 8))]
PROBLEM = Problem.from_spaces(spaces.Box(-9, 9, (3,)), spaces.Discrete(2))


def line(seed=0):
    return Line(PROBLEM, seed=seed)


def files_of(folder):
    """All that a training leaves, byte for byte."""
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()
    }


class StopError(Exception):
    """The training was cut off."""


def cut_off_at(batch):
    def progress(done, total):
        if done == batch:
            raise StopError

    return progress


OPTIONS = {"epochs": 3, "every": 3, "test": TESTS, "watch": "loss"}


def go(folder=None, agent=None, feed=None, **options):
    """Train for three epochs, a point every three batches, or otherwise where ``options`` say so."""
    return train(agent or line(), feed or Feed(), folder=folder, **{**OPTIONS, **options})


@pytest.fixture(scope="session")
def offline():
    """What a training needs; a fixture, because test files cannot import each other."""
    return SimpleNamespace(**globals())
