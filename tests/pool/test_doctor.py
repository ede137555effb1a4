"""The doctor on a real pool: nothing is found on a healthy one, and each fault that is made for real is told."""

import contextlib
import json
import re
import shlex
import time

import pytest

from tests.pool.harness import Hosts, wait_until, wait_until_no_slot_is_kept
from tests.pool.small import configured

DOCTOR = (
    "PYTHONPATH=plugins/snakemake-logger-plugin-htcondor timeout -s INT 400 "
    "/shared/environment/bin/python -m snakemake_logger_plugin_htcondor.doctor"
)
PROFILE = "-- --profile profiles/htcondor"

LARGE = """
rule all:
    input: "large.txt", "model.txt", "grouped.txt"
rule large:
    output: "large.txt"
    resources: mem_mb=100 * 1024
    shell: "touch {output}"
rule first:
    output: "first.txt"
    shell: "touch {output}"
rule model:
    input: "first.txt"
    output: "model.txt"
    resources: mem_mb=lambda wildcards, input: max(100, input.size_mb)
    shell: "touch {output}"
rule elsewhere:
    output: "elsewhere.txt"
    resources: requirements='TARGET.OpSysAndVer == "CentOS7"'
    shell: "touch {output}"
rule grouped:
    input: "elsewhere.txt"
    output: "grouped.txt"
    group: "g"
    shell: "touch {output}"
"""


class Report:
    """What the doctor has printed as JSON, and its exit code."""

    def __init__(self, done):
        self.code = done.returncode
        # The engine keeps standard error with standard output; nothing but the document may be there.
        self.document = json.loads(done.stdout)
        self.checks = self.document["checks"]

    def found(self, name, result):
        """Return subject and sentence of the checks of an id that ended so."""
        return [f"{c['subject']}: {c['sentence']}" for c in self.checks if (c["id"], c["result"]) == (name, result)]

    def one(self, name, result):
        """Return the only one."""
        found = self.found(name, result)
        assert len(found) == 1, json.dumps(self.document, indent=1)
        return found[0]

    @property
    def wrong(self):
        """The ids that failed or warned."""
        return {check["id"] for check in self.checks if check["result"] in ("fail", "warn")}


def doctor(project, arguments="", behind=PROFILE):
    """Run the doctor to its end, in the project on the access point."""
    return Report(project.shell(f"{DOCTOR} --json {arguments} {behind}"))


def left_behind(project):
    """Return what the doctor should have taken away: its jobs in the queue, and its files."""
    ask = ["condor_q", "-all", "-constraint", "SnakemakeDoctor =?= true", "-af", "ClusterId"]
    jobs = project.pool.execute("ap", *ask, user="submit").stdout.split()
    return jobs + [str(path) for path in project.path.glob(".snakemake/htcondor-doctor*")]


@contextlib.contextmanager
def changed(pool, host, command, back):
    """Change something on a host, and change it back in the end."""
    done = pool.engine.run("exec", "--privileged", pool.container(host), "sh", "-c", command)
    try:
        assert done.returncode == 0, done.stdout
        yield
    finally:
        done = pool.engine.run("exec", "--privileged", pool.container(host), "sh", "-c", back)
        assert done.returncode == 0, done.stdout


@pytest.fixture
def free_slots(pool):
    """No slot is kept for a job that an earlier test has left: each node takes a probe at once."""
    wait_until_no_slot_is_kept(pool)


@pytest.mark.usefixtures("free_slots")
def test_a_healthy_pool_passes(project):
    report = doctor(project, "--deadline 180")  # on a busy machine the imports take long
    assert report.code == 0 and report.wrong == set(), json.dumps(report.document, indent=1)
    assert report.one("pool.nodes", "pass") == ": 2 execute nodes with 2 slots, 4 cores and 16 GB of memory"
    assert report.one("pool.authentication", "pass").startswith(": the schedd knows you as submit@pool (by IDTOKENS)")
    assert report.one("node.folder", "pass") == f"ep1 and ep2: {project.inside} is read and written"
    assert "locked packages as here" in report.one("node.packages", "pass")
    assert report.found("run.match", "pass") == ["rule preprocess: 2 of 2 slots are free and would take it"]
    later = report.found("run.match", "not run")
    assert "rule split: what it asks for is not known before its inputs exist (disk_mb, mem_mb)" in later
    assert left_behind(project) == []


