"""Networks of agents that act by vectors: an actor, and a critic with one head or more."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from smartrec.agents.deep.networks import mlp
from smartrec.agents.deep.vectors import VectorConfig, Vectors
from smartrec.agents.encoders.state import State
from smartrec.core.arrays import FloatArray, IntArray
from smartrec.core.problem import Problem


class VectorActor(nn.Module):
    """``actor(s) = tanh(mlp(s))``, a proto-action.

    Args:
        problem: What is seen.
        config: State encoder and hidden layers.
        size: D.
    """

    def __init__(self, problem: Problem, config: VectorConfig, size: int) -> None:
        super().__init__()
        self.state = state_of(problem, config)
        self.body = mlp((self.state.size, *config.hidden, size), nn.Tanh)

    def forward(self, observation: dict[str, Tensor]) -> Tensor:
        """Return proto-actions float [B, D] for parts [B, ...]."""
        return self.body(self.state(observation))  # type: ignore[no-any-return]


class VectorCritic(nn.Module):
    """``Q_h(s, a) = mlp_h([s, a])`` of C vectors a state, for heads h = 1 .. H that share the encoder and the vectors.

    All heads are worked out at once, and the state's share of the first layer once for all vectors.

    Args:
        problem: What is seen, and what actions are.
        config: State encoder, hidden layers, and where items' vectors come from.
        heads: H, >= 1.

    Attributes:
        vectors: Turns executed actions into vectors.
        weights: Of the layers after the first, [H, inputs, outputs] each.
        biases: Of the same, [H, 1, outputs] each.
    """

    def __init__(self, problem: Problem, config: VectorConfig, heads: int) -> None:
        super().__init__()
        self.state, self.vectors = state_of(problem, config), Vectors(problem, config)
        sizes = (*config.hidden, 1)
        inputs = self.state.size + self.vectors.size
        self.of_state = nn.Linear(self.state.size, heads * sizes[0])
        self.of_vector = nn.Linear(self.vectors.size, heads * sizes[0], bias=False)
        self.weights = nn.ParameterList(torch.empty(heads, *pair) for pair in pairwise(sizes))
        self.biases = nn.ParameterList(torch.empty(heads, 1, size) for size in sizes[1:])
        for first in (*self.of_state.parameters(), *self.of_vector.parameters()):
            nn.init.uniform_(first, -(inputs**-0.5), inputs**-0.5)  # as one layer [s, a] would start
        for weight, bias in zip(self.weights, self.biases, strict=True):
            for part in (weight, bias):
                nn.init.uniform_(part, -(weight.shape[1] ** -0.5), weight.shape[1] ** -0.5)
        self._units = sizes[0]

    def forward(self, observation: dict[str, Tensor], vectors: Tensor, heads: int | None = None) -> Tensor:
        """Return values float [H, B, C] of parts [B, ...] and vectors [B, C, D], of the first ``heads`` heads."""
        heads = heads or len(self.of_state.bias) // self._units
        lanes, count, _ = vectors.shape
        units = heads * self._units
        weight, bias, of_vector = (_top(part, units) for part in (*self.of_state.parameters(), self.of_vector.weight))
        hidden = functional.linear(self.state(observation), weight, bias)  # [B, H F]
        if count > 1:
            hidden = hidden[:, None].expand(-1, count, -1).reshape(lanes * count, units)
        hidden = torch.addmm(hidden, vectors.flatten(0, 1), of_vector.t())  # [B C, H F]
        hidden = hidden.view(-1, heads, self._units).transpose(0, 1)  # [H, B C, F]
        for weight, bias in zip(self.weights, self.biases, strict=True):
            hidden = torch.baddbmm(_top(bias, heads), hidden.relu_(), _top(weight, heads))
        return hidden.reshape(heads, lanes, count)


def _top(part: Tensor, count: int) -> Tensor:
    """Return the first ``count`` rows; all of them as they are, for a cut costs a copy on the way back."""
    return part if len(part) == count else part[:count]


def state_of(problem: Problem, config: VectorConfig) -> State:
    """Return the state encoder that ``config`` asks for."""
    options = config.encoder, config.encoder_size, config.encoder_options
    return State(problem, *options, config.embedding, config.user_embedding)


def normal(shape: Sequence[int], rng: np.random.Generator, device: torch.device | str) -> Tensor:
    """Return standard normal numbers, float32; PyTorch draws them three times as fast, from a seed of ``rng``."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    return torch.randn(tuple(shape), generator=generator).to(device)


def mean_error(values: Tensor, targets: Tensor, observed: Tensor) -> Tensor:
    """Return the mean squared error of values [H, B, K] against targets [B, K] where observed, summed over heads."""
    squares = (values - targets) ** 2 * observed
    return squares.sum() / observed.sum().clamp(min=1)


@torch.no_grad()
def item_values(critic: VectorCritic, observation: dict[str, Tensor], items: IntArray) -> FloatArray:
    """Return values of items [N, C], float [N, C]: the least of all heads."""
    chosen = torch.from_numpy(items).to(next(critic.parameters()).device)
    values: FloatArray = critic(observation, critic.vectors(chosen)).amin(dim=0).cpu().numpy()
    return values
