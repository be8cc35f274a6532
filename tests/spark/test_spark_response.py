"""The Spark twin of every response model: equal to NumPy, mixing with sim4rec's own stages."""

import gymnasium
import numpy as np
import pytest

from smartrec.core.errors import InvalidConfig, InvalidInput
from smartrec.envs import Crowd, RecommendationVectorEnv, Settings
from smartrec.response_models import RESPONSE_MODELS, Noise, Popularity, Table, WeightedSum
from smartrec.response_models.counters import uniforms

pytestmark = [pytest.mark.spark, pytest.mark.slow]
USERS, ITEMS = 40, 7


@pytest.fixture(scope="module")
def pairs(spark):
    return spark.range(USERS * ITEMS).selectExpr(
        f"id div {ITEMS} as user_idx", f"cast(id % {ITEMS} as int) as item_idx", "id"
    )


def columns_of(frame, *names):
    table = frame.orderBy("user_idx", "item_idx").select(*names).toArrow()
    return [table.column(name).to_numpy() for name in names]


@pytest.mark.parametrize("name", list(RESPONSE_MODELS))
def test_every_registered_model_is_the_same_in_spark(pairs, name):
    from smartrec.response_models.spark import SparkResponse

    model = RESPONSE_MODELS.get(name).example(USERS, ITEMS, seed=1)
    found = columns_of(SparkResponse(model, seed=3).at(4).transform(pairs), "probability", "response")
    users, items = np.arange(USERS), np.tile(np.arange(ITEMS), (USERS, 1))
    expected = model.probability(users, items, model.at(4))
    np.testing.assert_allclose(found[0].reshape(USERS, ITEMS), expected, atol=1e-6)
    dice = uniforms(3, model.at(4).key, users[:, None], items)
    np.testing.assert_array_equal(found[1].reshape(USERS, ITEMS), dice < expected)


def test_partitions_and_repeats_change_nothing_and_the_clock_does(pairs):
    from smartrec.response_models.spark import SparkResponse

    stage = SparkResponse(WeightedSum([Noise(0.5, 0.3, ITEMS, seed=2), Popularity([0.4] * ITEMS)], [0.5, 0.5]), seed=1)
    first = columns_of(stage.transform(pairs), "probability", "response")
    again = columns_of(stage.transform(pairs.repartition(5, "item_idx")), "probability", "response")
    np.testing.assert_array_equal(first, again)
    later = columns_of(stage.at(2).transform(pairs), "probability", "response")
    assert not np.allclose(first[0], later[0])
    assert stage.getOrDefault(stage.clock) == 1


def test_dice_have_the_law_of_the_probabilities():
    users, places = np.arange(200_000), np.arange(3)
    u = uniforms(5, 7, users[:, None], places)
    assert u.min() >= 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < 4 * np.sqrt(1 / 12 / u.size)
    assert abs(np.corrcoef(u.T)[0, 1]) < 4 / np.sqrt(len(users))
    assert abs(np.corrcoef(u[:-1, 0], u[1:, 0])[0, 1]) < 4 / np.sqrt(len(users))
    share = np.bincount((u.ravel() * 100).astype(int)) / u.size
    assert abs(share - 0.01).max() < 5 * np.sqrt(0.01 / u.size)


@pytest.mark.sim4rec
def test_stages_mix_with_those_of_sim4rec_and_of_spark(spark, pairs):
    from pyspark.ml import PipelineModel
    from pyspark.ml.feature import SQLTransformer
    from sim4rec import response

    from smartrec.response_models.spark import SparkResponse

    model = Table(np.random.default_rng(0).random((USERS, ITEMS)))
    ours = SparkResponse(model, probability="taste", response="")
    pipeline = PipelineModel(
        stages=[
            ours,
            response.ConstantResponse(value=0.2, outputCol="base"),
            response.ParametricResponseFunction(inputCols=["taste", "base"], weights=[0.75, 0.25], outputCol="p"),
            SQLTransformer(statement="SELECT *, p / 2 AS half FROM __THIS__"),
            response.BernoulliResponse(inputCol="p", outputCol="response", seed=1),
        ]
    )
    p, half, clicks = columns_of(pipeline.transform(pairs), "p", "half", "response")
    np.testing.assert_allclose(p, 0.75 * model.table.ravel() + 0.05, atol=1e-12)
    np.testing.assert_allclose(half, p / 2)
    assert abs(clicks.mean() - p.mean()) < 4 * np.sqrt(0.25 / len(p))


def test_a_pipeline_moves_the_clock_of_our_stage(spark, pairs):
    from pyspark.ml import PipelineModel

    from smartrec.response_models.spark import SparkResponse

    model = RESPONSE_MODELS.get("drifting_popularity").example(USERS, ITEMS)
    stage = SparkResponse(model)
    frame = PipelineModel(stages=[stage]).transform(pairs, {stage.clock: 9})
    np.testing.assert_allclose(columns_of(frame, "probability")[0], np.tile(model.popularity(9), USERS))


