"""Texts as columns, without a download: weighted words, reduced to their leading directions.

A text is a row of ``tf-idf``: ``(1 + log count) * (1 + log((1 + n) / (1 + texts with the word)))``, scaled to length 1
(Salton and Buckley 1988), and its columns are the row times the leading right singular vectors of all rows: latent
semantic analysis (Deerwester et al. 1990). They are scaled to length 1 again: else the texts of which those directions
say least, long ones with many words of their own, would all be near one another.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from smartrec.core.arrays import FloatArray
from smartrec.core.config import require
from smartrec.data.embeddings.blocks import Block, leading
from smartrec.data.embeddings.items import ItemTable
from smartrec.data.interactions import Interactions


@dataclass(eq=False)
class TextBlock(Block):
    """Words of titles, plots and tags; words that only new texts have are passed over.

    Attributes:
        size: Most columns, >= 1.
        min_count: Texts in which a word must stand, >= 1.
    """

    name: ClassVar[str] = "text"
    size: int = 128
    min_count: int = 2

    def __post_init__(self) -> None:
        require(self.size >= 1, "size", self.size, "1 or more columns")
        require(self.min_count >= 1, "min_count", self.min_count, "1 or more texts")

    def fit(self, items: ItemTable, log: Interactions, before: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Learn words, weights and directions; see ``Block.fit``."""
        words = _vectorizer(min_df=self.min_count)
        try:
            words.fit(items.texts)
        except ValueError:  # no word stands in so many texts
            self.arrays = {"words": np.empty(0, str), "weights": np.empty(0), "directions": np.empty((0, 0))}
            return np.empty((len(items), 0))
        self.arrays = {"words": words.get_feature_names_out().astype(str), "weights": words.idf_}
        self.arrays["directions"] = leading(self._rows(items.texts), self.size, rng)
        return self.transform(items, before)

    def transform(self, items: ItemTable, before: FloatArray) -> FloatArray:
        """Return float [n, d]; NaN where a text has no known word."""
        directions = self.fitted("directions")
        if not directions.size:
            return np.empty((len(items), 0))
        columns: FloatArray = self._rows(items.texts) @ directions
        lengths = np.linalg.norm(columns, axis=1, keepdims=True)
        unit: FloatArray = np.divide(columns, lengths, out=np.full_like(columns, np.nan), where=lengths > 1e-9)
        return unit

    def _rows(self, texts: tuple[str, ...]) -> Any:
        words = _vectorizer(vocabulary=self.arrays["words"].tolist())
        words.idf_ = self.arrays["weights"]
        return words.transform(texts)


def _vectorizer(**options: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, stop_words="english", strip_accents="unicode", **options)
