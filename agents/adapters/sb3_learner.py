"""An algorithm of Stable-Baselines3 without its loop: asked for scores, fed with transitions, saved as arrays."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.utils import obs_as_tensor

from smartrec.agents.adapters.sb3_view import UserEmbedding, View
from smartrec.core.arrays import Array, FloatArray
from smartrec.core.errors import Diverged, InvalidConfig

COUNTERS = ("num_timesteps", "_n_updates", "_n_calls")
REPLAYED = ("observations", "next_observations", "actions", "rewards", "dones")


class Learner:
    """One algorithm of SB3 or sb3-contrib.

    Args:
        cls: Its class.
        policy: Name of its policy, or "auto".
        options: Plain values for its constructor; ``policy_kwargs["activation_fn"]`` by its name in torch.nn.
        view: What its networks are shown.
        action_space: Discrete, MultiDiscrete or Box.
        embed_user: Length of a learnt vector a user; 0 for none.
        seed: Of the first weights.

    Attributes:
        algorithm: The algorithm itself.
        view: As given.

    Raises:
        InvalidConfig: The algorithm refuses the spaces or options.
    """

    def __init__(
        self,
        cls: type[Any],
        policy: str,
        options: Mapping[str, Any],
        view: View,
        action_space: spaces.Space[Any],
        *,
        embed_user: int,
        seed: int,
    ) -> None:
        self.view = view
        if policy == "auto":
            policy = "MultiInputPolicy" if isinstance(view.space, spaces.Dict) else "MlpPolicy"
        network = dict(options.get("policy_kwargs", {}))
        if embed_user:
            network["features_extractor_class"] = UserEmbedding
            network["features_extractor_kwargs"] = {"users": view.users, "size": embed_user}
        with own_generators(seed):
            try:
                if "activation_fn" in network:
                    network["activation_fn"] = getattr(torch.nn, network["activation_fn"])
                world = _Nowhere(view.space, action_space)
                self.algorithm = cls(policy, world, **{**options, "policy_kwargs": network, "device": "cpu"})
            except (AssertionError, AttributeError, TypeError, ValueError) as error:
                raise InvalidConfig(f"{cls.__name__} with options {dict(options)} refuses: {error}") from None
        self.algorithm.set_logger(Logger(folder=None, output_formats=[]))
        if self.algorithm.use_sde:
            raise InvalidConfig("use_sde = True; allowed: False, since its noise belongs to SB3's own loop")

    def logits(self, seen: Mapping[str, Array]) -> list[FloatArray]:
        """Return what the policy scores items with, one array [N, I] for each place of the slate."""
        found = self._distribution(seen)
        parts = getattr(found, "distributions", None) or found.distribution
        parts = parts if isinstance(parts, list) else [parts]
        return [part.logits.numpy().astype(np.float64) for part in parts]

    def gaussian(self, seen: Mapping[str, Array]) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of the policy's actions, float [N, D]."""
        found = self._distribution(seen).distribution
        return found.mean.numpy(), found.stddev.numpy()

    def values(self, seen: Mapping[str, Array]) -> FloatArray:
        """Return what the critic of an actor-critic policy expects, float [N]."""
        with self._acting():
            values: FloatArray = self.algorithm.policy.predict_values(self._tensors(seen)).numpy()[:, 0]
        return values

    def action_values(self, seen: Mapping[str, Array]) -> FloatArray:
        """Return Q, float [N, I]; of quantiles the mean."""
        with self._acting():
            policy = self.algorithm.policy
            if hasattr(policy, "quantile_net"):
                values = policy.quantile_net(self._tensors(seen)).mean(dim=1)
            else:
                values = policy.q_net(self._tensors(seen))
        return values.numpy().astype(np.float64)  # type: ignore[no-any-return]

    def points(self, seen: Mapping[str, Array], *, explore: bool, seed: int) -> FloatArray:
        """Return the actor's actions, scaled to [-1, 1], float [N, D]; random ones where its policy is."""
        actor = self.algorithm.actor
        with self._acting(), own_generators(seed):
            inputs = self._tensors(seen)
            points = actor(inputs, not explore) if hasattr(actor, "action_dist") else actor(inputs)
        return points.numpy()  # type: ignore[no-any-return]

    def progress(self, share_left: float) -> None:
        """Tell schedules how much of the horizon is left, 0..1."""
        self.algorithm._current_progress_remaining = share_left

    def remember(self, rows: Mapping[str, Any], count: int) -> None:
        """Put transitions into SB3's replay buffer, all at once.

        Args:
            rows: For each of ``REPLAYED`` an array [B, ...], or a dict of them.
            count: B.
        """
        buffer = self.algorithm.replay_buffer
        places = (buffer.pos + np.arange(count)) % buffer.buffer_size
        for name in REPLAYED:
            table, values = getattr(buffer, name), rows[name]
            if isinstance(table, dict):
                for key, part in table.items():
                    part[places, 0] = values[key].reshape(part[places, 0].shape)
            else:
                table[places, 0] = values.reshape(table[places, 0].shape)
        buffer.full = bool(buffer.full or buffer.pos + count >= buffer.buffer_size)
        buffer.pos = int((buffer.pos + count) % buffer.buffer_size)
        self.algorithm.num_timesteps += count
        for _ in range(count):
            self.algorithm._on_step()  # moves DQN's target when its time has come

    def learn_from_replay(self, gradient_steps: int, seed: int) -> dict[str, float]:
        """Take gradient steps on what ``remember`` kept.

        Raises:
            Diverged: A loss is not finite; the weights are those before.
        """
        options = {"gradient_steps": gradient_steps, "batch_size": self.algorithm.batch_size}
        return self._train(seed, **options)

    def learn_from_rollout(self, rows: Mapping[str, Any], count: int, seed: int) -> dict[str, float]:
        """Learn from B transitions of (nearly) the present policy, by SB3's own ``train``.

        Args:
            rows: ``observations`` (array or dict), ``actions`` [B, ...], ``values``, ``log_probs``, ``advantages``
                [B], and for a policy with masks ``action_masks`` [B, K I].
            count: B.
            seed: Of the order of mini-batches.

        Raises:
            Diverged: A loss is not finite; the weights are those before.
        """
        old = self.algorithm.rollout_buffer
        spaces_ = self.algorithm.observation_space, self.algorithm.action_space
        buffer = type(old)(count, *spaces_, device="cpu", gae_lambda=old.gae_lambda, gamma=old.gamma, n_envs=1)
        for name, values in {**rows, "returns": rows["values"] + rows["advantages"]}.items():
            table = getattr(buffer, name)
            if isinstance(table, dict):
                setattr(buffer, name, {key: values[key].reshape(part.shape) for key, part in table.items()})
            else:
                setattr(buffer, name, values.reshape(table.shape).astype(table.dtype))
        buffer.full = True
        self.algorithm.rollout_buffer = buffer
        self.algorithm.num_timesteps += count
        try:
            return self._train(seed)
        finally:
            self.algorithm.rollout_buffer = old

    def adopt(self, other: Any) -> None:
        """Take over weights, optimisers and counters of another algorithm of the same class and sizes."""
        _restore_weights(self.algorithm, _weights_of(other))

    def get_state(self) -> dict[str, Any]:
        """Return weights, optimisers, counters and replay buffer as arrays and plain values."""
        state = _weights_of(self.algorithm)
        if isinstance(self.algorithm, OffPolicyAlgorithm):
            state.update(_replay_of(self.algorithm.replay_buffer))
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo ``get_state``."""
        _restore_weights(self.algorithm, state)
        if isinstance(self.algorithm, OffPolicyAlgorithm):
            _restore_replay(self.algorithm.replay_buffer, state)

    def _distribution(self, seen: Mapping[str, Array]) -> Any:
        with self._acting():
            return self.algorithm.policy.get_distribution(self._tensors(seen))

    def _tensors(self, seen: Mapping[str, Array]) -> Any:
        return obs_as_tensor(self.view.inputs(seen), self.algorithm.device)

    @contextmanager
    def _acting(self) -> Iterator[None]:
        self.algorithm.policy.set_training_mode(False)
        with torch.no_grad():
            yield

    def _train(self, seed: int, **options: int) -> dict[str, float]:
        """Let SB3 learn, and return its figures; where they are no numbers, undo it."""
        algorithm, before = self.algorithm, _weights_of(self.algorithm)
        try:
            with own_generators(seed):
                algorithm.train(**options)
            logged = algorithm.logger.name_to_value
            figures = {key.removeprefix("train/"): float(value) for key, value in logged.items() if "train/" in key}
            logged.clear()
            lost = {key: str(value) for key, value in figures.items() if "loss" in key and not np.isfinite(value)}
        except ValueError as error:  # torch's distributions refuse weights that are no numbers
            figures, lost = {}, {"loss": str(error).splitlines()[0]}
        if lost:
            _restore_weights(algorithm, before)
            raise Diverged(
                f"{type(algorithm).__name__} diverged after {algorithm._n_updates} updates: {lost}; its weights are "
                "those before. Take a smaller learning_rate, and look for features and rewards that are too large"
            )
        return figures


@contextmanager
def own_generators(seed: int) -> Iterator[None]:
    """Let SB3 draw from the global generators, seeded, and put those back as they were."""
    legacy = np.random.get_state()  # noqa: NPY002 - SB3 draws from it
    with torch.random.fork_rng(devices=[]):
        try:
            np.random.set_state(dict(np.random.MT19937(seed).state))  # noqa: NPY002
            torch.default_generator.manual_seed(seed)
            yield
        finally:
            np.random.set_state(legacy)  # noqa: NPY002


class _Nowhere(gymnasium.Env[Any, Any]):
    """Nothing but spaces: what SB3 wants to be made with."""

    def __init__(self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = observation_space, action_space


def _weights_of(algorithm: Any) -> dict[str, Any]:
    state: dict[str, Any] = {name: getattr(algorithm, name) for name in COUNTERS if hasattr(algorithm, name)}
    for name, part in algorithm.get_parameters().items():
        if "param_groups" in part:  # an optimiser; its options are those of the constructor
            for number, values in part["state"].items():
                state.update({f"{name}/{number}/{key}": _plain(value) for key, value in values.items()})
        else:
            state.update({f"{name}/{key}": _plain(value) for key, value in part.items()})
    for name in algorithm._get_torch_save_params()[1]:
        state[name] = _plain(getattr(algorithm, name))
    return state


def _restore_weights(algorithm: Any, state: Mapping[str, Any]) -> None:
    for name in COUNTERS:
        if hasattr(algorithm, name):
            setattr(algorithm, name, int(state[name]))
    parameters = algorithm.get_parameters()
    for name, part in parameters.items():
        mine = {key.removeprefix(f"{name}/"): value for key, value in state.items() if key.startswith(f"{name}/")}
        if "param_groups" not in part:
            part.update({key: _tensor(mine[key]) for key in part})
            continue
        part["state"] = {}
        for key, value in mine.items():
            number, _, field = key.partition("/")
            part["state"].setdefault(int(number), {})[field] = _tensor(value)
    algorithm.set_parameters(parameters)
    for name in algorithm._get_torch_save_params()[1]:
        getattr(algorithm, name).data.copy_(_tensor(state[name]))


def _replay_of(buffer: Any) -> dict[str, Any]:
    size = buffer.size()
    state: dict[str, Any] = {"replay/pos": buffer.pos, "replay/full": buffer.full}
    for name in REPLAYED:
        table = getattr(buffer, name)
        parts = table if isinstance(table, dict) else {"": table}
        state.update({f"replay/{name}/{key}": part[:size] for key, part in parts.items()})
    return state


def _restore_replay(buffer: Any, state: dict[str, Any]) -> None:
    buffer.pos, buffer.full = int(state["replay/pos"]), bool(state["replay/full"])
    size = buffer.size()
    for name in REPLAYED:
        table = getattr(buffer, name)
        for key, part in (table if isinstance(table, dict) else {"": table}).items():
            part[:size] = state[f"replay/{name}/{key}"]


def _plain(value: Any) -> Any:
    return value.detach().cpu().numpy().copy() if isinstance(value, torch.Tensor) else value


def _tensor(value: Any) -> Any:
    return torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value
