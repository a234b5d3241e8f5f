"""Free text as numbers, features that know too much, gaps in views."""

import numpy as np
import pyarrow as pa
import pytest

from hanok.compute.coverage import gaps, unseen, unusual
from hanok.compute.frames import Frame, encode
from hanok.compute.leaks import known_late, suspects
from hanok.compute.metrics import blocked_gain, t_quantile
from hanok.compute.text import is_free_text, term_counts, vocabulary

stats = pytest.importorskip("scipy.stats")
DAY = 86_400_000_000


def column(*values):
    return pa.chunked_array([list(values)])


def frame(task="binary", **columns):
    rows = columns
    size = len(next(iter(rows.values())))
    table = pa.table(rows).append_column("_at", pa.array(np.zeros(size, np.int64)))
    return Frame.of(table, [n for n in rows if n != "y"], task, "y")


def test_terms_are_counted_as_log1p_with_the_length_last_and_nulls_kept():
    counts = term_counts(("bad", "good"), ["Good, GOOD film", None, ""])
    assert counts[0] == pytest.approx(np.log1p([0, 2, 3]))
    assert counts[1][:2].tolist() == [0, 0] and np.isnan(counts[1][2])
    assert counts[2].tolist() == [0, 0, 0]


def test_sentences_are_free_text_and_names_are_not():
    assert is_free_text(column(*[f"the film number {i} was fine" for i in range(50)]))
    assert not is_free_text(column(*[f"carrier-{i}" for i in range(50)]))
    assert not is_free_text(column(*["one of a few long names"] * 50))
    assert vocabulary(column("a b", "a c", "a b", "b")) == ("a", "b")  # c is in fewer than three texts


def test_a_frame_with_free_text_is_wider_than_its_inputs():
    texts = [f"this film is {'good' if i % 2 else 'bad'} I say {i}" for i in range(60)]
    made = frame(review=texts, x=np.arange(60.0), y=np.arange(60) % 2)
    width = made.signature.width
    assert made.X.shape == (60, width) and width > 5
    assert len(made.signature.owners) == width and made.signature.owners[-1].name == "x"
    assert encode(type(made.signature).from_dict(made.signature.as_dict()), {"review": texts[:2], "x": [0.0, 1.0]}) == (
        pytest.approx(made.X[:2])
    )
    assert sum(made.signature.by_input(np.ones(width)).values()) == width


@pytest.mark.parametrize(
    ("task", "label", "copy"),
    [
        ("binary", lambda z: (z > 0).astype(int), lambda y: y * 3.0 - 1),
        ("binary", lambda z: (z > 0).astype(int), lambda y: np.where(y == 1, "paid", "lost")),
        ("multiclass", lambda z: np.digitize(z, [-0.5, 0.5]).astype(str), lambda y: np.char.add("class ", y)),
        ("regression", lambda z: z, lambda y: 32 + 1.8 * y),
    ],
)
def test_a_copy_of_the_label_is_found_and_an_honest_feature_is_not(task, label, copy):
    rng = np.random.default_rng(1)
    z = rng.normal(size=2000)
    y = label(z)
    said = suspects(frame(task, honest=z + rng.normal(size=2000), copy=copy(y), y=y))
    found = [leak for leak in said if leak.certain or leak.kind == "alone"]
    assert [(leak.column, leak.certain) for leak in found] == [("copy", True)]


def test_rows_that_come_afterwards_day_by_day_leak_and_an_import_does_not():
    at = np.arange(30) * DAY
    assert known_late("t", at, at - DAY) == []
    assert known_late("t", at, np.full(30, 40 * DAY)) == []  # a history, imported at one time
    (leak,) = known_late("t", at, at + DAY // 2)
    assert leak.certain and "100% of the rows of t" in leak.message and "12.0 h" in leak.message


def test_t_quantiles_equal_scipys():
    for freedom in (1, 2, 3, 4, 7, 28, 101):
        for p in (0.9, 0.95, 0.999):
            assert t_quantile(p, freedom) == pytest.approx(stats.t.ppf(p, freedom), rel=1e-9)


def test_days_that_err_together_do_not_count_as_rows():
    rng = np.random.default_rng(2)
    wrong = {"rows": 0, "days": 0}
    for _ in range(200):
        day = np.repeat(np.arange(10), 100)
        difference = rng.normal(0, 1, 10)[day] + rng.normal(0, 1, 1000)  # no gain, but whole days are good or bad
        gain = blocked_gain(difference, np.zeros(1000), day, confidence=0.95)
        wrong["days"] += gain.low > 0
        wrong["rows"] += blocked_gain(difference, np.zeros(1000), np.arange(1000), confidence=0.95).low > 0
    assert wrong["days"] <= 20  # 5 % of 200, and three standard deviations
    assert wrong["rows"] > 60
    with_equal_days = blocked_gain(difference, np.zeros(1000), day, confidence=0.95)
    means = difference.reshape(10, 100).mean(axis=1)
    reference = stats.ttest_1samp(means, 0).confidence_interval(0.9)
    assert (with_equal_days.low, with_equal_days.high) == pytest.approx((reference.low, reference.high))


def test_two_blocks_tell_nothing():
    gain = blocked_gain(np.ones(10), np.zeros(10), np.arange(10) // 5, confidence=0.95)
    assert (gain.low, gain.high, gain.blocks) == (-np.inf, np.inf, 2)


def test_a_gap_in_a_view_names_who_it_concerns():
    carrier = np.array(["MQ"] * 1000 + ["AA"] * 1000 + ["UA"] * 8000)
    seats = np.where((carrier == "MQ") | ((carrier == "AA") & (np.arange(10_000) % 4 > 0)), np.nan, 150.0)
    rows = pa.table({"carrier": carrier, "p__seats": pa.array(seats, from_pandas=True), "w__temp": np.ones(10_000)})
    (gap,) = gaps(rows, {"p": ["p__seats"], "w": ["w__temp"]}, ["carrier"])
    assert (gap.view, gap.share, gap.column, gap.explains) == ("p", 0.175, "carrier", 1.0)
    assert [(g["value"], g["missing"]) for g in gap.groups] == [("MQ", 1.0), ("AA", 0.75)]


def test_unseen_values_and_unusual_days():
    assert unseen(column("a", "b", "z", "z", None), ["a", "b"]) == {"z": 2}
    days = np.array([0.01, 0.02, 0.01, 0.03, 0.57, 0.02, 0.01, 0.02])
    assert unusual(days).tolist() == [4]
