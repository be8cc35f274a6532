"""What a nat of entropy is worth in reward: ``alpha``, learnt as its logarithm, so that it stays above 0."""

import math

import torch
from torch import Tensor, nn


class Temperature(nn.Module):
    """A number above 0 that can be learnt.

    Args:
        first: Where it starts, > 0.

    Attributes:
        logarithm: Its natural logarithm, the weight that is trained.
    """

    def __init__(self, first: float) -> None:
        super().__init__()
        self.logarithm = nn.Parameter(torch.tensor(math.log(first)))

    def forward(self) -> Tensor:
        """Return the temperature, float []."""
        return torch.exp(self.logarithm)
