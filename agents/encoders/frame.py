"""Frame: the last T positions laid side by side, ``state = [x_1, ..., x_T]``; what RecNN calls a static frame."""

from torch import Tensor, nn

from smartrec.agents.encoders.reading import Reading, Shape


class Frame(nn.Module):
    """Flattened history, [B, T F]; positions not known yet are zero.

    Args:
        shape: Of the history.
        size: Not used: a frame has the length of its history.

    Attributes:
        size: T F.
    """

    def __init__(self, shape: Shape, size: int) -> None:
        super().__init__()
        self.size = shape.length * shape.features

    def forward(self, reading: Reading) -> Tensor:
        """Return the frame, float [B, T F]."""
        return (reading.sequence * reading.known[..., None]).flatten(1)
