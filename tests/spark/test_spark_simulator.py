"""Sim4Rec's cycle: samples by law, selectors, responses of mixed stages, the log's schema, resume."""

import numpy as np
import pytest

from smartrec.core.errors import DataNotFound, InvalidConfig, InvalidInput, OutputError
from smartrec.envs.spark.log import IterationLog
from smartrec.envs.spark.selectors import RandomItems, all_items
from smartrec.envs.spark.simulator import Simulator
from smartrec.response_models import DriftingPopularity, Popularity

pytestmark = [pytest.mark.spark, pytest.mark.slow]
USERS = 4000


@pytest.fixture(scope="module")
def users(spark):
    return spark.range(USERS).selectExpr("id as user_idx", "id % 3 as kind").cache()


@pytest.fixture(scope="module")
def items(spark):
    return spark.range(10).selectExpr("id as item_idx").cache()


def column(frame, name):
    return frame.select(name).toArrow().column(name).to_numpy()


def keys(frame, name="user_idx"):
    return np.sort(column(frame, name))


def test_samples(users, items, tmp_path):
    simulator = Simulator(users, items, str(tmp_path / "s"), seed=3)
    tenth = keys(simulator.sample_users(1, share=0.1))
    assert abs(len(tenth) - 400) < 4 * np.sqrt(USERS * 0.1 * 0.9)
    np.testing.assert_array_equal(tenth, keys(simulator.sample_users(1, share=0.1)))
    second = keys(simulator.sample_users(2, share=0.1))
    assert abs(len(np.intersect1d(tenth, second)) - 40) < 4 * np.sqrt(40)
    assert len(keys(simulator.sample_users(1, share=0.0))) == 0
    assert len(keys(simulator.sample_users(1, share=1.0))) == USERS
    exact = keys(simulator.sample_users(1, count=250))
    assert len(np.unique(exact)) == 250
    with pytest.raises(InvalidInput, match=r"4001 users asked for; allowed: 0 to 4000"):
        simulator.sample_users(1, count=USERS + 1)
    with pytest.raises(InvalidInput, match="one of the two"):
        simulator.sample_users(1, count=1, share=0.1)
    few = simulator.sample_users(1, count=5)
    pairs, log = simulator.get_user_items(few, 1, 4)
    assert log is None
    table = pairs.toArrow().to_pandas()
    assert table.groupby("user_idx").item_idx.apply(frozenset).nunique() == 1
    assert len(table) == 20


def test_selectors(users, items, tmp_path):
    simulator = Simulator(users, items, str(tmp_path / "s"), seed=3)
    few = simulator.sample_users(1, count=5)

    def chosen(selector, iteration=1):
        pairs, _ = simulator.get_user_items(few, iteration, selector)
        table = pairs.toArrow().to_pandas()
        assert list(table) == ["user_idx", "item_idx"]
        return {user: frozenset(rows.item_idx) for user, rows in table.groupby("user_idx")}

    assert set(chosen(all_items).values()) == {frozenset(range(10))}
    assert chosen(4) == chosen(RandomItems(4, seed=3)) != chosen(RandomItems(4, seed=2))
    draws = [chosen(RandomItems(3), iteration) for iteration in range(1, 6)]
    assert {len(items) for draw in draws for items in draw.values()} == {3}
    assert len({next(iter(draw.values())) for draw in draws}) > 1
    assert len(draws[0]) == 5
    own = chosen(lambda users, items, n: users.crossJoin(items).where(f"item_idx % 3 = kind and item_idx > {n}"), 2)
    assert own == {user: frozenset(i for i in range(3, 10) if i % 3 == user % 3) for user in own}
    with pytest.raises(InvalidInput, match="11 items asked for; allowed: 0 to 10"):
        chosen(11)
    with pytest.raises(InvalidConfig, match="k = 0; allowed: a whole number >= 1"):
        RandomItems(0)


@pytest.mark.sim4rec
def test_params_of_one_stage_leave_the_dice_of_sim4rec_to_move_on(users, items, tmp_path):
    """Spark copies every stage that it hands params to, and a copy of sim4rec's begins where the stage began."""
    from pyspark.ml import PipelineModel
    from sim4rec.response import BernoulliResponse

    from smartrec.response_models.spark import SparkResponse

    ours = SparkResponse(Popularity([0.5] * 10), response="")
    dice = BernoulliResponse(inputCol="probability", outputCol="response", seed=2)
    simulator = Simulator(users, items, str(tmp_path / "s"))
    pairs, _ = simulator.get_user_items(users, 1, 1)
    for pipeline in (PipelineModel([ours, dice]), PipelineModel([PipelineModel([ours]), dice])):
        clicks = [
            column(simulator.sample_responses(pairs, pipeline, params={ours.clock: n}).orderBy("user_idx"), "response")
            for n in (1, 2)
        ]
        assert abs((clicks[0] == clicks[1]).mean() - 0.5) < 4 * np.sqrt(0.25 / USERS)


def test_rows_that_a_pipeline_lost_or_doubled_are_not_written(users, items, tmp_path):
    simulator = Simulator(users, items, str(tmp_path / "s"))
    pairs, _ = simulator.get_user_items(users.limit(3), 1, 2)
    for frame, count in ((pairs.limit(5), 5), (pairs.union(pairs.limit(1)), 7)):
        with pytest.raises(InvalidInput, match=f"iteration 1 has {count} rows; allowed: 6. A pipeline answers each"):
            simulator.update_log(frame, 1, rows=6)
    assert simulator.log.iterations == []
    simulator.update_log(pairs, 1, rows=6)
    assert simulator.log.read(1).count() == 6


