"""Parts of encoders that attend: weights over what is known, positions by their age, several heads."""

import torch
from torch import Tensor, nn

from smartrec.core.config import require


def weights(scores: Tensor, known: Tensor) -> Tensor:
    """Return the softmax over the last axis of what is known; 0 elsewhere, and everywhere where nothing is known.

    Args:
        scores: float [..., T].
        known: bool, of a shape that broadcasts to that of ``scores``.
    """
    lowest = torch.finfo(scores.dtype).min  # minus infinity would make NaN of a row with nothing known
    return torch.softmax(scores.masked_fill(~known, lowest), dim=-1) * known


def ages(like: Tensor) -> Tensor:
    """Return float [T, D] for positions ``like`` [B, T, D]: sines and cosines of how many positions ago each was.

    Counted from the newest, so that padding in front moves nothing (Vaswani et al. 2017, arXiv 1706.03762, counts
    from the front).
    """
    length, size = like.shape[1:]
    age = torch.arange(length - 1, -1, -1, device=like.device)
    rate = 10_000.0 ** (-torch.arange(0, size, 2, device=like.device) / size)
    angle = age[:, None] * rate  # [T, D / 2]
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)[:, :size]


class Heads(nn.Module):
    """Attention with several heads: ``softmax(Q K' / sqrt(d)) V`` a head, then joined (arXiv 1706.03762).

    Args:
        size: D, length of queries, positions and results.
        heads: H, a divisor of ``size``.
    """

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        require(heads >= 1 and size % heads == 0, "heads", heads, f"a divisor of encoder_size = {size}")
        self._heads = heads
        self.query, self.value = nn.Linear(size, size), nn.Linear(size, size)
        self.key, self.join = nn.Linear(size, size, bias=False), nn.Linear(size, size, bias=False)

    def weights(self, queries: Tensor, places: Tensor, known: Tensor) -> Tensor:
        """Return what each head of each query looks at, float [B, H, Q, T]."""
        query, key = self._split(self.query(queries)), self._split(self.key(places))
        return weights(query @ key.transpose(2, 3) / query.shape[3] ** 0.5, known[:, None, None, :])

    def forward(self, queries: Tensor, places: Tensor, known: Tensor) -> Tensor:
        """Return what the queries [B, Q, D] find among positions [B, T, D]: float [B, Q, D], 0 where nothing is."""
        found = self.weights(queries, places, known) @ self._split(self.value(places))  # [B, H, Q, d]
        joined: Tensor = self.join(found.transpose(1, 2).flatten(2))
        return joined

    def _split(self, x: Tensor) -> Tensor:
        """Return [B, n, D] as [B, H, n, d]."""
        return x.reshape(*x.shape[:2], self._heads, -1).transpose(1, 2)
