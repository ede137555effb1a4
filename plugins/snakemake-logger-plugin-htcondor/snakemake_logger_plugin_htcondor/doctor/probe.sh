#!/bin/sh
# What the doctor asks an execute node: probe.sh FOLDER NONCE NODE PYTHON SECONDS MB. SECONDS and MB are for the imports of
# the locked packages. It runs in HTCondor's scratch folder, so that it can tell when the working folder is missing. Its findings, a KEY=VALUE each, go to its standard output, which HTCondor
# brings back; the only file that it makes is NODE.seen in the doctor's own folder.
folder=$1 nonce=$2 node=$3 python=$4 seconds=$5 megabytes=$6
# What is imported leaves nothing behind: no caches beside the packages, and none in a home.
export LC_ALL=C PYTHONDONTWRITEBYTECODE=1 MPLCONFIGDIR="$PWD"
own=$folder/.snakemake/htcondor-doctor/$nonce

tell() { printf '%s=%s\n' "$1" "$2"; }
# Free and total KB of the file system that holds a folder.
space() { df -Pk "$1" 2>/dev/null | awk 'NR == 2 { print $4, $2 }'; }
# The last line of an error, without the program's name.
why() { sed -n '$p' "$1" | sed 's/^.*: //'; }

tell time "$(date +%s.%N)"
tell host "$(hostname)"
tell uid "$(id -u)"
tell gid "$(id -g)"
tell umask "$(umask)"
tell scratch "$PWD"
tell scratch_space "$(space "$PWD")"

# ls says why a folder can't be opened; a shell's cd need not.
if ! ls -d "$folder/." >/dev/null 2>error.txt; then
    tell folder_error "$(why error.txt)"
elif ! ls "$own" >/dev/null 2>error.txt; then
    tell own_error "$(why error.txt)"
else
    tell real "$(cd "$folder" && pwd -P)"
    tell space "$(space "$folder")"
    if read -r content <"$own/from-access-point" 2>error.txt; then
        tell read "$content"
    else
        tell read_error "$(why error.txt)"
    fi
    if (printf '%s\n' "$nonce" >"$own/$node.new" && mv "$own/$node.new" "$own/$node.seen") 2>error.txt; then
        tell written "$(cat "$own/$node.seen" 2>/dev/null)"
    else
        tell write_error "$(why error.txt)"
    fi
fi
sed 's/^/mountinfo=/' /proc/self/mountinfo 2>/dev/null

if [ ! -e "$python" ]; then
    tell python_error "No such file"
else
    found=$("$python" versions.py names.txt 2>error.txt) && tell packages "$found" || {
        reason=$(why error.txt)
        tell python_error "${reason:-it ends with an error}"
    }
    if [ -n "${found:-}" ] && [ -s names.txt ]; then
        # It ends by itself in time, but for an import that hangs: the rest of what was found must get home.
        timeout "$seconds" "$python" imports.py names.txt "$seconds" "$megabytes" 2>error.txt
        tell imports_exit "$?"
    fi
fi
tell end 1
