"""Worlds whose users choose among what they see: rewards, what was observed, references, any number of lanes."""

from itertools import combinations, permutations

import gymnasium as gym
import numpy as np
import pytest

from smartrec import agents, evaluation
from smartrec.core.decision import Mask
from smartrec.core.errors import CheckFailed, InvalidConfig
from smartrec.envs import Crowd, RecommendationEnv, RecommendationVectorEnv, Settings, check_env
from smartrec.response_models import (
    Cascade,
    CosineSimilarity,
    Independent,
    MultinomialLogit,
    Noise,
    Popularity,
    Preferences,
    Table,
    WeightedSum,
)
from smartrec.response_models import choice as choice_words

CHOICES = {
    "independent": Independent(),
    "logit": MultinomialLogit(),
    "cascade": Cascade([0.9, 0.6, 0.4]),
}
by_choice = pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)
by_size = pytest.mark.parametrize("options", [{}, {"slate_size": 3}, {"slate_size": 2, "session_length": 3}], ids=str)


def even_or_odd(users, clock):
    """Users of an even number may be shown the first five items, the others the last five."""
    return Mask((np.arange(8) < 5) == (users % 2 == 0)[:, None])


def make(choice, lanes=1, mask=None, model=None, **options):
    model = Preferences.example(300, 8) if model is None else model
    return RecommendationVectorEnv(Crowd(model, 300, choice=choice, mask=mask), Settings(**options), lanes)


@by_choice
@by_size
def test_check_env(choice, options):
    check_env(make(choice, **options))


@pytest.mark.parametrize("choice", [MultinomialLogit(-1.0), CHOICES["cascade"]], ids=["logit", "cascade"])
def test_check_env_with_masks_history_and_repairs(choice):
    check_env(make(choice, slate_size=2, history=3, on_repeat="replace"))
    check_env(make(choice, mask=lambda users, clock: Mask(np.arange(8)[None] != clock % 8)))


def three_parts():
    rng = np.random.default_rng(1)
    angles = CosineSimilarity(rng.normal(size=(300, 4)), rng.normal(size=(8, 4)))
    return WeightedSum([angles, Preferences.example(300, 8), Noise(0.5, 0.3, 8)], [0.4, 0.4, 0.2])


@by_choice
@by_size
def test_a_world_of_blocks_with_noise_keeps_the_contract(choice, options):
    check_env(make(choice, model=three_parts(), iterations=4, **options))


def trace(envs, visits):
    envs.reset(seed=5)
    k, rows = envs.settings.slate_size, []
    for first in range(0, visits, envs.num_envs):
        numbers = np.arange(first, first + envs.num_envs)
        items = (5 * numbers[:, None] + np.arange(k)) % 8
        _, reward, _, _, info = envs.step(items[:, 0] if k == 1 else items)
        assert (info["visit"] == numbers).all()
        responses = info.get("responses", reward[:, None])
        rows.append((reward, responses, info.get("observed", np.ones(responses.shape, bool))))
    return [np.concatenate(parts)[:visits] for parts in zip(*rows, strict=True)]


@by_choice
@pytest.mark.parametrize("k", [1, 3])
def test_same_seed_same_clicks_and_looks_at_any_number_of_lanes(choice, k):
    traces = [trace(make(choice, lanes, slate_size=k), 90) for lanes in (1, 7, 30, 90)]
    reward, responses, observed = traces[0]
    for other in traces[1:]:
        assert all(np.array_equal(left, right) for left, right in zip(other, traces[0], strict=True))
    assert (reward == responses.sum(axis=1)).all()
    assert reward.max() <= (k if choice.additive else 1)
    assert reward.min() == 0 < reward.max()
    assert observed.all() == (not choice.skips)
    assert observed[responses == 1].all()


@pytest.mark.parametrize("k", [1, 3])
def test_the_single_view_hands_on_what_was_seen(k):
    choice = CHOICES["cascade"]
    batch_trace = trace(make(choice, 30, slate_size=k), 60)
    single = RecommendationEnv(make(choice, slate_size=k))
    single.reset(seed=5)
    for visit, (reward, responses, observed) in enumerate(zip(*batch_trace, strict=True)):
        items = (5 * visit + np.arange(k)) % 8
        _, got, _, _, info = single.step(items[0] if k == 1 else items)
        assert got == reward
        assert info["observed"].dtype == bool
        assert info["observed"].tolist() == observed.tolist()
        assert (info.get("responses", [got]) == responses).all()
        single.reset()


def test_where_all_is_seen_nothing_is_said_of_it():
    for choice in (Independent(), MultinomialLogit()):
        envs = make(choice, 4, slate_size=2)
        envs.reset(seed=0)
        *_, info = envs.step(np.tile([0, 1], (4, 1)))
        assert "observed" not in info
        single = RecommendationEnv(make(choice))
        single.reset(seed=0)
        assert "observed" not in single.step(3)[4]


