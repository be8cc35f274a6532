"""Recurrent networks: the last hidden state of a plain RNN, a GRU or an LSTM that reads the history in order.

``h_t = cell(h_t-1, x_t)``, ``h_0 = 0``, ``state = h_T``; zero where nothing happened yet.

Source: Elman 1990; Cho et al. 2014 (arXiv 1406.1078); Hochreiter and Schmidhuber 1997; the cells are torch's. A history
with padding in front is moved to the front before it is read, so that the padding cannot disturb the hidden state.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from smartrec.agents.encoders.reading import Reading, Shape
from smartrec.core.config import require


class Recurrent(nn.Module):
    """A recurrent network, [B, size].

    Args:
        cell: ``torch.nn.RNN``, ``GRU`` or ``LSTM``.
        shape: Of the history.
        size: Units of a layer.
        layers: Layers, >= 1.
    """

    def __init__(self, cell: Callable[..., nn.Module], shape: Shape, size: int, layers: int = 1) -> None:
        super().__init__()
        require(layers >= 1, "layers", layers, "a whole number >= 1")
        self.size = size
        self.cell = cell(shape.features, size, num_layers=layers, batch_first=True)

    def forward(self, reading: Reading) -> Tensor:
        """Return the hidden state after the newest position, float [B, size]."""
        sequence, counts = reading.sequence, reading.known.sum(dim=1)  # [B, T, F], [B]
        length = sequence.shape[1]
        place = torch.arange(length, device=sequence.device)
        source = (place + length - counts[:, None]) % length  # [B, T], known positions first
        outputs, _ = self.cell(sequence.gather(1, source[..., None].expand_as(sequence)))  # [B, T, size]
        newest = (counts - 1).clamp(min=0)[:, None, None].expand(-1, 1, self.size)
        last: Tensor = outputs.gather(1, newest)[:, 0]  # [B, size]
        return last * (counts > 0)[:, None]


RNN = partial(Recurrent, nn.RNN)
GRU = partial(Recurrent, nn.GRU)
LSTM = partial(Recurrent, nn.LSTM)
