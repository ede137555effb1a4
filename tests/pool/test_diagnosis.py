"""Why jobs wait, are held or fail: each cause made to happen on the real pool, and the sentence that is said of it."""

import contextlib
import json
import re
import time

import pytest

from tests.pool.harness import SNAKEMAKE, wait_until, wait_until_no_slot_is_kept

QUICK = "--logger-htcondor-idle-after 4 --logger-htcondor-period 1"
CONFIG = "/etc/condor/config.d/90-test.conf"

RULES = """
rule everything:
    input: {inputs}
    localrule: True

"""
RULE = """
rule {name}:
    output: "out/{name}{wildcard}.txt"
    {log}
    resources: {resources}
    shell: {shell!r}
"""


@pytest.fixture(scope="module", autouse=True)
def settled(pool):
    """A collector that has been up for longer than this pool's CLASSAD_LIFETIME of 30 s: before, nothing is NEVER."""

    def begun():
        done = pool.execute("ap", "condor_status", "-collector", "-af", "DaemonStartTime", user="submit")
        return done.returncode == 0 and max(int(line) for line in done.stdout.split()) < time.time() - 40

    wait_until(begun, 90, "the collector has had the time to hear of each node")


def rule(name, shell="touch {output}", wildcard="", log="", **resources):
    """A rule of a workflow: its text, and the pattern of its output."""
    asked = {"mem_mb": 300, "disk_mb": 10} | resources
    said = ", ".join(f"{key}={value!r}" for key, value in asked.items())
    return name, RULE.format(
        name=name, wildcard=wildcard, resources=said, shell=shell, log=f"log: {log!r}" if log else ""
    )


def write(project, *rules, numbers=0):
    """Write a workflow of these rules, and hand it to the user."""
    names = [name for name, _ in rules]
    inputs = ", ".join(
        f'"out/{name}.txt"' if not numbers else f'expand("out/{name}{{n}}.txt", n=range({numbers}))' for name in names
    )
    text = RULES.format(inputs=inputs) + "".join(text for _, text in rules)
    (project.path / "small.smk").write_text(text)
    project.own()


def start(project, options="", command=SNAKEMAKE):
    return project.start(f"--snakefile small.smk {QUICK} {options}", command=command)


def end(run):
    """End a run by Ctrl-C, as a user would that has read why it waits."""
    run.signal("INT")
    run.wait(60)


@contextlib.contextmanager
def configured(pool, text, *hosts):
    """Hosts of the pool with more configuration, told to their daemons."""
    try:
        for host in hosts:
            done = pool.execute(host, "sh", "-c", f"printf '%s\\n' '{text}' >{CONFIG} && condor_reconfig")
            assert done.returncode == 0, done.stdout
        yield
    finally:
        for host in hosts:
            pool.execute(host, "sh", "-c", f"rm -f {CONFIG} && condor_reconfig")


def slots_say(pool, attribute, pattern):
    """Wait until both nodes' slots tell the collector so."""

    def told():
        done = pool.execute(
            "ap", "condor_status", "-constraint", "PartitionableSlot", "-af:r", "Machine", attribute, user="submit"
        )
        lines = done.stdout.splitlines() if done.returncode == 0 else []
        return len(lines) == 2 and all(re.search(pattern, line) for line in lines)

    wait_until(told, 40, f"{attribute} is {pattern} on both nodes")


def test_what_can_never_start_is_told_before_and_during_the_run_with_the_figures(project):
    write(
        project,
        rule("big", mem_mb=102400),
        rule("elsewhere", requirements='(TARGET.Arch == "ppc64le")'),
        rule("painted", requirements="(TARGET.HasGreenPaint)"),
    )
    run = start(project)
    big = r"NEVER: asks for 100 GB of memory, the largest slot has 8 GB \(ep[12]\); 0 of 2 slots match\. Lower mem_mb"
    run.wait_for(rf"htcondor: big \(job \d+\.0\) has been idle for \d+\.?\d* s\. {big}")
    run.wait_for(
        r"htcondor: elsewhere \(job .*\. NEVER: 1 of its \d+ requirements matches no slot, the culprit is "
        r'`TARGET\.Arch == "ppc64le"` \(Arch is "X86_64" on all 2\); 0 of 2 slots match\.'
    )
    run.wait_for(r"htcondor: painted \(job .*`TARGET\.HasGreenPaint` \(no slot defines HasGreenPaint\)")
    before, _, _ = run.output.partition("is HTCondor job")
    assert re.search(rf"htcondor: big can't start on this pool as it is\. {big}", before), "told before the first job"
    end(run)
    assert len(re.findall(r"htcondor: big \(job .* has been idle", run.output)) == 1, "said once"


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


