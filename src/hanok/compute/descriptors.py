"""What texts and images are like, as ordinary columns: drift, checks and profiles then work on them as on any table."""

from __future__ import annotations

import itertools
import re
import struct
import zlib
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanok.core.errors import BadData, MissingExtra

Floats = NDArray[np.float64]
Embed = Callable[[Sequence[str]], NDArray[Any]]
WORD = re.compile(r"[^\W\d_]+", re.UNICODE)
TAG = re.compile(r"<[A-Za-z/!][^<>]{0,2000}>")
LINK = re.compile(r"\b(?:https?|ftp)://\S+|\bwww\.\S+", re.I)
WIDTH = 384
# The commonest function words of each language; shared ones count for both.
FUNCTION_WORDS = {
    "en": "the of and to in is that it was for on are with as be this have from or by not but you which",
    "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an",
    "fr": "le la les de des et à un une du en que qui dans pour pas sur est au par ce il sont avec",
    "es": "el la los las de que y en un una por con para no se del al es su lo como más o pero",
    "it": "il la di che e un una per non in del con si da sono le della al come più ma anche i gli",
    "pt": "o a os as de que e do da em um uma para com não por mais dos no na se como foi ao",
    "nl": "de het een van en in is dat op te zijn met voor niet aan er om ook als bij maar",
}
_WORDS = {language: frozenset(words.split()) for language, words in FUNCTION_WORDS.items()}
_SCRIPTS = (
    ("ko", "\uac00", "\ud7a3"),
    ("ja", "\u3040", "\u30ff"),
    ("zh", "\u4e00", "\u9fff"),
    ("ru", "\u0400", "\u04ff"),
)
LANGUAGE_SHARE = 0.12


def describe_texts(texts: Sequence[str | None], *, vocabulary: Collection[str] = ()) -> pa.Table:
    """One row for each text: length (characters), words, mean_word (letters), upper, digits, non_ascii, html (shares of
    characters), links, language, and with a `vocabulary` the share of words that it has. A null text has null
    descriptors; the language is null where it cannot be told."""
    known = frozenset(vocabulary)
    rows = [None if t is None else _text(t, known) for t in texts]
    names = ["length", "words", "mean_word", "upper", "digits", "non_ascii", "html", "links", "language"]
    names += ["coverage"] if known else []
    kinds = {"length": pa.int64(), "words": pa.int64(), "links": pa.int64(), "language": pa.string()}
    return pa.table({n: pa.array([r and r[n] for r in rows], kinds.get(n, pa.float64())) for n in names})


def _text(text: str, vocabulary: frozenset[str]) -> dict[str, Any]:
    words = [w.lower() for w in WORD.findall(text)]
    n = len(text) or 1
    return {
        "length": len(text),
        "words": len(words),
        "mean_word": sum(map(len, words)) / len(words) if words else 0.0,
        "upper": sum(c.isupper() for c in text) / n,
        "digits": sum(c.isdigit() for c in text) / n,
        "non_ascii": sum(ord(c) > 127 for c in text) / n,
        "html": sum(m.end() - m.start() for m in TAG.finditer(text)) / n,
        "links": len(LINK.findall(text)),
        "language": language_of(text, words),
        "coverage": sum(w in vocabulary for w in words) / len(words) if words else 1.0,
    }


def language_of(text: str, words: Sequence[str] | None = None) -> str | None:
    """A guess from the script or from function words (en, de, fr, es, it, pt, nl, ru, zh, ja, ko); None when unsure."""
    for language, low, high in _SCRIPTS:
        if sum(low <= c <= high for c in text) > 0.2 * max(1, len(text)):
            return language
    words = [w.lower() for w in WORD.findall(text)] if words is None else words
    if len(words) < 5:
        return None
    shares = {language: sum(w in known for w in words) / len(words) for language, known in _WORDS.items()}
    best = max(shares, key=lambda k: shares[k])
    return best if shares[best] >= LANGUAGE_SHARE else None


