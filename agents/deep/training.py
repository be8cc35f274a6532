"""A network in training: gradient steps, a target that follows, and a loss that has gone astray is noticed."""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from smartrec.core.arrays import Array
from smartrec.core.config import require
from smartrec.core.errors import Diverged
from smartrec.core.seeding import generator_state, restore_generator

M = TypeVar("M", bound=nn.Module)


class Learner(Generic[M]):
    """A network with its optimiser (Adam) and, where asked for, a target network.

    Args:
        network: What is trained.
        name: For messages, for example "critic".
        rate: Learning rate, > 0.
        clip: Largest norm of a gradient, > 0.
        target: Whether to keep a target network; it starts as a copy.

    Attributes:
        network: What is trained.
        target: Its target network; the network itself where none was asked for.
        steps: Gradient steps so far.
        held: Whether nothing moves: ``step`` only returns the loss, and ``follow`` does nothing.
    """

    def __init__(self, network: M, name: str, *, rate: float, clip: float = math.inf, target: bool = False) -> None:
        require(rate > 0, f"learning rate of the {name}", rate, "a number > 0")
        # A negative norm would turn the gradient round.
        require(clip > 0, f"clip of the {name}", clip, "a number > 0")
        self.network, self.name, self.steps, self.held = network, name, 0, False
        self.target: M = copy.deepcopy(network).requires_grad_(False) if target else network
        self._parameters = [weight for weight in network.parameters() if weight.requires_grad]
        self._leaders: list[Tensor] = list(network.parameters())
        self._followers: list[Tensor] = list(self.target.parameters())
        self._clip = clip
        self._optimiser = torch.optim.Adam(self._parameters, lr=rate, fused=True)

    def step(self, loss: Tensor) -> float:
        """Go one step down ``loss``; gradients of other networks in it are not even worked out.

        Returns:
            The loss.

        Raises:
            Diverged: Loss or gradient is not finite; nothing was changed.
        """
        if self.held:
            return float(loss.detach())
        gradients = torch.autograd.grad(loss, self._parameters, allow_unused=True)
        for weight, gradient in zip(self._parameters, gradients, strict=True):
            weight.grad = gradient
        there = [gradient for gradient in gradients if gradient is not None]
        norm, value = float(nn.utils.get_total_norm(there)), float(loss.detach())
        if not (math.isfinite(norm) and math.isfinite(value)):
            raise Diverged(
                f"the {self.name} diverged after {self.steps:,} gradient steps: loss {value}, gradient norm {norm}; "
                "its weights are those before this step. Take a smaller learning rate or clip, and look for "
                "features and rewards that are too large"
            )
        if norm > self._clip:
            torch._foreach_mul_(there, self._clip / norm)
        self._optimiser.step()
        self.steps += 1
        return value

    @torch.no_grad()
    def follow(self, tau: float) -> None:
        """Move the target: ``target <- target + tau (network - target)``; tau = 1 copies."""
        if not self.held:
            torch._foreach_lerp_(self._followers, self._leaders, tau)

    def get_state(self) -> dict[str, Any]:
        """Return weights and the optimiser's state as arrays."""
        state: dict[str, Any] = {"steps": self.steps, **_weights("network", self.network)}
        if self.target is not self.network:
            state.update(_weights("target", self.target))
        for number, values in self._optimiser.state_dict()["state"].items():
            state.update({f"optimiser.{number}.{key}": _array(value) for key, value in values.items()})
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo ``get_state``."""
        self.steps = int(state["steps"])
        _load_weights("network", self.network, state)
        if self.target is not self.network:
            _load_weights("target", self.target, state)
        optimiser = self._optimiser.state_dict()
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            if key.startswith("optimiser."):
                _, number, part = key.split(".")
                moments.setdefault(int(number), {})[part] = torch.from_numpy(np.array(value))
        optimiser["state"] = moments
        self._optimiser.load_state_dict(optimiser)


@contextmanager
def held(agent: Any) -> Iterator[None]:
    """Hold an agent still: what is worked out in the block moves no weight, no optimiser and no generator of it."""
    learners = [part for part in vars(agent).values() if isinstance(part, Learner)]
    before = generator_state(agent.rng)
    try:
        for learner in learners:
            learner.held = True
        with torch.no_grad():
            yield
    finally:
        for learner in learners:
            learner.held = False
        restore_generator(agent.rng, before)


def _weights(name: str, network: nn.Module) -> dict[str, Array]:
    return {f"{name}.{key}": _array(value) for key, value in network.state_dict().items()}


def _load_weights(name: str, network: nn.Module, state: dict[str, Any]) -> None:
    """Load weights.

    Raises:
        ValueError: A weight is missing, too many, or of another shape.
    """
    mine = {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
    try:
        network.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in mine.items()})
    except RuntimeError as error:
        raise ValueError(" ".join(str(error).split())) from None


def _array(value: Tensor) -> Array:
    return value.detach().cpu().numpy().copy()