@pytest.mark.sim4rec
def test_a_cycle_with_mixed_stages_and_its_log(spark, users, items, tmp_path):
    from pyspark.ml import PipelineModel
    from sim4rec import response

    from smartrec.response_models.spark import SparkResponse

    drift = DriftingPopularity(Popularity.breads().popularity)
    ours = SparkResponse(drift, seed=1, response="")
    pipeline = PipelineModel(
        stages=[ours, response.BernoulliResponse(inputCol="probability", outputCol="response", seed=2)]
    )
    before = spark.createDataFrame([(1, 2, 0.5, 1)], "user_idx long, item_idx long, probability double, response int")
    simulator = Simulator(users, items, str(tmp_path / "log"), log=before)
    for iteration in (1, 12):
        chosen = simulator.sample_users(iteration, share=0.5)
        pairs, _ = simulator.get_user_items(chosen, iteration, 3)
        answers = simulator.sample_responses(pairs, pipeline, params={ours.clock: iteration})
        simulator.update_log(answers, iteration)
    log = simulator.get_log(users).toArrow().to_pandas()
    assert sorted(log["__iter"].unique()) == [0, 1, 12]
    for iteration in (1, 12):
        part = log[log["__iter"] == iteration]
        np.testing.assert_allclose(part.probability, drift.popularity(iteration)[part.item_idx])
        assert abs(part.response.mean() - part.probability.mean()) < 4 * np.sqrt(0.25 / len(part))
        assert not part.duplicated(["user_idx", "item_idx"]).any()
    with pytest.raises(OutputError, match="go on by resume=True"):
        Simulator(users, items, str(tmp_path / "log"))
    again = Simulator(users, items, str(tmp_path / "log"), log=before, resume=True)
    assert again.log.iterations == [0, 1, 12]
    few = users.where("user_idx < 10")
    assert set(keys(again.get_log(few))) <= set(range(10))

    good = spark.createDataFrame([(1, 2, 0.5, 1)], before.schema)
    with pytest.raises(InvalidConfig, match=r"iteration = 12; allowed: 0 or more, and none of \[0, 1, 12\]"):
        again.update_log(good, 12)
    with pytest.raises(InvalidInput, match="response: bigint, not int"):
        again.update_log(good.withColumn("response", good.response.cast("long")), 13)
    with pytest.raises(InvalidInput, match="probability: none, not double"):
        again.update_log(good.drop("probability"), 13)
    with pytest.raises(InvalidInput, match="user_idx 4000 of the frame is unknown"):
        again.update_log(good.selectExpr("4000L as user_idx", "item_idx", "probability", "response"), 13)
    with pytest.raises(InvalidInput, match="item_idx 10 of pairs is unknown"):
        again.sample_responses(good.selectExpr("user_idx", "10L as item_idx"), pipeline)
    with pytest.raises(InvalidInput, match="the frame has no column 'item_idx'"):
        again.update_log(good.drop("item_idx"), 13)
    assert again.log.iterations == [0, 1, 12]
    assert sorted(path.name for path in (tmp_path / "log" / "log.parquet").iterdir()) == [
        "__iter=0", "__iter=1", "__iter=12",
    ]  # fmt: skip
    again.update_log(good.select("response", "probability", "item_idx", "user_idx"), 13)
    assert again.log.read(13).count() == 1
    with pytest.raises(DataNotFound, match=r"has iterations \[0, 1, 12, 13\], not \[5\]"):
        again.log.read(5)


def test_a_failing_pipeline_leaves_nothing(spark, users, items, tmp_path):
    log = IterationLog(spark, str(tmp_path / "log"))
    with pytest.raises(Exception, match="DIVIDE_BY_ZERO"):
        log.write(spark.range(5).selectExpr("id", "1 / (id - 3) as x"), 1)
    assert log.iterations == []
    assert not list((tmp_path / "log" / "log.parquet").iterdir())


def test_a_starting_log_with_iterations_and_arrays_without_nulls(spark, users, items, tmp_path):
    old = spark.range(3).selectExpr("id as user_idx", "id as item_idx", "array(1.0d) as x", "7 as __iter")
    simulator = Simulator(users, items, str(tmp_path / "log"), log=old)
    assert [row["__iter"] for row in simulator.log.read().collect()] == [0, 0, 0]
    with pytest.raises(InvalidInput, match="the frame has a column '__iter', which the log adds by itself; drop it"):
        simulator.update_log(old, 1)
    simulator.update_log(old.drop("__iter"), 1)  # read back, its arrays may hold nulls; as made, they do not
    assert simulator.log.iterations == [0, 1]


def test_bad_users_are_refused(users, items, tmp_path):
    with pytest.raises(InvalidInput, match=r"user_idx \d+ comes 2 times in users"):
        Simulator(users.union(users), items, str(tmp_path / "a"))
    with pytest.raises(InvalidInput, match="items has no column 'item_idx'"):
        Simulator(users, users, str(tmp_path / "a"))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file; choose a folder"):
        Simulator(users, items, str(tmp_path / "file"))
