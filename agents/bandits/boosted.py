"""Boosted trees on user and item, explored by a bootstrapped ensemble.

``f_m = boosted trees fitted to (user, item) -> response with weights w e, e ~ Exp(1)``, ``m = 1 .. members``;
``slate[n] = top K of f_m(n, i)`` with a member m drawn for each user

Source: bootstrapped Thompson sampling of Osband and Van Roy 2015, with trees as in Elmachtoub et al. 2017; weights of
the Bayesian bootstrap (Rubin 1981). Departures: (1) each member also sees a made-up click and a made-up miss an item,
of random users and with weights of their own: with trees that split by item alone this is the Beta(1, 1) posterior
of ``thompson``, and without it an item that failed once would never be tried again; (2) trees of all items are one
model; the item is a category up to 255 items and its click rate beyond, beside its features; (3) trees have no sums
that could forget: they are fitted anew to a bounded experience, weighed by age; (4) ``explore=False`` takes the mean
of the members. A saved agent holds the experience and seeds, no trees: loading fits the same trees again.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from smartrec.agents import exploration
from smartrec.agents.bandits.experience import Experience
from smartrec.agents.bandits.linear import user_rows
from smartrec.agents.base import Agent, Tags
from smartrec.agents.forgetting import Forgetting
from smartrec.agents.growth import NewItems
from smartrec.core.arrays import BoolArray, FloatArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions

MOST_CATEGORIES = 255
"""As many different values as scikit-learn's trees take of a category."""

PAIRS = 1_000_000
"""Pairs of user and item that are scored at once."""


@dataclass(frozen=True)
class BoostedConfig:
    """Options of ``Boosted``.

    Attributes:
        members: Models in the ensemble, >= 1; 1 does not explore by itself.
        epsilon: Probability of a random slate, 0..1.
        refit: Showings between two fits, at least; a tenth of the experience where that is more. >= 1.
        trees: Trees a model, >= 1.
        leaves: Leaves a tree, >= 2.
        rate: Learning rate, > 0.
        experience: Most showings kept, >= 1.
        discount: Weight that feedback keeps a tick of the clock, 0..1; 1 forgets nothing.
        window: Ticks that feedback counts, or None.
    """

    members: int = 5
    epsilon: float = 0.0
    refit: int = 300
    trees: int = 40
    leaves: int = 6
    rate: float = 0.05
    experience: int = 50_000
    discount: float = 1.0
    window: int | None = None

    def __post_init__(self) -> None:
        require(0 <= self.epsilon <= 1, "epsilon", self.epsilon, "0 to 1")
        require(self.leaves >= 2, "leaves", self.leaves, "a whole number >= 2")
        require(self.rate > 0, "rate", self.rate, "a number > 0")
        for name in ("members", "refit", "trees", "experience"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "a whole number >= 1")


