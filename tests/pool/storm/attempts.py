"""One run of the workflow in a storm, as a person starts it: in a terminal, or submitted and followed."""

import re

from tests.pool.harness import Project, Run, wait_until

MAKE = "VENV=/shared/environment make --no-print-directory"


class Attempt:
    """Snakemake in a terminal.

    Attributes
    ----------
    ended_by
        The fault that ends this run, where one was made that must.
    on_full_disk
        Whether the disk was filled while it ran: then Snakemake itself, too, may fail anywhere.
    """

    kind = "snakemake --profile htcondor"

    def __init__(self, project: Project) -> None:
        self.project = project
        self.ended_by: str | None = None
        self.on_full_disk = False
        self.shown = self.start()

    def start(self) -> Run:
        """Start it, and return what shows its progress."""
        return self.project.start()

    @property
    def output(self) -> str:
        """What it has printed."""
        return self.shown.output

    @property
    def exit_code(self) -> int | None:
        """How it ended, or nothing while it goes on."""
        return self.shown.process.poll()

    def interrupt(self) -> str | None:
        """Press Ctrl-C."""
        return self._end("INT")

    def kill(self) -> str | None:
        """Kill Snakemake."""
        return self._end("KILL")

    def _end(self, name: str) -> str | None:
        try:
            self.shown.signal(name)
        except (AssertionError, FileNotFoundError):  # it has just ended, or has hardly begun
            return None
        self.ended_by = f"SIG{name}"
        return self.ended_by


class Submitted(Attempt):
    """The driver as a job on the access point, and a login that follows it."""

    kind = "make submit"

    def start(self) -> Run:
        """Submit it, and follow it."""
        return self._show(f"{MAKE} submit && {MAKE} follow")

    def _show(self, line: str) -> Run:
        return self.project.start(command=f"bash -c '{line}'")

    number: str | None = None

    @property
    def driver(self) -> str | None:
        """The number of its job, once it is there."""
        found = re.search(r"^submitted  job (\d+)\.0", self.output, re.MULTILINE)
        self.number = found[1] if found else self.number
        return self.number

    def interrupt(self) -> str | None:
        """Remove the driver's job."""
        if not self.driver or self.project.shell(f"condor_rm {self.driver}").returncode:
            return None
        self.ended_by = "condor_rm"
        return f"job {self.driver}"

    def kill(self) -> str | None:
        """Kill the Snakemake within the driver's job, which HTCondor starts again."""
        return "in the driver's job" if self._signal("KILL", "[s]nakemake all") else None

    def log_out(self) -> str | None:
        """End the login that follows, and follow from another one."""
        if not self.driver or not self._signal("HUP", "[s]cripts.tools.follow"):
            return None
        self.shown.wait(30)
        self.shown = self._show(f"{MAKE} follow")
        return f"job {self.number}"

    def follow_again(self) -> None:
        """Follow it after a reboot, which has ended all logins."""
        wait_until(lambda: self.shown.process.poll() is not None, 60, "the login is over")
        wait_until(lambda: self.project.shell("condor_q -totals").returncode == 0, 60, "the schedd is back")
        self.shown = self._show(f"{MAKE} follow")

    def _signal(self, name: str, what: str) -> bool:
        """Send a signal to the processes of this folder whose command holds a text; tell whether there was one."""
        line = (
            f"for p in $(pgrep -f 'python.*{what}'); "
            f"do [ $(readlink /proc/$p/cwd) = $PWD ] && kill -{name} $p && echo sent; done"
        )
        return "sent" in self.project.shell(line).stdout
