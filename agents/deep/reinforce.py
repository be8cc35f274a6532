"""REINFORCE: a policy over items that learns from what its choices brought, on-policy or from logs of another policy.

``gradient = mean of w (lambda_K R_k - b) grad log pi(a_k | s)`` over the positions k that somebody saw, where
``R_k = response_k + what followed in the visit, discounted``

- ``correction="none"``: ``w = lambda = 1``, the policy gradient of Williams 1992. Each transition counts once.
- ``"off_policy"``: ``w = min(pi / beta, cap)``, beta the probability with which the item was chosen when it was logged.
- ``"top_k"``: also ``lambda_K = K (1 - pi)^(K-1)``: an item of which a slate of K is sure needs no more probability.

Source: Chen et al. 2019 (arXiv 1812.02353). Departures: (1) where a decision knows its probability, that is beta; a
head on the policy's state, whose gradient stops there, learns beta from the logged items only where it is unknown, as
of slates logged by others, and in ``fit`` before the policy starts to learn; (2) slates hold no item twice, where the
paper drops repeats; without ``top_k``, pi and beta of a position are conditional on the positions before it, so that
nothing has to correct for slates, and w leaves out what earlier positions did, as the paper leaves out earlier steps;
(3) the baseline ``b = sum_a pi lambda_K (expected R_k)`` depends on no choice, so that it does not move the optimum,
which ``lambda_K (R - b)`` would; (4) a visit that is cut off, or of which ``learn`` gets a part, is bootstrapped.
"""

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from smartrec.agents import exploration
from smartrec.agents.base import Agent, Tags, lanes_of
from smartrec.agents.deep.experience import Batch, Experience
from smartrec.agents.deep.item_scores import Form, ItemScores, scores_to_act_on
from smartrec.agents.deep.networks import built, mlp
from smartrec.agents.deep.schedules import Cadence
from smartrec.agents.deep.settings import DeepConfig
from smartrec.agents.deep.slate_policy import entropy_of, log_places, masked, mean_of
from smartrec.agents.deep.training import Learner, held
from smartrec.agents.deep.visits import Visits, rest_of
from smartrec.core.arrays import Array, BoolArray, FloatArray, IntArray, Observation
from smartrec.core.config import require
from smartrec.core.decision import Candidates, Decision
from smartrec.core.errors import InvalidInput
from smartrec.core.problem import Problem
from smartrec.core.transitions import Transitions

CONDITIONAL, INDEPENDENT = "log_conditional", "log_independent"
"""Under these names a decision carries the log-probability of each of its positions, float [N, K]: given the positions
before it, or as a draw from all items."""


@dataclass(frozen=True)
class ReinforceConfig(DeepConfig):
    """Options of ``Reinforce``, beside those of every deep agent.

    Attributes:
        correction: "none", "off_policy" or "top_k".
        k: K of the top-K correction, items of a slate, >= 1; 0 takes the slate size of the problem.
        cap: Largest importance weight, > 0.
        baseline: What is taken off returns: "value" learns it from the state, "mean" is the batch's, "none" is 0.
        entropy: Weight of the policy's entropy in the loss, in units of reward a nat, >= 0.
        form: "heads" has an output an item; "embeddings" a table of items; "auto" takes it for more than 200 items.
        rate: Learning rate of all networks, > 0.
        clip: Largest norm of a gradient, > 0.
        batch_size: Transitions a gradient step of a correction or of ``fit``, >= 1.
        experience: Most transitions kept, >= 1; a visit that is longer is never learnt from its start.
        train_every: Transitions between two rounds of learning, >= 1; without correction a round learns from these.
        gradient_steps: Gradient steps a round, >= 1; without correction they share its transitions out.
        warmup: Transitions before the first round, >= 0.
        epochs: Passes over a log in ``fit``, > 0.
    """

    correction: Literal["none", "off_policy", "top_k"] = "none"
    k: int = 0
    cap: float = 10.0
    baseline: Literal["value", "mean", "none"] = "value"
    entropy: float = 0.01
    form: Form = "auto"
    rate: float = 1e-3
    clip: float = 10.0
    batch_size: int = 64
    experience: int = 10_000
    train_every: int = 32
    gradient_steps: int = 1
    warmup: int = 0
    epochs: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in (("correction", ("none", "off_policy", "top_k")), ("baseline", ("value", "mean", "none"))):
            require(getattr(self, name) in known, name, getattr(self, name), ", ".join(known))
        require(self.k >= 0, "k", self.k, "a whole number >= 0")
        require(self.cap > 0, "cap", self.cap, "a number > 0")
        require(self.entropy >= 0, "entropy", self.entropy, "a number >= 0")
        for name in ("batch_size", "experience"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "a whole number >= 1")
        require(0 < self.epochs < math.inf, "epochs", self.epochs, "a finite number > 0")


