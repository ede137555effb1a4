"""A real HTCondor pool on one machine, in containers: a central manager, an access point, execute nodes.

``python -m pool.pool check|up|status|shell|run|down|purge``, behind the make targets of these names. compose.yaml is
the description; this drives it with Docker where a Docker engine answers, else with podman, and does what compose
can't: the base image where no registry is reached, the signing key, more nodes, the environment on the shared folder.

Everything that a pool leaves lies in ``.pool/NAME/``.
"""

import argparse
import contextlib
import fcntl
import json
import os
import resource
import secrets
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

import yaml

from pool.inputs import bring, changed
from scripts.shared.errors import UserError
from scripts.shared.files import sha256_file, sha256_text, write_text

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = ROOT / "pool" / "compose.yaml"
IMAGE = "loan-pool-node"
SHORT_NAMES = Path("/etc/containers/registries.conf.d/shortnames.conf")
PODMAN_PACKAGES = ("podman", "runc", "netavark", "aardvark-dns", "iptables", "nftables")
PYTHON = "/usr/bin/python3.13"  # the hosts' own, as the Containerfile installs it
PROJECT = "/shared/project"
# The environment's commands, and no other environment for make, which would build one of its own.
SHELL = "PATH=/shared/environment/bin:$PATH VENV=/shared/environment"
CHECKOUT = (
    *("config", "data", "notebooks", "plugins", "profiles", "scripts", "workflow"),
    *("Makefile", "environment.yml", "requirements.lock"),
)
SETUP = ROOT / "scripts" / "tools" / "setup_env.sh"
# Environments, built once for each lock, that outlive the pools which they were built in.
ARCHIVES = ROOT / ".pool" / "environments"
READY_SECONDS = 90
NODES = 2

# What a host does, as root, with files that arrive as an archive. They may replace files of the submitting user, which
# only root may; and they are moved to their places when they are whole.
_ARRIVE = """
set -eu
umask 022
new=$(mktemp -d /shared/.arriving.XXXXXX)
trap 'rm -rf "$new"' EXIT
tar -x --no-same-owner -f - -C "$new"
cd "$new"
"""
# What an earlier checkout brought and this one hasn't goes; what else lies there is a person's.
BROUGHT = "/shared/.checkout"
CHECKOUT_ARRIVES = f"""{_ARRIVE}
mkdir -p {PROJECT}
find . -type f | LC_ALL=C sort >{BROUGHT}.new
if [ -f {BROUGHT} ]; then
    LC_ALL=C comm -13 {BROUGHT}.new {BROUGHT} | (cd {PROJECT} && xargs -r -d "\\n" rm -f --)
fi
cp -al --remove-destination . {PROJECT}/
mv -f {BROUGHT}.new {BROUGHT}
chown -R submit:submit {PROJECT}
"""
# Each run of the executor htcondor-steady holds a lock there for as long as it lives.
RUN_LIVES = f"""
cd {PROJECT}/.snakemake/htcondor-steady 2>/dev/null || exit 1
for run in *; do [ ! -f "$run" ] || flock -n "$run" true || exit 0; done
exit 1
"""
FILES_ARRIVE = f"""{_ARRIVE}
find . -type f -exec sh -c '
    for file; do mkdir -p "/shared/${{file%/*}}" && mv -f "$file" "/shared/$file" || exit 1; done
' sh {{}} +
chown -R submit:submit {PROJECT}
"""


def say(text: str) -> None:
    """Print a line at once."""
    print(f"pool: {text}", flush=True)


