"""Offline training: exact resume after a kill, early stopping, divergence, and files that are whole at any moment."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from smartrec import agents
from smartrec.core import Problem
from smartrec.core.errors import DataError, DataNotFound, Diverged, InvalidConfig, InvalidInput, OutputError
from smartrec.evaluation.checkpoints import Checkpoints
from smartrec.evaluation.training import train

ROOT = Path(__file__).parents[2]


def test_the_curves_say_what_happened(offline, tmp_path):
    lines, done = [], []
    told = offline.go(tmp_path, notify=lines.append, progress=lambda *args: done.append(args))
    points = told.points
    assert [point["batch"] for point in points] == [0, 3, 6, 7, 10, 13, 14, 17, 20, 21]
    assert [point["rows"] for point in points] == [5 * point["batch"] for point in points]
    np.testing.assert_allclose([point["epoch"] * 7 for point in points], [point["batch"] for point in points])
    assert done == [(batch, 21) for batch in range(1, 22)]
    assert lines == points == [json.loads(text) for text in (tmp_path / "curves.jsonl").read_text().splitlines()]
    assert points[0].keys() == {"batch", "epoch", "rows", "test/loss", "test/noise"}
    by_row = np.concatenate([batch.reward for batch in offline.TESTS])
    assert points[0]["test/loss"] == pytest.approx((by_row**2).mean())
    assert points[1]["train/odd"] == 1.0
    again, learnt = offline.line(), []
    for batch in list(offline.Feed().at(0))[:3]:
        learnt.append(again.learn(batch)["loss"])
    assert points[1]["train/loss"] == pytest.approx(np.mean(learnt))
    assert told.stopped == "epochs"
    assert points[-1]["test/loss"] < 0.3 * points[0]["test/loss"]


def test_testing_and_measuring_do_not_disturb(offline, tmp_path):
    plain = train(offline.line(), offline.Feed(), epochs=2).agent
    watched = train(
        offline.line(),
        offline.Feed(),
        epochs=2,
        every=1,
        test=iter(offline.TESTS),
        measure=lambda agent: agent.test(offline.TESTS[0]),
    )
    np.testing.assert_array_equal(plain.weights, watched.agent.weights)
    assert plain.rng.bit_generator.state == watched.agent.rng.bit_generator.state
    assert len(watched.points) == 15


def test_a_measure_that_raises_does_not_disturb_either(offline):
    def broken(agent):
        agent.rng.normal()
        raise offline.StopError

    agent = offline.line()
    with pytest.raises(offline.StopError):
        train(agent, offline.Feed(), epochs=1, measure=broken)
    assert agent.rng.bit_generator.state == offline.line().rng.bit_generator.state


@pytest.mark.parametrize("batch", [1, 3, 4, 7, 8, 14, 20, 21])
def test_cut_off_anywhere_and_resumed_is_never_cut_off(offline, tmp_path, batch):
    offline.go(tmp_path / "whole")
    with pytest.raises(offline.StopError):
        offline.go(tmp_path / "parts", progress=offline.cut_off_at(batch))
    told = offline.go(agent=offline.line(seed=7), folder=tmp_path / "parts", resume=True)
    assert offline.files_of(tmp_path / "parts") == offline.files_of(tmp_path / "whole")
    assert len(told.points) == 10


def test_more_epochs_later_are_as_many_at_once(offline, tmp_path):
    offline.go(tmp_path / "whole")
    offline.go(epochs=1, folder=tmp_path / "parts")
    offline.go(tmp_path / "parts", resume=True)
    assert offline.files_of(tmp_path / "parts") == offline.files_of(tmp_path / "whole")
    before = offline.files_of(tmp_path / "whole")
    assert len(offline.go(tmp_path / "whole", resume=True).points) == 10
    assert offline.files_of(tmp_path / "whole") == before


SCRIPT = """
import time
from tests.evaluation.conftest import Feed, go

class Slow(Feed):
    def at(self, epoch, start=0):
        for batch in super().at(epoch, start):
            time.sleep(0.02)
            yield batch

