"""Temporal convolution: causal convolutions whose reach doubles from level to level.

``level i: y = ReLU(x + c2(c1(x)))``, ``c(x)_t = ReLU(b + sum_j w_j x_(t - 2^i j))``, ``j = 0 .. kernel - 1``
The newest output sees the last ``1 + 2 (kernel - 1) (2^levels - 1)`` positions.

Source: Bai, Kolter and Koltun 2018 (arXiv 1803.01271), with weight norm and residuals as there. Departures: (1) no
dropout; (2) torch's first weights; (3) what is not known is zero at every level, so that padding changes nothing.
"""

import math

from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils.parametrizations import weight_norm

from smartrec.agents.encoders.reading import Reading, Shape
from smartrec.core.config import require


class TemporalConvolution(nn.Module):
    """Temporal convolution, [B, size].

    Args:
        shape: Of the history.
        size: Channels of each level.
        kernel: Positions that a convolution joins, >= 2.
        levels: Levels, >= 1; None takes the fewest that see the whole history.

    Attributes:
        reach: Positions that the newest output sees.
    """

    def __init__(self, shape: Shape, size: int, kernel: int = 2, levels: int | None = None) -> None:
        super().__init__()
        require(kernel >= 2, "kernel", kernel, "a whole number >= 2")
        require(levels is None or levels >= 1, "levels", levels, "a whole number >= 1, or None")
        if levels is None:
            levels = max(1, math.ceil(math.log2((shape.length - 1) / (2 * (kernel - 1)) + 1)))
        self.size, self.reach = size, 1 + 2 * (kernel - 1) * (2**levels - 1)
        inputs = [shape.features, *[size] * (levels - 1)]
        self.levels = nn.ModuleList(_Level(channels, size, kernel, 2**i) for i, channels in enumerate(inputs))

    def forward(self, reading: Reading) -> Tensor:
        """Return the newest output, float [B, size]."""
        return self.outputs(reading)[:, -1]

    def outputs(self, reading: Reading) -> Tensor:
        """Return the output at each position, float [B, T, size]; 0 where nothing happened yet."""
        known = reading.known[:, None, :]  # [B, 1, T]
        x = reading.sequence.transpose(1, 2) * known  # [B, F, T]
        for level in self.levels:
            x = level(x, known)
        return x.transpose(1, 2)


class _Level(nn.Module):
    """Two causal convolutions and a way around them."""

    def __init__(self, inputs: int, size: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self._front = (dilation * (kernel - 1), 0)
        self.first = weight_norm(nn.Conv1d(inputs, size, kernel, dilation=dilation))
        self.second = weight_norm(nn.Conv1d(size, size, kernel, dilation=dilation))
        self.around = nn.Identity() if inputs == size else nn.Conv1d(inputs, size, 1)

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        """Return [B, size, T] of ``x`` [B, C, T]."""
        y = self.first(pad(x, self._front)).relu() * known
        y = self.second(pad(y, self._front)).relu()
        joined: Tensor = (self.around(x) + y).relu() * known
        return joined
