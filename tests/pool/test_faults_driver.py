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
