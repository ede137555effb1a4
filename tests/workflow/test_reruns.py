"""What runs again after a change, and what does not: on the level of rules."""

import json
import os
import shutil

import pyarrow.parquet
import pytest

from tests.workflow.conftest import EVERYTHING

FROM_EVALUATE = {"evaluate": 2, "compare": 1, "select": 1, "predict": 2}
FROM_SELECT = {"select": 1, "predict": 2}


def planned(project, *arguments):
    run = project.snakemake("-n", *arguments)
    assert run.code == 0, run.output
    return run.planned


def test_nothing_changed_runs_nothing(finished):
    assert planned(finished) == {}


def test_a_tree_parameter_runs_the_tree_and_what_follows(finished):
    finished.config(models__dt__params__max_depth=7)
    run = finished.snakemake()
    assert run.code == 0, run.output
    assert sorted(run.finished) == sorted(["train_dt", "evaluate", "compare", "select", "predict", "predict"])
    assert planned(finished) == {}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"split__key": "another"}, {k: v for k, v in EVERYTHING.items() if k != "preprocess"}),
        ({"threshold__value": 0.3}, FROM_EVALUATE),
        ({"select__metrics": ["pr_auc"]}, FROM_SELECT),
        ({"rejects__show_values": True}, EVERYTHING),
        ({"cleaning__bounds__person_age__max": 90}, EVERYTHING),
        ({"seed": 1}, {"train_lr": 1, "train_dt": 1, **FROM_EVALUATE}),
        ({"predict": {"missing_columns": "impute"}}, {"predict": 2}),
        ({"resources": {"mem_mb": 1500}}, {}),
        ({"models__hgb": {"estimator": "sklearn.ensemble.HistGradientBoostingClassifier", "complexity": 3}},
         {"train_hgb": 1, "evaluate": 1, "compare": 1, "select": 1, "predict": 2}),
    ],
    ids=lambda value: next(iter(value), "nothing") if isinstance(value, dict) else None,
)  # fmt: skip
def test_a_config_change_runs_the_steps_that_it_concerns(finished, changes, expected):
    finished.config(**changes)
    assert planned(finished) == expected


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("scripts/preprocess.py", EVERYTHING),
        ("scripts/split.py", {k: v for k, v in EVERYTHING.items() if k != "preprocess"}),
        ("scripts/train.py", {"train_lr": 1, "train_dt": 1, **FROM_EVALUATE}),
        ("scripts/evaluate.py", FROM_EVALUATE),
        ("scripts/compare.py", {"compare": 1}),
        ("scripts/select_model.py", FROM_SELECT),
        ("scripts/predict.py", {"predict": 2}),
        ("scripts/report.py", {}),
        ("scripts/shared/registry.py", FROM_SELECT),
        ("scripts/shared/metrics.py", FROM_EVALUATE),
        ("scripts/shared/pipeline.py", {"train_lr": 1, "train_dt": 1, **FROM_EVALUATE}),
        ("scripts/shared/cleaning.py", EVERYTHING),
    ],
)
def test_a_code_change_runs_the_steps_that_use_it_and_what_follows(finished, module, expected):
    finished.write(module, finished.read(module) + "\nANSWER = 42\n")
    assert planned(finished) == expected


def no_header(project):
    project.edit("data/sample/loans.csv", "person_age", "age")


def nobody_is_that_young(project):
    project.config(cleaning__bounds__person_age={"min": 1, "max": 2})


@pytest.mark.parametrize("mistake", [no_header, nobody_is_that_young])
def test_what_failed_fails_again_until_it_is_mended(finished, mistake):
    """As it was: the second run found "Nothing to be done", and ended well on results of the data before."""
    before = {name: finished.read(name) for name in ("data/sample/loans.csv", "config/config.yaml")}
    mistake(finished)
    sentences = []
    for _ in range(2):
        run = finished.snakemake("--retries", "0")
        assert run.code == 1, run.output
        sentences.append(run.sentences)
    assert sentences[0] == sentences[1] != []
    for name, text in before.items():
        finished.write(name, text)
    assert finished.snakemake().code == 0
    assert planned(finished) == {}


def test_a_touch_or_a_comment_runs_nothing(finished):
    finished.write("scripts/train.py", finished.read("scripts/train.py") + "\n# a remark\n")
    os.utime(finished.path("scripts/shared/reading.py"))
    os.utime(finished.path("workflow/rules/data.smk"))
    os.utime(finished.path("requirements.lock"))
    os.utime(finished.path("config/config.yaml"))
    assert planned(finished) == {}


