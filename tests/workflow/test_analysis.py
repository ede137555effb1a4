"""What the report says of each model beyond the comparison: made on demand, and alike in any partitioning."""

import json

from tests.workflow.conftest import copy_checkout
from tests.workflow.test_partitions import divided

KINDS = ("drivers", "sensitivity", "fairness", "screen")
FILES = [f"results/analysis/{model}.{kind}.json" for model in ("lr", "dt") for kind in KINDS]
CHANGES = {
    "columns__categorical": ["person_home_ownership", "loan_grade", "cb_person_default_on_file"],
    "columns__observed": ["loan_intent"],
    "fairness": {"groups": {"age": {"column": "person_age", "edges": [25, 40]}, "intent": {"column": "loan_intent"}}},
    "screen": {"lender_set": ["loan_int_rate", "loan_grade"]},
    "select__champion": {"resamples": 100},
    "report": {"sample_rows": 500},
}


def test_the_analysis_is_made_on_demand_and_does_not_depend_on_partitions(fresh, tmp_path):
    other = copy_checkout(tmp_path / "other")
    for project in (fresh, other):
        project.config(**CHANGES)
    divided(other, 3)
    assert not {"explain", "screen"} & set(fresh.snakemake("-n").planned)  # only the report needs them
    for project in (fresh, other):
        run = project.snakemake("--cores", "2", *FILES)
        assert run.code == 0, run.output
        assert sorted(run.finished).count("explain") == sorted(run.finished).count("screen") == 2
    for name in FILES:
        assert fresh.path(name).read_bytes() == other.path(name).read_bytes(), name
    drivers = json.loads(fresh.read("results/analysis/lr.drivers.json"))
    assert "loan_intent" not in {one["feature"] for one in drivers["importance"]}
    groups = json.loads(fresh.read("results/analysis/dt.fairness.json"))["groups"]
    assert {"MEDICAL", "DEBTCONSOLIDATION"} < {one["group"] for one in groups["intent"]["groups"]}
    screen = json.loads(fresh.read("results/analysis/dt.screen.json"))
    assert screen["columns"] == ["loan_grade", "loan_int_rate", "payment_burden"]
    fresh.config(fairness={"groups": {"age": {"column": "person_age", "edges": [30]}}})
    assert fresh.snakemake("-n", *FILES).planned == {"explain": 2}
