"""The only interaction loop: an agent meets an environment, batch by batch."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from smartrec.core.arrays import BoolArray, Observation
from smartrec.core.config import digest, require, to_dict
from smartrec.core.decision import Candidates, Decision
from smartrec.core.errors import InvalidConfig
from smartrec.core.problem import Problem
from smartrec.core.provenance import code_of
from smartrec.core.seeding import generators
from smartrec.core.transitions import Transitions
from smartrec.core.world import World
from smartrec.evaluation.behaviour import Showings, recovery_of
from smartrec.evaluation.episodes import Episodes, last_seen, seen
from smartrec.evaluation.log import EventLog, Totals
from smartrec.evaluation.metrics import Ledger, normalised
from smartrec.evaluation.record import RunRecord, checkout, versions

Progress = Callable[[int, int], None]
"""Called with steps done and steps in all."""


def run(
    agent: Any,
    envs: Any,
    *,
    seed: int,
    steps: int | None = None,
    feedback_delay: int = 0,
    feedback_loss: float = 0.0,
    label: str | None = None,
    agent_seed: int | None = None,
    progress: Progress | None = None,
    log: str | Path | None = None,
) -> RunRecord:
    """Let an agent serve an environment, and measure it.

    Each step: act, step, observe the feedback that has arrived, update. On a SmartRec world the run is its
    ``iterations``; then what is pending is delivered, learning stops, and a census of all users at clock
    ``iterations + 1`` gives the final figures. What is served beyond the last iteration, because the lanes do not
    divide it, is neither scored nor learnt from.

    Args:
        agent: A ``smartrec.agents.Agent`` that is new, or loaded to go on in the same world: one that forgets
            tells the age of feedback by the clock, which begins anew in another world.
        envs: A vector environment: ``gymnasium.make_vec(...)``.
        seed: Of the world, >= 0.
        steps: Steps of the loop; only for environments that are no SmartRec world, where it is needed.
        feedback_delay: Steps after which feedback arrives, >= 0.
        feedback_loss: Share of feedback that never arrives, 0..1.
        label: Name of the row in tables; None takes the agent's class.
        agent_seed: Seed the agent was made with, for the record.
        progress: Called after every step.
        log: Folder of an event file for TensorBoard, see ``EventLog``; None writes none.

    Returns:
        The record; for other environments ``loop`` is the mean return of the episodes that ended, and the figures that
        need the truth are left out.

    Raises:
        InvalidConfig: Options out of range, an agent that needs its feedback in order and would not get it, or one that
            was made for another problem.
        MissingExtra: ``log`` is given, and tensorboard is not installed.
        OutputError: The folder ``log`` cannot be written.
    """
    whole = isinstance(feedback_delay, int) and feedback_delay >= 0
    require(whole, "feedback_delay", feedback_delay, "a whole number >= 0")
    require(0 <= feedback_loss <= 1, "feedback_loss", feedback_loss, "0 to 1")
    if agent.tags.in_order and (feedback_delay or feedback_loss):
        raise InvalidConfig(
            f"{type(agent).__name__} needs all feedback in order; feedback_delay = {feedback_delay} and "
            f"feedback_loss = {feedback_loss} must be 0"
        )
    if not hasattr(envs, "num_envs"):
        raise InvalidConfig(f"envs is {envs}, a single environment; make it with gymnasium.make_vec")
    base = envs.unwrapped
    world: World | None = base if hasattr(base, "census") else None
    spaces = envs.single_observation_space, envs.single_action_space
    agent.problem.require_same(world.problem if world else Problem.from_spaces(*spaces), type(agent).__name__)
    started = time.perf_counter()
    total = _total_steps(envs, world, steps)
    events = None if log is None else EventLog(log, total)
    loop = _Loop(agent, envs, world, total, feedback_delay, feedback_loss, events)
    loop.serve(seed, progress)
    metrics, curve = loop.returns() if world is None else loop.figures(world)
    return _record(agent, envs, loop, metrics, curve, seed, agent_seed, label, time.perf_counter() - started)


def _total_steps(envs: Any, world: World | None, steps: int | None) -> int:
    if world is None:
        require(steps is not None and steps >= 1, "steps", steps, "a whole number >= 1: this is no SmartRec world")
        assert steps is not None
        return steps
    require(steps is None, "steps", steps, "None: a SmartRec world has its own iterations")
    visits = world.iterations * world.users_per_iteration
    return int(-(-visits // envs.num_envs) * world.session_length)


class _Loop:
    """One run under way."""

    def __init__(
        self,
        agent: Any,
        envs: Any,
        world: World | None,
        steps: int,
        delay: int,
        loss: float,
        events: EventLog | None = None,
    ) -> None:
        self.agent, self.envs, self.steps, self.delay, self.loss = agent, envs, steps, delay, loss
        self.visits = world.iterations * world.users_per_iteration if world else steps * envs.num_envs
        self.ledger = Ledger.of(self.visits if world else 0)
        problem = agent.problem if world is None else world.problem
        self.showings = None if problem.items is None else Showings(problem.items, problem.item_features)
        self.decision_s = self.learning_s = 0.0
        self.reward = 0.0
        self.decisions = self.lost = 0
        self._pending: deque[Transitions] = deque()
        self._reference = world is not None
        self.episodes = Episodes(envs)
        self._first = self.episodes.first
        self.events = events

    def serve(self, seed: int, progress: Progress | None) -> None:
        """Run all steps, then deliver what is pending."""
        base = self.envs.unwrapped
        (loss_rng,) = generators(seed, 1)
        before = getattr(base, "reference", None)
        if self._reference:
            base.reference = True
        try:
            raw, _ = self.envs.reset(seed=seed)
            observation, allowed = seen(raw)
            for step in range(self.steps):
                observation, allowed = self._step(step, observation, allowed, loss_rng)
                if self.events is not None and self.events.due(step + 1):
                    self.events.write(step + 1, self._totals())
                if progress is not None:
                    progress(step + 1, self.steps)
            while self._pending:
                self._learn(self._pending.popleft())
        finally:
            if self._reference:
                base.reference = before
            if self.events is not None:
                self.events.close(self.steps, self._totals())

    def _step(
        self, step: int, observation: Observation, allowed: Candidates | None, loss_rng: np.random.Generator
    ) -> tuple[Observation, Candidates | None]:
        decision = self._act(observation, self._first, allowed)
        raw, reward, terminated, truncated, info = self.envs.step(decision.action)
        next_observation, next_allowed = seen(last_seen(raw, info))
        visit = info.get("visit", self.episodes.number.copy())
        responses = info.get("responses", reward[:, None])
        transitions = Transitions(
            observation=observation,
            decision=_as_shown(decision, info),
            responses=responses,
            observed=info.get("observed", np.ones(responses.shape, bool)),
            reward=reward,
            next_observation=next_observation,
            terminated=terminated,
            truncated=truncated,
            visit=visit,
            step=np.full(len(reward), step),
            allowed=allowed,
            next_allowed=next_allowed,
        )
        counted = visit < self.visits if self._reference else ~self.episodes.idle
        if self._reference:
            self._first = terminated | truncated
        else:
            self.episodes.step(reward, terminated | truncated)
            self._first = self.episodes.first
        if not counted.all():
            transitions = transitions[counted]
        self._score(transitions, info, counted)
        self._deliver(transitions, loss_rng)
        return seen(raw)

    def _act(self, observation: Observation, first: BoolArray, allowed: Candidates | None) -> Decision:
        started = time.perf_counter()
        decision: Decision = self.agent.act(observation, first=first, allowed=allowed)
        self.decision_s += time.perf_counter() - started
        return decision

    def _score(self, transitions: Transitions, info: dict[str, Any], counted: BoolArray) -> None:
        self.decisions += len(transitions)
        self.reward += float(transitions.reward.sum())
        if self.showings is not None:
            self.showings.add(transitions.items)
        if self._reference:
            visit = transitions.visit
            self.ledger.reward[visit] += transitions.reward
            self.ledger.expected[visit] += info["expected_reward"][counted]
            self.ledger.best[visit] += info["best_expected_reward"][counted]
            self.ledger.random[visit] += info["random_expected_reward"][counted]

    def _deliver(self, transitions: Transitions, loss_rng: np.random.Generator) -> None:
        if self.loss:
            arrives = loss_rng.random(len(transitions)) >= self.loss
            self.lost += int((~arrives).sum())
            transitions = transitions[arrives]
        self._pending.append(transitions)
        if len(self._pending) > self.delay:
            self._learn(self._pending.popleft())

    def _learn(self, transitions: Transitions) -> None:
        started = time.perf_counter()
        if len(transitions):
            self.agent.observe(transitions)
        figures = self.agent.update()
        self.learning_s += time.perf_counter() - started
        if self.events is not None:
            self.events.learnt(figures)

    def _totals(self) -> Totals:
        shown, ended = self.showings, [] if self._reference else self.episodes.ended
        return Totals(
            decisions=self.decisions,
            reward=self.reward,
            decision_s=self.decision_s,
            learning_s=self.learning_s,
            shown=None if shown is None else shown.counts.copy(),
            distance=0.0 if shown is None else shown.distance,
            pairs=0 if shown is None else shown.pairs,
            episodes=sum(map(len, ended)),
            returns=sum(map(sum, ended)),
        )

    def figures(self, world: World) -> tuple[dict[str, float], list[list[float]]]:
        """Return metrics and curve of a run on a SmartRec world."""
        clock = world.iterations + 1
        final, final_expected, final_coverage = _census(self.agent, world, clock, explore=True)
        _, exploit, _ = _census(self.agent, world, clock, explore=False)
        during, after = world.references(range(1, clock)), world.references([clock])
        metrics = {
            "loop": float(self.ledger.reward.mean()),
            "final": final,
            "final_expected": final_expected,
            "exploit": exploit,
            "regret": self.ledger.regret,
            "loop_normalised": self.ledger.normalised,
            "final_normalised": normalised(final_expected, after.random, after.oracle),
            "final_coverage": final_coverage,
            **recovery_of(world, self.ledger.expected, self.ledger.best),
            **self._behaviour(),
            **self._times(),
        }
        if np.isfinite(during.best_fixed):
            metrics["static_regret"] = self.ledger.regret_against(during.best_fixed)
        for name, references in (("loop", during), ("final", after)):
            known = {key: value for key, value in asdict(references).items() if np.isfinite(value)}
            metrics.update({f"{name}_{key}": value for key, value in known.items()})
        return metrics, self.ledger.curve(world.iterations)

    def returns(self) -> tuple[dict[str, float], list[list[float]]]:
        """Return metrics of a run on any other environment: the mean return of its episodes."""
        return {"loop": self.episodes.mean_return, **self._behaviour(), **self._times()}, []

    def _behaviour(self) -> dict[str, float]:
        return {} if self.showings is None else self.showings.figures()

    def _times(self) -> dict[str, float]:
        return {
            "decision_us": 1e6 * self.decision_s / self.visits,
            "learning_us": 1e6 * self.learning_s / self.visits,
            **({"lost_feedback": float(self.lost)} if self.loss else {}),
        }


def _census(agent: Any, world: World, clock: int, *, explore: bool) -> tuple[float, float, float]:
    """Serve all users once without learning; return reward and expected reward a user, and coverage."""
    reward = expected = 0.0
    users = 0
    showings = Showings(world.problem.items or 0)
    for visits in world.census(clock):
        lanes = len(visits.visit)
        first = np.ones(lanes, bool)
        while not visits.done:
            observation, allowed = seen(visits.observation)
            decision = agent.act(observation, first=first, allowed=allowed, explore=explore)
            outcome = visits.respond(decision.action)
            reward, expected = reward + outcome.reward.sum(), expected + outcome.expected.sum()
            shown = decision.action if outcome.items is None else outcome.items
            showings.add(shown.reshape(lanes, -1))
            first = np.zeros(lanes, bool)
        users += lanes
    return float(reward / users), float(expected / users), showings.coverage


def _as_shown(decision: Decision, info: dict[str, Any]) -> Decision:
    """Return what was really shown, where the world put items in the place of repeats: feedback is on those."""
    if "shown" not in info or not info["replaced"].any():
        return decision
    return Decision(info["shown"].reshape(decision.action.shape), None, decision.extras)


def _record(
    agent: Any,
    envs: Any,
    loop: _Loop,
    metrics: dict[str, float],
    curve: list[list[float]],
    seed: int,
    agent_seed: int | None,
    label: str | None,
    wall_s: float,
) -> RunRecord:
    spec = envs.unwrapped.spec
    options = {} if spec is None else dict(spec.kwargs)
    options.pop("vectorization_mode", None)
    config = to_dict(agent.config)
    name = f"{type(agent).__module__}:{type(agent).__qualname__}"
    commit, dirty = checkout()
    return RunRecord(
        environment="" if spec is None else spec.id,
        options={**options, "num_envs": envs.num_envs},
        agent=name,
        config=config,
        config_digest=digest(config),
        seed=seed,
        agent_seed=agent_seed,
        metrics=metrics,
        curve=curve,
        steps=loop.steps,
        visits=loop.visits,
        feedback_delay=loop.delay,
        feedback_loss=loop.loss,
        wall_s=wall_s,
        label=label or type(agent).__name__,
        code=code_of(type(agent)),
        commit=commit,
        dirty=dirty,
        versions=versions(),
    )
