#!/bin/sh
# Build the Python environment in .venv from requirements.lock; do nothing where it is already up to date.
# Usage: setup_env.sh [folder]    (PYTHON=/path/to/python3 chooses the interpreter)
#        setup_env.sh FOLDER --checksum    prints what an up-to-date environment has noted
set -eu
venv=${1:-.venv}
root=$(cd "$(dirname "$0")/../.." && pwd)
lock=$root/requirements.lock
plugins=$root/plugins

fail() {
    echo "setup: $*" >&2
    exit 1
}

# One checksum for the lock and all code of the plugins of our own, whatever folder the checkout lies in.
[ -f "$lock" ] || fail "$lock is missing; the checkout is not whole."
checksum=$(cd "$root" && find requirements.lock plugins -type f \
    \( -name requirements.lock -o -name pyproject.toml -o -name '*.py' -o -name '*.sh' \) -exec sha256sum {} + |
    LC_ALL=C sort | sha256sum | cut -d' ' -f1)
if [ "${2:-}" = --checksum ]; then
    echo "$checksum"
    exit 0
fi
version() { "$1" -c 'import sys; print(sys.version)' 2>/dev/null | tr '\n' ' '; }

# Up to date: the same lock, and a Python that still runs (and is the one that was asked for).
up_to_date() {
    [ "$(cat "$venv/installed-lock" 2>/dev/null)" = "$checksum" ] && installed=$(version "$venv/bin/python") &&
        [ -n "$installed" ] && { [ -z "${PYTHON:-}" ] || [ "$installed" = "$(version "$PYTHON")" ]; }
}
if up_to_date; then
    exit 0
fi

supported() {
    "$1" -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 13)))' 2>/dev/null
}

python=${PYTHON:-}
if [ -n "$python" ]; then
    supported "$python" || fail "PYTHON=$python is not Python 3.11 to 3.13; name another one or leave PYTHON unset."
else
    for candidate in python3 python3.13 python3.12 python3.11; do
        if supported "$candidate"; then
            python=$candidate
            break
        fi
    done
    [ -n "$python" ] || fail "Python 3.11 to 3.13 was not found; install it (Debian, Ubuntu: apt-get install python3 python3-venv) or name it: make PYTHON=/path/to/python3."
fi

# Debian and Ubuntu ship venv in a package of its own.
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    package=python$version-venv
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "setup: installing $package"
        { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y "$package"; } >/dev/null 2>&1 ||
            fail "could not install $package; install it by hand and run make again."
    else
        fail "Python's venv module is missing; run: sudo apt-get install $package"
    fi
fi

# Whoever comes second waits here, and finds it done. Python locks, since not every system has flock(1); the lock stays
# with this shell's descriptor, and goes with it however it ends.
[ ! -d "$venv" ] || [ ! -L "$venv" ] || venv=$(cd "$venv" && pwd -P) # what a link leads to is built where it lies
old=$venv.old
mkdir -p "$(dirname "$venv")"
exec 9>>"$venv.lock"
"$python" - "$venv" 3<&9 <<'END'
import contextlib
import fcntl
import sys

with contextlib.suppress(OSError):  # a file system without locks
    try:
        fcntl.flock(3, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"setup: another make builds {sys.argv[1]}; waiting for it", flush=True)
        fcntl.flock(3, fcntl.LOCK_EX)
END

# Leave a whole environment in place: the new one where it is done, else the one that was there before.
settle() {
    if [ -f "$venv/installed-lock" ]; then # it is written last
        rm -rf "$old"
    elif [ -e "$old" ]; then
        rm -rf "$venv"
        mv "$old" "$venv"
    fi
}
settle # after a build that was killed
if up_to_date; then
    exit 0
fi

# Each run of this checkout holds a lock for as long as it lives: scripts/shared/ownership.py, and the executor.
run_lives() {
    "$python" - "$root/.snakemake/owner.alive" "$root"/.snakemake/htcondor-steady/* <<'END'
import fcntl
import sys

for name in sys.argv[1:]:
    try:
        with open(name, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(0)
    except OSError:  # it isn't there, or its file system has no locks
        pass
sys.exit(1)
END
}
if [ -f "$venv/installed-lock" ] && run_lives; then
    fail "$venv is not up to date, and can't be built anew while a run of this checkout goes on in it; wait for it (make follow shows a submitted one), or end it, then run make again."
fi

echo "setup: installing the locked packages into $venv (about a minute, once)"
trap settle EXIT
trap 'exit 130' INT TERM HUP
# Its programs hold its path, so the new one is built where it is to be, and the old one waits beside it.
if [ -f "$venv/installed-lock" ]; then
    mv "$venv" "$old" 2>/dev/null || true # a mount point can't be moved: it is cleared
fi
"$python" -m venv --clear "$venv" || fail "could not create $venv; see above."
"$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r "$lock" ||
    fail "pip could not install requirements.lock; see its message above (is a package index reachable?)."
for plugin in "$plugins"/*/; do
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-deps --no-index --no-build-isolation "$plugin" ||
        fail "pip could not install $plugin; see its message above."
done

# The HTCondor bindings warn on every import where no pool is configured. A laptop needs no pool, so exactly this
# message is silenced for this environment; every other warning still shows.
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo 'import warnings; warnings.filterwarnings("ignore", message="The environment variable CONDOR_CONFIG is unset")' \
    >"$site/no_pool_no_warning.pth"

echo "$checksum" >"$venv/installed-lock.new"
mv "$venv/installed-lock.new" "$venv/installed-lock"
