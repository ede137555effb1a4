"""Which attributes of slots and jobs stay as they are, as long as nobody changes a configuration: for judging NEVER.

What a startd finds once and doesn't look at again is fixed: the processor, the operating system, how much of each
resource a slot was given. Most else changes: with time, load and use, with a node's own health, as a probe
(STARTD_CRON) tells it. An attribute that isn't known here may be either. It is taken for a label that an admin has
set (STARTD_ATTRS) where nothing speaks against it, which is enough to tell of it, and never enough to remove a job.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import lru_cache

import classad2 as classad


class Stays(IntEnum):
    """How sure it is that an attribute stays as it is."""

    NO = 0
    LIKELY = 1
    SURE = 2


# In lower case: ClassAds don't tell cases apart.
FIXED = frozenset(
    (
        *("arch", "opsys", "opsysandver", "opsyslegacy", "opsyslongname", "opsysmajorver", "opsysname"),
        *("opsysshortname", "opsysver", "utsnamemachine", "utsnamesysname", "machine", "name", "slotid", "slottype"),
        *("slottypeid", "partitionableslot", "dynamicslot", "machineresources", "mytype", "targettype"),
        *("uiddomain", "filesystemdomain", "cpus", "memory", "gpus", "totalcpus", "totalmemory", "totalgpus"),
        *("totalslotcpus", "totalslotmemory", "totalslotgpus", "detectedcpus", "detectedmemory", "detectedgpus"),
        *("cpufamily", "cpumodel", "cpumodelnumber", "cpucachesize", "microarch", "condorversion", "condorplatform"),
        *("hasfiletransfer", "hasjobdeferral", "hasmpi", "hasreconnect", "hastdp"),
        *("hasperfileencryption", "hasselfcheckpointtransfers", "hastransferinputremaps", "hasjobtransferplugins"),
        *("hasjiclocalconfig", "hasjiclocalstdin", "hasencryptexecutedirectory", "hasrotationalscratch"),
    )
)
# By these a job names a host, and it may mean one that is down for now.
HOSTS = frozenset(("machine", "name", "utsnamenodename"))
# What the processor and the GPUs are.
FIXED_NAMES = re.compile(
    r"has_?(sse|ssse|avx)\w*|(gpus|cuda)_?(capability|clockmhz|computeunits|corespercu|devicename|driverversion"
    r"|eccenabled|globalmemorymb|maxsupportedversion|runtimeversion)"
)
# What a startd tells of its use, and what it probes again and again: Docker and the like come and go.
CHANGING = frozenset(
    (
        *("activity", "assignedgpus", "availablegpus", "condorloadavg", "consoleidle", "cpubusy", "currentrank"),
        *("currenttime", "disk", "draining", "keyboardidle", "kflops", "loadavg", "machinelastmatchtime", "mips"),
        *("numpids", "offline", "absent", "servertime", "state", "swap", "totalslots", "virtualmemory"),
        *("myaddress", "startdipaddr", "addressv1", "hasdocker", "hasvm", "hassingularity", "hascontainer", "hassif"),
        *("hassandboximage", "hasdockerurl", "hasusernamespaces", "haspidnamespaces", "hasjava", "hassshd"),
    )
)
CHANGING_NAMES = re.compile(
    # of another slot of the node (STARTD_SLOT_ATTRS), of the jobs on it, and counted or stamped since it began
    r"slot\d+_.*|child.*|job.*|remote.*|client.*|recent.*|last.*|entered.*|num(?!a).*|claim.*|clock.*|current.*|my.*time"
    r"|total(time|job|load|condor|machine|virtual|swap|slotswap).*|monitorself.*|expectedmachine.*|preempt.*|retire.*"
    r"|update.*|.*requests|newdslot.*|nextfetch.*|timetolive|daemon.*|brokens.*|brokenc.*|slotbroken.*|cleanup.*|docker.*|offline.*|drain.*|hibernat.*|cpubusy.*|busy.*|.*disk.*"
    # by whatever name a probe tells how a node is
    r"|.*(health|status|alive|ready|fail|error|problem|state|free|avail|usage|used|load|idle|uptime|temperature).*"
)
# An admin sets them, and a slot that is drained doesn't publish them.
CONFIGURED = frozenset(("start", "requirements", "withinresourcelimits"))
# Of a job that waits, the access point changes nothing else.
JOBS_CHANGING = re.compile(
    r"(server|current|mycurrent)time|jobstatus|enteredcurrentstatus|numjobmatches|(lastrej|lastmatch|autocluster)\w*"
)
# The negotiator writes them into the ads that it matches, each time anew, a job's use and quotas among them. The ads of
# schedd and collector never have them.
NEGOTIATORS = re.compile(r"submitt[eo]r\w*|negotiatormatchexpr\w*")
UPDATED = "lastupdate"
BENCHMARKS_TAKE = 120.0  # seconds: they, too, leave a time behind


@dataclass(frozen=True)
class Attributes:
    """What is known of the attributes of one job and of a pool's slots.

    Attributes
    ----------
    job
        The job's ad.
    slots
        The ads of all slots: what one publishes, another may publish later.
    strict
        Only what surely stays is taken to stay.
    made_up
        The job's ad is made up from a submit description. HTCondor adds more to a job, as do SUBMIT_ATTRS and job
        transforms: what is missing may come.
    unsure
        Requests of the job, in lower case, for which a slot's consumption policy puts in what may change.
    """

    job: classad.ClassAd
    slots: Sequence[classad.ClassAd]
    strict: bool = False
    made_up: bool = False
    unsure: frozenset[str] = frozenset()
    _known: dict[str, Stays] = field(default_factory=dict)

    def strictly(self) -> "Attributes":
        """Return the same, with only what surely stays taken to stay."""
        return replace(self, strict=True)

    def changes(self, name: str, ad: classad.ClassAd | None) -> bool:
        """Tell whether an attribute can change by itself, in the ad that defines it; None where neither does."""
        if NEGOTIATORS.fullmatch(name):
            return True
        if ad is self.job:
            return name in self.unsure or JOBS_CHANGING.fullmatch(name) is not None
        if name in CONFIGURED:
            return ad is None
        if name not in self._known:
            self._known[name] = self._stays(name)
        return self._known[name] < (Stays.SURE if self.strict else Stays.LIKELY)

    def _stays(self, name: str) -> Stays:
        if (known := known_of(name)) is not None:
            return known
        defining = [slot for slot in self.slots if name in slot]
        if not defining:  # a probe may not have told it yet
            return Stays.NO if any(_probes(slot) for slot in self.slots) else Stays.LIKELY
        if any(_is_truth_value(slot, name) or name.startswith(_probes(slot)) for slot in defining):
            return Stays.NO
        resources = (str(slot.get("MachineResources", "")).lower().split() for slot in defining)
        return Stays.SURE if all(name in of_slot for of_slot in resources) else Stays.LIKELY


@lru_cache(maxsize=4096)
def known_of(name: str) -> Stays | None:
    """Return what is known of a slot's attribute by its name, in lower case; None where nothing is.

    >>> known_of("arch"), known_of("slot2_state"), known_of("rack")
    (<Stays.SURE: 2>, <Stays.NO: 0>, None)
    """
    if name in FIXED or FIXED_NAMES.fullmatch(name):
        return Stays.SURE
    return Stays.NO if name in CHANGING or CHANGING_NAMES.fullmatch(name) else None


def _is_truth_value(slot: classad.ClassAd, name: str) -> bool:
    """Tell whether a slot says no more than yes or no by it: what a node can, or how it is."""
    return str(slot.lookup(name)).lower() in ("true", "false")


def _probes(slot: classad.ClassAd) -> tuple[str, ...]:
    """Return how the names begin that probes of a startd tell: each leaves its prefix and LastUpdate beside them."""
    found = tuple(own.lower().removesuffix(UPDATED) for own in slot if own.lower().endswith(UPDATED))
    return tuple(prefix for prefix in found if prefix or not _is_of_benchmarks(slot))


def _is_of_benchmarks(slot: classad.ClassAd) -> bool:
    """Tell whether the LastUpdate without a prefix is that of the startd's own benchmarks."""
    told, ended = slot.get("LastUpdate"), slot.get("LastBenchmark")
    return isinstance(told, int) and isinstance(ended, int) and abs(told - ended) <= BENCHMARKS_TAKE