def test_agents_learn_nothing_of_what_nobody_saw():
    truth = np.array([0.5, 0.3, 0.8, 0.1, 0.2])
    envs = RecommendationVectorEnv(
        Crowd(Popularity(truth), 4000, choice=Cascade([1.0, 0.8, 0.5])), Settings(slate_size=3, iterations=40), 400
    )
    agent = agents.make("thompson", envs, seed=0)
    record = evaluation.run(agent, envs, seed=0)
    # Positions behind a click, counted as failures, would make the items shown there look bad.
    assert record.metrics["exploit"] == pytest.approx(record.metrics["final_oracle"], abs=1e-9)
    envs.reset(seed=1)
    shown = np.tile([3, 0, 2], (400, 1))
    clicks, looks = np.zeros(3), np.zeros(3)
    for _ in range(100):
        *_, info = envs.step(shown)
        clicks, looks = clicks + info["responses"].sum(axis=0), looks + info["observed"].sum(axis=0)
    expected = truth[[3, 0, 2]]
    assert (np.abs(clicks / looks - expected) < 5 * np.sqrt(expected * (1 - expected) / looks)).all()
    assert (clicks / 40_000 < expected - 0.02)[1:].all()


# By a word in the settings


LIKED = np.array([0.75, 0.4, 0.1])  # breads 2, 0 and 1 of task 1
LOOKS = np.array([1.0, 1 / np.log2(3), 0.5])
ODDS = LIKED / (1 - LIKED)


def bakery(lanes, choice, **options):
    return gym.make_vec("SmartRec/Task1-v0", num_envs=lanes, choice=choice, **options).unwrapped


@pytest.mark.parametrize(
    ("choice", "clicks", "looks"),
    [
        ("independent", LIKED, np.ones(3)),
        ("logit", ODDS / (1 + ODDS.sum()), np.ones(3)),
        ("cascade", LIKED * LOOKS * np.cumprod([1, *(1 - LIKED * LOOKS)[:2]]),
         LOOKS * np.cumprod([1, *(1 - LIKED * LOOKS)[:2]])),
    ],
)  # fmt: skip
def test_clicks_and_looks_by_hand(choice, clicks, looks):
    envs = bakery(5000, choice, slate_size=3, iterations=20)
    envs.reset(seed=0)
    found, seen, n = np.zeros(3), np.zeros(3), 20 * 5000
    for _ in range(20):
        *_, info = envs.step(np.tile([2, 0, 1], (5000, 1)))
        assert info["expected_reward"] == pytest.approx(clicks.sum())
        found += info["responses"].sum(axis=0)
        seen += info.get("observed", np.ones((5000, 3))).sum(axis=0)
    assert (np.abs(found / n - clicks) < 5 * np.sqrt(clicks * (1 - clicks) / n)).all()
    assert (np.abs(seen / n - looks) <= 5 * np.sqrt(looks * (1 - looks) / n)).all()


@pytest.mark.parametrize("choice", ["logit", "cascade"])
def test_one_item_alone_is_clicked_with_its_probability(choice):
    plain, worded = bakery(50, "independent", reference=True), bakery(50, choice, reference=True)
    for envs in (plain, worded):
        envs.reset(seed=0)
    for items in np.random.default_rng(0).integers(10, size=(30, 50)):
        assert str(plain.step(items)) == str(worded.step(items))
    assert plain.references([1]) == worded.references([1])


def test_without_a_word_the_choice_of_the_crowd_stands():
    own = Crowd(Popularity(LIKED), 300, choice=Cascade([0.9, 0.1]))
    assert RecommendationVectorEnv(own, Settings(slate_size=2)).crowd is own
    assert RecommendationVectorEnv(own, Settings(slate_size=2, choice="cascade")).crowd is own
    with pytest.raises(InvalidConfig, match=r"'logit', but the crowd has a choice of its own, Cascade; allowed"):
        RecommendationVectorEnv(own, Settings(slate_size=2, choice="logit"))


def test_a_choice_that_nobody_knows_is_refused():
    assert {Settings(choice=name).choice for name in choice_words.CHOICES} == {"independent", "logit", "cascade"}
    for make_it in (lambda: Settings(choice="casade"), lambda: bakery(1, "casade", slate_size=2)):
        with pytest.raises(InvalidConfig, match=r"choice = 'casade'; allowed: .independent., .logit.,? .*.cascade."):
            make_it()


# What check_env must find: worlds that say what nobody saw, and say it wrong.