DEMANDS_A_GROUP = """
SUBMIT_REQUIREMENT_NAMES = Group
SUBMIT_REQUIREMENT_Group = AcctGroup =!= undefined
SUBMIT_REQUIREMENT_Group_REASON = "name your accounting group"
"""


@pytest.mark.usefixtures("free_slots")
def test_a_pool_that_demands_an_accounting_group_gets_it_from_the_doctors_own_jobs_too(pool, project):
    with configured(pool, DEMANDS_A_GROUP, "ap"):
        report = doctor(project, behind=f"{PROFILE} --htcondor-steady-accounting-group group_credit")
        assert report.code == 0 and report.wrong == set(), json.dumps(report.document, indent=1)
        assert report.one("node.folder", "pass").startswith("ep1 and ep2: ")
        without = doctor(project)
        assert without.code == 1
        assert "name your accounting group" in without.one("run.match", "fail")
    assert left_behind(project) == []


QUICK = """
import json, pathlib, time
from snakemake_logger_plugin_htcondor.doctor import quick
began = time.monotonic()
found = quick(pathlib.Path.cwd())
print(json.dumps([time.monotonic() - began, [[check.id, check.result] for check in found]]))
"""


def test_the_quick_check_submits_nothing_and_takes_a_moment(pool, project):
    def schedd(attribute):
        return pool.execute("ap", "condor_status", "-schedd", "-af", attribute, user="submit").stdout

    def told_anew():
        told = schedd("UpdateSequenceNumber")
        wait_until(lambda: schedd("UpdateSequenceNumber") != told, 20, "the schedd tells of itself anew")
        return schedd("JobsSubmitted")

    before = told_anew()  # it may not have told yet of an earlier test's jobs
    (project.path / "quick.py").write_text(QUICK)
    done = project.shell("PYTHONPATH=plugins/snakemake-logger-plugin-htcondor /shared/environment/bin/python quick.py")
    took, found = json.loads(done.stdout)
    assert {result for _, result in found} == {"pass"} and len(found) == 10
    assert took < 10  # half a second on an idle machine; this one may be busy
    assert told_anew() == before


def test_on_no_terminal_it_writes_plain_text(project):
    done = project.shell(f"{DOCTOR} --no-probe {PROFILE}")
    assert done.returncode == 0
    assert "PASS    pool.schedd: the schedd answers: ap (" in done.stdout
    assert "NOT RUN node.probe: --no-probe was given." in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.usefixtures("settled")
def test_a_rule_that_no_slot_can_take_is_found_before_the_run(project):
    (project.path / "Snakefile").write_text(LARGE)
    report = doctor(project, "--no-probe", f"{PROFILE} --snakefile Snakefile")
    assert report.code == 1
    assert report.found("run.match", "fail") == [
        "rule elsewhere: NEVER: 1 of its 5 requirements matches no slot, the culprit is "
        '`TARGET.OpSysAndVer == "CentOS7"` (OpSysAndVer is "Debian13" on all 2); 0 of 2 slots match',
        "rule large: NEVER: asks for 100 GB of memory, the largest slot has 8 GB (ep1); 0 of 2 slots match",
    ]
    assert report.found("run.match", "pass") == ["rule first: 2 of 2 slots are free and would take it"]
    assert report.found("run.match", "not run") == [
        "rule model: what it asks for is not known before its inputs exist (mem_mb)",
        "rule grouped: its jobs run in groups, whose requests are sums",
    ]
    assert left_behind(project) == []


