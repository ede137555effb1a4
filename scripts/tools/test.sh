#!/bin/sh
# All tests, on all cores, with the coverage of scripts/. Usage: test.sh .venv/bin
set -eu
bin=$1

if [ -z "${LOAN_DATA_DIR:-}" ]; then
    echo "test: LOAN_DATA_DIR is not set, so the tests on the real loan data are left out; name the folder that holds loan_data.csv to run them."
elif [ ! -f "$LOAN_DATA_DIR/loan_data.csv" ]; then
    echo "test: LOAN_DATA_DIR is $LOAN_DATA_DIR, but there is no loan_data.csv in it; correct it or unset it." >&2
    exit 1
fi

# Without a container engine the pool tests can't run. Said here, once: pytest's processes would say it each, or not at all.
"$bin/python" -m pool.pool check

# A pool's tests mostly wait for HTCondor: two pools side by side take little longer than one. The other tests share the cores.
"$bin/python" -m pytest -q -n auto --dist worksteal -m "not pool and not nfs" --cov --cov-report=term --cov-fail-under=90
exec "$bin/python" -m pytest -q -m pool -n 2 --dist loadfile --no-loadscope-reorder
