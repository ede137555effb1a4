"""The workflow on a real pool: every rule a job, the same bytes as without a pool."""

import json
import re
import secrets
import stat
import time

import pytest

from tests.pool.conftest import SNAKEMAKE
from tests.pool.harness import wait_until

JOBS = ("preprocess", "split", "train_lr", "train_dt", "evaluate", "compare", "select", "predict")


def history(pool):
    """Return what the schedd remembers of each job of this folder, newest first."""
    own = 'SnakemakeWorkdir == "/shared/project"'
    done = pool.execute("ap", "condor_history", "-json", "-constraint", own, user="submit")
    assert done.returncode == 0, done.stdout[-3000:]
    return json.loads(done.stdout)


def test_every_rule_ran_as_a_job_on_an_execute_node(pool, busy_run):
    assert busy_run.returncode == 0, busy_run.stdout[-3000:]
    jobs = history(pool)
    assert sorted({job["SnakemakeRule"] for job in jobs}) == sorted(JOBS)
    assert len(jobs) == 16
    for job in jobs:
        assert job["ExitCode"] == 0
        assert job["Owner"] == "submit"
        assert job["LastRemoteHost"].split("@")[1] in ("ep1", "ep2")
        assert job["RequestMemory"] >= 1000, "the rule's own definition reached HTCondor"


def test_both_models_trained_at_the_same_time_on_different_nodes(pool, busy_run):
    jobs = {job["SnakemakeRule"]: job for job in history(pool)}
    lr, dt = jobs["train_lr"], jobs["train_dt"]
    assert lr["LastRemoteHost"].split("@")[1] != dt["LastRemoteHost"].split("@")[1]
    assert lr["JobStartDate"] <= dt["CompletionDate"]
    assert dt["JobStartDate"] <= lr["CompletionDate"]


def test_prediction_files_spread_over_the_nodes(pool, busy_run):
    hosts = {job["LastRemoteHost"] for job in history(pool) if job["SnakemakeRule"] == "predict"}
    assert {host.split("@")[1] for host in hosts} == {"ep1", "ep2"}


def test_results_are_the_bytes_of_a_local_run(pool, busy_run):
    script = """
        set -e
        rm -rf /shared/local && mkdir /shared/local && cd /shared/local
        cp -r ../project/{applications,busy.yaml,slow_estimator.py,data,profiles,scripts,workflow} .
        cp ../project/{environment.yml,requirements.lock} .
        /shared/environment/bin/snakemake --profile profiles/local --configfile busy.yaml >log.txt 2>&1
        cd /shared/project/results
        find data metrics predictions selection.json -type f | sort | xargs sha256sum >/shared/local/pool.sums
        cd /shared/local/results
        sha256sum -c --quiet /shared/local/pool.sums
        wc -l </shared/local/pool.sums
    """
    done = pool.execute("ap", "bash", "-c", script, user="submit")
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(done.stdout) >= 15


def test_a_rerun_in_the_same_folder_has_nothing_to_do(pool, busy_run):
    done = pool.execute("ap", "bash", "-c", SNAKEMAKE, user="submit")
    assert done.returncode == 0, done.stdout[-3000:]
    assert "Nothing to be done" in done.stdout


# A host that anybody could put on the network. It demands nothing, offers whatever HTCondor knows, and tries to look,
# to submit, to join. With a key, it shows tokens that it has signed for itself, in the daemons' and a user's name.
STRANGER = """
umask 077 # HTCondor reads no token that others may read
cat >/etc/condor/config.d/99-stranger.conf <<'END'
use ROLE: Execute
SEC_DEFAULT_AUTHENTICATION = OPTIONAL
SEC_DEFAULT_INTEGRITY = OPTIONAL
SEC_DEFAULT_ENCRYPTION = OPTIONAL
SEC_READ_AUTHENTICATION = OPTIONAL
SEC_DEFAULT_AUTHENTICATION_METHODS = TOKEN, CLAIMTOBE, ANONYMOUS, FS
SEC_CLIENT_AUTHENTICATION_METHODS = TOKEN, CLAIMTOBE, ANONYMOUS, FS
END
if [ -f /key ]; then
    install -D -m 600 /key /etc/condor/passwords.d/POOL
    tokens=/home/submit/.condor/tokens.d
    install -d /etc/condor/tokens.d $tokens
    condor_token_create -identity condor@pool -key POOL >/etc/condor/tokens.d/condor
    condor_token_create -identity submit@pool -key POOL >$tokens/submit
    chown -R submit /home/submit/.condor
fi
# A daemon that is slow to answer must not pass for one that refuses: a door is closed after two tries.
opens() {
    for _ in 1 2; do
        timeout 20 "$@" && return
        echo "ended with $?: $*"
        sleep 1
    done
    return 1
}
(echo >/dev/tcp/cm/9618) && (echo >/dev/tcp/ap/9618) && echo REACHES BOTH
opens condor_status -pool cm -af Machine && echo SEES THE SLOTS
opens condor_q -addr "$SCHEDD" -af Owner && echo SEES THE QUEUE
for level in READ WRITE ADMINISTRATOR; do
    opens bash -c "condor_ping -addr '$SCHEDD' -type SCHEDD $level | grep succeeded" && echo MAY $level
done
install -o submit /dev/stdin /home/submit/job <<'END'
executable = /bin/true
requirements = False
queue
END
opens runuser -u submit -- condor_submit -addr "$SCHEDD" /home/submit/job && echo SUBMITS
timeout 10 condor_token_request -pool cm -identity condor@pool && echo GETS A TOKEN
echo TRIES TO JOIN
exec condor_master -f
"""


