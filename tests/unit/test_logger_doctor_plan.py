"""What a run would submit, from the records of a dry run to submit descriptions."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from snakemake_executor_plugin_htcondor_steady import description as steady
from snakemake_logger_plugin_htcondor.doctor import plan as plans
from snakemake_logger_plugin_htcondor.doctor.plan import NotKnownYet, Plan, PlanError, PlannedJob, PlanWriter

STEADY = Plan("htcondor-steady", {"accounting_group": "group_credit"})
UPSTREAM = Plan("htcondor")


def job(rule="fit", threads=1, group=False, works=True, **resources):
    return PlannedJob(rule, 1, {}, threads, resources, group, works)


def record(**about):
    made = logging.LogRecord("snakemake", logging.INFO, "", 0, "", None, None)
    made.__dict__.update(about)
    return made


def test_both_executors_are_described_in_their_own_words():
    resources = {
        "mem_mb": 1000,
        "disk_mb": 2,
        "request_memory": "4GB",
        "requirements": "HasGPU",
        "htcondor_request_disk_mb": 3,
        "classad_Project": 'a "b"',
        "htcondor_submit_keep_claim_idle": 3,
        "htcondor_submit_MY__Note": "x",
        "tmpdir": "/tmp",
    }
    own = {"+Project": '"a \\"b\\""', "keep_claim_idle": "3", "MY.Note": '"x"'}
    shared = {"request_cpus": "4", "request_memory": "4GB", "request_disk": "3072", "requirements": "HasGPU", **own}
    assert plans.describe(job(threads=4, **resources), UPSTREAM) == shared
    of_steady = {"accounting_group": "group_credit", "should_transfer_files": "NO"}
    assert plans.describe(job(threads=4, **resources), STEADY) == shared | of_steady


def test_a_text_in_a_submit_command_is_quoted_by_htcondors_own_executor_alone():
    resources = {"htcondor_submit_notification": "Error", "htcondor_submit_should_transfer_files": "IF_NEEDED"}
    asked = {"request_cpus": "1", "accounting_group": "group_credit"}
    told = plans.describe(job(**resources), STEADY)
    assert told == asked | {"notification": "Error", "should_transfer_files": "IF_NEEDED"}
    assert plans.describe(job(**resources), UPSTREAM)["notification"] == '"Error"'


def test_memory_and_disk_go_to_the_steady_executor_alone():
    assert plans.describe(job(mem_mb=1000, disk_mb=2), UPSTREAM) == {"request_cpus": "1"}
    asked = {"mem_mb": 1000, "disk_mb": 2, "runtime": 3}
    told = plans.describe(job(**asked), STEADY)
    assert {k: v for k, v in told.items() if k.startswith(("request_", "allowed_"))} == {
        "request_cpus": "1",
        **steady.requests(asked),
    }


def test_what_both_plugins_pass_on_is_the_same_list():
    """Of the executor's list, all that decides on a match is passed on here, too."""
    no_match = {"getenv", "stream_output", "stream_error", "input"}
    assert set(steady.PASSED_ON) - no_match == {*plans.PASSED_ON, *plans.STEADY_ONLY}
    own = {"classad_A": 'x"\\', "htcondor_submit_B__C": 1, "htcondor_submit_MY__D": "d", "htcondor_submit_e": "f"}
    told = plans._own(own | {"other": 2}, quoted=False)
    assert told == {name: str(value) for name, value in steady.own_attributes(own).items()}


@pytest.mark.parametrize(
    ("plan", "resources", "missing"),
    [
        (STEADY, {"mem_mb": "<TBD>", "disk_mb": "<TBD>", "mem": "<TBD>"}, "disk_mb, mem_mb"),
        (UPSTREAM, {"mem_mb": "<TBD>", "request_memory": "<TBD>"}, "request_memory"),
        (UPSTREAM, {"classad_X": "<TBD>"}, "classad_X"),
    ],
)
def test_a_request_that_is_not_known_yet_is_never_guessed(plan, resources, missing):
    with pytest.raises(NotKnownYet, match=f"^{missing}$"):
        plans.describe(job(**resources), plan)


def test_what_the_executor_does_not_read_may_be_unknown():
    assert plans.describe(job(mem_mb="<TBD>", note="<TBD>"), UPSTREAM) == {"request_cpus": "1"}


def test_unknown_threads_are_told():
    with pytest.raises(NotKnownYet, match="threads"):
        plans.describe(job(threads="<TBD>"), UPSTREAM)


def test_the_largest_request_of_each_kind_stands_for_the_others():
    jobs = [
        *[job(mem_mb=size) for size in (100, 300, 200)],
        job(threads=2, mem_mb=50),
        job(mem_mb=10, requirements="A"),
        job("score", mem_mb=1),
        job("all", works=False),
        job("later", mem_mb="<TBD>"),
        job("later", mem_mb=7),
        job("together", group=True),
    ]
    found = plans.requests(Plan("htcondor-steady", jobs=tuple(jobs)))
    told = [
        (one.rule, one.description.get("request_memory"), one.description.get("requirements")) for one in found.known
    ]
    assert told == [
        ("fit", "50", None),
        ("fit", "300", None),
        ("fit", "10", "A"),
        ("later", "7", None),
        ("score", "1", None),
    ]
    assert found.later == {"later": "mem_mb"}
    assert found.groups == ("together",)
    assert found.dropped == 0
    assert plans.requests(Plan("htcondor-steady", jobs=tuple(jobs)), most=2).dropped == 3