def test_a_new_application_file_is_predicted_alone(finished):
    shutil.copy(
        finished.path("data/sample/applications/january.csv"), finished.path("data/sample/applications/march.csv")
    )
    run = finished.snakemake()
    assert run.code == 0, run.output
    assert run.finished == ["predict"]
    january, march = (finished.read(f"results/predictions/{month}.csv") for month in ("january", "march"))
    assert january == march


def sides(project):
    """Return the side of each id."""
    result = {}
    for member in sorted(project.path("results/data/membership").rglob("*.parquet")):
        part = project.path("results/data/clean") / member.relative_to(project.path("results/data/membership"))
        ids = pyarrow.parquet.read_table(part, columns=["id"]).column(0).to_pylist()
        result |= dict(zip(ids, pyarrow.parquet.read_table(member).column("side").to_pylist(), strict=True))
    return result


def test_more_raw_rows_run_everything_and_move_no_row(finished):
    before = sides(finished)
    lines = finished.read("data/sample/loans.csv").splitlines(keepends=True)
    more = [f"{50_000 + n}," + line.split(",", 1)[1] for n, line in enumerate(lines[1:301])]
    finished.write("data/sample/loans.csv", "".join(lines + more))
    run = finished.snakemake()
    assert run.code == 0, run.output
    assert sorted(set(run.finished)) == sorted(EVERYTHING)
    after = sides(finished)
    assert len(after) > len(before)
    assert {i: after[i] for i in before} == before


def test_a_new_raw_file_is_preprocessed_alone(finished):
    lines = finished.read("data/sample/loans.csv").splitlines(keepends=True)
    more = [f"{50_000 + n}," + line.split(",", 1)[1] for n, line in enumerate(lines[1:301])]
    finished.config(data__raw="data/sample/loan*.csv")
    assert planned(finished) == {}, "the same file under a glob has the same name"
    finished.write("data/sample/loans_july.csv", "".join([lines[0], *more]))
    before = sides(finished)
    run = finished.snakemake()
    assert run.code == 0, run.output
    assert run.finished.count("preprocess") == 1
    assert json.loads(finished.read("results/data/summary.json"))["rows_in"] == 4300
    after = sides(finished)
    assert {i: after[i] for i in before} == before


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ("results/predictions/january.csv", {"predict": 1}),
        ("results/predictions/january.rejects.csv", {"predict": 1}),
        ("results/metrics/comparison.csv", {"compare": 1}),
        # The others are made from a model: when it is made again, so are they.
        ("results/models/dt/model.joblib", {"train_dt": 1, "evaluate": 1, "compare": 1, "select": 1, "predict": 2}),
        ("results/selection.json", FROM_SELECT),
    ],
)
def test_a_deleted_result_is_made_again_and_no_other(finished, result, expected):
    finished.path(result).unlink()
    assert planned(finished) == expected


def test_deleting_all_results_leaves_what_is_deployed(finished):
    live = finished.read("deployed/live.json")
    shutil.rmtree(finished.path("results"))
    run = finished.snakemake()
    assert run.code == 0, run.output
    assert finished.read("deployed/live.json") == live


def test_a_rollback_predicts_anew_and_the_next_run_does_not_undo_it(finished):
    first = json.loads(finished.read("deployed/live.json"))["version"]
    finished.config(threshold__value=0.3)
    assert finished.snakemake().code == 0
    assert json.loads(finished.read("deployed/live.json"))["version"] != first
    back = finished.command("scripts.tools.rollback", first)
    assert (back.code, back.output) == (0, f"version {first} is live now\n")
    run = finished.snakemake()
    assert run.finished == ["predict", "predict"], run.output
    assert f",{first}," in finished.read("results/predictions/january.csv")
    assert planned(finished) == {}
    listed = json.loads(finished.command("scripts.tools.models", "--json").output)
    assert (listed["live"], listed["log"]["entries"], len(listed["versions"])) == (first, 3, 2)
    assert {row["value"] > 0.5 for row in listed["versions"]} == {True}


def test_a_third_model_is_a_row_in_the_config(finished):
    finished.config(
        models__hgb={
            "estimator": "sklearn.ensemble.HistGradientBoostingClassifier",
            "complexity": 3,
            "params": {"max_iter": 30},
            "numeric": {"impute": False},
            "categorical": {"encoding": "native"},
        }
    )
    run = finished.snakemake()
    assert run.code == 0, run.output
    assert run.finished[:2] == ["train_hgb", "evaluate"]
    assert finished.read("results/metrics/comparison.csv").count("\n") == 4
