"""Why jobs wait: each cause made to happen on the real pool, and the sentence that is said of it."""

import re

import pytest

from tests.pool.harness import wait_until, wait_until_no_slot_is_kept
from tests.pool.small import configured, end, rule, slots_say, start, write

pytestmark = pytest.mark.usefixtures("settled")


def test_what_can_never_start_is_told_before_and_during_the_run_with_the_figures(project):
    write(
        project,
        rule("big", mem_mb=102400),
        rule("painted", requirements="(TARGET.HasGreenPaint)"),
        rule("far", requirements='(TARGET.Arch == "ppc64le")', numbers=40),
    )
    # All are submitted by then: one line for those of one reason.
    run = start(project, "--logger-htcondor-idle-after 20")
    big = r"NEVER: asks for 100 GB of memory, the largest slot has 8 GB \(ep[12]\); 0 of 2 slots match\. Lower mem_mb"
    run.wait_for(rf"htcondor: big \(job \d+\.0\) has been idle for \d+\.?\d* s\. {big}")
    run.wait_for(
        r"htcondor: 40 jobs of far have been idle for up to .*\. NEVER: 1 of its \d+ requirements matches no slot, the "
        r"culprit is "
        r'`TARGET\.Arch == "ppc64le"` \(Arch is "X86_64" on all 2\); 0 of 2 slots match\.'
    )
    run.wait_for(r"htcondor: painted \(job .*`TARGET\.HasGreenPaint` \(no slot defines HasGreenPaint\)")
    before, _, _ = run.output.partition("is HTCondor job")
    assert re.search(rf"htcondor: big can't start on this pool as it is\. {big}", before), "told before the first job"
    end(run)
    assert len(re.findall(r"htcondor: big \(job .* has been idle", run.output)) == 1, "said once"
    assert len(re.findall(r"far .*have been idle|far, n=\d+ .*has been idle", run.output)) == 1, "and once for all"


# So that the test need not wait for five minutes.
SOON = """
import snakemake_logger_plugin_htcondor as plugin
plugin.SOONEST_REMOVAL = 1
"""


def test_a_job_that_can_never_start_is_removed_where_the_user_says_so_and_no_other(project):
    write(project, rule("big", mem_mb=102400), rule("slow", "sleep 15; touch {output}"))
    run = start(project, "--logger-htcondor-never-after 3", command=project.patched(SOON))
    assert run.wait(60) != 0
    assert re.search(r"htcondor: big \(job .* is removed, as it can never start\. NEVER: asks for 100 GB", run.output)
    assert re.search(r"Error in rule big:\n\s+message: .*as it can never start\. NEVER: asks for 100 GB", run.output)
    assert len(project.history('SnakemakeRule == "big"')) == 1, "another attempt could never start, either"
    assert (project.path / "out/slow.txt").exists()
    assert "Trying to restart" not in run.output


def test_slots_that_refuse_the_user(project, pool):
    with configured(pool, 'START = TARGET.Owner == "somebody"', "ep1", "ep2"):
        slots_say(pool, "Start", "somebody")
        write(project, rule("plain"))
        run = start(project)
        run.wait_for(
            r"htcondor: plain \(job .*\. NEVER: 2 of 2 slots would suit its requirements, but by START refuse the job "
            r'\(user submit\): `START = TARGET\.Owner == "somebody"` on ep1 and ep2'
        )
        end(run)


def test_draining_nodes_and_that_the_job_runs_when_they_are_back(project, pool):
    told = pool.execute("ap", "condor_status", "-constraint", "PartitionableSlot", "-af", "MyAddress", user="submit")
    addresses = told.stdout.split()
    assert len(addresses) == 2, told.stdout
    try:
        for address in addresses:
            done = pool.execute("cm", "condor_drain", address)
            assert done.returncode == 0, done.stdout
        slots_say(pool, "State", "Drained")
        write(project, rule("plain"))
        run = start(project)
        run.wait_for(
            r"htcondor: plain \(job .*\. NOT YET: 2 of 2 slots could take it and are draining, that is, take no "
            r"new jobs: ep1 and ep2"
        )
    finally:
        for address in addresses:
            pool.execute("cm", "condor_drain", "-cancel", address)
    assert run.wait(60) == 0, run.output[-2000:]
    assert re.search(r"htcondor: plain \(job \d+\.0\) runs on ep[12] now, after \d+", run.output)


