"""Groups of applicants side by side, against pandas; the column that no model sees."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from builders import block, contract, write, write_plan
from test_explain import COLUMNS, at, explained, with_sex  # noqa: F401 - a fixture
from test_train import lay_out, loans, rows_on, train_model

from scripts.analysis import fairness
from scripts.analysis.intervals import ratio_of_shares
from scripts.predict import Scorer
from scripts.shared.cleaning import Cleaner
from scripts.shared.config import Group, Predict, Rejects
from scripts.shared.membership import digest
from scripts.shared.models import load_model


@pytest.mark.parametrize("name", ["line", "tree", "forest"])
def test_groups_agree_with_pandas(at, name):  # noqa: F811
    found = at.found[name][2]
    pipeline, card = load_model(*at.files[name])
    rows = rows_on(at, "test")
    rows["score"] = pipeline.predict_proba(rows[card["features"]["numeric"] + card["features"]["categorical"]])[:, 1]
    rows["refused"] = rows["score"] >= 0.5
    rows["sex"] = rows["s"].astype(object).where(rows["s"].notna(), "missing")
    cut = pd.cut(rows["x"], [-np.inf, 40, 60, np.inf], right=False, labels=["below 40", "40 to below 60", "from 60"])
    rows["age"] = cut.astype(object).where(cut.notna(), "missing")
    for by in ("age", "sex"):
        groups = {one["group"]: one for one in found["groups"][by]["groups"]}
        assert set(groups) == set(rows[by])
        for group, own in rows.groupby(by):
            one = groups[group]
            assert (one["rows"], one["too_small"]) == (len(own), len(own) < 30)
            if one["too_small"]:  # nothing but its rows: figures would be about some applicants
                estimates = [value for value in one.values() if isinstance(value, dict)]
                assert estimates and all(set(each.values()) == {None} for each in estimates)
                assert one["defaults"] is None and one["mean_score"] is None
                continue
            assert one["defaults"] == own["z"].sum()
            assert one["approval"]["value"] == pytest.approx(1 - own["refused"].mean())
            assert one["recall"]["value"] == pytest.approx(own["refused"][own["z"] == 1].mean())
            assert one["false_positive_rate"]["value"] == pytest.approx(own["refused"][own["z"] == 0].mean())
            assert one["observed_to_expected"]["value"] == pytest.approx(own["z"].mean() / own["score"].mean())
        sizes = rows[by].value_counts()
        approval = (1 - rows.groupby(by)["refused"].mean()).drop(sizes.index[sizes < 30])
        assert found["groups"][by]["highest_approval"] == approval.idxmax()
        assert found["groups"][by]["reference"] == rows[by].value_counts().idxmax()
        for group, value in approval.items():
            assert groups[group]["approval_ratio"]["value"] == pytest.approx(value / approval.max())
            assert groups[group]["below_four_fifths"] == (value / approval.max() < 0.8)


def test_without_groups_it_says_why():
    assert "fairness.groups" in fairness.compare_groups([], None, "z", {}, 0.5)["not_run"]


def test_a_ratio_has_katzs_interval():
    found = ratio_of_shares(30, 100, 60, 120)
    half = 1.959964 * np.sqrt(1 / 30 - 1 / 100 + 1 / 60 - 1 / 120)
    assert found["value"] == pytest.approx(0.6)
    assert [found["low"], found["high"]] == pytest.approx([0.6 * np.exp(-half), 0.6 * np.exp(half)])
    sure = ratio_of_shares(17, 17, 100, 120)
    assert sure["low"] < 1.2 * 0.95 < 1.2 < sure["high"]  # all of 17 is no certainty
    assert ratio_of_shares(0, 10, 0, 10)["value"] is None


def test_many_groups_are_taken_together_and_a_group_named_missing_is_another():
    names = [f"g{n:03}" for n in range(40)] * 3 + ["missing", None]
    groups = fairness.Groups(Group(column="s"))
    groups.update(pa.table({"s": pa.array(names)}))
    masks = groups.masks()
    assert len(masks) == fairness.MOST_GROUPS + 2
    assert sum(mask.sum() for mask in masks.values()) == len(names)
    assert list(masks)[-2:] == ["all others", "missing"]


# --- columns.observed ---


def test_an_observed_column_is_cleaned_like_a_category_and_not_asked_of_applications():
    about = contract(columns={"observed": ["s"]}, cleaning={"aliases": {"s": {"FEMALE": "F"}}})
    rows = {"id": ["a", "b", "c"], "x": ["1"] * 3, "y": ["2"] * 3, "t": ["u"] * 3, "z": ["0"] * 3}
    training = Cleaner(about, training=True)
    clean = training.clean(block(**rows, s=[" female", "f", "NA"]))
    assert clean.table.column("s").to_pylist() == ["F", "F", None]
    assert "s" in training.text_columns()
    serving = Cleaner(about, training=False)
    assert "s" not in serving.text_columns() and "s" not in serving.schema().names
    assert serving.clean(block(**rows)).table.num_rows == 3


def test_no_model_sees_it_and_neither_side_nor_digest_changes(at, tmp_path):  # noqa: F811
    rows = with_sex(loans(3000))
    bare = [{key: value for key, value in row.items() if key != "s"} for row in rows]
    without = {key: value for key, value in COLUMNS.items() if key != "observed"}
    settings = at.settings.model_dump()
    other = lay_out(
        tmp_path,
        bare[:1300],
        bare[1300:],
        columns=without,
        features=settings["features"],
        models={name: settings["models"][name] for name in ("line", "tree")},
    )
    for side in ("train", "test"):
        assert list(rows_on(other, side)["id"]) == list(rows_on(at, side)["id"])
        sums = [digest(one.parts, one.membership, side, one.settings.contract()) for one in (at, other)]
        assert sums[0] == sums[1]
    for name in ("line", "tree"):
        pipeline, card = load_model(*at.files[name])
        plain, _ = load_model(*train_model(other, name))
        assert "s" not in card["features"]["numeric"] + card["features"]["categorical"]
        columns = pipeline["columns"].get_feature_names_out().tolist()
        assert columns == plain["columns"].get_feature_names_out().tolist()
        features = rows_on(at, "test")[card["features"]["numeric"] + card["features"]["categorical"]]
        assert (pipeline.predict_proba(features) == plain.predict_proba(features)).all()


def test_applications_are_scored_without_it(at, tmp_path):  # noqa: F811
    pipeline, card = load_model(*at.files["line"])
    file = write(tmp_path / "new.csv", "id,x,y,t\n1,50,2,rent\n2,10,1,own\n")
    write_plan(tmp_path, file)
    out = [tmp_path / name for name in ("p.csv", "r.csv")]
    counts = Scorer(pipeline, card, 0.5, "v").score_file(file, *out, Predict(), Rejects())
    assert counts["rows_predicted"] == 2
    assert len(out[0].read_text().splitlines()) == 3
