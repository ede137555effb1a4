"""Small workflows of a test's own, and a pool that is configured for it."""

import contextlib
import re

from tests.pool.harness import SNAKEMAKE, wait_until

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
    {more}
    resources: {resources}
    shell: {shell!r}
"""


def rule(name, shell="touch {output}", numbers=0, log="", more="", **resources):
    """A rule of a workflow: what asks for its output, one file or so many, and its text."""
    asked = {"mem_mb": 300, "disk_mb": 10} | resources
    said = ", ".join(f"{key}={value!r}" for key, value in asked.items())
    wildcard, more = "{n}" if numbers else "", f"log: {log!r}" if log else more
    text = RULE.format(name=name, wildcard=wildcard, resources=said, shell=shell, more=more)
    file = f'"out/{name}{wildcard}.txt"'
    return f"expand({file}, n=range({numbers}))" if numbers else file, text


def write(project, *rules):
    """Write a workflow of these rules, and hand it to the user."""
    text = RULES.format(inputs=", ".join(inputs for inputs, _ in rules)) + "".join(text for _, text in rules)
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
