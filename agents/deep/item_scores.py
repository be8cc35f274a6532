"""Scores of items in a state, and what agents that learn values of items do with them.

``score(s, i) = <f(s), e_i> + b_i``; with a duelling head ``V(s) + score(s, i) - mean_j score(s, j)``. In form "heads"
``f`` is the last hidden layer and each item has an output of its own. In form "embeddings" ``f`` is short and
``e_i`` is a table of item embeddings, which starts from the items' features where there are any.
"""

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from smartrec.agents.base import Agent
from smartrec.agents.deep.experience import Batch
from smartrec.agents.deep.networks import mlp
from smartrec.agents.deep.settings import DeepConfig
from smartrec.agents.encoders.state import State, tensors
from smartrec.core.arrays import Array, FloatArray, IntArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Items
from smartrec.core.errors import InvalidConfig
from smartrec.core.problem import Problem

Form = Literal["auto", "heads", "embeddings"]

SMALL = 200
"""Items up to which "auto" gives each an output of its own."""

FIRST_SIZE = 0.03
"""Standard deviation of the entries of the first embeddings: what is learnt soon outweighs where it began."""


class ItemScores(nn.Module):
    """A network with a score for each item.

    Args:
        problem: What is seen, and the items.
        config: Encoder, hidden layers, and the length d of the embeddings.
        form: "heads", "embeddings", or "auto": embeddings for more than 200 items.
        duelling: Whether the value of the state has an output of its own.

    Attributes:
        items: The table: ``items.weight`` [I, d] and ``items.bias`` [I].

    Raises:
        InvalidConfig: An unknown form, or item features that are not finite or not [I, D].
    """

    def __init__(self, problem: Problem, config: DeepConfig, form: Form = "auto", duelling: bool = False) -> None:
        super().__init__()
        require(form in ("auto", "heads", "embeddings"), "form", form, '"auto", "heads" or "embeddings"')
        count = problem.items or 0
        self.state = State(
            problem,
            config.encoder,
            config.encoder_size,
            config.encoder_options,
            config.embedding,
            config.user_embedding,
        )
        units = [self.state.size, *config.hidden]
        self._hidden = mlp(units, nn.ReLU) if config.hidden else nn.Identity()
        self._query: nn.Module = nn.Identity()
        size = units[-1]
        embedded = form == "embeddings" or (form == "auto" and count > SMALL)
        if embedded:
            size = config.embedding
            self._query = nn.Linear(units[-1], size)
        self.items = nn.Linear(size, count)
        self._value = nn.Linear(units[-1], 1) if duelling else None
        if embedded:
            _begin(self.items, problem.item_features)

    def forward(self, observation: dict[str, Tensor], items: Tensor | None = None) -> Tensor:
        """Return scores.

        Args:
            observation: Parts [B, ...].
            items: int64 [B, C], or [C] for all rows alike; None for all items.

        Returns:
            float [B, C], or [B, I].
        """
        hidden = self._hidden(self.state(observation))
        query: Tensor = self._query(hidden)  # [B, d]
        weight, bias = self.items.weight, self.items.bias
        if items is None:
            scores = functional.linear(query, weight, bias)
        elif items.ndim == 1:
            scores = functional.linear(query, weight[items], bias[items])
        else:
            table = functional.embedding(items, weight)  # [B, C, d]; its gradient is cheaper than that of weight[items]
            scores = (table * query[:, None]).sum(dim=2) + functional.embedding(items, bias[:, None])[..., 0]
        if self._value is None:
            return scores
        mean = functional.linear(query, weight.mean(0, keepdim=True), bias.mean(0, keepdim=True))  # [B, 1]
        value: Tensor = self._value(hidden)  # [B, 1]
        return value + scores - mean

    @property
    def embeddings(self) -> FloatArray:
        """A copy of the table, float32 [I, d]."""
        table: FloatArray = self.items.weight.detach().cpu().numpy().copy()
        return table


@torch.no_grad()
def scores_to_act_on(
    agent: Agent, network: ItemScores, observation: Observation, allowed: Candidates | None
) -> tuple[FloatArray, IntArray | None]:
    """Return the scores of what may be chosen, as ``Agent.restrict`` does; of short lists only those are worked out.

    Raises:
        InvalidAction: A lane has fewer candidates than a slate needs.
    """
    device = network.items.weight.device
    seen = tensors(observation, str(device))
    if not isinstance(allowed, Items):
        return agent.restrict(network(seen).cpu().numpy(), allowed)
    allowed.require(agent.problem.slate_size)
    listed = torch.from_numpy(np.maximum(allowed.items, 0)).to(device)
    scores = network(seen, listed).cpu().numpy()
    return np.where(allowed.items >= 0, scores, -np.inf), allowed.items


def slate_targets(batch: Batch, ranking: Tensor, values: Tensor) -> Tensor:
    """Return what the value of each shown item should be: its response and a share of what the next slate is worth.

    ``target_k = response_k + discount * mean over the top K of values(next, .)``: over a slate that adds up to the
    reward and the discounted value of the next slate, which is the sum of its items.

    Args:
        batch: B transitions.
        ranking: float [B, C], by which the next slate is chosen; minus infinity where an item cannot be.
        values: float [B, C], what the items are worth.

    Returns:
        float [B, K]; where no item can be chosen next, the next slate is worth nothing.
    """
    size = min(batch.responses.shape[1], ranking.shape[1])
    best, places = ranking.topk(size, dim=1)
    possible = best > -torch.inf
    picked = values.gather(1, places).masked_fill(~possible, 0.0)
    next_value = picked.sum(dim=1) / possible.sum(dim=1).clamp(min=1)
    return batch.responses + (batch.discount * next_value)[:, None]


def huber(values: Tensor, targets: Tensor, batch: Batch) -> tuple[Tensor, Array]:
    """Return the Huber loss of the positions that somebody saw, weighted, and each transition's mean error.

    Args:
        values: float [B, K], with a gradient.
        targets: float [B, K]; where nobody saw the position, anything.
        batch: Which positions were seen, and the weights.

    Returns:
        The loss, and sizes of errors float [B], the priorities of these transitions.
    """
    targets = torch.where(batch.observed, targets, values.detach())
    seen = batch.observed.sum(dim=1).clamp(min=1)
    losses = functional.smooth_l1_loss(values, targets, reduction="none").sum(dim=1) * batch.weight
    errors = (targets - values.detach()).abs().sum(dim=1) / seen
    return losses.sum() / seen.sum(), errors.cpu().numpy()


def _begin(table: nn.Linear, features: FloatArray | None) -> None:
    """Let embeddings start from a random projection of the standardised features; without features, at random."""
    count, size = table.weight.shape
    first = torch.randn(count, size)
    if features is not None:
        if np.shape(features)[:1] != (count,) or np.ndim(features) != 2 or not np.isfinite(features).all():
            raise InvalidConfig(
                f"item features of shape {np.shape(features)} for {count} items; allowed: finite numbers [I, D]. "
                "Fill in what is unknown"
            )
        scale = features.std(axis=0)
        standard = (features - features.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
        known = torch.from_numpy(standard.astype(np.float32))  # [I, D]
        first = known @ torch.randn(known.shape[1], size) / max(known.shape[1], 1) ** 0.5
    with torch.no_grad():
        table.weight.copy_(FIRST_SIZE * first)
        table.bias.zero_()
