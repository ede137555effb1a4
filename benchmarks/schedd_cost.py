"""What watching costs a schedd with 1,000 idle jobs: the questions of each period, against none and against condor_q.

`make bench-schedd` starts a pool, puts jobs into its queue that no slot could run, lets schedd_within.py measure on the
access point, and takes the pool down. Seconds are of this machine; what counts are the ratios.
"""

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pool.pool import PROJECT, Pool, expect
from scripts.shared.errors import UserError

WITHIN = Path(__file__).with_name("schedd_within.py")
PLUGIN = f"{PROJECT}/plugins/snakemake-logger-plugin-htcondor"


def measure(pool: Pool) -> dict[str, Any]:
    """Return what was measured on the access point: see schedd_within.py."""
    pool.sync()
    folder = pool.shared / "bench"
    folder.mkdir(exist_ok=True)
    shutil.copy(WITHIN, folder)
    expect(pool.execute("ap", "chown", "-R", "submit:submit", "/shared/bench"), "the folder could not be handed over")
    line = f"cd /shared/bench && PYTHONPATH={PLUGIN} exec timeout 600 /shared/environment/bin/python {WITHIN.name}"
    done = pool.execute("ap", "bash", "-c", line, user="submit")
    expect(done, "the cost could not be measured")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def report(found: Mapping[str, Any]) -> list[str]:
    r"""Return the lines that are printed.

    >>> figures = {"jobs": 1000, "seconds": 60.0, "asked": 6, "bytes": 250_000, "question": 0.1, "diagnoses": 0.2}
    >>> figures |= {"kinds": 20, "burst": 20}
    >>> figures |= {"cpu": {"nothing": 1.0, "question": 1.3, "watching": 1.4, "condor_q": 1.6}}
    >>> figures |= {"each": {"question": 0.05, "jobs": 0.01, "condor_q": 0.1}}
    >>> print(*report(figures), sep="\n")
    one question about 1,000 jobs: 100 ms, 250 kB; why jobs of 20 kinds wait: 200 ms
    CPU of the schedd in 60 s: 1.00 s with nothing asked, 1.30 s with 6 questions, 1.60 s with 6 times condor_q
    where it is asked why jobs wait, too: 1.40 s
    questions to nothing: 1.30
    questions, and why, to nothing: 1.40
    questions to condor_q: 0.81
    CPU of the schedd for one of 20 in a row: 50 ms a question, 10 ms for jobs of 20 kinds, 100 ms a condor_q
    a question to a condor_q: 0.50
    """
    cpu, each = found["cpu"], found["each"]
    return [
        f"one question about {found['jobs']:,} jobs: {found['question'] * 1000:.0f} ms, "
        f"{found['bytes'] / 1000:.0f} kB; why jobs of {found['kinds']} kinds wait: {found['diagnoses'] * 1000:.0f} ms",
        f"CPU of the schedd in {found['seconds']:.0f} s: {cpu['nothing']:.2f} s with nothing asked, "
        f"{cpu['question']:.2f} s with {found['asked']} questions, "
        f"{cpu['condor_q']:.2f} s with {found['asked']} times condor_q",
        f"where it is asked why jobs wait, too: {cpu['watching']:.2f} s",
        f"questions to nothing: {cpu['question'] / cpu['nothing']:.2f}",
        f"questions, and why, to nothing: {cpu['watching'] / cpu['nothing']:.2f}",
        f"questions to condor_q: {cpu['question'] / cpu['condor_q']:.2f}",
        f"CPU of the schedd for one of {found['burst']} in a row: {each['question'] * 1000:.0f} ms a question, "
        f"{each['jobs'] * 1000:.0f} ms for jobs of {found['kinds']} kinds, "
        f"{each['condor_q'] * 1000:.0f} ms a condor_q",
        f"a question to a condor_q: {each['question'] / each['condor_q']:.2f}",
    ]


def main() -> int:
    """Print what was measured; the last line is the ratio of one question to one condor_q."""
    pool = Pool(os.environ.get("NAME", "bench-schedd"))
    try:
        pool.up()
        print(*report(measure(pool)), sep="\n")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        pool.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