def top_k_factor(probability: Tensor, k: int) -> Tensor:
    """Return ``lambda_K = K (1 - pi)^(K-1)``, the derivative of the chance to be among K draws from ``pi``."""
    return k * (1 - probability) ** (k - 1)


def surrogate(
    places: Tensor, behaviour: Tensor, returns: Tensor, baseline: Tensor, seen: Tensor, *, k: int, cap: float
) -> tuple[Tensor, Tensor]:
    """Return a loss with the policy's gradient, negative, and the importance weights it has.

    Args:
        places: ``log pi`` of each position, float [B, K], with a gradient.
        behaviour: ``log beta`` of the same.
        returns: ``R``, float [B, K].
        baseline: ``b``, float [B, K].
        seen: bool [B, K], positions that count; they weigh equally.
        k: K of ``lambda_K``; 1 for none.
        cap: Largest weight.
    """
    fixed = places.detach()
    weight = (fixed - behaviour).exp().clamp(max=cap)
    gain = weight * (top_k_factor(fixed.exp(), k) * returns - baseline)
    return -mean_of(gain * places, seen), weight


class Reinforce(Agent):
    """Policy gradient over items.

    Attributes:
        policy: Scores of items; their softmax is the policy.
        value: What a state brings: the response of each position, and the discounted rest of the visit.
        behaviour: Scores whose softmax is the policy that logged what is of unknown probability.
        experience: The last transitions.
        visits: Their returns-to-go.
        fresh: bool [experience], which of them were not learnt from yet.
        cadence: How many transitions there were.
    """

    tags: ClassVar[Tags] = Tags(learns_from_logs=True, whole_visits=True, propensities=True, extra="deep")
    Config = ReinforceConfig

    def __init__(self, problem: Problem, config: ReinforceConfig | None = None, *, seed: int) -> None:
        super().__init__(problem, config, seed=seed)
        options: ReinforceConfig = self.config
        scores = built(lambda: ItemScores(problem, options, options.form), self.rng, options.device)
        self.policy = Learner(scores, "policy", rate=options.rate, clip=options.clip)
        self.value = self._head(problem.slate_size + 1, "value")
        self.behaviour = self._head(self.items, "behaviour")
        self.experience = Experience(problem, options.experience, device=options.device)
        self.visits = Visits(options.experience, problem.discount)
        self.fresh: BoolArray = np.zeros(options.experience, bool)
        self.cadence = Cadence(options.train_every, options.gradient_steps, options.warmup)

    def act(
        self,
        observation: Observation,
        *,
        first: BoolArray | None = None,
        allowed: Candidates | None = None,
        explore: bool = True,
    ) -> Decision:
        """Draw a slate by Plackett-Luce from the policy; ``explore=False`` takes the likeliest items."""
        scores, candidates = scores_to_act_on(self, self.policy.network, observation, allowed)
        lanes, slate_size = lanes_of(observation), self.problem.slate_size
        if not explore:
            return self.decide(*exploration.best(scores, lanes, slate_size, self.rng), candidates)
        weights = np.where(scores > -np.inf, np.exp(scores - scores.max(axis=1, keepdims=True)), -np.inf)
        slates, log_probability = exploration.proportional(weights, lanes, slate_size, self.rng)
        decision = self.decide(slates, log_probability, candidates)
        if slate_size == 1:
            return decision
        # What was drawn from: no weight counts as less than LEAST_WEIGHT of the largest.
        drawn = np.where(scores > -np.inf, np.log(np.maximum(weights, exploration.LEAST_WEIGHT)), -np.inf)
        places = log_places(torch.from_numpy(drawn), torch.from_numpy(slates), self._independent)
        return replace(decision, extras={self._name: places.numpy()})

    def observe(self, transitions: Transitions) -> None:
        """Keep transitions, and with what probability each position was chosen.

        Raises:
            InvalidInput: A response that somebody saw is not finite; then nothing is kept.
        """
        if not np.isfinite(transitions.responses[transitions.observed]).all():
            raise InvalidInput("a response that somebody saw is NaN or infinite; allowed: finite numbers")
        if self.problem.discount == 0:  # otherwise an unseen step is still a part of its visit
            transitions = transitions[np.flatnonzero(transitions.observed.any(axis=1))]
        places = self.experience.record(self._with_places(transitions))
        self.visits.record(places, transitions[len(transitions) - len(places) :])
        self.fresh[places] = True
        self.cadence.count(len(transitions))

    def update(self) -> dict[str, float]:
        """Take the gradient steps that are due."""
        figures: dict[str, float] = {}
        due = self.cadence.due()
        for places in self._shares(due) if due else []:
            figures = self._learn(self.experience.batch(places), self.visits.rest[places])
        return figures

    def fit(self, transitions: Transitions) -> dict[str, float]:
        """Learn from a log, ``epochs`` times over, and before that the behaviour where its probability is unknown.

        Raises:
            InvalidInput: The log is longer than the experience.
        """
        if len(transitions) > self.config.experience:
            raise InvalidInput(
                f"the log has {len(transitions)} transitions, and experience = {self.config.experience}; "
                "allowed: no more than that. Make experience larger, or fit the log in parts"
            )
        self.observe(transitions)
        self.cadence.due()  # the steps for these are the ones below
        self.fresh[:] = False
        steps = math.ceil(self.config.epochs * len(transitions) / self.config.batch_size)
        if self._corrects and np.isnan(_logged_places(transitions, self._name)).any():
            for places in self._samples(steps):
                self._learn_behaviour(self.experience.batch(places))
        figures: dict[str, float] = {}
        for places in self._samples(steps):
            figures = self._learn(self.experience.batch(places), self.visits.rest[places])
        return figures

    def learn(self, transitions: Transitions) -> dict[str, float]:
        """Take one gradient step of each network on exactly these transitions, of which none is kept.

        They should be whole visits: where one breaks off, ``value`` stands in for the rest. The behaviour takes its
        step on the same items, just before the policy.

        Raises:
            InvalidInput: There are none, one comes twice, or a number is not finite; then nothing is learnt.
            Diverged: A loss is no finite number; the weights are those before the step.
        """
        return self._learn(*self._batch_of(transitions))

    def test(self, transitions: Transitions) -> dict[str, float]:
        """Return the figures of ``learn`` on these transitions; nothing changes."""
        with held(self):
            return self._learn(*self._batch_of(transitions))

    @property
    def _corrects(self) -> bool:
        return bool(self.config.correction != "none")

    @property
    def _independent(self) -> bool:
        """Whether the positions of a slate count as draws from all items."""
        return bool(self.config.correction == "top_k")

    @property
    def _name(self) -> str:
        return INDEPENDENT if self._independent else CONDITIONAL

    def _head(self, outputs: int, name: str) -> Learner[nn.Sequential]:
        sizes = [self.policy.network.state.size, *self.config.hidden, outputs]
        network = built(lambda: mlp(sizes), self.rng, self.config.device)
        return Learner(network, name, rate=self.config.rate, clip=self.config.clip)

    def _shares(self, steps: int) -> list[IntArray]:
        """Return the places that each gradient step learns from: samples, or without correction what is new."""
        if self._corrects:
            return self._samples(steps)
        known = self._known()
        new = self.rng.permutation(known[self.fresh[known]])
        self.fresh[new] = False
        return [places for places in np.array_split(new, steps) if len(places)]

    def _samples(self, steps: int) -> list[IntArray]:
        known = self._known()
        if not len(known):
            return []
        return list(known[self.rng.integers(len(known), size=(steps, self.config.batch_size))])

    def _known(self) -> IntArray:
        self.visits.settle(lambda places: self._worth(self.experience.batch(places)), self.experience.leads)
        return self.visits.known

    @torch.no_grad()
    def _worth(self, batch: Batch) -> Array:
        """Return what the next observations are worth, float [B]: their slate, and the rest of the visit."""
        worth: Tensor = self.value.network(self.policy.network.state(batch.next_observation)).sum(dim=1)
        return worth.cpu().numpy()

    def _batch_of(self, transitions: Transitions) -> tuple[Batch, FloatArray]:
        """Return transitions that are not kept, and what followed each in its visit, float [B]."""
        batch = self.experience.batch_of(self._with_places(transitions))
        worth = self._worth(batch) if self.problem.discount else np.zeros(len(transitions))
        return batch, rest_of(transitions, worth, self.problem.discount)

    def _with_places(self, transitions: Transitions) -> Transitions:
        extras = {self._name: _logged_places(transitions, self._name)}
        return replace(transitions, decision=replace(transitions.decision, extras=extras))

    def _learn(self, batch: Batch, followed: FloatArray) -> dict[str, float]:
        """Take one gradient step of each network, on transitions and what followed them [B]."""
        rest = torch.from_numpy(followed.astype(np.float32)).to(batch.responses.device)
        figures = self._learn_behaviour(batch) if self._corrects else {}
        scores = masked(self.policy.network(batch.observation), batch)  # [B, I]
        chosen = log_places(scores, batch.action, self._independent)  # [B, K]
        returns = torch.where(batch.observed, batch.responses, 0.0) + rest[:, None]
        with torch.no_grad():
            state = self.policy.network.state(batch.observation)
            log_beta = self._log_beta(state, batch) if self._corrects else chosen.detach()
        expected = self.value.network(state)  # [B, K + 1]
        k = (self.config.k or self.problem.slate_size) if self._independent else 1
        base = self._baseline(scores, expected, returns, batch, k)
        loss, weight = surrogate(chosen, log_beta, returns, base, batch.observed, k=k, cap=self.config.cap)
        entropy = entropy_of(scores)
        figures["policy_loss"] = self.policy.step(loss - self.config.entropy * entropy)
        wrong = (expected - torch.cat([returns - rest[:, None], rest[:, None]], dim=1)) ** 2
        value_loss = mean_of(weight * wrong[:, :-1], batch.observed) + (weight[:, 0] * wrong[:, -1]).mean()
        figures["value_loss"] = self.value.step(value_loss)
        figures.update(entropy=float(entropy.detach()), return_mean=float(mean_of(returns, batch.observed)))
        return {**figures, "weight_mean": float(mean_of(weight, batch.observed))}

    @torch.no_grad()
    def _baseline(self, scores: Tensor, expected: Tensor, returns: Tensor, batch: Batch, k: int) -> Tensor:
        """Return what is taken off ``lambda_K R``: the same for whatever item might have been chosen, float [B, K]."""
        if self.config.baseline == "none":
            return torch.zeros_like(returns)
        probability = scores.softmax(dim=1)
        factor = (probability * top_k_factor(probability, k)).sum(dim=1, keepdim=True)
        if self.config.baseline == "mean":
            return factor * mean_of(returns, batch.observed)
        return factor * (expected[:, :-1] + expected[:, -1:])

    def _log_beta(self, state: Tensor, batch: Batch) -> Tensor:
        """Return the log-probability of each position when it was logged, learnt where unknown, float [B, K]."""
        logged = batch.extras[self._name]
        if not logged.isnan().any():
            return logged
        learnt = log_places(masked(self.behaviour.network(state), batch), batch.action, self._independent)
        return torch.where(logged.isnan(), learnt, logged)

    def _learn_behaviour(self, batch: Batch) -> dict[str, float]:
        """Take one gradient step on the cross-entropy of the logged items whose probability is unknown, if any."""
        unknown = batch.extras[self._name].isnan()
        if not unknown.any():
            return {}
        with torch.no_grad():
            state = self.policy.network.state(batch.observation)
        chosen = log_places(masked(self.behaviour.network(state), batch), batch.action, self._independent)
        return {"behaviour_loss": self.behaviour.step(-mean_of(chosen, unknown))}


def _logged_places(transitions: Transitions, name: str) -> FloatArray:
    """Return the log-probability of each position, float [B, K], NaN where it is unknown."""
    decision, shape = transitions.decision, transitions.responses.shape
    if decision.log_probability is None:
        return np.full(shape, np.nan)  # whatever else the decision carries is of a slate that was not shown
    if shape[1] == 1:
        return decision.log_probability[:, None]
    places: FloatArray = decision.extras.get(name, np.full(shape, np.nan))
    return places
