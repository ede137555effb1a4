"""What a held job means for the run: pure functions on its ClassAd.

Codes: HTCondor's manual, "Hold reason codes" (job ClassAd attribute HoldReasonCode).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# What the schedd is asked about a held job.
ATTRIBUTES = (
    *("HoldReason", "HoldReasonCode", "HoldReasonSubCode"),
    *("MemoryUsage", "ResidentSetSize", "RequestMemory", "RequestDisk"),  # MemoryUsage refers to ResidentSetSize
)

USER_REQUEST = 1  # condor_hold: a person means to go on, by condor_release
OUT_OF_RESOURCES = 34  # cgroups stopped the job at its memory limit
NODE_POLICY = 21  # WANT_HOLD of the execute node; HTCondor's own policies say in the subcode which resource it was
TOO_LONG = (46, 47)  # longer than allowed_job_duration, or than allowed_execute_duration, which `runtime` sets
POLICIES = (3, NODE_POLICY, 26)  # 3: the job's own policy, 26: the access point's
MEMORY, DISK = 102, 104  # subcodes


@dataclass(frozen=True)
class Hold:
    """What follows from a hold.

    Attributes
    ----------
    action
        ``retry``, ``fail`` at once (another attempt would be held too), or ``wait`` for a person.
    sentence
        What happened, in words.
    again
        What a retry is, in words.
    of
        The resource of a rule that a retry is to have more of, or "".
    """

    action: str
    sentence: str
    again: str = "retried with more"
    of: str = ""


def judge(ad: Mapping[str, Any]) -> Hold:
    """Tell what a hold means.

    Parameters
    ----------
    ad
        The attributes of the job that are named in `ATTRIBUTES`, as far as they are known.
    """
    code, reason = ad.get("HoldReasonCode"), ad.get("HoldReason") or "no reason is given"
    resource = ad.get("HoldReasonSubCode") if code in (OUT_OF_RESOURCES, NODE_POLICY) else None
    if code == USER_REQUEST:
        return Hold("wait", f"held by a person ({reason}); condor_release lets it go on, condor_rm ends it")
    if resource == DISK:
        return Hold("retry", f"out of disk, the request was {ad.get('RequestDisk', '?')} KB ({reason})", of="disk_mb")
    if code == OUT_OF_RESOURCES or resource == MEMORY or (code in POLICIES and _above_request(ad)):
        asked = ad.get("RequestMemory", "?")
        return Hold("retry", f"out of memory, the request was {asked} MB ({reason})", of="mem_mb")
    if code in TOO_LONG:  # a server that was silent may be the cause; a rule may allow each attempt more time
        return Hold("retry", f"ran for longer than it may ({reason})", "tried again")
    return Hold("fail", f"held: {reason} (hold code {code}, subcode {ad.get('HoldReasonSubCode')})")


def same_again(resource: str) -> str:
    """Say what a retry is whose rule asks for the same at each attempt."""
    return f"retried with the same request, as its {resource} doesn't grow with attempt"


def _above_request(ad: Mapping[str, Any]) -> bool:
    """Tell whether a policy held a job for memory: on many pools a job may take more than it asks for."""
    reason, used, asked = str(ad.get("HoldReason") or ""), ad.get("MemoryUsage"), ad.get("RequestMemory")
    other = reason and not re.search("memory|rss|residentset|imagesize", reason, re.IGNORECASE)
    return not other and isinstance(used, int | float) and isinstance(asked, int | float) and used > asked
