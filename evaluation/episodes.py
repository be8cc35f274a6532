"""Episodes of any vector environment: which one a lane is in, what each returned, and an agent's mean return."""

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from smartrec.core.arrays import BoolArray, FloatArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Mask


class Episodes:
    """Keeps track of N lanes whose episodes begin and end.

    Args:
        envs: Vector environment of N lanes.

    Attributes:
        number: int [N], running number of the episode that each lane is in.
        first: bool [N], lanes whose episode just began.
        idle: bool [N], lanes that the environment is about to reset: what they do now counts for nothing.
        returns: float [N], sum of rewards of the episode so far.
        ended: Returns of the episodes that have ended, by lane.
    """

    def __init__(self, envs: Any) -> None:
        lanes = envs.num_envs
        mode = envs.metadata.get("autoreset_mode")
        require(mode != AutoresetMode.DISABLED, "autoreset_mode", mode, "NEXT_STEP or SAME_STEP")
        self._resets_next = envs.metadata.get("autoreset_mode") == AutoresetMode.NEXT_STEP
        self.number, self.first = np.arange(lanes), np.ones(lanes, bool)
        self.idle, self.returns = np.zeros(lanes, bool), np.zeros(lanes)
        self.ended: list[list[float]] = [[] for _ in range(lanes)]
        self._begun = lanes

    def step(self, reward: FloatArray, done: BoolArray) -> None:
        """Take note of a step: rewards [N], and which episodes ended with it, bool [N]."""
        self.returns += np.where(self.idle, 0.0, reward)
        finished = np.flatnonzero(done & ~self.idle)
        for lane in finished:
            self.ended[lane].append(float(self.returns[lane]))
        began = self.idle if self._resets_next else done
        self.returns[finished] = 0.0
        self.number[finished] = self._begun + np.arange(len(finished))
        self._begun += len(finished)
        self.first, self.idle = began.copy(), done & self._resets_next

    @property
    def mean_return(self) -> float:
        """Mean return of the episodes that have ended; of those under way where none has."""
        ended = [value for lane in self.ended for value in lane]
        return float(np.mean(ended if ended else self.returns))


def mean_return(agent: Any, envs: Any, *, episodes: int, seed: int, explore: bool = False) -> float:
    """Let an agent act without learning, and return its mean return an episode.

    Each lane plays the same number of episodes, so that short ones do not count more often than long ones. The agent's
    generator moves on, as in any acting; an agent that is to go on exactly is evaluated by a loaded copy.

    Args:
        agent: A ``smartrec.agents.Agent``.
        envs: A vector environment: ``gymnasium.make_vec(...)``.
        episodes: How many at least, >= 1.
        seed: Of the environment, >= 0.
        explore: Whether it acts as in a run, or by its best guess.

    Raises:
        InvalidConfig: ``episodes`` is out of range.
    """
    require(episodes >= 1, "episodes", episodes, "a whole number >= 1")
    each = -(-episodes // envs.num_envs)
    raw, _ = envs.reset(seed=seed)
    track = Episodes(envs)
    while min(map(len, track.ended)) < each:
        observation, allowed = seen(raw)
        decision = agent.act(observation, first=track.first, allowed=allowed, explore=explore)
        raw, reward, terminated, truncated, _ = envs.step(decision.action)
        track.step(reward, terminated | truncated)
    return float(np.mean([value for lane in track.ended for value in lane[:each]]))


def seen(raw: Any) -> tuple[Observation, Candidates | None]:
    """Split what an environment shows into what an agent sees and what it may choose from."""
    if not isinstance(raw, dict):
        return {"observation": np.asarray(raw)}, None
    if "allowed" not in raw:
        return raw, None
    return {key: value for key, value in raw.items() if key != "allowed"}, Mask(raw["allowed"].astype(bool))


def last_seen(raw: Any, info: dict[str, Any]) -> Any:
    """Return what the step led to, where the environment has begun new episodes and keeps the old ends in ``info``.

    Args:
        raw: What it shows, of N lanes.
        info: With ``final_obs`` where an episode ended in the same step.
    """
    if "final_obs" not in info:
        return raw
    ended = np.flatnonzero(info["_final_obs"])
    finals = info["final_obs"]
    if isinstance(raw, dict):
        parts = {key: part.copy() for key, part in raw.items()}
        for key, part in parts.items():
            for lane in ended:
                part[lane] = finals[key][lane] if isinstance(finals, dict) else finals[lane][key]
        return parts
    led_to = raw.copy()
    for lane in ended:
        led_to[lane] = finals[lane]
    return led_to
