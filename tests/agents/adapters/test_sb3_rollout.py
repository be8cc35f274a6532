"""What feedback in any order is worth."""

import numpy as np

from smartrec.agents.adapters.sb3_rollout import advantages


def test_advantages_are_those_of_each_visit_step_by_step():
    """Rows in any order give the same advantages: those of the visit, step by step."""
    rng = np.random.default_rng(0)
    visits, steps, discount, trace = 6, 5, 0.9, 0.8
    reward, value, following = (rng.normal(size=(visits, steps)) for _ in range(3))
    following[:, :-1] = value[:, 1:]
    ended = np.zeros((visits, steps), bool)
    ended[:, -1] = True
    terminated = ended & (np.arange(visits) % 2 == 0)[:, None]
    expected = np.zeros((visits, steps))
    for visit in range(visits):
        rest = 0.0
        for step in reversed(range(steps)):
            future = 0.0 if terminated[visit, step] else following[visit, step]
            rest = reward[visit, step] + discount * future - value[visit, step] + discount * trace * rest
            expected[visit, step] = rest
    where = np.indices((visits, steps)).reshape(2, -1)
    order = rng.permutation(visits * steps)
    rows = [part.reshape(-1)[order] for part in (reward, value, following, terminated, ended, *where)]
    found = advantages(*rows, discount=discount, trace=trace)
    np.testing.assert_allclose(found, expected.reshape(-1)[order])
    # A step that is lost cuts the visit: what came before it is bootstrapped.
    kept = [np.delete(part.reshape(-1), 2) for part in (reward, value, following, terminated, ended, *where)]
    found = advantages(*kept, discount=discount, trace=trace)
    delta = reward[0, 1] + discount * following[0, 1] - value[0, 1]
    np.testing.assert_allclose(found[1], delta)
