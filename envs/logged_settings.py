"""The options of an environment that walks a log."""

import math
from dataclasses import dataclass
from typing import Any, Literal

from smartrec.core.config import from_dict, require, to_dict


@dataclass(frozen=True)
class LoggedSettings:
    """Options of a logged environment; plain values, so that an environment's spec can be stored.

    Attributes:
        dataset: "synthetic", the name of a data set, or a path to one.
        frame_size: f, answers in the observation, >= 1.
        mode: "frame" begins with the first f answers of a user known; "sequence" with none, and pads in front.
        mismatch: What happens where the agent's item is not the logged one: "rejection", "logged" or "simulated".
        rating_map: What an answer is worth: "rating" as it is in the log; "recnn" 2 (rating - 2.5), for 0.5 .. 5;
            "click" 1 from ``positive`` on, else 0.
        embeddings: Vectors of the items that agents may use: the path of a ``.npy`` file [I, D], rows by the item's
            number, or of what ``smartrec.data.embeddings.read_vectors`` reads; "auto" makes them of the data set
            (``embed``); None takes the item features of the data set.
        observe_user: Whether the observation has the user's number.
        columns: For a table of your own: {"user": ..., "item": ..., "rating": ..., "timestamp": ...}.
        positive: Rating from which an answer counts as a click; None takes the data set's own.
    """

    dataset: str = "synthetic"
    frame_size: int = 10
    mode: Literal["frame", "sequence"] = "frame"
    mismatch: Literal["rejection", "logged", "simulated"] = "rejection"
    rating_map: Literal["rating", "recnn", "click"] = "rating"
    embeddings: str | None = None
    observe_user: bool = False
    columns: dict[str, str] | None = None
    positive: float | None = None

    def __post_init__(self) -> None:
        require(self.frame_size >= 1, "frame_size", self.frame_size, "a whole number >= 1")
        for name in ("columns", "positive"):
            value = getattr(self, name)
            allowed = value is None or self.dataset != "synthetic"
            require(allowed, name, value, "None for the synthetic log; it is about a data set")
        finite = self.positive is None or math.isfinite(self.positive)
        require(finite, "positive", self.positive, "None or a finite rating")

    def updated(self, options: dict[str, Any], owner: str) -> "LoggedSettings":
        """Return these settings with ``options`` put in.

        Raises:
            InvalidConfig: An unknown option (the nearest is named) or a wrong value.
        """
        return from_dict(LoggedSettings, {**to_dict(self), **options}, owner)
