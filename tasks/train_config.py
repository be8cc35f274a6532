"""The file that ``smartrec train`` reads."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from smartrec.agents.registry import agent_class
from smartrec.core.config import from_dict, require
from smartrec.core.errors import DataNotFound, InvalidConfig


@dataclass(frozen=True)
class StepsConfig:
    """What is done to the log, in this order.

    Attributes:
        drop_repeats: Whether of rows with the same user, item and time only the last in the file counts.
        most_rated: Items kept, those with the most rows; None for all. Rows that are tested on count too, here and
            for ``min_length``: who and what is there is decided before the split.
        min_length: Users kept have more rows than this; None for ``frame_size``.
        rating: Rating to reward: "centred" (2 (rating - 2.5), of ratings 0.5 to 5), "none", or a table,
            for example ``{ 0 = -1, 1 = 1 }``.
    """

    drop_repeats: bool = False
    most_rated: int | None = None
    min_length: int | None = None
    rating: str | dict[str, float] = "centred"

    def __post_init__(self) -> None:
        allowed = 'one of "centred" and "none", or a table of ratings'
        require(isinstance(self.rating, dict) or self.rating in ("centred", "none"), "rating", self.rating, allowed)


@dataclass(frozen=True)
class SplitConfig:
    """What is tested on; states there look back into what is learnt from, never the other way.

    Attributes:
        by: "user" (a share of the users), "time" (the last share of the rows), or "last" (the last rows of each user).
        test_share: For "user" and "time", between 0 and 1.
        rows: For "last", >= 1.
    """

    by: Literal["user", "time", "last"] = "user"
    test_share: float = 0.1
    rows: int = 1


@dataclass(frozen=True)
class TrainConfig:
    """A file for ``smartrec train``, in TOML.

    Attributes:
        dataset: Name or path.
        agent: Registered name, or ``module:Class``.
        folder: Where checkpoints and curves go.
        columns: For a table of one's own: our column names to its.
        steps: What is done to the log.
        split: What is tested on.
        frame_size: f, answers in a state, >= 1.
        padded: Whether steps begin with a user's first answer, states padded in front.
        discount: Of future reward, 0..1.
        embeddings: Vectors of the items: "auto" makes them from the catalogue and what is learnt from (see
            ``data.embeddings``), "features" takes the catalogue's plain features, "none" none; or the path of a file,
            ``.npz`` or ``.pt``, of a vector an item id. One that ``smartrec data embed`` writes has seen every
            answer, those that are tested on as well, but for ``--blocks text,categories,numbers``.
        embedding_size: Numbers a vector, for "auto", >= 1.
        options: Of the agent.
        seed: Of the split, the agent and the order of batches, >= 0.
        epochs: Times that everything is learnt from, >= 1.
        batches: Whether a batch is of "frames" in random order or of whole "users"; "auto" asks the agent's tags.
        batch_size: Frames, or users, a batch, >= 1; None for 256 frames, or 10 users.
        every: Batches between two points of the curves, with test and checkpoint, >= 1; None has them once an epoch.
        watch: Test figure that chooses the best checkpoint and stops early, "hit_rate_10" or for example "critic_loss".
        higher: Whether more of it is better.
        patience: Points without a better one after which training stops; None never.
        measured: Test frames, spread evenly, for each of which ten items are recommended: test figure ``hit_rate_10``
            is the share of them that hold the next item. >= 0; 0 measures nothing.
    """

    dataset: str
    agent: str
    folder: str
    columns: dict[str, str] | None = None
    steps: StepsConfig = field(default_factory=StepsConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    frame_size: int = 10
    padded: bool = False
    discount: float = 0.99
    embeddings: str = "auto"
    embedding_size: int = 128
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    epochs: int = 10
    batches: Literal["auto", "frames", "users"] = "auto"
    batch_size: int | None = None
    every: int | None = None
    watch: str | None = None
    higher: bool = False
    patience: int | None = None
    measured: int = 500

    def __post_init__(self) -> None:
        for name in ("frame_size", "epochs", "embedding_size"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "a whole number >= 1")
        for name in ("batch_size", "every", "patience"):
            value = getattr(self, name)
            require(value is None or value >= 1, name, value, "a whole number >= 1")
        for name in ("seed", "measured"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "a whole number >= 0")
        require(0 <= self.discount <= 1, "discount", self.discount, "0 to 1")


def read_config(path: Path) -> TrainConfig:
    """Read a config; ``folder``, and a data set or embeddings given as a path, are relative to the current folder.

    Raises:
        DataNotFound: There is no such file.
        InvalidConfig: It is no TOML (the line is named), a name is unknown (the nearest is named) or missing, or a
            value is out of range.
    """
    if not path.is_file():
        raise DataNotFound(f"{path} is not there; write a config as in docs/offline.md")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidConfig(f"{path} is no TOML: {error}. Correct that place") from None
    for name, cls in (("steps", StepsConfig), ("split", SplitConfig)):
        part = values.get(name, {})
        require(isinstance(part, dict), name, part, f"a table, written as [{name}]")
        values[name] = from_dict(cls, part, f"[{name}] of {path}")
    missing = [name for name in ("dataset", "agent", "folder") if name not in values]
    require(not missing, f"{path} without", ", ".join(missing), "a config with dataset, agent and folder")
    config = from_dict(TrainConfig, values, str(path))
    from_dict(agent_class(config.agent).Config, config.options, f"[options] of {path}, agent {config.agent},")
    return config
