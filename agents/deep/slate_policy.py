"""A policy over slates, the softmax of scores of items: how likely each position of a slate is."""

import torch
from torch import Tensor

from smartrec.agents.deep.experience import Batch


def masked(scores: Tensor, batch: Batch) -> Tensor:
    """Return scores [B, I], minus infinity where an item was not allowed; what was shown was, whatever a log says."""
    if batch.allowed is None:
        return scores
    return scores.masked_fill(~batch.allowed.scatter(1, batch.action, True), -torch.inf)


def log_places(scores: Tensor, items: Tensor, independent: bool = False) -> Tensor:
    """Return the log-probability of each position of a slate, float [B, K].

    Args:
        scores: Of items, float [B, I]; minus infinity where an item was not allowed.
        items: int64 [B, K].
        independent: Whether each position is a draw from all items, and not from those that do not come before it
            (Plackett-Luce).
    """
    if independent or items.shape[1] == 1:
        return scores.log_softmax(dim=1).gather(1, items)
    places = []
    for item in items.T[..., None]:  # [B, 1]
        places.append(scores.log_softmax(dim=1).gather(1, item))
        scores = scores.scatter(1, item, -torch.inf)
    return torch.cat(places, dim=1)


def entropy_of(scores: Tensor) -> Tensor:
    """Return the entropy of the softmax of scores [B, I] in nats, mean over the rows."""
    logs = scores.log_softmax(dim=1)
    logs = logs.masked_fill(logs == -torch.inf, 0.0)
    return -(logs.exp() * logs).sum(dim=1).mean()


def mean_of(values: Tensor, where: Tensor) -> Tensor:
    """Return the mean of values [B, K] where a mask [B, K] is set; 0 where it nowhere is."""
    return torch.where(where, values, 0.0).sum() / where.sum().clamp(min=1)