def embed_texts(texts: Sequence[str], *, width: int = WIDTH) -> Floats:
    """Texts as (rows, width) without any model: words and word pairs are hashed to signed places, counts damped by
    their logarithm, rows of unit length (Weinberger et al. 2009). It sees words, not meaning: where meaning matters
    give `shift` the embeddings of a sentence model instead."""
    made = np.zeros((len(texts), width))
    for i, text in enumerate(texts):
        words = [w.lower() for w in WORD.findall(text)]
        for token in (*words, *(f"{a} {b}" for a, b in itertools.pairwise(words))):
            code = zlib.crc32(token.encode())
            made[i, (code >> 1) % width] += 1.0 if code & 1 else -1.0
    made = np.sign(made) * np.log1p(np.abs(made))
    lengths = np.linalg.norm(made, axis=1, keepdims=True)
    return made / np.where(lengths > 0, lengths, 1.0)


# -- images ------------------------------------------------------------------------------------------------------


def describe_images(images: Sequence[bytes | NDArray[Any] | None]) -> pa.Table:
    """One row for each image, given as file bytes (needs Pillow) or as a (height, width[, channels]) array of 0 to 255:
    format, width, height, size_bytes, brightness (mean of luma, 0 to 1), contrast (its standard deviation), sharpness
    (variance of its Laplacian). Bytes that are no image have the format UNKNOWN and null elsewhere."""
    rows = [None if image is None else _image(image) for image in images]
    kinds = {"format": pa.string(), "width": pa.int64(), "height": pa.int64(), "size_bytes": pa.int64()}
    names = ("format", "width", "height", "size_bytes", "brightness", "contrast", "sharpness")
    return pa.table({n: pa.array([r and r.get(n) for r in rows], kinds.get(n, pa.float64())) for n in names})


def _image(image: bytes | NDArray[Any]) -> dict[str, Any]:
    if isinstance(image, bytes):
        found = image_format(image)
        facts: dict[str, Any] = {"format": found, "size_bytes": len(image)}
        if found == "UNKNOWN":
            return facts
        try:
            pixels = _decoded(image)
        except (OSError, SyntaxError, ValueError, struct.error):
            return facts | {"format": "UNKNOWN"}
    else:
        pixels = np.asarray(image)
        if pixels.ndim not in (2, 3) or not pixels.size:
            raise BadData(f"an image is (height, width) or (height, width, channels); got shape {pixels.shape}")
        facts = {"format": "array", "size_bytes": int(pixels.nbytes)}
    grey = luma(pixels)
    edges = grey[1:-1, 1:-1] * 4 - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    return facts | {
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "brightness": float(grey.mean()),
        "contrast": float(grey.std()),
        "sharpness": float(edges.var()) if edges.size else 0.0,
    }


def luma(pixels: NDArray[Any]) -> Floats:
    """Brightness of each pixel, 0 to 1: ITU-R BT.601 weights of red, green and blue."""
    scaled = pixels.astype(np.float64) / 255
    if scaled.ndim == 2:
        return scaled
    return scaled[..., 0] if scaled.shape[2] < 3 else scaled[..., :3] @ np.array([0.299, 0.587, 0.114])


def image_format(raw: bytes) -> str:
    """By the first bytes: PNG, JPEG, GIF, BMP, WEBP, TIFF, or UNKNOWN."""
    marks = ((b"\x89PNG\r\n\x1a\n", "PNG"), (b"\xff\xd8\xff", "JPEG"), (b"GIF8", "GIF"), (b"BM", "BMP"),
             (b"II*\x00", "TIFF"), (b"MM\x00*", "TIFF"))  # fmt: skip
    for mark, name in marks:
        if raw.startswith(mark):
            return name
    return "WEBP" if raw[:4] == b"RIFF" and raw[8:12] == b"WEBP" else "UNKNOWN"


def _decoded(raw: bytes) -> NDArray[Any]:
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtra("reading image files needs Pillow: pip install 'hanok[images]'; or give arrays") from None
    import io

    try:
        with Image.open(io.BytesIO(raw)) as image:
            return np.asarray(image.convert("RGB"))
    except Image.DecompressionBombError as error:  # a small file that claims to be of an enormous size
        raise ValueError(str(error)) from None
