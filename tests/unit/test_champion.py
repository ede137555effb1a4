"""Winner against live model: what makes them comparable, what follows from the gain, and equal scores on equal rows."""

import json
import re

import numpy as np
import pytest
from builders import config, config_dict, contract

from scripts import preprocess, split, train
from scripts.score import score_test_rows
from scripts.shared.champion import Gain, decide, metrics_compared, split_note, why_not_comparable
from scripts.shared.config import Rejects, Split
from scripts.shared.differences import find_champion
from scripts.shared.files import read_json, sha256_file, write_json
from scripts.shared.models import load_model

CLEANING = {
    "case": "upper",
    "aliases": {"t": {"AA": "A"}},
    "bounds": {"x": {"max": 100}},
    "checks": {"c": {"require": "x > y - 100", "column": "x"}},
}
FEATURES = {"double": "2 * x", "unused": "y * y"}


def made(columns=None, file_format=None, cleaning=None, features=None):
    return contract(
        file_format=file_format,
        columns=columns,
        cleaning=CLEANING | (cleaning or {}),
        features=FEATURES if features is None else features,
    )


def card(numeric=("x", "double"), categorical=("t",), of=None):
    features = {"numeric": list(numeric), "categorical": list(categorical)}
    return {"contract": (of or made()).model_dump(mode="json"), "features": features}


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ({}, None),
        ({"columns": {"numeric": ["x", "y", "new"]}}, None),
        ({"features": FEATURES | {"unused": "y + 1"}}, None),
        ({"features": {"double": "2 * x", "more": "x + y"}}, None),
        ({"cleaning": {"bounds": {"x": {"max": 100}, "y": {"max": 5}}}}, None),
        ({"cleaning": {"checks": {"renamed": CLEANING["checks"]["c"]}}}, None),
        ({"cleaning": {"checks": CLEANING["checks"] | {"d": {"require": "y > 0", "column": "y"}}}}, None),
        ({"file_format": {"delimiter": ";"}}, None),
        ({"columns": {"id": None}}, None),
        ({"columns": {"target": {"column": "z", "positive": "1.0"}}}, None),
        ({"features": {"unused": "y * y"}}, "it uses double, which the rows no longer have in that form"),
        ({"columns": {"categorical": [], "observed": ["t"]}, "cleaning": {"aliases": {}}}, "it uses t, which"),
        ({"features": {"double": "3 * x"}}, "double: derived by another expression when it was trained"),
        ({"columns": {"target": {"column": "z", "positive": "2"}}}, "it was trained for another target"),
        ({"columns": {"target": {"column": "w", "positive": "1"}}}, "it was trained for another target"),
        ({"cleaning": {"bounds": {"x": {"max": 90}}}}, "x: other bounds when it was trained"),
        ({"cleaning": {"bounds": {"x": {"max": 100, "otherwise": "missing"}}}}, "x: other bounds"),
        ({"cleaning": {"case": "lower"}}, "t: in another case when it was trained"),
        ({"cleaning": {"aliases": {}}}, "t: other aliases when it was trained"),
        ({"file_format": {"missing_values": ["", "-"]}}, "other texts meant missing when it was trained"),
        ({"cleaning": {"checks": {}}}, r"other checks between columns .* \(cleaning\.checks: x > y - 100\)"),
    ],
)  # fmt: skip
def test_a_model_is_comparable_where_the_rows_give_it_what_it_was_trained_on(now, words):
    found = why_not_comparable(card(), made(**now))
    assert found is None if words is None else re.match(words, found or "")


def test_a_base_column_of_a_derived_feature_counts_as_used():
    now = made(cleaning={"bounds": {"x": {"max": 90}}})
    assert why_not_comparable(card(numeric=["double"], categorical=[]), now).startswith("x: other bounds")
    assert why_not_comparable(card(numeric=["unused"], categorical=[]), now) is None


def test_a_given_column_that_is_derived_now_is_another_one():
    now = made(columns={"numeric": ["x"]}, features={"double": "2 * x", "y": "x + 1"}, cleaning={"checks": {}})
    then = made(cleaning={"checks": {}})
    assert why_not_comparable(card(numeric=["y"], of=then), now).startswith("y: derived by another expression")


