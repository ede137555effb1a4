"""Start the Snakemake driver as a job on the access point, so that it outlives the login: `make submit`."""

import argparse
import os
import re
import socket
import sys
from pathlib import Path

import htcondor2

from scripts.shared.driver_job import LOGS, STEM, Ad, describe, drivers_of, look, pass_on, schedd
from scripts.shared.errors import UserError
from scripts.shared.plan import make_plan, read_yaml
from scripts.tools.run import refuse_held_lock

ADDRESS = re.compile(r"[^\s@\"'$]+@[^\s@\"'$]+")


def main() -> int:
    """Submit the driver and say how to follow and remove it; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", help="config file (default: config/config.yaml)")
    parser.add_argument("--profile", default="profiles/htcondor", help="Snakemake's profile (default: %(default)s)")
    parser.add_argument("--notify", help="a mail address that the access point writes to when the run has ended")
    options = parser.parse_args()
    try:
        if options.notify and not ADDRESS.fullmatch(options.notify):
            raise UserError(f"'{options.notify}' is no mail address")
        config = Path(options.config or "config/config.yaml")
        make_plan(read_yaml(config), str(config))  # tells mistakes now, not in a log
        print(submit(Path.cwd(), options.profile, options.config, options.notify))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def submit(folder: Path, profile: str, config: str | None, notify: str | None = None) -> str:
    """Submit the driver of a working folder; return what to tell.

    Raises
    ------
    UserError
        Where this is no access point, a driver or a run of this folder is going on, or HTCondor refuses the job.
    """
    here = schedd()
    refuse_second(look(drivers_of(folder), ["ClusterId"]))
    refuse_held_lock()
    text = Path(config or "config/config.yaml").read_text(encoding="utf-8")
    arguments = ["--profile", profile, *(["--config", config] if config else [])]
    description = describe(sys.executable, folder, arguments, pass_on(os.environ, text), notify)
    LOGS.mkdir(parents=True, exist_ok=True)
    try:
        number = int(here.submit(htcondor2.Submit(description)).cluster())
    except Exception as error:
        raise UserError(f"HTCondor does not take the driver's job: {' '.join(str(error).split())}") from None
    try:
        # Two that submit at the same moment both find the queue empty; the later one gives way.
        refuse_second([ad for ad in look(drivers_of(folder), ["ClusterId"]) if ad["ClusterId"] < number])
    except UserError:
        here.act(htcondor2.JobAction.Remove, f"ClusterId == {number}")
        raise
    return announcement(number)


def refuse_second(drivers: list[Ad]) -> None:
    """Raise a UserError where a driver of this folder is in the queue."""
    for ad in drivers:
        raise UserError(
            f"the driver of this folder is in the queue already, as job {ad['ClusterId']}.0; see it by: make follow; "
            f"end it by: condor_rm {ad['ClusterId']}"
        )


def announcement(number: int) -> str:
    """Return what to tell about a driver that has been submitted."""
    return "\n".join(
        [
            f"submitted  job {number}.0 on {socket.gethostname()}: it goes on when you log out",
            "follow     make follow, from any login to this host",
            f"remove     condor_rm {number}, and with it all jobs that it has submitted",
            f"log        {LOGS}/{STEM}{number}.out",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
