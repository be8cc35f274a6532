"""``smartrec train``: what a config means, what is refused, and a training that is killed and goes on."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from smartrec import agents
from smartrec.core.errors import DataNotFound, InvalidConfig, InvalidInput, OutputError, UnknownName
from smartrec.tasks.cli_train import train_command
from smartrec.tasks.recommender import recommend
from smartrec.tasks.train import hit_rate, prepare
from smartrec.tasks.train_config import SplitConfig, StepsConfig, TrainConfig, read_config

CONFIG = """
dataset = "log.csv"
agent = "td3"
folder = "out"
frame_size = 3
epochs = 4
every = 3
batch_size = 32
embeddings = "vectors.npz"
watch = "critic_loss"

[split]
test_share = 0.25

[options]
hidden = [16]
"""
VECTORS = np.random.default_rng(1).normal(size=(12, 4))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a log of 24 users who rated eleven of twelve items each, vectors, and a config."""
    monkeypatch.chdir(tmp_path)
    rng, rows = np.random.default_rng(0), ["user,item,rating,timestamp"]
    for user in range(24):
        for when, item in enumerate(rng.permutation(12)[:11]):
            rows.append(f"u{user},i{item:02},{rng.integers(1, 11) / 2},{1000 * when + user}")
    (tmp_path / "log.csv").write_text("\n".join(rows) + "\n")
    np.savez(tmp_path / "vectors.npz", **{f"i{item:02}": vector for item, vector in enumerate(VECTORS)})
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path


def smartrec(*arguments, cwd):
    command = [sys.executable, "-m", "smartrec", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def config(**changed):
    options = {"frame_size": 3, "embeddings": "none", "split": SplitConfig(test_share=0.25), **changed}
    return TrainConfig(**{"dataset": "log.csv", "agent": "td3", "folder": "out", **options})


def files_of(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_config_is_read(here):
    read = read_config(here / "config.toml")
    assert read.options == {"hidden": [16]}
    assert read.split == SplitConfig("user", 0.25)
    assert read.steps == StepsConfig()
    assert (read.epochs, read.every, read.patience) == (4, 3, None)


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ("epochs = 4", "epoch = 4", InvalidConfig, "has no option 'epoch'. Did you mean 'epochs'"),
        ("epochs = 4", "epochs = 0", InvalidConfig, "epochs = 0; allowed: a whole number >= 1"),
        ("epochs = 4", 'epochs = "4"', InvalidConfig, "epochs = '4'; allowed: a value of type int"),
        ("epochs = 4", "epochs 4", InvalidConfig, "config.toml is no TOML: .*line 6"),
        ('agent = "td3"', "", InvalidConfig, "without = 'agent'"),
        ('"td3"', '"td4"', UnknownName, "Did you mean 'td3'"),
        ("hidden", "hiden", InvalidConfig, "agent td3, has no option 'hiden'. Did you mean 'hidden'"),
        ("hidden = [16]", "tau = 2.0", InvalidConfig, "tau = 2.0"),
        ("test_share", "test_shar", InvalidConfig, r"\[split\] of .*Did you mean 'test_share'"),
        ("[split]\ntest_share = 0.25", "split = 0.25", InvalidConfig, r"written as \[split\]"),
        ("[split]", '[split]\nby = "item"', InvalidConfig, "by = 'item'; allowed: 'user', 'time', 'last'"),
        ("[split]", '[steps]\nrating = "stars"\n[split]', InvalidConfig, "rating = 'stars'; allowed: one of"),
    ],
)
def test_what_is_wrong_in_a_config_is_named(here, old, new, error, message):
    assert CONFIG.count(old) == 1
    text = CONFIG.replace(old, new)
    if new == "split = 0.25":
        text = "split = 0.25\n" + CONFIG.replace(old, "")
    (here / "config.toml").write_text(text)
    with pytest.raises(error, match=message):
        read_config(here / "config.toml")


def test_no_config(here):
    with pytest.raises(DataNotFound, match=r"none\.toml is not there"):
        read_config(here / "none.toml")


