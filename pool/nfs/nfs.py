"""A pool whose shared folder is real NFS: a server, and an access point and two execute nodes that mount it.

``python -m pool.nfs.nfs up|mount|run|status|shell|down``; `make test-nfs` runs the tests on it. Containers share this
machine's kernel, whose NFS client may not be there. So the three hosts that mount are kernels of their own, each a
process in its container (user-mode Linux), with Linux's own NFS client. What the pool leaves lies in ``.pool/NAME/``.
"""

import argparse
import os
import platform
import shlex
import sys
from pathlib import Path

from pool.pool import PROJECT, Done, Pool, expect, say
from scripts.shared.errors import UserError

FOLDER = Path(__file__).resolve().parent
GUESTS = ("ap", "ep1", "ep2")
MOUNT = "vers=4.2,sec=sys"
TUN = Path("/dev/net/tun")
SSH = (
    *("ssh", "-i", "/run/pool/guest-key", "-o", "ConnectTimeout=5", "-o", "ServerAliveInterval=5"),
    *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"),
)


class NfsPool(Pool):
    """A pool on NFS: two execute nodes, one access point and one file server.

    Parameters
    ----------
    name
        Another name is another pool on the same machine.
    options
        What the hosts mount the shared folder with.
    """

    # Root is nobody on the mounts, so that files change hands where they lie.
    files_host = "server"
    stop_seconds = 1

    def __init__(self, name: str, options: str = MOUNT) -> None:
        super().__init__(name, nodes=2)
        self.options = options

    @property
    def hosts(self) -> list[str]:
        """The services of this pool."""
        return ["server", "cm", *GUESTS]

    @property
    def environment(self) -> dict[str, str]:
        """What compose.yaml takes from its environment."""
        own = {
            "POOL_NFS_IMAGE": self.guest_image,
            "POOL_FOLDER": str(self.folder),
            "MOUNT_OPTIONS": self.options,
        }
        return super().environment | own

    @property
    def guest_image(self) -> str:
        """The image of server and guests."""
        return self.name_on_top("nfs", FOLDER)

    def compose(self, *arguments: str) -> Done:
        """Run compose for this pool."""
        file = ["-f", str(FOLDER / "compose.yaml")]
        return self.engine.run_compose("-p", self.project, *file, *arguments, environment=self.environment)

    def execute(self, host: str, *command: str, user: str = "root") -> Done:
        """Run a command on a host and keep what it prints; on a guest, by ssh from the file server."""
        if host not in GUESTS:
            return super().execute(host, *command, user=user)
        return super().execute("server", *SSH, f"{user}@{host}", shlex.join(command))

    def on_access_point(self, script: str, *arguments: str) -> int:
        """Run a shell line in the project as the submitting user, shown as it runs; return its exit code."""
        line = shlex.join(["bash", "-c", f"cd {PROJECT} && {script}", "bash", *arguments])
        terminal = ["-it"] if sys.stdin.isatty() and sys.stdout.isatty() else []
        login = [*SSH, *(["-t"] if terminal else []), "submit@ap", line]
        return self.engine.run("exec", *terminal, self.container("server"), *login, show=True).returncode

    def prepare(self) -> None:
        """Make what every pool needs, and the image of server and guests, their disk and the key to them.

        Raises
        ------
        UserError
            Where guests can't run on this machine; says what they need.
        """
        check_machine()
        super().prepare()
        self.build_on_top(self.guest_image, FOLDER, "the NFS server and the guests")
        key = self.folder / "guest-key"
        if not key.exists():
            self._in_image("ssh-keygen -q -t ed25519 -N '' -C pool -f /out/guest-key", "the key to the guests")
        disk = self.folder / "disk" / "root.img"
        if not disk.exists():
            say("making the guests' disk (about half a minute)")
            disk.parent.mkdir(exist_ok=True)
            self._in_image("make-disk /out/disk/new && mv /out/disk/new /out/disk/root.img", "the guests' disk")

    def _in_image(self, script: str, what: str) -> None:
        """Run a shell line in a container that is removed again, with the pool's folder as /out."""
        command = ["run", "--rm", "--entrypoint", "sh", "-v", f"{self.folder}:/out", self.guest_image]
        expect(self.engine.run(*command, "-c", script), f"{what} could not be made")

    def mount(self, options: str) -> None:
        """Mount the shared folder anew on the access point and the nodes, with other options and nothing cached."""
        for host in GUESTS:
            line = f"umount /shared && mount -t nfs4 -o {shlex.quote(options)} server:/shared /shared"
            expect(self.execute(host, "sh", "-c", line), f"{host} could not mount with {options}")
        self.options = options


def check_machine() -> None:
    """See whether guests can run here.

    Raises
    ------
    UserError
        Where they can't; says what is needed.
    """
    needs = "a pool on NFS needs Linux on x86_64, root, and /dev/net/tun"
    if platform.machine() != "x86_64":
        raise UserError(f"{needs}; this machine is {platform.machine()}")
    if os.geteuid() != 0:
        raise UserError(f"{needs}; run it as root")
    try:
        os.close(os.open(TUN, os.O_RDWR))
    except OSError as error:
        raise UserError(f"{needs}; {TUN} can't be opened here ({error.strerror}); try: modprobe tun") from error


def main() -> int:
    """Do what is asked; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["up", "mount", "run", "status", "shell", "down"])
    parser.add_argument("--name", default="nfs-pool", help="another name is another pool")
    parser.add_argument("--options", default=MOUNT, help="mount options")
    options, rest = parser.parse_known_args()
    pool = NfsPool(options.name, options.options)
    try:
        if options.action == "run":
            pool.up()
            return pool.run(rest)
        if options.action == "mount":
            pool.mount(options.options)
        elif options.action == "shell":
            return pool.shell()
        else:
            {"up": pool.up, "status": pool.status, "down": pool.down}[options.action]()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