@pytest.mark.usefixtures("settled")
def test_the_upstream_executor_has_its_own_words(project):
    text = LARGE.replace("mem_mb=100 * 1024", "mem_mb=100 * 1024, htcondor_request_mem_mb=200 * 1024")
    (project.path / "Snakefile").write_text(text)
    report = doctor(project, "--no-probe", "-- --executor htcondor --jobs 1 --snakefile Snakefile large.txt")
    assert report.one("run.plan", "pass") == ": 1 job to run by executor htcondor"
    assert "asks for 200 GB of memory" in report.one("run.match", "fail")


def test_a_run_that_cannot_be_planned_is_told(project):
    report = doctor(project, "--no-probe", f"{PROFILE} --config data=nothing")
    assert report.code == 1
    assert "Snakemake's dry run fails: " in report.one("run.plan", "fail")


@pytest.mark.usefixtures("free_slots")
def test_no_python_on_one_node_and_a_wrong_clock_on_the_other(pool, project):
    python, date = "/usr/bin/python3.13", "/usr/bin/date"
    # A whole clock can't be set in a container; what tells the time there can.
    lie = f"""printf '#!/bin/sh\\nexec {date}.true -d "+90 seconds" "$@"\\n' >{date} && chmod 755 {date}"""
    with (
        changed(pool, "ep1", f"mv {python} {python}.away", f"mv {python}.away {python}"),
        changed(pool, "ep2", f"mv {date} {date}.true && {lie}", f"mv {date}.true {date}"),
    ):
        report = doctor(project)
    assert report.code == 1
    assert report.one("node.python", "fail").startswith(
        "ep1: /shared/environment/bin/python, which runs Snakemake here, "
    )
    assert report.one("node.python", "pass") == "ep2: /shared/environment/bin/python runs there, Python 3.13.5"
    clock = report.one("node.clock", "warn")
    assert clock.startswith("ep2: the clock is at least ") and "s ahead of this host's" in clock
    assert 80 <= int(clock.split("at least ")[1].split()[0]) <= 90
    assert report.one("node.folder", "pass").startswith("ep1 and ep2: ")


@pytest.mark.usefixtures("free_slots")
def test_a_folder_that_one_node_cannot_write_and_the_other_does_not_have(pool, project):
    folder = shlex.quote(project.inside)
    with (
        changed(
            pool, "ep1", f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder}", f"umount -l {folder}"
        ),
        changed(pool, "ep2", f"mount -t tmpfs none {folder}", f"umount -l {folder}"),
    ):
        report = doctor(project)
    assert report.code == 1
    assert sorted(report.found("node.folder", "fail")) == [
        f"ep1: {project.inside} can't be written: Read-only file system",
        f"ep2: {project.inside} is there, but is not the folder of this host, or is too old a view of it: what this "
        "host made a moment ago can't be opened (No such file or directory)",
    ]
    assert "is mounted with ro: nothing can be written" in report.one("node.mount", "fail")


@pytest.mark.usefixtures("free_slots")
def test_a_folder_that_is_not_mounted_on_one_node_and_another_uid_on_the_other(pool, project):
    change, back = "s/^submit:x:5000:/submit:x:5001:/", "s/^submit:x:5001:/submit:x:5000:/"
    with (
        changed(pool, "ep1", "mount -t tmpfs none /shared", "umount -l /shared"),
        changed(pool, "ep2", f"sed -i {change} /etc/passwd", f"sed -i {back} /etc/passwd"),
    ):
        report = doctor(project)
    assert sorted(report.found("node.folder", "fail")) == [
        f"ep1: {project.inside} can't be opened: No such file or directory",
        f"ep2: {project.inside} can't be written: Permission denied",
    ]
    assert "does not run there: No such file" in report.one("node.python", "fail")
    assert report.one("node.user", "fail") == "ep2: jobs run there with uid 5001, here you have uid 5000"


