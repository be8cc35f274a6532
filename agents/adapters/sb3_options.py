"""Options of an algorithm that Stable-Baselines3 has made, read back as plain values."""

import inspect
import json
from typing import Any

import torch
from gymnasium import spaces

from smartrec.core.errors import InvalidConfig
from smartrec.core.problem import Problem

OURS = {
    *("self", "policy", "env", "device", "seed", "verbose", "tensorboard_log", "stats_window_size", "policy_kwargs"),
    *("n_steps", "train_freq", "gradient_steps", "action_noise", "optimize_memory_usage", "_init_setup_model"),
    *("replay_buffer_class", "replay_buffer_kwargs", "rollout_buffer_class", "rollout_buffer_kwargs"),
}
"""Parameters of SB3's constructors that the agent decides, or that concern SB3's own loop alone."""

MADE_BY_SB3 = ("use_sde", "optimizer_class", "optimizer_kwargs")
"""Policy options that some constructors add themselves."""


def config_of(algorithm: Any, problem: Problem) -> dict[str, Any]:
    """Return options of ``SB3Agent`` that make an algorithm like this one.

    Raises:
        InvalidConfig: Its policy is of a class of its own, or has options that are no plain values.
    """
    space, shown = problem.observation_space, algorithm.observation_space
    of_keys = isinstance(space, spaces.Dict) and not isinstance(shown, spaces.Dict)
    ignore: dict[str, Any] = {}
    if isinstance(space, spaces.Dict) and isinstance(shown, spaces.Dict):
        ignore = {"ignore": tuple(key for key in space.spaces if key not in shown.spaces)}
    return {
        **ignore,
        "algorithm": type(algorithm).__name__,
        "policy": _policy_name(algorithm),
        "options": {**_plain_options(algorithm), "policy_kwargs": _policy_options(algorithm)},
        "observation": "flat" if of_keys else "raw",
    }


def _policy_name(algorithm: Any) -> str:
    for name, cls in algorithm.policy_aliases.items():
        if type(algorithm.policy) is cls:
            return str(name)
    raise InvalidConfig(
        f"policy of class {type(algorithm.policy).__name__}; allowed: {', '.join(algorithm.policy_aliases)}"
    )


def _plain_options(algorithm: Any) -> dict[str, Any]:
    """Return the options that differ from the constructor's; of a schedule its value now."""
    left = algorithm._current_progress_remaining
    options = {}
    for name, parameter in inspect.signature(type(algorithm).__init__).parameters.items():
        value = getattr(algorithm, name, parameter.default)
        if name in OURS or value is parameter.default:
            continue
        if callable(value):
            value = float(value(left))
        if isinstance(value, (bool, int, float, str)) and value != parameter.default:
            options[name] = value
    return options


def _policy_options(algorithm: Any) -> dict[str, Any]:
    options = {key: value for key, value in algorithm.policy_kwargs.items() if key not in MADE_BY_SB3}
    activation: Any = options.get("activation_fn")
    name = getattr(activation, "__name__", "")
    if activation is not None and getattr(torch.nn, name, None) is activation:
        options["activation_fn"] = name
    try:
        json.dumps(options)
    except TypeError as error:
        raise InvalidConfig(
            f"policy_kwargs = {options}; allowed: plain values, so that it can be saved ({error})"
        ) from None
    return options
