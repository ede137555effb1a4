"""What is said of jobs that are held, fail, are evicted, and of a healthy run; and a workflow that is not ours."""

import json
import re

import pytest

from tests.pool.harness import wait_until, wait_until_no_slot_is_kept
from tests.pool.small import QUICK, configured, end, rule, start, write

pytestmark = pytest.mark.usefixtures("settled")

BEGUN = "mkdir -p begun; touch begun/{rule}"
AFTER_BOTH = "input: 'out/both.txt'"


def test_held_by_policy_failed_and_busy_are_told_with_what_a_person_needs(project, pool):
    policy = (
        "SYSTEM_PERIODIC_HOLD = (MemoryUsage > RequestMemory) || (Naughty =?= 1)\n"
        'SYSTEM_PERIODIC_HOLD_REASON = ifThenElse(Naughty =?= 1, "naughty jobs are not run here", "too large")'
    )
    write(
        project,
        # The large ones first: in Snakemake's order, which is any, two small ones may fill a node before them.
        rule("fits_alone", BEGUN + "; sleep 40; touch {output}", mem_mb=7000, threads=1),
        rule("fits_alone_too", BEGUN + "; sleep 40; touch {output}", mem_mb=7001, threads=1),
        rule("both", "until [ $(ls begun | wc -l) = 2 ]; do sleep 0.2; done; touch {output}", more="localrule: True"),
        rule("naughty", "sleep 120; touch {output}", more=AFTER_BOTH, classad_Naughty=1),
        rule(
            "broken",
            "echo it is broken since there is no such thing >{log}; exit 3",
            more=f"{AFTER_BOTH}\n    log: 'logs/broken.log'",
        ),
        rule("killed", "kill -SEGV $$", more=AFTER_BOTH),
        rule("has_to_wait", mem_mb=7002, more=AFTER_BOTH),
    )
    with configured(pool, policy, "ap"):
        run = start(project, "--retries 0 --logger-htcondor-idle-after 9")
        assert run.wait(90) != 0
    said = run.output
    assert re.search(
        r"htcondor: naughty \(job \d+\.0\) is held(?: on ep[12])?\. The access point's policy "
        r"\(SYSTEM_PERIODIC_HOLD\) put the job on hold\. HTCondor says: "
        r"naughty jobs are not run here\. .* It is not retried, as it would be held again\.",
        said,
    )
    assert re.search(
        r"htcondor: broken \(job \d+\.0\) failed with exit code 1 on ep[12] after .*; it used \d+ MB of the 300 MB of "
        r"memory it asked for\n  the end of logs/broken\.log:\n    it is broken since there is no such thing\n"
        r"  the end of logs/broken\.htcondor-1\.err:\n(    .*\n)*    .* returned non-zero exit status 3\.\n",
        said,
    )
    assert re.search(r"died with <Signals\.SIGSEGV|SIGSEGV", said)
    assert re.search(
        r"htcondor: \w+ \(job \d+\.0\) has been idle for .*NOT YET: 2 of 2 slots could take it, and all are busy with "
        r"\d+ jobs? \(.*at most .* of memory free, it asks for 6\.8 GB\); your priority is",
        said,
    )


@pytest.fixture
def boss(pool):
    """Another user, with a better priority, on a pool that lets the better one go first."""
    folder = "/home/boss/.condor/tokens.d"
    lines = [
        "useradd -m boss 2>/dev/null; install -d -m 700 -o boss -g boss /home/boss/.condor /home/boss/.condor/tokens.d",
        f"umask 077 && condor_token_create -identity boss@pool -key POOL >{folder}/pool && chown boss {folder}/pool",
    ]
    assert pool.execute("ap", "sh", "-c", " && ".join(lines)).returncode == 0
    for node in ("ep1", "ep2"):
        pool.execute(node, "useradd", "-m", "boss")
    policy = "PREEMPTION_REQUIREMENTS = True\nALLOW_PSLOT_PREEMPTION = True\nNEGOTIATOR_CONSIDER_PREEMPTION = True"
    with configured(pool, policy, "cm"):
        assert pool.execute("cm", "condor_userprio", "-setprio", "submit@pool", "1000000").returncode == 0
        yield "boss"
        pool.execute("ap", "condor_rm", "-all", user="boss")
        pool.execute("cm", "condor_userprio", "-setprio", "submit@pool", "500")


def test_an_eviction_by_a_user_of_better_priority(project, pool, boss):
    write(
        project,
        rule("long", "sleep 60; touch {output}", numbers=5),
        rule("last", mem_mb=301, htcondor_submit_priority=-5),
    )
    run = start(project)
    wait_until(lambda: len(project.running()) == 4, 60, "all cores are in use")
    run.wait_for(r"htcondor: last \(job .*NOT YET: .*all are busy .*; 1 idle job is ahead of it")
    submit = (
        "printf 'executable=/bin/sleep\\narguments=8\\nrequest_cpus=2\\nrequest_memory=7000\\nlog=/tmp/boss.log\\n"
        "queue\\n' | condor_submit -"
    )
    done = pool.execute("ap", "sh", "-c", submit, user=boss)
    assert done.returncode == 0, done.stdout
    run.wait_for(
        r"htcondor: long, n=\d \(job \d+\.0\) was evicted from ep[12]: .*; it waits in the queue again\. "
        r"ep[12] runs jobs of boss@pool now",
        40,
    )
    run.wait_for(r"htcondor: long, n=\d \(job \d+\.0\) starts again, on ep[12].*; this is start 2")
    end(run)


