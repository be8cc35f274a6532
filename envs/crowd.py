"""Who is served, what with, and how they respond."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from smartrec.core.arrays import BoolArray, FloatArray, IntArray
from smartrec.core.decision import Mask
from smartrec.core.errors import InvalidConfig, InvalidInput
from smartrec.envs.settings import Settings
from smartrec.response_models.base import ResponseModel
from smartrec.response_models.choice import CHOICES, Choice, Independent

MaskOf = Callable[[IntArray, int], Mask]
"""From users [N] and the clock to the items each of them may be shown."""


@dataclass(frozen=True, eq=False)
class Crowd:
    """The users and items of a world, and how the users respond.

    Attributes:
        model: Probability of a response.
        n_users: U.
        user_features: float32 [U, D] that agents see, or None.
        item_features: float32 [I, D] that agents may use, or None.
        item_labels: Titles of the items, I of them, or empty.
        about: One line: where the crowd comes from.
        report: Rows (name, value) on how well a fitted model does on held-out answers; empty for a known
            truth.
        mask: What each user may be shown; None for all items.
        choice: How a user goes through a slate.

    Raises:
        InvalidInput: No users, more than the model knows, features that are not finite or of another number of
            rows, or another number of labels.
    """

    model: ResponseModel
    n_users: int
    user_features: FloatArray | None = None
    item_features: FloatArray | None = None
    item_labels: tuple[str, ...] = ()
    about: str = ""
    report: tuple[tuple[str, str], ...] = ()
    mask: MaskOf | None = None
    choice: Choice = field(default_factory=Independent)

    def __post_init__(self) -> None:
        if self.n_users < 1:
            raise InvalidInput(f"n_users = {self.n_users}; allowed: 1 or more")
        if self.model.n_users is not None and self.model.n_users < self.n_users:
            raise InvalidInput(
                f"the response model knows {self.model.n_users} users, {self.n_users} were asked for; lower n_users"
            )
        if len(self.item_labels) not in (0, self.n_items):
            raise InvalidInput(f"{len(self.item_labels)} item_labels; allowed: {self.n_items}, or none")
        for name, rows in (("user_features", self.n_users), ("item_features", self.n_items)):
            # The observation space is float32, and so must be what is seen.
            object.__setattr__(self, name, _features(getattr(self, name), name, rows))

    @property
    def n_items(self) -> int:
        """I."""
        return self.model.n_items

    def allowed(self, users: IntArray, clock: int) -> BoolArray:
        """Return what ``users`` [N] may be shown at ``clock``, bool [N, I].

        Raises:
            InvalidInput: The mask has another shape.
        """
        if self.mask is None:
            return np.ones((len(users), self.n_items), bool)
        mask = np.asarray(self.mask(users, clock).allowed, bool)
        if mask.ndim != 2 or mask.shape[0] not in (1, len(users)) or mask.shape[1] != self.n_items:
            raise InvalidInput(
                f"the mask of {len(users)} users has shape {mask.shape}; "
                f"allowed: ({len(users)}, {self.n_items}), or (1, {self.n_items}) for all alike"
            )
        return np.broadcast_to(mask, (len(users), self.n_items))


def with_choice(crowd: Crowd, settings: Settings) -> Crowd:
    """Return the crowd with users who go through slates as ``settings.choice`` says.

    Args:
        crowd: Who is served; a choice of its own stands where the settings ask for none other.
        settings: Of the world, sizes filled in.

    Raises:
        InvalidConfig: The crowd has a choice of its own, and the settings ask for another.
    """
    if settings.choice == "independent" or settings.slate_size == 1:
        return crowd
    choice = CHOICES[settings.choice](crowd.n_items)
    if isinstance(crowd.choice, type(choice)):
        return crowd
    if not isinstance(crowd.choice, Independent):
        raise InvalidConfig(
            f"choice = {settings.choice!r}, but the crowd has a choice of its own, {type(crowd.choice).__name__}; "
            'allowed with it: choice="independent", which leaves it'
        )
    return replace(crowd, choice=choice)


def _features(features: Any, name: str, rows: int) -> FloatArray | None:
    if features is None:
        return None
    features = np.asarray(features, np.float32)
    if features.ndim != 2 or len(features) != rows:
        raise InvalidInput(f"{name} has shape {features.shape}; allowed: [{rows}, D], one row each")
    wrong = np.argwhere(~np.isfinite(features))
    if len(wrong):
        row, column = wrong[0]
        raise InvalidInput(
            f"{name}[{row}, {column}] = {features[row, column]}; allowed: finite numbers "
            f"({len(wrong)} are not). Fill or drop missing values first"
        )
    return features  # type: ignore[no-any-return]
