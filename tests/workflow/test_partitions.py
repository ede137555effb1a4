"""Large files are divided: the same bytes come out, a dry run shows all jobs, only what is missing is made again."""

import gzip
import json
import math
import os

import pytest

from tests.workflow.conftest import EVERYTHING, copy_checkout

# What must not depend on the partitioning; cards and receipts name the parts themselves.
SAME = (
    *("data/summary.json", "data/rejects.csv", "metrics/comparison.csv", "metrics/lr.json", "metrics/dt.json"),
    *("data/profile.json", "models/lr/reference.json", "models/dt/reference.json"),
    *("metrics/lr.curves.json", "metrics/dt.curves.json", "metrics/differences.json", "selection.json"),
    *("metrics/lr.performance.json", "metrics/dt.performance.json", "scores/lr.parquet", "scores/dt.parquet"),
    *("predictions/january.csv", "predictions/january.rejects.csv", "predictions/january.summary.json"),
    *("predictions/february.csv", "predictions/february.rejects.csv", "predictions/february.summary.json"),
)


def divided(project, count):
    """Let the sample's loans be so many partitions; return how many each application file is."""
    mb = project.path("data/sample/loans.csv").stat().st_size / (count - 0.5) / 1e6
    project.config(partitions={"mb": mb})
    files = sorted(project.path("data/sample/applications").glob("*.csv"))
    return [math.ceil(file.stat().st_size / (mb * 1e6)) for file in files]


@pytest.mark.parametrize("count", [4, 16])
def test_results_do_not_depend_on_the_partitions(finished_run, tmp_path, count):
    project = copy_checkout(tmp_path / "project")
    shares = divided(project, count)
    expected = EVERYTHING | {"divide": 1, "check": 1, "profile": 1}
    expected |= {"preprocess": count, "split": count, "score": 2 * count}
    if max(shares) > 1:
        expected |= {"divide_application": 2, "predict_share": sum(shares), "join": 2}
        del expected["predict"]
    assert project.snakemake("-n").planned == expected
    run = project.snakemake("--cores", "2")
    assert run.code == 0, run.output
    for name in SAME:
        assert project.path(f"results/{name}").read_bytes() == finished_run[0].path(f"results/{name}").read_bytes(), (
            name
        )
    assert project.snakemake("-n").planned == {}


@pytest.fixture
def in_three(tmp_path):
    """A project whose loans are three partitions, preprocessed and split."""
    project = copy_checkout(tmp_path / "project")
    divided(project, 3)
    run = project.snakemake("--until", "split")
    assert run.code == 0, run.output
    return project


def test_a_damaged_part_is_named_and_made_again(in_three):
    part = in_three.path("results/data/clean/loans.0002-of-0003.parquet")
    whole = part.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 1
    stat = part.stat()
    part.write_bytes(damaged)
    os.utime(part, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    run = in_three.snakemake("--until", "train_dt")
    assert run.code == 1
    assert any("loans.0002-of-0003.parquet is damaged" in sentence for sentence in run.sentences), run.output
    again = in_three.snakemake("--until", "train_dt")
    assert again.code == 0, again.output
    assert again.finished.count("preprocess") == 1
    assert part.read_bytes() == whole


def test_a_new_file_is_preprocessed_alone_and_no_old_row_changes_sides(in_three):
    sides = {p.name: p.read_bytes() for p in in_three.path("results/data/membership").iterdir()}
    lines = in_three.read("data/sample/loans.csv").splitlines(keepends=True)
    month = [lines[0], *(f"90000{line}" for line in lines[1:300])]
    in_three.write("data/sample/loans_march.csv", "".join(month))
    in_three.config(data__raw="data/sample/loans*.csv")
    run = in_three.snakemake("--until", "split")
    assert run.code == 0, run.output
    assert run.finished.count("preprocess") == 1
    assert {
        p.name: p.read_bytes() for p in in_three.path("results/data/membership").iterdir() if p.name in sides
    } == sides
    assert json.loads(in_three.read("results/data/summary.json"))["rows_in"] == 4299


def test_a_compressed_file_is_unpacked_once_and_read_the_same(finished_run, tmp_path):
    project = copy_checkout(tmp_path / "project")
    loans = project.path("data/sample/loans.csv")
    project.path("data/sample/loans.csv.gz").write_bytes(gzip.compress(loans.read_bytes(), mtime=0))
    project.config(data__raw="data/sample/loans.csv.gz", partitions={"mb": 0.1})
    run = project.snakemake("--until", "check")
    assert run.code == 0, run.output
    assert run.finished.count("divide") == 1
    assert run.finished.count("preprocess") > 1
    rejects = project.read("results/data/rejects.csv").replace(".csv.gz,", ".csv,")
    assert rejects == finished_run[0].read("results/data/rejects.csv")


def test_a_file_that_changes_while_the_run_goes_on_is_noticed(in_three):
    """It grows between the plan and the job: as if another process appended to it at this moment."""
    in_three.write("data/sample/loans.csv", in_three.read("data/sample/loans.csv") + "1,2\n")
    grow = "onstart:\n    shell('echo >>data/sample/loans.csv')\n"
    in_three.write("workflow/Snakefile", in_three.read("workflow/Snakefile") + grow)
    run = in_three.snakemake("--until", "preprocess")
    assert run.code == 1
    assert any("loans.csv has changed since the run began" in sentence for sentence in run.sentences), run.output


def test_many_small_files_are_scored_by_one_job_and_come_out_the_same(finished):
    """Two applications are more than the one that the config allows, and go into batches of one."""
    before = {path.name: path.read_bytes() for path in finished.path("results/predictions").iterdir()}
    for path in finished.path("results/predictions").iterdir():
        path.unlink()
    finished.config(partitions={"files": 1})
    run = finished.snakemake()
    assert run.code == 0, run.output
    assert sorted(rule for rule in run.finished if "predict" in rule) == ["predict_batch_1", "predict_batch_2"]
    assert {path.name: path.read_bytes() for path in finished.path("results/predictions").iterdir()} == before
    for kind in (".csv", ".rejects.csv", ".summary.json"):
        missing = sorted(finished.path("results/predictions").glob(f"*{kind}"))[-1]
        missing.unlink()
        assert finished.snakemake("-n").planned.keys() <= {"predict_batch_2"}, missing
        assert finished.snakemake("-n").planned
        missing.write_bytes(before[missing.name])
    finished.config(partitions={"files": 2})
    assert finished.snakemake("-n").planned.keys() <= {"predict"}, "nothing else depends on how files are batched"
