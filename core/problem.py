"""What an agent is told about the problem before it starts."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium import spaces

from smartrec.core.arrays import FloatArray
from smartrec.core.errors import InvalidConfig
from smartrec.core.slate import Slate


@dataclass(frozen=True)
class Problem:
    """Spaces and sizes; nothing that would let an agent read the simulator.

    Attributes:
        observation_space: Of one lane.
        action_space: Of one lane: Discrete (one item), Slate (K items) or Box (a vector).
        lanes: N, how many users are served at once; agents must accept any number all the same.
        users: U, or None where users have no numbers.
        items: I, or None where actions are vectors.
        slate_size: K; 1 for one item and for vectors.
        item_features: float [I, D] that the agent may use, or None.
        discount: Of future reward, 0..1; 0 where an episode is one step.
    """

    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]
    lanes: int = 1
    users: int | None = None
    items: int | None = None
    slate_size: int = 1
    item_features: FloatArray | None = field(default=None, repr=False)
    discount: float = 0.99

    @classmethod
    def from_spaces(
        cls,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        *,
        lanes: int = 1,
        item_features: FloatArray | None = None,
        discount: float = 0.99,
    ) -> "Problem":
        """Read users, items and slate size off the spaces of one lane of any Gymnasium environment.

        Raises:
            InvalidConfig: The action space is none that an agent could act in.
        """
        users = None
        if isinstance(observation_space, spaces.Dict):
            user = observation_space.spaces.get("user")
            users = int(user.n) if isinstance(user, spaces.Discrete) and user.start == 0 else None
        items, slate_size = _items_of(action_space)
        return cls(observation_space, action_space, lanes, users, items, slate_size, item_features, discount)

    @property
    def user_features(self) -> int:
        """D, the number of user features in the observation; 0 where there are none."""
        space = self.observation_space
        box = space.spaces.get("user_features") if isinstance(space, spaces.Dict) else None
        return 0 if box is None else int(np.prod(box.shape or ()))

    def difference(self, other: "Problem") -> str:
        """Return what ``other`` shows or takes that this does not, in words; "" where an agent for one fits the other.

        Bounds of boxes and the length of the clock may differ.
        """
        if self.action_space != other.action_space:
            return f"actions are {other.action_space}, not {self.action_space}"
        mine, theirs = _shapes(self.observation_space), _shapes(other.observation_space)
        for key in sorted({*mine, *theirs}):
            if mine.get(key) != theirs.get(key):
                return f"observation[{key!r}] is {theirs.get(key, 'missing')}, not {mine.get(key, 'missing')}"
        return ""

    def require_same(self, other: "Problem", who: str) -> None:
        """Raise where an agent ``who`` made for this problem does not fit ``other``.

        Raises:
            InvalidConfig: With what differs.
        """
        difference = self.difference(other)
        if difference:
            raise InvalidConfig(
                f"{who} is for another problem: here {difference}; make the world as the one that the agent was made "
                "for, or make the agent anew for this one"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON; item features are left out, they are an array."""
        return {
            "observation_space": _space_to_dict(self.observation_space),
            "action_space": _space_to_dict(self.action_space),
            "lanes": self.lanes,
            "discount": self.discount,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any], item_features: FloatArray | None = None) -> "Problem":
        """Undo ``to_dict``."""
        return cls.from_spaces(
            _space_from_dict(values["observation_space"]),
            _space_from_dict(values["action_space"]),
            lanes=values["lanes"],
            item_features=item_features,
            discount=values["discount"],
        )


def _items_of(space: spaces.Space[Any]) -> tuple[int | None, int]:
    if isinstance(space, spaces.Discrete) and space.start == 0:
        return int(space.n), 1
    if (
        isinstance(space, spaces.MultiDiscrete)
        and space.nvec.ndim == 1
        and not space.start.any()
        and len(set(space.nvec.tolist())) == 1
    ):
        return int(space.nvec[0]), len(space.nvec)
    if isinstance(space, spaces.Box):
        return None, 1
    raise InvalidConfig(
        f"action space {space}; allowed: Discrete, Slate, MultiDiscrete of equal sizes (all from 0), or Box"
    )


def _shapes(space: spaces.Space[Any]) -> dict[str, str]:
    """Return what each part of an observation is, in words, but for bounds and the length of the clock."""
    parts = dict(space.spaces) if isinstance(space, spaces.Dict) else {"observation": space}
    parts.pop("allowed", None)
    return {
        key: f"a Box of shape {part.shape}"
        if isinstance(part, spaces.Box)
        else "a clock"
        if key == "clock"
        else str(part)
        for key, part in parts.items()
    }


def _space_to_dict(space: spaces.Space[Any]) -> dict[str, Any]:
    if isinstance(space, spaces.Dict):
        return {"kind": "Dict", "spaces": {key: _space_to_dict(part) for key, part in space.spaces.items()}}
    if isinstance(space, spaces.Discrete):
        return {"kind": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, Slate):
        return {"kind": "Slate", "n_items": space.n_items, "slate_size": space.slate_size}
    if isinstance(space, spaces.MultiDiscrete):
        return {"kind": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": space.start.tolist()}
    if isinstance(space, spaces.MultiBinary):
        return {"kind": "MultiBinary", "n": space.n if isinstance(space.n, int) else list(space.n)}
    if isinstance(space, spaces.Box):
        low, high = space.low.tolist(), space.high.tolist()
        return {"kind": "Box", "low": low, "high": high, "dtype": str(space.dtype)}
    raise InvalidConfig(f"space {space} cannot be saved; allowed: Dict, Discrete, MultiDiscrete, MultiBinary, Box")


def _space_from_dict(values: dict[str, Any]) -> spaces.Space[Any]:
    options = dict(values)
    kind = options.pop("kind")
    if kind == "Dict":
        return spaces.Dict({key: _space_from_dict(part) for key, part in options["spaces"].items()})
    if kind == "Slate":
        return Slate(**options)
    if kind == "Box":
        dtype = np.dtype(options["dtype"])
        low, high = np.array(options["low"], dtype), np.array(options["high"], dtype)
        return spaces.Box(low, high, dtype=dtype.type)
    build: Any = getattr(spaces, kind)
    return build(**options)  # type: ignore[no-any-return]
