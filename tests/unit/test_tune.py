"""Scoring and ranking candidates: as cross-validation does it, each once, and again only where something changed."""

import csv
import itertools
import logging

import numpy as np
import pytest
from test_cross_validate import validate
from test_train import TREE, lay_out, loans, rows_by_id, train_model

from scripts import gather, tune
from scripts.shared.config import Model
from scripts.shared.errors import UserError
from scripts.shared.files import read_json, sha256_file
from scripts.shared.search import UNTUNED, Candidate, candidates, find_rounds

SPACE = {"max_depth": [1, 2, 3, 5], "min_samples_leaf": {"low": 2, "high": 40, "integer": True}}


def search(folder, rows=None, **options):
    """Lay out rows and a tree that is tuned."""
    options = {"n": 3, "folds": 3, "space": SPACE} | options
    return lay_out(folder, rows or loans(240), models={"tree": TREE | {"tune": options}}, cv_folds=3)


def score(at, code="c0de", only=None):
    """Run all jobs of a search, or those of some names; return the files of each round."""
    files, previous = [], []
    for each in find_rounds("tree", at.settings.models["tree"], at.settings.seed):
        paths = [at.folder / "trials" / str(each.number) / f"{name}.json" for name in only or each.names]
        tune.main(at.parts, at.membership, paths, previous, "tree", each.number, at.config, code)
        files.append(paths)
        previous = paths
    return files


def rank(at, files):
    """Gather; return what was found, and the table's rows."""
    found, table = at.folder / "tuned.json", at.folder / "trials.csv"
    gather.main([path for paths in files for path in paths], found, table, "tree", at.config)
    with table.open(newline="") as file:
        return read_json(found), list(csv.DictReader(file))


@pytest.fixture
def fits(monkeypatch):
    """Count the candidates that are scored."""
    scored = []
    real = tune.score_candidate

    def counted(name, row, candidate, *rest):
        scored.append(candidate.id)
        return real(name, row, candidate, *rest)

    monkeypatch.setattr(tune, "score_candidate", counted)
    return scored


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    at = search(tmp_path_factory.mktemp("tune"))
    (at.files,) = score(at)
    return at


def test_a_candidate_scores_what_cross_validation_says(scored):
    trial = read_json(scored.folder / "trials" / "1" / f"{UNTUNED}.json")
    expected = validate(scored)
    assert trial["folds"] == expected["folds"]
    assert trial["parameters"] == {"max_depth": 4}
    assert trial["share"] == 1.0


def test_the_table_has_every_trial_and_the_best_first(scored):
    found, rows = rank(scored, [scored.files])
    everyone = {c.id: c.parameters for c in candidates(scored.settings.models["tree"], scored.settings.seed)}
    assert {row["candidate"] for row in rows} == everyone.keys()
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"]
    means = [float(row["mean"]) for row in rows]
    assert means == sorted(means, reverse=True)
    for row in rows:
        scores = [float(row[f"fold_{k}"]) for k in (1, 2, 3)]
        assert float(row["mean"]) == pytest.approx(np.mean(scores))
        assert float(row["sd"]) == pytest.approx(np.std(scores, ddof=1))
        assert row["max_depth"] == str(everyone[row["candidate"]]["max_depth"])
    untuned = next(row for row in rows if row["candidate"] == UNTUNED)
    assert untuned["min_samples_leaf"] == ""
    assert found["candidate"] == rows[0]["candidate"]
    assert found["parameters"] == everyone[found["candidate"]]
    assert (found["mean"], found["untuned_mean"]) == (means[0], float(untuned["mean"]))
    assert found["trials_sha256"] == sha256_file(scored.folder / "trials.csv")


def test_the_model_is_trained_with_what_was_found_and_its_card_says_so(scored):
    found, _ = rank(scored, [scored.files])
    card = read_json(train_model(scored, tuned=[scored.folder / "tuned.json"])[1])
    assert card["tuned"] == found
    assert card["model"]["params"] == {"max_depth": 4} | found["parameters"]
    assert card["model"]["tune"] is None


def test_what_was_scored_is_not_scored_again(tmp_path, fits):
    at = search(tmp_path)
    (files,) = score(at)
    first = {path: path.read_bytes() for path in files}
    fits.clear()
    score(at)
    assert fits == []
    files[2].unlink()
    score(at)
    assert fits == [files[2].stem]
    assert {path: path.read_bytes() for path in files} == first


