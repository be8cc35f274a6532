"""From an observation to a state vector: parts are read, the history is encoded, both are joined."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from smartrec.agents.encoders.reading import Reading, Shape
from smartrec.agents.encoders.registry import ENCODERS
from smartrec.core.arrays import Observation
from smartrec.core.errors import InvalidConfig, InvalidInput
from smartrec.core.problem import Problem

HISTORY_ITEMS, HISTORY_RESPONSES = "history_items", "history_responses"
FRAMES_KNOWN = "frames_known"
"""Part of the observation that says which frames of a Box [T, F] there are, bool [T]; those come last."""

_OF_HISTORY = (HISTORY_ITEMS, HISTORY_RESPONSES, FRAMES_KNOWN)


class State(nn.Module):
    """A state vector of what the agent sees, ``[static, encoder(history)]``, float [B, size].

    ``static`` is, by part of the observation: boxes and binaries as they are, flattened; the clock as its share of
    the world's time, 0..1; another Discrete as a learnt vector, the user's number only where ``user_embedding`` > 0.
    The history is ``history_items`` with ``history_responses``, or a Box of two axes [T, F], as Gymnasium's
    ``FrameStackObservation`` makes it, with ``frames_known`` [T] where not all are.

    Args:
        problem: What is seen.
        encoder: Name of the encoder of the history.
        encoder_size: Length of what it returns.
        encoder_options: Its further options.
        embedding: Length of learnt vectors of items and categories.
        user_embedding: Length of a learnt vector a user; 0 for none.

    Attributes:
        size: Length of the state vector.

    Raises:
        InvalidConfig: An unknown encoder or option, or an encoder that needs a history where there is none.
        UnknownName: No encoder has this name.
    """

    def __init__(
        self,
        problem: Problem,
        encoder: str = "frame",
        encoder_size: int = 64,
        encoder_options: dict[str, Any] | None = None,
        embedding: int = 16,
        user_embedding: int = 0,
    ) -> None:
        super().__init__()
        self._parts = _parts_of(problem.observation_space)
        self._tables = nn.ModuleDict()
        self._clock_end = 1.0
        static = sum(self._static_size(*part, embedding, user_embedding) for part in self._parts.items())
        shape = self._history_shape(problem, embedding, static)
        ENCODERS.entry(encoder)
        if shape.length == 0 and encoder != "frame":
            raise InvalidConfig(
                f"encoder = {encoder!r} reads a history, and the observation has none; make the world with history=10, "
                "stack frames (gymnasium's FrameStackObservation), or take encoder = 'frame'"
            )
        try:
            self.encoder = ENCODERS.get(encoder)(shape, encoder_size, **(encoder_options or {}))
        except TypeError as error:
            raise InvalidConfig(f"encoder_options = {encoder_options!r} for encoder {encoder!r}: {error}") from None
        self.size = static + int(self.encoder.size)

    def forward(self, observation: dict[str, Tensor]) -> Tensor:
        """Return states, float [B, size], of parts [B, ...]."""
        static = self._joined(observation)
        if static.shape[1] == self.size:  # there is no history
            return static
        return torch.cat([static, self.encoder(self._history(observation, static))], dim=1)

    def read(self, observation: dict[str, Tensor]) -> Reading:
        """Return the observation as an encoder sees it."""
        return self._history(observation, self._joined(observation))

    def _joined(self, observation: dict[str, Tensor]) -> Tensor:
        """Return what is known beside the history, float [B, S]."""
        static = [self._static(key, observation[key]) for key in self._parts if self._is_static(key)]
        if len(static) == 1:
            return static[0]
        some = next(iter(observation.values()))
        return torch.cat(static, dim=1) if static else torch.zeros(len(some), 0, device=some.device)

    def _is_static(self, key: str) -> bool:
        space = self._parts[key]
        if key in _OF_HISTORY or _is_sequence(space):
            return False
        return not (isinstance(space, spaces.Discrete) and key != "clock" and key not in self._tables)

    def _static_size(self, key: str, space: spaces.Space[Any], embedding: int, user_embedding: int) -> int:
        """Return how much a part adds to the static vector, and make the table of a category."""
        if key in _OF_HISTORY or _is_sequence(space):
            return 0
        if key == "clock" and isinstance(space, spaces.Discrete):
            self._clock_end = float(max(space.n - 1, 1))
            return 1
        if isinstance(space, spaces.Discrete):
            length = user_embedding if key == "user" else embedding
            if length:
                self._tables[key] = nn.Embedding(int(space.n), length)
            return length
        return int(np.prod(space.shape or ()))

    def _static(self, key: str, value: Tensor) -> Tensor:
        space = self._parts[key]
        if key in self._tables:
            return self._tables[key](value.long() - int(space.start))  # type: ignore[attr-defined, no-any-return]
        if isinstance(space, spaces.Discrete):
            return value.float()[:, None] / self._clock_end
        return value.float().flatten(1)

    def _history_shape(self, problem: Problem, embedding: int, static: int) -> Shape:
        """Return the sizes of the history, and make the table of its items."""
        items = self._parts.get(HISTORY_ITEMS)
        if items is None:
            stacked = [space.shape or () for space in self._parts.values() if _is_sequence(space)]
            if len(stacked) > 1:
                raise InvalidConfig(
                    f"the observation has {len(stacked)} Boxes of two axes {stacked}; allowed: one, the frames of the "
                    "episode. Flatten the others"
                )
            length, features = stacked[0] if stacked else (0, 0)
            return Shape(length, features, static)
        assert isinstance(items, spaces.MultiDiscrete)
        nothing = int(items.nvec[0]) - 1  # the number that stands for "nothing yet"
        self._items = nn.Embedding(nothing + 1, embedding, padding_idx=nothing)
        known = np.zeros((nothing, 0)) if problem.item_features is None else problem.item_features
        if np.ndim(known) != 2 or len(known) != nothing or not np.isfinite(known).all():
            raise InvalidInput(
                f"item features of shape {np.shape(known)} for {nothing} items; allowed: finite numbers [I, D]. "
                "Fill in what is unknown"
            )
        attributes = known.shape[1]
        table = torch.from_numpy(np.concatenate([known, np.zeros((1, attributes))]).astype(np.float32))
        self.register_buffer("_features", table, persistent=False)
        return Shape(len(items.nvec), embedding + attributes + 1, static, attributes, items=True)

    def _history(self, observation: dict[str, Tensor], static: Tensor) -> Reading:
        lanes, device = len(static), static.device
        if HISTORY_ITEMS in self._parts:
            items = observation[HISTORY_ITEMS].long()  # [B, T]
            attributes: Tensor = self._features[items]  # type: ignore[index]
            responses = observation[HISTORY_RESPONSES].float()
            sequence = torch.cat([self._items(items), attributes, responses[..., None]], dim=2)
            return Reading(static, sequence, items != self._items.num_embeddings - 1, attributes, responses)
        for key, space in self._parts.items():
            if _is_sequence(space):
                sequence = observation[key].float()  # [B, T, F]
                known = torch.ones(sequence.shape[:2], dtype=torch.bool, device=device)
                known = observation.get(FRAMES_KNOWN, known).bool()
                nothing = torch.zeros(*sequence.shape[:2], 0, device=device)
                return Reading(static, sequence, known, nothing, torch.zeros(sequence.shape[:2], device=device))
        empty, none = torch.zeros(lanes, 0, 0, device=device), torch.zeros(lanes, 0, device=device)
        return Reading(static, empty, none.bool(), empty, none)


def tensors(observation: Observation, device: str = "cpu") -> dict[str, Tensor]:
    """Return an observation's parts [N, ...] as tensors; floats in single precision."""
    return {key: _tensor(np.asarray(part)).to(device) for key, part in observation.items()}


def _tensor(part: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(part, np.float32 if part.dtype.kind == "f" else None))


def _parts_of(space: spaces.Space[Any]) -> dict[str, spaces.Space[Any]]:
    """Return the parts an agent sees.

    Raises:
        InvalidConfig: A part that no network can read.
    """
    parts = dict(space.spaces) if isinstance(space, spaces.Dict) else {"observation": space}
    parts.pop("allowed", None)
    for key, part in parts.items():
        readable = isinstance(part, (spaces.Box, spaces.Discrete, spaces.MultiBinary)) or key == HISTORY_ITEMS
        if not readable:
            raise InvalidConfig(f"observation[{key!r}] is {part}; allowed: Box, Discrete, MultiBinary, and a history")
    return parts


def _is_sequence(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Box) and len(space.shape) == 2
