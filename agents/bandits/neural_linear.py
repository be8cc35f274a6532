"""Neural linear: Bayesian linear models, one an item, on what the hidden layer of a small network sees.

``h = relu(x W + c_i)``, ``z = [1, x, h]``, ``A_i = ridge I + sum z z'``, ``theta_i = A_i^-1 sum z r``,
``draw score[n, i] ~ N(theta_i . z, v^2 z' A_i^-1 z)``, ``slate[n] = top K of score[n]``

``W`` and ``c`` are those of a network trained on (user, item) -> response by squared error; then all sums are added up
anew. In between only the linear models learn, at every update.

Source: Riquelme, Tucker and Snoek 2018 (arXiv 1802.09127). Departures: (1) the network sees the item too, by number
and features, so ``h`` is of the pair; (2) ``z`` holds 1 and the user's features beside ``h``, which is 0 until it is
trained: until then this is ``lin_ts``; (3) the width ``v`` is an option, theirs has a Gamma prior; (4) each
training starts from new weights, so that a saved agent needs none of the optimiser's; (5) discount and window weigh
showings of a bounded experience by age: the network learns from a sample by weight, the linear models forget exactly.
"""

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from smartrec.agents.bandits.experience import Experience, Showings
from smartrec.agents.bandits.linear import RidgeModels, user_rows
from smartrec.agents.base import Agent, Tags
from smartrec.agents.forgetting import Forgetting
from smartrec.agents.growth import NewItems
from smartrec.core.arrays import BoolArray, FloatArray, IntArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions

CELLS = 4_000_000
"""Numbers of hidden features of pairs that are in memory at once."""


@dataclass(frozen=True)
class NeuralLinearConfig:
    """Options of ``NeuralLinear``.

    Attributes:
        v: Width of the draws, standard deviation of a response, in clicks, >= 0.
        ridge: Diagonal of ``A`` before any feedback, > 0.
        hidden: Units of the hidden layer, >= 1.
        refit: Showings between two trainings, at least; a tenth of the experience where that is more. >= 1.
        epochs: Passes over the experience a training, >= 1.
        rate: Learning rate of the network, > 0.
        experience: Most showings kept, >= 1.
        discount: Weight that feedback keeps a tick of the clock, 0..1; 1 forgets nothing.
        window: Ticks that feedback counts, or None.
    """

    v: float = 0.1
    ridge: float = 30.0
    hidden: int = 16
    refit: int = 300
    epochs: int = 30
    rate: float = 0.01
    experience: int = 50_000
    discount: float = 1.0
    window: int | None = None

    def __post_init__(self) -> None:
        require(self.v >= 0, "v", self.v, "a number >= 0")
        require(self.ridge > 0, "ridge", self.ridge, "a number > 0")
        require(self.rate > 0, "rate", self.rate, "a number > 0")
        for name in ("hidden", "refit", "epochs", "experience"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "a whole number >= 1")


