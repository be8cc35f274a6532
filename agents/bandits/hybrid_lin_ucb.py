"""LinUCB with shared weights on user and item features, beside or in place of each item's own.

``r = z . beta + x . theta_i + noise``, ``z = x (outer product) v_i``, ``x = [1, user]``, ``v = [1, item]``: shared
are base rate, user, item and user x item. With ``G_i = sum x x'``, ``b_i = sum x r``, ``A_i = ridge I + G_i``:
``A_0 = shared_ridge I + sum_i S_i (x) v_i v_i'``, ``beta = A_0^-1 sum_i s_i (x) v_i``,
``S_i = G_i - G_i A_i^-1 G_i = ridge (I - ridge A_i^-1)``, ``s_i = b_i - G_i A_i^-1 b_i = ridge A_i^-1 b_i``.
Item i then has the weights ``m_i = w_i + A_i^-1 (b_i - G_i w_i)``, ``w_i = beta v_i`` as a matrix, and the covariance
``V_i = A_i^-1 + ridge^2 A_i^-1 C_i A_i^-1``, ``C_i = (I (x) v_i)' A_0^-1 (I (x) v_i)``:
``score[n, i] = m_i . x_n + alpha sqrt(x_n' V_i x_n)``. With ``own=False`` ``theta`` is 0, ``S_i = G_i``, ``s_i = b_i``,
``m_i = w_i`` and ``V_i = C_i``. Either way an item that nobody saw is scored by its features.

Source: Li et al. 2010 (arXiv 1003.0146), algorithm 2. Departures: (1) shared features are the outer product, so that
``B_i = G_i (x) v_i'`` and the sums of the disjoint models are all there is to keep (and to forget); the solution is
the exact joint ridge regression; (2) the ridges of shared and own weights are options; (3) item features are
standardised over the items and ``v`` has length 1, so that unseen items tie and a first batch does not get the one
with the longest ``v``; (4) users are scored in single precision; (5) ties are broken at random for each user.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from smartrec.agents.bandits.linear import Products, Scorer, require_finite, user_rows
from smartrec.agents.base import Agent, Tags
from smartrec.agents.forgetting import Forgetting
from smartrec.core.arrays import BoolArray, FloatArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.errors import InvalidConfig, InvalidInput
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions

MOST_SHARED = 5000
"""Shared weights beyond this take gigabytes and minutes an update."""


@dataclass(frozen=True)
class HybridLinUCBConfig:
    """Options of ``HybridLinUCB``.

    Attributes:
        alpha: Weight of the confidence bound, in clicks, >= 0.
        ridge: Diagonal of ``A_i`` before any feedback, > 0: how near an item's own weights stay to 0.
        shared_ridge: Diagonal of ``A_0`` before any feedback, > 0.
        own: Whether each item has weights of its own beside the shared ones.
        discount: Weight that feedback keeps a tick of the clock, 0..1; 1 forgets nothing.
        window: Ticks that feedback counts, or None.
    """

    alpha: float = 0.5
    ridge: float = 10.0
    shared_ridge: float = 1.0
    own: bool = True
    discount: float = 1.0
    window: int | None = None

    def __post_init__(self) -> None:
        require(self.alpha >= 0, "alpha", self.alpha, "a number >= 0")
        require(self.ridge > 0, "ridge", self.ridge, "a number > 0")
        require(self.shared_ridge > 0, "shared_ridge", self.shared_ridge, "a number > 0")


class HybridLinUCB(Agent):
    """Hybrid LinUCB.

    Attributes:
        products: Sums of products an item.
        scorer: Joint weights m and covariances V an item; valid after ``update``.
    """

    tags: ClassVar[Tags] = Tags(learns_from_logs=True, propensities=True, needs_features=True)
    Config = HybridLinUCBConfig

    def __init__(self, problem: Problem, config: HybridLinUCBConfig | None = None, *, seed: int) -> None:
        super().__init__(problem, config, seed=seed)
        if problem.item_features is None:
            raise InvalidConfig(
                "HybridLinUCB needs item_features, and this problem has none; take lin_ucb, or hand them in with "
                "the problem"
            )
        require_finite(problem.item_features, "item_features")
        d, shared = 1 + problem.user_features, 1 + problem.item_features.shape[1]
        if d * shared > MOST_SHARED:
            raise InvalidConfig(
                f"{d} user weights x {shared} item weights = {d * shared} shared weights; allowed: up to "
                f"{MOST_SHARED}. Hand in fewer item features, for example principal components"
            )
        self.products = Products(self.items, d, Forgetting(self.config.discount, self.config.window))
        self.scorer = Scorer(self.items, d)
        self._solve()

    def act(
        self,
        observation: Observation,
        *,
        first: BoolArray | None = None,
        allowed: Candidates | None = None,
        explore: bool = True,
    ) -> Decision:
        """Choose by upper bound; ``explore=False`` takes the best means."""
        if self.products.look(observation):
            self._solve()
        x = user_rows(self.problem, observation).astype(np.float32)  # [N, D]
        index = self.scorer.means(x)  # [N, I]
        if explore and self.config.alpha > 0:
            variance = self.scorer.variances(x)  # [N, I]
            index += self.config.alpha * np.sqrt(variance, out=variance)
        return self.choose(index, observation, allowed)

    def observe(self, transitions: Transitions) -> None:
        """Add up products of features, and of features and responses, item by item.

        Raises:
            InvalidInput: A feature, or a response that somebody saw, is not finite; then nothing is added.
        """
        fresh, all_changed = self.products.record(transitions, user_rows(self.problem, transitions.observation))
        self._stale |= bool(fresh.any()) or all_changed

    def update(self) -> dict[str, float]:
        """Solve the joint regression, if there was feedback."""
        if self._stale:
            self._solve()
        return {}

    def add_items(self, count: int, item_features: FloatArray | None = None, *, weight: float = 10.0) -> None:
        """Take in items that come: the shared weights score them at once by their features, which are needed.

        Raises:
            InvalidInput: There are no features, or of another shape than the known items'.
        """
        if item_features is None:
            raise InvalidInput("item_features = None; allowed: float [count, D], HybridLinUCB scores by features")
        super().add_items(count, item_features, weight=weight)
        self._solve()

    def item_rows(self) -> FloatArray:
        """Return v, float64 [I, D'], 1 and the standardised features of the items, each row of length 1."""
        features = np.asarray(self.problem.item_features, np.float64)
        scale = features.std(axis=0)
        standard = (features - features.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
        rows = np.concatenate([np.ones((len(features), 1)), standard], axis=1)
        found: FloatArray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return found

    def _solve(self) -> None:
        """Solve the joint regression from the sums of the items."""
        d, ridge, v = self.scorer.theta.shape[1], self.config.ridge, self.item_rows()  # v [I, D']
        k = v.shape[1]
        gram, moment = self.products.moments(np.arange(self.items))  # [I, D, D], [I, D]
        inverse = np.linalg.inv(gram + ridge * np.eye(d)) if self.config.own else np.zeros_like(gram)
        own = np.matmul(inverse, moment[:, :, None])[:, :, 0]  # A_i^-1 b_i
        shared_gram = ridge * (np.eye(d) - ridge * inverse) if self.config.own else gram
        shared_moment = ridge * own if self.config.own else moment
        squares = (v[:, :, None] * v[:, None, :]).reshape(len(v), -1)  # [I, D' D']
        # The Kronecker sum as one product, [D D, I] times [I, D' D'], then from [D, D, D', D'] to [D D', D D'].
        joint = (shared_gram.reshape(len(v), -1).T @ squares).reshape(d, d, k, k).transpose(0, 2, 1, 3)
        joint = joint.reshape(d * k, d * k) + self.config.shared_ridge * np.eye(d * k)
        (joint_inverse,) = np.linalg.inv(joint[None])
        beta = (joint_inverse @ (shared_moment.T @ v).reshape(-1)).reshape(d, k)
        weights = v @ beta.T  # w_i, [I, D]
        by_item = joint_inverse.reshape(d, k, d, k).transpose(0, 2, 1, 3).reshape(d * d, k * k)
        covariance = (squares @ by_item.T).reshape(-1, d, d)  # C_i
        if self.config.own:
            weights = own + ridge * np.matmul(inverse, weights[:, :, None])[:, :, 0]
            covariance = inverse + ridge**2 * np.matmul(np.matmul(inverse, covariance), inverse)
        self.scorer.put(np.arange(self.items), weights, covariance)
        self._stale = False