DOORS = {"SEES THE SLOTS", "SEES THE QUEUE", "MAY READ", "MAY WRITE", "MAY ADMINISTRATOR", "SUBMITS"}


class Stranger:
    """A host on the pool's network, with a key or with none."""

    def __init__(self, pool, name, key):
        self.engine, self.name, self.container = pool.engine, name, f"{pool.name}-{name}"
        schedd = pool.execute("ap", "condor_status", "-schedd", "-af", "MyAddress", user="submit").stdout.strip()
        options = ["--name", self.container, "--hostname", name, "--network", f"{pool.project}_default"]
        options += ["-e", f"SCHEDD={schedd}", *(["-v", f"{key}:/key:ro"] if key else [])]
        started = self.engine.run("run", "-d", *options, "--entrypoint", "bash", pool.image, "-c", STRANGER)
        assert started.returncode == 0, started.stdout

    @property
    def printed(self):
        return self.engine.run("logs", self.container).stdout

    @property
    def opened(self):
        """The doors that were open to it."""
        lines = {line for line in self.printed.splitlines() if line.isupper()}
        assert "REACHES BOTH" in lines, self.printed
        return lines - {"REACHES BOTH", "TRIES TO JOIN"}

    @property
    def log(self):
        return self.engine.run("exec", self.container, "cat", "/var/log/condor/StartLog").stdout

    def remove(self):
        self.engine.run("stop", "-t", "10", self.container)
        self.engine.run("rm", "-f", self.container)


@pytest.fixture
def strangers(pool, tmp_path):
    """One without a key, one with a key of its own, and one with the pool's."""
    (tmp_path / "key").write_bytes(secrets.token_bytes(32))
    keys = {"stranger-none": None, "stranger-own": tmp_path / "key", "stranger-pool": pool.key}
    made = {}
    try:
        for name, key in keys.items():
            made[name] = Stranger(pool, name, key)
        yield made
    finally:
        for name in keys:
            if name in made:
                made[name].remove()
        pool.execute("ap", "condor_rm", "-constraint", 'Cmd == "/bin/true"', user="submit")
        wait_until(lambda: not joined(pool) & set(keys), 120, "they have left the pool")


def joined(pool):
    """The machines that are in the pool."""
    slots = pool.execute("ap", "condor_status", "-af", "Machine", user="submit")
    assert slots.returncode == 0, slots.stdout
    return set(slots.stdout.split())


def test_a_stranger_on_the_network_gets_nothing(pool, strangers):
    """The pool's own key opens every door, which shows that it is the key that was missing, and not the way."""
    with_key = strangers["stranger-pool"]
    others = [one for one in strangers.values() if one is not with_key]
    for one in (with_key, *others):
        wait_until(lambda one=one: "TRIES TO JOIN" in one.printed, 400, lambda one=one: f"tries to join: {one.printed}")
    wait_until(lambda: with_key.name in joined(pool), 30, "joined")
    assert with_key.opened == DOORS, with_key.printed
    time.sleep(10)  # the others' daemons call twice as often as that
    assert not joined(pool) & {one.name for one in others}
    for one in others:
        assert one.opened == set(), one.printed
        # The last is HTCondor 25's words.
        assert re.search("Failed to authenticate|DENIED|No auth methods", one.log), one.log[-2000:]


def test_the_secrets_are_for_their_owner_only(pool):
    assert stat.S_IMODE(pool.key.stat().st_mode) == 0o600
    for host, path in [
        ("ap", "/home/submit/.condor/tokens.d/pool"),
        ("ap", "/etc/condor/tokens.d/condor"),
        ("ep1", "/etc/condor/passwords.d/POOL"),
    ]:
        assert pool.execute(host, "stat", "-c", "%a", path).stdout.strip() == "600", path


def test_starting_it_again_only_looks(pool):
    before = pool.engine.run("ps", "-q", "--filter", f"name={pool.project}").stdout
    pool.up()
    assert pool.engine.run("ps", "-q", "--filter", f"name={pool.project}").stdout == before
