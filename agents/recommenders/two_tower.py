"""Two towers: a network of the user and one of the item, whose products are the logits of clicks.

``score_ui = u(user) . v(item) + b_item``, ``loss = -mean over showings of y log s + (1 - y) log(1 - s)``,
``s = sigmoid(score)``, y the response

Source: Yi et al. 2019 (sampling-bias-corrected neural modelling), as it is built there: embeddings and layers on either
side. Departures: (1) items that were shown and not clicked are the negatives, not the others of a batch: feedback here
says what was shown; (2) in training a share of the users is replaced by "anybody", who speaks for users without
feedback; (3) slates are explored, see ``exploring``; over factors these are the items' vectors; (4) a refit goes
on from where it was, on pairs drawn in proportion to their showings.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from smartrec.agents.base import Agent, Tags
from smartrec.agents.deep.networks import built, mlp
from smartrec.agents.deep.training import Learner
from smartrec.agents.recommenders.exploring import Exploring, decide, head_scores
from smartrec.agents.recommenders.feedback import Feedback
from smartrec.core.arrays import BoolArray, FloatArray, IntArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions


@dataclass(frozen=True)
class TwoTowerConfig(Exploring):
    """Options of ``TwoTower``, beside those of ``Exploring``.

    Attributes:
        embedding: Length of the learnt vectors of users and of items, >= 1.
        hidden: Units of each hidden layer of a tower.
        factors: F, length of a tower's output, >= 1.
        rate: Learning rate, > 0.
        decay: Pull of all weights towards 0, times half their squares in the loss, >= 0.
        anybody: Share of the users in training who are replaced by "anybody", 0..1.
        batch: Showings a gradient step, >= 1.
        passes: Gradient steps, as passes over the showings since the last refit, > 0; batches are drawn from all.
    """

    embedding: int = 16
    hidden: tuple[int, ...] = (32,)
    factors: int = 16
    rate: float = 0.01
    decay: float = 1e-5
    anybody: float = 0.05
    batch: int = 512
    passes: float = 20.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("embedding", "factors", "batch"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "a whole number >= 1")
        require(all(units >= 1 for units in self.hidden), "hidden", self.hidden, "whole numbers >= 1")
        require(0 < self.passes < math.inf, "passes", self.passes, "a finite number > 0")
        require(self.rate > 0, "rate", self.rate, "a number > 0")
        require(self.decay >= 0, "decay", self.decay, "a number >= 0")
        require(0 <= self.anybody < 1, "anybody", self.anybody, "0 to less than 1")


class Towers(nn.Module):
    """The networks of both sides; user U is anybody.

    Args:
        problem: Users and items, and what is known of the items.
        config: Sizes.
    """

    features: Tensor

    def __init__(self, problem: Problem, config: TwoTowerConfig) -> None:
        super().__init__()
        users, items = problem.users or 0, problem.items or 0
        known = np.zeros((items, 0)) if problem.item_features is None else np.nan_to_num(problem.item_features)
        self.register_buffer("features", torch.from_numpy(known.astype(np.float32)), persistent=False)
        self.users, self.items = nn.Embedding(users + 1, config.embedding), nn.Embedding(items, config.embedding)
        self.user_tower = mlp([config.embedding, *config.hidden, config.factors])
        self.item_tower = mlp([config.embedding + known.shape[1], *config.hidden, config.factors])
        self.bias = nn.Embedding(items, 1)
        for table in (self.users, self.items, self.bias):
            nn.init.normal_(table.weight, std=0.1)

    def of_users(self, users: Tensor) -> Tensor:
        """Return vectors of users, [B] -> [B, F]."""
        vectors: Tensor = self.user_tower(self.users(users))
        return vectors

    def of_items(self, items: Tensor) -> Tensor:
        """Return vectors of items, [B] -> [B, F]."""
        vectors: Tensor = self.item_tower(torch.cat([self.items(items), self.features[items]], dim=1))
        return vectors

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return logits of pairs, [B]."""
        logits: Tensor = (self.of_users(users) * self.of_items(items)).sum(dim=1) + self.bias(items)[:, 0]
        return logits


