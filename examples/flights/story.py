"""What people do in the year of the demo, beside what the triggers do by themselves."""

from datetime import UTC, datetime

MODEL = "late-arrival"
WHOLE_YEAR_DAYS = 365


def first_training(days: int) -> str:
    """When the first model is trained: after January to March in a whole year, after four weeks in a short replay."""
    return "90d" if days >= 150 else "28d"


def challenge(app) -> dict:
    """Ann trains a challenger on the last three months only. Ben promotes it, whatever the gate says."""
    result = app.training.train(
        MODEL,
        start=datetime(2013, 9, 1, tzinfo=UTC),
        reason="challenger on a short sliding window: September to November",
        actor="ann",
        key="the sliding challenger",
        promote=False,
    )
    version, passed = result.version, result.verdict.passed
    app.training.promote(MODEL, version, actor="ben", reason="it is the newest", force=not passed)
    return {"version": version, "passed": passed, "why": result.verdict.why}


ACTIONS = {"2013-12-01": challenge}
