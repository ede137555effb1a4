"""One line in the profile: jobs run from a copy of the environment on the node's own disk."""

COPIES = "/var/tmp/environments-5000"


def test_jobs_run_from_the_nodes_own_copy_and_results_are_the_same(project, expected):
    profile = project.path / "profiles" / "htcondor" / "config.yaml"
    line = "htcondor-steady-node-copy: /var/tmp"
    text = profile.read_text()
    assert f"# {line}" in text
    profile.write_text(text.replace(f"# {line}", line))

    done = project.run(command="/shared/environment/bin/snakemake --profile profiles/htcondor")
    assert done.returncode == 0, done.stdout[-3000:]
    assert project.checksums() == expected

    jobs = project.history()
    assert len(jobs) == 10
    for path in (project.path / "results" / "logs").rglob("*.err"):
        assert f"Command: {COPIES}/" in path.read_text(), f"{path} ran from elsewhere"
    for host in {job["LastRemoteHost"].split("@")[1] for job in jobs}:
        found = project.pool.execute(host, "sh", "-c", f"ls {COPIES}; stat -c %a-%U {COPIES}").stdout.split()
        assert len(found) == 3, f"one copy, its lock, the folder's mode: {found}"
        assert found[2] == "700-submit"
