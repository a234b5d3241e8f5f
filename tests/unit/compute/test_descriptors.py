"""Texts and images as columns."""

import numpy as np
import pytest

from hanok.compute.descriptors import describe_images, describe_texts, embed_texts, image_format, language_of
from hanok.core.errors import BadData


def test_texts_by_hand():
    row = describe_texts(["ABC <b>de</b> 12 http://x.io é", None], vocabulary={"abc"}).to_pylist()
    assert row[1]["length"] is None
    first = row[0]
    assert first["length"] == 30 and first["links"] == 1 and first["html"] == pytest.approx(7 / 30)
    assert first["digits"] == pytest.approx(2 / 30) and first["upper"] == pytest.approx(3 / 30)
    assert first["non_ascii"] == pytest.approx(1 / 30) and 0 < first["coverage"] < 0.5


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("the house of the man is in the old town and that is it", "en"),
        ("das Haus des Mannes ist nicht in der Stadt und es ist alt", "de"),
        ("la maison de la dame est dans une rue et elle ne parle pas", "fr"),
        ("한옥은 여러 방이 하나의 마루로 이어진 집이다", "ko"),
        ("Дом стоит на горе", "ru"),
        ("xk qz vv", None),
    ],
)
def test_languages(text, language):
    assert language_of(text) == language


def test_embeddings_of_like_texts_are_alike():
    a, b, c, nothing = embed_texts(["buy cheap pills now", "buy cheap pills today", "kernel patch for the driver", ""])
    assert a @ b > 0.4 > abs(a @ c) and a @ a == pytest.approx(1.0) and not nothing.any()


def test_images_by_hand():
    black, checks = np.zeros((8, 8)), np.indices((8, 8)).sum(axis=0) % 2 * 255
    flat, sharp = describe_images([black, checks]).to_pylist()
    assert (flat["brightness"], flat["contrast"], flat["sharpness"]) == (0.0, 0.0, 0.0)
    assert sharp["brightness"] == 0.5 and sharp["contrast"] == 0.5 and sharp["sharpness"] == pytest.approx(16.0)
    red = np.zeros((2, 3, 3), np.uint8)
    red[..., 0] = 255
    assert describe_images([red]).to_pylist()[0]["brightness"] == pytest.approx(0.299)


def test_bytes_that_are_no_image_have_no_format():
    assert image_format(b"\x89PNG\r\n\x1a\n....") == "PNG" and image_format(b"RIFF....WEBP") == "WEBP"
    assert describe_images([b"hello", None]).to_pylist()[0]["format"] == "UNKNOWN"
    with pytest.raises(BadData):
        describe_images([np.zeros(3)])
