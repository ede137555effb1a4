#!/bin/sh
# All static checks; every one runs, also when an earlier one fails. Usage: lint.sh .venv/bin
set -u
bin=$1
failed=0

check() {
    name=$1
    shift
    if output=$("$@" 2>&1); then
        echo "lint: $name: ok"
    else
        echo "$output"
        echo "lint: $name: failed (make format mends layout)"
        failed=1
    fi
}

check "ruff check" "$bin/ruff" check .
check "ruff format" "$bin/ruff" format --check .
check "snakefmt" "$bin/snakefmt" --check workflow
check "snakemake --lint" "$bin/snakemake" --lint
check "mypy" "$bin/mypy"
check "config docs" "$bin/python" -m scripts.tools.config_docs --check
exit $failed
