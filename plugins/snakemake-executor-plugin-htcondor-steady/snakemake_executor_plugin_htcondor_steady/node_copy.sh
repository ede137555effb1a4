#!/bin/sh
# Run Python from a copy of its environment on the node's own disk, so that hundreds of jobs don't import from the shared
# folder at once. The first job of a node makes the copy; the others wait for it.
# Usage: node_copy.sh ENVIRONMENT FOLDER NAME python-arguments...
set -eu
environment=$1 folder=$2 name=$3
shift 3
given=$(umask) # the program's own, restored before it starts: what it writes may be for a whole team
umask 077

mine=$folder/environments-$(id -u)
copy=$mine/$name
# The folder is open to all users: what another one prepared there must never run.
if ! mkdir -p "$mine" || [ -L "$mine" ] || [ ! -O "$mine" ]; then
    echo "node copy: $mine on $(uname -n) is not a folder of $(id -un)'s own; remove it, or name another folder" >&2
    exit 1
fi

# One large file crosses a network file system faster than twenty thousand small ones.
fill() {
    if [ -f "$environment.tar" ]; then tar -xf "$environment.tar" -C "$1"; else cp -a "$environment/." "$1"; fi
}

# Called where a failure has an answer, so `set -e` is off in here.
make_copy() {
    flock 9 || return
    [ ! -f "$copy/complete" ] || return 0
    mkdir "$copy.$$" && fill "$copy.$$" && touch "$copy.$$/complete" && mv -T "$copy.$$" "$copy" || return
    # Copies of former environments, unused for a month.
    find "$mine" -mindepth 1 -maxdepth 1 -type d -mtime +30 -exec rm -rf {} +
}

if [ ! -f "$copy/complete" ] && ! make_copy 9>"$mine/lock"; then
    echo "node copy: $environment could not be copied to $mine on $(uname -n), so it runs from the shared folder" >&2
    rm -rf "$copy.$$"
    umask "$given"
    exec "$environment/bin/python" "$@"
fi
touch "$copy"
umask "$given"
exec "$copy/bin/python" "$@"
