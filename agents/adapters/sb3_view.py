"""What the networks of Stable-Baselines3 are shown of our observations.

SB3 turns a Discrete key into one input a value: 50,000 users would be 50,000 inputs. So an agent's own form is a flat
vector without the user's number, or with a learnt vector a user in its place.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from smartrec.agents.base import lanes_of
from smartrec.core.arrays import Array, FloatArray, Observation
from smartrec.core.config import require
from smartrec.core.errors import InvalidConfig, InvalidInput

Form = Literal["flat", "raw"]
"""One vector a lane, or the keys as SB3 itself reads them."""


WIDE = 10_000
"""Inputs from which an observation is refused."""


class View:
    """Turns observations into what SB3's networks read.

    Args:
        space: Observation space of one lane.
        form: "flat": Box and MultiBinary as they are, the clock as a share of its last value, other whole numbers as
            one input a value; one constant input where nothing is left. "raw": the keys as they are.
        ignore: Keys left out; unknown ones are no matter.
        embed_user: Length of a learnt vector a user, in a flat view, whether ``user`` is ignored or not; 0 for none.

    Attributes:
        space: What SB3 is told: a Box [D], or the Dict (or other space) that is left.

    Raises:
        InvalidConfig: Too wide, or a space that cannot be flattened.
    """

    def __init__(self, space: spaces.Space[Any], form: Form, ignore: Sequence[str], embed_user: int = 0) -> None:
        parts = space.spaces if isinstance(space, spaces.Dict) else {"observation": space}
        self.form, self._single = form, not isinstance(space, spaces.Dict)
        user = parts.get("user")
        require(not embed_user or isinstance(user, spaces.Discrete), "embed_user", embed_user, "0: no user is observed")
        self.users = int(user.n) if embed_user and isinstance(user, spaces.Discrete) else 0
        if form == "raw":
            require(not embed_user, "embed_user", embed_user, '0 with observation="raw"')
            self.space = _left(space, ignore)
            return
        hidden = {*ignore, "allowed", *(["user"] if self.users else [])}
        self._parts = {key: part for key, part in sorted(parts.items()) if key not in hidden}
        width = sum(_width(key, part) for key, part in self._parts.items())
        require(width <= WIDE, "inputs of the flat observation", width, f"up to {WIDE}; ignore keys, or embed the user")
        low, high = np.full(max(width, 1), -np.inf, np.float32), np.full(max(width, 1), np.inf, np.float32)
        if self.users:
            low, high = np.append(0, low).astype(np.float32), np.append(self.users - 1, high).astype(np.float32)
        self.space = spaces.Box(low, high, dtype=np.float32)

    def __call__(self, observation: Observation) -> dict[str, Array]:
        """Return arrays [N, ...] by name, to be kept and handed to ``inputs``.

        Raises:
            InvalidInput: A key is missing, or a number is not finite.
        """
        keys = self._parts if self.form == "flat" else self._raw_keys()
        missing = sorted(set(keys) - set(observation))
        if missing:
            raise InvalidInput(f"the observation has no {', '.join(missing)}; it has {', '.join(observation)}")
        if self.form == "raw":
            return {key: np.asarray(observation[key]) for key in keys}
        lanes = lanes_of(observation)
        columns = [_columns(key, part, np.asarray(observation[key])) for key, part in self._parts.items()]
        seen = np.concatenate(columns or [np.ones((lanes, 1), np.float32)], axis=1)
        if not np.isfinite(seen).all():
            raise InvalidInput("the observation has NaN or infinity; look for it in the user features")
        if self.users:
            seen = np.concatenate([np.asarray(observation["user"], np.float32)[:, None], seen], axis=1)
        return {"observation": seen}

    def inputs(self, seen: Mapping[str, Array]) -> Any:
        """Return what SB3 takes: an array, or a dict of arrays."""
        return seen["observation"] if self.form == "flat" or self._single else dict(seen)

    def _raw_keys(self) -> list[str]:
        return list(self.space.spaces) if isinstance(self.space, spaces.Dict) else ["observation"]


class UserEmbedding(BaseFeaturesExtractor):
    """Puts a learnt vector in the place of the user's number, the first input.

    Args:
        observation_space: Box [1 + D].
        users: U.
        size: Length of the vector, >= 1.
    """

    def __init__(self, observation_space: spaces.Box, users: int, size: int) -> None:
        super().__init__(observation_space, observation_space.shape[0] - 1 + size)
        self.table = nn.Embedding(users, size)

    def forward(self, observations: Tensor) -> Tensor:
        """Return features [N, size + D]."""
        return torch.cat([self.table(observations[:, 0].long()), observations[:, 1:]], dim=1)


def _left(space: spaces.Space[Any], ignore: Sequence[str]) -> spaces.Space[Any]:
    """Return the part of an observation space that SB3 is shown as it is.

    Raises:
        InvalidConfig: No key is left, or one is too wide.
    """
    if not isinstance(space, spaces.Dict):
        return space
    parts = {key: part for key, part in space.spaces.items() if key != "allowed" and key not in ignore}
    if not parts:
        raise InvalidConfig(f"ignore = {tuple(ignore)} leaves nothing of {space}; leave one key")
    for key, part in parts.items():
        if isinstance(part, spaces.Discrete) and part.n > WIDE:
            raise InvalidConfig(
                f"{key!r} has {part.n:,} values, and SB3 gives each an input of its own; allowed: up to {WIDE:,}. "
                f'Leave it out: ignore=("{key}",)'
            )
    return spaces.Dict(parts)


def _width(key: str, space: spaces.Space[Any]) -> int:
    if isinstance(space, spaces.Discrete):
        return 1 if key == "clock" else int(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        return int(space.nvec.sum())
    if isinstance(space, (spaces.Box, spaces.MultiBinary)):
        return int(np.prod(space.shape))
    raise InvalidConfig(f"{key!r} is {space}; allowed: Discrete, MultiDiscrete, MultiBinary, Box. Ignore it")


def _columns(key: str, space: spaces.Space[Any], values: Array) -> FloatArray:
    """Return one key as float32 [N, its width]."""
    lanes = len(values)
    if isinstance(space, spaces.Discrete) and key == "clock":
        share: FloatArray = ((values - space.start) / max(int(space.n) - 1, 1)).astype(np.float32)[:, None]
        return share
    if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)):
        sizes = np.atleast_1d(space.nvec if isinstance(space, spaces.MultiDiscrete) else space.n).reshape(-1)
        places = (values - space.start).reshape(lanes, -1) + (np.cumsum(sizes) - sizes)  # [N, positions]
        hot = np.zeros((lanes, int(sizes.sum())), np.float32)
        np.put_along_axis(hot, places, 1.0, axis=1)
        return hot
    flat: FloatArray = values.reshape(lanes, -1).astype(np.float32)
    return flat
