"""Letters are shown as letters, and what is chance is not called worse."""

import pytest

from hanok.ui.render import environment
from hanok.ui.views.predictions import most_likely
from hanok.ui.views.today import by_chance


def test_rows_set_aside_are_shown_in_their_own_letters():
    shown = environment().from_string("{{ row|tojson }}").render(row={"Größe": "名<b>"})
    assert "Größe" in shown and "名" in shown and "<b>" not in shown


def test_a_score_of_many_classes_is_said_with_its_class():
    assert most_likely((0.2, 0.5, 0.3), ("low", "mid", "high")) == "mid"
    assert most_likely((0.2, 0.8), ("no", "yes")) == most_likely((), ()) == most_likely((0.2, 0.5, 0.3), ()) == ""


@pytest.mark.parametrize(
    ("known", "gate", "rows", "chance"),
    [(0.634, 0.619, 64, True), (0.634, 0.619, 64_000, False), (0.9, 0.6, 64, False), (12.0, 11.0, 60, True),
     (15.0, 11.0, 600, False), (0.5, 0.5, 10, True)],
)  # fmt: skip
def test_a_difference_of_so_many_labels_is_chance_or_not(known, gate, rows, chance):
    assert by_chance(known, gate, rows) is chance