# --- the container engine -----------------------------------------------------------------------------------------


Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Engine:
    """A container engine and its compose command."""

    command: str
    compose: list[str]
    environment: dict[str, str]

    def run(self, *arguments: str, show: bool = False) -> Done:
        """Run an engine command, such as ``run("ps")``; keep what it prints, or show it."""
        return _call([self.command, *arguments], self.environment, show)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start an engine command that Ctrl-C doesn't reach, and whose output is shown."""
        return subprocess.Popen([self.command, *arguments], env=os.environ | self.environment, process_group=0)

    def run_compose(self, *arguments: str, environment: dict[str, str]) -> Done:
        """Run a compose command; keep what it prints."""
        return _call([*self.compose, *arguments], self.environment | environment)

    def feed(self, write: Callable[[IO[bytes]], None], *arguments: str) -> Done:
        """Run an engine command whose standard input is what `write` writes; keep what it prints."""
        command = [self.command, *arguments]
        with subprocess.Popen(
            command,
            env=os.environ | self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            assert process.stdin is not None  # noqa: S101 - for the types
            # Where the command ends early, it has said why.
            with contextlib.suppress(BrokenPipeError), process.stdin:
                write(process.stdin)
            process.stdin = None
            output, _ = process.communicate()
        return Done(command, process.returncode, output.decode(errors="replace"))


def _call(command: list[str], environment: dict[str, str] | None = None, show: bool = False) -> Done:
    """Run a command; where it isn't shown, standard output and error are kept together."""
    output = None if show else subprocess.PIPE
    return subprocess.run(
        command,
        env=os.environ | (environment or {}),
        stdout=output,
        stderr=None if show else subprocess.STDOUT,
        text=True,
        check=False,
    )


def find_engine(folder: Path) -> Engine:
    """Return the engine that a pool was started with, else Docker where its engine answers, else podman.

    Podman is installed where that can be done.

    Raises
    ------
    UserError
        Where there is no engine and none can be installed, or the pool's own doesn't answer.
    """
    started_with = read_note(folder / "engine")
    if started_with != "podman" and _docker_answers():
        # Docker since version 23 refuses to build with BuildKit where its component for that isn't there.
        buildkit = "1" if _call(["docker", "buildx", "version"]).returncode == 0 else "0"
        return Engine("docker", ["docker", "compose"], {"DOCKER_BUILDKIT": buildkit})
    if started_with == "docker":
        raise UserError(
            f"{folder.name} was started with Docker, which doesn't answer now; start its engine, and run again"
        )
    if not shutil.which("podman"):
        _install(PODMAN_PACKAGES)
    folder.mkdir(parents=True, exist_ok=True)
    containers = folder / "containers.conf"
    write_text(containers, containers_conf())
    environment = {"CONTAINERS_CONF": str(containers), "PODMAN_COMPOSE_WARNING_LOGS": "false"}
    return Engine("podman", [sys.executable, "-m", "podman_compose"], environment)


def _docker_answers() -> bool:
    questions = (["docker", "info"], ["docker", "compose", "version"])
    return bool(shutil.which("docker")) and all(_call(question).returncode == 0 for question in questions)


def check_engine() -> None:
    """See whether containers can be had on this machine, and install what is missing where that can be done.

    Raises
    ------
    UserError
        Where they can't; says what to install.
    """
    with tempfile.TemporaryDirectory() as folder:
        engine = find_engine(Path(folder))
        expect(engine.run("info"), f"{engine.command} is here, but can't run containers")


def read_note(file: Path) -> str:
    """Return a file's text without the end of its line, or nothing where there is no such file."""
    return file.read_text(encoding="utf-8").strip() if file.exists() else ""


def containers_conf() -> str:
    """Return podman's settings for this machine.

    runc, since podman's default runtime refuses hybrid cgroups; limits no higher than this machine's own, since a root
    without CAP_SYS_RESOURCE can't raise them.
    """
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    processes = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    files = min(files, 1 << 20) if files != resource.RLIM_INFINITY else 1 << 20
    processes = min(processes, 32768) if processes != resource.RLIM_INFINITY else 32768
    runtime = '[engine]\nruntime = "runc"\n' if shutil.which("runc") else ""
    return f'{runtime}[containers]\ndefault_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]\n'


def _install(packages: tuple[str, ...]) -> None:
    words = " ".join(packages)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise UserError(f"no container engine was found; install one, such as: sudo apt-get install {words}")
    say(f"installing {words}")
    _call(["apt-get", "update", "-q"])
    done = _call(["apt-get", "install", "-q", "-y", *packages], {"DEBIAN_FRONTEND": "noninteractive"})
    if done.returncode:
        raise UserError(f"the packages {words} could not be installed; install them by hand and run again")


def full_name(image: str) -> str:
    """Return the name that podman's table of short names gives an image, so that ``FROM`` finds what is imported."""
    name, _, tag = image.partition(":")
    aliases = tomllib.loads(SHORT_NAMES.read_text())["aliases"] if SHORT_NAMES.exists() else {}
    return f"{aliases.get(name, f'localhost/{name}')}:{tag}"


@dataclass(frozen=True)
class Build:
    """What the image of a host is built from.

    Parameters
    ----------
    base
        An image of a Debian release that has HTCondor and Python 3.13.
    condor_version
        A version of HTCondor's package that this release has; empty for its newest.
    """

    base: str = "debian:trixie-slim"
    condor_version: str = ""

    @property
    def arguments(self) -> list[str]:
        """What the Containerfile takes."""
        version = f"={self.condor_version}" if self.condor_version else ""
        return ["--build-arg", f"BASE={self.base}", "--build-arg", f"CONDOR_VERSION={version}"]

    @property
    def suite(self) -> str:
        """The Debian release, as its mirrors name it, or nothing where the base isn't Debian's own."""
        name, _, tag = self.base.partition(":")
        return tag.removesuffix("-slim") if name == "debian" else ""


# --- the pool -----------------------------------------------------------------------------------------------------


class Pool:
    """One pool by its name; another name is another pool on the same machine."""

    # Where root may give files on the shared folder to another user.
    files_host = "ap"
    # How long the hosts may take to stop, before they are killed.
    stop_seconds = 3

    def __init__(self, name: str, nodes: int | None = None, build: Build | None = None) -> None:
        self.name = name
        self._asked_nodes = nodes
        self._asked = build
        self.folder = ROOT / ".pool" / name
        self.shared = self.folder / "shared"
        self.key = self.folder / "signing-key"
        self.override = self.folder / "nodes.yaml"

    @cached_property
    def engine(self) -> Engine:
        """The container engine."""
        return find_engine(self.folder)

    @cached_property
    def nodes(self) -> int:
        """The number of execute nodes: what is asked for, else what this pool has, else the default."""
        return self._asked_nodes or int(read_note(self.folder / "nodes") or NODES)

    @cached_property
    def build(self) -> Build:
        """What the image is built from: what is asked for, else what this pool came up with, else the default."""
        chosen = self.folder / "build.json"
        if self._asked:
            return self._asked
        return Build(**json.loads(chosen.read_text(encoding="utf-8"))) if chosen.exists() else Build()

    @property
    def hosts(self) -> list[str]:
        """The services of this pool."""
        return ["cm", "ap", *(f"ep{n}" for n in range(1, self.nodes + 1))]

    @property
    def environment(self) -> dict[str, str]:
        """What compose.yaml takes from its environment."""
        return {"POOL_KEY": str(self.key), "POOL_SHARED": str(self.shared), "POOL_IMAGE": self.image}

    @property
    def image(self) -> str:
        """The image of a host; its tag changes with anything that goes into it."""
        folder = COMPOSE.parent
        files = sorted([folder / "Containerfile", folder / "start-host", *(folder / "condor").glob("*.conf")])
        return f"{IMAGE}:{sha256_text(''.join([*(sha256_file(path) for path in files), *self.build.arguments]))[:12]}"

    @property
    def project(self) -> str:
        """What compose calls this pool: a pool of the same name in another checkout is another pool."""
        return f"{self.name}-{sha256_text(str(ROOT))[:6]}"

    def compose(self, *arguments: str) -> Done:
        """Run compose for this pool."""
        files = ["-f", str(COMPOSE), *(["-f", str(self.override)] if self.override.exists() else [])]
        return self.engine.run_compose("-p", self.project, *files, *arguments, environment=self.environment)

    def execute(self, host: str, *command: str, user: str = "root") -> Done:
        """Run a command on a host and keep what it prints."""
        return self.engine.run("exec", "-u", user, self.container(host), *command)

    def on_access_point(self, script: str, *arguments: str) -> int:
        """Run a shell line in the project as the submitting user, shown as it runs; return its exit code.

        A terminal hands Ctrl-C on. Without one, as where the output is a file, the engine would end alone, and what it
        has started would go on: so it is handed on here.
        """
        line = ["bash", "-c", f"cd {PROJECT} && {script}", "bash", *arguments]
        command, container = ["exec", "-u", "submit"], self.container("ap")
        if sys.stdin.isatty() and sys.stdout.isatty():
            return self.engine.run(*command, "-it", container, *line, show=True).returncode
        note = f"/dev/shm/{secrets.token_hex(8)}"  # noqa: S108 - the host's own, of a name that nobody guesses
        line[2] = f"echo $$ >{note}; {line[2]}"
        with self.engine.start(*command, container, *line) as process:
            try:
                return self._hand_on_ctrl_c(process, f"kill -INT $(cat {note})")
            finally:
                self.execute("ap", "rm", "-f", note)

    def _hand_on_ctrl_c(self, process: subprocess.Popen[bytes], script: str) -> int:
        """Wait for a process, and run a script on the access point at each Ctrl-C; return its exit code."""
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                self.execute("ap", "sh", "-c", script)

    def container(self, host: str) -> str:
        """Return the name of a host's container; compose and podman-compose join the parts differently."""
        joint = "-" if self.engine.command == "docker" else "_"
        return f"{self.project}{joint}{host}{joint}1"

    # --- up and down ---

    def up(self) -> None:
        """Start the pool and wait until it takes jobs; where it runs already, only look."""
        self.prepare()
        started = time.monotonic()
        expect(self.compose("up", "-d", "--no-build", *self.hosts), "the containers could not be started")
        self.stop_surplus_nodes()
        self.wait_until_ready()
        say(f"ready after {time.monotonic() - started:.0f} s: {', '.join(self.hosts)}; shared folder: {self.shared}")

    def prepare(self) -> None:
        """Make the image, the key, the shared folder and the environment, each where it is missing."""
        with one_at_a_time():
            self.build_image()
        self.shared.mkdir(parents=True, exist_ok=True)
        # The shared folder has to be open to all users of the hosts, but not to those of this machine.
        self.folder.chmod(0o700)
        write_text(self.folder / "engine", self.engine.command)
        write_text(self.folder / "nodes", str(self.nodes))
        write_text(self.folder / "build.json", json.dumps(asdict(self.build)))
        self.shared.chmod(0o777)
        if not self.key.exists():
            self.key.touch(mode=0o600)
            self.key.write_bytes(secrets.token_bytes(32))
        more = {f"ep{n}": self._node(n) for n in range(3, self.nodes + 1)}
        described = self.folder / "nodes.yaml"
        if more:
            write_text(described, yaml.safe_dump({"services": more}))
        else:
            described.unlink(missing_ok=True)
        with one_at_a_time():
            self.build_environment()

    def stop_surplus_nodes(self) -> None:
        """Stop the execute nodes that ran before and aren't asked for any more; their jobs run again elsewhere."""
        asked = {self.container(host) for host in self.hosts}
        surplus = [name for name in self.left()[0] if name not in asked]
        if not surplus:
            return
        say(f"stopping {', '.join(surplus)}")
        # HTCondor's fast way to stop: its jobs end at once, and it tells the pool that it leaves. Some seconds.
        self.engine.run("kill", "-s", "QUIT", *surplus)
        for action in (["stop", "-t", "20"], ["rm", "-f"]):
            expect(self.engine.run(*action, *surplus), f"{', '.join(surplus)} could not be stopped")

    def left(self) -> tuple[list[str], list[str]]:
        """Return the names of the containers and of the networks that this pool has."""
        label = ["--filter", f"label=com.docker.compose.project={self.project}", "--format"]
        found = []
        for command, field in ((["ps", "-a"], "{{.Names}}"), (["network", "ls"], "{{.Name}}")):
            told = self.engine.run(*command, *label, field)
            expect(told, f"{self.engine.command} doesn't say what {self.name} has")
            found.append([line for line in told.stdout.splitlines() if line.startswith(self.project)])  # no warnings
        return found[0], found[1]

    def _node(self, number: int) -> dict[str, object]:
        return {
            **yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]["ep2"],
            "hostname": f"ep{number}",
            "image": self.image,
            "build": {"context": str(COMPOSE.parent), "dockerfile": "Containerfile"},
            "volumes": [f"{self.key}:/run/pool/signing-key:ro", f"{self.shared}:/shared"],
        }

    def build_image(self) -> None:
        """Build the image of a host, once for each Containerfile."""
        image = self.image
        if self.engine.run("image", "inspect", image).returncode == 0:
            return
        say("building the image of a host (about half a minute, once)")
        self.find_base()
        expect(self._build(image, COMPOSE.parent, *self.build.arguments), "the image could not be built")

    def _build(self, image: str, folder: Path, *arguments: str) -> Done:
        """Build an image from a folder's Containerfile; Docker doesn't look for one of that name."""
        file = ["-f", str(folder / "Containerfile")]
        return self.engine.run("build", "--network", "host", *arguments, "-t", image, *file, str(folder))

    def name_on_top(self, kind: str, folder: Path) -> str:
        """Return the name of the image that a folder's Containerfile makes of this pool's; each file counts."""
        files = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix != ".py")
        return f"{IMAGE}:{kind}-{sha256_text(self.image + ''.join(sha256_file(path) for path in files))[:12]}"

    def build_on_top(self, image: str, folder: Path, what: str) -> None:
        """Build the image that a folder's Containerfile makes of this pool's, where it isn't there yet."""
        if self.engine.run("image", "inspect", image).returncode == 0:
            return
        say(f"building the image of {what} (about a minute, once)")
        done = self._build(image, folder, "--build-arg", f"BASE={self.image}")
        expect(done, f"the image of {what} could not be built")

    def find_base(self) -> None:
        """Have the base image: by a registry, or else made from the distribution's packages.

        Raises
        ------
        UserError
            Where it can be had by neither way.
        """
        base, suite = self.build.base, self.build.suite
        if self.engine.run("image", "inspect", base).returncode == 0:
            return
        if self.engine.run("pull", "-q", base).returncode == 0:
            return
        if not suite:
            raise UserError(f"no registry gives {base}, and only debian:RELEASE-slim can be made from packages")
        say("no image registry can be reached; the base is made from the distribution's packages")
        if not shutil.which("mmdebstrap"):
            _install(("mmdebstrap",))
        self.folder.mkdir(parents=True, exist_ok=True)
        archive = self.folder / "base.tar"
        command = ["mmdebstrap", "--quiet", "--variant=minbase", "--include=ca-certificates", suite, str(archive)]
        expect(_call(command), f"mmdebstrap could not make the base image from Debian's {suite}")
        name = base if self.engine.command == "docker" else full_name(base)
        expect(self.engine.run("import", str(archive), name), "the base image could not be imported")
        archive.unlink()

    def build_environment(self) -> None:
        """Have the Python environment on the shared folder, for this lock; kept as an archive for the next pool.

        The archive lies beside it, too: nodes that run from a copy of their own unpack it.
        """
        checksum = _call([str(SETUP), "-", "--checksum"])
        expect(checksum, "the environment's checksum could not be made")
        name = checksum.stdout[:12]
        archive, target = ARCHIVES / f"{name}.tar", self.shared / "environments" / name
        target.parent.mkdir(exist_ok=True)
        if not archive.exists():
            self._build_environment(target, archive)
        if not (target / "installed-lock").exists():
            self.unpack(archive, target)
        if not (beside := target.with_name(archive.name)).exists():
            beside.hardlink_to(archive)
        link = self.shared / "environment"
        if not link.is_symlink() or link.resolve() != target.resolve():
            link.unlink(missing_ok=True)
            link.symlink_to(f"environments/{target.name}")

    def unpack(self, archive: Path, target: Path) -> None:
        """Unpack an environment beside its place and rename it: one that is there is whole, whoever is interrupted."""
        beside = target.with_name(f".{target.name}.part")
        for remains in (beside, target):
            self.remove(remains)
        beside.mkdir()
        expect(_call(["tar", "-xf", str(archive), "-C", str(beside)]), "the environment could not be unpacked")
        beside.rename(target)

    def _build_environment(self, target: Path, archive: Path) -> None:
        """Build the environment in a host's image, with the hosts' own Python, and archive it."""
        say("building the Python environment on the shared folder (about a minute, once)")
        command = ["run", "--rm", "--network", "host", "--entrypoint", f"/src/{SETUP.relative_to(ROOT)}"]
        command += ["-e", f"PYTHON={PYTHON}"]
        command += ["-v", f"{self.shared}:/shared", "-v", f"{ROOT}:/src:ro"]
        for name, value in os.environ.items():  # how this machine reaches its package index
            if name.startswith("PIP_") or name.lower() in ("http_proxy", "https_proxy", "no_proxy"):
                command += ["-e", name]
                if name == "PIP_CERT":
                    command += ["-v", f"{value}:{value}:ro"]
        inside = f"/shared/environments/{target.name}"
        done = self.engine.run(*command, self.image, inside)
        expect(done, "the environment could not be built")
        archive.parent.mkdir(parents=True, exist_ok=True)
        new = archive.with_suffix(f".{os.getpid()}")
        expect(_call(["tar", "-cf", str(new), "-C", str(target), "."]), "the environment could not be archived")
        for old in ARCHIVES.iterdir():  # of other locks, or of a build that was interrupted
            if old != new:
                old.unlink()
        new.rename(archive)

    def wait_until_ready(self) -> None:
        """Wait until the access point and all execute nodes are in the pool.

        Raises
        ------
        UserError
            Where they aren't in time; says which are.
        """
        end = time.monotonic() + READY_SECONDS
        wanted = {host for host in self.hosts if host.startswith("ep")}
        found: set[str] = set()
        while time.monotonic() < end:
            slots = self.execute("ap", "condor_status", "-af", "Machine", user="submit")
            found = {line.split(".")[0] for line in slots.stdout.split()} & wanted if slots.returncode == 0 else set()
            queue = self.execute("ap", "condor_q", "-totals", user="submit")
            if found == wanted and queue.returncode == 0:
                # The schedd and the negotiator meet before there are jobs: where each calls the other for the first
                # time at once, both wait for 20 s.
                self.execute("ap", "condor_reschedule")
                return
            time.sleep(0.5)
        raise UserError(
            f"after {READY_SECONDS} s, {', '.join(sorted(found)) or 'no execute node'} of {', '.join(sorted(wanted))} "
            f"is in the pool; look at: make pool-status"
        )

    def down(self) -> None:
        """Stop the pool and remove all that it left, the shared folder included.

        Raises
        ------
        UserError
            Where something of it can't be removed; says what is left.
        """
        if self.folder.exists():
            done = self.compose("down", "-v", "--remove-orphans", "-t", str(self.stop_seconds))
            containers, networks = self.left()
            if left := containers + networks:
                raise UserError(
                    f"{self.name} is not gone: {', '.join(left)} and {self.folder} are left; run it again, or look at "
                    f"what {self.engine.command} says: {done.stdout.strip()[-600:]}"
                )
            expect(done, f"{self.name} has no containers any more, but {self.folder} is left")
            self.remove(self.folder)
        say(f"{self.name} is gone")

    def remove(self, folder: Path) -> None:
        """Remove a folder, also what users of the hosts have written there and this machine's user may not delete.

        Raises
        ------
        UserError
            Where that fails; says how root can do it.
        """
        if not folder.exists():
            return
        try:
            shutil.rmtree(folder)
        except PermissionError:
            # The hosts' root may. What lies above is this machine's user's own.
            inside = ["run", "--rm", "--network", "none", "--entrypoint", "find", "-v", f"{folder}:/remove", self.image]
            done = self.engine.run(*inside, "/remove", "-mindepth", "1", "-delete")
            expect(done, f"{folder} is left, since it holds files of the pool's users; try: sudo rm -rf {folder}")
            folder.rmdir()

    def purge(self) -> None:
        """Stop the pool, and remove what the next one would have started from: images and environments.

        Raises
        ------
        UserError
            Where another pool still runs on the image.
        """
        self.down()
        vars(self).pop("engine", None)  # its settings lay in the folder
        told = self.engine.run("images", "-q", IMAGE)
        expect(told, "the images could not be listed")
        if images := dict.fromkeys(told.stdout.split()):
            expect(self.engine.run("rmi", *images), "the image is in use; take down the other pools first")
        shutil.rmtree(ARCHIVES, ignore_errors=True)
        self.remove(self.folder)
        say("the image and the environment are gone, too")

    # --- use ---

    def status(self) -> None:
        """Print the hosts, the slots and the queue."""
        self._must_be_there()
        print(self.compose("ps").stdout)
        for command in (["condor_status"], ["condor_q", "-all", "-nobatch"]):
            print(self.execute("ap", *command, user="submit").stdout)

    def shell(self) -> int:
        """Open a shell on the access point, as the submitting user, in the project, brought if it isn't there yet."""
        self._must_be_there()
        if self.execute("ap", "test", "-d", PROJECT).returncode:
            self.sync()
        return self.on_access_point(f"{SHELL} exec bash")

    def _must_be_there(self) -> None:
        if not self.folder.exists():
            raise UserError(f"there is no pool '{self.name}' here; start it with make pool-up")

    def run(self, arguments: list[str], config: Path | None = None) -> int:
        """Run the workflow on the pool, as the user would by hand on the access point.

        Raises
        ------
        UserError
            Where the config is wrong, or names files that can't be brought to the pool; or a run is going on there,
            whose code would be replaced under it.
        """
        if self.execute("ap", "sh", "-c", RUN_LIVES).returncode == 0:
            raise UserError(f"a run is going on in the pool {self.name}; wait for it, or end it, then run again")
        brought = bring(config, ROOT) if config else None
        self.sync()
        environment = ""
        if brought:
            self._send(
                {name: (file, 0o644) for name, file in changed(brought.files, self.shared).items()}, FILES_ARRIVE
            )
            arguments = [*arguments, "--configfile", brought.config]
            environment = " ".join(f"{name}={shlex.quote(value)}" for name, value in brought.variables.items())
        return self.on_access_point(f'{SHELL} {environment} exec snakemake --profile htcondor "$@"', *arguments)

    def sync(self) -> None:
        """Copy the checkout to the shared folder, as a user would; what else lies there stays."""
        files = [file for name in CHECKOUT for file in (ROOT / name, *(ROOT / name).rglob("*")) if file.is_file()]
        names = {str(file.relative_to(ROOT)): file for file in files if file.parent.name != "__pycache__"}
        self._send({name: (file, None) for name, file in names.items()}, CHECKOUT_ARRIVES)

    def _send(self, files: dict[str, tuple[Path, int | None]], script: str) -> None:
        """Give files, by their names there and with their mode, to a script on a host."""
        if not files:
            return

        def write(stream: IO[bytes]) -> None:
            with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT, dereference=True) as archive:
                for name, (file, mode) in files.items():
                    pack(archive, name, file, mode)

        command = ["exec", "-i", "-u", "root", self.container(self.files_host), "sh", "-c", script]
        expect(self.engine.feed(write, *command), "the files could not be handed over")