@pytest.mark.parametrize(
    ("then", "now", "seen"),
    [
        ({}, {}, False),
        ({}, {"duplicate_ids": "reject"}, False),
        ({}, {"key": "another"}, True),
        ({}, {"test_share": 0.3}, True),
        ({}, {"method": "time", "test_from": "2026-01-01"}, True),
        (
            {"method": "time", "test_from": "2026-01-01"},
            {"method": "time", "test_from": "2026-01-01", "key": "b"},
            False,
        ),
        ({"method": "time", "test_from": "2026-01-01"}, {"method": "time", "test_from": "2025-01-01"}, True),
    ],
)
def test_another_split_is_told(then, now, seen):
    old = card() | {"split": Split(**then).model_dump(mode="json")}
    note = split_note(old, made(), Split(**now))
    assert (note is not None) == seen
    if seen:
        assert note == (
            "its rows were split otherwise, so it may have been trained on some of these test rows, which flatters it"
        )


@pytest.mark.parametrize(
    ("now", "seen"),
    [
        ({}, False),
        ({"columns": {"id": None, "numeric": ["y", "x"]}}, True),
        ({"columns": {"id": None, "numeric": ["x", "y", "new"]}}, True),
        ({"cleaning": {"bounds": {"x": {"max": 100}, "y": {"max": 5}}}}, True),
    ],
)
def test_without_an_id_rows_are_known_by_their_content_so_whatever_changes_that_moves_them(now, seen):
    plain = {"columns": {"id": None}}
    old = card(of=made(**plain)) | {"split": Split().model_dump(mode="json")}
    assert (split_note(old, made(**(plain | now)), Split()) is not None) == seen


def test_another_id_or_a_card_that_says_nothing_is_told():
    old = card() | {"split": Split().model_dump(mode="json")}
    assert split_note(old, made(columns={"id": None}), Split()).startswith("its rows were split otherwise")
    assert split_note(card(), made(), Split()).startswith("its card doesn't say how its rows were split")


# --- the decision --------------------------------------------------------------------------------------------------

GAIN = Gain("roc_auc", 0.01, 0.002, 0.02)


@pytest.mark.parametrize(
    ("live", "gain", "why_not", "min_gain", "approval", "decision", "words"),
    [
        (None, None, None, None, False, "publish", "nothing is live yet"),
        (None, None, None, 0.5, False, "publish", "nothing is live yet"),
        (None, None, None, 0.5, True, "stage", "nothing is live yet; a person must make it live (deploy.approval)"),
        ("v2", None, "itself", 0.5, True, "publish", "version v2 is live already"),
        ("v1", GAIN, None, None, False, "publish", "interval +0.0020 to +0.0200; no gain was asked for"),
        ("v1", None, "old", None, False, "publish", "not compared: old"),
        ("v1", None, "old", None, True, "stage", "not compared: old; a person must"),
        ("v1", GAIN, None, 0.001, False, "publish", "above select.champion.min_gain 0.001"),
        ("v1", GAIN, None, 0.001, True, "stage", "min_gain 0.001; a person must make it live"),
        ("v1", GAIN, None, 0.002, False, "keep", "not above select.champion.min_gain 0.002; version v1 stays live"),
        ("v1", GAIN, None, 0.002, True, "keep", "not above"),
        ("v1", GAIN, None, -0.01, False, "publish", "above select.champion.min_gain -0.01"),
        ("v1", None, "old", 0, False, "keep", "the live version v1 can't be compared: old; it stays live"),
        ("v1", None, "old", 0, True, "stage", "can't be compared: old; a person must make it live"),
    ],
)
def test_the_decision_and_why(live, gain, why_not, min_gain, approval, decision, words):
    found, why = decide("v2", live, gain, why_not, min_gain, approval)
    assert found == decision
    assert words in why


def test_a_gain_is_better_also_where_lower_is():
    up = {"metric": "roc_auc", "value": 0.1, "low": 0.05, "high": 0.2}
    assert Gain.of(up) == Gain("roc_auc", 0.1, 0.05, 0.2)
    assert Gain.of(up | {"metric": "brier"}) == Gain("brier", -0.1, -0.2, -0.05)
    assert str(Gain.of(up)) == "the gain in roc_auc is +0.1000, 95 % interval +0.0500 to +0.2000"