class Ensemble:
    """Models of the response to an item, fitted to the same showings with different weights.

    Args:
        experience: The showings, which the ensemble settles.
        items: I.
        features: float [I, D] of the items, or None.
        config: Options of the trees.

    Attributes:
        experience: Old showings are those that the members were fitted to.
    """

    def __init__(self, experience: Experience, items: int, features: FloatArray | None, config: BoostedConfig) -> None:
        self.experience = experience
        self._table = np.zeros((items, 0)) if features is None else np.asarray(features, np.float64)
        self._config = config
        self._seed = -1
        self._weights: FloatArray = np.zeros(0)
        self._members: list[Any] = []

    @property
    def fitted(self) -> bool:
        """Whether there is a model."""
        return bool(self._members)

    def fit(self, seed: int) -> None:
        """Fit all members anew to what is known by now."""
        self.experience.settle()
        self._seed, self._weights = seed, self.experience.weights()
        self._fit()

    def means(self, x: FloatArray, member: int) -> FloatArray:
        """Return what a member says of users x [N, D], float [N, I]."""
        items, lanes = len(self._table), max(PAIRS // len(self._table), 1)
        table = self._columns()
        scores: FloatArray = np.empty((len(x), items))
        for start in range(0, len(x), lanes):
            users = x[start : start + lanes]
            rows = np.concatenate([np.repeat(users, items, axis=0), np.tile(table, (len(users), 1))], axis=1)
            scores[start : start + lanes] = self._members[member].predict(rows).reshape(-1, items)
        return scores

    def grow(self, came: NewItems) -> None:
        """Take in items that come: the members are fitted again, to a click and a miss of each beside the rest."""
        unknown = np.full((came.count, self._table.shape[1]), np.nan)
        self._table = np.concatenate([self._table, unknown if came.features is None else came.features])
        if self.fitted:
            self._fit()

    def get_state(self) -> dict[str, Any]:
        """Return arrays and numbers that ``set_state`` reads."""
        own = {"table": self._table, "seed": self._seed, "weights": self._weights}
        return {**own, **{f"experience.{name}": part for name, part in self.experience.get_state().items()}}

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo ``get_state``: fit the same members again."""
        self._table, self._seed, self._weights = state["table"], int(state["seed"]), state["weights"]
        start = "experience."
        self.experience.set_state({k.removeprefix(start): v for k, v in state.items() if k.startswith(start)})
        if self._seed >= 0:
            self._fit()

    def _fit(self) -> None:
        from sklearn.ensemble import HistGradientBoostingRegressor

        rng, config, old = np.random.default_rng(self._seed), self._config, self.experience.old
        items = len(self._table)
        made_up = np.repeat(np.arange(items), 2)
        table = self._columns()
        responses = np.concatenate([old.responses, np.tile([1.0, 0.0], items)])
        category = [old.x.shape[1]] if items <= MOST_CATEGORIES else None
        self._members = []
        for _ in range(config.members if len(old.x) else 0):  # a window may have passed everything
            users = np.concatenate([old.x, old.x[rng.integers(len(old.x), size=len(made_up))]])
            rows = np.concatenate([users, table[np.concatenate([old.items, made_up])]], axis=1)
            weights = np.concatenate([self._weights, np.ones(len(made_up))]) * rng.exponential(size=len(rows))
            trees = HistGradientBoostingRegressor(
                max_iter=config.trees,
                max_leaf_nodes=config.leaves,
                learning_rate=config.rate,
                categorical_features=category,
                early_stopping=False,
                random_state=int(rng.integers(2**31)),
            )
            self._members.append(trees.fit(rows, responses, sample_weight=weights))

    def _columns(self) -> FloatArray:
        """Return what the trees see of the items: number or click rate first, then features, float [I, 1 + D]."""
        items, old = len(self._table), self.experience.old
        first: FloatArray = np.arange(items, dtype=np.float64)
        if items > MOST_CATEGORIES:
            clicks = np.bincount(old.items, weights=self._weights * old.responses, minlength=items)
            first = (1 + clicks) / (2 + np.bincount(old.items, weights=self._weights, minlength=items))
        return np.column_stack([first, self._table])


class Boosted(Agent):
    """Boosted trees with a bootstrapped ensemble.

    Attributes:
        ensemble: The models and the experience.
    """

    tags: ClassVar[Tags] = Tags(learns_from_logs=True, needs_features=True)
    Config = BoostedConfig

    def __init__(self, problem: Problem, config: BoostedConfig | None = None, *, seed: int) -> None:
        super().__init__(problem, config, seed=seed)
        forgetting = Forgetting(self.config.discount, self.config.window)
        experience = Experience(self.config.experience, problem.user_features, forgetting)
        self.ensemble = Ensemble(experience, self.items, problem.item_features, self.config)

    def act(
        self,
        observation: Observation,
        *,
        first: BoolArray | None = None,
        allowed: Candidates | None = None,
        explore: bool = True,
    ) -> Decision:
        """Choose by a member a lane; ``explore=False`` takes the mean of the members."""
        self.ensemble.experience.look(observation)
        x, config = user_rows(self.problem, observation, intercept=False), self.config
        scores: FloatArray = np.zeros((len(x), self.items))
        if self.ensemble.fitted and explore:
            drawn = self.rng.integers(config.members, size=len(x))
            for member in np.unique(drawn):
                scores[drawn == member] = self.ensemble.means(x[drawn == member], int(member))
        elif self.ensemble.fitted:
            scores = np.mean([self.ensemble.means(x, member) for member in range(config.members)], axis=0)
        scores, candidates = self.restrict(scores, allowed)
        epsilon = config.epsilon if explore else 0.0
        slates, _ = exploration.epsilon_greedy(scores, len(x), self.problem.slate_size, epsilon, self.rng)
        return self.decide(slates, None, candidates)

    def observe(self, transitions: Transitions) -> None:
        """Keep the showings.

        Raises:
            InvalidInput: A feature is not finite, or a response outside 0..1; then nothing is kept.
        """
        x = user_rows(self.problem, transitions.observation, intercept=False)
        self.ensemble.experience.record(transitions, x)

    def update(self) -> dict[str, float]:
        """Fit the trees anew, once enough showings have come."""
        if self.ensemble.experience.due(self.config.refit):
            self.ensemble.fit(int(self.rng.integers(2**62)))
        return {}