go({folder!r}, feed=Slow(), epochs=30, resume={resume})
"""


def test_killed_and_resumed_is_bit_for_bit_what_was_never_killed(offline, tmp_path):
    folder = str(tmp_path / "killed")
    points = tmp_path / "killed" / "curves.jsonl"
    for resume, wanted in ((False, 8), (True, 16)):
        child = subprocess.Popen([sys.executable, "-c", SCRIPT.format(folder=folder, resume=resume)], cwd=ROOT)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and (not points.exists() or len(points.read_text().splitlines()) < wanted):
            assert child.poll() is None
            time.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait(60) == -signal.SIGKILL
    told, whole = offline.go(folder, epochs=8, resume=True), offline.go(tmp_path / "whole", epochs=8)
    assert told.points == whole.points
    assert offline.files_of(folder) == offline.files_of(tmp_path / "whole")


@pytest.mark.parametrize("name", ["last", "best"])
@pytest.mark.parametrize("step", range(5))
def test_cut_off_while_a_checkpoint_is_written(offline, tmp_path, monkeypatch, name, step):
    """Of three files renamed and two folders, any may be the last: training comes to the same end all the same."""
    real, calls = {"rename": Path.rename, "replace": Path.replace}, []

    def counted(kind):
        def call(path, target):
            if name in f"{path.parent.name} {path.name}" and len(points.read_text().splitlines()) == 4:
                calls.append(path)
                if len(calls) == step + 1:
                    raise offline.StopError
            return real[kind](path, target)

        return call

    points = tmp_path / "parts" / "curves.jsonl"
    for kind in real:
        monkeypatch.setattr(Path, kind, counted(kind))
    with pytest.raises(offline.StopError):
        offline.go(tmp_path / "parts")
    monkeypatch.undo()
    offline.go(tmp_path / "parts", resume=True)
    offline.go(tmp_path / "whole")
    assert offline.files_of(tmp_path / "parts") == offline.files_of(tmp_path / "whole")


def test_it_stops_when_the_watched_figure_gets_no_better(offline, tmp_path):
    values = iter([5.0, 4.0, 3.0, 3.0, 6.0, 3.5, 1.0])
    options = {"epochs": 9, "every": None, "test": None, "watch": "rank", "patience": 3}
    told = offline.go(tmp_path, measure=lambda agent: {"rank": next(values)}, **options)
    assert told.stopped == "patience"
    assert [point["test/rank"] for point in told.points] == [5.0, 4.0, 3.0, 3.0, 6.0, 3.5]
    assert told.best["batch"] == 14
    assert [offline.Line.load(tmp_path / name).told for name in ("best", "last")] == [14, 35]
    again = offline.go(tmp_path, measure=lambda agent: {"rank": 0.0}, resume=True, **options)
    assert again.stopped == "patience"
    assert len(again.points) == 6


def test_higher_may_be_better(offline):
    values = iter([1.0, 3.0, 2.0, 1.0])
    told = train(
        offline.line(),
        offline.Feed(),
        epochs=9,
        measure=lambda agent: {"hits": next(values)},
        watch="hits",
        higher=True,
        patience=2,
    )
    assert told.best["batch"] == 7
    assert len(told.points) == 4


def blowing(offline, raises):
    """Return an agent that says in batch 10 that it diverged, or comes to infinity there without a word."""

    class Blowing(offline.Line):
        def learn(self, transitions):
            figures = super().learn(transitions)
            if self.told == 10 and raises:
                raise Diverged("the line diverged")
            return {"loss": np.inf} if self.told == 10 else figures

    return Blowing(offline.PROBLEM, seed=0)


@pytest.mark.parametrize("raises", [True, False])
def test_divergence_is_named_and_the_last_good_checkpoint_kept(offline, tmp_path, raises):
    with pytest.raises(Diverged, match=r"That was after (9|10) batches; .*last is as it was after batch 7") as told:
        offline.go(tmp_path, agent=blowing(offline, raises))
    assert ("the line diverged" if raises else "train/loss is inf") in str(told.value)
    last = blowing(offline, raises).load(tmp_path / "last")
    assert last.told == 7
    assert [json.loads(text)["batch"] for text in (tmp_path / "curves.jsonl").read_text().splitlines()] == [0, 3, 6, 7]
    with pytest.raises(Diverged, match="nothing is kept"):
        offline.go(agent=blowing(offline, raises))


def test_a_disk_that_fills_up_keeps_the_checkpoint_before(offline, tmp_path, monkeypatch):
    real = offline.Line.save

    def full(agent, folder):
        real(agent, folder)
        if agent.told == 6:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(offline.Line, "save", full)
    with pytest.raises(OutputError, match=r"No space left on device.*the one before is in"):
        offline.go(tmp_path / "parts")
    assert offline.Line.load(tmp_path / "parts" / "last").told == 3
    assert not list((tmp_path / "parts").glob(".*.new"))
    monkeypatch.undo()
    offline.go(tmp_path / "parts", resume=True)
    offline.go(tmp_path / "whole")
    assert offline.files_of(tmp_path / "parts") == offline.files_of(tmp_path / "whole")


def test_before_its_first_checkpoint_a_training_is_begun_anew(offline, tmp_path, monkeypatch):
    real = Checkpoints.save

    def full(kept, name, agent, stage):
        if name == "last":
            raise OutputError("No space left on device")
        real(kept, name, agent, stage)

    monkeypatch.setattr(Checkpoints, "save", full)
    with pytest.raises(OutputError, match="No space left"):
        offline.go(tmp_path / "parts")
    monkeypatch.undo()
    assert {"best", "curves.jsonl"} <= {path.name for path in (tmp_path / "parts").iterdir()}
    offline.go(tmp_path / "parts", watch=None)  # makes no best of its own
    offline.go(tmp_path / "whole", watch=None)
    assert offline.files_of(tmp_path / "parts") == offline.files_of(tmp_path / "whole")


def test_a_torn_line_of_the_curves_is_made_again(offline, tmp_path):
    offline.go(tmp_path)
    before = offline.files_of(tmp_path)
    with (tmp_path / "curves.jsonl").open("a") as file:
        file.write('{"batch": 24, "epo')
    offline.go(tmp_path, resume=True)
    assert offline.files_of(tmp_path) == before
    (tmp_path / "curves.jsonl").write_text("nonsense\n" + before["curves.jsonl"].decode())
    with pytest.raises(DataError, match="line 1"):
        offline.go(tmp_path, resume=True)


def test_tensorboard_shows_each_point_once(offline, tmp_path):
    with pytest.raises(offline.StopError):
        offline.go(tmp_path / "run", log=tmp_path / "log", progress=offline.cut_off_at(9))
    # As after a kill between a point's event and its checkpoint: go back one checkpoint.
    told = offline.go(tmp_path / "run", log=tmp_path / "log", resume=True)
    events = EventAccumulator(str(tmp_path / "log"), size_guidance={"scalars": 0})
    events.Reload()
    assert set(events.Tags()["scalars"]) == {"train/loss", "train/noise", "train/odd", "test/loss", "test/noise"}
    for tag in events.Tags()["scalars"]:
        shown = [(at.step, at.value) for at in events.Scalars(tag)]
        expected = [(point["batch"], np.float32(point[tag])) for point in told.points if tag in point]
        assert shown == expected, tag


def test_events_after_the_checkpoint_are_void(offline, tmp_path):
    from smartrec.evaluation.log import EventFile

    for first, values in ((0, [1.0, 2.0, 3.0]), (1, [20.0, 30.0])):
        events = EventFile(tmp_path)
        events.go_on(first)
        for step, value in enumerate(values, first):
            events.write(step, {"x": value})
        events.close()
    found = EventAccumulator(str(tmp_path))
    found.Reload()
    assert [(at.step, at.value) for at in found.Scalars("x")] == [(0, 1.0), (1, 20.0), (2, 30.0)]


# Bad input


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"epochs": 0}, InvalidConfig, "epochs = 0"),
        ({"every": 0}, InvalidConfig, "every = 0"),
        ({"patience": 0}, InvalidConfig, "patience = 0"),
        ({"patience": 2, "watch": None}, InvalidConfig, "patience = 2; allowed: None where no figure"),
        ({"test": None}, InvalidConfig, "watch = 'loss'; allowed: None where nothing is tested"),
        ({"watch": "los"}, InvalidConfig, "watch = 'los' is no test figure. Did you mean 'loss'"),
        ({"resume": True, "folder": None}, InvalidConfig, "resume = True; allowed: False without a folder"),
        ({"resume": True}, DataNotFound, "holds no training that could go on"),
    ],
)
def test_bad_options_are_refused_before_anything_is_learnt(offline, tmp_path, changed, error, message):
    agent = offline.line()
    with pytest.raises(error, match=message):
        offline.go(**{"folder": tmp_path / "run", "agent": agent, **changed})
    assert agent.told == 0
    assert not (tmp_path / "run" / "last").exists()


def test_resuming_where_nothing_is_makes_nothing(offline, tmp_path):
    with pytest.raises(DataNotFound, match="mistyped holds no training that could go on"):
        offline.go(tmp_path / "mistyped", resume=True)
    assert not (tmp_path / "mistyped").exists()


def test_an_agent_that_does_not_learn_from_batches(offline, tmp_path):
    agent = agents.make("most_popular", offline.PROBLEM, seed=0)
    with pytest.raises(InvalidInput, match="MostPopular has no learn and no test"):
        offline.go(agent=agent, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_feed_that_is_shorter_than_it_says(offline):
    class Short(offline.Feed):
        def at(self, epoch, start=0):
            return list(super().at(epoch, start))[:-1]

    with pytest.raises(InvalidInput, match="epoch 0 ended after 6 batches; allowed: 7"):
        offline.go(feed=Short())


def test_what_is_there_is_neither_overwritten_nor_mixed(offline, tmp_path):
    offline.go(tmp_path)
    before = offline.files_of(tmp_path)
    with pytest.raises(OutputError, match="holds a training of 21 batches already"):
        offline.go(tmp_path)
    with pytest.raises(InvalidConfig, match="every = 4; allowed: 3, as the training in"):
        offline.go(tmp_path, every=4, resume=True)
    other = offline.Line(Problem.from_spaces(spaces.Box(-9, 9, (3,)), spaces.Discrete(5)), seed=0)
    with pytest.raises(InvalidConfig, match="for another problem"):
        offline.go(tmp_path, agent=other, resume=True)
    assert offline.files_of(tmp_path) == before


def test_two_trainings_in_one_folder(offline, tmp_path):
    def second(done, total):
        with pytest.raises(OutputError, match="another process trains in"):
            offline.go(tmp_path, resume=True)
        raise offline.StopError

    with pytest.raises(offline.StopError):
        offline.go(tmp_path, progress=second)
