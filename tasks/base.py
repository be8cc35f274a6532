"""What a task is: a question with a score."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import gymnasium

from smartrec.core.errors import InvalidConfig, did_you_mean
from smartrec.core.world import References
from smartrec.envs.settings import Settings
from smartrec.evaluation.record import RunRecord


@dataclass(frozen=True)
class Setting:
    """One configuration of a task.

    Attributes:
        name: As used on the command line.
        options: Keyword arguments of the environment.
    """

    name: str
    options: dict[str, Any]


@dataclass(frozen=True)
class Contender:
    """A row of a leaderboard: an agent with its options.

    Attributes:
        label: Name of the row.
        agent: Registered name or ``module:Class``.
        config: Options that differ from the defaults.
    """

    label: str
    agent: str
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """A question, the settings it is asked in, and how a run is scored.

    Attributes:
        name: Short, as used on the command line.
        environment: Id.
        question: In one line.
        headline: Metric that decides.
        settings: The first is quick, the second the default.
        contenders: Rows of its leaderboard, seconds each.
        deep: Further rows, shown where asked for: they take minutes, or packages of an extra.
        spark: Further rows on Spark, where they can be: recommenders that are fitted there.
        tags: Abilities that it asks for.
    """

    name: str
    environment: str
    question: str
    headline: str
    settings: tuple[Setting, ...]
    contenders: tuple[Contender, ...]
    deep: tuple[Contender, ...]
    spark: tuple[Contender, ...]
    tags: frozenset[str]

    def setting(self, dataset: str = "synthetic", **options: Any) -> Setting:
        """Return the default setting on a data set, with further keyword arguments of the environment."""
        return Setting(dataset, {"dataset": dataset, **options})

    def make(self, setting: Setting, seed: int = 0) -> gymnasium.vector.VectorEnv:
        """Return the batched environment, as many users a step as an iteration has, its world begun.

        Raises:
            SmartRecError: An option is wrong, or data are missing.
        """
        options = dict(setting.options)
        lanes = options.pop("num_envs", None)
        known = [field.name for field in fields(Settings)]
        for name in options:
            if name not in known:
                raise InvalidConfig(f"{self.environment} has no option {name!r}. {did_you_mean(name, known)}")
        envs = gymnasium.make_vec(self.environment, num_envs=1 if lanes is None else lanes, **options)
        if lanes is None:
            lanes = envs.unwrapped.users_per_iteration  # type: ignore[attr-defined]
            envs = gymnasium.make_vec(self.environment, num_envs=lanes, **options)
        envs.reset(seed=seed)
        return envs

    def steps(self, envs: gymnasium.vector.VectorEnv) -> int:
        """Return how many steps a run takes."""
        world: Any = envs.unwrapped
        visits = world.iterations * world.users_per_iteration
        return int(-(-visits // envs.num_envs) * world.session_length)

    def score(self, record: RunRecord) -> float:
        """Return the headline on a scale where random is 0 and each user's best slate is 1."""
        return record.metrics[f"{self.headline}_normalised"]

    def references(self, envs: gymnasium.vector.VectorEnv) -> References:
        """Return what policies that know the truth would get, in the unit of the headline."""
        world: Any = envs.unwrapped
        last = world.iterations
        clocks: Sequence[int] = range(1, last + 1) if self.headline == "loop" else [last + 1]
        found: References = world.references(clocks)
        return found
