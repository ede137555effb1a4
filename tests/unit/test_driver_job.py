"""The driver's job: how it is described to HTCondor, and what its ClassAd and the queue are said to mean."""

import re
import subprocess
import sys
from pathlib import Path

import classad2
import htcondor2
import pytest

from scripts.shared import driver_job
from scripts.shared.driver_job import AGAIN, LOG, counts, describe, log_of, outcome, pass_on, waiting


def job(folder="/data/my project", arguments=(), environment=None):
    """Return what HTCondor's own parser makes of a driver's description; it expands it as for job 1."""
    submit = htcondor2.Submit(describe("/env/bin/python", folder, arguments, environment or {}))
    return {key.removeprefix("MY."): submit.expand(key) for key in submit.keys()}  # noqa: SIM118 - no Mapping


def test_the_driver_runs_in_the_folder_as_a_local_job_with_files_named_by_its_number():
    ad = job(arguments=["--profile", "p"])
    assert ad["universe"] == "local"
    assert ad["initialdir"] == "/data/my project"
    log = "results/logs/driver/snakemake-mgmt-1"
    assert ad["arguments"] == f'"-m scripts.tools.driver --profile p --log {log}.out"'
    assert (ad["log"], ad["error"]) == (f"{log}.log", f"{log}.err")
    assert "output" not in ad, "the local universe empties it at each start"


def test_the_schedd_removes_what_carries_the_drivers_number():
    ad = job()
    constraint = classad2.ExprTree(classad2.ExprTree(ad["OtherJobRemoveRequirements"]).eval())
    assert [n for n in (1, 2, 10) if constraint.eval(classad2.ClassAd({"SnakemakeDriverId": n})) is True] == [1]
    assert constraint.eval(classad2.ClassAd({})) is False
    assert ad["environment"] == '"SNAKEMAKE_DRIVER_ID=1"'


def test_mail_is_sent_where_it_is_asked_for():
    assert "notification" not in job()
    submit = htcondor2.Submit(describe("/env/bin/python", "/data", [], {}, "ann@credit.example"))
    assert [submit.expand(key) for key in ("notification", "notify_user")] == ["Complete", "ann@credit.example"]


@pytest.mark.parametrize(
    ("end", "leaves"),
    [
        ({"ExitBySignal": False, "ExitCode": 0}, True),
        ({"ExitBySignal": False, "ExitCode": 1}, True),
        ({"ExitBySignal": False, "ExitCode": AGAIN}, False),
        ({"ExitBySignal": True, "ExitSignal": 9}, False),
        ({"ExitBySignal": True, "ExitSignal": 9, "NumJobStarts": 10}, True),
        ({"ExitBySignal": False, "ExitCode": AGAIN, "NumJobStarts": 10}, True),
    ],
)
def test_success_and_failure_leave_the_queue_and_a_kill_does_not_unless_it_goes_on(end, leaves):
    rule = classad2.ExprTree(job()["on_exit_remove"])
    assert rule.eval(classad2.ClassAd({"NumJobStarts": 1} | end)) is leaves


def test_words_reach_the_driver_as_they_are():
    ad = job(arguments=["--config", 'it\'s $(my) "own" config.yaml'], environment={"A": "b c", "Q": "'"})
    assert "'it''s $(my) \"\"own\"\" config.yaml'" in ad["arguments"]
    assert ad["environment"] == "\"'A=b c' 'Q=''' SNAKEMAKE_DRIVER_ID=1\""


def test_the_driver_gets_what_it_needs_of_the_environment_and_no_secret():
    given = {"PATH": "/bin", "LC_ALL": "C", "CONDOR_CONFIG": "/c", "_CONDOR_SEC": "x", "LOANS": "/l", "TOKEN": "s"}
    kept = pass_on(given | {"XDG_CACHE_HOME": "a\nb"}, "raw: [$LOANS/a.csv, ${OTHER}/b.csv]")
    assert kept == {k: v for k, v in given.items() if k != "TOKEN"}


@pytest.mark.parametrize(
    ("ad", "code", "sentence"),
    [
        ({"JobStatus": 4, "ExitCode": 0}, 0, "^done$"),
        ({"JobStatus": 4, "ExitCode": 2}, 2, "^failed with exit code 2; .*make submit resumes$"),
        ({"JobStatus": 3, "RemoveReason": "via condor_rm"}, 1, r"^removed \(via condor_rm\); make submit resumes$"),
        ({"JobStatus": 3}, 1, r"^removed \(no reason is given\)"),
        (
            {"JobStatus": 4, "ExitBySignal": True, "ExitSignal": 9, "NumJobStarts": 10},
            1,
            "^killed by signal 9 at each ",
        ),
        ({"JobStatus": 4, "ExitCode": AGAIN, "NumJobStarts": 10}, 1, "^killed by a signal at each of 10 starts; "),
    ],
)
def test_how_a_driver_ended(ad, code, sentence):
    result = outcome(ad)
    assert result.code == code
    assert re.search(sentence, result.sentence)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (1, "^the access point has not started it yet$"),
        (2, None),
        (3, "^it is being removed$"),
        (5, r"^held: no disk; condor_release 7 lets it go on, condor_rm 7 ends it$"),
    ],
)
def test_why_a_driver_waits(status, reason):
    said = waiting({"ClusterId": 7, "JobStatus": status, "HoldReason": "no disk"})
    assert said is None if reason is None else re.search(reason, said)


def test_jobs_are_counted_by_rule_and_state():
    jobs = [("b", 2), ("a", 5), ("b", 1), ("b", 2), (None, 4)]
    ads = [{"JobStatus": state} | ({"SnakemakeRule": rule} if rule else {}) for rule, state in jobs]
    assert counts(ads) == "? 1 ending; a 1 held; b 1 idle, 2 running"
    assert counts([]) == ""


def test_the_log_of_a_driver_of_either_kind_is_found(tmp_path):
    assert log_of({"Iwd": "/f", "Err": "x.err", LOG: "results/x.out"}).as_posix() == "/f/results/x.out"
    assert log_of({"Iwd": "/f", "Err": "logs/snakemake-mgmt-7.err"}).as_posix() == "/f/logs/snakemake-mgmt-7.err"


@pytest.mark.parametrize(
    ("log", "found"),
    [
        ("/f/logs/snakemake-mgmt-12.log", True),
        ("/f/logs/snakemake-mgmt-12.log.old", False),
        ("/f/results/logs/htcondor/20260101.log", False),
    ],
)
def test_drivers_are_known_by_folder_universe_and_event_log(tmp_path, log, found):
    folder = tmp_path / 'a "folder"'
    constraint = classad2.ExprTree(driver_job.drivers_of(folder))
    ad = {"JobUniverse": 12, "Iwd": str(folder), "UserLog": log}
    assert constraint.eval(classad2.ClassAd(ad)) is found
    for other in ({"JobUniverse": 5}, {"Iwd": str(folder).upper()}):
        assert constraint.eval(classad2.ClassAd(ad | other)) is False


def test_a_driver_whose_disk_is_full_is_told():
    with Path("/dev/full").open("w") as full:
        # Nothing of the environment, as a driver has no PYTHONUNBUFFERED.
        done = subprocess.run([sys.executable, "-c", "print('why')"], stdout=full, stderr=full, env={}, check=False)
    assert done.returncode == driver_job.UNWRITTEN
    ended = outcome({"JobStatus": 4, "ExitCode": done.returncode})
    assert (ended.code, ended.sentence.partition(";")[0]) == (
        driver_job.UNWRITTEN,
        "failed, and could not write why: its disk is full, or was",
    )
