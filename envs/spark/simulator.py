"""Sim4Rec's cycle on DataFrames: sample users and items, select pairs, let users respond, write the log.

Users and items are DataFrames, real ones or made by a generator; see ``selectors`` for how they are drawn.
"""

from typing import Any

from smartrec.core.config import require
from smartrec.core.errors import InvalidInput
from smartrec.core.optional import optional
from smartrec.core.spark import clear_errors, require_columns
from smartrec.envs.spark.log import ITERATION, IterationLog
from smartrec.envs.spark.selectors import ITEMS, USERS, RandomItems, Selector, sample


class Simulator:
    """The cycle of a simulation; with ``SparkResponse``, sim4rec's stages or both as what users do.

    Departures from Sim4Rec's: (1) draws depend on the iteration that is named and not on how often something was
    called; (2) an exact number of users can be asked for; (3) an unknown user or item is an error; (4) an iteration is
    written once, and a simulation that died goes on by ``resume``; (5) the log is read from its files, so there is
    nothing in memory to clear; (6) a log from before is iteration 0.

    Args:
        users: DataFrame, one row a user.
        items: DataFrame, one row an item.
        folder: Path or URL of the log, see ``IterationLog``.
        log: DataFrame of interactions from before, or None; a column ``__iter`` is left out.
        user: Name of the column of users.
        item: Name of the column of items.
        seed: Of all draws, 0 .. 2**31 - 1.
        resume: Whether ``folder`` may hold iterations already, to go on from; ``log`` is then left as it is there.

    Raises:
        InvalidInput: A column is missing, a user or item comes twice.
        OutputError: ``folder`` holds something already, and ``resume`` is False.
    """

    def __init__(
        self,
        users: Any,
        items: Any,
        folder: str,
        *,
        log: Any = None,
        user: str = "user_idx",
        item: str = "item_idx",
        seed: int = 0,
        resume: bool = False,
    ) -> None:
        require(isinstance(seed, int) and 0 <= seed < 2**31, "seed", seed, "a whole number, 0 to 2**31 - 1")
        self.users, self.items, self.user, self.item = users, items, user, item
        self.seed = seed
        for frame, key, name in ((users, user, "users"), (items, item, "items")):
            require_columns(frame, {key: ""}, name)
            _require_different(frame, key, name)
        if log is not None:
            self._require_known(log, "log")
        self.log = IterationLog(users.sparkSession, folder, resume=resume)
        if log is not None and 0 not in self.log.iterations:
            self.log.write(log.drop(ITERATION), 0)

    def sample_users(self, iteration: int, *, share: float | None = None, count: int | None = None) -> Any:
        """Return users of an iteration, each with probability ``share``, or exactly ``count``.

        Raises:
            InvalidInput: Not one of the two, or one out of range; or fewer users than ``count``.
        """
        numbers = (self.seed, iteration, USERS)
        return sample(self.users, self.user, numbers, share=share, count=count, name="users")

    def sample_items(self, iteration: int, *, share: float | None = None, count: int | None = None) -> Any:
        """Return items of an iteration, likewise."""
        numbers = (self.seed, iteration, ITEMS)
        return sample(self.items, self.item, numbers, share=share, count=count, name="items")

    def select(self, users: Any, iteration: int, selector: int | Selector) -> Any:
        """Return what a selector selects for ``users``: pairs, or items alone where they stand for all users.

        Args:
            users: DataFrame of users of the iteration.
            iteration: Its number.
            selector: See ``selectors.Selector``; a number k stands for ``RandomItems(k)`` by the simulator's seed.

        Raises:
            InvalidInput: Fewer than k items, or no column of items in what was selected.
        """
        if isinstance(selector, int):
            selector = RandomItems(selector, self.item, self.seed)
        found = selector(users, self.items, iteration)
        require_columns(found, {self.item: ""}, "what the selector returns")
        return found.select(*(key for key in (self.user, self.item) if key in found.columns))

    def get_user_items(self, users: Any, iteration: int, selector: int | Selector) -> tuple[Any, Any]:
        """Return what a selector selects for ``users`` as pairs, and the users' log; see ``select``."""
        pairs = self.select(users, iteration, selector)
        if self.user not in pairs.columns:
            pairs = users.select(self.user).crossJoin(pairs)
        return pairs, self.get_log(users)

    def sample_responses(
        self,
        pairs: Any,
        pipeline: Any,
        *,
        user_features: Any = None,
        item_features: Any = None,
        params: dict[Any, Any] | None = None,
        known: bool = False,
    ) -> Any:
        """Return ``pairs`` with what the pipeline adds.

        A stage gets only those of ``params`` that are its own. Spark hands them to a copy, and a stage of sim4rec that
        is copied in every iteration would draw the same random numbers in each.

        Args:
            pairs: DataFrame of users and items, recommendations for example.
            pipeline: Anything with ``transform``: a ``PipelineModel`` of our stages, sim4rec's and Spark's own.
            user_features: DataFrame to join by user, or None.
            item_features: DataFrame to join by item, or None.
            params: Of the pipeline's stages, ``{stage.clock: iteration}`` for example.
            known: Whether all users and items are known to be the simulator's; to look takes a pass over the pairs.

        Raises:
            InvalidInput: A column is missing, or a user or item is unknown.
        """
        if not known:
            self._require_known(pairs, "pairs")
        for features, key in ((user_features, self.user), (item_features, self.item)):
            if features is not None:
                require_columns(features, {key: ""}, f"features of {key}")
                pairs = pairs.join(features, key, "left")
        return _transformed(pipeline, pairs, params or {})

    def update_log(self, frame: Any, iteration: int, *, known: bool = False, rows: int | None = None) -> None:
        """Write an iteration, all or nothing; see ``IterationLog.write``.

        Args:
            frame: What users did.
            iteration: Its number, >= 1.
            known: As for ``sample_responses``.
            rows: How many rows there have to be, or None for any number.

        Raises:
            InvalidConfig: The iteration is there already.
            InvalidInput: Other columns or types than before, another number of rows, or an unknown user or item.
        """
        require(iteration >= 1, "iteration", iteration, "1 or more; 0 is the log from before")
        if not known:
            self._require_known(frame, "the frame")
        self.log.write(frame, iteration, rows=rows)

    def get_log(self, users: Any) -> Any:
        """Return the log of ``users``, or None where there is none yet."""
        if not self.log.iterations:
            return None
        return self.log.read().join(users.select(self.user).distinct(), self.user, "left_semi")

    def _require_known(self, frame: Any, what: str) -> None:
        """Raise unless all users and items of a frame are known.

        Raises:
            InvalidInput: With one that is not.
        """
        for known, key in ((self.users, self.user), (self.items, self.item)):
            require_columns(frame, {key: ""}, what)
            with clear_errors():
                unknown = frame.select(key).join(known.select(key), key, "left_anti").take(1)
            if unknown:
                raise InvalidInput(f"{key} {unknown[0][key]!r} of {what} is unknown; allowed: those of the simulator")


def _transformed(stage: Any, frame: Any, params: dict[Any, Any]) -> Any:
    """Return what a stage, or a pipeline of them, makes of a frame; each is copied only where it has ``params``."""
    if isinstance(stage, optional("pyspark.ml", "spark", "Simulator").PipelineModel):
        for part in stage.stages:
            frame = _transformed(part, frame, params)
        return frame
    own = {param: value for param, value in params.items() if param.parent == getattr(stage, "uid", None)}
    return stage.transform(frame, own) if own else stage.transform(frame)


def _require_different(frame: Any, key: str, name: str) -> None:
    twice = frame.groupBy(key).count().where(f"count > 1 or {key} is null").take(1)
    if twice:
        raise InvalidInput(
            f"{key} {twice[0][key]!r} comes {twice[0]['count']} times in {name}; allowed: once, not null"
        )