class Network:
    """The first layer of a network of user and item; all units are silent until it is trained.

    Args:
        users: D, number of user features.
        items: I.
        features: float [I, D'] of the items, or None.
        config: Hidden units and training.
    """

    def __init__(self, users: int, items: int, features: FloatArray | None, config: NeuralLinearConfig) -> None:
        self._config = config
        self._table = np.zeros((items, 0)) if features is None else np.asarray(features, np.float64)
        self._users = np.zeros((users, config.hidden))
        self._items = np.zeros((items, config.hidden))

    def pairs(self, x: FloatArray, items: IntArray) -> FloatArray:
        """Return z for pairs of a user, x [R, D], and an item, int [R], float64 [R, 1 + D + H]."""
        hidden = np.maximum(x @ self._users + self._items[items], 0.0)
        return np.concatenate([np.ones((len(x), 1)), x, hidden], axis=1)

    def table(self, x: FloatArray, items: slice) -> FloatArray:
        """Return z for all pairs of users x [N, D] and ``items``, float32 [M, N, 1 + D + H]."""
        bias = self._items[items].astype(np.float32)
        z = np.empty((len(bias), len(x), 1 + x.shape[1] + bias.shape[1]), np.float32)
        z[:, :, 0], z[:, :, 1 : 1 + x.shape[1]] = 1.0, x
        hidden = z[:, :, 1 + x.shape[1] :]
        np.add((x @ self._users).astype(np.float32), bias[:, None], out=hidden)  # [M, N, H]
        np.maximum(hidden, 0.0, out=hidden)
        return z

    def train(self, showings: Showings, weights: FloatArray, rng: np.random.Generator) -> None:
        """Train from new weights, on a sample in proportion to ``weights`` [R] where they differ."""
        from scipy.sparse import csr_array, hstack
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPRegressor

        config, seed = self._config, int(rng.integers(2**31))
        if np.ptp(weights) > 0:
            showings = showings.rows(rng.choice(len(weights), len(weights), p=weights / weights.sum()))
        count, known = len(showings.items), self._standard()
        numbers = csr_array((np.ones(count), showings.items, np.arange(count + 1)), shape=(count, len(known)))
        rows = hstack([csr_array(showings.x), numbers, csr_array(known[showings.items])], format="csr")
        network = MLPRegressor(
            hidden_layer_sizes=(config.hidden,),
            learning_rate_init=config.rate,
            max_iter=config.epochs,
            n_iter_no_change=config.epochs,
            random_state=seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the number of passes is ours
            network.fit(rows, showings.responses)
        d, items = self._users.shape[0], len(known)
        weight = network.coefs_[0]
        self._users = weight[:d]
        self._items = weight[d : d + items] + known @ weight[d + items :] + network.intercepts_[0]
        self._standardise(showings)

    def grow(self, came: NewItems) -> None:
        """Take in items that come; they look like what their features say, or like the average item."""
        predicted = came.predict(self._items, np.ones(len(self._items)))
        average = np.tile(self._items.mean(axis=0), (came.count, 1))
        self._items = np.concatenate([self._items, average if predicted is None else predicted])
        unknown = np.full((came.count, self._table.shape[1]), np.nan)
        self._table = np.concatenate([self._table, unknown if came.features is None else came.features])

    def get_state(self) -> dict[str, Any]:
        """Return arrays that ``set_state`` reads."""
        return {"table": self._table, "users": self._users, "items": self._items}

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo ``get_state``."""
        self._table, self._users, self._items = state["table"], state["users"], state["items"]

    def _standard(self) -> FloatArray:
        """Return the standardised features of the items, float [I, D'], 0 where they are unknown."""
        if not self._table.shape[1]:
            return self._table
        scale = np.nanstd(self._table, axis=0)
        standard = (self._table - np.nanmean(self._table, axis=0)) / np.where(scale > 0, scale, 1.0)
        found: FloatArray = np.nan_to_num(standard)
        return found

    def _standardise(self, showings: Showings) -> None:
        """Scale each unit to a root mean square of 1, so that the ridge means the same for all."""
        hidden = np.maximum(showings.x @ self._users + self._items[showings.items], 0.0)
        size = np.sqrt((hidden**2).mean(axis=0))
        size = np.where(size > 1e-6, size, 1.0)
        self._users, self._items = self._users / size, self._items / size


class NeuralLinear(Agent):
    """Bayesian linear models on a network's hidden layer.

    Attributes:
        network: The hidden layer.
        models: The regressions on it.
        experience: Showings that network and models learn from.
    """

    tags: ClassVar[Tags] = Tags(learns_from_logs=True, needs_features=True)
    Config = NeuralLinearConfig

    def __init__(self, problem: Problem, config: NeuralLinearConfig | None = None, *, seed: int) -> None:
        super().__init__(problem, config, seed=seed)
        users, options = problem.user_features, self.config
        self.network = Network(users, self.items, problem.item_features, options)
        forgetting = Forgetting(options.discount, options.window)
        self.experience = Experience(options.experience, users, forgetting)
        self.models = RidgeModels(self.items, 1 + users + options.hidden, options.ridge, forgetting)

    def act(
        self,
        observation: Observation,
        *,
        first: BoolArray | None = None,
        allowed: Candidates | None = None,
        explore: bool = True,
    ) -> Decision:
        """Choose the best of a draw a lane; ``explore=False`` takes the posterior means."""
        self.experience.look(observation)
        self.models.look(observation)
        x = user_rows(self.problem, observation, intercept=False)
        scores = np.empty((len(x), self.items), np.float32)
        block = max(CELLS // (max(len(x), 1) * self.models.theta.shape[1]), 1)
        for start in range(0, self.items, block):
            part = slice(start, start + block)
            scores[:, part] = self._scores(x, part, explore).T
        return self.choose(scores, observation, allowed)

    def observe(self, transitions: Transitions) -> None:
        """Keep the showings, and add up products of what the network sees.

        Raises:
            InvalidInput: A feature is not finite, or a response outside 0..1; then nothing is kept.
        """
        came = self.experience.record(transitions, user_rows(self.problem, transitions.observation, intercept=False))
        self.models.record_showings(came.clocks, came.items, self.network.pairs(came.x, came.items), came.responses)

    def update(self) -> dict[str, float]:
        """Train the network anew, once enough showings have come; solve the models that got feedback."""
        if self.experience.due(self.config.refit):
            known = self.experience.settle()
            if len(known.items):
                self.network.train(known, self.experience.weights(), self.rng)
                self.models.clear()
                z = self.network.pairs(known.x, known.items)
                self.models.record_showings(known.clocks, known.items, z, known.responses)
        self.models.solve()
        return {}

    def _scores(self, x: FloatArray, items: slice, explore: bool) -> FloatArray:
        """Return means of ``items``, or draws of them, for users x [N, D], float32 [M, N]."""
        z, scorer = self.network.table(x, items), self.models.scorer  # z [M, N, Z]
        means: FloatArray = np.matmul(z, scorer.theta[items].astype(np.float32)[:, :, None])[:, :, 0]
        if not explore:
            return means
        variances = np.einsum("mnz,mnz->mn", np.matmul(z, scorer.covariances(items)), z)
        spread = np.sqrt(np.maximum(variances, 0.0))
        means += np.float32(self.config.v) * spread * self.rng.standard_normal(spread.shape, np.float32)
        return means
