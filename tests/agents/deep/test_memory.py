"""Memory of lanes against episodes kept by hand, and against what experience says of the same steps."""

import copy

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from smartrec.agents.deep.experience import Experience
from smartrec.agents.deep.memory import Memory
from smartrec.agents.deep.networks import built
from smartrec.agents.encoders.state import FRAMES_KNOWN, State, tensors
from smartrec.core.decision import Decision
from smartrec.core.errors import InvalidConfig
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions

PROBLEM = Problem.from_spaces(spaces.Box(-9, 9, (2,), np.float32), spaces.Discrete(3), discount=0.9)


class World:
    """Lanes whose episodes end now and then; keeps all episodes in a list."""

    def __init__(self, lanes: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.visit, self.begun, self.step = np.arange(lanes), lanes, 0
        self.first = np.ones(lanes, bool)
        self.now = self.draw()
        self.episodes = {visit: [self.now[lane]] for lane, visit in enumerate(self.visit)}

    def draw(self):
        return self.rng.normal(size=(len(self.visit), 2)).astype(np.float32)

    def move(self) -> Transitions:
        before, visit, after = self.now, self.visit.copy(), self.draw()
        done = self.rng.random(len(visit)) < 0.25
        given_ = Transitions(
            observation={"observation": before},
            decision=Decision(np.zeros(len(visit), int)),
            responses=np.ones((len(visit), 1)),
            observed=np.ones((len(visit), 1), bool),
            reward=np.ones(len(visit)),
            next_observation={"observation": after},
            terminated=done,
            truncated=np.zeros(len(visit), bool),
            visit=visit,
            step=np.full(len(visit), self.step),
        )
        self.first, self.now, self.step = done, np.where(done[:, None], self.draw(), after), self.step + 1
        self.visit[done] = self.begun + np.arange(done.sum())
        self.begun += int(done.sum())
        for lane, number in enumerate(self.visit.tolist()):
            self.episodes.setdefault(number, []).append(self.now[lane])
        return given_


@settings(max_examples=25, deadline=None)
@given(lanes=st.integers(1, 4), frames=st.integers(1, 5), seed=st.integers(0, 999), shuffled=st.booleans())
def test_what_was_acted_on_is_what_is_learnt_from(lanes, frames, seed, shuffled):
    world, memory = World(lanes, seed), Memory(PROBLEM, frames)
    experience = Experience(PROBLEM, 200, frames=frames)
    acted_on, came = [], []
    for _ in range(20):
        seen = memory.look({"observation": world.now}, world.first)
        for lane, visit in enumerate(world.visit.tolist()):
            episode = world.episodes[visit][-frames:]
            known = seen[FRAMES_KNOWN][lane]
            assert known.tolist() == [False] * (frames - len(episode)) + [True] * len(episode)
            assert np.array_equal(seen["observation"][lane][known], episode)
            assert not seen["observation"][lane][~known].any()
        acted_on.append({key: part.copy() for key, part in seen.items()})
        came.append(world.move())
    order = [(t, lane) for t in range(20) for lane in range(lanes)]
    if shuffled:
        order = [order[k] for k in world.rng.permutation(len(order))]
    for t, lane in order:
        experience.record(came[t][lane : lane + 1])
    batch = experience.batch(np.arange(len(order)))
    for row, (t, lane) in enumerate(order):
        for key in ("observation", FRAMES_KNOWN):
            assert np.array_equal(batch.observation[key][row], acted_on[t][key][lane])
            if t < 19 and not came[t].terminated[lane]:
                assert np.array_equal(batch.next_observation[key][row], acted_on[t + 1][key][lane])


def test_frames_and_steps_ahead_go_together():
    experience = Experience(PROBLEM, 50, frames=3, n_step=2)
    place = np.arange(6, dtype=np.float32)[:, None].repeat(2, axis=1)
    world = World(6, 0).move()
    experience.record(
        Transitions(
            observation={"observation": place},
            decision=world.decision,
            responses=world.responses,
            observed=world.observed,
            reward=world.reward,
            next_observation={"observation": place + 1},
            terminated=np.zeros(6, bool),
            truncated=np.arange(6) == 5,
            visit=np.zeros(6, int),
            step=np.arange(6),
        )
    )
    batch = experience.batch(np.array([0, 3, 5]))
    assert batch.observation["observation"][..., 0].tolist() == [[0, 0, 0], [1, 2, 3], [3, 4, 5]]
    assert batch.observation[FRAMES_KNOWN].tolist() == [[False, False, True], [True] * 3, [True] * 3]
    assert batch.next_observation["observation"][..., 0].tolist() == [[0, 1, 2], [3, 4, 5], [4, 5, 6]]
    assert batch.next_observation[FRAMES_KNOWN].all()
    assert batch.reward.tolist() == pytest.approx([1.9, 1.9, 1])


@pytest.mark.parametrize("encoder", ["gru", "attention", "tcn", "esn", "frame"])
def test_a_state_reads_frames_and_not_what_was_never_seen(encoder):
    memory = Memory(PROBLEM, 4)
    state = built(lambda: State(memory.problem, encoder, 8), np.random.default_rng(0))
    now = np.ones((2, 2), np.float32)
    memory.look({"observation": 5 * now}, np.array([True, True]))
    seen = memory.look({"observation": now}, np.array([True, False]))
    fresh = Memory(PROBLEM, 4).look({"observation": now}, None)
    with torch.no_grad():
        after, anew = state(tensors(seen)), state(tensors(fresh))
    assert after.shape == (2, state.size)
    torch.testing.assert_close(after[0], anew[0])
    assert not torch.allclose(after[1], anew[1])


def test_memory_is_saved_exactly_and_begins_anew_for_other_lanes():
    memory, world = Memory(PROBLEM, 3), World(2, 0)
    for _ in range(4):
        memory.look({"observation": world.now}, world.first)
        world.move()
    other = Memory(PROBLEM, 3)
    other.set_state(copy.deepcopy(memory.get_state()))
    for one in (memory, other):
        seen = one.look({"observation": np.ones((2, 2), np.float32)}, np.zeros(2, bool))
        assert seen[FRAMES_KNOWN].all()
    assert np.array_equal(memory.get_state()["frames"], other.get_state()["frames"])
    seen = memory.look({"observation": np.ones((3, 2), np.float32)}, np.zeros(3, bool))
    assert seen[FRAMES_KNOWN].sum() == 3


def test_without_frames_nothing_changes():
    memory = Memory(PROBLEM, 0)
    seen = {"observation": np.ones((2, 2))}
    assert memory.problem is PROBLEM
    assert memory.look(seen, None) is seen


def test_what_cannot_be_laid_in_a_row_is_refused():
    observed = spaces.Dict(user=spaces.Discrete(3))
    with pytest.raises(InvalidConfig, match="history=10"):
        Memory(Problem.from_spaces(observed, spaces.Discrete(3)), 2)
    with pytest.raises(InvalidConfig, match="frames = -1"):
        Memory(PROBLEM, -1)
