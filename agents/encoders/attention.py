"""Self-attention: each position of the history looks at all others, and the newest one is the state.

``x = W f + age``, then per layer ``x = x + heads(norm(x))``, ``x = x + mlp(norm(x))``; ``state = norm(x_T)``

Source: Vaswani et al. 2017 (arXiv 1706.03762); for recommendation Kang and McAuley 2018 (SASRec, arXiv 1808.09781).
Departures: (1) positions are told by their age, as sines, not learnt; (2) no dropout; (3) earlier positions may look at
later ones: all of them are past, and only the newest is read.
"""

from torch import Tensor, nn

from smartrec.agents.encoders.attending import Heads, ages
from smartrec.agents.encoders.reading import Reading, Shape
from smartrec.core.config import require


class Attention(nn.Module):
    """Self-attention, [B, size].

    Args:
        shape: Of the history.
        size: Length of a position's vector.
        heads: Heads, a divisor of ``size``.
        layers: Layers, >= 1.
    """

    def __init__(self, shape: Shape, size: int, heads: int = 2, layers: int = 1) -> None:
        super().__init__()
        require(layers >= 1, "layers", layers, "a whole number >= 1")
        self.size = size
        self.inputs = nn.Linear(shape.features, size)
        self.layers = nn.ModuleList(_Layer(size, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(size)

    def forward(self, reading: Reading) -> Tensor:
        """Return the newest position, float [B, size]; 0 where nothing happened yet."""
        x = self.inputs(reading.sequence)  # [B, T, size]
        x = x + ages(x)
        for layer in self.layers[:-1]:
            x = layer(x, x, reading.known)
        x = self.layers[-1](x[:, -1:], x, reading.known)  # [B, 1, size]: nothing else is read
        newest: Tensor = self.norm(x[:, 0]) * reading.known[:, -1:]
        return newest


class _Layer(nn.Module):
    """Attention, then a small network for each position."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads, self.before_heads = Heads(size, heads), nn.LayerNorm(size)
        self.mlp = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, size), nn.ReLU(), nn.Linear(size, size))

    def forward(self, x: Tensor, places: Tensor, known: Tensor) -> Tensor:
        """Return what becomes of positions ``x`` [B, Q, size] that look at ``places`` [B, T, size]."""
        x = x + self.heads(self.before_heads(x), self.before_heads(places), known)
        moved: Tensor = x + self.mlp(x)
        return moved
