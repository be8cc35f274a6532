"""Logs of a few users, and a walk along them."""

import numpy as np
import pytest


def _write_log(path, users, items, ratings, times=None):
    times = np.arange(len(users)) if times is None else times
    rows = zip(users, items, ratings, times, strict=True)
    path.write_text("user,item,rating,timestamp\n" + "".join(f"{u},{i},{r},{t}\n" for u, i, r, t in rows))
    return str(path)


@pytest.fixture(scope="session")
def write_log():
    """Writes users, items, ratings and times as a CSV file; returns its path."""
    return _write_log


@pytest.fixture
def three_users(tmp_path):
    """Users of 25, 12 and 4 answers, shuffled; numbers of the items and ratings of each user, oldest first."""
    users = np.repeat([1, 2, 3], [25, 12, 4])
    times = np.concatenate([np.arange(25), np.arange(12), np.arange(4)])
    items = (3 * times + users) % 30
    ratings = (times + users) % 10 / 2 + 0.5
    mixed = np.random.default_rng(0).permutation(len(users))
    path = _write_log(tmp_path / "log.csv", users[mixed], items[mixed], ratings[mixed], times[mixed])
    numbers = np.unique(items, return_inverse=True)[1]
    return path, {user: (numbers[users == user], ratings[users == user]) for user in (1, 2, 3)}


def _walk(envs, choose, seed=0, steps=None):
    """Walk until every walker has been met once in each lane; what happened, a list a visit."""
    envs.reset(seed=seed)
    base, visits = envs.unwrapped, {}
    for _ in range(steps or len(base.log)):
        rows = base.rows
        _, reward, terminated, _, info = envs.step(choose(rows))
        for lane, visit in enumerate(info["visit"].tolist()):
            visits.setdefault(visit, []).append((rows[lane], reward[lane], info["matched"][lane], terminated[lane]))
    return visits


@pytest.fixture(scope="session")
def walk():
    """Walks a batch along its log."""
    return _walk
