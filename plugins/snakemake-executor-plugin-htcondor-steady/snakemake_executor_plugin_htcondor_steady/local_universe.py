"""Where Snakemake itself is a job on the access point, in HTCondor's local or scheduler universe.

Its jobs then carry its number, and the schedd is told to remove them together with it, as it does for DAGMan: also
where Snakemake can't do so any more.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import classad2

SCHEDULER, LOCAL = 7, 12
WITH_IT = "OtherJobRemoveRequirements"


def own_job(environment: Mapping[str, str]) -> Mapping[str, Any] | None:
    """Return the ClassAd of the job that this process belongs to, or None where it belongs to none.

    Parameters
    ----------
    environment
        HTCondor names the file with the job's ClassAd in it; ``SNAKEMAKE_DRIVER_ID`` alone tells the number.
    """
    path = Path(environment.get("_CONDOR_JOB_AD") or "/nonexistent")
    if path.is_file():
        ad = classad2.parseOne(path.read_text(encoding="utf-8"))
        if ad.get("JobUniverse") in (SCHEDULER, LOCAL):
            return dict(ad)
    if number := environment.get("SNAKEMAKE_DRIVER_ID"):
        return {"ClusterId": int(number), WITH_IT: ""}  # whoever set it sees to the rest
    return None


def removed_with(number: int) -> str:
    """Return the constraint that finds the jobs of the driver with this number."""
    return f"SnakemakeDriverId =?= {number}"


def lies_in_scratch(path: Path | str | None, environment: Mapping[str, str]) -> bool:
    """Tell whether a path lies in HTCondor's scratch folder for this job, which no other host has.

    >>> lies_in_scratch("/scratch/dir_7", {"_CONDOR_SCRATCH_DIR": "/scratch/dir_7"})
    True
    >>> lies_in_scratch("/shared/images", {"_CONDOR_SCRATCH_DIR": "/scratch/dir_7"})
    False
    """
    scratch = environment.get("_CONDOR_SCRATCH_DIR")
    return bool(path and scratch and Path(path).is_relative_to(scratch))
