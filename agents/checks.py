"""The examination that every agent has to pass, ours and yours: ``check_agent``.

Each rule is a function in ``RULES``; the first that does not hold ends the examination.
"""

import copy
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from gymnasium import spaces

from smartrec.agents.base import Agent
from smartrec.agents.examination import Subject, contents, global_states, made_up_problems, tiny
from smartrec.agents.registry import agent_class
from smartrec.core.arrays import FloatArray
from smartrec.core.decision import Decision, Items, Mask
from smartrec.core.errors import CheckFailed, InvalidAction, InvalidInput, MissingExtra
from smartrec.core.problem import Problem
from smartrec.core.slate import has_repeats
from smartrec.core.transitions import Transitions

CROWD = 1000
"""Lanes of the rules about random draws."""

Z_BOUND = 6.0
"""Standard errors (and counts) by which a frequency may differ: chance does it less than once in a million."""

SHIFT_BOUND = 0.25
"""Share of decisions that feedback nobody saw may move: draws move far fewer, a counted failure far more."""


class _SeenError(Exception):
    """What a rule saw that it should not have."""


@dataclass(frozen=True)
class Rule:
    """One rule of the contract.

    Attributes:
        check: Raises where the rule does not hold.
        what_to_do: Advice to who broke it.
        applies: Tells which agents and problems the rule is for.
    """

    check: Callable[[Subject], None]
    what_to_do: str
    applies: Callable[[Subject], bool] = lambda subject: True


def check_agent(agent: type[Agent] | str, problem: Problem | None = None) -> None:
    """Examine an agent by the contract of ``Agent``.

    Args:
        agent: A class derived from ``Agent``, a registered name, or ``"module:Class"``.
        problem: What to examine it on; None takes small problems made up for it: one item a user, slates where
            its tags say so, vectors where they do.

    Raises:
        CheckFailed: It breaks a rule; the message says which.
        UnknownName: No agent has this name.
        InvalidInput: ``agent`` is no class derived from ``Agent``.
        MissingExtra: It needs a package that is not installed.
    """
    cls: Any = agent_class(agent) if isinstance(agent, str) else agent
    if not (isinstance(cls, type) and issubclass(cls, Agent)):
        raise InvalidInput(f"agent is {agent!r}; allowed: a class derived from smartrec.agents.Agent, or its name")
    for asked in made_up_problems(cls) if problem is None else [problem]:
        for rule in RULES:
            subject = Subject(cls, asked, np.random.default_rng(1))
            if rule.applies(subject):
                _apply(rule, subject)


def _apply(rule: Rule, subject: Subject) -> None:
    cause: Exception | None = None
    try:
        rule.check(subject)
        return
    except MissingExtra:
        raise
    except _SeenError as failed:
        seen = str(failed)
    except Exception as error:
        cause, seen = error, f"it raised {type(error).__name__}: {error}"
    about = (rule.check.__doc__ or "").rstrip(".")
    where = f"{subject.cls.__name__}, asked for {subject.problem.action_space}"
    raise CheckFailed(f"{where}: {about}", seen, rule.what_to_do) from cause


def _demand(holds: Any, seen: str) -> None:
    if not holds:
        raise _SeenError(seen)


def _demand_decision(subject: Subject, decision: Any, lanes: int) -> None:
    _demand(isinstance(decision, Decision), f"act returned {type(decision).__name__}")
    action, problem = decision.action, subject.problem
    shape = (lanes, *(problem.action_space.shape or ()))
    _demand(isinstance(action, np.ndarray), f"the action is of type {type(action).__name__}")
    _demand(action.shape == shape, f"the action has shape {action.shape} for {lanes} lanes, not {shape}")
    if isinstance(problem.action_space, spaces.Box):
        low, high = problem.action_space.low, problem.action_space.high
        _demand(((action >= low) & (action <= high)).all(), f"the action {action} leaves the box")
    else:
        _demand(np.issubdtype(action.dtype, np.integer), f"the action is of dtype {action.dtype}")
        outside = action[(action < 0) | (action >= problem.items)]
        _demand(not outside.size, f"the action names item {outside[:1]} of {problem.items}")
        repeats = has_repeats(action.reshape(lanes, -1))
        _demand(not repeats.any(), f"the slate {action[repeats.argmax()]} names an item twice")
    _demand_log_probability(decision.log_probability, lanes, subject.cls.tags.propensities)
    for name, extra in decision.extras.items():
        _demand(len(extra) == lanes, f"extras[{name!r}] has {len(extra)} rows for {lanes} lanes")


def _demand_log_probability(known: FloatArray | None, lanes: int, promised: bool) -> None:
    if known is None:
        _demand(not promised, "log_probability is None, although tags.propensities promises it")
        return
    _demand(np.shape(known) == (lanes,), f"log_probability has shape {np.shape(known)}, not ({lanes},)")
    _demand(np.isfinite(known).all() and (known <= 1e-9).all(), f"log_probability is {known}")


def _same(one: Decision, other: Decision) -> bool:
    known, expected = one.log_probability, other.log_probability
    if known is None or expected is None:
        return known is expected and np.array_equal(one.action, other.action)
    return np.array_equal(known, expected) and np.array_equal(one.action, other.action)


