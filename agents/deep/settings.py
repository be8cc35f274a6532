"""Options that every deep agent has: how it sees a user, how large its networks are, where they run."""

from dataclasses import dataclass, field
from typing import Any

from smartrec.core.config import require


@dataclass(frozen=True)
class DeepConfig:
    """Options that all deep agents share.

    Attributes:
        encoder: How the history in the observation becomes a vector; a name of ``smartrec.agents.encoders.registry``.
        encoder_size: Length of that vector, >= 1; ``frame`` has its own, and ``drr`` lays several of it side by side.
        encoder_options: Further options of the encoder, by name.
        embedding: Length of the learnt vectors of items in the history and of other categories, >= 1.
        user_embedding: Length of a learnt vector a user, >= 0; 0 leaves the user's number out.
        hidden: Units of each hidden layer.
        device: Where the networks run: "cpu", "cuda", "cuda:1", ...
    """

    encoder: str = "frame"
    encoder_size: int = 64
    encoder_options: dict[str, Any] = field(default_factory=dict)
    embedding: int = 16
    user_embedding: int = 0
    hidden: tuple[int, ...] = (64, 64)
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("encoder_size", "embedding"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "a whole number >= 1")
        require(self.user_embedding >= 0, "user_embedding", self.user_embedding, "a whole number >= 0")
        require(all(units >= 1 for units in self.hidden), "hidden", self.hidden, "whole numbers >= 1")
