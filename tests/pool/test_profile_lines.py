"""Lines of the profile that are there to be used: each node's own copy of the environment, names, accounting group."""

import re

COPIES = "/var/tmp/environments-5000"
LINES = ("htcondor-steady-node-copy: /var/tmp", "htcondor-steady-accounting-group: group_credit")


def test_jobs_run_from_the_nodes_own_copy_and_condor_q_shows_batch_description_and_group(project, expected):
    profile = project.path / "profiles" / "htcondor" / "config.yaml"
    text = profile.read_text()
    for line in LINES:
        assert f"# {line}" in text
        text = text.replace(f"# {line}", line)
    profile.write_text(text)

    project.train_for(600)
    run = project.start(command="/shared/environment/bin/snakemake --profile profiles/htcondor")
    project.both_train()
    check_queue(project)
    project.train_for(0)
    assert run.wait() == 0, run.output[-3000:]
    assert project.checksums() == expected
    jobs = project.history()
    assert len(jobs) == 10
    check_files(project, jobs)
    mode = (project.path / "results" / "selection.json").stat().st_mode
    assert mode & 0o044 == 0o044, "the copy is its user's alone, and what runs from it writes for a team"
    for host in {job["LastRemoteHost"].split("@")[1] for job in jobs}:
        found = project.pool.execute(host, "sh", "-c", f"ls {COPIES}; stat -c %a-%U {COPIES}").stdout.split()
        assert len(found) == 3, f"one copy, its lock, the folder's mode: {found}"
        assert found[2] == "700-submit"


def check_queue(project):
    """What a person sees while both models train."""
    batches = project.shell("condor_q").stdout
    single = project.shell("condor_q -nobatch").stdout
    for model in ("lr", "dt"):
        assert f"loan-default/train_{model}" in batches
        assert f"(train_{model})" in single
    assert {job["AccountingGroup"] for job in project.queue()} == {"group_credit.submit"}


def check_files(project, jobs):
    """What each job has left among the logs, and what that says of where it ran from."""
    descriptions = {job["JobDescription"] for job in jobs}
    assert {"split", "evaluate, model=dt", "predict, application=february"} <= descriptions
    logs = project.path / "results" / "logs"
    for job in jobs:
        for kind in ("out", "err"):
            assert (logs / job["SnakemakeRule"]).is_dir()
            assert (project.path / job[kind.capitalize()]).parent == logs / job["SnakemakeRule"]
            assert job[kind.capitalize()].endswith(f".htcondor-1.{kind}")
            assert (project.path / job[kind.capitalize()]).exists()
        assert f"Command: {COPIES}/" in (project.path / job["Err"]).read_text(), f"{job['Err']} ran from elsewhere"
    (events,) = (logs / "htcondor").glob("*.log")
    ended = re.findall(r"^005 ", events.read_text(), re.MULTILINE)  # "job terminated", one an event
    assert len(ended) == len(jobs)
