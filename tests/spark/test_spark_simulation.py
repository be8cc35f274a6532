"""Agents in a simulation on DataFrames: the law by hand and of NumPy's world, ids, candidates, resume row by row."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pyarrow as pa
import pytest

import smartrec
from smartrec.core.decision import Items
from smartrec.core.errors import DataError, InvalidAction, InvalidConfig, InvalidInput
from smartrec.core.seeding import generators
from smartrec.envs.spark.log import IterationLog
from smartrec.envs.spark.selectors import RandomItems, all_items
from smartrec.envs.spark.simulator import Simulator
from smartrec.evaluation import run as run_here
from smartrec.response_models import Popularity, Table
from smartrec.response_models.counters import uniforms
from smartrec.tasks.spark_cycle import Totals, learn_sums
from smartrec.tasks.spark_decisions import decided
from smartrec.tasks.spark_extras import Extras
from smartrec.tasks.spark_simulation import Simulation

pytestmark = [pytest.mark.spark, pytest.mark.slow]
USERS, ITERATIONS, DICE = 300, 4, 4
NAMES = ("person", "bread")
PEOPLE = np.array([f"p{(n * 7) % USERS:03d}" for n in range(USERS)])  # in no order; number 0 .. is that of sorted ids
BREADS = np.array(["rye", "oat", "corn", "bun", "bap", "naan", "pita", "roll", "loaf", "bagel"])


@pytest.fixture(scope="module")
def frames(spark):
    """Users and items with ids of their own, and the number that a response model knows each by."""
    users = spark.createDataFrame(pa.table({"person": PEOPLE, "user": np.arange(USERS), "age": np.arange(USERS) % 7}))
    items = spark.createDataFrame(pa.table({"bread": BREADS, "item": np.arange(10), "fat": np.arange(10.0) ** 2}))
    return users.cache(), items.cache()


def ours(model=None, **options):
    from smartrec.response_models.spark import SparkResponse

    return SparkResponse(model or Popularity.breads(), DICE, user="user", item="item", **options)


def simulation(frames, folder, stage=None, **options):
    """Return a simulation whose pipeline has ``stage`` in it, and its clock moved."""
    from pyspark.ml import PipelineModel

    users, items = frames
    stage = stage or ours()
    options = {"iterations": ITERATIONS, "probability": "probability", "pipeline": PipelineModel([stage]), **options}
    if not {"share", "count"} & {*options}:
        options["share"] = 1.0
    return Simulation(
        simulator=Simulator(users, items, str(folder), user=NAMES[0], item=NAMES[1], seed=3, resume=True),
        user_features=users.select("person", "user"),
        item_features=items.select("bread", "item"),
        params=lambda iteration: {stage.clock: iteration},
        **options,
    )


def rows(world, *names):
    table = world.simulator.log.read().orderBy("__iter", "person", "position").toArrow()
    return [table.column(name).to_numpy(zero_copy_only=False) for name in ("__iter", "person", "bread", *names)]


def by_hand(problem, seed, dice=DICE):
    """Return the rows of a run with all users in each iteration, worked out here without Spark."""
    agent = smartrec.agents.make("thompson", problem, seed=seed)
    order, breads = np.argsort(PEOPLE), np.sort(BREADS)
    draws, model, found = int(generators(seed, 2)[1].integers(2**63)), Popularity.breads(), []
    for clock in range(1, ITERATIONS + 1):
        agent.rng = np.random.default_rng([draws, clock, 0])
        people = pa.table({"person": PEOPLE[order]})
        shown = decided(agent, people, clock, None, pa.array(breads), NAMES, Extras("Thompson", {}))
        numbers = shown.column("bread").to_numpy()
        items = np.argsort(BREADS)[np.searchsorted(breads, numbers)]
        p = model.popularity[items]
        clicks = (uniforms(dice, model.at(clock).key, order, items) < p).astype(float)
        places = np.searchsorted(breads, numbers)
        counts = np.bincount(places, minlength=10)
        learn_sums(agent, clock, Totals(USERS, clicks.sum(), p.sum(), counts, counts, np.bincount(places, clicks, 10)))
        found.append([np.full(USERS, clock), PEOPLE[order], numbers, clicks, p])
    return [np.concatenate(column) for column in zip(*found, strict=True)]


def test_a_run_is_as_by_hand_and_has_the_law_of_numpys_world(frames, tmp_path):
    world = simulation(frames, tmp_path / "log", observe_user=False)
    came = world.run(smartrec.agents.make("thompson", world.problem, seed=0), seed=0)
    expected = by_hand(world.problem, 0)
    for found, wanted in zip(rows(world, "response", "probability"), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert [totals.reward for totals in came] == expected[3].reshape(ITERATIONS, -1).sum(axis=1).tolist()
    assert sum(totals.expected for totals in came) == pytest.approx(expected[4].sum())
    assert {totals.visits for totals in came} == {USERS}
    many = gym.make_vec(
        "SmartRec/Task1-v0", num_envs=USERS, n_users=USERS, users_per_iteration=USERS, iterations=ITERATIONS
    )
    theirs = [
        run_here(smartrec.agents.make("thompson", many, seed=seed), many, seed=seed).metrics["loop"]
        for seed in range(60)
    ]
    here = [by_hand(world.problem, seed, dice=seed)[3].mean() for seed in range(60)]
    error = np.sqrt((np.var(here, ddof=1) + np.var(theirs, ddof=1)) / 60)
    assert abs(np.mean(here) - np.mean(theirs)) <= 3 * error


@pytest.mark.sim4rec
def test_with_a_stage_of_sim4rec_the_law_is_the_same_and_an_interrupted_run_ends_as_if_it_had_not_been(
    frames, tmp_path, monkeypatch
):
    from pyspark.ml import PipelineModel
    from sim4rec.response import BernoulliResponse

    def go(folder):
        stage = ours(response="")
        dice = BernoulliResponse(inputCol="probability", outputCol="response", seed=6)
        world = simulation(
            frames, tmp_path / folder, stage, pipeline=PipelineModel([PipelineModel([stage]), dice]), share=0.8
        )
        agent = smartrec.agents.make("thompson", world.problem, seed=1, discount=0.9)
        return world, agent, world.run(agent, seed=7)

    world, agent, came = go("whole")
    write = IterationLog.write

    def dies(self, frame, iteration, **options):
        if iteration == 3:
            raise KeyboardInterrupt
        write(self, frame, iteration, **options)

    monkeypatch.setattr(IterationLog, "write", dies)
    with pytest.raises(KeyboardInterrupt):
        go("cut")
    monkeypatch.setattr(IterationLog, "write", write)
    again, other, then = go("cut")
    found = rows(world, "response", "probability")
    for one, two in zip(found, rows(again, "response", "probability"), strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(agent.counts.sums, other.counts.sums)
    assert [totals.reward for totals in came] == [totals.reward for totals in then]
    assert [totals.visits for totals in came] == [totals.visits for totals in then]
    iteration, _, _, clicks, p = found
    assert abs((clicks - p).sum()) < 3 * np.sqrt((p * (1 - p)).sum())
    loops = [by_hand(world.problem, seed, dice=seed)[3].mean() for seed in range(60)]
    assert abs(clicks.mean() - np.mean(loops)) < 3 * np.std(loops) * np.sqrt(1 / 0.8 + 1 / 60)
    assert (
        len(np.unique(np.array([clicks[iteration == n][:150] for n in range(1, ITERATIONS + 1)]), axis=0)) == ITERATIONS
    )


def test_an_agent_that_learns_from_rows_gets_numbers_features_and_candidates_of_its_users(frames, tmp_path):
    def each(users, items, iteration):
        """Select five items a user by age, shifted by the iteration, one of them twice."""
        pairs = users.crossJoin(items).where(f"(item + age + {iteration}) % 2 = 0")
        return pairs.union(pairs.limit(1))

    taste = Table(np.random.default_rng(0).random((USERS, 10)))
    options = {"slate_size": 2, "iterations": 3, "count": 120, "selector": each}
    world = simulation(
        frames, tmp_path / "log", ours(taste), user_columns=("age",), item_columns=("fat", "item"), **options
    )
    order, breads = np.argsort(PEOPLE), np.argsort(BREADS)
    np.testing.assert_array_equal(world.problem.item_features, np.column_stack([breads.astype(float) ** 2, breads]))
    assert (world.problem.users, world.problem.items, world.problem.slate_size) == (USERS, 10, 2)
    agent, got = smartrec.agents.make("lin_ts", world.problem, seed=0), []
    learn = agent.observe
    agent.observe = lambda transitions: (got.append(transitions), learn(transitions))
    came = world.run(agent, seed=2)
    iteration, people, shown, clicks, p = rows(world, "response", "probability")
    for clock, transitions in enumerate(got, start=1):
        users, items = order[transitions.observation["user"]], breads[transitions.items]
        mine = iteration == clock
        np.testing.assert_array_equal(PEOPLE[users], people[mine][::2])
        np.testing.assert_array_equal(BREADS[items].ravel(), shown[mine])
        np.testing.assert_array_equal(transitions.responses.ravel(), clicks[mine])
        np.testing.assert_array_equal(transitions.observation["user_features"][:, 0], users % 7)
        assert isinstance(transitions.allowed, Items)
        candidates = breads[transitions.allowed.items]
        assert candidates.shape == (120, 5)
        assert ((candidates + users[:, None] % 7 + clock) % 2 == 0).all()
        assert ((items + users[:, None] % 7 + clock) % 2 == 0).all()
        assert (items[:, 0] != items[:, 1]).all()
        np.testing.assert_allclose(p[mine].reshape(-1, 2), taste.table[users[:, None], items])
        np.testing.assert_array_equal(transitions.visit, (clock - 1) * 120 + np.arange(120))
        assert came[clock - 1].reward == clicks[mine].sum()
    assert len(got) == 3


def test_what_decisions_carry_comes_back_out_of_the_log(frames, tmp_path):
    """DDPG is told of the very points that its actor, as it was at the beginning of the iteration, chose."""
    world = simulation(frames, tmp_path / "log", slate_size=2, iterations=3, item_columns=("fat", "item"))
    options = {"hidden": (8,), "train_every": 100, "capacity": 1000, "warmup": 100}
    agent, got = smartrec.agents.make("ddpg", world.problem, seed=0, **options), []

    def observe(transitions):
        del agent.observe  # what is no state cannot be saved
        got.append(transitions)
        agent.save(tmp_path / f"{len(got)}")
        agent.observe(transitions)
        agent.observe = observe

    agent.observe = observe
    world.run(agent, seed=2)
    draws = int(generators(2, 2)[1].integers(2**63))
    for clock, transitions in enumerate(got, start=1):
        twin = smartrec.agents.load(tmp_path / f"{clock}")
        twin.rng = np.random.default_rng([draws, clock, 0])
        wanted = twin.act(transitions.observation, first=np.ones(USERS, bool))
        np.testing.assert_array_equal(transitions.decision.extras["proto"], wanted.extras["proto"])
        np.testing.assert_array_equal(transitions.decision.action, wanted.action)
    assert agent.critic.steps > 0
    (column,) = (name for name in world.simulator.log.read().columns if name.startswith("extra_"))
    assert column == "extra_proto"


def test_partitions_change_nothing_and_all_users_share_what_a_selector_gives_for_all(frames, tmp_path, monkeypatch):
    monkeypatch.setattr("smartrec.tasks.spark_simulation.CHUNK", 50)  # six groups
    users, items = frames
    found = []
    for parts in (1, 4):
        cut = users.repartition(parts, "age"), items.repartition(parts)
        world = simulation(cut, tmp_path / str(parts), selector=RandomItems(4, "bread"), iterations=2)
        world.run(smartrec.agents.make("epsilon_greedy", world.problem, seed=0), seed=0)
        found.append(rows(world, "response", "log_probability"))
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)
    iteration, _, shown, *_ = found[0]
    chosen = [set(shown[iteration == clock]) for clock in (1, 2)]
    assert max(map(len, chosen)) <= 4
    assert chosen[0] != chosen[1]


def test_a_recommender_of_replay_knows_each_user_by_his_id(frames, tmp_path):
    """Users of odd numbers like breads of odd numbers; after four iterations each is shown those."""
    likes = np.where((np.arange(USERS)[:, None] + np.arange(10)) % 2, 0.02, 0.95)
    world = simulation(frames, tmp_path / "log", ours(Table(likes)), slate_size=2)
    agent = smartrec.agents.make(
        "smartrec.agents.adapters.replay:RePlay",
        world.problem,
        seed=0,
        recommender="ItemKNN",
        options={"num_neighbours": 4},
        epsilon=0.1,
    )
    came = world.run(agent, seed=0)
    assert came[0].expected / came[0].visits == pytest.approx(0.97, abs=0.15)
    assert came[-1].expected / came[-1].visits > 1.6


def test_ids_that_are_numbers_of_a_gap_or_none(spark):
    from smartrec.envs.spark.numbers import digest_of, numbered

    for ids in ([3, 1, 0, 2], [30, -10, 0, 20], ["b", "", "a", "ä"], [2.5, -1.0, 0.25, 7.0]):
        frame = spark.createDataFrame(pa.table({"key": ids})).repartition(3)
        found = dict(map(tuple, numbered(frame, "key", "number").collect()))
        assert found == {key: number for number, key in enumerate(sorted(ids))}
        assert digest_of(frame, "key") == digest_of(frame.coalesce(1), "key")
        assert digest_of(frame, "key") != digest_of(frame.limit(3), "key")


def test_what_does_not_fit_is_refused_before_anything_is_written(frames, tmp_path):
    from pyspark.ml.feature import SQLTransformer

    users, items = frames

    def refused(kind, message, agent="thompson", **options):
        world = simulation(frames, tmp_path / str(len(list(tmp_path.iterdir()))), **{"iterations": 1, **options})
        with pytest.raises(kind, match=message):
            world.run(smartrec.agents.make(agent, world.problem, seed=0), seed=0)
        assert world.simulator.log.iterations == []

    few = users.sparkSession.createDataFrame([("p000", "rye")], list(NAMES))
    refused(InvalidAction, "may be shown 0 items", selector=lambda users, items, n: few.where("bread = ''"))
    refused(InvalidAction, "may be shown 1 items, but a slate needs 2", slate_size=2, selector=1)
    cake = few.selectExpr("'cake' as bread")
    refused(InvalidInput, "bread cake of the selector is unknown", selector=lambda users, items, n: cake)
    refused(InvalidInput, "bread cake of the selector", selector=lambda u, i, n: u.select("person").crossJoin(cake))
    refused(InvalidInput, "what the selector returns has no column 'bread'", selector=lambda users, items, n: users)
    sql = "select *, 0.5d as probability, {} as response from __THIS__"
    stage = SQLTransformer(statement=sql.format("2"))
    refused(InvalidInput, "response 2 is no response that Thompson learns from", pipeline=stage)
    stage = SQLTransformer(statement=sql.format("if(person = 'p007', null, 1)"))
    refused(InvalidInput, "response null is no response", pipeline=stage, agent="lin_ts", user_columns=("age",))
    stage = SQLTransformer(statement=sql.format("1") + " where person <> 'p007'")
    refused(InvalidInput, "iteration 1 has 299 rows; allowed: 300", pipeline=stage)
    stage = SQLTransformer(statement="select *, 1 as answer from __THIS__")
    refused(InvalidInput, "what the pipeline returns has no column 'response'", pipeline=stage)
    with pytest.raises(InvalidConfig, match=r"share = 0.5, count = 3; allowed: one of the two"):
        simulation(frames, tmp_path / "log", share=0.5, count=3)
    with pytest.raises(InvalidInput, match="'bread' of items is of type string"):
        simulation(frames, tmp_path / "log", item_columns=("bread",))
    old = users.selectExpr("person", "user", "if(user = 3, null, age) as age")
    with pytest.raises(InvalidInput, match="column 'age' of users has 1 missing or infinite values"):
        _ = simulation((old, items), tmp_path / "log", user_columns=("age",)).problem
    world = simulation(frames, tmp_path / "other", iterations=1)
    with pytest.raises(InvalidConfig, match="Random is for another problem"):
        world.run(smartrec.agents.make("random", replace(world, slate_size=2).problem, seed=0), seed=0)
    world.run(smartrec.agents.make("random", world.problem, seed=0), seed=0)
    with pytest.raises(DataError, match="holds another run"):
        world.run(smartrec.agents.make("random", world.problem, seed=1), seed=0)
    assert world.selector is all_items
