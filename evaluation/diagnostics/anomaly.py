"""Do generated actions look like items? An autoencoder learns what items look like, and marks what does not.

``score(v) = sum_d (w_d - decode(encode(w))_d)^2``, ``w = (v - mean) / scale``, by the mean and the deviation (one
number, so that no coordinate gains weight) of what it learnt from: scores of different embeddings compare.

Source: RecNN's detector, 128-64-32-64-128 with ReLU and batch normalisation. Departures: (1) the last layer is linear,
so that negative numbers can be rebuilt; (2) the centring and scaling above; (3) where it stops is decided by vectors
that it does not learn from.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from smartrec.core.arrays import FloatArray, IntArray
from smartrec.core.config import require
from smartrec.core.errors import InvalidConfig, InvalidInput
from smartrec.core.nearest import as_table
from smartrec.core.optional import optional
from smartrec.core.seeding import generators

LEAST_VECTORS = 10


@dataclass(frozen=True)
class AnomalyConfig:
    """Options of ``AnomalyDetector``.

    Attributes:
        hidden: Units of the hidden layers.
        epochs: Most passes over the vectors, >= 1.
        patience: Passes without a lesser error on vectors held out after which it stops, >= 1.
        batch: Vectors a gradient step, >= 2.
        rate: Learning rate, > 0.
        held_out: Share of the vectors that decide where it stops, between 0 and 1.
    """

    hidden: tuple[int, ...] = (64, 32, 64)
    epochs: int = 100
    patience: int = 10
    batch: int = 64
    rate: float = 3e-3
    held_out: float = 0.1

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("patience", 1), ("batch", 2)):
            require(getattr(self, name) >= least, name, getattr(self, name), f"a whole number >= {least}")
        require(all(units >= 1 for units in self.hidden), "hidden", self.hidden, "whole numbers >= 1")
        require(self.rate > 0, "rate", self.rate, "a number > 0")
        require(0 < self.held_out < 1, "held_out", self.held_out, "between 0 and 1")


class AnomalyDetector:
    """Learns what vectors look like and scores others; needs the extra ``deep``.

    Args:
        config: Options; None takes the defaults.
        seed: Of first weights, order and what is held out, >= 0.

    Raises:
        MissingExtra: torch is not installed.
        InvalidConfig: A seed that is none.
    """

    def __init__(self, config: AnomalyConfig | None = None, *, seed: int) -> None:
        self.config = AnomalyConfig() if config is None else config
        self._torch: Any = optional("torch", "deep", "the anomaly detector")
        (self._rng,) = generators(seed, 1)
        self._network: Any = None

    def fit(self, vectors: FloatArray) -> dict[str, float]:
        """Learn from vectors anew; return the passes it took and the mean score of those held out.

        Args:
            vectors: float [N, D], finite, N >= 10.

        Raises:
            InvalidInput: Too few vectors, fewer than 2 that are not held out, or some that are not finite.
        """
        table = as_table(vectors, "vectors")
        if len(table) < LEAST_VECTORS:
            raise InvalidInput(f"{len(table)} vectors to learn from; allowed: {LEAST_VECTORS} or more")
        aside = max(1, round(self.config.held_out * len(table)))
        if len(table) - aside < 2:
            raise InvalidInput(
                f"held_out = {self.config.held_out} of {len(table)} vectors leaves {len(table) - aside} to learn from; "
                "allowed: 2 or more. Hold out fewer"
            )
        self._mean = table.mean(axis=0)
        self._scale = float(np.sqrt(((table - self._mean) ** 2).mean())) or 1.0
        order = self._rng.permutation(len(table))
        held, known = table[order[:aside]], self._tensor(table[order[aside:]])
        self._network = self._built(table.shape[1])
        optimiser = self._torch.optim.Adam(self._network.parameters(), lr=self.config.rate)
        best, kept, at, epoch = np.inf, self._state(), 0, 0
        for epoch in range(1, self.config.epochs + 1):
            self._pass(known, optimiser)
            error = float(self.scores(held).mean())
            if error < best:
                best, kept, at = error, self._state(), epoch
            elif epoch - at >= self.config.patience:
                break
        self._network.load_state_dict(kept)
        return {"epochs": float(epoch), "held_out": best}

    def scores(self, vectors: FloatArray) -> FloatArray:
        """Return squared errors of vectors [N, D] rebuilt, float64 [N]: the higher, the less they look like an item.

        Raises:
            InvalidConfig: It has learnt from nothing yet.
            InvalidInput: Vectors that are not finite, or of another length.
        """
        if self._network is None:
            raise InvalidConfig("this detector has learnt from nothing yet; call fit first")
        known = self._tensor(as_table(vectors, "vectors", len(self._mean)))
        self._network.eval()
        with self._torch.no_grad():
            errors = ((self._network(known) - known) ** 2).sum(dim=1)
        return np.asarray(errors.numpy(), np.float64)

    def _pass(self, known: Any, optimiser: Any) -> None:
        """Take one pass in a new order; the rest of a division, one vector at least two, goes to the last batches."""
        self._network.train()
        order: IntArray = self._rng.permutation(len(known))
        for rows in np.array_split(order, max(1, len(order) // self.config.batch)):
            batch = known[rows]
            loss = ((self._network(batch) - batch) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    def _tensor(self, table: FloatArray) -> Any:
        return self._torch.from_numpy(((table - self._mean) / self._scale).astype(np.float32))

    def _state(self) -> dict[str, Any]:
        return {name: value.clone() for name, value in self._network.state_dict().items()}

    def _built(self, size: int) -> Any:
        """Return the network, its first weights drawn from this detector's generator."""
        torch = self._torch
        sizes, layers = [size, *self.config.hidden, size], []
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(self._rng.integers(2**63)))
            for inputs, outputs in pairwise(sizes):
                layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU(), torch.nn.BatchNorm1d(outputs)]
        return torch.nn.Sequential(*layers[:-2])


@dataclass(frozen=True, eq=False)
class Anomalies:
    """Scores of several groups of vectors, and how far each lies from the first.

    Attributes:
        scores: Name of a group to its scores, float [N]; the first is what was learnt from.
        wasserstein: Name to the Wasserstein distance of its scores from those of the first, in units of score.
    """

    scores: dict[str, FloatArray]
    wasserstein: dict[str, float]


def anomalies(detector: AnomalyDetector, groups: dict[str, FloatArray]) -> Anomalies:
    """Score groups of vectors, and measure how far the scores of each are from those of the first.

    Args:
        detector: One that has learnt.
        groups: Name to vectors, float [N, D], N >= 1; the first is what the others are compared with.

    Raises:
        InvalidInput: No groups, or vectors that are not finite or of another length.
    """
    from scipy.stats import wasserstein_distance

    if not groups:
        raise InvalidInput("no groups of vectors to score; give at least one")
    scores = {name: detector.scores(vectors) for name, vectors in groups.items()}
    first = next(iter(scores.values()))
    return Anomalies(scores, {name: float(wasserstein_distance(first, found)) for name, found in scores.items()})


def density(scores: FloatArray, at: FloatArray) -> FloatArray:
    """Return a Gaussian kernel estimate of the density of scores, at points float [P]; a single spike has none.

    Args:
        scores: float [N].
        at: float [P].
    """
    from scipy.stats import gaussian_kde

    if len(scores) < 2 or not np.std(scores) > 0:
        return np.zeros(len(at))
    return np.asarray(gaussian_kde(scores)(at))
