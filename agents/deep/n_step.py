"""N-step returns: rewards of the next steps in place of one, so that news of a reward travels faster.

``R_t = r_t + d_t (r_t+1 + d_t+1 (... r_t+m-1))``, ``D_t = d_t .. d_t+m-1``, target ``R_t + D_t V(s_t+m)``
``d`` is the discount, 0 after a step that terminated; ``m`` is n, or fewer where the visit ends or a step is not there.

Source: Sutton 1988; with off-policy learning, as in Rainbow (Hessel et al. 2018, arXiv 1710.02298), later actions are
those of the policy of then, uncorrected. A visit that was cut off still counts what its last observation is worth.
"""

import numpy as np

from smartrec.core.arrays import BoolArray, FloatArray, IntArray


def n_step_return(
    reward: FloatArray, discount: FloatArray, known: BoolArray
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Return what a row and the steps after it come to.

    Args:
        reward: float [B, n], of the row and the steps after it.
        discount: float [B, n], what the value after each step counts.
        known: bool [B, n], which steps there are; those come first, at least the row itself.

    Returns:
        Returns float [B], what the value after the last step counts, float [B], and the number of that step, int [B].
    """
    after = np.where(known, discount, 1.0).cumprod(axis=1)  # [B, n]
    weight = np.where(known, np.concatenate([np.ones_like(after[:, :1]), after[:, :-1]], axis=1), 0.0)
    return (weight * reward).sum(axis=1), after[:, -1], known.sum(axis=1) - 1