@pytest.mark.usefixtures("free_slots")
def test_nodes_that_cannot_start_jobs(pool, project):
    """The user is unknown on one, and on the other the scratch folder is read-only."""
    with (
        changed(
            pool,
            "ep1",
            "sed -i s/^submit:/nobody-knows:/ /etc/passwd",
            "sed -i s/^nobody-knows:/submit:/ /etc/passwd",
        ),
        changed(pool, "ep2", "mount -t tmpfs -o ro none /var/lib/condor/execute", "umount -l /var/lib/condor/execute"),
    ):
        report = doctor(project)
    assert report.code == 1
    found = report.found("node.probe", "fail")
    failed = [subject for line in found for subject in re.split(" and ", line.partition(": ")[0])]
    assert sorted(failed) == ["ep1", "ep2"], found
    for sentence in found:  # one for both, where HTCondor gives the same reason
        assert re.search(
            r": a small job was sent there and came back (?:[3-9]|\d\d+) times \(.+\): the node can't start jobs",
            sentence,
        )
    assert left_behind(project) == []


@pytest.mark.usefixtures("free_slots")
def test_a_package_that_one_node_cannot_import(pool, project):
    """Its file is there, and no library: as where it was built for another processor or system."""
    library = "$(readlink -f /shared/environment/lib/python3.*/site-packages/pydantic_core/_pydantic_core.*.so)"
    with changed(pool, "ep2", f"mount --bind /etc/hostname {library}", f"umount -l {library}"):
        report = doctor(project, "--deadline 180")
    assert report.code == 1
    found = report.one("node.packages", "fail")
    assert found.startswith("ep2: 1 package can't be imported there: pydantic-core (ImportError: ")
    assert "locked packages as here, and they can be imported" in report.one("node.packages", "pass")


@pytest.mark.usefixtures("free_slots")
def test_a_request_for_more_disk_than_is_free_and_a_folder_with_a_dollar_sign(project):
    elsewhere = f"{project.inside}/it's $(X) here"
    line = f"mkdir {shlex.quote(elsewhere)} && cp -r profiles plugins {shlex.quote(elsewhere)}"
    assert project.shell(line).returncode == 0
    (project.path / "it's $(X) here/Snakefile").write_text(WANTS_MUCH_DISK)
    done = project.shell(
        f"cd {shlex.quote(elsewhere)} && {DOCTOR} --json {PROFILE} --snakefile Snakefile --configfile"
        f" {project.inside}/config/config.yaml"
    )
    report = Report(done)
    assert report.code == 0, json.dumps(report.document, indent=1)
    assert report.one("node.folder", "pass") == f"ep1 and ep2: {elsewhere} is read and written"
    found = report.one("run.match", "warn")
    assert found.startswith("rule vast: NOT YET: asks for 200 TB of disk, the most that is free is ")


WANTS_MUCH_DISK = """
rule vast:
    output: "vast.txt"
    resources: disk_mb=200 * 1024 * 1024
    shell: "touch {output}"
"""


@pytest.mark.usefixtures("free_slots")
def test_a_node_that_is_silent(pool, project):
    process = "$(pgrep -f ^condor_startd)"
    with changed(pool, "ep2", f"kill -STOP {process}", f"kill -CONT {process}"):
        report = doctor(project, "--deadline 20")
    assert report.code == 0
    found = report.one("node.probe", "warn")
    assert found.startswith("ep2: a small job did not start there within 20 s: it gives no answer")


UPSTREAM = (
    "/shared/environment/bin/snakemake --executor htcondor --jobs 1 --logger htcondor --snakefile Snakefile first.txt"
)


