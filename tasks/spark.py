"""A whole run on Spark: the protocol of ``evaluation.run``, and its figures less ``diversity``.

``recovery`` compares with the oracle's mean over all users, where a run in NumPy has its mean over those who came.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from smartrec.agents.base import Agent
from smartrec.core.arrays import FloatArray
from smartrec.core.config import digest, to_dict
from smartrec.core.errors import InvalidInput
from smartrec.core.provenance import code_of
from smartrec.core.seeding import generators
from smartrec.core.world import References
from smartrec.envs.spark.log import IterationLog
from smartrec.envs.spark.visits import Visits
from smartrec.envs.vector import RecommendationVectorEnv
from smartrec.evaluation.behaviour import gini, novelty, recovery_of
from smartrec.evaluation.metrics import Ledger, normalised
from smartrec.evaluation.record import RunRecord, checkout, versions
from smartrec.tasks.spark_cycle import SparkCycle, Totals


def run(
    agent: Agent,
    envs: Any,
    *,
    spark: Any,
    seed: int,
    folder: str,
    resume: bool = False,
    label: str | None = None,
    agent_seed: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> RunRecord:
    """Let an agent serve a world on Spark, iteration by iteration, and measure it.

    Each iteration is decided and answered on the workers, written into the log once, and learnt from out of the log.
    After the last, two censuses of all users give the final figures, as in ``evaluation.run``; the dice are others,
    so figures agree within sampling error. Interrupted, the same call with ``resume=True`` goes on, and ends as if
    it had not been.

    Args:
        agent: New; on ``resume`` it learns again from the iterations that the log has.
        envs: A SmartRec world, ``gymnasium.make_vec(...)``; how many lanes it has does not matter.
        spark: Session, see ``smartrec.core.spark.session``.
        seed: Of the world, >= 0.
        folder: Of the log: a path or URL that all workers can reach.
        resume: Go on where ``folder`` holds iterations of this run.
        label: Name of the row in tables; None takes the agent's class.
        agent_seed: Seed the agent was made with, also of its draws on the workers; None takes the world's.
        progress: Called after every iteration with how many are done and how many there are.

    Returns:
        The record; ``decision_us`` is the time in ``act`` during the last census, over all workers, ``learning_us`` the
        driver's in ``observe`` and ``update``, of what the log had already as well.

    Raises:
        InvalidInput: ``envs`` is no SmartRec world.
        InvalidConfig: The agent is for another problem, or it or the world cannot be on Spark.
        OutputError: ``folder`` holds something already, and ``resume`` is False.
        DataError: ``folder`` holds another run, or one of other code.
        InvalidInput: ``folder`` holds a log of other columns.
    """
    world = envs.unwrapped
    if not isinstance(world, RecommendationVectorEnv):
        raise InvalidInput(f"envs is {envs}; allowed: a SmartRec world, made by gymnasium.make_vec")
    agent.problem.require_same(world.problem, type(agent).__name__)
    started = time.perf_counter()
    of_world = int(generators(seed, 1)[0].integers(2**63))
    of_agent = int(generators(seed if agent_seed is None else agent_seed, 2)[1].integers(2**63))
    visits = Visits(world.crowd, world.settings, of_world)
    log = IterationLog(spark, folder, resume=resume)
    cycle = SparkCycle(agent, visits, log, of_agent)
    identity = _identity(agent, world, seed, agent_seed)
    log.write_header(json.dumps(identity, sort_keys=True))
    came = []
    for clock in range(1, world.iterations + 1):
        came.append(cycle.iterate(clock))
        if progress is not None:
            progress(clock, world.iterations)
    learnt = time.perf_counter()
    final = cycle.census(world.iterations + 1, explore=True)
    exploit = cycle.census(world.iterations + 1, explore=False)
    metrics, curve = _figures(world, came, final, exploit)
    visited = sum(totals.visits for totals in came)
    metrics["learning_us"] = 1e6 * cycle.learning_s / visited
    metrics["cycle_s"] = (learnt - started) / world.iterations
    commit, dirty = checkout()
    return RunRecord(
        **identity,
        metrics=metrics,
        curve=curve,
        steps=world.iterations,
        visits=visited,
        feedback_delay=0,
        feedback_loss=0.0,
        wall_s=time.perf_counter() - started,
        label=label or type(agent).__name__,
        commit=commit,
        dirty=dirty,
        versions=versions(),
    )


def _identity(agent: Agent, world: RecommendationVectorEnv, seed: int, agent_seed: int | None) -> dict[str, Any]:
    """Return what makes two runs the same."""
    spec, config = world.spec, to_dict(agent.config)
    options = {} if spec is None else dict(spec.kwargs)
    for name in ("vectorization_mode", "num_envs"):
        options.pop(name, None)
    return {
        "environment": "" if spec is None else spec.id,
        "options": {**options, "engine": "spark"},
        "agent": f"{type(agent).__module__}:{type(agent).__qualname__}",
        "config": config,
        "config_digest": digest(config),
        "seed": seed,
        "agent_seed": agent_seed,
        "code": code_of(type(agent)),
    }


def _figures(
    world: RecommendationVectorEnv, came: list[Totals], final: Totals, exploit: Totals
) -> tuple[dict[str, float], list[list[float]]]:
    """Return metrics and curve; what policies that know the truth would get is the mean over all users."""
    size, last = came[0].visits, world.iterations + 1
    by_clock = [world.references([clock]) for clock in range(1, last)]
    during, after = world.references(range(1, last)), world.references([last])
    ledger = Ledger(*_by_iteration(came, by_clock))
    shown = np.sum([totals.rows for totals in came], axis=0)
    final_expected = final.expected / final.visits
    metrics = {
        "loop": float(ledger.reward.mean()),
        "final": final.reward / final.visits,
        "final_expected": final_expected,
        "exploit": exploit.expected / exploit.visits,
        "regret": size * ledger.regret,
        "loop_normalised": ledger.normalised,
        "final_normalised": normalised(final_expected, after.random, after.oracle),
        "coverage": float((shown > 0).mean()),
        "final_coverage": float((final.rows > 0).mean()),
        "gini": gini(shown),
        "novelty": novelty(shown, world.iterations * size * world.session_length),
        "decision_us": 1e6 * final.decision_s / final.visits,
        **recovery_of(world, ledger.expected, ledger.best),
    }
    if np.isfinite(during.best_fixed):
        metrics["static_regret"] = size * ledger.regret_against(during.best_fixed)
    for name, references in (("loop", during), ("final", after)):
        known = {key: value for key, value in asdict(references).items() if np.isfinite(value)}
        metrics.update({f"{name}_{key}": value for key, value in known.items()})
    # The ledger has one entry an iteration, the mean of its visits; a curve counts visits and sums their regret.
    curve = [[row[0] * size, *row[1:-1], round(row[-1] * size, 6)] for row in ledger.curve(world.iterations)]
    return metrics, curve


def _by_iteration(came: list[Totals], references: list[References]) -> list[FloatArray]:
    """Return reward, expected reward, best and random a visit, float [iterations] each."""
    return [
        np.array([totals.reward / totals.visits for totals in came]),
        np.array([totals.expected / totals.visits for totals in came]),
        np.array([truth.oracle for truth in references]),
        np.array([truth.random for truth in references]),
    ]
