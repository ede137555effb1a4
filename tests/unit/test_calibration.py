"""Calibrated scores: maps as scikit-learn makes them, chosen on rows that shaped none, and inside the artefact."""

import pickle

import numpy as np
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from test_cross_validate import FEATURES, fold_of, held_out_scores, validate
from test_metrics import cost_at
from test_train import LOGISTIC, TREE, lay_out, loans, rows_by_id, rows_on, train_model

from scripts.score import score_test_rows
from scripts.shared import calibration
from scripts.shared.calibrated import Calibrated, apply_map, log_odds, uncalibrated, with_map
from scripts.shared.calibration import (
    calibrate,
    expected_calibration_error,
    fit_isotonic,
    fit_sigmoid,
)
from scripts.shared.cards import model_version
from scripts.shared.errors import UserError
from scripts.shared.membership import to_frame
from scripts.shared.models import load_model, predict_default
from scripts.shared.scoring import fast_scorer


def too_sure(rows=3000, seed=1, sharpness=2.0):
    """Return outcomes, scores that are too near to 0 and 1 by a factor of the log-odds, and folds."""
    random = np.random.default_rng(seed)
    true = random.normal(-1.5, 1, rows)
    target = (random.uniform(size=rows) < 1 / (1 + np.exp(-true))).astype(np.int8)
    scores = 1 / (1 + np.exp(-sharpness * true))
    return target, scores, random.integers(0, 5, rows)


