"""A batch of users as a vector environment of Stable-Baselines3: ``as_vec_env``.

Any algorithm of SB3 and sb3-contrib learns on it as on its own ``DummyVecEnv``, but no lane is stepped by itself.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from smartrec.core.arrays import Array, BoolArray
from smartrec.core.errors import InvalidConfig
from smartrec.core.optional import optional

optional("stable_baselines3", "sb3", "as_vec_env")

from stable_baselines3.common.monitor import Monitor  # noqa: E402 - not before it is known to be there
from stable_baselines3.common.vec_env import VecEnv  # noqa: E402

from smartrec.agents.adapters.sb3_view import View  # noqa: E402

FIRST = np.zeros(1, np.int64)
"""The first lane."""


def as_vec_env(envs: Any, *, ignore: Sequence[str] = (), flat: bool = False) -> "BatchVecEnv":
    """Return a batched environment as a vector environment of Stable-Baselines3.

    Args:
        envs: From ``gymnasium.make_vec``, with autoreset in the same step, as all SmartRec worlds have it. Slates
            need ``on_repeat="replace"``, because SB3 draws each position by itself.
        ignore: Keys left out of the observation, for example ``("user",)``.
        flat: Show one vector in place of keys, for policies that read no Dict, as in CrossQ and ARS: Box and
            MultiBinary as they are, the clock as a share of its last value, other whole numbers as one input a value.

    Returns:
        The environment. Dict observations keep their keys but for ``allowed``: ``env_method("action_masks")`` has
        that, for sb3-contrib's MaskablePPO. ``infos[n]`` has what the world says of lane n; at the end of an episode
        also ``episode`` (SB3's r, l, t) and ``terminal_observation``: the last one that was seen, where the world
        builds none because nothing follows it.

    Raises:
        InvalidConfig: No such batch, an unknown key, or a space that SB3 cannot read.
        MissingExtra: Stable-Baselines3 is not installed.
    """
    if not hasattr(envs, "single_action_space"):
        raise InvalidConfig(f"envs is {envs}; allowed: a batch from gymnasium.make_vec (SB3 takes single ones as is)")
    mode = envs.metadata.get("autoreset_mode")
    if mode != AutoresetMode.SAME_STEP:
        raise InvalidConfig(f"autoreset_mode = {mode}; allowed: AutoresetMode.SAME_STEP, which SB3 counts on")
    settings = getattr(envs.unwrapped, "settings", None)
    draws_slates = isinstance(envs.single_action_space, spaces.MultiDiscrete)
    if draws_slates and settings is not None and settings.on_repeat != "replace":
        raise InvalidConfig(
            f'on_repeat = {settings.on_repeat!r}; allowed: "replace", since SB3 draws slates with repeats. '
            'Pass it to gymnasium.make_vec: gym.make_vec(..., on_repeat="replace")'
        )
    parts = getattr(envs.single_observation_space, "spaces", {})
    ignore = (ignore,) if isinstance(ignore, str) else ignore
    if set(ignore) - set(parts):
        raise InvalidConfig(f"ignore = {tuple(ignore)}; allowed: keys of the observation, {', '.join(parts) or 'none'}")
    return BatchVecEnv(envs, View(envs.single_observation_space, "flat" if flat else "raw", ignore))


class BatchVecEnv(VecEnv):
    """The vector environment that ``as_vec_env`` makes.

    Attributes:
        envs: The batch inside.
    """

    def __init__(self, envs: Any, view: View) -> None:
        self.envs, self._view = envs, view
        self._actions: Array | None = None
        self._last: Any = None
        self._returns = np.zeros(envs.num_envs)
        self._lengths = np.zeros(envs.num_envs, np.int64)
        super().__init__(envs.num_envs, view.space, envs.single_action_space)

    def reset(self) -> Any:
        """Return the first observation; a seed given to ``seed`` makes a new world, all lanes of that one seed."""
        observation, _ = self.envs.reset(seed=self._seeds[0])
        self._reset_seeds()
        self._reset_options()
        self._returns[:], self._lengths[:] = 0.0, 0
        self._last = self._shown(observation)
        return self._last

    def step_async(self, actions: Array) -> None:
        """Keep the actions for ``step_wait``."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, Array, BoolArray, list[dict[str, Any]]]:
        """Step all lanes at once."""
        raw, reward, terminated, truncated, info = self.envs.step(self._actions)
        self._returns += reward
        self._lengths += 1
        done = terminated | truncated
        infos = _rows(info, self.num_envs)
        ended = np.flatnonzero(done)
        if len(ended):
            self._end(infos, ended, truncated & ~terminated, info)
        self._last = self._shown(raw)
        return self._last, reward.astype(np.float32), done, infos

    def close(self) -> None:
        """Close the batch inside."""
        self.envs.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return the batch's attribute once a lane; ``action_masks`` as a function of the lane.

        Raises:
            AttributeError: The batch has none of this name.
        """
        value = getattr(self.envs.unwrapped, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of the batch, for all lanes: they are one world."""
        setattr(self.envs.unwrapped, attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Call a method that answers for all lanes, as ``action_masks`` does, and return its rows.

        Raises:
            AttributeError: The batch has no such method.
        """
        rows = getattr(self.envs.unwrapped, method_name)(*method_args, **method_kwargs)
        return [rows[lane] for lane in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: Any = None
    ) -> list[bool]:
        """Return whether each lane does what a wrapper does: episodes are counted here as by SB3's ``Monitor``."""
        return [wrapper_class is Monitor for _ in self._get_indices(indices)]

    def _shown(self, observation: Any) -> Any:
        seen = observation if isinstance(observation, dict) else {"observation": observation}
        return self._view.inputs(self._view(seen))

    def _shown_alone(self, observation: Any) -> Any:
        """Return the observation of one lane as SB3 has it."""
        if isinstance(observation, dict):
            return _lanes(self._shown({key: np.asarray(part)[None] for key, part in observation.items()}), FIRST)[0]
        return self._shown(np.asarray(observation)[None])[0]

    def _end(self, infos: list[dict[str, Any]], ended: Array, cut_off: BoolArray, info: dict[str, Any]) -> None:
        """Add to ``infos`` what SB3 reads at the end of an episode, and begin to count anew."""
        # SAME_STEP autoreset shows what comes next already; where the world keeps no last observation, nothing is
        # bootstrapped from it either.
        last = _lanes(self._last, ended)
        if "final_obs" in info:
            last = [self._shown_alone(observation) for observation in info["final_obs"][ended]]
        totals, lengths = self._returns[ended].tolist(), self._lengths[ended].tolist()
        for lane, seen, total, length in zip(ended.tolist(), last, totals, lengths, strict=True):
            of_lane = infos[lane]
            of_lane["terminal_observation"] = seen
            of_lane["episode"] = {"r": total, "l": length, "t": 0.0}
        for lane in np.flatnonzero(cut_off):
            infos[lane]["TimeLimit.truncated"] = True
        self._returns[ended], self._lengths[ended] = 0.0, 0


def _rows(info: dict[str, Any], lanes: int) -> list[dict[str, Any]]:
    """Return what ``info`` says of each lane."""
    kept = {
        key: value
        for key, value in info.items()
        if isinstance(value, np.ndarray) and value.dtype != object and not key.startswith("_") and len(value) == lanes
    }
    return _as_dicts(kept) if kept else [{} for _ in range(lanes)]


def _lanes(observation: Any, ended: Array) -> list[Any]:
    """Return the observations of the lanes that ended, one by one."""
    if not isinstance(observation, dict):
        return list(observation[ended])
    return _as_dicts({key: value[ended] for key, value in observation.items()})


def _as_dicts(columns: dict[str, Array]) -> list[dict[str, Any]]:
    """Return the rows of arrays [N, ...] as N dicts; numbers become Python's own, which is quicker."""
    keys = tuple(columns)
    rows = zip(*(value.tolist() if value.ndim == 1 else value for value in columns.values()), strict=True)
    return [dict(zip(keys, row)) for row in rows]  # noqa: B905 - as long as each other, and this is the hot loop
