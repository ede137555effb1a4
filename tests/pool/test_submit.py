"""The driver as a job on the access point: it outlives login and reboot, is followed, and removed with its jobs."""

import re

from tests.pool.harness import wait_until

MAKE = "VENV=/shared/environment timeout -s INT 600 make --no-print-directory"


def submit(project):
    """Submit the driver from a login that is over when this returns; return the number of its job."""
    done = project.shell(f"{MAKE} submit")
    assert done.returncode == 0, done.stdout
    return int(re.search(r"^submitted  job (\d+)\.0 ", done.stdout, re.MULTILINE)[1])


def follow(project):
    """Follow the driver from a login of its own."""
    return project.shell(f"{MAKE} follow")


def driver(project, number, command="condor_q"):
    """Return attributes of a driver's job, of the queue or the history; none where it isn't there."""
    attributes = ("JobStatus", "ExitCode", "NumJobStarts")
    done = project.shell(f"{command} {number} -af:, {' '.join(attributes)}")
    values = [line.split(", ") for line in done.stdout.splitlines() if re.match(r"\d+, ", line)]
    return dict(zip(attributes, values[-1], strict=True)) if values else {}


def signal(project, name, what):
    """Send a signal to the process on the access point whose command line holds a text, and belongs to the project."""
    line = f"for p in $(pgrep -f '[p]ython.*{what}'); do [ $(readlink /proc/$p/cwd) = $PWD ] && kill -{name} $p; done"
    done = project.shell(line)
    assert done.returncode == 0, done.stdout


def test_a_submitted_run_goes_on_after_the_logout_and_is_followed_from_another_login(project, expected):
    number = submit(project)
    second = project.shell(f"{MAKE} submit")
    assert second.returncode != 0
    assert f"error: the driver of this folder is in the queue already, as job {number}.0; " in second.stdout

    followed = follow(project)
    assert followed.returncode == 0, followed.stdout[-3000:]
    assert "11 of 11 steps (100%) done" in followed.stdout
    assert re.search(r"follow: jobs in the queue: .*train_\w\w 1 running", followed.stdout)
    assert "live model     deployed/current/model.joblib" in followed.stdout, "the table of make run"
    assert followed.stdout.rstrip().endswith(f"follow: job {number}.0: done")
    assert project.checksums() == expected
    assert {job["SnakemakeDriverId"] for job in project.history()} == {number}

    again = follow(project)
    assert again.returncode == 0
    assert again.stdout.rstrip().endswith(f"follow: job {number}.0: done"), "also when it is over"


def test_removing_the_driver_removes_its_jobs_and_the_next_run_resumes(project, expected):
    project.train_for(600)
    number = submit(project)
    project.both_train()
    assert project.shell(f"condor_rm {number}").returncode == 0
    wait_until(lambda: not project.queue() and not driver(project, number), 30, "the queue is empty")
    followed = follow(project)
    assert followed.returncode != 0
    assert f"follow: job {number}.0: removed (via condor_rm (by user submit))" in followed.stdout

    project.train_for(0)
    submit(project)
    followed = follow(project)
    assert followed.returncode == 0, followed.stdout[-3000:]
    assert project.checksums() == expected
    rules = [job["SnakemakeRule"] for job in project.history("ExitCode =?= 0")]
    assert rules.count("preprocess") == rules.count("split") == 1, "what was done is not done again"


def test_the_jobs_go_also_where_the_driver_can_do_nothing_any_more(project):
    project.train_for(600)
    number = submit(project)
    project.both_train()
    signal(project, "STOP", "[s]nakemake all")
    assert project.shell(f"condor_rm {number}").returncode == 0
    signal(project, "KILL", "[s]cripts.tools.driver")
    wait_until(lambda: not project.queue() and not driver(project, number), 30, "the queue is empty")
    reasons = {job["SnakemakeRule"]: job.get("RemoveReason", "") for job in project.history("JobStatus == 3")}
    assert set(reasons) == {"train_lr", "train_dt"}
    for reason in reasons.values():
        assert f"OtherJobRemoveRequirements = SnakemakeDriverId =?= {number}" in reason


def test_a_driver_whose_snakemake_is_killed_starts_again(project, expected):
    project.train_for(600)
    number = submit(project)
    project.both_train()
    signal(project, "KILL", "[s]nakemake all")
    project.train_for(0)
    followed = follow(project)
    assert followed.returncode == 0, followed.stdout[-3000:]
    assert "driver: Snakemake was killed by signal 9; HTCondor starts the driver again" in followed.stdout
    assert driver(project, number, "condor_history")["NumJobStarts"] == "2"
    assert project.checksums() == expected


def test_a_driver_that_fails_does_not_start_again_and_the_sentence_is_told(project):
    (project.path / "data/sample/loans.csv").write_text("a,b\n1,2\n")
    project.own()
    number = submit(project)
    followed = follow(project)
    assert followed.returncode != 0
    assert re.search(r"^error: .*loans\.csv", followed.stdout, re.MULTILINE), "the sentence says why"
    assert f"follow: job {number}.0: failed with exit code 1; " in followed.stdout
    assert driver(project, number, "condor_history") == {"JobStatus": "4", "ExitCode": "1", "NumJobStarts": "1"}


def test_a_mistake_in_the_config_is_told_at_once_and_nothing_is_submitted(project):
    done = project.shell(f"{MAKE} submit CONFIG=none.yaml")
    assert done.returncode != 0
    assert "error: the config file 'none.yaml' does not exist" in done.stdout
    followed = follow(project)
    assert followed.returncode != 0
    assert f"error: no driver of {project.inside} is known to this access point; start one by: make submit" in (
        followed.stdout
    )


def test_the_run_survives_a_reboot_of_the_access_point(project, expected):
    project.train_for(600)
    number = submit(project)
    project.both_train()
    pool = project.pool
    for action in ("kill", "start"):
        done = pool.engine.run(action, pool.container("ap"))
        assert done.returncode == 0, done.stdout
    pool.wait_until_ready()
    project.train_for(0)
    followed = follow(project)
    assert followed.returncode == 0, followed.stdout[-3000:]
    assert "its lock is removed and the run resumes" in followed.stdout
    assert driver(project, number, "condor_history") == {"JobStatus": "4", "ExitCode": "0", "NumJobStarts": "2"}
    assert project.checksums() == expected
    assert not project.queue()


def test_ctrl_c_ends_the_following_and_not_the_run(project):
    number = submit(project)
    done = project.shell("timeout -s INT 8 /shared/environment/bin/python -m scripts.tools.follow")
    assert f"follow: job {number}.0 goes on; make follow shows it again, condor_rm {number} ends it" in done.stdout
    wait_until(lambda: driver(project, number).get("JobStatus") == "2", 30, "the driver runs")
