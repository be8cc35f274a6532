"""Two faults of RePlay's bandits, looked for in the version that is installed."""

import inspect
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from smartrec.core.optional import optional


@cache
def fault_of(recommender: str) -> str:
    """Return what is wrong with a recommender of the installed RePlay, and what to take instead; "" for nothing known.

    ``ThompsonSampling``: clicks and misses of an item are joined so that an item with only clicks, or only misses,
    is lost. ``LinUCB``: features of users are looked up in the order of the feature table and once each, while
    ratings keep the order of the log, so that each rating is learnt with somebody else's features unless the log is
    sorted by user and has no repeats, which an online log is not; and scores are handed out in the order in which
    Spark returns the users, so that they are somebody else's too.
    """
    look = {"ThompsonSampling": _loses_items, "LinUCB": _mixes_up_features}.get(recommender)
    return look(replay_models()) if look else ""


def replay_models() -> Any:
    """Return the module of RePlay's recommenders.

    Raises:
        MissingExtra: RePlay is not installed.
    """
    with quiet():
        return optional("replay.models", "spark", "RePlay")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep RePlay's and Spark's warnings about each other, and what RePlay tells of its work, to themselves."""
    log = logging.getLogger("replay")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _loses_items(models: Any) -> str:
    source = inspect.getsource(models.ThompsonSampling._fit)
    if not re.search(r"how\s*=\s*[\"']inner[\"']", source):
        return ""
    return "it loses items that have only clicks or only misses (an inner join in its fit); take the agent thompson"


def _mixes_up_features(models: Any) -> str:
    source = inspect.getsource(models.LinUCB)
    if not re.search(r"\.query\(.*@(usr_)?idxs_list", source):
        return ""
    return (
        "it learns ratings with other users' features unless the log is sorted and free of repeats, and returns other "
        "users' scores; take lin_ucb"
    )