def test_frames_are_those_of_the_split_log(here):
    prepared = prepare(config())
    assert len(prepared.feed.frames) == 18 * 8
    assert len(prepared.test.frames) == 6 * 8
    learnt_from = {int(user) for batch in prepared.feed.at(0) for user in batch.visit}
    assert len(learnt_from) == 18
    rewards = np.concatenate([batch.reward for batch in prepared.feed.at(0)])
    assert rewards.min() >= -4
    assert rewards.max() <= 5
    assert (rewards == rewards.round()).all()  # 2 (r - 2.5)
    by_time = prepare(config(split=SplitConfig("time", 0.25)))
    assert len(by_time.test.frames) == 24 * 3 - 6  # states look back, so that no answer of the test part is lost
    last = prepare(config(split=SplitConfig("last")))
    assert len(last.test.frames) == 24
    assert last.feed.frames.trajectories.lengths.tolist() == [10] * 24


def test_steps_come_before_the_split(here):
    steps = StepsConfig(most_rated=6, min_length=5, rating={str(half / 2): half for half in range(1, 11)})
    prepared = prepare(config(steps=steps, frame_size=2))
    assert prepared.agent.problem.items == 6
    assert "keep_most_rated(n=6)" in prepared.report[1]
    rewards = np.concatenate([batch.reward for batch in prepared.feed.at(0)])
    assert set(rewards) <= set(range(1, 11))
    with pytest.raises(InvalidInput, match=r"the table has 1\. Add it"):
        prepare(config(steps=StepsConfig(rating={"1": 1.0})))
    with pytest.raises(InvalidConfig, match="numbers for numbers"):
        prepare(config(steps=StepsConfig(rating={"low": 1.0})))


def test_batches_are_the_same_each_time_and_go_on_anywhere(here):
    feed = prepare(config(batch_size=32)).feed
    whole = [batch.decision.action for batch in feed.at(3)]
    assert len(whole) == len(feed) == 5
    for one, other in zip(whole[2:], feed.at(3, 2), strict=True):
        np.testing.assert_array_equal(one, other.decision.action)
    assert any((one != other.decision.action).any() for one, other in zip(whole[:4], feed.at(4), strict=False))


def test_reinforce_gets_whole_visits_unless_told_otherwise(here):
    feed = prepare(config(agent="reinforce", batch_size=4)).feed
    batches = list(feed.at(0))
    assert [len(np.unique(batch.visit)) for batch in batches] == [4, 4, 4, 4, 2]
    assert all((np.bincount(batch.visit)[np.unique(batch.visit)] == 8).all() for batch in batches)
    assert all(batch.terminated.sum() == len(np.unique(batch.visit)) for batch in batches)
    assert len(prepare(config(agent="reinforce", batches="frames", batch_size=4)).feed) == 36


def test_vectors_of_the_items_are_in_their_order(here):
    steps = StepsConfig(most_rated=6, min_length=3)
    for options, count in (({"steps": steps, "frame_size": 2}, 6), ({}, 12)):
        made = prepare(config(embeddings="vectors.npz", **options))
        rows = [int(own[1:]) for own in made.feed.frames.trajectories.item_ids.ids]
        assert len(rows) == count
        np.testing.assert_allclose(made.agent.problem.item_features, VECTORS[rows], rtol=1e-6)


def test_the_hit_rate_counts_next_items_among_ten(here):
    """Of 12 items, 3 in the state are left out, so 9 are left: ten recommended are all of them."""
    frames = prepare(config()).test.frames
    random = agents.make("random", frames.problem(), seed=0)
    assert hit_rate(frames, 500)(random) == {"hit_rate_10": 1.0}

    twelve = prepare(config(frame_size=1)).test.frames  # 11 are left, of which ten are shown
    shown = hit_rate(twelve, 500)(agents.make("random", twelve.problem(), seed=0))["hit_rate_10"]
    assert abs(shown - 10 / 11) < 0.1