def test_a_pool_without_nodes_and_one_that_shrinks_are_unknown(project, pool):
    write(project, rule("plain"), rule("pinned", requirements='(TARGET.Machine == "ep2")'))

    def node(host, state):
        done = pool.execute(host, f"condor_{state}", "-startd")
        assert done.returncode == 0, done.stdout

    def nodes():
        told = pool.execute("ap", "condor_status", "-af", "Machine", user="submit")
        return set(told.stdout.split()) if told.returncode == 0 else None

    run = None
    try:
        node("ep1", "off")
        wait_until(lambda: nodes() == {"ep2"}, 40, "ep1 is gone")
        with configured(
            pool, 'START = TARGET.Owner == "somebody"', "ep2"
        ):  # so that the run sees the slot, and goes on
            run = start(project)
            run.wait_for(r"htcondor: (plain|pinned|2 jobs).*NEVER: ", 40)
            node("ep2", "off")
            run.wait_for(r"UNKNOWN: the collector knows of no execute node, so no job can start", 60)
    finally:
        for host in ("ep1", "ep2"):
            node(host, "on")
        wait_until(lambda: nodes() == {"ep1", "ep2"}, 60, "both nodes are back")
    assert run.wait(60) == 0, run.output[-2000:]


def test_held_by_policy_failed_and_busy_are_told_with_what_a_person_needs(project, pool):
    policy = (
        "SYSTEM_PERIODIC_HOLD = (MemoryUsage > RequestMemory) || (Naughty =?= 1)\n"
        'SYSTEM_PERIODIC_HOLD_REASON = ifThenElse(Naughty =?= 1, "naughty jobs are not run here", "too large")'
    )
    write(
        project,
        rule("naughty", "sleep 30; touch {output}", classad_Naughty=1),
        rule("broken", "echo it is broken since there is no such thing >{log}; exit 3", log="logs/broken.log"),
        rule("killed", "kill -SEGV $$"),
        rule("fits_alone", "sleep 18; touch {output}", mem_mb=7000, threads=1),
        rule("fits_alone_too", "sleep 18; touch {output}", mem_mb=7001, threads=1),
        rule("has_to_wait", mem_mb=7002, htcondor_submit_priority=-5),
    )
    with configured(pool, policy, "ap"):
        # The slots tell the collector each five seconds what they have left.
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


def test_many_jobs_with_one_reason_are_one_line(project):
    write(project, rule("far", requirements='(TARGET.Arch == "ppc64le")', wildcard="{n}"), numbers=40)
    run = start(project, "--logger-htcondor-idle-after 10")
    run.wait_for(r"htcondor: 40 jobs of far have been idle for up to .*NEVER: .*`TARGET\.Arch == \"ppc64le\"`")
    end(run)
    assert len(re.findall(r"far .*have been idle|far, n=\d+ .*has been idle", run.output)) == 1


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
    write(project, rule("long", "sleep 25; touch {output}", wildcard="{n}"), numbers=4)
    run = start(project)
    wait_until(lambda: len(project.running()) == 4, 60, "all cores are in use")
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
    assert run.wait(110) == 0, run.output[-2000:]
    assert re.search(r"htcondor: long, n=\d \(job \d+\.0\) starts again, on ep[12].*; this is start 2", run.output)


def test_a_connection_that_is_lost_and_regained(project, pool):
    write(project, rule("long", "sleep 30; touch {output}"))
    run = start(project)
    (job,) = wait_until(lambda: project.running("long"), 60, "it runs")
    node = job["RemoteHost"].partition("@")[2]
    killed = pool.execute("ap", "pkill", "-KILL", "condor_schedd|condor_shadow")
    assert killed.returncode == 0, killed.stdout
    run.wait_for(
        rf"htcondor: long \(job \d+\.0\) lost the connection to {node} \(.*\); HTCondor tries to reconnect", 60
    )
    run.wait_for(rf"htcondor: long \(job \d+\.0\) is connected to {node} again; it went on there", 60)
    assert run.wait(90) == 0, run.output[-2000:]


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
def test_a_foreign_workflow_with_no_more_than_the_logger(pool, project, executor, folder, names):
    path = project.path / folder
    path.mkdir()
    (path / "Snakefile").write_text(FOREIGN.replace("NAMES", repr(names)))
    project.own()
    line = (
        f"cd '{project.inside}/{folder}' && timeout -s INT 25 /shared/environment/bin/snakemake --executor {executor} "
        "--jobs 5 --envvars PATH --shared-fs-usage persistence input-output software-deployment sources "
        f"storage-local-copies --seconds-between-status-checks 1 --logger htcondor {QUICK}"
    )
    if executor == "htcondor":
        line += " --default-resources \"getenv='true'\""
    said = pool.execute("ap", "bash", "-c", line, user="submit").stdout
    never = (
        r"htcondor: never \(job \d+\.0\) has been idle for .*NEVER: asks for 90 GB of memory, the largest slot has 8 GB"
    )
    assert re.search(never, said), said
    assert {file.stem for file in (path / "made").glob("*.txt")} == set(names), said
    assert re.search(r"^make +\d", said, re.MULTILINE), "the table after the run"


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


def test_a_healthy_run_is_told_in_records_and_one_table_and_nothing_else(project):
    write(project, rule("plain"), rule("other"))
    done = project.run("--snakefile small.smk")
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
