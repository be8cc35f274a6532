"""Synthetic users and items with a known truth, for tasks that run offline and for tests that know it.

The truth is ``probability = sigmoid(user_factors @ item_factors.T)``. Every part of the logit is a pair of
columns: item quality, how easily a user clicks, taste that follows from demographics, and personal taste that
nothing visible explains. Strengths are standard deviations in logits: at a probability of a half, one logit
more makes it 0.73.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from smartrec.core.arrays import Array, IntArray
from smartrec.core.errors import InvalidInput
from smartrec.data.features import item_features, user_features
from smartrec.data.interactions import Catalogue, Interactions, Vocabulary

ZIPF_EXPONENT = 1.0
"""The item of popularity rank r is shown with weight r to the power of minus this."""

OCCUPATIONS = ("student", "artist", "clerk", "engineer", "manager", "teacher", "worker", "retired")
GENRES = (
    "action", "animation", "comedy", "crime", "documentary", "drama",
    "fantasy", "horror", "musical", "romance", "thriller", "western",
)  # fmt: skip
_FIRST_ANSWER = 1_600_000_000
_SECONDS_BETWEEN_ANSWERS = 30.0
_GENRE_SHARE = 0.5
_USERS_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class Population:
    """Users and items with the true click probability of every pair.

    Attributes:
        users: ``gender_f``, ``age`` ((years - 35) / 15) and one-hot occupation.
        items: Genre flags and ``year`` ((year - 1980) / 20).
        user_factors: float32 [U, F].
        item_factors: float32 [I, F].
        exposure: float64 [I], sums to 1: how often an item is shown, Zipf over a random order of the items.
    """

    users: Catalogue
    items: Catalogue
    user_factors: NDArray[np.float32]
    item_factors: NDArray[np.float32]
    exposure: NDArray[np.float64]

    def probability(self, users: IntArray, items: IntArray) -> NDArray[np.float32]:
        """Return the true click probabilities [N, K] of ``users`` [N] for ``items`` [N, K]."""
        logits: NDArray[np.float32] = np.einsum("nf,nkf->nk", self.user_factors[users], self.item_factors[items])
        return _sigmoid(logits)

    def sample_log(
        self,
        rng: np.random.Generator,
        answers: int,
        clicks: Literal["probability", "likely"] = "probability",
    ) -> Interactions:
        """Let every user answer ``answers`` different items, drawn by ``exposure``, in rounds of all users.

        Args:
            rng: Dice.
            answers: Per user, 1..I.
            clicks: ``"probability"`` rolls the dice of the truth; ``"likely"`` clicks where the truth is at
                least a half, without dice.

        Returns:
            U * answers rows with ratings 0 or 1 and increasing timestamps.

        Raises:
            InvalidInput: ``answers`` or ``clicks`` is not allowed.
        """
        if not 1 <= answers <= len(self.items):
            raise InvalidInput(f"answers = {answers}; allowed: 1..{len(self.items)}, the number of items")
        if clicks not in ("probability", "likely"):
            raise InvalidInput(f"clicks = {clicks!r}; allowed: 'probability', 'likely'")
        shown = self._draw(rng, answers)  # [U, answers]
        truth = self.probability(np.arange(len(self.users)), shown)
        clicked = truth > (rng.random(truth.shape, np.float32) if clicks == "probability" else 0.5)
        order = rng.permuted(np.tile(np.arange(len(self.users)), (answers, 1)), axis=1)  # [answers, U]
        rounds = np.arange(answers)[:, None]
        gaps = 1 + rng.exponential(_SECONDS_BETWEEN_ANSWERS, order.size).astype(np.int64)
        return Interactions(
            order.ravel().astype(np.int32),
            shown[order, rounds].ravel().astype(np.int32),
            clicked[order, rounds].ravel().astype(np.float32),
            _FIRST_ANSWER + np.cumsum(gaps),
            self.users.ids,
            self.items.ids,
        )

    def _draw(self, rng: np.random.Generator, answers: int) -> NDArray[np.int64]:
        # The largest of log-weight + Gumbel noise are a draw by weight without replacement; a block of users
        # at a time, so that memory does not grow with U * I.
        drawn = np.empty((len(self.users), answers), np.int64)
        weights = np.log(self.exposure)
        for start in range(0, len(drawn), _USERS_AT_ONCE):
            block = drawn[start : start + _USERS_AT_ONCE]
            keys = weights + rng.gumbel(size=(len(block), len(weights)))
            best = np.argpartition(-keys, answers - 1, axis=1)[:, :answers]
            by_key = np.argsort(-np.take_along_axis(keys, best, 1), axis=1)
            block[:] = np.take_along_axis(best, by_key, 1)
        return drawn


def make_population(
    n_users: int,
    n_items: int,
    *,
    seed: int,
    mean: float = -1.0,
    quality: float = 0.5,
    popularity: float = 0.0,
    eagerness: float = 0.0,
    demographics: float = 0.0,
    interplay: float = 0.0,
    taste: float = 0.0,
    rank: int = 16,
) -> Population:
    """Make a population; the same arguments give the same one.

    Args:
        n_users: U >= 1.
        n_items: I >= 1.
        seed: Of everything.
        mean: Mean logit.
        quality: Spread of the items' own appeal, logits; the values are evenly spaced.
        popularity: How much more the items that are shown often are liked, logits a standard deviation of
            log exposure.
        eagerness: Spread of the users' readiness to click at all, logits.
        demographics: Strength of taste that is linear in gender, age and occupation, logits.
        interplay: Strength of taste in gender x age and in age squared, which no linear model sees, logits.
        taste: Strength of personal taste, logits; half its variance follows the genres of the items.
        rank: Dimensions of personal taste, at least 1.

    Raises:
        InvalidInput: A size below 1 or a negative strength.
    """
    _check(n_users=n_users, n_items=n_items, rank=rank)
    _check(0, quality=quality, eagerness=eagerness, demographics=demographics, interplay=interplay, taste=taste)
    rng = np.random.default_rng(seed)
    female, age, occupation = _people(rng, n_users)
    genres, items = _films(rng, n_items)
    exposure = _zipf(rng, n_items)
    linear, curved = _demographic_basis(female, age, occupation)
    own_appeal = quality * rng.permutation(_even(n_items)) + popularity * _standard(np.log(exposure))
    weights = rng.normal(size=(n_items, rank)), _standard(genres @ rng.normal(size=(genres.shape[1], rank)))
    loves = np.sqrt(1 - _GENRE_SHARE) * weights[0] + np.sqrt(_GENRE_SHARE) * weights[1]
    pairs = [
        (np.ones((n_users, 1)), (mean + own_appeal)[:, None]),
        (eagerness * rng.normal(size=(n_users, 1)), np.ones((n_items, 1))),
        _scaled(linear, rng.normal(size=(n_items, linear.shape[1])), demographics),
        _scaled(curved, rng.normal(size=(n_items, curved.shape[1])), interplay),
        _scaled(rng.normal(size=(n_users, rank)), loves, taste),
    ]
    # A part of no strength would only be zeros to multiply.
    pairs = pairs[:1] + [pair for pair in pairs[1:] if all(side.any() for side in pair)]
    users = _catalogue("User", *user_features(female, age, [OCCUPATIONS[code] for code in occupation]))
    user_factors, item_factors = (np.hstack(side).astype(np.float32) for side in zip(*pairs, strict=True))
    return Population(users, items, user_factors, item_factors, exposure)


def featured_population(n_users: int = 3000, n_items: int = 10, seed: int = 0) -> Population:
    """Users whose taste follows from their demographics alone, for contextual bandits (task 2).

    Items differ widely in appeal. Gender and age interact, so a linear model gets most of what there is to
    get, and not all.
    """
    return make_population(n_users, n_items, seed=seed, mean=-0.5, quality=1.5, demographics=1.3, interplay=0.8)


def taste_population(n_users: int = 6040, n_items: int = 1000, seed: int = 0, rank: int = 16) -> Population:
    """Users whose personal taste dominates, and items of very different popularity (task 4)."""
    return make_population(
        n_users, n_items, seed=seed, mean=-1.2, quality=0.4, popularity=0.2, eagerness=0.4,
        demographics=0.4, interplay=0.1, taste=1.3, rank=rank,
    )  # fmt: skip


def _people(rng: np.random.Generator, count: int) -> tuple[Array, Array, Array]:
    """Return female bool [U], age in years [U], occupation code [U]; the young study, the old are retired."""
    female = rng.random(count) < 0.4
    age = np.clip(np.round(15 + rng.gamma(2.5, 8.0, count)), 15, 80)
    occupation = rng.integers(1, len(OCCUPATIONS) - 1, count)
    settled = rng.random(count) < 0.2
    occupation = np.where((age < 25) & ~settled, OCCUPATIONS.index("student"), occupation)
    return female, age, np.where((age > 62) & ~settled, OCCUPATIONS.index("retired"), occupation)


def _films(rng: np.random.Generator, count: int) -> tuple[Array, Catalogue]:
    """Return genre flags [I, 12], one to three an item, and the catalogue."""
    ranks = np.argsort(rng.random((count, len(GENRES))), axis=1)
    flags = (ranks < rng.integers(1, 4, count)[:, None]).astype(float)
    own = [[GENRES[place] for place in np.flatnonzero(row)] for row in flags]
    years = (2020 - rng.exponential(15, count)).clip(1930).astype(int).tolist()
    return flags, _catalogue("Item", *item_features(own, GENRES, years))


def _zipf(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    weights: NDArray[np.float64] = np.arange(1, count + 1, dtype=np.float64) ** -ZIPF_EXPONENT
    return rng.permutation(weights / weights.sum())


def _demographic_basis(female: Array, age: Array, occupation: Array) -> tuple[Array, Array]:
    """Return the columns in which taste is linear [U, 10], and the ones that bend it [U, 2]."""
    gender, years = _standard(female.astype(float)), _standard(age)
    jobs = _standard(np.eye(len(OCCUPATIONS))[occupation])
    # Each job is one of eight columns; together they weigh as much as gender or age alone.
    linear = np.column_stack([gender, years, jobs / np.sqrt(len(OCCUPATIONS))])
    return linear, _standard(np.column_stack([gender * years, years**2]))


def _scaled(users: Array, items: Array, strength: float) -> tuple[Array, Array]:
    """Scale a pair of factors so that over the users each item's products have the size ``strength``."""
    size = np.sqrt((users**2).mean(0) @ (items**2).T)[:, None]  # [I, 1]
    return users, items * strength / np.where(size > 0, size, 1)


def _catalogue(kind: str, names: tuple[str, ...], features: NDArray[np.float32]) -> Catalogue:
    count = len(features)
    return Catalogue(Vocabulary(range(count)), tuple(f"{kind} {n}" for n in range(count)), names, features)


def _standard(values: Array) -> Array:
    spread = values.std(0)
    centred: Array = values - values.mean(0)
    return centred / np.where(spread > 0, spread, 1)


def _even(count: int) -> Array:
    """Return evenly spaced values of mean 0 and standard deviation 1."""
    return _standard(np.arange(count, dtype=float))


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return (1 / (1 + np.exp(-logits))).astype(np.float32, copy=False)


def _check(least: float = 1, **values: float) -> None:
    for name, value in values.items():
        if not least <= value < np.inf:
            raise InvalidInput(f"{name} = {value}; allowed: {least:g} or more. Choose another.")
