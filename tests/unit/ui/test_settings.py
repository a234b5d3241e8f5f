"""How much a param explains, and which way a metric is better."""

import pytest

from hanok.core.tracking import Run
from hanok.ui.views.direction import higher_is_better
from hanok.ui.views.settings import settings_of
from tests.unit.ui.test_runs import NOW


def test_epsilon_squared_by_hand():
    from hanok.ui.views.settings import _epsilon_squared

    # groups (1, 2, 3) and (3, 4, 5): SSB = 6, SSW = 4, SST = 10, MSW = 1, so (6 - 1 * 1) / 10
    assert _epsilon_squared([(1, 2, 3), (3, 4, 5)]) == pytest.approx(0.5)
    assert _epsilon_squared([(1, 3), (1, 3)]) == 0.0
    assert _epsilon_squared([(1, 1), (1, 1)]) == 0.0


def test_names_that_differ_in_each_run_are_no_setting():
    from hanok.core.tracking import Metric

    runs = [
        Run(str(i), "0", "", NOW, "", metrics=(Metric("loss", float(i), 0),), params={"note": f"text {i}"})
        for i in range(40)
    ]
    assert settings_of(runs, "loss") == ()


@pytest.mark.parametrize(
    ("metric", "higher"),
    [
        ("val_log_loss", False),
        ("training_accuracy_score", True),
        ("ndcg@10", True),
        ("f1_score_macro", True),
        ("valid_0-auc", True),
        ("best_cv_score", True),
        ("rmse_test", False),
        ("epoch", None),
        ("learning_rate", None),
        ("grad_norm", None),
        ("precision_at_threshold", None),
    ],
)
def test_the_name_tells_which_way_is_better_or_nothing(metric, higher):
    assert higher_is_better(metric) is higher
