"""What the data looks like: against pandas and NumPy alone, in any partitioning, and nothing of one applicant in it."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from test_train import lay_out, loans, rows_on

from scripts import profile_data
from scripts.profile_data import furthest_segments, make_profile, shown_values
from scripts.shared.binning import OTHER, count_numbers, count_texts, count_values, inner_edges, ranks_of_tenths
from scripts.shared.config import load_config
from scripts.shared.files import read_json
from scripts.shared.proportions import default_rate
from scripts.shared.sides import membership_table


def spread(count=3000):
    """Return loans with a rare place and many equal numbers."""
    rows = loans(count)
    for n, row in enumerate(rows):
        row["y"] = "0" if n % 3 else row["y"]
        row["t"] = "attic" if n % 300 == 7 else row["t"]
    return rows


@pytest.fixture(scope="module")
def at(tmp_path_factory):
    rows = spread()
    found = lay_out(tmp_path_factory.mktemp("profiled"), rows[:1300], rows[1300:], features={"ratio": "x / (y + 1)"})
    profile_data.main(found.parts, found.membership, found.folder / "profile.json", found.config)
    found.profile = read_json(found.folder / "profile.json")
    found.rows = {side: rows_on(found, side) for side in ("train", "test")}
    return found


def own_psi(a, b):
    a, b = (np.array([n for n, m in zip(x, y, strict=True) if n + m]) + 0.5 for x, y in ((a, b), (b, a)))
    a, b = a / a.sum(), b / b.sum()
    return np.sum((a - b) * np.log(a / b))


def same_as_by_numpy(about, sides, name, target):
    """Compare what is said of a number with NumPy's."""
    values = {side: rows[name].dropna().to_numpy() for side, rows in sides.items()}
    tenths = np.quantile(values["train"], np.arange(1, 10) / 10, method="inverted_cdf")
    edges = np.unique(tenths[tenths < values["train"].max()])
    assert about["edges"] == edges.tolist()
    missing = {side: int(rows[name].isna().sum()) for side, rows in sides.items()}
    assert about["missing"] == missing
    both = np.zeros((2, len(edges) + 1), int)
    for side, rows in sides.items():
        bins = pd.cut(rows[name], [-np.inf, *edges, np.inf], labels=False)
        counts = np.array([(bins == n).sum() for n in range(len(edges) + 1)])
        bad = np.array([((bins == n) & (rows[target] == 1)).sum() for n in range(len(edges) + 1)])
        assert (about["counts"][side], about["defaults"][side]) == (counts.tolist(), bad.tolist())
        both += [counts, bad]
        assert about["mean"][side] == pytest.approx(values[side].mean(), rel=1e-12)
        assert about["sd"][side] == pytest.approx(values[side].std(ddof=1), rel=1e-12)
        for percent, value in about["quantiles"][side].items():
            enough = min(int(percent), 100 - int(percent)) * len(values[side]) >= 2000
            own = np.quantile(values[side], int(percent) / 100)
            assert value == (pytest.approx(own, rel=1e-12) if enough else None), percent
    assert [rate["rate"] for rate in about["default_rate"]] == pytest.approx((both[1] / both[0]).tolist())
    train, test = ([*about["counts"][side], missing[side]] for side in ("train", "test"))
    assert about["psi"]["psi"] == pytest.approx(own_psi(train, test))


@pytest.mark.parametrize("name", ["x", "y", "ratio"])
def test_a_number_is_described_as_numpy_does(at, name):
    same_as_by_numpy(at.profile["features"][name], at.rows, name, "z")
    assert at.profile["features"]["y"]["quantiles"]["train"]["99"] is not None
    assert at.profile["features"]["y"]["quantiles"]["test"]["99"] is None, "nearly one applicant's value"


