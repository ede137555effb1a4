"""What happens to Snakemake itself, on the access point: Ctrl-C, SIGKILL, many reruns in one folder."""

from tests.pool.harness import wait_until


def test_ctrl_c_removes_all_jobs_of_the_run(project, expected):
    run = project.start()
    wait_until(lambda: len(project.running()) == 2, 60, "both models train")
    run.signal("INT")
    assert run.wait(60) != 0
    wait_until(lambda: not project.queue(), 20, "the queue is empty")
    done_before = {job["SnakemakeRule"] for job in project.history("ExitCode =?= 0")}
    assert done_before == {"preprocess", "split"}

    done = project.run()
    assert done.returncode == 0, done.stdout[-3000:]
    rules = [job["SnakemakeRule"] for job in project.history("ExitCode =?= 0")]
    assert rules.count("preprocess") == rules.count("split") == 1, "what was done is not done again"
    assert project.checksums() == expected


def test_after_sigkill_the_same_line_resumes_and_no_two_jobs_write_the_same(project, expected):
    run = project.start()
    wait_until(lambda: len(project.running()) == 2, 60, "both models train")
    orphans = {job["ClusterId"] for job in project.running()}
    run.signal("KILL")
    assert run.wait(20) != 0
    assert {job["ClusterId"] for job in project.running()} == orphans, "they go on without their driver"

    done = project.run()
    assert done.returncode == 0, done.stdout[-3000:]
    assert "its lock is removed and the run resumes" in done.stdout
    assert "An earlier run of this folder left jobs in the queue" in done.stdout
    assert project.checksums() == expected
    jobs = project.history()
    assert [job["SnakemakeRule"] for job in jobs].count("preprocess") == 1, "what was done is not done again"
    for rule in ("train_lr", "train_dt"):
        first, second = (job for job in jobs if job["SnakemakeRule"] == rule)
        assert first["ClusterId"] in orphans
        assert first["EnteredCurrentStatus"] <= second["JobStartDate"], "the orphan was gone before the next began"
