"""Environments that walk a log, answer by answer: N users at once, and one."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from smartrec.core.arrays import Array, BoolArray, IntArray
from smartrec.core.config import require
from smartrec.core.errors import InvalidConfig
from smartrec.core.problem import Problem
from smartrec.data.windows import problem_of_windows
from smartrec.envs.logged_log import LoggedLog
from smartrec.envs.logged_settings import LoggedSettings
from smartrec.envs.logged_walk import Answers, Walk
from smartrec.envs.single import first_lane, one_lane_options

DISCOUNT = 0.99
"""Of future reward inside a user."""


class LoggedVectorEnv(VectorEnv[dict[str, Array], Array, Array]):
    """A log of real answers, walked user by user: what agents trained on frames of it meet.

    ## Users and items
    Those of the log. Users with `frame_size` answers or fewer are left out in mode "frame"; `envs.unwrapped.about` says
    how many remain. A visit is one user from the first answer that is asked for to the last. Users come in a random
    order by the seed, each once, then in another such order; visit v is the same user at any number of lanes.

    ## Response
    The log has one answer at each step, to the logged item. What another item does, `mismatch` says:

    | `mismatch` | the agent's item is not the logged one | then the history shows |
    |---|---|---|
    | "rejection" | nobody answers: reward 0, `info["observed"]` False, no failure of the item | the logged answer |
    | "logged" | the logged item is shown in its place, and its answer is the reward | the logged answer |
    | "simulated" | a response model, fitted to the whole log, answers | the agent's item and that answer |

    Where the item is the logged one, the answer is the logged one, always. Under "rejection" and "logged" users so live
    what the log says they lived, whatever the agent does. Under "simulated" a click is worth the mean of the
    log's answers that are clicks, no click the mean of the others. The model (`envs.unwrapped.log.report`: how good it
    is on held-out answers) is fitted once and kept.

    "rejection" is the replay of Li et al. 2011: where the logged items were drawn uniformly and an answer depends on
    nothing but the user and the item, the mean reward of the matched steps is an unbiased estimate of what the agent
    would earn a step after histories like the logged ones. Of an agent that reads the history it does not estimate a
    run of its own, for here steps that did not match are in the history too. A log of what people chose by themselves
    is not drawn uniformly: then it is an estimate on the steps where agent and log agree, and no more. A uniformly
    random agent matches one step in I. Stable-Baselines3 does not know of `observed` and takes the 0 for an answer: for
    it, take "simulated".

    ## Action
    | space | meaning |
    |---|---|
    | `Discrete(I)` | the item to show |

    ## Observation
    | key | space | meaning |
    |---|---|---|
    | `history_items` | `MultiDiscrete` [f] | the last f items of the user, newest at the end; I: nothing yet |
    | `history_responses` | `Box` float32 [f] | what the answers to them were worth; 0: nothing yet |
    | `user` | `Discrete(U)` | number of the user; with `observe_user=True` |

    These are the observations of `Frames.transitions`: an agent that learnt from those acts here as it is.

    ## Reward
    What the answer is worth by `rating_map`. Agents that count clicks (`most_popular`, the bandits, the recommenders)
    want `rating_map="click"`. `info` has `visit` and `matched`; under "rejection" `observed`; under "logged" `shown`,
    the logged item, and `replaced`, 1 where it took the place of the agent's: `evaluation.run` tells the agent of the
    item that was shown. Under "simulated" it has `expected_reward`.

    ## Episode end
    An episode is a visit. It ends `terminated` with the user's last answer, never `truncated`: a user with T answers
    has T - f steps in mode "frame", T in mode "sequence". In the batch the next user begins in the same step, and
    `final_obs` is not built: nothing follows. `reset(seed=...)` begins a new order of users, `reset()` goes on with the
    next users of the same order.

    ## Settings
    | name | default | meaning |
    |---|---|---|
    | `dataset` | "synthetic" | a data set ("ml-100k", ...), the path of one, or of a CSV or Parquet file of your own |
    | `frame_size` | 10 | f, answers in the observation |
    | `mode` | "frame" | "frame" begins with the first f answers known, "sequence" with none |
    | `mismatch` | "rejection" | see above |
    | `rating_map` | "rating" | "rating" as it is, "recnn" 2 (rating - 2.5), "click" 1 from `positive` on, else 0 |
    | `embeddings` | None | "auto", or the path of a file of item vectors; None: the item features of the data set |
    | `observe_user` | False | whether the observation has `user`, which recommenders need |
    | `columns` | None | of your own file: {"user": ..., "item": ..., "rating": ..., "timestamp": ...} |
    | `positive` | None | rating from which an answer is a click; None: the data set's own |

    "synthetic" is a log of 500 made-up users who clicked or did not on 30 of 100 films each; no download.

    ## Source
    Frames: RecNN (2019). Replay: Li, Chu, Langford, Wang 2011, "Unbiased offline evaluation of
    contextual-bandit-based news article recommendation algorithms".

    ## Versions
    v0: first version.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}
    id = "SmartRec/Logged-v0"
    defaults = LoggedSettings()

    def __init__(self, num_envs: int = 1, **options: Any) -> None:
        whole = isinstance(num_envs, (int, np.integer)) and not isinstance(num_envs, bool)
        require(whole and num_envs >= 1, "num_envs", num_envs, "a whole number >= 1")
        self.num_envs = int(num_envs)
        self.log = log = LoggedLog.of(self.defaults.updated(options, self.id))
        self.problem = problem_of(log, self.num_envs)
        self.single_observation_space, self.single_action_space = (
            self.problem.observation_space,
            self.problem.action_space,
        )
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._walk: Walk | None = None
        self._present = np.ones(self.num_envs, bool)
        self._present.flags.writeable = False  # every info shares it

    @property
    def about(self) -> str:
        """One line: what is walked."""
        return self.log.about

    @property
    def rows(self) -> IntArray:
        """The rows of ``log`` that are answered next, int [N]: who knows ``log.items`` there matches them all.

        Raises:
            ResetNeeded: ``reset`` was not called yet.
        """
        if self._walk is None:
            raise ResetNeeded("call reset() before rows")
        return self._walk.rows.copy()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """Begin a new order of users where a seed is given, else go on with the next users.

        Args:
            seed: Of the order, and of the dice of a response model, >= 0.
            options: None are known.

        Returns:
            Observation [N, ...] and an empty info.
        """
        _no_options(options)
        if isinstance(seed, (list, tuple)):
            raise InvalidConfig(f"seed = {seed!r}; allowed: one whole number, all lanes are of one log")
        super().reset(seed=int(seed) if isinstance(seed, np.integer) else seed)
        self._walk = _restarted(self._walk, self.log, self.num_envs, seed, self.np_random)
        return self._walk.observation, {}

    def step(self, actions: Any) -> tuple[dict[str, Array], Array, BoolArray, BoolArray, dict[str, Any]]:
        """Show each user an item; where a user's answers end, the next user begins in the same step.

        Args:
            actions: int [N].

        Returns:
            Observation [N, ...], reward [N], terminated [N], truncated [N] (never), info.

        Raises:
            InvalidAction: An item number out of range, or another shape or type.
            ResetNeeded: ``reset`` was not called yet.
        """
        if self._walk is None:
            raise ResetNeeded("call reset() before step()")
        visit = self._walk.visit.copy()
        answers = self._walk.answer(actions)
        info: dict[str, Any] = {"visit": visit, **_info(answers, self.log.settings)}
        info.update({f"_{key}": self._present for key in tuple(info)})
        self._walk.begin(np.flatnonzero(answers.done))
        return self._walk.observation, answers.reward.astype(float), answers.done, np.zeros(self.num_envs, bool), info


