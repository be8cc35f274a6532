"""Short vectors of rows by an autoencoder: columns of numbers pressed through fewer, the other columns kept.

    code = W2 leaky(W1 u + b1) + b2,  u = x / |x|,
    y    = V2 leaky(V1 code + c1) + c2,
    loss = mean (y - x)^2,

with x the columns of a row, each of mean 0 and variance 1, and leaky(a) = max(a, 0.01 a); the loss is brought down by
Adam (Kingma and Ba 2015). It is what Sim4Rec's EncoderEstimator does, but for this:

1. Columns are standardised first, so that none counts for more because its unit is small.
2. All columns that are not pressed stay beside the vector, ids among them.
3. ``unit=False`` takes u = x: to divide by |x| is to forget how far a row lies from the mean.
4. torch is needed to fit alone. Vectors are made by NumPy, on any machine, and files hold no code.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from smartrec.core.arrays import Array, FloatArray
from smartrec.core.config import require
from smartrec.core.errors import DataError, DataNotFound, InvalidInput, did_you_mean
from smartrec.core.files import atomic_write
from smartrec.core.optional import optional
from smartrec.core.seeding import generators

LEAK = 0.01
"""Slope of leaky below 0."""

SMALLEST = 1e-12
"""Length below which a row is not divided by it."""


class Autoencoder:
    """Learns to press ``inputs`` of a table into ``size`` numbers.

    Args:
        inputs: Names of D columns of numbers, each once.
        size: Numbers a vector, >= 1.
        hidden: Numbers of the layer between, >= 1.
        epochs: Passes over all rows, >= 1.
        batch: Rows a gradient step, >= 1.
        learning_rate: Of Adam, > 0.
        unit: Whether rows are divided by their length before they are pressed.
        seed: Of the first weights and of the order of rows, >= 0.

    Attributes:
        explained: Share of the inputs' variance that the vectors give back, once fitted: 0 as much as the mean, 1 all.

    Raises:
        InvalidConfig: An option is out of its range.
    """

    explained: float

    def __init__(
        self,
        inputs: Sequence[str],
        size: int = 64,
        hidden: int = 128,
        epochs: int = 100,
        batch: int = 256,
        learning_rate: float = 1e-3,
        unit: bool = True,
        seed: int = 0,
    ) -> None:
        self.inputs = tuple(inputs)
        given = not isinstance(inputs, str) and len(set(self.inputs)) == len(self.inputs) > 0
        require(given, "inputs", inputs, "names of columns, at least one, each once")
        for name, value in (("size", size), ("hidden", hidden), ("epochs", epochs), ("batch", batch)):
            require(isinstance(value, int) and value >= 1, name, value, "a whole number >= 1")
        require(learning_rate > 0, "learning_rate", learning_rate, "a number > 0")
        generators(seed, 1)
        self.size, self.hidden, self.epochs, self.batch = size, hidden, epochs, batch
        self.learning_rate, self.unit, self.seed = learning_rate, unit, seed
        self._arrays: dict[str, Array] = {}

    @property
    def outputs(self) -> list[str]:
        """Names of the columns of a vector."""
        return [f"code_{k}" for k in range(self.size)]

    def fit(self, table: Any) -> Self:
        """Learn from the rows of a pandas DataFrame; the global generators stay as they are.

        Raises:
            InvalidInput: Fewer than two rows, no column moves, one is missing or holds other than finite numbers, or
                the loss grew beyond all numbers.
            MissingExtra: torch is not installed.
        """
        rows = self._rows(table)
        if len(rows) < 2:
            raise InvalidInput(f"{len(rows)} rows to learn from; allowed: 2 or more")
        spread = rows.std(axis=0)
        if not spread.any():
            raise InvalidInput(f"every row is the same in {', '.join(self.inputs)}; allowed: inputs that differ")
        self._arrays = {"mean": rows.mean(axis=0), "scale": np.where(spread > 0, spread, 1.0)}
        self._arrays |= self._trained(self._standard(rows))
        lost = (self._standard(rows) - self._standard(self.decode(self.encode(rows)))) ** 2
        self.explained = float(1 - lost.mean() / (spread > 0).mean())
        if not np.isfinite(self.explained):
            raise InvalidInput(f"the loss is no number any more at learning_rate = {self.learning_rate}; lower it")
        return self

    def transform(self, table: Any) -> Any:
        """Return a pandas DataFrame with ``outputs`` in place of ``inputs``; its other columns and its index stay.

        Raises:
            InvalidInput: Not fitted, an input is missing or not finite, or an output's name is taken.
        """
        vectors = self.encode(self._rows(table))
        kept = self.kept(table.columns)
        return table[kept].assign(**dict(zip(self.outputs, vectors.T, strict=True)))

    def kept(self, columns: Sequence[str]) -> list[str]:
        """Return the columns that stay beside the vector.

        Raises:
            InvalidInput: An input is not among them, or the name of an output is.
        """
        for name in self.inputs:
            if name not in columns:
                raise InvalidInput(f"the table has no column {name!r}. {did_you_mean(name, list(columns))}")
        kept = [name for name in columns if name not in self.inputs]
        taken = sorted(set(kept) & set(self.outputs))
        if taken:
            raise InvalidInput(f"the table has a column {taken[0]!r} already, the name of an output; rename it")
        return kept

    def encode(self, rows: FloatArray) -> NDArray[np.float32]:
        """Return the vectors of rows of inputs [R, D], float32 [R, size].

        Raises:
            InvalidInput: Not fitted, another shape, or NaN or infinite numbers.
        """
        rows = np.asarray(rows, np.float64)
        if rows.ndim != 2 or rows.shape[1] != len(self.inputs) or not np.isfinite(rows).all():
            raise InvalidInput(f"rows have shape {rows.shape}; allowed: [rows, {len(self.inputs)}], finite numbers")
        x = self._standard(rows)
        if self.unit:
            x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), SMALLEST)
        return self._through("encoder", x).astype(np.float32)

    def decode(self, vectors: Array) -> FloatArray:
        """Return the inputs that vectors [R, size] stand for, in their own units, float [R, D]."""
        x = self._through("decoder", np.asarray(vectors, np.float64))
        result: FloatArray = x * self._fitted("scale") + self._fitted("mean")
        return result

    def save(self, path: str | Path) -> None:
        """Write an ``.npz`` with all that was fitted, without pickle.

        Raises:
            InvalidInput: Not fitted, or another suffix.
            OutputError: The file cannot be written.
        """
        if Path(path).suffix != ".npz":
            raise InvalidInput(f"{path} ends in {Path(path).suffix!r}; allowed: .npz")
        self._fitted("mean")
        names = ("inputs", "size", "hidden", "epochs", "batch", "learning_rate", "unit", "seed")
        config = json.dumps({name: getattr(self, name) for name in names})
        with atomic_write(Path(path), "wb") as file:
            np.savez(file, config=np.array(config), explained=self.explained, **self._arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what ``save`` wrote.

        Raises:
            DataNotFound: The file is not there.
            DataError: It is none of ours, or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            made = cls(**json.loads(str(arrays.pop("config"))))
            made.explained, made._arrays = float(arrays.pop("explained")), arrays
            made.decode(made.encode(np.zeros((1, len(made.inputs)))))  # shapes that fit each other
            return made
        except FileNotFoundError:
            raise DataNotFound(f"{path} is not there; check the path") from None
        except Exception as error:  # a damaged zip can raise nearly anything
            raise DataError(f"{path} holds no autoencoder ({error}); write it again with save") from None

    def _rows(self, table: Any) -> FloatArray:
        """Return the inputs of a DataFrame, float [R, D]."""
        self.kept(table.columns)
        rows = np.empty((len(table), len(self.inputs)))
        for d, name in enumerate(self.inputs):
            try:
                rows[:, d] = table[name].to_numpy(np.float64, na_value=np.nan)
            except (TypeError, ValueError):
                raise InvalidInput(f"column {name!r} holds values that are no numbers; allowed: numbers") from None
            bad = ~np.isfinite(rows[:, d])
            if bad.any():
                raise InvalidInput(
                    f"column {name!r} has {bad.sum()} missing or infinite values, the first in row {bad.argmax()}; "
                    "allowed: none. Fill them in or drop their rows first"
                )
        return rows

    def _standard(self, rows: FloatArray) -> FloatArray:
        standard: FloatArray = (rows - self._fitted("mean")) / self._fitted("scale")
        return standard

    def _through(self, half: str, x: FloatArray) -> FloatArray:
        """Return two layers' answer: linear, leaky, linear."""
        a = x @ self._fitted(f"{half}/0/weight") + self._fitted(f"{half}/0/bias")
        b: FloatArray = np.maximum(a, LEAK * a) @ self._fitted(f"{half}/1/weight") + self._fitted(f"{half}/1/bias")
        return b

    def _fitted(self, name: str) -> Array:
        if not self._arrays:
            raise InvalidInput("this Autoencoder is not fitted; call fit(table) first")
        return self._arrays[name]

    def _trained(self, rows: FloatArray) -> dict[str, Array]:
        """Return weights [in, out] and biases [out] of the four layers, trained on standardised rows [R, D]."""
        torch = optional("torch", "deep", "Autoencoder.fit")
        starts, orders = generators(self.seed, 2)
        layers = {name: torch.nn.Parameter(torch.from_numpy(start)) for name, start in self._starts(starts).items()}
        leaky, x = torch.nn.functional.leaky_relu, torch.from_numpy(rows.astype(np.float32))
        pressed = torch.nn.functional.normalize(x, eps=SMALLEST) if self.unit else x
        adam = torch.optim.Adam(layers.values(), lr=self.learning_rate)
        for _ in range(self.epochs):
            for batch in torch.from_numpy(orders.permutation(len(rows))).split(self.batch):
                y = pressed[batch]  # [B, D]
                for half in ("encoder", "decoder"):
                    y = leaky(y @ layers[f"{half}/0/weight"] + layers[f"{half}/0/bias"], LEAK)  # [B, hidden]
                    y = y @ layers[f"{half}/1/weight"] + layers[f"{half}/1/bias"]  # [B, size], then [B, D]
                adam.zero_grad()
                ((y - x[batch]) ** 2).mean().backward()
                adam.step()
        return {name: layer.detach().numpy() for name, layer in layers.items()}

    def _starts(self, rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
        """Return first weights and biases, uniform within one over the root of what comes in."""
        widths = {"encoder": (len(self.inputs), self.hidden, self.size)}
        widths["decoder"] = widths["encoder"][::-1]
        found = {}
        for half, shape in widths.items():
            for k in range(2):
                bound = shape[k] ** -0.5
                found[f"{half}/{k}/weight"] = rng.uniform(-bound, bound, shape[k : k + 2]).astype(np.float32)
                found[f"{half}/{k}/bias"] = rng.uniform(-bound, bound, shape[k + 1]).astype(np.float32)
        return found