def test_requests_with_units_are_kinds_of_their_own():
    jobs = (job(request_memory="1GB"), job(request_memory="2000MB"))
    assert len(plans.requests(Plan("htcondor", jobs=jobs)).known) == 2


def test_the_writer_writes_once_whole_and_only_jobs(tmp_path, monkeypatch):
    monkeypatch.setattr(plans, "_told", lambda arguments: {"executor": "htcondor", "shared": True, "settings": {}})
    file = tmp_path / "plan"
    writer = PlanWriter(file, [])
    about = {"rule_name": "fit", "jobid": 3, "wildcards": {"model": "a"}, "threads": 2, "indent": False}
    writer.add(record(event="job_info", resources={"mem_mb": 5, "x": Path("y")}, output=["o"], **about))
    writer.add(record(event="shellcmd", shellcmd="rm"))
    writer.add(record())
    assert list(tmp_path.iterdir()) == []
    writer.close()
    writer.close()
    assert list(tmp_path.iterdir()) == [file]
    found = plans.read(file.read_text())
    wanted = PlannedJob("fit", 3, {"model": "a"}, 2, {"mem_mb": 5, "x": "y"}, group=False, works=True)
    assert found == Plan("htcondor", {}, True, (wanted,))


def test_arguments_that_cannot_be_read_again_leave_the_executor_open(tmp_path):
    writer = PlanWriter(tmp_path / "plan", ["--no-such-option"])
    writer.close()
    assert plans.read((tmp_path / "plan").read_text()).executor == ""


@pytest.mark.parametrize(
    "text", ["", "not JSON", '{"executor": "x", "unknown": 1}', '{"executor": "x"}\n{"rule": "a"}']
)
def test_half_a_plan_is_refused(text):
    with pytest.raises(PlanError, match="can't be read"):
        plans.read(text)


SNAKEFILE = """
rule all:
    input: "b.txt"
rule a:
    output: "a.txt"
    threads: 2
    resources: mem_mb=300
    shell: "touch {output}"
rule b:
    input: "a.txt"
    output: "b.txt"
    group: "g"
    resources: mem_mb=lambda wildcards, input: 2 * input.size_mb
    shell: "touch {output}"
"""


@pytest.fixture
def workflow(tmp_path, monkeypatch):
    """A small workflow, in the current folder."""
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_dry_run_tells_jobs_and_executor(workflow):
    (workflow / "profile").mkdir()
    (workflow / "profile" / "config.yaml").write_text(
        "executor: htcondor-steady\nhtcondor-steady-accounting-group: group_x\n"
    )
    plan = plans.dry_run(["--profile", "profile", "--jobs", "1"], 60)
    assert (plan.executor, plan.shared, plan.settings) == ("htcondor-steady", True, {"accounting_group": "group_x"})
    told = {one.rule: (one.threads, one.resources.get("mem_mb"), one.group, one.works) for one in plan.jobs}
    assert told == {"a": (1, 300, False, True), "b": (1, "<TBD>", True, True), "all": (1, None, False, False)}
    assert not (workflow / "a.txt").exists()


def test_without_a_shared_file_system_it_says_so(workflow):
    plan = plans.dry_run(["--executor", "htcondor", "--jobs", "1", "--shared-fs-usage", "none"], 60)
    assert (plan.executor, plan.shared, plan.settings) == ("htcondor", False, {})


def test_a_dry_run_that_fails_is_told_in_one_sentence(workflow):
    with pytest.raises(PlanError, match=r"^Snakemake's dry run fails: .*missing\.txt") as caught:
        plans.dry_run(["--cores", "1", "missing.txt"], 60)
    assert "\n" not in str(caught.value)


def test_a_dry_run_that_hangs_is_given_up(workflow):
    (workflow / "Snakefile").write_text("import time\ntime.sleep(60)\n")
    with pytest.raises(PlanError, match="took longer than 3 s"):
        plans.dry_run(["--cores", "1"], 3)


def test_the_plan_needs_no_bindings_and_no_snakemake():
    """The logger plugin loads it in each run."""
    code = "import sys, snakemake_logger_plugin_htcondor.doctor.plan as p; print(json.dumps(sorted(sys.modules)))"
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", "import json; " + code],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"htcondor2", "rich", "snakemake.cli"} & set(json.loads(done.stdout))


def test_what_all_jobs_tell_a_pools_policy_the_doctors_own_tell_it_too(monkeypatch):
    monkeypatch.setattr(plans.getpass, "getuser", lambda: "ann")
    settings = {"accounting_group": "group_credit"}
    jobs = [job(mem_mb=1, classad_Project="loans", classad_Kind=kind) for kind in ("a", "b")]
    made = plans.Plan("htcondor-steady", settings, jobs=tuple(jobs))
    assert plans.in_common(made) == {
        "accounting_group": "group_credit",
        "accounting_group_user": "ann",
        "+Project": '"loans"',
    }
    assert plans.in_common(plans.Plan("htcondor-steady")) == {}
    assert plans.in_common(plans.PlanError("no plan")) == {}