class TwoTower(Agent):
    """Two towers with exploration.

    Attributes:
        feedback: Who was shown and clicked what.
        learner: Both towers in training.
        item_factors: float32 [I, F], the items' vectors as of the last refit; zero before the first.
        item_bias: float32 [I], beside them.
    """

    tags: ClassVar[Tags] = Tags(learns_from_logs=True, extra="deep")
    Config = TwoTowerConfig

    def __init__(self, problem: Problem, config: TwoTowerConfig | None = None, *, seed: int) -> None:
        super().__init__(problem, config, seed=seed)
        options = self.config
        self.feedback = Feedback(problem)
        self.learner = Learner(built(lambda: Towers(problem, options), self.rng), "towers", rate=options.rate)
        self.item_factors: FloatArray = np.zeros((self.items, options.factors), np.float32)
        self.item_bias: FloatArray = np.zeros(self.items, np.float32)

    def act(
        self,
        observation: Observation,
        *,
        first: BoolArray | None = None,
        allowed: Candidates | None = None,
        explore: bool = True,
    ) -> Decision:
        """Choose by the products of vectors, or by regressions on the items' vectors, explored."""
        users = self.feedback.users_of(observation)
        if self.config.over_factors:
            draws = self.rng if explore else None
            scores = head_scores(self.config, self.feedback, self.item_factors, users, draws)
        else:
            scores = self.scores(users)
        return decide(self, scores, observation, allowed, explore)

    def observe(self, transitions: Transitions) -> None:
        """Count showings and clicks of each user and item.

        Raises:
            InvalidInput: A response outside 0..1, or no such user; then nothing is counted.
        """
        self.feedback.record(transitions)

    def update(self) -> dict[str, float]:
        """Take gradient steps where enough came."""
        return self._learn() if self.feedback.due(self.config.refit_every) else {}

    def fit(self, transitions: Transitions) -> dict[str, float]:
        """Learn from a log."""
        self.observe(transitions)
        return self._learn()

    @torch.no_grad()
    def scores(self, users: IntArray) -> FloatArray:
        """Return logits of clicks, float32 [N, I]; those of anybody for a user without feedback."""
        known = np.diff(self.feedback.rows(users)[0].indptr) > 0
        rows = torch.from_numpy(np.where(known, users, self.feedback.users))
        vectors = self.learner.network.of_users(rows).numpy()  # [N, F]
        scores: FloatArray = vectors @ self.item_factors.T + self.item_bias
        return scores

    def _learn(self) -> dict[str, float]:
        users, items, shown, clicks = self.feedback.pairs()
        came = self.feedback.settle()
        if not came:
            return {}
        ends = np.cumsum(shown)
        losses = []
        for _ in range(math.ceil(self.config.passes * came / self.config.batch)):
            drawn = np.searchsorted(ends, self.rng.random(self.config.batch) * ends[-1], side="right")
            anybody = self.rng.random(len(drawn)) < self.config.anybody
            who = np.where(anybody, self.feedback.users, users[drawn])
            losses.append(self._step(who, items[drawn], clicks[drawn] / shown[drawn]))
        with torch.no_grad():
            network = self.learner.network
            self.item_factors = network.of_items(torch.arange(self.items)).numpy()
            self.item_bias = network.bias.weight[:, 0].numpy().copy()
        if self.problem.item_features is None:
            # Of an item never shown its tower knows first weights alone: it gets the mean of the others.
            unknown = np.bincount(items, minlength=self.items) == 0
            for table in (self.item_factors, self.item_bias):
                table[unknown] = table[~unknown].mean(axis=0)
        return {"loss": float(np.mean(losses)), "refit": 1.0}

    def _step(self, users: IntArray, items: IntArray, rates: FloatArray) -> float:
        network = self.learner.network
        logits = network(torch.from_numpy(users), torch.from_numpy(items))
        fit = nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(rates.astype(np.float32)))
        squares = torch.stack([(weight**2).sum() for weight in network.parameters()]).sum()
        return self.learner.step(fit + self.config.decay / 2 * squares)