class Told(Cascade):
    """A cascade that says something else of what was seen."""

    def __init__(self, told, skips=True):
        super().__init__([0.5, 0.5])
        self.told, self.skips = told, skips

    def respond(self, probability, uniforms):
        responses, observed = super().respond(probability, uniforms)
        return responses, self.told(observed)


class Silent(RecommendationVectorEnv):
    def step(self, actions):
        *others, info = super().step(actions)
        return *others, {key: value for key, value in info.items() if key != "observed"}


@pytest.mark.parametrize(
    ("choice", "world", "message"),
    [
        (Told(lambda seen: ~seen), RecommendationVectorEnv, "position that nobody saw has no response"),
        (Told(lambda seen: seen.astype(int)), RecommendationVectorEnv, r"is bool \(1, 2\), .* Seen: int64"),
        (Told(lambda seen: seen[:, :1]), RecommendationVectorEnv, r"is bool \(1, 2\), .* Seen: bool \(1, 1\)"),
        (Told(lambda seen: seen, skips=False), RecommendationVectorEnv, "may leave positions unseen says so"),
        (Cascade([0.5, 0.5]), Silent, "is there exactly where the choice may leave"),
    ],
    ids=["denied", "numbers", "too few", "no word", "lost on the way"],
)
def test_check_env_finds_what_is_wrong_with_what_was_seen(choice, world, message):
    settings = Settings(slate_size=2, on_repeat="replace")
    gym.register(
        "SmartRecTest/Seen-v0",
        entry_point=lambda **_: RecommendationEnv(world(Crowd(Popularity([0.5] * 5), 60, choice=choice), settings)),
        vector_entry_point=lambda num_envs: world(Crowd(Popularity([0.5] * 5), 60, choice=choice), settings, num_envs),
    )
    try:
        with pytest.raises(CheckFailed, match=message):
            check_env("SmartRecTest/Seen-v0")
    finally:
        del gym.registry["SmartRecTest/Seen-v0"]


# References


@by_choice
@pytest.mark.parametrize("k", [1, 2, 3])
def test_references_are_those_of_all_slates(choice, k):
    table = np.random.default_rng(0).random((30, 6))
    envs = RecommendationVectorEnv(Crowd(Table(table), 30, choice=choice), Settings(slate_size=k))
    envs.reset(seed=0)
    values = np.stack([choice.expected(table[:, slate]) for slate in permutations(range(6), k)], axis=1)
    found = envs.references([1, 3])
    assert found.random == pytest.approx(values.mean(), abs=1e-6)
    assert found.oracle == pytest.approx(values.max(axis=1).mean(), abs=1e-12)
    if choice.additive:
        fixed = max(table[:, slate].sum(axis=1).mean() for slate in map(list, combinations(range(6), k)))
        assert found.best_fixed == pytest.approx(fixed)
    else:
        # Mean probabilities do not tell what a slate is worth to all users, so nothing is claimed.
        assert np.isnan(found.best_fixed)


@by_choice
def test_references_by_step_where_users_may_be_shown_different_items(choice):
    envs = make(choice, 5, even_or_odd, slate_size=3, reference=True)
    observation, _ = envs.reset(seed=0)
    table = envs.crowd.model.scores(np.arange(300), envs.crowd.model.start())
    users, allowed = observation["user"], observation["allowed"]
    *_, info = envs.step(np.stack([np.flatnonzero(row)[:3] for row in allowed]))
    for lane, user in enumerate(users):
        slates = np.array(list(permutations(np.flatnonzero(allowed[lane]), 3)))
        values = choice.expected(table[user, slates])
        assert info["random_expected_reward"][lane] == pytest.approx(values.mean(), abs=1e-6)
        assert info["best_expected_reward"][lane] == pytest.approx(values.max(), abs=1e-6)
        assert info["expected_reward"][lane] == pytest.approx(values[0], abs=1e-6)


def test_noise_is_another_one_every_tick_and_the_same_in_every_world():
    envs = make(Independent(), 30, model=Noise(0.5, 0.3, 8), iterations=3)
    seen = []
    for seed in (0, 0, 1):
        observation, _ = envs.reset(seed=seed)
        rows = []
        for _ in range(4):
            clock, users = int(observation["clock"][0]), observation["user"]
            observation, _, _, _, info = envs.step(np.full(30, 3))
            rows.append((clock, users, info["expected_reward"]))
        seen.append(rows)
        tables = [envs.crowd.model.scores(np.arange(300), envs.crowd.model.at(clock))[:, 3] for clock in range(1, 5)]
        for clock, users, expected in rows:
            assert (expected == tables[clock - 1][users]).all()
    assert all((left[2] == right[2]).all() for left, right in zip(seen[0], seen[1], strict=True))
    assert all((left != right).mean() > 0.9 for left, right in combinations(tables, 2))