def test_a_negotiator_that_is_stopped(project, pool):
    wait_until_no_slot_is_kept(pool)  # which would take the job without it
    assert pool.execute("cm", "pkill", "-STOP", "condor_negotia").returncode == 0
    try:
        write(project, rule("plain"))
        run = start(project)
        run.wait_for(
            # The collector forgets who is silent for half a minute: on a busy machine, the run asks after that.
            r"htcondor: plain \(job .*\. NOT YET: 2 of 2 slots are free and would take it, but "
            r"(the negotiator doesn't answer|no negotiator is known to the collector)",
            80,
        )
    finally:
        pool.execute("cm", "pkill", "-CONT", "condor_negotia")
    assert run.wait(60) == 0, run.output[-2000:]


def test_a_pool_that_shrinks_and_one_without_nodes_are_unknown(project, pool):
    """A node that goes away may come back: what only it could take is not said to start never."""
    write(
        project,
        rule("plain"),
        rule("pinned", requirements='(TARGET.Machine == "ep2")'),
        rule("go", "while [ ! -e go ]; do sleep 0.3; done; touch {output}", more="localrule: True"),
        rule("later", more="input: 'out/go.txt'"),
    )

    def node(host, state):
        done = pool.execute(host, f"condor_{state}", "-startd")
        assert done.returncode == 0, done.stdout

    def nodes():
        told = pool.execute("ap", "condor_status", "-af", "Machine", user="submit")
        return set(told.stdout.split()) if told.returncode == 0 else None

    try:
        with configured(pool, 'START = TARGET.Owner == "somebody"', "ep1", "ep2"):  # the run sees slots, and goes on
            slots_say(pool, "Start", "somebody")
            run = start(project, "--logger-htcondor-idle-after 40")
            run.wait_for(r"\(pinned\) is HTCondor job", 60)  # before its first job, the run has looked at the slots
            node("ep2", "off")
            run.wait_for(
                r"htcondor: pinned \(job .*\. UNKNOWN: 1 slot that the pool had before is gone \(slot1@ep2\), and no "
                r"other can take it: 1 of its \d requirements matches no slot"
            )
            node("ep1", "off")
            wait_until(lambda: nodes() == set(), 40, "no node is there")
            project.shell("touch go")
            run.wait_for(
                r"htcondor: later \(job .*UNKNOWN: the collector knows of no execute node, so no job can start", 60
            )
    finally:
        for host in ("ep1", "ep2"):
            node(host, "on")
        wait_until(lambda: nodes() == {"ep1", "ep2"}, 60, "both nodes are back")
    assert run.wait(60) == 0, run.output[-2000:]
    assert "NEVER" not in run.output.partition("is HTCondor job")[2]


def test_a_quota_and_a_concurrency_limit_that_are_reached(project, pool):
    policy = "GROUP_NAMES = group_credit\nGROUP_QUOTA_group_credit = 1\nGROUP_ACCEPT_SURPLUS = False\nLICENSE_LIMIT = 0"
    write(
        project,
        rule("mine", "sleep 12; touch {output}", mem_mb=301, accounting_group="group_credit"),
        rule("mine_too", "sleep 12; touch {output}", mem_mb=302, accounting_group="group_credit"),
        rule("licensed", mem_mb=303, classad_ConcurrencyLimits="license"),
    )
    wait_until_no_slot_is_kept(pool)
    with configured(pool, policy, "cm"):
        users = ("condor_userprio", "-allusers")
        wait_until(lambda: "group_credit" in pool.execute("cm", *users).stdout, 40, "the negotiator knows the group")
        run = start(project)
        run.wait_for(
            r"htcondor: mine\w* \(job .*NOT YET: the quota of accounting group group_credit is reached: it uses "
            r"1 of 1 cores"
        )
        run.wait_for(r"htcondor: licensed \(job .*NOT YET: a concurrency limit that the job names is used up")
    assert run.wait(100) == 0, run.output[-2000:]