def test_a_model_is_broadcast_once_however_often_the_clock_moves(spark, pairs, monkeypatch):
    from pyspark.ml import PipelineModel

    from smartrec.response_models.spark import SparkResponse

    context, sent = type(spark.sparkContext), []
    broadcast = context.broadcast
    monkeypatch.setattr(context, "broadcast", lambda self, value: sent.append(value) or broadcast(self, value))
    model = RESPONSE_MODELS.get("drifting_popularity").example(USERS, ITEMS)
    stage = SparkResponse(model)
    for clock in range(1, 6):
        frame = PipelineModel(stages=[stage]).transform(pairs, {stage.clock: clock})
        np.testing.assert_allclose(columns_of(frame, "probability")[0], np.tile(model.popularity(clock), USERS))
    assert sent == [model]
    columns_of(SparkResponse(model).transform(pairs), "probability")
    assert sent == [model, model]  # a stage of its own


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop("item_idx"), "no column 'item_idx'. Did you mean"),
        (lambda f: f.withColumn("user_idx", f.user_idx.cast("string")), "'user_idx' of the frame is of type string"),
        (lambda f: f.withColumn("response", f.id), "has a column 'response' already"),
        (lambda f: f.withColumn("user_idx", f.user_idx + 1), f"user {USERS} is unknown .* allowed: 0 to {USERS - 1}"),
        (lambda f: f.selectExpr("user_idx", "item_idx - 1 as item_idx"), "item -1 is unknown"),
        (lambda f: f.selectExpr("user_idx", "nullif(item_idx, 3) as item_idx"), "items are null"),
    ],
)
def test_bad_frames_are_refused(pairs, change, message):
    from smartrec.core.spark import clear_errors
    from smartrec.response_models.spark import SparkResponse

    with pytest.raises(InvalidInput, match=message), clear_errors():
        SparkResponse(Table(np.full((USERS, ITEMS), 0.5))).transform(change(pairs)).selectExpr(
            "sum(response)"
        ).collect()


def test_bad_options_are_refused(pairs):
    from smartrec.response_models.spark import SparkResponse

    with pytest.raises(InvalidConfig, match="seed = -1"):
        SparkResponse(Popularity([0.5]), seed=-1)
    with pytest.raises(InvalidConfig, match="clock = 0"):
        SparkResponse(Popularity([0.5]), seed=1).at(0).transform(pairs)


@pytest.mark.sim4rec
def test_sim4rec_serves_an_environment(spark):
    from pyspark.ml import PipelineModel
    from pyspark.ml.linalg import Vectors
    from sim4rec import response

    from smartrec.response_models.sim4rec import Sim4RecResponse
    from smartrec.response_models.spark import SparkResponse

    rng = np.random.default_rng(1)
    of_users, of_items = rng.normal(size=(30, 3)), rng.normal(size=(5, 3))
    users = spark.createDataFrame([(n, Vectors.dense(row)) for n, row in enumerate(of_users)], ["user_idx", "u"])
    items = spark.createDataFrame([(n, Vectors.dense(row)) for n, row in enumerate(of_items)], ["item_idx", "i"])
    stages = [
        response.CosineSimilatiry(inputCols=["u", "i"], outputCol="likeness"),
        response.ConstantResponse(value=0.5, outputCol="base"),
        response.ParametricResponseFunction(inputCols=["likeness", "base"], weights=[0.5, 0.5], outputCol="response"),
    ]
    model = Sim4RecResponse(PipelineModel(stages=stages), users, items)
    ours = WeightedSum(
        [RESPONSE_MODELS.get("cosine_similarity")(of_users, of_items), RESPONSE_MODELS.get("constant")(0.5, 5)],
        [0.5, 0.5],
    )
    np.testing.assert_allclose(model.scores(np.arange(30), model.start()), ours.scores(np.arange(30), ours.start()))
    envs = RecommendationVectorEnv(Crowd(model, 30), Settings(users_per_iteration=30), 30)
    seen, _ = envs.reset(seed=0)
    expected = model.table[seen["user"], seen["user"] % 5]  # the next visits begin in the same step
    *_, info = envs.step(seen["user"] % 5)
    np.testing.assert_allclose(info["expected_reward"], expected)
    assert isinstance(envs, gymnasium.vector.VectorEnv)
    dice = response.BernoulliResponse(inputCol="response", outputCol="clicked", seed=1)
    inner = PipelineModel(stages=[PipelineModel(stages=[dice])])
    for end in (dice, inner):
        with pytest.raises(InvalidConfig, match="the column that they are rolled for, 'response'"):
            Sim4RecResponse(PipelineModel(stages=[*stages, end]), users, items, probability="clicked")
    ours = SparkResponse(Popularity([0.5] * 5), probability="p")
    with pytest.raises(InvalidConfig, match=r"'response' holds the dice of SparkResponse; .* rolled for, 'p'"):
        Sim4RecResponse(PipelineModel(stages=[PipelineModel(stages=[ours])]), users, items)
    with pytest.raises(InvalidInput, match=r"29 rows with user_idx from .1. to"):
        Sim4RecResponse(PipelineModel(stages=stages), users.filter("user_idx > 0"), items)