def test_a_category_is_counted_by_side_and_outcome(at):
    about = at.profile["features"]["t"]
    assert set(about["values"]) == {"RENT", "OWN", "MORTGAGE", OTHER}
    assert about["values"][-1] == OTHER
    assert "ATTIC" not in json.dumps(at.profile), "ten rows are too few to be told apart"
    for side, rows in at.rows.items():
        named = rows["t"].map(lambda text: OTHER if text == "ATTIC" else text)
        assert about["counts"][side] == [int((named == value).sum()) for value in about["values"]]
        assert about["defaults"][side] == [int(rows["z"][named == value].sum()) for value in about["values"]]
        assert about["missing"][side] == int(named.isna().sum())
        assert about["missing_defaults"][side] == int(rows["z"][named.isna()].sum())
        assert at.profile["rows"][side] == len(rows)
        assert at.profile["defaults"][side] == rows["z"].sum()


def test_every_feature_has_its_role(at):
    roles = {name: about["role"] for name, about in at.profile["features"].items()}
    assert roles == {"x": "given", "y": "given", "ratio": "derived", "t": "given"}


def test_the_profile_does_not_depend_on_the_partitions_and_blocks(at, tmp_path, monkeypatch):
    rows = spread()
    other = lay_out(tmp_path, rows[:40], rows[40:2000], rows[2000:], features={"ratio": "x / (y + 1)"})
    profile_data.main(other.parts, other.membership, tmp_path / "profile.json", other.config)
    assert (tmp_path / "profile.json").read_bytes() == (at.folder / "profile.json").read_bytes()
    monkeypatch.setattr(profile_data, "BLOCK_ROWS", 333)
    in_blocks = make_profile(at.parts, at.membership, at.settings.contract())
    assert in_blocks["features"]["t"] == at.profile["features"]["t"]
    assert in_blocks["features"]["x"]["counts"] == at.profile["features"]["x"]["counts"]
    assert in_blocks["features"]["x"]["mean"] == pytest.approx(at.profile["features"]["x"]["mean"])


def test_observed_columns_are_profiled_where_the_parts_have_them(at, tmp_path):
    columns = at.settings.columns.model_copy(update={"observed": ["sex", "elsewhere"]})
    contract = at.settings.contract().model_copy(update={"columns": columns})
    parts = [tmp_path / path.name for path in at.parts]
    for path, part in zip(at.parts, parts, strict=True):
        table = pq.read_table(path)
        sex = pa.array(["F" if n % 3 else "M" for n in range(len(table))]).dictionary_encode()
        pq.write_table(table.append_column("sex", sex), part)
    found = make_profile(parts, at.membership, contract)["features"]
    assert found.keys() - at.profile["features"].keys() == {"sex"}
    assert (found["sex"]["role"], found["sex"]["values"]) == ("observed", ["F", "M", OTHER])
    assert sum(map(sum, found["sex"]["counts"].values())) == sum(at.profile["rows"].values())


def test_a_number_that_is_always_missing_has_one_empty_bin(tmp_path):
    at = lay_out(tmp_path, loans(200), features={"never": "x / (y - y)"})
    about = make_profile(at.parts, at.membership, at.settings.contract())["features"]["never"]
    assert (about["edges"], about["counts"]["train"], about["mean"]["train"]) == ([], [0], None)
    assert about["missing"] == about["rows"]
    assert about["psi"]["psi"] == 0


def test_rare_values_are_taken_together():
    assert shown_values({"b": 20, "a": 20, "c": 19, "d": 90, OTHER: 50}) == ["d", "a", "b", OTHER]
    many = shown_values({f"v{n}": 100 for n in range(500)})
    assert (len(many), many[-1]) == (101, OTHER)


def test_the_segments_furthest_from_the_rest_come_first():
    rates = [default_rate(*pair) for pair in ((50, 100), (12, 100), (0, 19), (95, 100))]
    about = {"kind": "numeric", "edges": [1.0, 2.0, 3.0], "default_rate": rates}
    about["missing_default_rate"] = default_rate(60, 100)
    found = furthest_segments({"x": about}, 0.1)
    assert [(s.get("above"), s.get("to"), s.get("missing"), s["rate"]) for s in found] == [
        (3.0, None, None, 0.95),
        (None, None, True, 0.6),
        (None, 1.0, None, 0.5),
    ]
    assert found[0]["difference"] == pytest.approx(0.85)


