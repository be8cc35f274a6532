"""Frames as a Minari data set, read by Minari itself."""

import numpy as np
import pytest

from smartrec.core.errors import InvalidConfig, OutputError
from smartrec.data.dense import DenseFrames
from smartrec.data.static_minari import write_minari


@pytest.mark.parametrize("action", ["embedding", "index"])
def test_minari_reads_the_episodes_of_the_users(action, tmp_path, monkeypatch, frames_of, vectors_for):
    import minari

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    frames = frames_of([25, 3, 12, 11], 10)
    vectors = vectors_for(frames)
    folder = write_minari("films/small-v0", frames, vectors, action)
    assert folder == tmp_path / "films" / "small-v0"
    assert [*minari.list_local_datasets()] == ["films/small-v0"]
    dataset = minari.load_dataset("films/small-v0")
    assert dataset.total_episodes == 3
    assert dataset.total_steps == len(frames) == 15 + 2 + 1
    dense, first = DenseFrames(frames, vectors, action), 0
    for episode in dataset.iterate_episodes():
        batch, first = dense[np.arange(first, first + len(episode.rewards))], first + len(episode.rewards)
        assert np.array_equal(episode.observations[:-1], batch["state"])
        assert np.array_equal(episode.observations[1:], batch["next_state"])
        assert np.array_equal(episode.actions, batch["action"])
        assert np.array_equal(episode.rewards, batch["reward"])
        assert np.array_equal(episode.terminations, batch["done"])
        assert not episode.truncations.any()
        assert all(map(dataset.observation_space.contains, episode.observations))
        assert all(map(dataset.action_space.contains, episode.actions))
    assert first == len(frames)


def test_a_part_of_a_log_is_truncated_where_the_users_go_on(tmp_path, monkeypatch, frames_of, vectors_for):
    import minari

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    frames = frames_of([8, 6], 2)
    part = frames.only(np.isin(np.arange(14), [2, 3, 5, 7, 11, 12]))
    write_minari("part-v0", part, vectors_for(frames))
    ends = [(len(e.rewards), e.terminations[-1], e.truncations[-1]) for e in minari.load_dataset("part-v0")]
    assert ends == [(2, False, True), (1, False, True), (1, True, False), (2, False, True)]


def test_minari_says_what_it_cannot_do(tmp_path, monkeypatch, frames_of, vectors_for):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    frames = frames_of([9], 2)
    for name in ("a", "a b-v0", "../a-v0"):
        with pytest.raises(InvalidConfig, match=r"allowed: 'name-v0' or 'group/name-v0'"):
            write_minari(name, frames, vectors_for(frames))
    with pytest.raises(InvalidConfig, match="action = 'one_hot'; allowed"):
        write_minari("a-v0", frames, vectors_for(frames), "one_hot")
    write_minari("a-v0", frames, vectors_for(frames))
    with pytest.raises(OutputError, match="is there already"):
        write_minari("a-v0", frames, vectors_for(frames))