def any_lanes(subject: Subject) -> None:
    """Decisions have one row a lane, for one lane and for any other number."""
    for agent in (subject.make(), subject.learnt()):
        for lanes in (1, subject.problem.lanes, subject.problem.lanes + 3, 2):
            for explore in (True, False):
                first = np.ones(lanes, bool)
                decision = agent.act(subject.observation(lanes), first=first, explore=explore)
                _demand_decision(subject, decision, lanes)
                decision = agent.act(subject.observation(lanes), explore=explore)
                _demand_decision(subject, decision, lanes)
        subject.live(agent, 2, lanes=1)


def masks(subject: Subject) -> None:
    """Only what is allowed is chosen, whatever the form of the candidates."""
    for agent in (subject.make(), subject.learnt()):
        for lanes in (1, 40):
            for allowed, table in subject.candidates(lanes):
                for explore in (True, False):
                    decision = agent.act(subject.observation(lanes), allowed=allowed, explore=explore)
                    _demand_decision(subject, decision, lanes)
                    hit = table[np.arange(lanes)[:, None], decision.action.reshape(lanes, -1)].all(axis=1)
                    lane, form = int(np.argmin(hit)), type(allowed).__name__
                    said = f"lane {lane} of {lanes} got {decision.action[lane]} where {form} allows only"
                    _demand(hit.all(), f"{said} {np.flatnonzero(table[lane])}, with explore={explore}")


def starved(subject: Subject) -> None:
    """A lane with fewer candidates than a slate needs raises InvalidAction."""
    items, slate_size = subject.problem.items or 0, subject.problem.slate_size
    agent = subject.make()
    for lanes in (1, 3):
        table = np.ones((lanes, items), bool)
        table[-1, slate_size - 1 :] = False
        for allowed in (Mask(table), Items(np.where(table, np.arange(items), -1))):
            try:
                decision = agent.act(subject.observation(lanes), allowed=allowed)
            except InvalidAction:
                continue
            form = type(allowed).__name__
            raise _SeenError(f"{form} left {slate_size - 1} items, and it chose {decision.action[-1]}")


def seeds(subject: Subject) -> None:
    """The same seed decides alike, another seed otherwise, and 0 is a seed."""
    crowd = subject.observation(CROWD)
    one, other, third = (subject.make(seed).act(crowd) for seed in (0, 0, 1))
    _demand(_same(one, other), f"two agents of seed 0 decided differently for {CROWD} users")
    _demand(not _same(one, third), f"the agents of seeds 0 and 1 decided alike for {CROWD} users")
    twin = copy.deepcopy(subject)
    lives = zip(subject.live(subject.make(), 5), twin.live(twin.make(), 5), strict=True)
    _demand(all(_same(*pair) for pair in lives), "two agents of seed 0 parted while they learnt the same")


def ties(subject: Subject) -> None:
    """Identical users do not all get the same item before anything is known."""
    action = subject.make().act(subject.identical(CROWD)).action.reshape(CROWD, -1)
    _demand((action[:, 0] != action[0, 0]).any(), f"all {CROWD} users got item {action[0, 0]} first")


def feedback(subject: Subject) -> None:
    """Feedback may come late, in any order, in parts, seen in part, or not at all."""
    agent, pending = subject.make(), []
    for _ in range(4):
        seen = subject.observation(8)
        pending.append(subject.feedback(seen, agent.act(seen, first=np.ones(8, bool))))
    in_order = subject.cls.tags.in_order
    for index in (0, 1, 2, 3) if in_order else (3, 0, 2, 1):
        late = pending[index] if in_order else pending[index][subject.rng.permutation(8)]
        late = replace(late, observed=subject.rng.random(late.observed.shape) < 0.7)
        for part in (late[:0], late[:3], late[3:]):
            agent.observe(part)
            _demand_figures(agent.update())
    _demand_figures(agent.update())
    _demand_decision(subject, agent.act(subject.observation(8)), 8)


def _demand_figures(figures: Any) -> None:
    good = isinstance(figures, dict) and all(
        isinstance(key, str) and isinstance(value, (float, np.floating)) for key, value in figures.items()
    )
    _demand(good, f"update returned {figures!r}, not a dict of floats")


def unseen(subject: Subject) -> None:
    """What nobody saw is neither a success nor a failure: it counts as if it had not been shown."""
    for response in (0.0, 1.0):
        told, spared = subject.make(), subject.make()
        for _ in range(5):
            seen = subject.observation(200)
            for agent, drop in ((told, False), (spared, True)):
                given = _hide_item_zero(copy.deepcopy(subject).feedback(seen, agent.act(seen)), response)
                agent.observe(given[np.flatnonzero(given.observed.all(axis=1))] if drop else given)
                agent.update()
        for explore in (True, False):
            crowd = subject.observation(CROWD)
            shares = [_shares(agent.act(crowd, explore=explore), subject) for agent in (told, spared)]
            shift = float(np.abs(shares[0] - shares[1]).sum() / 2)
            _demand(
                shift <= SHIFT_BOUND,
                f"feedback with observed=False and responses={response} moved {shift:.0%} of the decisions "
                f"with explore={explore}",
            )


