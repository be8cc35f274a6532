"""Echo state network: a random recurrent network that is never trained; only what reads its state is.

``h_t = (1 - leak) h_t-1 + leak tanh(W h_t-1 + V x_t + b)``, ``h_0 = 0``, ``state = h_T``
``W`` is scaled so that the largest absolute value of its eigenvalues is ``radius``.

Source: Jaeger 2001 (GMD report 148); Lukosevicius 2012 for the leak. Departures: (1) the readout is the agent's own
network, trained by its own loss and not by a ridge regression; (2) the readout sees ``h_T`` and not the inputs beside
it; (3) each unit hears equally many others, so that no draw of a sparse ``W`` has a radius of 0. Learnt vectors of the
items in the history stay as drawn, as they are part of the input.
"""

import numpy as np
import torch
from torch import Tensor, nn

from smartrec.agents.encoders.reading import Reading, Shape
from smartrec.core.config import require


class EchoState(nn.Module):
    """Echo state network, [B, size].

    Args:
        shape: Of the history.
        size: Units of the reservoir.
        radius: Spectral radius of the reservoir; between 0 and 1, the larger the longer it remembers.
        density: Share of units that each unit hears, above 0 and up to 1; at least one.
        leak: How much of the state a step replaces, above 0 and up to 1.
        scale: Largest weight of an input, > 0.
    """

    inner: Tensor
    outer: Tensor
    bias: Tensor

    def __init__(
        self, shape: Shape, size: int, radius: float = 0.9, density: float = 0.1, leak: float = 1.0, scale: float = 0.5
    ) -> None:
        super().__init__()
        require(0 < radius < 1, "radius", radius, "a number between 0 and 1; from 1 on echoes need not fade")
        require(0 < density <= 1, "density", density, "a number above 0, up to 1")
        require(0 < leak <= 1, "leak", leak, "a number above 0, up to 1")
        require(scale > 0, "scale", scale, "a number > 0")
        self.size, self._leak = size, leak
        self.register_buffer("inner", _reservoir(size, radius, density))
        self.register_buffer("outer", scale * (2 * torch.rand(shape.features, size) - 1))
        self.register_buffer("bias", scale * (2 * torch.rand(size) - 1))

    @torch.no_grad()
    def forward(self, reading: Reading) -> Tensor:
        """Return the reservoir after the newest position, float [B, size]; no gradient flows through it."""
        inputs = reading.sequence @ self.outer + self.bias  # [B, T, size]
        state = torch.zeros_like(inputs[:, 0])  # [B, size]
        for t in range(inputs.shape[1]):
            moved = torch.lerp(state, torch.tanh(inputs[:, t] + state @ self.inner), self._leak)
            state = torch.where(reading.known[:, t, None], moved, state)
        return state


def _reservoir(size: int, radius: float, density: float) -> Tensor:
    """Return weights [from, to] of the spectral radius asked for."""
    heard = max(1, round(density * size))
    order = torch.rand(size, size).argsort(dim=0)  # each column an order of its own
    drawn = (2 * torch.rand(size, size, dtype=torch.float64) - 1) * (order < heard)
    largest = float(np.abs(np.linalg.eigvals(drawn.numpy())).max())
    return (drawn * (radius / largest)).float()
