"""Records of monitoring as commit b97136a wrote them still open."""

import pytest

from hanok.compute.day_blocks import DayBlocks
from hanok.compute.drift import Reference
from hanok.core.errors import Corrupt
from hanok.core.monitoring import BENIGN, CONCEPT, DRIFT, LABELS, SKEW, LabelState

FEATURE = {
    "feature": "size", "psi": 0.31, "psi_noise_floor": 0.02, "usual_psi": 0.05, "js_distance_base2": 0.2,
    "p_adjusted": 0.001, "importance": 0.4, "harm": 0.1, "null_share": 0.0, "null_today": 0.0, "costs": None,
    "harmless": False, "benign": "", "suspicious": True, "integrity": False, "missing": False, "alarm": False,
}  # fmt: skip
DRIFT_BODY = {
    "day": "2026-01-09", "start": "2026-01-09T00:00:00+00:00", "end": "2026-01-10T00:00:00+00:00", "rows": 700,
    "features": [FEATURE], "unseen": {"product": {"jug": 3}}, "node": "ab" * 16, "_key": "2026-01-09", "_name": "m",
}  # fmt: skip
SKEW_BODY = {
    "model": "m", "version": 2, "from": "2026-01-03", "to": "2026-01-09", "rows": 700, "windows": 3,
    "features": [{
        "column": "size", "psi": 0.3, "psi_noise_floor": 0.01, "js_distance_base2": 0.2, "p_value": 0.0, "rows": 700,
        "null_share": 0.0, "reference_null_share": 0.0, "usual_psi": 0.0, "effect": 0.29, "p_adjusted": 0.0,
        "moved": True, "alarm": False, "harm": 0.1, "table": "orders",
    }],
}  # fmt: skip
SHAPE = {
    "column": "size", "numeric": True, "points": [1.0], "edges": [2.0, 3.5], "counts": [5, 6, 7, 8, 0],
    "usual_psi": 0.1, "inflation": 0.0, "inflation_variance": 0.0,
}  # fmt: skip
BENIGN_BODY = {"feature": "size", "day": "2026-01-09", "by": "trial", "why": "no lower", "shape": SHAPE}


def test_a_report_of_drift_opens_and_says_the_same():
    report = DRIFT.open(DRIFT_BODY)
    assert report is not None and report.of("size").suspicious and report.unseen == {"product": {"jug": 3}}
    assert DRIFT.open(DRIFT.body(report)) == report
    said = DRIFT.body(report)
    assert said["features"][0].items() >= FEATURE.items()
    assert all(said[k] == v for k, v in DRIFT_BODY.items() if k != "features" and not k.startswith("_"))


def test_a_report_of_drift_from_before_trials_and_benign_shapes_opens():
    newer = ("costs", "harmless", "benign", "missing", "usual_psi", "null_today")
    old = DRIFT_BODY | {"features": [{k: v for k, v in FEATURE.items() if k not in newer}]}
    del old["unseen"]
    report = DRIFT.open(old)
    assert report is not None and report.features[0].costs is None and not report.features[0].harmless


def test_a_report_of_skew_opens_and_says_the_same():
    report = SKEW.open(SKEW_BODY)
    assert report is not None and (report.first, report.last) == ("2026-01-03", "2026-01-09")
    assert SKEW.body(report) == SKEW_BODY


def test_a_benign_shape_opens_with_its_bins():
    shape = BENIGN.open(BENIGN_BODY)
    assert shape is not None and shape.key == "size|2026-01-09|trial"
    assert BENIGN.body(shape) == BENIGN_BODY | {"node": "", "forgotten": False}


def test_a_home_without_a_state_of_labels_begins_at_its_first_label():
    assert LABELS.open(None) is None
    assert LabelState("truth.sold").labels == 0


def test_the_state_of_concept_drift_opens():
    state = CONCEPT.open({"open": "2026-03-10", "after": ""})
    assert state is not None and (state.open, state.after) == ("2026-03-10", "")


def test_a_reference_of_an_earlier_or_a_later_release_opens():
    body = SHAPE | {"days": [{"days": 1, "blocks": 20, "usual": 0.1, "spread": 0.2, "inflation": 1.5,
                              "inflation_variance": 0.1, "later": 3}], "later": {"new": True}}  # fmt: skip
    found = Reference.from_dict(body)
    assert found.days == (DayBlocks(1, 20, 0.1, 0.2, 1.5, 0.1),) and found.counts == (5, 6, 7, 8, 0)
    assert Reference.from_dict(found.as_dict()) == found
    assert Reference.from_dict({n: SHAPE[n] for n in ("column", "numeric", "points", "edges", "counts")}).days == ()
    with pytest.raises(Corrupt, match="edges"):
        Reference.from_dict({n: v for n, v in SHAPE.items() if n != "edges"})
