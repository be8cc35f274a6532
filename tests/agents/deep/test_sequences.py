"""Links against a list of episodes kept by brute force, and n-step returns against sums by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from smartrec.agents.deep.experience import Experience
from smartrec.agents.deep.n_step import n_step_return
from smartrec.agents.deep.sequences import Links
from smartrec.core.decision import Decision, Mask
from smartrec.core.errors import InvalidConfig
from smartrec.core.problem import Problem
from smartrec.core.slate import Slate
from smartrec.core.transitions import Transitions


def always(earlier, later):
    return np.ones(len(earlier), bool)


class BruteForce:
    """A ring of (visit, step), searched from end to end."""

    def __init__(self, capacity: int) -> None:
        self.ring: list[tuple[int, int] | None] = [None] * capacity
        self.next = 0

    def record(self, steps) -> list[int]:
        places = []
        for step in steps:
            self.ring[self.next] = step
            places.append(self.next)
            self.next = (self.next + 1) % len(self.ring)
        return places

    def walk(self, place: int, length: int, way: int) -> list[int]:
        visit, step = self.ring[place]
        found = [place]
        while len(found) < length and (visit, step + way) in self.ring:
            step += way
            found.append(self.ring.index((visit, step)))
        return found


@st.composite
def deliveries(draw):
    """Steps of a few visits, some lost, in batches of any order."""
    steps = [(visit, step) for visit in range(draw(st.integers(1, 4))) for step in range(draw(st.integers(1, 7)))]
    steps = [step for step in draw(st.permutations(steps)) if draw(st.integers(0, 4))]
    cuts = sorted(draw(st.lists(st.integers(0, len(steps)), max_size=5)))
    return [steps[a:b] for a, b in zip([0, *cuts], [*cuts, len(steps)], strict=True)]


@settings(max_examples=150, deadline=None)
@given(batches=deliveries(), capacity=st.integers(1, 12), length=st.integers(1, 5))
def test_links_equal_a_search_by_brute_force(batches, capacity, length):
    links, brute = Links(capacity), BruteForce(capacity)
    for batch in batches:
        batch = batch[-capacity:]
        places = np.array(brute.record(batch), int)
        visit, step = np.array(batch, int).reshape(-1, 2).T
        links.record(places, visit, step, always)
        restored = Links(capacity)
        restored.set_state(links.get_state())
        rows = np.array([place for place, held in enumerate(brute.ring) if held is not None], int)
        for one in (links, restored):
            (before, seen), (after, came) = one.windows(rows, length), one.ahead(rows, length)
            for k, row in enumerate(rows.tolist()):
                assert before[k][seen[k]].tolist() == brute.walk(row, length, -1)[::-1]
                assert after[k][came[k]].tolist() == brute.walk(row, length, 1)
                assert (seen[k] == np.sort(seen[k])).all()  # unknown first
                assert (came[k] == np.sort(came[k])[::-1]).all()  # unknown last
        links = restored


def test_only_steps_that_lead_to_each_other_are_linked():
    links = Links(4)
    links.record(np.arange(4), np.zeros(4, int), np.arange(4), lambda earlier, later: earlier != 1)
    assert links.following.tolist() == [1, -1, 3, -1]
    assert links.previous.tolist() == [-1, 0, -1, 2]


@settings(max_examples=50, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=40),
    size=st.integers(1, 4),
    capacity=st.integers(4, 7),
)
def test_steps_that_come_twice_leave_no_dangling_link(steps, size, capacity):
    links, ring = Links(capacity), BruteForce(capacity)
    for k in range(0, len(steps), size):
        places = np.array(ring.record(steps[k : k + size]), int)
        links.record(places, *np.array(steps[k : k + size]).T, always)
        for place in range(capacity):
            after, before = links.following[place], links.previous[place]
            assert after < 0 or links.previous[after] == place
            assert before < 0 or links.following[before] == place
            if after >= 0:
                (visit, step), (other, later) = ring.ring[place], ring.ring[after]
                assert (visit, step + 1) == (other, later)


def test_n_step_returns_by_hand():
    reward = np.array([[1.0, 2, 4], [1, 2, 4], [1, 2, 4]])
    discount = np.array([[0.5, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0.5]])
    known = np.array([[True, True, True], [True, True, False], [True, False, False]])
    total, after, last = n_step_return(reward, discount, known)
    assert total.tolist() == [1 + 0.5 * 2 + 0.25 * 4, 1 + 0.5 * 2, 1]
    assert after.tolist() == [0.125, 0, 0.5]
    assert last.tolist() == [2, 1, 0]


GAMMA = 0.9


def problem_of(action: spaces.Space | None = None, discount: float = GAMMA) -> Problem:
    action = spaces.Discrete(4) if action is None else action
    observed = spaces.Dict(place=spaces.Box(0, 100, (2,), np.float32))
    return Problem.from_spaces(observed, action, discount=discount)


def visit_of(number: int, length: int, *, end: str, slate: int = 1, start: float = 0.0) -> Transitions:
    """A walk start, start + 1, .. whose step t pays t + 1."""
    t = np.arange(length)
    place = np.column_stack([start + t, np.full(length, number)]).astype(np.float32)
    responses = np.tile((t + 1.0)[:, None] / slate, (1, slate))
    ends = t == length - 1
    items = np.tile(np.arange(slate), (length, 1))
    return Transitions(
        observation={"place": place},
        decision=Decision(items[:, 0] if slate == 1 else items),
        responses=responses,
        observed=np.ones((length, slate), bool),
        reward=responses.sum(axis=1),
        next_observation={"place": place + np.float32([1, 0])},
        terminated=ends & (end == "terminated"),
        truncated=ends & (end == "truncated"),
        visit=np.full(length, number),
        step=10 * number + t,
        next_allowed=Mask(np.eye(4, dtype=bool)[(t + 1) % 4] | (np.arange(4) == 0)),
    )


def expected(t: int, length: int, n: int, end: str) -> tuple[float, float, int]:
    """Return, discount and last step of step t of a walk with nothing lost."""
    count = min(n, length - t)
    total = sum(GAMMA**j * (t + j + 1) for j in range(count))
    ended = t + count == length and end == "terminated"
    return total, 0.0 if ended else GAMMA**count, t + count - 1


@pytest.mark.parametrize("end", ["terminated", "truncated", "goes on"])
@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_experience_of_n_steps_equals_sums_by_hand_in_any_order(n, end):
    walks = [visit_of(number, 5, end=end) for number in range(3)]
    experience = Experience(problem_of(), 100, n_step=n)
    order = np.random.default_rng(n).permutation(15)
    for k in order:
        experience.record(walks[k // 5][k % 5 : k % 5 + 1])
    batch = experience.batch(np.arange(15))
    for row, k in enumerate(order):
        total, discount, last = expected(k % 5, 5, n, end)
        assert batch.reward[row] == pytest.approx(total)
        assert batch.responses[row, 0] == pytest.approx(total)
        assert batch.discount[row] == pytest.approx(discount)
        assert batch.observation["place"][row].tolist() == [k % 5, k // 5]
        assert batch.next_observation["place"][row].tolist() == [last + 1, k // 5]
        assert batch.next_allowed[row].nonzero().flatten().tolist() == sorted({0, (last + 1) % 4})
    assert torch.equal(batch.action.flatten(), torch.zeros(15, dtype=torch.int64))


def test_a_lost_step_makes_the_return_shorter():
    walk = visit_of(0, 6, end="terminated")
    experience = Experience(problem_of(), 100, n_step=4)
    experience.record(walk[np.array([0, 1, 3, 4, 5])])
    batch = experience.batch(np.arange(5))
    assert batch.reward.tolist() == pytest.approx([1 + 0.9 * 2, 2, 4 + 0.9 * 5 + 0.81 * 6, 5 + 0.9 * 6, 6])
    assert batch.discount.tolist() == pytest.approx([0.81, 0.9, 0, 0, 0])
    assert batch.next_observation["place"][:, 0].tolist() == [2, 2, 6, 6, 6]


def test_lanes_beside_each_other_and_a_ring_that_runs_over():
    walks = [visit_of(number, 8, end="goes on") for number in range(4)]
    experience = Experience(problem_of(), 14, n_step=3)
    for t in range(8):  # four lanes a step; of 32 transitions the last 14 are kept
        for walk in walks:
            experience.record(walk[t : t + 1])
    batch = experience.batch(np.arange(14))
    for row in range(14):
        t = int(batch.observation["place"][row, 0])
        total, discount, _ = expected(t, 8, 3, "goes on")
        assert batch.reward[row] == pytest.approx(total)
        assert batch.discount[row] == pytest.approx(discount)


def test_a_slate_learns_what_adds_up_to_its_return():
    experience = Experience(problem_of(Slate(4, 2)), 10, n_step=3)
    experience.record(visit_of(0, 3, end="terminated", slate=2))
    batch = experience.batch(np.arange(3))
    torch.testing.assert_close(batch.responses.sum(dim=1), batch.reward)
    assert batch.reward.tolist() == pytest.approx([1 + 0.9 * 2 + 0.81 * 3, 2 + 0.9 * 3, 3])


def test_a_world_begun_anew_is_not_mixed_with_the_one_before():
    experience = Experience(problem_of(), 100, n_step=5)
    old, new = visit_of(0, 5, end="terminated"), visit_of(0, 5, end="terminated", start=50)
    experience.record(old)
    for t in range(4):
        experience.record(new[t : t + 1])
        batch = experience.batch(np.arange(5, 6 + t))
        assert batch.discount[0] == pytest.approx(0.9 ** (t + 1))  # so far, and no step of the old world
    assert experience.batch(np.arange(5)).reward.tolist() == pytest.approx(
        [sum(GAMMA**j * (t + j + 1) for j in range(5 - t)) for t in range(5)]
    )


def test_experience_of_n_steps_is_saved_exactly():
    walk = visit_of(0, 6, end="truncated")
    one, other = (Experience(problem_of(), 8, n_step=3) for _ in range(2))
    one.record(walk[:4])
    other.set_state(one.get_state())
    for experience in (one, other):
        experience.record(walk[4:])
        experience.record(visit_of(1, 5, end="terminated"))
    for mine, its in zip(vars(one.batch(np.arange(8))).values(), vars(other.batch(np.arange(8))).values(), strict=True):
        if isinstance(mine, torch.Tensor):
            assert torch.equal(mine, its)
    assert all(np.array_equal(one.get_state()[key], value) for key, value in other.get_state().items())


def test_where_nothing_is_bootstrapped_nothing_is_added_up():
    experience = Experience(problem_of(discount=0.0), 10, n_step=3)
    experience.record(visit_of(0, 3, end="terminated"))
    assert experience.batch(np.arange(3)).reward.tolist() == [1, 2, 3]


def test_what_was_recorded_is_not_changed_by_looking_ahead():
    experience = Experience(problem_of(), 10, n_step=3)
    walk = visit_of(0, 4, end="terminated")
    experience.record(replace(walk, next_allowed=None))
    before = {key: np.copy(value) for key, value in experience.get_state().items()}
    experience.sample(20, np.random.default_rng(0))
    assert all(np.array_equal(before[key], value) for key, value in experience.get_state().items())


def test_n_step_out_of_range():
    with pytest.raises(InvalidConfig, match="n_step = 0"):
        Experience(problem_of(), 10, n_step=0)
