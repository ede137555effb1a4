"""A scorecard against its own definition, computed with NumPy: bins, weight of evidence, information value, points."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import check_estimator
from test_train import lay_out, loans, train_model

from scripts.shared.config import Model
from scripts.shared.errors import UserError
from scripts.shared.fitting import fit
from scripts.shared.membership import to_frame
from scripts.shared.models import load_model, predict_default
from scripts.shared.pipeline import build_pipeline
from scripts.shared.scorecard import Scorecard
from scripts.shared.scoring import fast_scorer

PATH = "scripts.shared.scorecard.Scorecard"
RAW = {"numeric": {"impute": False}, "categorical": {"encoding": "native"}}
NAMES = ["t", "x", "y", "noise"]


def matrix(rows=4000, seed=3):
    """Return columns t (codes 0 to 3, the last rare), x (rising risk), y (falling risk) and noise, with gaps."""
    random = np.random.default_rng(seed)
    t = random.choice([0.0, 1.0, 2.0, 3.0, np.nan], rows, p=[0.4, 0.3, 0.2, 0.004, 0.096])
    x, y, noise = random.normal(50, 20, rows), random.integers(0, 40, rows) * 1.0, random.normal(size=rows)
    x[random.uniform(size=rows) < 0.1] = np.nan
    risk = np.nan_to_num((x - 50) / 20, nan=1.0) - y / 20 + np.where(t == 1, 1.0, 0.0) - 1
    target = (random.uniform(size=rows) < 1 / (1 + np.exp(-risk))).astype(np.int64)
    return np.column_stack([t, x, y, noise]), target


@pytest.fixture(scope="module")
def rows():
    return matrix()


@pytest.fixture(scope="module")
def card(rows):
    return Scorecard([0]).fit(*rows)


def table_of(card):
    return pd.DataFrame(card.points_table(NAMES, {0: ["OWN", "RENT", "FREE", "ODD"]}))


def members(bin_, values):
    """Return which values a printed bin of a number holds."""
    if bin_ == "(missing)":
        return np.isnan(values)
    words = bin_.split()
    if words[0] == "below":
        return values < float(words[1])
    if words[0] == "from":
        return values >= float(words[1])
    return (values >= float(words[0])) & (values < float(words[3]))


def weight(goods, bads, target):
    return np.log(((goods + 0.5) / (target == 0).sum()) / ((bads + 0.5) / (target == 1).sum()))


# --- the table is the definition ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "at"), [("x", 1), ("y", 2)])
def test_printed_bins_have_the_rows_evidence_and_value_that_they_print(rows, card, name, at):
    X, target = rows
    of = table_of(card).query("attribute == @name")
    seen, value = np.zeros(len(X), int), 0.0
    for line in of.itertuples():
        inside = members(line.bin, X[:, at])
        seen += inside
        bads, goods = target[inside].sum(), (1 - target[inside]).sum()
        assert line.rows == inside.sum()
        if line.rows:
            assert line.woe == pytest.approx(weight(goods, bads, target))
            assert (line.defaults, line.default_rate) == (bads, pytest.approx(bads / inside.sum()))
        else:
            assert line.woe == 0
            assert np.isnan(line.defaults)
        value += (goods / (target == 0).sum() - bads / target.sum()) * line.woe
    assert (seen == 1).all()
    assert of["iv"].tolist() == [pytest.approx(value)] * len(of)


def test_numbers_have_bins_of_monotone_rate_and_enough_rows(rows, card):
    _, target = rows
    table = table_of(card).query("bin != '(missing)'")
    for name, sign in (("x", 1), ("y", -1)):
        own = table[table["attribute"] == name]
        assert 3 <= len(own) <= 8
        assert (np.diff(own["default_rate"]) * sign > 0).all()
        assert (own["rows"] >= 0.05 * len(target)).all()
        assert (np.minimum(own["defaults"], own["rows"] - own["defaults"]) >= 5).all()


def test_rare_unseen_and_missing_categories(rows, card):
    X, target = rows
    of = table_of(card).query("attribute == 't'").set_index("bin")
    assert set(of.index) == {"OWN", "RENT", "FREE", "(other)", "(missing)"}
    for code, label in ((0, "OWN"), (1, "RENT"), (2, "FREE")):
        inside = X[:, 0] == code
        assert of.loc[label, "rows"] == inside.sum()
        assert of.loc[label, "woe"] == pytest.approx(weight((1 - target[inside]).sum(), target[inside].sum(), target))
    assert of.loc["(other)", "rows"] == (X[:, 0] == 3).sum() < 50
    assert of.loc["(other)", "woe"] == 0, "so few rows say nothing"
    assert pd.isna(of.loc["(other)", "default_rate"])
    unseen = np.array([[-1.0, 50, 5, 0], [3.0, 50, 5, 0], [17.0, 50, 5, 0], [np.nan, 50, 5, 0]])
    points = card.points(unseen)[:, 0]
    assert points.tolist() == [of.loc["(other)", "points"]] * 3 + [of.loc["(missing)", "points"]]


def test_many_categories_of_near_rates_share_bins():
    random = np.random.default_rng(5)
    codes = random.integers(0, 12, 12_000).astype(float)
    target = (random.uniform(size=12_000) < 0.1 + 0.04 * codes).astype(int)
    card = Scorecard([0], max_bins=4).fit(codes[:, None], target)
    names = {0: [f"c{n:02}" for n in range(12)]}
    of = pd.DataFrame(card.points_table(["t"], names))
    assert len(of) == 6
    shared = [bin_.split(", ") for bin_ in of["bin"][:4]]
    assert [name for names_ in shared for name in names_] == sorted(names[0]), "neighbours by rate"
    assert of["bin"].tolist()[4:] == ["(other)", "(missing)"]


def test_points_are_those_of_the_formula(rows, card):
    X, target = rows
    table = table_of(card)
    kept = [at for at, name in enumerate(NAMES) if name in set(table["attribute"])]
    evidence = np.empty((len(X), len(kept)))
    for column, at in enumerate(kept):
        of = table[table["attribute"] == NAMES[at]]
        for line in of.itertuples():
            labels = {"OWN": 0, "RENT": 1, "FREE": 2, "(other)": 3}
            inside = X[:, 0] == labels[line.bin] if line.bin in labels else members(line.bin, X[:, at])
            evidence[inside, column] = line.woe
    model = LogisticRegression(C=np.inf, tol=1e-10).fit(evidence, 1 - target)
    factor = 20 / np.log(2)
    offset = 600 - factor * np.log(50)
    each = (offset + factor * model.intercept_[0]) / len(kept)
    total = np.zeros(len(X))
    for column, at in enumerate(kept):
        expected = factor * model.coef_[0, column] * evidence[:, column] + each
        points = card.points(X)[:, at]
        assert np.abs(points - expected).max() <= 0.501
        assert (points == np.round(points)).all()
        total += points
    np.testing.assert_array_equal(card.score_points(X), total)
    np.testing.assert_allclose(card.predict_proba(X)[:, 1], 1 / (1 + np.exp((total - offset) / factor)))
    np.testing.assert_allclose(model.predict_proba(evidence)[:, 0], card.predict_proba(X)[:, 1], atol=0.02)


def test_points_double_the_odds_and_anchor_at_the_base(rows):
    X, target = rows
    card = Scorecard([0], pdo=40, base_points=500, base_odds=20, round_points=False).fit(X, target)
    points, default = card.score_points(X), card.predict_proba(X)[:, 1]
    odds = (1 - default) / default
    np.testing.assert_allclose(points, 500 + 40 * np.log2(odds / 20))
    model = Scorecard([0], round_points=False).fit(X, target)
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], default)
    assert default.mean() == pytest.approx(target.mean(), abs=1e-6)


def test_contributions_and_base_sum_to_the_log_odds(rows, card):
    X, _ = rows
    default = card.predict_proba(X)[:, 1]
    for reference in (None, card.points(X[:1])[0]):
        added, base = card.contributions(X, reference)
        assert added.shape == X.shape
        np.testing.assert_allclose(base + added.sum(axis=1), np.log(default / (1 - default)))
    assert (added[0] == 0).all(), "against itself, a row has nothing to say"
    average, _ = card.contributions(X)
    assert average.mean(axis=0) == pytest.approx(0, abs=1e-9)


# --- what is left out -----------------------------------------------------------------------------------------------


def test_what_tells_nothing_is_left_out(rows, card):
    X, _ = rows
    assert card.left_out_ == {3: "information value below 0.02"}
    assert (card.points(X)[:, 3] == 0).all()
    assert "noise" not in set(table_of(card)["attribute"])


def test_an_attribute_whose_weight_has_the_wrong_sign_is_left_out():
    random = np.random.default_rng(6)
    x = random.normal(size=6000)
    twin = x + random.normal(size=6000)  # alone it rises with risk; beside x it would fall
    target = (random.uniform(size=6000) < 1 / (1 + np.exp(-(3 * x - twin)))).astype(int)
    card = Scorecard().fit(np.column_stack([x, twin]), target)
    assert card.left_out_ == {1: "the wrong sign beside the other attributes"}
    alone = Scorecard().fit(x[:, None], target)
    np.testing.assert_array_equal(card.score_points(np.column_stack([x, twin])), alone.score_points(x[:, None]))


def test_nothing_that_tells_gives_one_score():
    random = np.random.default_rng(7)
    X, target = np.column_stack([np.ones(500), np.full(500, np.nan)]), random.integers(0, 2, 500)
    with pytest.warns(UserWarning, match="no attribute tells defaults from others"):
        card = Scorecard(round_points=False).fit(X, target)
    np.testing.assert_allclose(card.predict_proba(X)[:, 1], target.mean())
    assert card.points_table() == []
    added, base = card.contributions(X)
    assert not added.any()
    assert base == pytest.approx(np.log(target.mean() / (1 - target.mean())))


# --- an estimator like any other ------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:no attribute tells defaults from others")
def test_it_is_a_classifier_of_scikit_learn():
    why = "its rows are parted by one column without a doubt: bins of one outcome alone are taken together"
    check_estimator(Scorecard(min_iv=0.0), expected_failed_checks={"check_classifiers_train": why}, on_skip=None)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"max_bins": 1}, "max_bins must be 2 or more"),
        ({"pdo": 0}, "pdo must be above 0"),
        ({"min_share": 0.5}, "min_share must be from 0 to below 0.5"),
    ],
)
def test_impossible_parameters_are_refused(rows, params, message):
    with pytest.raises(ValueError, match=message):
        Scorecard(**params).fit(*rows)


def test_scores_depend_neither_on_order_nor_on_company(rows, card):
    X, target = rows
    scores = card.predict_proba(X)
    order = np.random.default_rng(8).permutation(len(X))
    assert clone(card).fit(X[order], target[order]).predict_proba(X).tobytes() == scores.tobytes()
    pieces = [card.predict_proba(X[start : start + 13]) for start in range(0, len(X), 13)]
    assert np.concatenate(pieces).tobytes() == scores.tobytes()
    extremes = np.array([[0, np.inf, -np.inf, 0], [0, -1e300, 1e300, 0]])
    assert np.isfinite(card.predict_proba(extremes)).all()


def test_edges_are_rounded_to_what_people_read():
    random = np.random.default_rng(9)
    income = random.lognormal(11, 0.6, 5000)
    target = (random.uniform(size=5000) < 1 / (1 + np.exp((np.log(income) - 10) * 2))).astype(int)
    table = Scorecard().fit(income[:, None], target).points_table(["income"])
    edges = [float(line["bin"].split()[1]) for line in table if line["bin"].startswith("below")]
    edges += [float(line["bin"].split()[0]) for line in table if " to below " in line["bin"]]
    assert len(edges) > 3
    assert all(edge % 100 == 0 for edge in edges)


# --- in the Pipeline ------------------------------------------------------------------------------------------------


def frame_of(X):
    texts = np.array(["OWN", "RENT", "FREE", "ODD"], dtype=object)
    t = np.full(len(X), np.nan, dtype=object)
    known = ~np.isnan(X[:, 0])
    t[known] = texts[X[known, 0].astype(int)]
    return pa.table(
        {name: pa.array(X[:, at], mask=np.isnan(X[:, at])) for at, name in enumerate(NAMES) if at}
        | {"t": pa.array([text if isinstance(text, str) else None for text in t]).dictionary_encode()}
    )


def test_in_the_pipeline_names_and_texts_come_back_and_the_fast_scorer_agrees(rows):
    X, target = rows
    names = (["x", "y", "noise"], ["t"])
    pipeline = build_pipeline("card", Model(estimator=PATH, complexity=1, **RAW), *names, seed=1)
    table = frame_of(X)
    fit("card", pipeline, to_frame(table, *names), target.astype(np.int8))
    about = pipeline["model"].card(pipeline["columns"])
    assert {(line["attribute"], line["bin"]) for line in about["scorecard"] if line["attribute"] == "t"} == {
        ("t", bin_) for bin_ in ("OWN", "RENT", "FREE", "(other)", "(missing)")
    }
    assert about["scorecard_scale"]["left_out"] == {
        "noise": {"iv": pytest.approx(0, abs=0.02), "why": "information value below 0.02"}
    }
    values = [line["iv"] for line in about["scorecard"]]
    assert values == sorted(values, reverse=True)
    scorer = fast_scorer(pipeline, *names)
    assert type(scorer).__name__ == "_Matrix"
    np.testing.assert_array_equal(scorer.score(table), predict_default(pipeline, to_frame(table, *names)))
    odd = table.slice(0, 2).set_column(3, "t", pa.array(["NEW", None]))
    points = {line["bin"]: line["points"] for line in about["scorecard"] if line["attribute"] == "t"}
    given = pipeline["model"].points(pipeline["columns"].transform(to_frame(odd, *names)))[:, 0]
    assert given.tolist() == [points["(other)"], points["(missing)"]]


def test_more_categories_than_codes_are_printed_with_their_own_names():
    random = np.random.default_rng(10)
    texts = np.append(random.choice(["zoo", "ant"], 4000), [f"rare{n}" for n in range(300)])
    target = (random.uniform(size=4300) < np.where(texts == "zoo", 0.5, 0.1)).astype(np.int8)
    frame = pd.DataFrame({"t": texts.astype(object)})
    pipeline = build_pipeline("card", Model(estimator=PATH, complexity=1, **RAW), [], ["t"], seed=1)
    fit("card", pipeline, frame, target)
    bins = {line["bin"]: line for line in pipeline["model"].card(pipeline["columns"])["scorecard"]}
    assert set(bins) == {"ant", "zoo", "(other)", "(missing)"}
    assert bins["zoo"]["rows"] == (texts == "zoo").sum()
    assert bins["(other)"]["rows"] == 300


@pytest.mark.parametrize(
    "wrong", [{"numeric": {}}, {"numeric": {"impute": False, "transform": "scale"}}, {"categorical": {}}]
)
def test_columns_that_are_prepared_already_are_refused(wrong):
    row = Model(estimator=PATH, complexity=1, **(RAW | wrong))
    with pytest.raises(UserError, match=r"models\.card: Scorecard bins the columns itself; set models\.card\.numeric"):
        build_pipeline("card", row, ["x"], ["t"], seed=1)


def test_the_cards_table_adds_up_to_the_scores(tmp_path):
    row = {"estimator": PATH, "complexity": 1, "params": {"round_points": True}, **RAW}
    at = lay_out(tmp_path, loans(900), models={"card": row})
    pipeline, about = load_model(*train_model(at, "card"))
    scale = about["scorecard_scale"]
    frame = pd.DataFrame({"x": [61.5, np.nan], "y": [2.0, 8.0], "t": ["RENT", np.nan]})
    total = np.full(2, scale["constant"])
    for line in about["scorecard"]:
        values = frame[line["attribute"]]
        if line["attribute"] == "t":
            inside = values.isna() if line["bin"] == "(missing)" else values == line["bin"]
        else:
            inside = members(line["bin"], values.to_numpy())
        total += np.asarray(inside) * line["points"]
        assert isinstance(line["points"], int)
    expected = 1 / (1 + np.exp((total - scale["offset"]) / scale["factor"]))
    np.testing.assert_allclose(predict_default(pipeline, frame), expected)
    assert total[0] != total[1]
