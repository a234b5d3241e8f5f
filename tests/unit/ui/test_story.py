"""The exhibits of a drift of texts: different ones, and drawn."""

import numpy as np

from hanok.ui.story import EXHIBITS, text_story


def test_many_replies_to_one_mail_are_one_exhibit_and_nothing_undrawable_is_shown():
    words = "tea bread milk rain river stone paper lamp".split()
    rng = np.random.default_rng(3)
    usual = [" ".join(rng.choice(words, 12)) for _ in range(200)]
    replies = [f"stock alert buy shares now {i}" for i in range(40)]
    others = ["\x07casino\ufffd jackpot tonight", "museum of trains opens", "the parliament voted on fishing"]
    story = text_story("t", ("before", usual), [("after", usual[:80] + replies + others)], seed=1)
    shown = [e.text for e in story.windows[1].exhibits]
    assert len(shown) == EXHIBITS
    assert sum("stock alert" in t for t in shown) < EXHIBITS and any("casino" in t for t in shown)
    assert not any(c in t for t in shown for c in "\x07\ufffd")