def test_the_metric_that_decides_is_always_compared():
    assert metrics_compared("brier")[0] == "brier"
    assert sorted(metrics_compared("brier")) == sorted(metrics_compared("roc_auc"))


# --- a live model scores the rows of today -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def at(tmp_path_factory):
    """A version as the registry keeps it, and rows of a later contract: another feature, and one it didn't use gone."""
    folder = tmp_path_factory.mktemp("champion")
    rows = [f"i{n},{n % 37},{n * 7 % 11},{'AB'[n % 2]},{int(n % 37 > 20)}" for n in range(600)]
    (folder / "raw.csv").write_text("\n".join(["id,x,y,t,z", *rows, ""]))
    then = config(
        **config_dict(
            features={"double": "2 * x", "unused": "y * y"},
            models={
                "dt": {
                    "estimator": "sklearn.tree.DecisionTreeClassifier",
                    "complexity": 1,
                    "leave_out": ["y", "unused"],
                }
            },
        )
    )
    now = config(
        **config_dict(
            columns={"id": "id", "target": {"column": "z", "positive": "1"}, "numeric": ["x"], "categorical": ["t"]},
            features={"half": "x / 2", "double": "2 * x"},
        )
    )
    for name, settings in (("then", then), ("now", now)):
        part, member = folder / f"{name}.parquet", folder / f"{name}.membership"
        preprocess.preprocess(folder / "raw.csv", part, folder / "rejects", settings.contract(), Rejects())
        split.split(part, [], member, settings.columns, settings.split)
    write_json(folder / "config.json", then.model_dump(mode="json"))
    version = folder / "v1"
    version.mkdir()
    train.main(
        [folder / "then.parquet"],
        [folder / "then.membership"],
        version / "model.joblib",
        version / "model.json",
        "dt",
        [],
        [],
        folder / "config.json",
        "code",
    )
    write_json(version / "metrics.json", {"threshold": 0.4})
    return folder, now


def target_of(folder):
    pipeline, about = load_model(folder / "v1" / "model.joblib", folder / "v1" / "model.json")
    return score_test_rows([folder / "then.parquet"], [folder / "then.membership"], pipeline, about)


def test_the_live_model_gives_today_s_rows_the_scores_that_it_gave_its_own(at):
    folder, now = at
    target, scores = target_of(folder)
    found = find_champion(folder / "v1", [folder / "now.parquet"], [folder / "now.membership"], target, now)
    assert found.why_not is None
    assert found.note is None, "its card says that its rows were split as these"
    assert np.array_equal(found.scores, scores)
    assert (found.version, found.model, found.threshold) == ("v1", "dt", 0.4)
    assert found.values["roc_auc"] == 1.0


def test_a_live_model_that_was_changed_is_not_loaded(at, tmp_path):
    folder, now = at
    version = tmp_path / "v1"
    version.mkdir()
    for name in ("model.json", "metrics.json"):
        (version / name).write_bytes((folder / "v1" / name).read_bytes())
    (version / "model.joblib").write_bytes(b"other")
    found = find_champion(version, [folder / "now.parquet"], [folder / "now.membership"], target_of(folder)[0], now)
    assert found.scores is None
    assert "was changed or damaged after training and is not loaded" in found.why_not
    card_now = json.loads((version / "model.json").read_text())
    write_json(version / "model.json", card_now | {"sha256": sha256_file(version / "model.joblib")})
    found = find_champion(version, [folder / "now.parquet"], [folder / "now.membership"], target_of(folder)[0], now)
    assert found.why_not.startswith("it can't be loaded and asked here (")


def test_a_card_of_before_says_nothing_of_its_split(at, tmp_path):
    folder, now = at
    version = tmp_path / "v1"
    version.mkdir()
    for name in ("model.joblib", "model.json", "metrics.json"):
        (version / name).write_bytes((folder / "v1" / name).read_bytes())
    old = read_json(version / "model.json")
    assert old.pop("split")["method"] == "hash"
    write_json(version / "model.json", old)
    found = find_champion(version, [folder / "now.parquet"], [folder / "now.membership"], target_of(folder)[0], now)
    assert found.scores is not None
    assert found.note.startswith("its card doesn't say how its rows were split")