def test_a_larger_search_scores_only_what_is_new(tmp_path, fits):
    (before,) = score(search(tmp_path, n=4))
    fits.clear()
    (after,) = score(search(tmp_path, n=6))
    assert fits == [path.stem for path in after if path not in before]
    assert len(fits) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"code": "other"},
        {"seed": 5},
        {"folds": 2},
        {"rows": loans(240, seed=4)},
        {"rows": loans(240)[:-9]},
        {"features": {"ratio": "x / (y + 1)"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_changes_a_score_has_it_made_again(tmp_path, fits, change):
    only = [UNTUNED]  # another seed draws other candidates, which are new anyway
    score(search(tmp_path), only=only)
    fits.clear()
    options = {"n": 3, "folds": change.get("folds", 3), "space": SPACE}
    sections = {key: value for key, value in change.items() if key in {"seed", "features"}}
    at = lay_out(
        tmp_path, change.get("rows", loans(240)), models={"tree": TREE | {"tune": options}}, cv_folds=3, **sections
    )
    score(at, change.get("code", "c0de"), only)
    assert fits == only


def test_the_metric_and_the_models_rank_change_no_score(tmp_path, fits):
    score(search(tmp_path))
    fits.clear()
    models = {"tree": TREE | {"complexity": 9, "tune": {"n": 3, "folds": 3, "space": SPACE, "metric": "brier"}}}
    at = lay_out(tmp_path, loans(240), models=models, cv_folds=3)
    files = score(at)
    assert fits == []
    _, rows = rank(at, files)
    means = [float(row["mean"]) for row in rows]
    assert means == sorted(means)


def test_in_another_space_the_row_is_told_by_its_parameters_there(tmp_path, fits):
    score(search(tmp_path))
    fits.clear()
    at = search(tmp_path, space={"criterion": ["gini", "entropy"], "numeric.knots": [3, 4]}, search="grid")
    (files,) = score(at, only=[UNTUNED])
    assert fits == []
    assert read_json(files[0])["parameters"] == {"numeric.knots": 6}


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"key": 1'])
def test_a_damaged_file_is_scored_again_and_told(tmp_path, fits, caplog, damage):
    caplog.set_level(logging.WARNING)
    at = search(tmp_path)
    (files,) = score(at)
    whole = files[1].read_bytes()
    files[1].write_text(damage)
    fits.clear()
    score(at)
    assert fits == [files[1].stem]
    assert files[1].read_bytes() == whole
    assert f"warning: {files[1]} can't be read; its candidate is scored again" in caplog.text


def test_test_rows_have_no_say(tmp_path):
    rows = loans(240)
    at = search(tmp_path / "one", rows)
    held_out = rows_by_id(at, "test")
    changed = [r | {"x": "1e6", "t": "NEVER", "z": str(1 - int(r["z"]))} if r["id"] in held_out else r for r in rows]
    other = search(tmp_path / "other", changed)
    assert rank(at, score(at)) == rank(other, score(other))


def test_files_cut_elsewhere_give_the_same_table(tmp_path):
    rows = loans(240)
    models = {"tree": TREE | {"tune": {"n": 3, "folds": 3, "space": SPACE}}}
    one, many = (
        lay_out(tmp_path / "a", rows, models=models),
        lay_out(tmp_path / "b", rows[:50], rows[50:], models=models),
    )
    tables = []
    for at in (one, many):
        rank(at, score(at))
        tables.append((at.folder / "trials.csv").read_bytes())
    assert tables[0] == tables[1]


# --- halving ------------------------------------------------------------------------------------------------------


def test_halving_keeps_the_best_of_each_round_and_the_row_itself(tmp_path):
    at = search(tmp_path, search="halving", n=8, eta=2)
    files = score(at)
    trials = [[read_json(path) for path in paths] for paths in files]
    assert [len(each) for each in trials] == [9, 5, 3]
    assert [each[0]["share"] for each in trials] == [0.25, 0.5, 1.0]

    def mean(trial):
        return np.mean([fold["roc_auc"] for fold in trial["folds"]])

    for before, after in itertools.pairwise(trials):
        went_on = {trial["candidate"] for trial in after}
        assert UNTUNED in went_on
        scores = {trial["candidate"]: mean(trial) for trial in before if trial["candidate"] != UNTUNED}
        worst_kept = min(scores[name] for name in went_on - {UNTUNED})
        assert all(scores[name] <= worst_kept for name in scores.keys() - went_on)
    found, rows = rank(at, files)
    assert len(rows) == 9
    assert [float(row["share"]) for row in rows] == [1.0] * 3 + [0.5] * 2 + [0.25] * 4
    assert found["mean"] >= found["untuned_mean"]
    assert all(fold["rows"] for trial in trials[0] for fold in trial["folds"])
    whole = [sum(fold["rows"] for fold in each[0]["folds"]) for each in trials]
    assert len(set(whole)) == 1, "all train rows are scored in every round"


def test_of_survivors_that_tie_the_earlier_go_on():
    everyone = [Candidate(name, {}) for name in (UNTUNED, "a", "b", "c")]
    row = Model(estimator="a.B", complexity=1, tune={"search": "halving", "n": 3, "space": {"C": [1, 2, 3]}})
    previous = [{"candidate": c.id, "share": 0.5, "folds": [{"roc_auc": 0.7}]} for c in reversed(everyone)]
    assert [c.id for c in tune.survivors(everyone, previous, row, 3)] == [UNTUNED, "a", "b"]
    assert tune.survivors(everyone, [], row, 4) == everyone


# --- mistakes -----------------------------------------------------------------------------------------------------


def test_values_that_do_not_go_together_are_named(tmp_path):
    at = search(tmp_path / "a", space={"criterion": ["ginny"]}, search="grid")
    with pytest.raises(UserError, match=r"models\.tree\.params: .*'criterion'.*'ginny'"):
        score(at)
    space = {"penalty": ["l1"]}
    row = {"estimator": "sklearn.linear_model.LogisticRegression", "complexity": 1}
    at = lay_out(
        tmp_path / "b", loans(), models={"tree": row | {"tune": {"search": "grid", "space": space, "folds": 3}}}
    )
    with pytest.raises(
        UserError, match=r'models\.tree\.tune\.space: the candidate \{"penalty":"l1"\} can\'t be fitted'
    ):
        score(at)
