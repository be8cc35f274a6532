"""Options of the agents made of Stable-Baselines3's algorithms, and which algorithms those are."""

from dataclasses import dataclass, field
from typing import Any, Literal

from smartrec.core.config import require
from smartrec.core.nearest import Metric

POLICY, VALUES, POINTS = "policy", "values", "points"
KINDS = {
    "PPO": ("stable_baselines3", POLICY),
    "A2C": ("stable_baselines3", POLICY),
    "TRPO": ("sb3_contrib", POLICY),
    "MaskablePPO": ("sb3_contrib", POLICY),
    "DQN": ("stable_baselines3", VALUES),
    "QRDQN": ("sb3_contrib", VALUES),
    "DDPG": ("stable_baselines3", POINTS),
    "TD3": ("stable_baselines3", POINTS),
    "SAC": ("stable_baselines3", POINTS),
    "TQC": ("sb3_contrib", POINTS),
    "CrossQ": ("sb3_contrib", POINTS),
}
"""Algorithm -> its package, and whether it draws from a policy, compares action values, or names a point."""


@dataclass(frozen=True)
class SB3Config:
    """Options of ``SB3Agent``.

    Attributes:
        algorithm: Its class: PPO, A2C, TRPO, MaskablePPO, DQN, QRDQN, DDPG, TD3, SAC, TQC or CrossQ.
        policy: SB3's name of the policy; "auto" takes the one for the observation.
        options: Options of the class, plain values; ``policy_kwargs={"activation_fn": "Tanh"}`` by name.
        observation: "flat" shows the networks one vector, "raw" the keys as SB3 reads them.
        ignore: Keys of the observation that are left out.
        embed_user: Length of a learnt vector a user, >= 0; 0 for none; only with "flat".
        every: Transitions between two rounds of learning, >= 1.
        gradient_steps: Gradient steps a round, >= 1; for algorithms with a replay buffer.
        horizon: Transitions over which SB3's schedules run, >= 1.
        noise: Standard deviation of the noise of DDPG and TD3, in a box of [-1, 1], >= 0.
        metric: What is nearest to a point: "l2", "inner" or "cosine".
    """

    algorithm: str = "PPO"
    policy: str = "auto"
    options: dict[str, Any] = field(default_factory=dict)
    observation: Literal["flat", "raw"] = "flat"
    ignore: tuple[str, ...] = ("user", "clock")
    embed_user: int = 0
    every: int = 500
    gradient_steps: int = 50
    horizon: int = 10_000
    noise: float = 0.1
    metric: Metric = "l2"

    def __post_init__(self) -> None:
        require(self.algorithm in KINDS, "algorithm", self.algorithm, ", ".join(KINDS))
        require(
            self.options.get("n_steps", 1) == 1, "options['n_steps']", self.options.get("n_steps"), "every, instead"
        )
        require(self.embed_user >= 0, "embed_user", self.embed_user, "a whole number >= 0")
        for name in ("every", "gradient_steps", "horizon"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "a whole number >= 1")
        require(self.noise >= 0, "noise", self.noise, "a number >= 0")


@dataclass(frozen=True)
class PPOConfig(SB3Config):
    """Options of ``PPO``: those of ``SB3Agent``, with SB3's options chosen for tasks 1 to 3."""

    options: dict[str, Any] = field(
        default_factory=lambda: {"learning_rate": 0.01, "batch_size": 250, "n_epochs": 5, "ent_coef": 0.01}
    )


@dataclass(frozen=True)
class MaskablePPOConfig(PPOConfig):
    """Options of ``MaskablePPO``: those of ``PPO``."""

    algorithm: str = "MaskablePPO"
