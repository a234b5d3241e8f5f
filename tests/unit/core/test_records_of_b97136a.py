"""What monitoring kept in the homes of earlier versions opens as records, and is written as it was."""

import tarfile
from pathlib import Path

import pytest

from hanok.core.alerts import ALERT, OPEN_ALERT
from hanok.core.monitoring import BENIGN, DRIFT
from hanok.core.performance import ESTIMATES, LABELS_MEASURED, PERFORMANCE, SCORES
from hanok.stores.sql import SqlMetadata

HOMES = sorted((Path(__file__).parents[2] / "golden").glob("*.tar.xz"))
OF_HIRE = [ALERT, OPEN_ALERT, BENIGN, DRIFT, *ESTIMATES.values(), LABELS_MEASURED, PERFORMANCE, SCORES]
CHECK = {
    "at": "2026-02-10T00:00:00+00:00", "labelled": 640, "realised": {"auc": 0.71, "log_loss": 0.5}, "inside": False,
    "errors": {"auc": -0.05, "log_loss": 0.02}, "reason": "auc is 0.710, estimated 0.760 (0.730 to 0.790)",
    "calibration": {"gap": 0.01, "slope": 0.8, "held": False, "p_value": 0.03, "days": 7, "why": "slope"},
}  # fmt: skip
BINARY_WEEK = {
    "start": "2026-02-02", "end": "2026-02-09", "made": "2026-02-09T00:00:00+00:00", "rows": 700, "headline": "auc",
    "metrics": {"auc": {"value": 0.76, "low": 0.73, "high": 0.79}},
    "assumption": "calibration holds", "checked": CHECK, "calibration": [1.0, 0.9, 0.1], "window": "week", "doubts": [],
    "reference": {"rows": 3000, "days": 30, "realised": {"auc": 0.77}}, "doubts_by_day": {"2026-02-02": []},
    "reliable": True, "usual": {"within": 0.03, "windows": 9, "share": 0.9},
}  # fmt: skip


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """kind -> every body of that kind in the homes."""
    found = {}
    for home in HOMES:
        folder = tmp_path_factory.mktemp("home")
        with tarfile.open(home) as archive:
            archive.extractall(folder, [m for m in archive if "/hanok.db" in m.name], filter="data")
        metadata = SqlMetadata.at(folder / "home" / "hanok.db")
        for kind in OF_HIRE:
            found.setdefault(kind.name, []).extend(metadata.read(lambda r, k=kind: r.records.list(k.name)))
        metadata.close()
    return found


@pytest.mark.parametrize("kind", OF_HIRE, ids=lambda k: k.name)
def test_every_record_of_the_homes_opens_and_says_the_same(kept, kind):
    bodies = [{k: v for k, v in body.items() if not k.startswith("_")} for body in kept[kind.name]]
    known = [b for b in bodies if b]
    assert known
    for body, record in zip(known, kind.all(bodies), strict=True):
        written = kind.body(record)
        assert kind.open(written) == record
        if kind is not DRIFT:  # whose features have more fields by now
            assert {k: written[k] for k in body} == body


def test_the_checked_estimate_of_a_model_of_two_classes_opens_and_says_the_same():
    kind = ESTIMATES["week"]
    week = kind.open(BINARY_WEEK)
    assert week is not None and week.checked is not None and week.checked.calibration.days == 7
    assert kind.body(week) == BINARY_WEEK


def test_an_alert_that_was_resolved_keeps_when_and_why():
    body = {
        "id": "a" * 32, "subject": "m", "kind": "drift", "fingerprint": "drift:size", "summary": "it drifted",
        "severity": "warning", "state": "resolved", "raised": "2026-02-02T00:00:00+00:00", "facts": {"psi": 0.3},
        "last_seen": "2026-02-03T00:00:00+00:00", "times": 2, "resolved": "2026-02-04T00:00:00+00:00",
        "resolution": "back within its reference",
    }  # fmt: skip
    alert = ALERT.open(body)
    assert alert is not None and alert.resolved is not None and ALERT.body(alert) == body
