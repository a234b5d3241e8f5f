"""Declarations are checked when they are made: what is wrong is refused with the field's name and the near word."""

import itertools
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hanok as hk
from hanok.core.declare import Project, RandomSplit, TimeSplit, as_dict, digest, from_dict
from hanok.core.errors import DeclarationError
from hanok.core.fitting import check_fit
from hanok.core.rules import parse_rules

SOURCE = hk.Source("prices", event_time="changed")
MODEL = {
    "name": "m",
    "task": "binary",
    "spine": hk.Spine("orders", predict_at="ordered", keys=["order"]),
    "label": hk.Label("returns", column="returned", known_at="known"),
    "features": ["size"],
    "train": hk.AutoML(trials=1),
    "split": hk.by_time("4d"),
    "gate": hk.Gate(),
    "retrain": hk.Retrain(every="6d"),
    "rollout": hk.Rollout(),
    "alert": hk.Webhook("http://localhost:9093"),
}
GOOD = {
    hk.Source: {"table": "t", "event_time": "at"},
    hk.FeatureView: {
        "name": "v",
        "keys": ["k"],
        "source": SOURCE,
        "ttl": "3h",
        "windows": ["24h"],
        "aggregate": {"n": hk.count()},
    },
    hk.Spine: {"table": "t", "predict_at": "at - 2h", "keys": ["k"]},
    hk.Label: {"table": "t", "column": "y", "known_at": "known"},
    hk.AutoML: {"metric": "log_loss", "budget": "8s", "seed": 7},
    TimeSplit: {"test": timedelta(days=1)},
    RandomSplit: {"test": 0.2, "seed": 7},
    hk.Gate: {"beats": "champion", "metric": "auto", "confidence": 0.95, "slices": ["a"], "tolerance": 0.0},
    hk.Retrain: {"window": "expanding", "every": "30d", "new_rows": 10, "drop": ("log_loss", 0.03), "cooldown": "1d"},
    hk.Rollout: {"shadow": "1d", "canary": [5, 100], "hold": "1d", "bake": "7d", "rollback_if": ["auc < champion"]},
    hk.Webhook: {"url": "http://localhost"},
    hk.Model: MODEL,
}
FIELDS = [(kind, field) for kind, values in GOOD.items() for field in values]
WRONG = st.one_of(
    st.binary(),
    st.complex_numbers(),
    st.just(object()),
    st.just(float("nan")),
    st.just(-3),
    st.booleans(),
    st.just({"a": 1}),
    st.just([1.5]),
    st.just([None]),
    st.just(""),
    st.just("definitely wrong"),
)
FREE_TEXT = {  # fields that take any text: a name cannot be misspelt before its table is known
    (hk.Source, "event_time"),
    (hk.FeatureView, "keys"),
    (hk.Spine, "keys"),
    (hk.Label, "column"),
    (hk.Label, "known_at"),
}


@pytest.mark.parametrize("kind", GOOD)
def test_what_is_right_is_taken_and_comes_back_from_its_json(kind):
    made = kind(**GOOD[kind])
    assert digest(from_dict(as_dict(made))) == digest(made)


@settings(max_examples=200)
@given(st.sampled_from(FIELDS), WRONG)
def test_a_value_of_the_wrong_type_is_refused_with_the_name_of_the_field(place, wrong):
    kind, field = place
    if wrong == "definitely wrong" and place in FREE_TEXT:
        return
    if wrong == -3 and field in ("seed", "tolerance"):
        return
    if wrong == {"a": 1} and field == "aggregate":
        wrong = {"a": 1}
    with pytest.raises(DeclarationError, match=field):
        kind(**{**GOOD[kind], field: wrong})


@settings(max_examples=100)
@given(st.sampled_from(FIELDS), st.integers(0, 30), st.characters(categories=["Ll"]))
def test_a_misspelt_argument_is_refused_with_the_near_word(place, at, letter):
    kind, field = place
    at = at % len(field)
    misspelt = field[:at] + letter + field[at:]
    values = {n: v for n, v in GOOD[kind].items() if n != field}
    if misspelt in GOOD[kind]:
        return
    with pytest.raises(DeclarationError, match=misspelt) as caught:
        kind(**values, **{misspelt: GOOD[kind][field]})
    assert field in caught.value.message


