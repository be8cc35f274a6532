"""Chaos-free recurrent network: without input its state goes to zero, whatever its weights.

``h_t = s(U h_t-1 + V x_t + b) * tanh(h_t-1) + s(U' h_t-1 + V' x_t + b') * tanh(W x_t)``, ``s`` the logistic function,
``h_0 = 0``, ``state = h_T``

Source: Laurent and von Brecht 2017 (arXiv 1612.06212); the gates start at ``b = 1`` and ``b' = -1`` as there.
Departures: (1) one layer, no dropout; (2) torch's first weights.
"""

import torch
from torch import Tensor, nn

from smartrec.agents.encoders.reading import Reading, Shape


class ChaosFree(nn.Module):
    """Chaos-free recurrent network, [B, size].

    Args:
        shape: Of the history.
        size: Units.
    """

    def __init__(self, shape: Shape, size: int) -> None:
        super().__init__()
        self.size = size
        self.gates = nn.Linear(shape.features, 2 * size)  # V and b above V' and b'
        self.inner = nn.Linear(size, 2 * size, bias=False)  # U above U'
        self.outer = nn.Linear(shape.features, size, bias=False)  # W
        nn.init.constant_(self.gates.bias[:size], 1.0)
        nn.init.constant_(self.gates.bias[size:], -1.0)

    def forward(self, reading: Reading) -> Tensor:
        """Return the state after the newest position, float [B, size]."""
        gates, news = (
            self.gates(reading.sequence),
            torch.tanh(self.outer(reading.sequence)),
        )  # [B, T, 2 size], [B, T, size]
        state = torch.zeros_like(news[:, 0])  # [B, size]
        for t in range(news.shape[1]):
            keep, take = torch.sigmoid(gates[:, t] + self.inner(state)).chunk(2, dim=1)
            moved = keep * torch.tanh(state) + take * news[:, t]
            state = torch.where(reading.known[:, t, None], moved, state)
        return state
