"""What the train rows alone say of a model: folds by id, no leak between them, a threshold by cost."""

import numpy as np
import pytest
from test_metrics import auc_by_ranks, cost_at
from test_train import lay_out, loans, rows_by_id, rows_on

from scripts import cross_validate
from scripts.shared import membership
from scripts.shared.errors import UserError
from scripts.shared.files import read_json
from scripts.shared.hashing import folds
from scripts.shared.pipeline import build_pipeline

FEATURES = ["x", "y", "t"]


def validate(at, name="tree"):
    scores = at.folder / "cv.json"
    cross_validate.main(at.parts, at.membership, scores, name, [], at.config)
    return read_json(scores)


def fold_of(at):
    rows = membership.read_rows(at.parts, at.membership, "train", at.settings.contract())
    return folds(rows.keys, at.settings.cv_folds)


def held_out_scores(at, name="tree"):
    """Return the target and the score of each train row by a model that never saw it, with scikit-learn alone."""
    rows, fold = rows_on(at, "train"), fold_of(at)
    scores = np.empty(len(rows))
    for k in range(at.settings.cv_folds):
        pipeline = build_pipeline(name, at.settings.models[name], ["x", "y"], ["t"], at.settings.seed)
        pipeline.fit(rows[FEATURES][fold != k], rows["z"][fold != k])
        scores[fold == k] = pipeline.predict_proba(rows[FEATURES][fold == k])[:, 1]
    return rows["z"].to_numpy(), scores


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return lay_out(tmp_path_factory.mktemp("cv"), loans()[:150], loans()[150:], cv_folds=3)


def test_each_row_is_scored_by_a_model_that_never_saw_it(prepared):
    found = validate(prepared)
    target, scores = held_out_scores(prepared)
    fold = fold_of(prepared)
    assert found["model"] == "tree"
    assert [f["rows"] for f in found["folds"]] == np.bincount(fold).tolist()
    for k, of_fold in enumerate(found["folds"]):
        assert of_fold["roc_auc"] == pytest.approx(auc_by_ranks(target[fold == k], scores[fold == k]))
    assert found["mean"]["roc_auc"] == pytest.approx(np.mean([f["roc_auc"] for f in found["folds"]]))
    assert set(found["mean"]) == set(found["folds"][0])


def test_the_fixed_threshold_is_that_of_the_config(prepared):
    assert {f["threshold"] for f in validate(prepared)["folds"]} == {0.5}


def test_the_cost_gives_the_threshold_and_it_is_the_cheapest(tmp_path):
    threshold = {"method": "cost", "cost": {"missed_default": 3, "refused_good": 1}}
    at = lay_out(tmp_path, loans(), cv_folds=3, threshold=threshold)
    found = validate(at)
    target, scores = held_out_scores(at)
    costs = [cost_at(cut, target, scores, 3, 1) for cut in [*np.unique(scores), 2]]
    assert found["cost_per_row"] == pytest.approx(min(costs) / len(target))
    assert cost_at(found["cheapest_threshold"], target, scores, 3, 1) == min(costs)
    assert {f["threshold"] for f in found["folds"]} == {found["cheapest_threshold"]}
    false = [3 * f["false_negatives"] + f["false_positives"] for f in found["folds"]]
    assert sum(false) == min(costs)


def test_test_rows_have_no_say(tmp_path):
    rows = loans(200)
    at = lay_out(tmp_path / "one", rows)
    held_out = rows_by_id(at, "test")
    changed = [r | {"x": "1e6", "t": "NEVER", "z": str(1 - int(r["z"]))} if r["id"] in held_out else r for r in rows]
    other = lay_out(tmp_path / "other", changed)
    assert validate(other) == validate(at)


def test_appended_rows_leave_the_folds_of_the_others(tmp_path):
    rows = loans(300)
    one, other = lay_out(tmp_path / "one", rows[:200]), lay_out(tmp_path / "other", rows[200:], rows[:200])
    before, after = (dict(zip(rows_on(at, "train")["id"], fold_of(at), strict=True)) for at in (one, other))
    assert {name: after[name] for name in before} == before


def test_rows_of_one_group_and_rows_of_one_content_share_a_fold(tmp_path):
    rows = loans(200)
    columns = {"target": {"column": "z", "positive": "1"}, "numeric": ["x", "y"], "categorical": ["t"]}
    twins = lay_out(tmp_path / "content", rows, rows, columns=columns)
    found = rows_on(twins, "train").assign(fold=fold_of(twins)).groupby(FEATURES, dropna=False)["fold"].nunique()
    assert (found == 1).all()

    grouped = [row | {"id": f"g{n % 60}"} for n, row in enumerate(rows)]
    by_group = lay_out(tmp_path / "group", grouped, columns=columns | {"group": "id"}, split={"method": "group"})
    found = rows_on(by_group, "train").assign(fold=fold_of(by_group)).groupby("id")["fold"].nunique()
    assert (found == 1).all()
    assert len(found) < 60


@pytest.mark.parametrize("only_in", [0, 1, 2])
@pytest.mark.parametrize("rare", ["0", "1"])
def test_a_fold_without_one_of_the_outcomes_is_refused(tmp_path, only_in, rare):
    rows = loans(200)
    at = lay_out(tmp_path / "as it is", rows, cv_folds=3)
    fold = dict(zip(rows_on(at, "train")["id"], fold_of(at), strict=True))
    common = str(1 - int(rare))
    one_sided = [row if fold.get(row["id"], only_in) == only_in else row | {"z": common} for row in rows]
    other = lay_out(tmp_path / "one-sided", one_sided, cv_folds=3)
    with pytest.raises(UserError, match=r"cv_folds: fold [12] of 3 lacks one of the outcomes; use fewer folds"):
        validate(other)
    assert not (other.folder / "cv.json").exists()


def test_validating_again_gives_the_same_bytes(prepared):
    validate(prepared, "line")
    first = (prepared.folder / "cv.json").read_bytes()
    validate(prepared, "line")
    assert (prepared.folder / "cv.json").read_bytes() == first
