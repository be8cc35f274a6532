"""Networks of agents that act by vectors: an actor, and a critic with one head or more."""

import numpy as np
import torch
from torch import Tensor, nn

from smartrec.agents.deep.lookup import VectorConfig, Vectors
from smartrec.agents.deep.networks import mlp
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
    """``Q_h(s, a)`` of many vectors a state, for heads h = 1 .. H that share the state and the items' vectors.

    Args:
        problem: What is seen, and what actions are.
        config: State encoder, hidden layers, and where items' vectors come from.
        heads: H, >= 1.

    Attributes:
        vectors: Turns executed actions into vectors.
    """

    def __init__(self, problem: Problem, config: VectorConfig, heads: int) -> None:
        super().__init__()
        self.state = state_of(problem, config)
        self.vectors = Vectors(problem, config)
        sizes = self.state.size, self.vectors.size, config.hidden
        self.heads = nn.ModuleList(_Head(*sizes) for _ in range(heads))

    def forward(self, observation: dict[str, Tensor], vectors: Tensor, heads: int | None = None) -> Tensor:
        """Return values float [H, B, C] of parts [B, ...] and vectors [B, C, D], of the first ``heads`` heads."""
        state = self.state(observation)
        return torch.stack([head(state, vectors) for head in self.heads[:heads]])


class _Head(nn.Module):
    """``mlp([s, a])``, where the state's share of the first layer is worked out once for all C vectors."""

    def __init__(self, state: int, vector: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        first, *rest = (*hidden, 1)
        whole = nn.Linear(state + vector, first)
        self.of_state, self.of_vector = nn.Linear(state, first), nn.Linear(vector, first, bias=False)
        with torch.no_grad():  # together they start as one layer would
            self.of_state.weight.copy_(whole.weight[:, :state])
            self.of_state.bias.copy_(whole.bias)
            self.of_vector.weight.copy_(whole.weight[:, state:])
        self.rest = nn.Sequential(nn.ReLU(), mlp((first, *rest))) if rest else nn.Identity()

    def forward(self, state: Tensor, vectors: Tensor) -> Tensor:
        """Return values [B, C] of states [B, S] and vectors [B, C, D]."""
        hidden = self.of_state(state)[:, None] + self.of_vector(vectors)  # [B, C, F]
        return self.rest(hidden)[..., 0]  # type: ignore[no-any-return]


def state_of(problem: Problem, config: VectorConfig) -> State:
    """Return the state encoder that ``config`` asks for."""
    options = config.encoder, config.encoder_size, config.encoder_options
    return State(problem, *options, config.embedding, config.user_embedding)


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
