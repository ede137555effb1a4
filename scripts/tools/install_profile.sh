#!/bin/sh
# Link profiles/htcondor to where Snakemake looks for profiles by name, so that `snakemake --profile htcondor` finds it.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=${XDG_CONFIG_HOME:-$HOME/.config}/snakemake
link=$folder/htcondor

if [ -e "$link" ] && [ ! -L "$link" ]; then
    echo "install-profile: $link is a profile of your own; move it away first, or go on with --profile profiles/htcondor." >&2
    exit 1
fi
mkdir -p "$folder"
ln -sfn "$root/profiles/htcondor" "$link"
echo "install-profile: $link leads to $root/profiles/htcondor; now: snakemake --profile htcondor"
