"""The notebook that explores a finished run, from top to bottom; on a pool: tests/pool/test_notebooks.py."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.notebooks import Executed, execution
from tests.workflow.conftest import ROOT


def checksums(project):
    """Return the checksum of each file of the finished run and of its registry."""
    files = [path for name in ("results", "deployed") for path in project.path(name).rglob("*") if path.is_file()]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_explore_runs_on_a_finished_run_and_leaves_it_as_it_was(finished, tmp_path):
    shutil.copytree(ROOT / "notebooks", finished.path("notebooks"))
    before = checksums(finished)
    environment = {"IPYTHONDIR": str(tmp_path / "ipython"), "JUPYTER_RUNTIME_DIR": str(tmp_path / "jupyter")}
    # No schedd, also where this machine is an access point: nothing is submitted by this test.
    environment |= {"CONDOR_CONFIG": "ONLY_ENV"}
    done = subprocess.run(
        execution(str(Path(sys.executable).parent), "notebooks/explore.ipynb", 250),
        cwd=finished.folder,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    found = Executed(finished.path("notebooks/explore.ipynb"))
    assert found.counts == list(range(1, len(found.cells) + 1))
    assert found.complaints == ""
    assert found.pictures == 1
    assert checksums(finished) == before

    assert "lr, version" in found.said("selection['reason']")
    assert " live " in found.said("overview(registry, settings)")
    scores = [float(line.split()[-1]) for line in found.said("amounts = [").splitlines()[1:]]
    assert len(scores) == 5
    assert scores == sorted(scores), "a larger loan is a larger risk"
    assert 0 < scores[0] < scores[-1] < 1

    table = found.said('"finished run": comparison')
    rows = re.findall(r"^(?:finished run|trial|) *(lr|dt|boosting) .* (\d+) +(\d+)$", table, re.MULTILINE)
    assert [model for model, _, _ in rows] == ["dt", "lr", "boosting", "dt", "lr"]
    assert {row[1:] for row in rows} == {("867", "176")}, "the same test rows in both"

    # Without a pool it says so, and what it would have run.
    assert "No schedd answers: this host is no access point of an HTCondor pool" in found.said("why_not = None")
    told = found.said('if why_not:\n    print("Nothing is submitted')
    assert told.startswith("Nothing is submitted: no schedd answers on this host.")
    assert f"--profile {finished.path('profiles/htcondor')} " in told
    assert f"--directory {finished.path('explore/trial')} " in told
