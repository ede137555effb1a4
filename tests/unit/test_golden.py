"""Golden rows: made up, the same however rows are held, and exact."""

import json

import numpy as np
import pytest
from test_train import LOGISTIC, TREE, lay_out, loans, rows_on, train_model

from scripts.shared.errors import UserError
from scripts.shared.files import read_json, write_json
from scripts.shared.golden import ROWS, golden_rows, largest_deviation, make_golden, read_golden, to_table, unknown
from scripts.shared.models import load_model
from scripts.shared.scoring import fast_scorer

NUMBERS = {"x": np.arange(101.0), "y": np.array([np.nan, 7.0, 7.0]), "z": np.array([np.nan])}
CATEGORIES = {"t": ["A", "B"], "none": []}


def golden_of(at, name):
    model, card = train_model(at, name)
    pipeline, about = load_model(model, card)
    features = about["features"]
    return fast_scorer(pipeline, features["numeric"], features["categorical"]), about


def test_rows_are_quantiles_and_categories_by_position():
    rows = golden_rows(NUMBERS, CATEGORIES)
    assert rows == golden_rows(NUMBERS, CATEGORIES)
    assert len(rows) == ROWS
    assert [row["x"] for row in rows[:8]] == pytest.approx([5, 20, 35, 50, 65, 80, 95, 5])
    assert {row["y"] for row in rows[:-2]} == {7.0}
    assert {row["z"] for row in rows} == {None}
    assert [row["t"] for row in rows[:3]] == ["A", "B", "A"]


def test_a_missing_value_and_an_unknown_category_are_among_them():
    rows = golden_rows(NUMBERS, CATEGORIES)
    assert (rows[-2]["x"], rows[-2]["y"]) == (None, 7.0)
    assert (rows[-1]["t"], rows[-1]["none"]) == ("??", "?")
    assert unknown(["?", "??"]) == "???"


@pytest.mark.parametrize("name", ["tree", "line"])
def test_they_are_the_same_in_memory_and_in_blocks_and_over_any_files(tmp_path, name):
    rows = loans(300)
    layouts = {"one": ([rows], 10_000), "three": ([rows[:90], rows[90:91], rows[91:]], 10_000), "blocks": ([rows], 0)}
    found = {}
    for folder, (files, in_memory_rows) in layouts.items():
        at = lay_out(tmp_path / folder, *files, resources={"in_memory_rows": in_memory_rows})
        found[folder] = golden_of(at, name)[1]["golden"]
    assert found["one"] == found["three"]
    assert found["one"]["rows"] == found["blocks"]["rows"]
    assert found["one"]["scores"] == pytest.approx(found["blocks"]["scores"], abs=1e-3)


def test_they_are_no_train_row(tmp_path):
    at = lay_out(tmp_path, loans())
    rows = rows_on(at, "train")
    theirs = {(row.x, row.y, row.t) for row in rows.itertuples()}
    made = golden_of(at, "tree")[1]["golden"]["rows"]
    assert not theirs & {(row["x"], row["y"], row["t"]) for row in made}


@pytest.mark.parametrize("name", ["tree", "line"])
def test_scores_read_back_from_json_are_equal_and_a_last_bit_is_seen(tmp_path, name):
    scorer, card = golden_of(lay_out(tmp_path, loans()), name)
    golden = json.loads(json.dumps(card["golden"]))
    assert len(golden["scores"]) == len(golden["rows"]) == ROWS
    assert len(set(golden["scores"])) > 3
    assert largest_deviation(scorer, golden) == 0
    golden["scores"][4] = float(np.nextafter(golden["scores"][4], 1))
    assert 0 < largest_deviation(scorer, golden) < 1e-15


def test_no_number_is_the_largest_deviation():
    class Broken:
        def score(self, table):
            return np.full(table.num_rows, np.nan)

    golden = {"features": {"numeric": ["x"], "categorical": []}, "rows": [{"x": 1.0}], "scores": [0.5]}
    assert largest_deviation(Broken(), golden) == np.inf


@pytest.mark.parametrize(
    "row", [LOGISTIC | {"numeric": {"impute": False}}, TREE | {"numeric": {"impute": False}}], ids=["line", "tree"]
)
def test_a_model_that_takes_no_missing_numbers_has_rows_without(tmp_path, row):
    whole = [r | {"x": r["x"] or "1", "y": "2" if r["y"] == "NA" else r["y"]} for r in loans()]
    _, card = golden_of(lay_out(tmp_path, whole, models={"m": row}), "m")
    golden = card["golden"]
    line = row["estimator"].endswith("LogisticRegression")
    assert len(golden["rows"]) == len(golden["scores"]) == ROWS - line
    assert any(r["x"] is None for r in golden["rows"]) != line


def test_a_failure_that_is_not_for_missing_numbers_is_not_hidden():
    class Broken:
        def score(self, table):
            raise ValueError("something else")

    with pytest.raises(ValueError, match="something else"):
        make_golden(Broken(), golden_rows(NUMBERS, {}), ["x"], [])


def test_rows_become_what_scorers_take():
    table = to_table([{"x": 1.0, "t": "A"}, {"x": None, "t": None}], ["x"], ["t"])
    assert table.to_pylist() == [{"x": 1.0, "t": "A"}, {"x": None, "t": None}]


def test_a_folder_without_golden_rows_has_none_and_a_damaged_file_is_named(tmp_path):
    assert read_golden(tmp_path) is None
    good = {"features": {"numeric": [], "categorical": []}, "rows": [{}], "scores": [0.5]}
    write_json(tmp_path / "golden.json", good)
    assert read_golden(tmp_path) == read_json(tmp_path / "golden.json") == good
    for wrong in (good | {"scores": []}, good | {"rows": [], "scores": []}, [], {}):
        write_json(tmp_path / "golden.json", wrong)
        with pytest.raises(UserError, match=r"golden\.json doesn't hold rows and as many scores"):
            read_golden(tmp_path)
