"""What an encoder is given: a user's history as a sequence, and what is known of the user beside it."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Shape:
    """Sizes of a ``Reading``.

    Attributes:
        length: T, positions of the history; 0 where the observation has none.
        features: F, length of the vector of a position.
        static: S, length of what is known of the user beside the history.
        attributes: A, number of features of an item; 0 where there are none.
        items: Whether positions are items with responses, and no stacked frames.
    """

    length: int
    features: int
    static: int
    attributes: int = 0
    items: bool = False


@dataclass(frozen=True, eq=False)
class Reading:
    """An observation of B users as tensors.

    Attributes:
        static: float [B, S].
        sequence: float [B, T, F], oldest first; an item's position is its learnt vector, its features and the response.
        known: bool [B, T], False where nothing happened yet; those come first.
        attributes: float [B, T, A], features of the items of the history.
        responses: float [B, T], what the user did at each position; 0 where nothing happened yet.
    """

    static: Tensor
    sequence: Tensor
    known: Tensor
    attributes: Tensor
    responses: Tensor
