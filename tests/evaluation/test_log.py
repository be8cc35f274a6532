"""The event file says what the run says: read back and compared."""

import subprocess
import sys
import time

import gymnasium as gym
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from smartrec import agents
from smartrec.agents import Agent, Decision
from smartrec.core.errors import MissingExtra, OutputError
from smartrec.evaluation import run
from smartrec.evaluation.log import POINTS, EventLog, Totals


def curves(folder):
    """Return steps and values of each tag."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    scalars = {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
    return {tag: ([at.step for at in rows], np.array([at.value for at in rows])) for tag, rows in scalars.items()}


class Counting(Agent):
    """Shows slates in turn, and returns how often it was updated."""

    updates = 0

    def act(self, observation, *, first=None, allowed=None, explore=True):
        lanes = len(next(iter(observation.values())))
        return Decision(np.tile((np.arange(self.problem.slate_size) + self.updates) % self.items, (lanes, 1)))

    def update(self):
        self.updates += 1
        return {"loss": float(self.updates)} if self.updates % 2 else {}


def test_the_file_agrees_with_the_record(tmp_path):
    envs = gym.make_vec("SmartRec/Task4-v0", num_envs=20, n_users=200, n_items=30, iterations=12, slate_size=3)
    record = run(Counting(envs.unwrapped.problem, seed=0), envs, seed=0, log=tmp_path)
    found = curves(tmp_path)
    steps, reward = found["reward/mean"]
    assert steps == list(range(1, 13))
    assert reward.mean() == pytest.approx(record.metrics["loop"], rel=1e-6)
    np.testing.assert_allclose(reward, [row[1] for row in record.curve][-12:], rtol=1e-6)
    assert found["learning/loss"][0] == [1, 3, 5, 7, 9, 11]
    assert found["learning/loss"][1].tolist() == [1, 3, 5, 7, 9, 11]
    assert found["shown/items"][1].tolist() == [3.0] * 12
    for name in ("decision_us", "learning_us"):
        assert found[f"time/{name}"][1].mean() == pytest.approx(record.metrics[name], rel=1e-5)
    assert "reward/return" not in found


def test_distances_within_slates_are_those_of_the_record(tmp_path):
    envs = gym.make_vec("SmartRec/Task2-v0", num_envs=50, n_users=500, iterations=4, slate_size=3)
    agent = agents.make("random", envs, seed=0)
    assert agent.problem.item_features is not None
    record = run(agent, envs, seed=0, log=tmp_path)
    distance = curves(tmp_path)["shown/distance"][1]
    assert len(distance) == 4
    assert distance.mean() == pytest.approx(record.metrics["diversity"], rel=1e-5)


def test_returns_of_episodes_of_other_environments(tmp_path):
    envs = gym.make_vec("CartPole-v1", num_envs=2)
    record = run(agents.make("random", envs, seed=0), envs, seed=0, steps=150, log=tmp_path)
    steps, mean = curves(tmp_path)["reward/return"]
    assert 1 < len(steps) < 150  # only where an episode ended
    assert mean.min() >= 8
    assert mean.max() < 120
    assert abs(mean.mean() - record.metrics["loop"]) < 2  # they weigh alike where no two end together


def test_a_long_run_has_few_points_and_each_is_of_all_steps_since_the_last(tmp_path):
    log, steps = EventLog(tmp_path, 3 * POINTS + 1), 3 * POINTS + 1
    for step in range(1, steps + 1):
        log.learnt({"loss": float(step)})
        if log.due(step):
            log.write(step, Totals(step, float(step**2), 0.0, 0.0, None, 0.0, 0, 0, 0.0))
    log.close(steps, Totals(steps, float(steps**2), 0.0, 0.0, None, 0.0, 0, 0, 0.0))
    found = curves(tmp_path)
    at, reward = found["reward/mean"]
    assert len(at) <= POINTS
    assert (at[0], at[-1]) == (4, steps)
    assert reward[0] == pytest.approx(4.0)  # 16 in 4 steps
    assert reward[1] == pytest.approx(12.0)  # 64 - 16 in 4 steps
    assert found["learning/loss"][1][1] == pytest.approx(6.5)  # the mean of 5, 6, 7, 8


def test_a_log_changes_nothing_in_the_run(tmp_path):
    records = []
    for log in (None, tmp_path):
        envs = gym.make_vec("SmartRec/Task1-v0", num_envs=50, n_users=500, iterations=5)
        records.append(run(agents.make("thompson", envs, seed=0), envs, seed=0, log=log))
    assert records[0].curve == records[1].curve
    assert records[0].metrics["final"] == records[1].metrics["final"]


def test_without_the_package_the_run_does_not_begin(monkeypatch, tmp_path):
    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name="tensorboard")

    monkeypatch.setattr("smartrec.core.optional.import_module", absent)
    envs = gym.make_vec("SmartRec/Task1-v0", num_envs=50, n_users=500, iterations=5)
    agent = Counting(envs.unwrapped.problem, seed=0)
    with pytest.raises(MissingExtra, match=r"smartrec\[tensorboard\]"):
        run(agent, envs, seed=0, log=tmp_path)
    assert agent.updates == 0


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "log").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        EventLog(tmp_path / "log", 10)


def test_the_command_line_writes_it_without_torch(tmp_path):
    code = "import sys; from smartrec.tasks.cli import main; sys.argv[0] = 'smartrec'; main()"
    words = ["run", "--task", "1", "--agent", "thompson", "--world", "n_users=500", "--log", str(tmp_path / "events")]
    probe = f"import atexit, sys; atexit.register(lambda: print('torch' in sys.modules)); {code}"
    done = subprocess.run([sys.executable, "-c", probe, *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "tensorboard --logdir" in done.stdout
    assert done.stdout.split()[-1] == "False"
    assert "reward/mean" in curves(tmp_path / "events")


@pytest.mark.slow
def test_it_costs_little(tmp_path):
    """Less than 5 % of a run of the cheapest agent that explores: median of pairs of runs; imports apart."""
    envs = gym.make_vec("SmartRec/Task1-v0", num_envs=2000, n_users=20_000, iterations=30)
    EventLog(tmp_path, 1).close(0, Totals(0, 0.0, 0.0, 0.0, None, 0.0, 0, 0, 0.0))

    def seconds(log):
        agent = agents.make("thompson", envs, seed=0)
        started = time.thread_time()
        run(agent, envs, seed=0, log=log)
        return time.thread_time() - started

    with_log, without = np.array([(seconds(tmp_path), seconds(None)) for _ in range(40)]).T
    assert np.median(with_log - without) < 0.05 * np.median(without)
