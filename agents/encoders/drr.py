"""DRR state: the items a user liked last, and products of them with each other and with the user.

``i_1 .. i_n`` vectors of the last n liked items, newest first, ``u`` the user's vector, ``*`` element by element
``"ave"``: ``[u, u * m, m]``, ``m = mean_k w_k i_k``
``"u"``:   ``[u * w_1 i_1, .., u * w_n i_n]`` and ``[w_j i_j * w_k i_k, j < k]``
``"p"``:   ``[w_1 i_1, .., w_n i_n]`` and ``[w_j i_j * w_k i_k, j < k]``

Source: Liu et al. 2018 (arXiv 1810.12027). Departures: (1) vectors are linear maps of what is known of item and user,
learnt with the agent, and not factors fitted before; (2) who liked fewer than n items has zeros in their place, and the
mean is over those there are.
"""

from itertools import combinations
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from smartrec.agents.encoders.reading import Reading, Shape
from smartrec.core.config import require
from smartrec.core.errors import InvalidConfig


class DRR(nn.Module):
    """State of DRR: [B, 3 D] for "ave", [B, (n + n (n - 1) / 2) D] for the others.

    Args:
        shape: Of the history; it needs items, and "ave" and "u" need something known of the user.
        size: D, length of the vector of an item and of the user.
        variant: "ave", "u" or "p".
        memory: n, liked items that count, >= 1.

    Attributes:
        size: Length of the state.

    Raises:
        InvalidConfig: The history has no items, or nothing is known of the user.
    """

    def __init__(self, shape: Shape, size: int, variant: Literal["ave", "u", "p"] = "ave", memory: int = 5) -> None:
        super().__init__()
        require(variant in ("ave", "u", "p"), "variant", variant, '"ave", "u" or "p"')
        require(memory >= 1, "memory", memory, "a whole number >= 1")
        _require_parts(shape, variant)
        self._variant, self._memory = variant, memory
        pairs = list(combinations(range(memory), 2))
        self._left, self._right = [j for j, _ in pairs], [k for _, k in pairs]
        self.size = size * (3 if variant == "ave" else memory + len(pairs))
        self.item = nn.Linear(shape.features - 1, size, bias=False)
        self.user = nn.Linear(shape.static, size, bias=False) if variant != "p" else None
        self.weight = nn.Parameter(torch.ones(memory))

    def forward(self, reading: Reading) -> Tensor:
        """Return the state, float [B, size]."""
        liked, there = self.liked(reading)  # [B, n, D], [B, n]
        items = liked * self.weight[:, None]
        if self._variant == "ave":
            mean = items.sum(dim=1) / there.sum(dim=1, keepdim=True).clamp(min=1)  # [B, D]
            user = self._of_user(reading)
            return torch.cat([user, user * mean, mean], dim=1)
        alone = items if self._variant == "p" else self._of_user(reading)[:, None, :] * items
        pairs = items[:, self._left] * items[:, self._right]  # [B, n (n - 1) / 2, D]
        return torch.cat([alone, pairs], dim=1).flatten(1)

    def liked(self, reading: Reading) -> tuple[Tensor, Tensor]:
        """Return vectors of the last liked items, newest first, float [B, n, D], and which there are, bool [B, n]."""
        length = reading.known.shape[1]
        number = torch.arange(1, length + 1, device=reading.known.device)
        rank = number * (reading.known & (reading.responses > 0))  # [B, T], 0 where not liked
        newest, places = rank.topk(min(self._memory, length), dim=1)
        picked = reading.sequence.gather(1, places[..., None].expand(-1, -1, reading.sequence.shape[2]))
        there = newest > 0
        items = self.item(picked[..., :-1]) * there[..., None]  # the last column is the response
        short = self._memory - there.shape[1]
        return pad(items, (0, 0, 0, short)), pad(there, (0, short))

    def _of_user(self, reading: Reading) -> Tensor:
        assert self.user is not None
        user: Tensor = self.user(reading.static)
        return user


def _require_parts(shape: Shape, variant: str) -> None:
    if not shape.items:
        raise InvalidConfig(
            "encoder = 'drr' reads which items a user liked, and this history has frames; "
            "take a world with history_items, or another encoder, such as 'gru'"
        )
    if variant != "p" and shape.static == 0:
        raise InvalidConfig(
            f"encoder = 'drr', variant = {variant!r} needs the user, and nothing is known of one; set user_embedding "
            "above 0, take a world with user_features, or encoder_options={'variant': 'p'}"
        )
