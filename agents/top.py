"""The K items that an agent would recommend, whatever slate size it was made for."""

import numpy as np

from smartrec.agents.base import Agent, lanes_of
from smartrec.core.arrays import BoolArray, IntArray, Observation
from smartrec.core.decision import Mask
from smartrec.core.errors import InvalidConfig

BLOCK = 512
"""Lanes asked at once, which bounds the memory of masks and scores."""


def top_items(agent: Agent, observation: Observation, count: int, allowed: BoolArray) -> IntArray:
    """Return the items that an agent recommends each lane without exploring, best first, all different.

    An agent that shows one item is asked ``count`` times, each time without what it named before: of one that orders
    items by a score, or by their distance from a point, these are exactly its best. One that draws a point anew at
    each call (``bcq``) draws one an item. An agent for slates of ``count`` is asked once.

    Args:
        agent: It must show one item, or slates of ``count``.
        observation: Arrays [N, ...].
        count: K, >= 1.
        allowed: bool [N, I], or [1, I] for all lanes alike; is left as it was.

    Returns:
        int [N, K]; -1 fills up where a lane may be shown fewer items.

    Raises:
        InvalidConfig: The agent shows slates of another size, or ``count`` is below 1.
        InvalidAction: An agent for slates, and a lane that may be shown too few items.
    """
    size, lanes = agent.problem.slate_size, lanes_of(observation)
    if count < 1 or size not in (1, count):
        raise InvalidConfig(
            f"count = {count} items of an agent that shows {size}; allowed: 1 or more of an agent that shows one item, "
            "or as many as its slate has"
        )
    found: IntArray = np.full((lanes, count), -1)
    for start in range(0, lanes, BLOCK):
        block = np.arange(start, min(start + BLOCK, lanes))
        seen = {name: part[block] for name, part in observation.items()}
        left = np.array(np.broadcast_to(allowed, (lanes, agent.items))[block])  # a copy
        if size > 1:
            found[block] = agent.act(seen, allowed=Mask(left), explore=False).action
            continue
        for place in range(count):
            open_lanes = np.flatnonzero(left.any(axis=1))
            if not len(open_lanes):
                break
            part = {name: values[open_lanes] for name, values in seen.items()}
            items = agent.act(part, allowed=Mask(left[open_lanes]), explore=False).action
            found[block[open_lanes], place] = items
            left[open_lanes, items] = False
    return found