def test_a_shadow_and_a_starter_that_die(project, pool):
    """Each is one half of what HTCondor has of a running job, on the access point and on its node."""
    lease = {"htcondor_submit_job_lease_duration": 10}  # for so long, a node keeps what nobody asks it for
    write(
        project,
        rule("shadowless", "sleep 60; touch {output}", requirements='(TARGET.Machine == "ep1")', **lease),
        rule("starterless", "sleep 60; touch {output}", requirements='(TARGET.Machine == "ep2")'),
    )
    run = start(project)
    wait_until(lambda: len(project.running()) == 2, 60, "both run")
    ((number),) = (job["ClusterId"] for job in project.running("shadowless"))
    assert pool.execute("ap", "pkill", "-KILL", "-f", rf"^condor_shadow.* {number}\.0 ").returncode == 0
    assert pool.execute("ep2", "pkill", "-KILL", "condor_starter").returncode == 0
    run.wait_for(r"htcondor: shadowless \(job \d+\.0\) starts again, on ep1; this is start 2")
    run.wait_for(r"htcondor: starterless \(job \d+\.0\) starts again, on ep2; this is start 2")
    starterless = r"htcondor: starterless \(job \d+\.0\)"
    assert re.search(rf"{starterless} lost the connection to ep2 \(.*\); HTCondor tries to reconnect", run.output)
    assert re.search(
        rf"{starterless} could not be connected to ep2 again \(.*\); it starts again elsewhere", run.output
    )
    end(run)


FOREIGN = """
rule all:
    input: expand("made/{n}.txt", n=NAMES), "made/never.txt"

rule make:
    output: "made/{n}.txt"
    resources: request_memory="500MB"
    shell: "sleep 2; touch {output:q}"

rule never:
    output: "made/never.txt"
    resources: request_memory="90GB"
    shell: "touch {output:q}"
"""


@pytest.mark.parametrize(
    ("executor", "folder", "names"),
    [
        ("htcondor", "work", ["a", "b"]),  # names with spaces fall apart in it
        ("htcondor-steady", "my work é", ["a b", "Käufer ohne Umlaute " + "x-y" * 20 + "é"]),
    ],
)
def test_a_foreign_workflow_with_no_more_than_the_logger(project, executor, folder, names):
    path = project.path / folder
    path.mkdir()
    (path / "Snakefile").write_text(FOREIGN.replace("NAMES", repr(names)))
    project.own()
    line = (
        f"--executor {executor} --jobs 5 --envvars PATH --shared-fs-usage persistence input-output software-deployment "
        f"sources storage-local-copies --seconds-between-status-checks 1 --logger htcondor {QUICK}"
    )
    if executor == "htcondor":
        line += " --default-resources \"getenv='true'\""
    run = project.start(line, command=f"env -C '{folder}' /shared/environment/bin/snakemake")
    never = (
        r"htcondor: never \(job \d+\.0\) has been idle for .*NEVER: asks for 90 GB of memory, the largest slot has 8 GB"
        r" .*Lower mem_mb of the rule \(request_memory with executor htcondor\) to at most \d+, or ask"
    )
    run.wait_for(never)
    wait_until(lambda: run.output.count("Finished jobid") == len(names), 60, "the others are done")
    end(run)
    assert {file.stem for file in (path / "made").glob("*.txt")} == set(names), run.output
    assert re.search(r"^make +\d", run.output, re.MULTILINE), "the table after the run"


DEAF = """
import snakemake_executor_plugin_htcondor_steady as plugin
plugin.Executor._wait_thread = lambda self: None
"""


def test_an_executor_whose_thread_is_dead_is_told(project):
    write(project, rule("plain"))
    run = start(project, "--logger-htcondor-unnoticed-after 5", command=project.patched(DEAF))
    run.wait_for(
        r"htcondor: Snakemake has not noticed for 5\.?0? s that plain \(job \d+\.0\) ended\. The executor's thread", 60
    )
    run.signal("KILL")
    run.wait(30)


BROKEN = """
import snakemake_logger_plugin_htcondor.events as events
def fail(run, event):
    raise RuntimeError("a mistake in the plugin")
events.apply = fail
"""


def test_a_failure_within_the_plugin_harms_no_job_and_is_told_once(project):
    write(project, rule("plain"))
    done = project.run(f"--snakefile small.smk {QUICK}", command=project.patched(BROKEN))
    assert done.returncode == 0, done.stdout[-2000:]
    assert (project.path / "out/plain.txt").exists()
    assert len(re.findall("a mistake in the plugin", done.stdout)) == 1
    assert "htcondor: this plugin failed" in done.stdout


def test_a_healthy_run_is_told_in_records_and_one_table_and_nothing_else(project, pool):
    """Also where the negotiator begins as seldom as by HTCondor's defaults, so that every job waits for a while."""
    write(project, rule("plain"), rule("other"))
    defaults = "NEGOTIATOR_INTERVAL = 60\nNEGOTIATOR_MIN_INTERVAL = 5\nNEGOTIATOR_CYCLE_DELAY = 20"
    wait_until_no_slot_is_kept(pool)  # which would take a job without the negotiator
    with configured(pool, defaults, "cm"):
        # On a busy machine it takes longer than the minute after which progress is told.
        done = project.run("--snakefile small.smk --logger-htcondor-progress 0 --logger-htcondor-idle-after 180")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "htcondor: " not in done.stdout
    assert re.search(r"^plain\s+1 ", done.stdout, re.MULTILINE)
    (records,) = (project.path / "results/logs/htcondor").glob("*.jsonl")
    changes = [json.loads(line) for line in records.read_text().splitlines()]
    for name in ("plain", "other"):
        own = [change for change in changes if change["rule"] == name]
        assert [change["change"] for change in own] == ["submitted", "running", "done"]
        assert own[-1]["host"] in ("ep1", "ep2")
        assert own[-1]["exit_code"] == 0