class LoggedEnv(gymnasium.Env[dict[str, Any], Any]):
    """The same, one user at a time; see ``LoggedVectorEnv``."""

    metadata: dict[str, Any] = {"render_modes": []}
    batch_type: type[LoggedVectorEnv] = LoggedVectorEnv

    def __init__(self, **options: Any) -> None:
        self.batch = batch = self.batch_type(**one_lane_options(options))
        self.log, self.problem = batch.log, batch.problem
        self.observation_space, self.action_space = batch.single_observation_space, batch.single_action_space
        self._walk: Walk | None = None
        self._done = True

    @property
    def about(self) -> str:
        """One line: what is walked."""
        return self.log.about

    @property
    def row(self) -> int:
        """The row of ``log`` that is answered next.

        Raises:
            ResetNeeded: No visit is under way.
        """
        if self._walk is None or self._done:
            raise ResetNeeded("no visit is under way; call reset() before row")
        return int(self._walk.rows[0])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin a new order of users where a seed is given, else go on with the next user.

        Args:
            seed: Of the order, and of the dice of a response model, >= 0.
            options: None are known.

        Returns:
            Observation and an empty info.
        """
        _no_options(options)
        super().reset(seed=int(seed) if isinstance(seed, np.integer) else seed)
        self._walk = _restarted(self._walk, self.log, 1, seed, self.np_random)
        self._done = False
        return first_lane(self._walk.observation), {}

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Show the user an item.

        Args:
            action: An item number.

        Returns:
            Observation, reward, whether the user's answers have ended, False, info.

        Raises:
            InvalidAction: An item number out of range, or another shape or type.
            ResetNeeded: No visit is under way.
        """
        if self._walk is None or self._done:
            raise ResetNeeded("the user's answers have ended; call reset() to go on with the next user")
        answers = self._walk.answer([action])
        self._done = bool(answers.done[0])
        info = first_lane({"visit": self._walk.visit, **_info(answers, self.log.settings)})
        return first_lane(self._walk.observation), float(answers.reward[0]), self._done, False, info


def problem_of(log: LoggedLog, lanes: int) -> Problem:
    """Return what agents are told: the problem of the frames of the log, and users where they are asked for."""
    settings, ratings = log.settings, log.ratings
    low, high = float(ratings.min()), float(ratings.max())
    problem = problem_of_windows(log.n_items, settings.frame_size, low, high, log.item_features, DISCOUNT)
    seen = problem.observation_space
    if settings.observe_user and isinstance(seen, spaces.Dict):
        seen = spaces.Dict({"user": spaces.Discrete(log.n_users), **seen.spaces})
    return Problem.from_spaces(
        seen, problem.action_space, lanes=lanes, item_features=log.item_features, discount=DISCOUNT
    )


def _info(answers: Answers, settings: LoggedSettings) -> dict[str, Array]:
    info: dict[str, Array] = {"matched": answers.matched}
    if settings.mismatch == "rejection":
        info["observed"] = answers.matched[:, None]
    if settings.mismatch == "logged":
        info["shown"], info["replaced"] = answers.logged[:, None], (~answers.matched).astype(np.int64)
    if answers.expected is not None:
        info["expected_reward"] = answers.expected
    return info


def _no_options(options: dict[str, Any] | None) -> None:
    if options:
        raise InvalidConfig(f"reset takes no options; it was given {sorted(options)}; pass none")


def _restarted(walk: Walk | None, log: LoggedLog, lanes: int, seed: int | None, rng: np.random.Generator) -> Walk:
    """Return a new walk where a seed is given, else the same with the next users in all lanes."""
    if seed is not None or walk is None:
        return Walk(log, lanes, int(rng.integers(2**63)))
    walk.begin(np.arange(lanes))
    return walk