WORDS = [
    (lambda w: hk.Gate(beats=w), "champion", "beats"),
    (lambda w: hk.Gate(metric=w), "log_loss", "metric"),
    (lambda w: hk.AutoML(metric=w), "accuracy", "metric"),
    (lambda w: hk.Retrain(drop=(w, 0.1)), "log_loss", "drop"),
    (lambda w: hk.Retrain(window=w), "expanding", "window"),
    (lambda w: hk.Rollout(rollback_if=[f"{w} > 0.5"]), "error_rate", "rollback_if"),
    (lambda w: hk.Rollout(rollback_if=[f"log_loss > {w}"]), "champion", "rollback_if"),
    (lambda w: hk.Model(**{**MODEL, "task": w}), "regression", "task"),
]


@settings(max_examples=100)
@given(st.sampled_from(WORDS), st.data())
def test_a_misspelt_word_is_refused_with_the_near_one(case, data):
    make, word, field = case
    at = data.draw(st.integers(0, len(word) - 2))
    misspelt = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if misspelt == word:
        return
    with pytest.raises(DeclarationError, match=field) as caught:
        make(misspelt)
    assert f"did you mean {word!r}?" in caught.value.message


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: hk.Gate(slices="carrier"), r"slices='carrier': it is a list; write \['carrier'\]"),
        (lambda: hk.Gate(slices=["a", "a"]), "'a' twice"),
        (lambda: hk.Gate(slices=["a", "A"]), "case of letters"),
        (lambda: hk.Rollout(canary=[25, 5]), "grow"),
        (lambda: hk.Rollout(canary=[5, 5]), "grow"),
        (lambda: hk.Rollout(canary=[5, 101]), r"1\.\.100"),
        (lambda: hk.Rollout(canary=50), "list"),
        (lambda: hk.Rollout(shadow="0s"), "above 0"),
        (lambda: hk.Rollout(hold=timedelta(days=-1)), "above 0"),
        (lambda: hk.Rollout(rollback_if="log_loss > champion"), "list"),
        (lambda: hk.FeatureView("v", keys=["k", "K"], source=SOURCE, features=["a"]), "case of letters"),
        (lambda: hk.FeatureView("v", keys="k", source=SOURCE, features=["a", "A"]), "case of letters"),
        (
            lambda: hk.FeatureView("v", keys="k", source=SOURCE, windows=["1d", "24h"], aggregate={"n": hk.count()}),
            "twice",
        ),
        (lambda: hk.FeatureView("v", keys="k", source=SOURCE, features=["a"], windows=["1d"]), "nothing to aggregate"),
        (lambda: hk.Model(**{**MODEL, "features": ["size", "Size"]}), "case of letters"),
        (lambda: hk.Model(**{**MODEL, "retrain": hk.Retrain(drop=("rmse", 1))}), "binary: Retrain drop"),
        (lambda: hk.Model(**{**MODEL, "rollout": hk.Rollout(rollback_if=["rmse > champion"])}), "binary"),
        (lambda: hk.mean(), "column"),
        (lambda: hk.count(colum="x"), "did you mean 'column'"),
        (lambda: hk.by_time(tset="1d"), "did you mean 'test'"),
        (lambda: hk.at_random(test=2), "below 1"),
        (lambda: hk.Source(), "table"),
        (lambda: hk.Source("t", event_tiem="at"), "did you mean 'event_time'"),
        (lambda: hk.Source("t", columns={"zip": "categroy"}), "did you mean 'category'"),
        (
            lambda: hk.FeatureView("v", keys="k", source=hk.Source("t", "at", row_key="k"), features=["a"]),
            "leaves 'at' out",
        ),
    ],
)
def test_nonsense_is_refused(make, said):
    with pytest.raises(DeclarationError, match=said):
        make()


