"""What `hanok predict MODEL --from --until` prints: a few lines, however many rows were due."""

import json

from hanok.cli.predict import _due
from hanok.core.records import to_body
from hanok.engine.predicting import ByVersion

FEW = ByVersion(3, "primary", 2000, tuple(f"id-{i}" for i in range(2000)))
MANY = ByVersion(4, "canary", 50_000, None)


def test_a_window_is_told_in_a_few_lines_and_whole_as_json(capsys):
    parts = [to_body(FEW), to_body(MANY)]
    batch = {"model": "churn", "predictions": 52_000, "answered_before": 7, "by_version": parts}
    _due(batch, False)
    said = capsys.readouterr().out
    assert (
        "52000 rows" in said
        and "2000 of these answers are of version 3" in said
        and "50000 of these answers are of version 4" in said
    )
    assert "hanok prediction list churn" in said and len(said) < 500
    _due(batch, True)
    assert json.loads(capsys.readouterr().out)["by_version"][0]["ids"][-1] == "id-1999"
