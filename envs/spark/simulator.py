"""Sim4Rec's cycle on DataFrames: sample users and items, select pairs, let users respond, write the log.

Users and items are DataFrames, real ones or made by a generator. Every draw is a hash of the row's key, the seed and
the iteration, so that it is the same whenever and wherever Spark works it out.
"""

from typing import Any

from smartrec.core.config import require
from smartrec.core.errors import InvalidInput
from smartrec.core.optional import optional
from smartrec.core.spark import clear_errors, require_columns
from smartrec.envs.spark.log import ITERATION, IterationLog

_SALTS = {"users": 1, "items": 2, "pairs": 3}


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
        self._seed, self._functions = seed, optional("pyspark.sql.functions", "spark", "Simulator")
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
        return self._sample("users", self.users, self.user, iteration, share, count)

    def sample_items(self, iteration: int, *, share: float | None = None, count: int | None = None) -> Any:
        """Return items of an iteration, likewise."""
        return self._sample("items", self.items, self.item, iteration, share, count)

    def get_user_items(self, users: Any, iteration: int, k: int) -> tuple[Any, Any]:
        """Return ``k`` random items of the iteration for every user, the same ones for all, and the users' log.

        Raises:
            InvalidInput: Fewer than ``k`` items.
        """
        chosen = self._sample("items", self.items, self.item, iteration, None, k, salt="pairs")
        pairs = users.select(self.user).crossJoin(chosen.select(self.item))
        return pairs, self.get_log(users)

    def sample_responses(
        self,
        pairs: Any,
        pipeline: Any,
        *,
        user_features: Any = None,
        item_features: Any = None,
        params: dict[Any, Any] | None = None,
    ) -> Any:
        """Return ``pairs`` with what the pipeline adds.

        Args:
            pairs: DataFrame of users and items, recommendations for example.
            pipeline: Anything with ``transform``: a ``PipelineModel`` of our stages, sim4rec's and Spark's own.
            user_features: DataFrame to join by user, or None.
            item_features: DataFrame to join by item, or None.
            params: Of the pipeline's stages, ``{stage.clock: iteration}`` for example.

        Raises:
            InvalidInput: A column is missing, or a user or item is unknown.
        """
        self._require_known(pairs, "pairs")
        for features, key in ((user_features, self.user), (item_features, self.item)):
            if features is not None:
                require_columns(features, {key: ""}, f"features of {key}")
                pairs = pairs.join(features, key, "left")
        return pipeline.transform(pairs, params) if params else pipeline.transform(pairs)

    def update_log(self, frame: Any, iteration: int) -> None:
        """Write an iteration, all or nothing; see ``IterationLog.write``.

        Raises:
            InvalidConfig: The iteration is there already.
            InvalidInput: Other columns or types than before, or an unknown user or item.
        """
        require(iteration >= 1, "iteration", iteration, "1 or more; 0 is the log from before")
        self._require_known(frame, "the frame")
        self.log.write(frame, iteration)

    def get_log(self, users: Any) -> Any:
        """Return the log of ``users``, or None where there is none yet."""
        if not self.log.iterations:
            return None
        return self.log.read().join(users.select(self.user).distinct(), self.user, "left_semi")

    def _sample(
        self,
        name: str,
        frame: Any,
        key: str,
        iteration: int,
        share: float | None,
        count: int | None,
        salt: str | None = None,
    ) -> Any:
        if (share is None) == (count is None):
            raise InvalidInput(f"share = {share}, count = {count}; allowed: one of the two, the other None")
        f = self._functions
        hashed = f.xxhash64(f.col(key), *map(f.lit, (self._seed, iteration, _SALTS[salt or name])))
        if share is not None:
            if not 0 <= share <= 1:
                raise InvalidInput(f"share = {share}; allowed: 0 to 1")
            # Two uniform halves of 2**63: the sign is dropped, so that shares of 0 and 1 are exact.
            return frame.where(f.shiftrightunsigned(hashed, 11) < f.lit(int(share * 2**53)))
        assert count is not None
        there = frame.count()
        if not 0 <= count <= there:
            raise InvalidInput(f"{count} {name} asked for; allowed: 0 to {there}, all there are")
        return frame.orderBy(hashed, f.col(key)).limit(count)

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


def _require_different(frame: Any, key: str, name: str) -> None:
    twice = frame.groupBy(key).count().where(f"count > 1 or {key} is null").take(1)
    if twice:
        raise InvalidInput(
            f"{key} {twice[0][key]!r} comes {twice[0]['count']} times in {name}; allowed: once, not null"
        )