def pooled(values, weights):
    """Return the best rising fit, by adjacent violators pooled in plain Python."""
    blocks = []
    for value, weight in zip(values, weights, strict=True):
        blocks.append([value, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            (a, m, k), (b, n, j) = blocks[-2:]
            blocks[-2:] = [[(a * m + b * n) / (m + n), m + n, k + j]]
    return np.concatenate([[value] * count for value, _, count in blocks])


# --- maps -----------------------------------------------------------------------------------------------------------


def test_a_sigmoid_is_the_logistic_regression_on_the_log_odds():
    target, scores, _ = too_sure()
    odds = np.log(scores / (1 - scores))
    own = LogisticRegression(C=np.inf, tol=1e-10).fit(odds[:, None], target)
    found = fit_sigmoid(target, scores)
    assert found["slope"] == pytest.approx(own.coef_[0, 0], rel=1e-4)
    assert found["intercept"] == pytest.approx(own.intercept_[0], abs=1e-4)
    assert found["slope"] == pytest.approx(1 / 2, rel=0.1)
    mapped = apply_map(found, scores)
    assert mapped == pytest.approx(1 / (1 + np.exp(-(found["slope"] * odds + found["intercept"]))))
    assert mapped.mean() == pytest.approx(target.mean(), abs=1e-6), "what a constant in a logistic regression ensures"
    assert (np.argsort(mapped, kind="stable") == np.argsort(scores, kind="stable")).all()


def test_an_isotonic_map_is_the_pooled_default_rate_and_never_0_or_1():
    target, scores, _ = too_sure()
    scores = scores.round(3)
    found = fit_isotonic(target, scores)
    values = np.unique(scores)
    counts = np.array([(scores == value).sum() for value in values])
    rates = np.array([target[scores == value].mean() for value in values])
    least = 1 / (len(target) + 2)
    expected = np.clip(pooled(rates, counts), least, 1 - least)
    np.testing.assert_allclose(apply_map(found, values), expected, rtol=1e-9)
    assert len(found["scores"]) < len(values)
    own = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip").fit(scores, target)
    between = np.random.default_rng(2).uniform(0, 1, 500)
    np.testing.assert_allclose(apply_map(found, between), own.predict(between), rtol=1e-9)
    ends = apply_map(found, np.array([0.0, 1.0]))
    assert 0 < ends[0] <= expected[0]
    assert expected[-1] <= ends[1] < 1


def test_scores_of_0_and_1_have_log_odds():
    assert np.isfinite(log_odds(np.array([0.0, 1.0]))).all()
    target = np.array([0, 0, 0, 1, 1, 0] * 20, np.int8)
    scores = np.array([0.0, 0.1, 0.3, 1.0, 0.8, 1.0] * 20)
    assert 0 < apply_map(fit_sigmoid(target, scores), np.array([0.0]))[0] < 0.2


@pytest.mark.parametrize("fit", [fit_sigmoid, fit_isotonic])
def test_the_order_of_rows_has_no_say(fit):
    target, scores, _ = too_sure()
    order = np.random.default_rng(3).permutation(len(target))
    assert fit(target[order], scores[order]) == fit(target, scores)


@pytest.mark.parametrize("fit", [fit_sigmoid, fit_isotonic])
def test_very_many_scores_give_nearly_the_same_map(fit, monkeypatch):
    target, scores, _ = too_sure()
    exact = apply_map(fit(target, scores), scores)
    monkeypatch.setattr(calibration, "MOST_POINTS", 400)
    found = apply_map(fit(target, scores), scores)
    assert (found != exact).any()
    assert np.abs(found - exact).mean() < 0.01


def test_an_unknown_map_is_refused():
    with pytest.raises(ValueError, match="no calibration is called 'beta'"):
        apply_map({"method": "beta"}, np.array([0.5]))


# --- the choice -----------------------------------------------------------------------------------------------------


def nested_loss(asked, target, scores, fold):
    """Return the log loss of scores that are each mapped by what the other folds gave, with scikit-learn alone."""
    mapped = scores.copy()
    for k in np.unique(fold):
        inside = fold == k
        if asked == "sigmoid":
            odds = np.log(scores / (1 - scores))[:, None]
            model = LogisticRegression(C=np.inf, tol=1e-10).fit(odds[~inside], target[~inside])
            mapped[inside] = model.predict_proba(odds[inside])[:, 1]
        elif asked == "isotonic":
            least = 1 / ((~inside).sum() + 2)
            model = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip")
            mapped[inside] = model.fit(scores[~inside], target[~inside]).predict(scores[inside])
    return log_loss(target, mapped)


def test_auto_takes_the_lowest_loss_on_rows_that_shaped_no_map():
    target, scores, fold = too_sure()
    found = calibrate("m", "auto", target, scores, fold)
    losses = {asked: nested_loss(asked, target, scores, fold) for asked in ("none", "sigmoid", "isotonic")}
    assert found.about["log_loss"] == {asked: pytest.approx(loss, rel=1e-5) for asked, loss in losses.items()}
    assert found.about["method"] == min(losses, key=losses.get) == "sigmoid"
    assert found.about["map"] == found.mapping == fit_sigmoid(target, scores)
    assert log_loss(target, found.nested) == pytest.approx(losses["sigmoid"], rel=1e-5)
    brier, ece = found.about["brier"], found.about["ece"]
    assert brier["before"] == pytest.approx(((scores - target) ** 2).mean())
    assert brier["after"] == pytest.approx(((found.nested - target) ** 2).mean())
    assert ece["after"] < ece["before"] / 3


def test_an_isotonic_map_is_not_flattered_by_its_own_rows():
    target, scores, fold = too_sure(rows=300, sharpness=1.0)  # calibrated as they are
    losses = {m: log_loss(target, apply_map(calibration.FITS[m](target, scores), scores)) for m in calibration.FITS}
    assert min(losses, key=losses.get) == "isotonic", "on the rows that shaped it"
    found = calibrate("m", "auto", target, scores, fold)
    assert found.about["log_loss"]["isotonic"] > found.about["log_loss"]["none"]
    assert found.about["method"] != "isotonic"


def test_a_bent_curve_needs_an_isotonic_map():
    random = np.random.default_rng(4)
    scores = random.uniform(0.01, 0.99, 6000)
    target = (random.uniform(size=6000) < np.where(scores < 0.6, 0.05, 0.6)).astype(np.int8)
    assert calibrate("m", "auto", target, scores, random.integers(0, 5, 6000)).about["method"] == "isotonic"


def test_what_would_turn_the_ranking_around_is_refused_and_never_chosen():
    target, scores, fold = too_sure()
    with pytest.raises(UserError, match=r"models\.m\.calibration: .* turn the ranking around; set calibration: none"):
        calibrate("m", "sigmoid", target, 1 - scores, fold)
    found = calibrate("m", "auto", target, 1 - scores, fold)
    assert found.about["log_loss"]["sigmoid"] is None
    assert found.about["method"] == "isotonic"


def test_equal_losses_go_to_the_simpler():
    target, fold = np.array([0, 1] * 50, np.int8), np.arange(100) // 2 % 5
    assert calibrate("m", "auto", target, np.full(100, 0.5), fold).about["method"] == "none"


def test_the_calibration_error_is_the_mean_gap_of_groups_of_equal_size():
    target, scores, _ = too_sure(rows=1000)
    order = np.argsort(scores)
    gaps = [abs(scores[group].mean() - target[group].mean()) for group in np.split(order, 10)]
    assert expected_calibration_error(target, scores) == pytest.approx(np.mean(gaps))


# --- the chain ------------------------------------------------------------------------------------------------------

# A naive model of many twins of one number is far too sure.
BAYES = {"estimator": "sklearn.naive_bayes.GaussianNB", "complexity": 1}
SURE = {f"x{n}": f"x + {n}" for n in range(4)}


@pytest.fixture(scope="module", params=["sigmoid", "isotonic"])
def calibrated(tmp_path_factory, request):
    """The same model as it is and calibrated, with a threshold by cost."""
    models = {"plain": BAYES, "mapped": BAYES | {"calibration": request.param}}
    threshold = {"method": "cost", "cost": {"missed_default": 3, "refused_good": 1}}
    at = lay_out(tmp_path_factory.mktemp("calibrated"), loans(900), models=models, features=SURE, threshold=threshold)
    at.method, at.cv = request.param, validate(at, "mapped")
    at.plain, at.mapped = load_model(*train_model(at, "plain")), None
    at.files = train_model(at, "mapped", cv=[at.folder / "cv.json"])
    at.mapped = load_model(*at.files)
    return at


def test_whoever_scores_gets_calibrated_scores(calibrated):
    at, (pipeline, card) = calibrated, calibrated.mapped
    table = pa.Table.from_pandas(rows_on(at, "test"), preserve_index=False)
    numeric, categorical = card["features"]["numeric"], card["features"]["categorical"]
    frame = to_frame(table, numeric, categorical)
    plain = predict_default(at.plain[0], frame)
    if at.method == "sigmoid":
        about = card["calibration"]["map"]
        clipped = np.clip(plain, 1e-6, 1 - 1e-6)
        odds = about["slope"] * np.log(clipped / (1 - clipped)) + about["intercept"]
        expected = 1 / (1 + np.exp(-odds))
    else:
        knots = card["calibration"]["map"]
        expected = np.interp(plain, knots["scores"], knots["rates"])
    assert np.abs(expected - plain).max() > 0.05
    np.testing.assert_allclose(predict_default(pipeline, frame), expected, rtol=1e-12)
    fast = fast_scorer(pipeline, numeric, categorical)
    np.testing.assert_array_equal(fast.score(table), predict_default(pipeline, frame))
    target, scores = score_test_rows(at.parts, at.membership, pipeline, card)
    np.testing.assert_array_equal(scores, predict_default(pipeline, frame))
    assert log_loss(target, scores) < log_loss(target, plain)
    cuts = [fast.score(table.slice(start, 7)) for start in range(0, table.num_rows, 7)]
    assert np.concatenate(cuts).tobytes() == fast.score(table).tobytes()
    assert pipeline.predict_proba(frame).sum(axis=1) == pytest.approx(1)
    assert (pipeline.predict(frame) == (scores > 0.5)).all()


def test_the_cheapest_threshold_is_one_of_calibrated_scores(calibrated):
    at, found = calibrated, calibrated.cv
    rows, fold = rows_on(at, "train"), fold_of(at)
    scores, target = np.empty(len(rows)), rows["z"].to_numpy()
    names = [*at.plain[1]["features"]["numeric"], *at.plain[1]["features"]["categorical"]]
    for k in range(at.settings.cv_folds):
        fresh = clone(at.plain[0]).fit(rows[names][fold != k], target[fold != k])
        scores[fold == k] = fresh.predict_proba(rows[names][fold == k])[:, 1]
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    if at.method == "sigmoid":
        odds = np.log(clipped / (1 - clipped))[:, None]
        mapped = LogisticRegression(C=np.inf, tol=1e-10).fit(odds, target).predict_proba(odds)[:, 1]
    else:
        mapped = IsotonicRegression(y_min=1 / (len(target) + 2)).fit(scores, target).predict(scores)
    costs = [cost_at(cut, target, mapped, 3, 1) for cut in [*np.unique(mapped), 2]]
    assert found["cost_per_row"] == pytest.approx(min(costs) / len(target))
    assert cost_at(found["cheapest_threshold"], target, mapped, 3, 1) == min(costs)
    if at.method == "sigmoid":  # which keeps the order of rows: the same are refused as without it
        uncosts = [cost_at(cut, target, clipped, 3, 1) for cut in [*np.unique(clipped), 2]]
        assert min(uncosts) == min(costs)
    assert found["cheapest_threshold"] == pytest.approx(0.25, abs=0.12), "near 1 / (1 + 3), as calibrated scores ask"


def test_the_card_shows_what_was_done(calibrated):
    card = calibrated.mapped[1]
    assert card["calibration"] == calibrated.cv["calibration"]
    assert set(card["calibration"]) == {"method", "asked", "chosen_by", "rows", "log_loss", "brier", "ece", "map"}
    assert "calibration" not in calibrated.plain[1]


def test_another_map_is_another_version(calibrated):
    card = calibrated.mapped[1]
    about = card["calibration"]
    other = card | {"calibration": about | {"map": {"method": "sigmoid", "slope": 1.5, "intercept": 0.0}}}
    assert model_version(other, 0.5) != model_version(card, 0.5)
    assert model_version(card | {"calibration": about | {"rows": 1}}, 0.5) == model_version(card, 0.5)


def test_training_and_calibrating_again_gives_the_same_bytes(calibrated):
    at = calibrated
    before = (at.folder / "cv.json").read_bytes(), at.files[1].read_bytes()
    validate(at, "mapped")
    train_model(at, "mapped", cv=[at.folder / "cv.json"])
    assert ((at.folder / "cv.json").read_bytes(), at.files[1].read_bytes()) == before


def test_in_blocks_the_map_is_the_same_but_for_rounding(tmp_path):
    found = []
    for rows in (10_000, 0):
        at = lay_out(
            tmp_path / str(rows),
            loans(600),
            models={"line": LOGISTIC | {"calibration": "sigmoid"}},
            resources={"in_memory_rows": rows},
        )
        found.append(validate(at, "line")["calibration"])
    maps = [of["map"] for of in found]
    assert maps[0].pop("method") == maps[1].pop("method") == "sigmoid"
    assert maps[0] == {key: pytest.approx(value, rel=1e-3) for key, value in maps[1].items()}


def test_test_rows_shape_no_map(tmp_path):
    rows, models = loans(200), {"tree": TREE | {"calibration": "isotonic"}}
    at = lay_out(tmp_path / "one", rows, models=models)
    held_out = rows_by_id(at, "test")
    changed = [r | {"x": "1e6", "z": str(1 - int(r["z"]))} if r["id"] in held_out else r for r in rows]
    other = lay_out(tmp_path / "other", changed, models=models)
    assert validate(other) == validate(at)


def test_metrics_of_a_fold_are_of_maps_that_did_not_see_it(tmp_path):
    at = lay_out(tmp_path, loans(), models={"tree": TREE | {"calibration": "isotonic"}}, cv_folds=3)
    found, (target, scores), fold = validate(at), held_out_scores(at), fold_of(at)
    for k in range(3):
        inside = fold == k
        mapped = apply_map(fit_isotonic(target[~inside], scores[~inside]), scores[inside])
        assert found["folds"][k]["log_loss"] == pytest.approx(log_loss(target[inside], mapped))


def test_a_map_that_is_not_there_is_said(tmp_path):
    at = lay_out(tmp_path, loans(200), models={"line": LOGISTIC | {"calibration": "auto"}, "tree": TREE})
    validate(at, "tree")
    for cv in ([], [at.folder / "cv.json"]):
        with pytest.raises(UserError, match=r"models\.line\.calibration: .* has no map; run the step cross_validate"):
            train_model(at, "line", cv=cv)


def test_nothing_to_map_leaves_the_pipeline_as_it_is(calibrated):
    pipeline = calibrated.plain[0]
    assert with_map(pipeline, {"method": "none"}) is pipeline
    assert uncalibrated(pipeline) is pipeline


def test_a_calibrated_model_can_not_be_fitted_again(calibrated):
    pipeline = pickle.loads(pickle.dumps(calibrated.mapped[0]))  # noqa: S301
    rows = rows_on(calibrated, "train")
    assert isinstance(pipeline["model"], Calibrated)
    with pytest.raises(TypeError, match="a calibrated model can't be fitted again"):
        pipeline.fit(rows[[*FEATURES, *SURE]], rows["z"])
    bare = uncalibrated(pipeline)
    frame = rows[[*FEATURES, *SURE]]
    np.testing.assert_array_equal(predict_default(bare, frame), predict_default(calibrated.plain[0], frame))
