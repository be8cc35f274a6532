"""The options of a world, checked before anything is built."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from smartrec.core.config import from_dict, require, to_dict


@dataclass(frozen=True)
class Settings:
    """Options that all worlds share; plain values, so that an environment's spec can be stored.

    Attributes:
        dataset: "synthetic", the name of a data set, or a path to one.
        n_users: U; None takes all there are.
        n_items: I, the most rated ones of a data set; None takes all there are.
        slate_size: K, items a step, 1 .. I.
        iterations: Ticks of the clock that are scored, >= 1.
        users_per_iteration: Users a tick, each once; None takes a tenth of the users.
        session_length: Steps of a visit, >= 1.
        history: Past positions a user shows in the observation, >= 0.
        observe_user: Whether the observation has the user's number.
        reference: Whether ``info`` has ``best_expected_reward``, which can cost more than the step.
        on_repeat: "error" refuses a slate with a repeated item, "replace" puts a random unused one in its
            place; None is "error" for the batch and "replace" for the single environment.
        columns: For a table of your own: {"user": ..., "item": ..., "rating": ..., "timestamp": ...}.
        positive: Rating from which an answer counts as a click; None takes the data set's own.
        availability: "all" items all the time; "rolling" has half of them at any time, at least K, in a window that
            moves along a shuffled row of all items from clock 1 to ``iterations + 1``: some leave, as many new ones
            come.
        candidates: C, the items a user may be shown, K .. I: the user's best C by a noisy look at the truth before
            clock 1 (of those available); None for all. With either, the observation has ``allowed``.
        choice: How a user goes through a slate. "independent" judges each position by itself. "logit": at most one
            click, for which the items compete with each other and with no click. "cascade": from the top, position
            k = 0, 1, ... is looked at with probability 1 / log2(k + 2), until a click; ``info["observed"]`` has what
            was seen. One item alone is clicked with its probability under each of them. A crowd that was made with
            another choice keeps it under "independent".
        population_seed: Seed of the synthetic crowd, of availability and of candidates, >= 0; ``reset(seed=...)``
            changes visits and dice only.
    """

    dataset: str = "synthetic"
    n_users: int | None = None
    n_items: int | None = None
    slate_size: int = 1
    iterations: int = 20
    users_per_iteration: int | None = None
    session_length: int = 1
    history: int = 0
    observe_user: bool = True
    reference: bool = False
    on_repeat: Literal["error", "replace"] | None = None
    columns: dict[str, str] | None = None
    positive: float | None = None
    availability: Literal["all", "rolling"] = "all"
    candidates: int | None = None
    choice: Literal["independent", "logit", "cascade"] = "independent"
    population_seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_users", "n_items", "users_per_iteration", "candidates"):
            value = getattr(self, name)
            require(value is None or value >= 1, name, value, "None or a whole number >= 1")
        for name in ("columns", "positive"):
            value = getattr(self, name)
            allowed = value is None or self.dataset != "synthetic"
            require(allowed, name, value, "None for the synthetic crowd; it is about a data set")
        finite = self.positive is None or math.isfinite(self.positive)
        require(finite, "positive", self.positive, "None or a finite rating")
        for name in ("slate_size", "iterations", "session_length"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "a whole number >= 1")
        for name in ("history", "population_seed"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "a whole number >= 0")
        known = self.availability in ("all", "rolling")
        require(known, "availability", self.availability, '"all" or "rolling"')
        known = self.choice in ("independent", "logit", "cascade")
        require(known, "choice", self.choice, '"independent", "logit" or "cascade"')

    def updated(self, options: dict[str, Any], owner: str) -> "Settings":
        """Return these settings with ``options`` put in.

        Raises:
            InvalidConfig: An unknown option (the nearest is named) or a wrong value.
        """
        return from_dict(Settings, {**to_dict(self), **options}, owner)

    def limited(self, name: Literal["n_users", "n_items"], available: int) -> int:
        """Return how many users or items to take of those that a data set has.

        Raises:
            InvalidConfig: More than there are.
        """
        wanted: int | None = getattr(self, name)
        require(
            wanted is None or wanted <= available,
            name,
            wanted,
            f"1 to {available}, all that {self.dataset} has",
        )
        return available if wanted is None else wanted

    def for_crowd(self, n_users: int, n_items: int) -> "Settings":
        """Return these settings with the sizes of a crowd filled in and checked against each other.

        Raises:
            InvalidConfig: More is asked for than the crowd has.
        """
        tenth = max(1, n_users // 10)
        users = tenth if self.users_per_iteration is None else self.users_per_iteration
        require(users <= n_users, "users_per_iteration", users, f"1 to the number of users, {n_users}")
        require(self.slate_size <= n_items, "slate_size", self.slate_size, f"1 to the number of items, {n_items}")
        enough = self.candidates is None or self.slate_size <= self.candidates <= n_items
        require(enough, "candidates", self.candidates, f"None, or slate_size = {self.slate_size} to {n_items} items")
        return replace(self, n_users=n_users, n_items=n_items, users_per_iteration=users)
