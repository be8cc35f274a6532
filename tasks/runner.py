"""Runs the agents of a leaderboard, seed by seed, in one process or several, and goes on where it stopped."""

import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any, Protocol

import gymnasium

from smartrec import agents
from smartrec.agents import Agent
from smartrec.agents.registry import agent_class
from smartrec.core.config import digest, from_dict, to_dict
from smartrec.core.errors import Diverged, SmartRecError
from smartrec.core.files import ensure_folder
from smartrec.core.provenance import code_of
from smartrec.core.seeding import generators
from smartrec.evaluation.loop import run
from smartrec.evaluation.record import RunRecord
from smartrec.evaluation.store import RecordStore, RunKey
from smartrec.tasks.base import Contender, Setting, Task
from smartrec.tasks.registry import TASKS

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Engine:
    """Spark instead of this process.

    Attributes:
        master: Where it runs, such as ``local[2]``.
        folder: Path or URL under which every run has its log, in a folder named by the run's key.
    """

    master: str
    folder: str


@dataclass(frozen=True)
class Job:
    """One run of a leaderboard: plain values, so that another process can do it.

    Attributes:
        task: Registered name.
        setting: Of the task.
        contender: The agent.
        seed: Of the world; the agent's own is derived from it.
        engine: Where it runs.
    """

    task: str
    setting: Setting
    contender: Contender
    seed: int
    engine: "Engine | None" = None

    def key(self) -> str:
        """Return the digest of the ``RunKey`` of the record that this job makes."""
        task, envs, oracle = _world(self.task, self.setting)
        cls = agent_class(self.contender.agent)
        config = to_dict(from_dict(cls.Config, self.contender.config, f"agent {self.contender.agent}"))
        options = {**self.setting.options, "num_envs": envs.num_envs}
        if self.engine is not None:
            del options["num_envs"]
            options["engine"] = "spark"
        return RunKey(
            task.environment,
            options,
            oracle,
            f"{cls.__module__}:{cls.__qualname__}",
            digest(config),
            self.seed,
            agent_seed(self.seed),
            code_of(cls),
        ).digest()

    def run(self) -> RunRecord:
        """Do the run."""
        _, envs, _ = _world(self.task, self.setting)
        seed = agent_seed(self.seed)
        agent = agents.make(self.contender.agent, envs, seed=seed, **self.contender.config)
        if self.engine is not None:
            return _run_on_spark(self, agent, envs, self.engine)
        return run(agent, envs, seed=self.seed, label=self.contender.label, agent_seed=seed)


class Runnable(Protocol):
    """Plain values that say what to run, so that another process can do it."""

    @property
    def contender(self) -> Contender:
        """The agent."""

    def key(self) -> str:
        """Return the digest of the ``RunKey`` of the record that it makes."""

    def run(self) -> RunRecord:
        """Do the run."""


def jobs_of(
    task: Task,
    setting: Setting,
    contenders: Sequence[Contender],
    seeds: Sequence[int],
    engine: Engine | None = None,
) -> list[Job]:
    """Return a job for each different contender and seed."""
    different = [row for number, row in enumerate(contenders) if row not in contenders[:number]]
    return [Job(task.name, setting, contender, seed, engine) for contender in different for seed in seeds]


def run_job(job: Runnable) -> RunRecord:
    """Do one run."""
    return job.run()


@contextmanager
def saved(agent: Agent, folder: Path | None) -> Iterator[None]:
    """Save an agent to ``folder`` when what is inside ends, and also where its learning diverges: it is as before then.

    Raises:
        OutputError: There can be no such folder; said before anything runs.
    """
    if folder is not None:
        ensure_folder(folder)
    try:
        yield
    except Diverged as error:
        if folder is None:
            raise
        agent.save(folder)
        raise Diverged(f"{error}. The agent, as it was before, is in {folder}") from None
    if folder is not None:
        agent.save(folder)


def _run_on_spark(job: Job, agent: agents.Agent, envs: Any, engine: Engine) -> RunRecord:
    from smartrec.core.spark import session
    from smartrec.tasks import spark

    return spark.run(
        agent,
        envs,
        spark=session(engine.master),
        seed=job.seed,
        folder=f"{engine.folder}/{job.key()}",
        resume=True,
        label=job.contender.label,
        agent_seed=agent_seed(job.seed),
    )


def agent_seed(seed: int) -> int:
    """Return the seed of the agent in the world of ``seed``: another stream, the same for every agent."""
    return int(generators(seed, 2)[1].integers(2**31))


def run_all(
    jobs: Sequence[Runnable], store: RecordStore, processes: int, done: Callable[[RunRecord], None]
) -> list[RunRecord]:
    """Do the jobs that the store does not have, and store each record as it comes.

    Args:
        jobs: What to run.
        store: Where records are kept.
        processes: How many to use; 1 stays in this one.
        done: Called with each new record.

    Returns:
        The records of all jobs, new and old, in the order of the jobs.
    """
    keys = [job.key() for job in jobs]
    missing = [job for job, key in zip(jobs, keys, strict=True) if key not in store]
    for record in _records(missing, processes):
        store.append(record)
        done(record)
    return [replace(store[key], label=job.contender.label) for key, job in zip(keys, jobs, strict=True)]


def _records(jobs: list[Runnable], processes: int) -> Iterator[RunRecord]:
    if processes == 1 or len(jobs) < 2:
        yield from map(run_job, jobs)
        return
    # Processes are started afresh: a fork of a process with threads can hang.
    with _one_thread_each():
        pool = ProcessPoolExecutor(min(processes, len(jobs)), mp_context=get_context("spawn"))
        try:
            with _deaf_to_interrupts():
                waiting = {pool.submit(run_job, job) for job in jobs}
            while waiting:
                ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in ready:
                    yield future.result()
        except BrokenProcessPool:
            raise SmartRecError(
                f"a worker process was ended from outside, perhaps for want of memory, with {processes} processes; "
                "what was measured is kept: run it again with fewer --jobs"
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Let processes started inside ignore Ctrl-C: this process hears it, and ends them in order."""
    if current_thread() is not main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes started inside use one thread for matrix products: they are many already."""
    names = [name for name in THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)


def _world(task: str, setting: Setting) -> tuple[Task, gymnasium.vector.VectorEnv, float]:
    """Return the task, its environment and what the best slates bring after the last iteration.

    Made once: seeds and agents share the environment, each beginning a new world in it.
    """
    return _kept_world(task, json.dumps([setting.name, setting.options], sort_keys=True))


@lru_cache(maxsize=2)
def _kept_world(task: str, setting: str) -> tuple[Task, gymnasium.vector.VectorEnv, float]:
    found: Task = TASKS.get(task)
    envs = found.make(Setting(*json.loads(setting)))
    world: Any = envs.unwrapped
    return found, envs, world.references([world.iterations + 1]).oracle