def test_no_execute_nodes(pool, project):
    try:
        for host in ("ep1", "ep2"):
            assert pool.execute(host, "condor_off", "-fast", "-startd").returncode == 0
        ask = ["condor_status", "-af", "Name"]
        wait_until(lambda: not pool.execute("ap", *ask, user="submit").stdout.strip(), 60, "no slot is left")
        report = doctor(project)
        (project.path / "Snakefile").write_text(LARGE)
        run = project.start(command=f"env PYTHONPATH=plugins/snakemake-logger-plugin-htcondor {UPSTREAM}")
        run.wait_for(r"htcondor: the collector knows of no execute node, so no job can start\. Nodes may be starting")
        run.signal("INT")
        run.wait(60)
    finally:
        for host in ("ep1", "ep2"):
            pool.execute(host, "condor_on", "-startd")
        Hosts(pool).heal()
    assert report.code == 1
    assert report.one("pool.nodes", "fail") == ": the collector knows of no execute node, so no job can start"
    assert report.one("run.match", "warn").startswith("rule preprocess: UNKNOWN: ")
    assert report.one("node.probe", "not run") == ": there is no execute node"


@pytest.mark.parametrize(
    ("host", "daemon", "check"),
    [
        ("cm", "negotiator", "pool.negotiator"),
        ("cm", "collector", "pool.collector"),
        ("ap", "schedd", "pool.schedd"),
    ],
)
def test_a_daemon_that_is_stopped_does_not_hang_the_doctor(pool, project, host, daemon, check):
    process = f"$(pgrep -f ^condor_{daemon})"
    with changed(pool, host, f"kill -STOP {process}", f"kill -CONT {process}"):
        began = time.monotonic()
        report = doctor(project)
        took = time.monotonic() - began
    assert report.code == 1
    found = report.one(check, "fail")
    assert daemon in found and "does not answer: no answer within 10 s" in found
    assert (
        report.one("node.probe", "not run")
        == f": the {'collector' if daemon == 'collector' else daemon} does not answer"
    )
    assert took < 60


SLEEPER = """
executable = /bin/sleep
arguments = 300
request_cpus = 2
request_memory = 100
request_disk = 100
requirements = TARGET.Machine == "ep1"
queue
"""


@pytest.mark.usefixtures("free_slots")
def test_a_busy_node_is_a_warning_and_ctrl_c_leaves_nothing(pool, project):
    (project.path / "sleeper.sub").write_text(SLEEPER)
    try:
        assert project.shell("condor_submit sleeper.sub").returncode == 0
        running = ["condor_q", "-all", "-constraint", "JobStatus == 2", "-af", "ClusterId"]
        wait_until(lambda: bool(pool.execute("ap", *running, user="submit").stdout.split()), 60, "the sleeper runs")
        left = ["condor_status", "-constraint", 'PartitionableSlot && Machine == "ep1"', "-af", "Cpus"]
        wait_until(lambda: pool.execute("ap", *left, user="submit").stdout.strip() == "0", 30, "the pool knows it")
        report = doctor(project, "--deadline 20")
        assert report.code == 0
        assert report.one("node.probe", "warn") == (
            "ep1: a small job did not start there within 20 s: it is busy; nothing else could be checked"
        )
        assert report.one("node.folder", "pass").startswith("ep2: ")
        assert left_behind(project) == []

        run = project.start("--deadline 120 " + PROFILE, command=DOCTOR_ALONE)
        wait_until(lambda: left_behind(project), 60, "its jobs are in the queue")
        run.signal("INT")
        assert run.wait(40) == 130, run.output
        assert "interrupted; its jobs and files are removed" in run.output
        assert left_behind(project) == []
    finally:
        project.shell("condor_rm -constraint 'Cmd == \"/bin/sleep\"'")


DOCTOR_ALONE = (
    "env PYTHONPATH=plugins/snakemake-logger-plugin-htcondor "
    "/shared/environment/bin/python -m snakemake_logger_plugin_htcondor.doctor"
)


def test_wrong_usage(project):
    assert project.shell(f"{DOCTOR} --deadline 0").returncode == 2
    assert project.shell(f"{DOCTOR} --lock no-such.lock").returncode == 2
