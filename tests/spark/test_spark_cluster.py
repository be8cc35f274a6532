"""A cluster of processes on this machine; a worker that is killed in mid-iteration costs time and nothing else."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = [pytest.mark.spark, pytest.mark.slow]

RUN = """
import os, pathlib, signal, sys
from functools import partial

import gymnasium as gym, numpy as np
from smartrec.agents.registry import agent_class
from smartrec.core.spark import session
import smartrec.envs.spark.visits as visits
import smartrec.tasks.spark as tasks

master, folder, kill, seen, name = sys.argv[1:]
base = agent_class(name)

def parent(process):
    return int(pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])

def kill_my_executor():
    executor = parent(os.getppid())  # this worker's parent is Spark's daemon, whose parent is the executor
    assert b"CoarseGrainedExecutorBackend" in pathlib.Path(f"/proc/{executor}/cmdline").read_bytes()
    os.kill(executor, signal.SIGKILL)
    os._exit(1)

class Deadly(base):
    # Its worker loses its executor once the first file of iteration ``kill`` is in its place, and before Spark knows.
    def act(self, observation, **options):
        if kill != "no" and not hasattr(os.replace, "deadly"):
            put = os.replace

            def replace_and_die(source, target):
                put(source, target)
                folder_of = pathlib.Path(target).parent
                if folder_of.name.startswith(f"_unfinished-{kill}-") and pathlib.Path(target).name.startswith("part-"):
                    there = sorted(path.name for path in folder_of.glob("part-*"))
                    try:
                        with open(f"{seen}.killed", "x") as file:
                            file.write(" ".join(there))
                    except FileExistsError:
                        return
                    kill_my_executor()

            replace_and_die.deadly = True
            os.replace = replace_and_die
        return super().act(observation, **options)

spark = session(master, {"spark.driver.memory": "700m", "spark.executor.memory": "512m"})
tasks.Visits = partial(visits.Visits, chunk_size=250)  # 16 chunks, 4 tasks, 2 executors of a core each
if name == "thompson":
    options, config = {}, {"discount": 0.7}
else:  # an agent that reads what users did, and carries something along
    options = {"session_length": 2, "history": 3}
    config = {"encoder": "gru", "encoder_size": 4, "hidden": (8,), "train_every": 200, "capacity": 10_000}
envs = gym.make_vec(
    "SmartRec/Task3-v0", num_envs=1, n_users=10_000, users_per_iteration=4000, iterations=2, **options
)
agent = Deadly(envs.unwrapped.problem, base.Config(**config), seed=1)
record = tasks.run(agent, envs, spark=spark, seed=3, folder=folder)
print("final", repr(record.metrics["final"]), "loop", repr(record.metrics["loop"]))
table = spark.read.parquet(f"{folder}/log.parquet").select("__iter", "user_idx", "step", "item_idx", "response")
rows = np.array([tuple(row) for row in table.collect()])
np.save(seen, rows[np.lexsort(rows.T[::-1])])
print("pieces", *sorted(path.name for path in pathlib.Path(f"{folder}/log.parquet/__iter=1").glob("part-*")))
spark.stop()
"""


def go(tmp_path, name, master, kill, agent):
    out = tmp_path / f"{name}.npy"
    arguments = [master, str(tmp_path / name), kill, str(out), agent]
    started = subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        start_new_session=True,
    )
    try:
        said, errors = started.communicate(timeout=400)
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
    assert started.returncode == 0, errors[-3000:]
    return said, out


@pytest.mark.parametrize(("agent", "kill", "steps"), [("thompson", "1", 1), ("ddpg", "2", 2)])
def test_a_worker_killed_with_its_file_written_and_not_reported_changes_nothing(tmp_path, agent, kill, steps):
    """The second one is killed where users show what they did in the first iteration."""
    said, calm = go(tmp_path, "calm", "local[2]", "no", agent)
    told, shaken = go(tmp_path, "shaken", "local-cluster[2,1,1024]", kill, agent)
    there = Path(f"{shaken}.killed").read_text().split()
    pieces = told.split("pieces")[1].split()
    assert 1 <= len(there) < len(pieces) == 4  # in mid-iteration
    rows = np.load(shaken)
    assert len(rows) == 2 * 4000 * steps
    assert len(np.unique(rows[:, :3], axis=0)) == len(rows)  # each user once an iteration
    np.testing.assert_array_equal(rows, np.load(calm))
    assert said.split("final")[1].split("pieces")[0] == told.split("final")[1].split("pieces")[0]
