"""Building networks: from a seed of one's own, of plain layers."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from smartrec.core.errors import InvalidConfig

M = TypeVar("M", bound=nn.Module)


def built(build: Callable[[], M], rng: np.random.Generator, device: str = "cpu") -> M:
    """Return ``build()`` with first weights drawn from ``rng``; torch's global generator is left as it was.

    Raises:
        InvalidConfig: There is no such device.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(rng.integers(2**63)))
        network = build()
    try:
        return network.to(device)
    except (RuntimeError, AssertionError) as error:
        raise InvalidConfig(
            f"device = {device!r}: {str(error).splitlines()[0]}; allowed: cpu, or an accelerator that torch can use"
        ) from None


def mlp(sizes: Sequence[int], last: Callable[[], nn.Module] | None = None) -> nn.Sequential:
    """Return linear layers [.., sizes[0]] -> [.., sizes[-1]] with ReLU in between, and ``last`` at the end."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1], *([] if last is None else [last()]))
