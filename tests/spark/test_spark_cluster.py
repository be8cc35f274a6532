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
import os, pathlib, signal, sys, threading, time
import gymnasium as gym, numpy as np, smartrec
from smartrec.core.spark import session
from smartrec.tasks.spark import run

master, folder, kill, seen, name = sys.argv[1:]
spark = session(master, {"spark.driver.memory": "700m", "spark.executor.memory": "512m"})

def executors():
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().split(b"\\0")
        except OSError:
            continue
        if b"org.apache.spark.executor.CoarseGrainedExecutorBackend" in command:
            if spark.sparkContext.applicationId.encode() in command:
                found.append(int(path.parent.name))
    return found

def kill_one():
    while not any(name.startswith(f"_unfinished-{kill}") for name in os.listdir(f"{folder}/log.parquet")):
        time.sleep(0.01)
    os.kill(executors()[0], signal.SIGKILL)

import smartrec.envs.spark.visits as visits
from functools import partial
import smartrec.tasks.spark as tasks
tasks.Visits = partial(visits.Visits, chunk_size=500)
if name == "thompson":
    options, config = {}, {"discount": 0.7}
else:  # an agent that reads what users did, and carries something along
    options = {"session_length": 2, "history": 3}
    config = {"encoder": "gru", "encoder_size": 4, "hidden": (8,), "train_every": 200, "capacity": 10_000}
envs = gym.make_vec(
    "SmartRec/Task3-v0", num_envs=1, n_users=10_000, users_per_iteration=4000, iterations=2, **options
)
if kill != "no":
    before = set(executors())
    os.makedirs(f"{folder}/log.parquet")
    killer = threading.Thread(target=kill_one)
    killer.start()
record = run(smartrec.agents.make(name, envs, seed=1, **config), envs, spark=spark, seed=3, folder=folder,
             resume=kill != "no")
if kill != "no":
    killer.join()
    print("killed", len(before - set(executors())))
print("executors", len(executors()), "final", repr(record.metrics["final"]), "loop", repr(record.metrics["loop"]))
table = spark.read.parquet(f"{folder}/log.parquet").select("__iter", "user_idx", "step", "item_idx", "response")
rows = np.array([tuple(row) for row in table.collect()])
np.save(seen, rows[np.lexsort(rows.T[::-1])])
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
def test_a_killed_worker_changes_nothing(tmp_path, agent, kill, steps):
    """The second one is killed where users show what they did in the first iteration."""
    said, calm = go(tmp_path, "calm", "local[2]", "no", agent)
    told, shaken = go(tmp_path, "shaken", "local-cluster[2,1,1024]", kill, agent)
    assert "killed 1" in told
    rows = np.load(shaken)
    assert len(rows) == 2 * 4000 * steps
    assert len(np.unique(rows[:, :3], axis=0)) == len(rows)  # each user once an iteration
    np.testing.assert_array_equal(rows, np.load(calm))
    assert said.split("final")[1] == told.split("final")[1]
