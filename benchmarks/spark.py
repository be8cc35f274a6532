"""Row 13: seconds of a cycle on Spark by users, beside the same cycle of sim4rec's stages and RePlay's UCB.

A cycle of task 1: sample users, recommend one of ten items by an upper confidence bound, respond, write the log, learn.
All users are sampled. Both sides run in one session; RePlay counts only the rows that came, by its ``refit``, which is
kinder than the fit to the whole log that Sim4Rec's examples use.
"""

import os
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium

from benchmarks.table import Row, seconds
from smartrec import agents
from smartrec.core.errors import MissingExtra
from smartrec.core.spark import session
from smartrec.envs.spark.log import IterationLog
from smartrec.envs.spark.visits import Visits
from smartrec.response_models.popularity import BREADS
from smartrec.tasks.spark_cycle import SparkCycle

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)


def cycles(quick: bool) -> list[Row]:
    """Seconds a cycle, ours beside the peer's, and the largest memory of all processes together."""
    spark = session("local[2]", {"spark.driver.memory": "2g"})
    rows = []
    for users in SIZES[:2] if quick else SIZES:
        folder = tempfile.mkdtemp()
        rounds = 2 if quick or users > 1_000_000 else 5
        try:
            ours = _median(_ours(spark, users, f"{folder}/ours"), rounds)
            peer = _median(_peer(spark, users, f"{folder}/peer"), rounds)
            text, ratio = f"sim4rec + RePlay {seconds(peer)}", peer / ours
        except MissingExtra as error:
            text, ratio = str(error), None
        finally:
            shutil.rmtree(folder)
        what = f"cycle of {users:,} users on Spark local[2], UCB; {_peak_gigabytes():.1f} GB of memory at most so far"
        bar = 5.0 if users >= 100_000 else None
        rows.append(Row(13, what, seconds(ours), text, ratio, "x", bar=bar, at_least=True))
    return rows


def _median(cycle: Iterator[None], rounds: int) -> float:
    for _ in range(2):  # Java compiles what it meets
        next(cycle)
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        next(cycle)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _ours(spark: Any, users: int, folder: str) -> Iterator[None]:
    envs: Any = gymnasium.make_vec("SmartRec/Task1-v0", num_envs=1, n_users=users, users_per_iteration=users)
    base = envs.unwrapped
    agent = agents.make("ucb", envs, seed=0)
    cycle = SparkCycle(agent, Visits(base.crowd, base.settings, 1), IterationLog(spark, folder), 1)
    for clock in range(1, 1000):
        cycle.iterate(clock)
        yield


def _peer(spark: Any, users: int, folder: str) -> Iterator[None]:
    from smartrec.agents.adapters.replay_faults import quiet, replay_models
    from smartrec.agents.adapters.replay_fit import dataset_of

    try:
        from sim4rec.response import BernoulliResponse
    except ModuleNotFoundError:
        raise MissingExtra("sim4rec is not installed") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        everyone = spark.range(users).withColumnRenamed("id", "user_idx").cache()
        items = spark.createDataFrame(list(enumerate(BREADS)), "item_idx long, popularity double").cache()
        fake = spark.createDataFrame([(0, 0, 1.0)], "user_idx long, item_idx long, relevance double")
        ucb = replay_models().UCB(exploration_coef=2.0)
        ucb.fit(dataset_of(fake))
    respond = BernoulliResponse(inputCol="popularity", outputCol="response", seed=1)
    log = fake
    for iteration in range(1, 1000):
        with quiet():
            sampled = everyone.sample(1.0, seed=iteration)
            shown = ucb.predict(
                dataset_of(log), 1, queries=sampled, items=items.select("item_idx"), filter_seen_items=False
            )
            answers = respond.transform(shown.join(items, "item_idx")).select("user_idx", "item_idx", "response")
            place = f"{folder}/log.parquet/__iter={iteration}"
            answers.write.parquet(place)
            log = spark.read.parquet(place).selectExpr("user_idx", "item_idx", "double(response) as relevance")
            ucb.refit(dataset_of(log))
        yield
    everyone.unpersist()


def _peak_gigabytes() -> float:
    """Return the sum of the largest resident sizes of this process and of all it has begun, in GB; 0 off Linux."""
    children: dict[int, list[int]] = {}
    peaks: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            found = dict(line.split(":", 1) for line in status.read_text().splitlines())
        except OSError:
            continue
        number = int(status.parent.name)
        children.setdefault(int(found["PPid"]), []).append(number)
        peaks[number] = int(found.get("VmHWM", "0 kB").split()[0])

    def below(number: int) -> int:
        return peaks.get(number, 0) + sum(map(below, children.get(number, [])))

    return below(os.getpid()) / 1e6
