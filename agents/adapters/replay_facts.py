"""What is known of each recommender of RePlay 0.22: the rows it is fitted to, and for whom its scores are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Facts:
    """Of a recommender.

    Attributes:
        rows: What it is fitted to: "answers", a row a showing, relevance 1 or 0; "pairs", a row a user and an item with
            clicks, relevance how many; "clicks", a row a click, relevance 1, with its time.
        scores: Whom a row of its scores is for: "all" users; each "user"; users of a "cluster", alike in their
            features; or a "category" of items, from which users click more or less often.
        draws: Whether items are drawn in proportion to their scores, instead of taking the best.
        needs: Features that it is fitted to: of "users", of "items".
        given: Arguments that it always gets.
    """

    rows: Literal["answers", "pairs", "clicks"]
    scores: Literal["all", "user", "cluster", "category"]
    draws: bool = False
    needs: tuple[str, ...] = ()
    given: Mapping[str, Any] = field(default_factory=dict)


RECOMMENDERS = {
    "PopRec": Facts("pairs", "all"),
    "UCB": Facts("answers", "all"),
    "KLUCB": Facts("answers", "all"),
    "Wilson": Facts("answers", "all"),
    "RandomRec": Facts("pairs", "all", draws=True),
    "ALSWrap": Facts("pairs", "user"),
    "ItemKNN": Facts("pairs", "user"),
    "SLIM": Facts("pairs", "user"),
    "AssociationRulesItemRec": Facts("pairs", "user", given={"session_column": "user_idx"}),
    "Word2VecRec": Facts("clicks", "user"),
    "QueryPopRec": Facts("pairs", "user"),
    "CatPopRec": Facts("pairs", "category", needs=("items",)),
    "ClusterRec": Facts("clicks", "cluster", needs=("users",)),
    "ThompsonSampling": Facts("answers", "all"),
    "LinUCB": Facts("answers", "user", needs=("users", "items")),
}
"""By class of ``replay.models``. The last two are refused while they are faulty, see ``fault_of``."""

_NETWORK = "a network of RePlay's extra torch, trained on batches of sequences; take dqn, reinforce or two_tower"
REFUSED = {"Bert4Rec": _NETWORK, "SasRec": _NETWORK}
"""Recommenders of RePlay that cannot be agents here, and why."""