def test_vectors_made_here_know_nothing_of_what_is_tested_on(here):
    split = SplitConfig("time", 0.25)
    before = prepare(config(embeddings="auto", embedding_size=4, split=split)).agent.problem.item_features
    lines = (here / "log.csv").read_text().splitlines()
    changed = [
        f"{line.rsplit(',', 2)[0]},0.5,{when}" if int(when := line.rsplit(",", 1)[1]) > 9000 else line
        for line in lines[1:]
    ]
    (here / "log.csv").write_text("\n".join([lines[0], *changed]) + "\n")
    after = prepare(config(embeddings="auto", embedding_size=4, split=split)).agent.problem.item_features
    np.testing.assert_array_equal(before, after)
    assert before.shape[1] <= 4


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"agent": "most_popular"}, InvalidInput, "agent most_popular has no learn"),
        ({"embeddings": "nowhere.npz"}, DataNotFound, "embeddings = 'nowhere.npz'; allowed"),
        ({"embeddings": "small.npz"}, InvalidInput, "has no vector, one of 9 of 12 items"),
        ({"embeddings": "features"}, InvalidInput, "have no features"),
        ({"frame_size": 11}, InvalidInput, "nothing is left"),
    ],
)
def test_what_cannot_be_had_is_named_and_nothing_is_written(here, changed, error, message):
    np.savez(here / "small.npz", i00=VECTORS[0], i01=VECTORS[1], i02=VECTORS[2])
    with pytest.raises(error, match=message):
        prepare(config(**changed))
    assert not (here / "out").exists()


def test_the_command_trains_and_goes_on(here):
    done = smartrec("train", "config.toml", "--log", "log", cwd=here)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "learnt from: 144 frames, 5 batches an epoch; tested on 48 frames" in done.stdout
    assert "batch 20 epoch 4.00: train/critic_loss" in done.stdout
    assert "best critic_loss: " in done.stdout
    for name in ("best/agent.json", "last/training.json", "curves.jsonl", "curves.png"):
        assert (here / "out" / name).is_file()
    (here / "mine.csv").write_text("item,rating\ni01,5\ni07,0.5\n")
    assert len(recommend(here / "out", here / "mine.csv", 4)) == 4
    assert len(list((here / "log").iterdir())) == 1
    agent = agents.load(here / "out" / "last")
    assert agent.critic.steps == 20
    path = here / "config.toml"
    with pytest.raises(OutputError, match="holds a training of 20 batches already; go on with it by resume"):
        train_command(path)
    path.write_text(CONFIG.replace("epochs = 4", "epochs = 5\nseed = 1"))
    with pytest.raises(InvalidConfig, match="seed = 1; allowed: 0, as the training in out was begun with"):
        train_command(path, resume=True)
    path.write_text(CONFIG.replace("epochs = 4", "epochs = 5"))
    train_command(path, resume=True)
    assert agents.load(here / "out" / "last").critic.steps == 25


@pytest.mark.slow
@pytest.mark.parametrize(("name", "epochs"), [("td3", 3), ("reinforce", 12)])
def test_killed_and_resumed_is_bit_for_bit_what_was_never_killed(here, name, epochs):
    text = CONFIG.replace('"td3"', f'"{name}"').replace("epochs = 4", f"epochs = {epochs}")
    text = text.replace('watch = "critic_loss"', "").replace("batch_size = 32", "batch_size = 5")
    (here / "config.toml").write_text(text)
    (here / "whole.toml").write_text(text.replace('"out"', '"whole"'))
    curves = here / "out" / "curves.jsonl"
    for more, wanted in (((), 4), (("--resume",), 12)):
        child = subprocess.Popen([sys.executable, "-m", "smartrec", "train", "config.toml", *more], cwd=here)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and (not curves.exists() or len(curves.read_text().splitlines()) < wanted):
            assert child.poll() is None
            time.sleep(0.005)
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait(60) == -signal.SIGKILL
    assert smartrec("train", "config.toml", "--resume", cwd=here).returncode == 0
    assert smartrec("train", "whole.toml", cwd=here).returncode == 0
    mine, theirs = files_of(here / "out"), files_of(here / "whole")
    mine.pop("curves.png"), theirs.pop("curves.png")
    assert mine == theirs
    assert json.loads(mine["last/training.json"])["epoch"] == epochs
