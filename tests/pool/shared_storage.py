"""What must hold on any shared storage: the checks that the tests of sshfs and of NFS have in common.

They are made in this order in one project, since one run follows another.
"""

import re
import subprocess

from pool.pool import Pool
from tests.pool.harness import LOCAL, SNAKEMAKE, Project

Checksums = dict[str, str]

SHALLOWER = "sed -i 's/max_depth: 10/max_depth: 4/' config/config.yaml"
TREE_AND_WHAT_FOLLOWS = ["compare", "evaluate", "predict", "predict", "select", "train_dt"]


def rules(output: str) -> list[str]:
    """Return the rules that a run has finished, sorted."""
    found = re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", output)
    return sorted(rule for rule in found if rule != "all")


def succeeded(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """Check that a run ended well, with no job tried again and no file taken for missing."""
    assert done.returncode == 0, done.stdout[-3000:]
    for complaint in ("Missing files", "MissingOutputException", "Trying to restart", "Error in rule"):
        assert complaint not in done.stdout, done.stdout[-3000:]
    return done


def checksums_without_pool(pool: Pool) -> tuple[Checksums, Checksums]:
    """Return the checksums of two runs, the second with a shallower tree: where the files lie, by the local profile."""
    project = Project(pool, "local")

    def run(line: str) -> Checksums:
        done = pool.execute(pool.files_host, "bash", "-c", f"cd {project.inside} && {line}", user="submit")
        assert done.returncode == 0, done.stdout[-3000:]
        return project.checksums()

    return run(LOCAL), run(f"{SHALLOWER} && {LOCAL}")


def check_reads(project: Project) -> None:
    """Write a file again and again on one host: each of the others reads what was written last."""
    for turn in range(3):
        line = f"cd {project.inside} && echo {turn} >.note && mv .note note"
        assert project.pool.execute("ep1", "sh", "-c", line, user="submit").returncode == 0
        for host in ("ap", "ep2"):
            read = project.pool.execute(host, "cat", f"{project.inside}/note", user="submit")
            assert read.stdout == f"{turn}\n"


def check_whole_run(project: Project, expected: tuple[Checksums, Checksums]) -> None:
    """Run all; compare the bytes."""
    done = succeeded(project.shell(SNAKEMAKE))
    assert len(rules(done.stdout)) == 10
    assert project.checksums() == expected[0]
    hosts = {str(job["LastRemoteHost"]).split("@")[1] for job in project.history()}
    assert hosts == {"ep1", "ep2"}


def check_rerun(project: Project) -> None:
    """Run again: there is nothing to do."""
    assert "Nothing to be done" in succeeded(project.shell(SNAKEMAKE)).stdout


def check_partial_rerun(project: Project, expected: tuple[Checksums, Checksums]) -> None:
    """Change a model's parameter: it is trained again, and what follows from it."""
    assert project.shell(SHALLOWER).returncode == 0
    done = succeeded(project.shell(SNAKEMAKE))
    assert rules(done.stdout) == TREE_AND_WHAT_FOLLOWS
    assert project.checksums() == expected[1]
    assert expected[1] != expected[0]


def check_replaced_input(project: Project) -> None:
    """Replace a raw file on another host just after it was looked at here: a run that starts now takes the new one."""
    assert "Nothing to be done" in succeeded(project.shell(SNAKEMAKE)).stdout
    loans = f"{project.inside}/data/sample/loans.csv"
    line = f"head -n -1 {loans} >{loans}.new && mv {loans}.new {loans}"
    before = project.path / "results/data/summary.json"
    rows_in = before.read_text()
    assert project.pool.execute("ep1", "sh", "-c", line, user="submit").returncode == 0
    succeeded(project.shell(f"{SNAKEMAKE} --until split"))
    assert before.read_text() != rows_in
