"""Multi-matching: what is known of the user and the newest positions each look at the whole history.

``q_0 = U static``, ``q_k = W x_(T - k + 1) + age``, ``f_k = heads(q_k, history)``
``state = J [f_0, q_0 * f_0, .., f_n, q_n * f_n]``

Cross-attention with several heads as in Vaswani et al. 2017 (arXiv 1706.03762); a query is matched with what it found
by their product, as in neural collaborative filtering (He et al. 2017, arXiv 1708.05031). The joining is our own.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from smartrec.agents.encoders.attending import Heads, ages
from smartrec.agents.encoders.reading import Reading, Shape
from smartrec.core.config import require


class MultiMatching(nn.Module):
    """Cross-attention of several queries, joined, [B, size].

    Args:
        shape: Of the history; where nothing is known of the user, only positions ask.
        size: D, length of a query and of the state.
        heads: Heads, a divisor of ``size``.
        recent: n, newest positions that ask, >= 0; >= 1 where nothing is known of the user.
    """

    def __init__(self, shape: Shape, size: int, heads: int = 2, recent: int = 2) -> None:
        super().__init__()
        require(recent >= (shape.static == 0), "recent", recent, "a whole number >= 0, >= 1 where no user is known")
        self.size, self._recent = size, recent
        self.inputs = nn.Linear(shape.features, size)
        self.user = nn.Linear(shape.static, size) if shape.static else None
        self.heads = Heads(size, heads)
        self.join = nn.Linear(2 * size * (recent + (shape.static > 0)), size)

    def forward(self, reading: Reading) -> Tensor:
        """Return the joined matches, float [B, size]."""
        history = self.inputs(reading.sequence)  # [B, T, D]
        history = (history + ages(history)) * reading.known[..., None]
        short = max(self._recent - history.shape[1], 0)
        queries = [pad(history, (0, 0, short, 0))[:, history.shape[1] + short - self._recent :]]  # [B, n, D]
        if self.user is not None:
            queries.insert(0, self.user(reading.static)[:, None, :])
        asked = torch.cat(queries, dim=1)  # [B, n + 1, D]
        found = self.heads(asked, history, reading.known)
        joined: Tensor = self.join(torch.cat([found, asked * found], dim=2).flatten(1))
        return joined