# --- counting -----------------------------------------------------------------------------------------------------


def test_numbers_are_counted_as_by_a_binary_search():
    random = np.random.default_rng(1)
    values = random.integers(0, 50, 100_000) / 7
    values[random.uniform(size=len(values)) < 0.1] = np.nan
    edges = (np.array([3, 10, 11, 49]) / 7).tolist()
    counts, missing = count_numbers(values, edges)
    present = values[~np.isnan(values)]
    assert counts.tolist() == np.bincount(np.searchsorted(edges, present), minlength=5).tolist()
    assert missing == len(values) - len(present)
    assert count_numbers(values[:0], [])[0].tolist() == [0]


@pytest.mark.parametrize("encode", [False, True])
def test_texts_are_counted_whatever_their_dictionary_holds(encode):
    chunks = [["a", None, "b"], ["c", "a", None]]
    column = pa.chunked_array([pa.array(chunk) for chunk in chunks])
    column = column.dictionary_encode().slice(1) if encode else column.slice(1)
    found, missing = count_texts(column)
    assert (found, missing) == ({"b": 1, "c": 1, "a": 1}, 2)
    assert count_values(found, ["a", "z", OTHER]) == [1, 0, 2]


@pytest.mark.parametrize("rows", [1, 9, 10, 11, 1003])
def test_tenths_are_those_of_numpy(rows):
    values = np.sort(np.random.default_rng(rows).integers(0, 400, rows).astype(float))
    tenths = values[ranks_of_tenths(rows)]
    assert tenths.tolist() == np.quantile(values, np.arange(1, 10) / 10, method="inverted_cdf").tolist()
    assert inner_edges(tenths, values[-1]) == sorted({t for t in tenths.tolist() if t < values[-1]})


# --- the real data ------------------------------------------------------------------------------------------------


@pytest.mark.real_data
@pytest.mark.skipif(
    not os.environ.get("LOAN_DATA_DIR"), reason="LOAN_DATA_DIR is not set: name the folder that holds loan_data.csv"
)
def test_the_real_data_is_described_as_numpy_does(tmp_path):
    raw = pd.read_csv(Path(os.environ["LOAN_DATA_DIR"]) / "loan_data.csv")
    numeric = ["person_age", "person_income", "loan_amnt", "loan_percent_income"]
    categorical = ["loan_grade", "person_home_ownership"]
    root = Path(__file__).resolve().parents[2]
    sections = yaml.safe_load((root / "config/examples/loan_data.yaml").read_text())
    columns = {"target": {"column": "loan_status", "positive": "1"}, "numeric": numeric, "categorical": categorical}
    contract = load_config({"data": sections["data"], "columns": columns}).contract()
    side = np.random.default_rng(4).choice(np.array([0, 1], np.int8), len(raw), p=[0.8, 0.2])
    table = pa.table(
        {name: raw[name].to_numpy(float) for name in numeric}
        | {name: pa.array(raw[name]).dictionary_encode() for name in categorical}
        | {"loan_status": raw["loan_status"].to_numpy(np.int8)}
    )
    pq.write_table(table, tmp_path / "part")
    pq.write_table(membership_table(side, np.arange(len(raw), dtype=np.uint64)), tmp_path / "member")
    found = make_profile([tmp_path / "part"], [tmp_path / "member"], contract)
    sides = {"train": raw[side == 0], "test": raw[side == 1]}
    for name in numeric:
        same_as_by_numpy(found["features"][name], sides, name, "loan_status")
        assert found["features"][name]["psi"]["status"] == "stable"
    for name in categorical:
        about = found["features"][name]
        counts = [[int((rows[name] == value).sum()) for value in about["values"][:-1]] for rows in sides.values()]
        rest = [len(rows) - sum(of_side) for rows, of_side in zip(sides.values(), counts, strict=True)]
        own = own_psi(*([*of_side, more] for of_side, more in zip(counts, rest, strict=True)))
        assert about["psi"]["psi"] == pytest.approx(own)
