"""MAC cell: what is known of the user asks, the history answers, in a few steps of reasoning.

``q_i = W_i static``, ``k_t = norm(W x_t + age)``, ``s_j``: feature j of the user times a learnt vector, plus another
control: ``c_i = sum_j softmax_j(a . (W [c_i-1, q_i] * s_j)) s_j``
read:    ``r_i = sum_t softmax_t(b . elu(c_i * W [(M m_i-1) * (K k_t), k_t])) k_t``
write:   ``m_i = g m_i-1 + (1 - g) W [r_i, m_i-1]``, ``g = sigmoid(v . c_i + 1)``; ``state = m_steps``

Source: Hudson and Manning 2018 (arXiv 1803.03067). Departures: (1) a question of words and an image become the features
of a user and a history; (2) positions are normalised and an ELU stands before the softmax of read: without these it
learns slowly or not at all; (3) no self-attention over earlier steps, no dropout; (4) the state is the last memory: the
agent's networks see the user's features beside it.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import elu

from smartrec.agents.encoders.attending import ages, weights
from smartrec.agents.encoders.reading import Reading, Shape
from smartrec.core.config import require
from smartrec.core.errors import InvalidConfig


class Mac(nn.Module):
    """Memory, attention and composition, [B, size].

    Args:
        shape: Of the history; something must be known of the user beside it.
        size: D, length of control and memory.
        steps: Steps of reasoning, >= 1.

    Raises:
        InvalidConfig: Nothing is known of the user.
    """

    def __init__(self, shape: Shape, size: int, steps: int = 3) -> None:
        super().__init__()
        require(steps >= 1, "steps", steps, "a whole number >= 1")
        if shape.static == 0:
            raise InvalidConfig(
                "encoder = 'mac' asks the history by what is known of the user, and nothing is; set user_embedding "
                "above 0, take a world with user_features, or encoder = 'attention'"
            )
        self.size = size
        self.inputs, self.norm = nn.Linear(shape.features, size), nn.LayerNorm(size)
        self.value, self.name = (nn.Parameter(torch.randn(shape.static, size) / size**0.5) for _ in range(2))
        self.questions = nn.ModuleList(nn.Linear(shape.static, size) for _ in range(steps))
        self.first_control, self.first_memory = (nn.Parameter(torch.randn(size) / size**0.5) for _ in range(2))
        self.control, self.control_score = nn.Linear(2 * size, size), nn.Linear(size, 1, bias=False)
        self.of_memory, self.of_history = nn.Linear(size, size), nn.Linear(size, size)
        self.read_met, self.read_history = nn.Linear(size, size, bias=False), nn.Linear(size, size)
        self.read_score = nn.Linear(size, 1, bias=False)
        self.write, self.gate = nn.Linear(2 * size, size), nn.Linear(size, 1)
        nn.init.constant_(self.gate.bias, 1.0)

    def forward(self, reading: Reading) -> Tensor:
        """Return the last memory, float [B, size]."""
        words = reading.static[..., None] * self.value + self.name  # [B, S, D]
        history = self.inputs(reading.sequence)  # [B, T, D]
        history = self.norm(history + ages(history))
        met, plain = self.of_history(history), self.read_history(history)  # the same at every step
        control = self.first_control.expand(len(words), -1)
        memory = self.first_memory.expand(len(words), -1)
        for question in self.questions:
            control = self._control(control, question(reading.static), words)
            told = self.read_met(self.of_memory(memory)[:, None, :] * met) + plain  # [B, T, D]
            share = weights(self.read_score(elu(control[:, None, :] * told))[..., 0], reading.known)  # [B, T]
            found = (share[:, None, :] @ history)[:, 0]
            gate = torch.sigmoid(self.gate(control))
            memory = torch.lerp(self.write(torch.cat([found, memory], dim=1)), memory, gate)
        return memory

    def _control(self, control: Tensor, question: Tensor, words: Tensor) -> Tensor:
        """Return what to look for next, [B, D]."""
        asked = self.control(torch.cat([control, question], dim=1))[:, None, :]  # [B, 1, D]
        share = torch.softmax(self.control_score(asked * words), dim=1)  # [B, S, 1]
        return (share * words).sum(dim=1)