def pack(archive: tarfile.TarFile, name: str, file: Path, mode: int | None) -> None:
    """Put a file into an archive, with its time to the nanosecond, by which a rerun knows it."""
    member = archive.gettarinfo(file, name)
    seconds, rest = divmod(file.stat().st_mtime_ns, 10**9)
    member.pax_headers = {"mtime": f"{seconds}.{rest:09d}"}
    member.mode = mode or member.mode
    with file.open("rb") as content:
        archive.addfile(member, content)


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Wait for another pool of this checkout that builds what both need; a process that dies lets go of it."""
    ARCHIVES.parent.mkdir(exist_ok=True)
    with (ARCHIVES.parent / "building.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def expect(done: Done, otherwise: str) -> None:
    """Raise a UserError with the end of what a command printed, where it failed."""
    if done.returncode:
        raise UserError(f"{otherwise}: {done.stdout.strip()[-600:]}")


def main() -> int:
    """Do what is asked; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("action", choices=["check", "up", "status", "shell", "run", "down", "purge"])
    parser.add_argument("--name", default="loan-pool", help="another name is another pool")
    parser.add_argument("--nodes", type=int, help=f"execute nodes (default: as many as it has, else {NODES})")
    parser.add_argument("--base", help="build the hosts on another Debian, such as debian:forky-slim")
    parser.add_argument(
        "--configfile", type=Path, help="for run: a config of yours; it and its files are brought along"
    )
    parser.add_argument("--condor-version", help="a version of HTCondor that this Debian has, instead of its newest")
    options, rest = parser.parse_known_args()
    if rest and options.action != "run":  # which hands them to Snakemake
        parser.error(f"{options.action} does not take {shlex.join(rest)}; a pool is named by --name NAME")
    asked = {key: value for key in ("base", "condor_version") if (value := getattr(options, key))}
    pool = Pool(options.name, options.nodes, Build(**asked) if asked else None)
    try:
        if options.action == "run":
            pool.up()
            return pool.run(rest, options.configfile)
        if options.action == "shell":
            return pool.shell()
        actions = {"check": check_engine, "up": pool.up, "status": pool.status, "down": pool.down, "purge": pool.purge}
        actions[options.action]()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; run it again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