def _hide_item_zero(given: Transitions, response: float) -> Transitions:
    hidden = (given.items == 0).any(axis=1)
    responses = np.where(hidden[:, None], response, given.responses)
    reward = np.where(hidden, 0.0, given.reward)
    return replace(given, responses=responses, reward=reward, observed=given.observed & ~hidden[:, None])


def _shares(decision: Decision, subject: Subject) -> FloatArray:
    first = decision.action.reshape(CROWD, -1)[:, 0]
    return np.bincount(first, minlength=subject.problem.items or 0) / CROWD


def saving(subject: Subject) -> None:
    """A loaded agent goes on exactly as the saved one would have: 2 N steps are N, save, load, N."""
    unbroken, users = subject.make(), copy.deepcopy(subject)
    expected = users.live(unbroken, 8)[4:]
    saved = subject.make()
    subject.live(saved, 4)
    with tempfile.TemporaryDirectory() as folder:
        saved.save(folder)
        loaded = subject.cls.load(folder)
    _demand(type(loaded) is subject.cls, f"load returned {type(loaded).__name__}")
    for name, agent in (("saved", saved), ("loaded", loaded)):
        for step, pair in enumerate(zip(copy.deepcopy(subject).live(agent, 4), expected, strict=True)):
            said = f"{step} steps after saving, the {name} agent decides otherwise than one never saved"
            _demand(_same(*pair), said)


def global_generators(subject: Subject) -> None:
    """The global generators of random, NumPy and PyTorch stay untouched."""
    subject.make()  # imports what the agent needs, so that PyTorch is looked at where it is used
    before = global_states()
    subject.learnt().act(subject.observation(8), explore=False)
    after = global_states()
    changed = [name for name in before if before[name] != after[name]]
    _demand(not changed, f"it drew from, or seeded, the global generator of {', '.join(changed)}")


def inputs(subject: Subject) -> None:
    """Arrays that are handed in are not changed."""
    agent = subject.learnt()
    choices = [None] if subject.problem.items is None else [None, *(form for form, _ in subject.candidates(8))]
    for allowed in choices:
        seen, first = subject.observation(8), np.ones(8, bool)
        before = contents(seen, first, allowed)
        decision = agent.act(seen, first=first, allowed=allowed)
        _demand(before == contents(seen, first, allowed), "act changed its observation, first or allowed")
        given = replace(subject.feedback(seen, decision), allowed=allowed, next_allowed=allowed)
        before = contents(given)
        agent.observe(given)
        agent.update()
        _demand(before == contents(given), "observe or update changed the transitions")


def propensities(subject: Subject) -> None:
    """Each slate comes up as often as its log_probability says."""
    users = Subject(subject.cls, tiny(subject.problem), subject.rng)
    lanes = 4 * CROWD
    for agent in (users.make(), users.learnt()):
        for explore in (True, False):
            decision = agent.act(users.identical(lanes), first=np.ones(lanes, bool), explore=explore)
            if decision.log_probability is None:
                continue
            slates, which, counts = np.unique(
                decision.action.reshape(lanes, -1), axis=0, return_inverse=True, return_counts=True
            )
            claimed = np.bincount(which.reshape(-1), weights=np.exp(decision.log_probability)) / counts
            _demand(claimed.sum() <= 1 + 1e-6, f"the probabilities of all slates add up to {claimed.sum()}")
            spread = np.sqrt(lanes * np.clip(claimed * (1 - claimed), 0, None))
            off = np.abs(counts - lanes * claimed) - Z_BOUND * (spread + 1)
            worst = int(off.argmax())
            said = f"slate {slates[worst]} came up {counts[worst]} times in {lanes}, at a claimed probability of"
            _demand(off[worst] <= 0, f"{said} {claimed[worst]:.4f}, with explore={explore}")


def _chooses(subject: Subject) -> bool:
    return subject.problem.items is not None


def _has_choice(subject: Subject) -> bool:
    return (subject.problem.items or 0) > 1


RULES = [
    Rule(any_lanes, "Return Decision(int [N], int [N, K] or float [N, D]) and never squeeze; self.decide helps"),
    Rule(masks, "Pass scores through self.restrict(scores, allowed)", _chooses),
    Rule(starved, "Call allowed.require(slate_size) before choosing, or self.restrict, which does", _chooses),
    Rule(seeds, "Draw from self.rng alone, and break ties with it", _has_choice),
    Rule(ties, "Break ties at random for each lane: smartrec.agents.exploration.best", _has_choice),
    Rule(feedback, "Take transitions as self-contained, of any number, and return {} where nothing was learnt"),
    Rule(unseen, "Count only positions where transitions.observed", lambda s: _chooses(s) and not s.cls.tags.in_order),
    Rule(saving, "Keep what is learnt in attributes that can be saved: arrays, numbers, strings, generators"),
    Rule(global_generators, "Use self.rng, or a torch.Generator seeded from it"),
    Rule(inputs, "Work on copies"),
    Rule(propensities, "Return the exact logarithm, or None where it is unknown", _chooses),
]