@pytest.mark.parametrize(
    ("text", "operator", "bound"),
    [
        ("log_loss > champion", ">", None),
        ("auc < champion", "<", None),
        ("auc<=0.7", "<=", 0.7),
        ("log_loss > 1e-1", ">", 0.1),
        ("error_rate > 0.01", ">", 0.01),
        ("error_rate > 1%", ">", 0.01),
        ("p99 > 20ms", ">", 20.0),
        ("p99 > 1.5s", ">", 1500.0),
        ("p99 > 20", ">", 20.0),
    ],
)
def test_a_rule_means_what_it_says(text, operator, bound):
    (rule,) = parse_rules([text], "binary")
    assert (rule.operator, rule.bound) == (operator, bound)


@pytest.mark.parametrize(
    "text",
    [
        "auc > champion",
        "log_loss < champion",
        "error_rate > champion",
        "p99 > champion",
        "error_rate > 20ms",
        "error_rate > 2",
        "error_rate < 0.01",
        "p99 > 20 parsecs",
        "p99 < 20ms",
        "log_loss > 1.2.3",
        "log_loss > 20ms",
        "log_loss = 3",
        "log_loss",
        "",
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(text):
    with pytest.raises(DeclarationError, match="rollback_if"):
        hk.Rollout(rollback_if=[text])


def test_names_of_one_project_do_not_differ_in_case_only():
    other = hk.Model(**{**MODEL, "name": "M"})
    with pytest.raises(DeclarationError, match="case of letters"):
        Project((), (), (hk.Model(**MODEL), other))
    first = hk.FeatureView("v", keys="k", source=SOURCE, features=["a"])
    with pytest.raises(DeclarationError, match="'v' twice"):
        Project((), (first, hk.FeatureView("v", keys="k", source=SOURCE, features=["b"])), ())


def test_a_stored_declaration_that_would_be_refused_today_still_opens():
    body = as_dict(hk.Model(**MODEL))
    body = {**body, "rollout": {**body["rollout"], "rollback_if": ["auc > champion"], "canary": [5, 5]}}
    restored = from_dict(body)
    assert restored.rollout.rollback_if == ("auc > champion",)
    assert restored.rollout.hold == timedelta(days=1)


COLUMNS = {
    "orders": ["order", "product", "size", "ordered"],
    "returns": ["order", "product", "returned", "known"],
    "prices": ["product", "amount", "changed"],
}


def _shop(**changes):
    price = hk.FeatureView("price", keys="product", features=["amount"], source=SOURCE)
    values = {**MODEL, "features": [price, "size"], "gate": hk.Gate(slices=["product"])}
    values["spine"] = hk.Spine("orders", predict_at="ordered")
    values = {**values, **changes}
    return Project((), tuple(v for v in values["features"] if not isinstance(v, str)), (hk.Model(**values),))


def test_declarations_that_fit_their_tables_are_taken():
    check_fit(_shop(), COLUMNS)
    check_fit(_shop(features=["sizes"]), {})  # no table yet: nothing to check


@pytest.mark.parametrize(
    ("changes", "field", "near"),
    [
        ({"features": ["sizes"]}, "features", "size"),
        ({"features": ["Size"]}, "features", "size"),
        ({"spine": hk.Spine("orders", predict_at="orderd")}, "predict_at", "ordered"),
        ({"spine": hk.Spine("orders", predict_at="ordered", keys=["ordr"])}, "keys", "order"),
        ({"label": hk.Label("returns", column="return", known_at="known")}, "label column", "returned"),
        ({"label": hk.Label("returns", column="returned", known_at="knwn")}, "known_at", "known"),
        ({"gate": hk.Gate(slices=["produkt"])}, "slices", "product"),
        ({"features": [hk.FeatureView("p", keys="product", features=["amont"], source=SOURCE)]}, "features", "amount"),
        ({"features": [hk.FeatureView("p", keys="prodct", features=["amount"], source=SOURCE)]}, "keys", "product"),
        (
            {
                "features": [
                    hk.FeatureView("p", keys="product", features=["amount"], source=hk.Source("prices", "chnged"))
                ]
            },
            "event_time",
            "changed",
        ),
    ],
)
def test_a_column_that_its_table_does_not_have_is_refused_with_the_near_one(changes, field, near):
    with pytest.raises(DeclarationError, match=field) as caught:
        check_fit(_shop(**changes), COLUMNS)
    assert f"did you mean {near!r}?" in caught.value.message


def test_the_same_training_code_is_the_same_declaration_wherever_its_project_lies(tmp_path):
    from hanok.core.declare import digest
    from hanok.engine.project import load_project

    text = (
        "import hanok as hk\n\n\ndef train(frame):\n    return {by}\n\n\n"
        'spine, label = hk.Spine("s", predict_at="at", keys=["k"]), hk.Label("l", column="y", known_at="known")\n'
        'm = hk.Model("m", task="binary", spine=spine, label=label, features=["a"], train=train)\n'
    )
    found = []
    for place, by in (("here", 1), ("there", 1), ("else", 2)):
        (tmp_path / place).mkdir()
        (tmp_path / place / "project.py").write_text(text.replace("{by}", str(by)))
        (model,) = load_project(tmp_path / place / "project.py").models
        assert model.train.name == "project.train"
        found.append(digest(model))
    assert found[0] == found[1] != found[2]


def test_all_who_read_a_table_tell_its_rows_apart_alike():
    """A row_key that one source says holds for those that leave it out; not for latest values that it does not fit."""
    bare, said = hk.Source("t", "at"), hk.Source("t", "at", row_key="id")
    counts = hk.FeatureView("c", keys="k", source=bare, windows=["1d"], aggregate={"n": hk.count()})
    latest = hk.FeatureView("l", keys="k", source=bare, features=["a"])
    model = hk.Model(**{**MODEL, "features": [counts, "size"]})
    service = hk.FeatureService("s", features=[counts])
    project = Project((said,), (counts, latest), (model,), (service,))
    assert [v.source for v in project.views] == [said, bare]
    assert project.models[0].views[0].source == project.services[0].views[0].source == said
    assert counts.source == bare and Project((), (counts,), ()).views == (counts,)
    of_view = Project(
        (bare,), (hk.FeatureView("c", keys="k", source=said, windows=["1d"], aggregate={"n": hk.count()}),), ()
    )
    assert of_view.sources == (said,)
    with pytest.raises(DeclarationError, match="a table has one: write it once"):
        Project((said, hk.Source("t", "at", row_key=["k", "at"])), (), ())
    other = hk.Source("t", "at", row_key=["k", "at"])
    more = hk.FeatureView("m", keys="k", source=other, windows=["1d"], aggregate={"n": hk.count()})
    with pytest.raises(DeclarationError, match=r"source of feature view 'm' and .* that of hk.Source\('t'\)"):
        Project((said,), (more,), ())


INLINE = {
    "a": hk.Source("rows", event_time="e", known_at="k1"),
    "b": hk.Source("rows", event_time="e"),
    "c": hk.Source("rows", event_time="e", columns={"zip": "category"}),
}


@pytest.mark.parametrize("order", list(itertools.permutations(INLINE)))
def test_what_views_say_of_their_table_is_said_of_it_whatever_their_order(order):
    views = tuple(hk.FeatureView(n, keys="k", features=["v"], source=INLINE[n]) for n in order)
    (source,) = Project((), views, ()).sources
    assert (source.known_at, source.columns) == ("k1", (("zip", "category"),))


@pytest.mark.parametrize("other", [{"known_at": "k2"}, {"columns": {"v": "text"}}])
def test_views_that_say_different_things_of_one_table_are_refused_by_name(other):
    one = hk.Source("rows", event_time="e", known_at="k1", columns={"v": "number"})
    views = [
        hk.FeatureView(name, keys="k", features=["v"], source=source)
        for name, source in (("first", one), ("second", hk.Source("rows", event_time="e", **other)))
    ]
    for declared in (views, views[::-1]):
        with pytest.raises(DeclarationError) as refused:
            Project((), tuple(declared), ())
        assert all(f"feature view {n!r}" in refused.value.message for n in ("first", "second"))
