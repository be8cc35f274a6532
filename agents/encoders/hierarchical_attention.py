"""Hierarchical attention: within each attribute over the items that have it, then over the attributes.

``a[k, t] ~ |f[t, k]| exp(q_k . W x_t / sqrt(d))``, ``c_k = e_k + sum_t a[k, t] V x_t``  (items of attribute k)
``b[k] ~ exp(v . tanh(C c_k + S static))``, ``state = sum_k b[k] c_k``  (attributes)
``f[t, k]`` is feature k of the item at position t; a further attribute that every item has stands for the flat history.

Source: Xu et al. 2020 (DHAN, arXiv 2005.12981): groups of items by category below, categories above; an item of
several categories is in each. Departures: (1) there is no candidate item to compare with, so a learnt query a group and
what is known of the user take its place; (2) membership may be graded, by the size of the feature; (3) one level of
groups; (4) items carry their age, as attention sees no order; (5) the outputs of both levels are not laid side by side:
the group of all items carries the lower one.
"""

import torch
from torch import Tensor, nn

from smartrec.agents.encoders.attending import ages, weights
from smartrec.agents.encoders.reading import Reading, Shape
from smartrec.core.errors import InvalidConfig


class HierarchicalAttention(nn.Module):
    """Attention over items, then over attributes, [B, size].

    Args:
        shape: Of the history; it needs attributes.
        size: Length of an attribute's vector.

    Raises:
        InvalidConfig: The items have no features.
    """

    def __init__(self, shape: Shape, size: int) -> None:
        super().__init__()
        if shape.attributes == 0:
            raise InvalidConfig(
                "encoder = 'hierarchical_attention' groups items by their features, and the problem has none; "
                "hand in item_features, or take encoder = 'attention'"
            )
        groups = shape.attributes + 1
        self.size = size
        self.inputs = nn.Linear(shape.features, size)
        self.key, self.value = nn.Linear(size, size, bias=False), nn.Linear(size, size)
        self.queries = nn.Parameter(torch.randn(groups, size))
        self.groups = nn.Parameter(torch.randn(groups, size) / size**0.5)
        self.of_group = nn.Linear(size, size)
        self.of_user = nn.Linear(shape.static, size, bias=False) if shape.static else None
        self.score = nn.Linear(size, 1, bias=False)

    def forward(self, reading: Reading) -> Tensor:
        """Return the mean over the attributes the user looks for, float [B, size]; 0 where nothing happened yet."""
        x = self.inputs(reading.sequence)  # [B, T, size]
        x = x + ages(x)
        within, member = self.within(reading, x)
        found = within @ self.value(x) + self.groups  # [B, A + 1, size]
        across = self._across(reading, found, member)
        state: Tensor = (across[:, None, :] @ found)[:, 0]
        return state

    def within(self, reading: Reading, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return weights of positions in each attribute, float [B, A + 1, T], and whether any item has it."""
        share = torch.cat([reading.attributes.abs(), torch.ones_like(x[..., :1])], dim=2)  # [B, T, A + 1]
        member = ((share > 0) & reading.known[..., None]).transpose(1, 2)  # [B, A + 1, T]
        scores = self.queries @ self.key(x).transpose(1, 2) / self.size**0.5
        graded = scores + share.clamp(min=1e-30).log().transpose(1, 2)
        return weights(graded, member), member.any(dim=2)

    def _across(self, reading: Reading, found: Tensor, member: Tensor) -> Tensor:
        """Return weights of the attributes, float [B, A + 1]."""
        hidden = self.of_group(found)
        if self.of_user is not None:
            hidden = hidden + self.of_user(reading.static)[:, None, :]
        return weights(self.score(torch.tanh(hidden))[..., 0], member)
