"""Random jobs and random pools as ClassAds in HTCondor's own text form, for judging our verdicts by HTCondor's.

A seed makes one pool, its slots as they are now, the same slots as they could be later with nobody at work on them, and
jobs for it. Nothing in here evaluates an expression: whoever asks does, HTCondor's tools or its bindings.

The slots' attributes, and their WithinResourceLimits, Requirements and Child lists, are those that startds of version
23.9 publish; `LIMITS_OF_OLD` is how older ones wrote the same.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

Ad = dict[str, str]

# --- what slots and jobs publish -----------------------------------------------------------------------------------

LIMITS = (
    "(MY.Cpus > 0 && TARGET.RequestCpus <= MY.Cpus && MY.Memory > 0 && TARGET.RequestMemory <= MY.Memory"
    " && MY.Disk > 0 && TARGET.RequestDisk <= MY.Disk"
    " && (TARGET.RequestGPUs =?= undefined || MY.GPUs >= TARGET.RequestGPUs))"
)
LIMITS_OF_OLD = " && ".join(
    f"ifThenElse(TARGET._condor_Request{name} =!= undefined,"
    f" MY.{name} > 0 && TARGET._condor_Request{name} <= MY.{name},"
    f" ifThenElse(TARGET.Request{name} =!= undefined, MY.{name} > 0 && TARGET.Request{name} <= MY.{name}, {default}))"
    for name, default in (("Cpus", "1 <= MY.Cpus"), ("Memory", "false"), ("Disk", "false"))
)
# What condor_submit appends; the third word of the last is for jobs that transfer files.
APPENDED = (
    '(TARGET.Arch == "X86_64")',
    '(TARGET.OpSys == "LINUX")',
    "(TARGET.Disk >= RequestDisk)",
    "(TARGET.Memory >= RequestMemory)",
    "(TARGET.Cpus >= RequestCpus)",
    "((TARGET.FileSystemDomain == MY.FileSystemDomain) || (TARGET.HasFileTransfer))",
)
ODD_TEXTS = (
    *(
        "a && b",
        "x ? y : z",
        '("',
        "||",
        "it's",
        "[ a ]",
        '{ "b" }',
        "!(",
        "TARGET.Memory > 99999",
        "",
        "a, b ,c",
        "?:",
    ),
    *("&& ||", "R,python", "/* not a comment", "// nor this", "tab\tulator", "=?=", "ünï"),
)
STARTS = (
    *("true",) * 12,
    'TARGET.Owner == "ann"',
    'TARGET.Owner =!= "bob"',
    "TARGET.RequestMemory <= 4096",
    "(TARGET.RequestMemory ?: 1) < 8000 && JobUniverse == 5",
    'TARGET.AcctGroup =?= "physics" || TARGET.AcctGroup =?= "chem"',
    'stringListMember(TARGET.Owner, "ann,cem")',
    "TARGET.RequestCpus >= 2",
    "TARGET.RequestGPUs =!= undefined && TARGET.RequestGPUs > 0",
    'ifThenElse(isUndefined(TARGET.Wanted), Kind == "K1", size(TARGET.Wanted) > 0)',
    "!(TARGET.WantAvx) || HasAvx",
    "HasAvx =!= false || TARGET.NiceUser =!= true",
    'regexp("^(ann|bob)$", Owner)',
)
# What changes with time and load, and what a node tells of itself alone: its health, as far as others can know.
STARTS_THAT_CHANGE = (
    "Open && TARGET.NiceUser =!= true",
    "(LoadAvg - CondorLoadAvg) <= 0.3 && KeyboardIdle > 900",
    'State != "Owner" && LoadAvg < 0.5',
    "ClockMin < 480 || ClockMin > 1080 || ClockDay == 0",
    'Quiet && TARGET.Owner != "bob"',
    "time() > 4000000000",
    '(slot2_State == "Unclaimed") || TARGET.NiceUser',
    "size(ChildRemoteUser) < 1 || TARGET.NiceUser",
    "HasCVMFS || TARGET.NiceUser",
    'KFlops > 500000 && TARGET.Owner != "bob"',
    "TotalTimeUnclaimedIdle > 600 && TARGET.NiceUser =!= true",
    'NODE_Status == "All_OK" || TARGET.NiceUser',
)
LATER = "4102444800"  # what time() is replaced by when a pool is looked at later: the year 2100


@dataclass(frozen=True)
class Pool:
    """A pool's slots.

    Attributes
    ----------
    slots
        The ads as the collector has them.
    free
        Those of them that no job is on, which take part in matching, by their position.
    later
        The slots as they could be when no job runs, at several moments: with more load and less, by day and by night.
    changing
        Whether a START looks at what changes with time, load and health, or probes tell what they like of the nodes.
    """

    slots: tuple[Ad, ...]
    free: tuple[int, ...]
    later: tuple[tuple[Ad, ...], ...]
    changing: bool


@dataclass(frozen=True)
class Job:
    """A job.

    Attributes
    ----------
    ad
        The ad as the access point has it.
    changing
        Whether its Requirements look at what changes with time, load or use.
    disputed
        Whether HTCondor's own parts differ on it: an ``?:`` without brackets binds least of all operators in version
        23.9, and most in 24.12; ads and lists within Requirements are read in three ways, by the negotiator, by
        ``condor_q`` and by the bindings.
    odd
        Whether errors and other constants that are no truth values stand in it. The negotiator simplifies Requirements
        before it evaluates them, and may get another value than ``condor_q`` and the bindings, as of ``true || error``.
    """

    ad: Ad
    changing: bool
    disputed: bool = False
    odd: bool = False

    @property
    def later(self) -> Ad:
        """The job in the year 2100."""
        return at_last(self.ad)


def at_last(ad: Ad) -> Ad:
    """Return an ad in the year 2100."""
    return {name: value.replace("time()", LATER).replace("CurrentTime", LATER) for name, value in ad.items()}


def long_form(ads: Iterable[Ad]) -> str:
    """Return ads as ``condor_q -long`` and ``condor_status -long`` print them."""
    return "\n".join("".join(f"{name} = {value}\n" for name, value in ad.items()) for ad in ads) + "\n"


def quoted(text: str) -> str:
    """Return a text as a string of the long form, in which nothing but a quote is escaped."""
    return '"' + text.replace('"', '\\"') + '"'


# --- pools ---------------------------------------------------------------------------------------------------------


@dataclass
class _Builder:
    """Collects a pool's slots in all their states."""

    dice: random.Random
    now: list[Ad] = field(default_factory=list)
    free: list[int] = field(default_factory=list)
    later: list[list[Ad]] = field(default_factory=lambda: [[], [], []])
    changing: bool = False
    probed: bool = False

    def add(self, slot: Ad, free: bool, empty: Ad | None) -> None:
        """Add a slot, and what it is when no job is on it; without that, it is there only as long as its job is."""
        if free:
            self.free.append(len(self.now))
        self.now.append(slot | _moment(self.dice, slot) | self._health())
        if empty is not None:
            for ads, moment, health in zip(self.later, MOMENTS, HEALTHS, strict=True):
                ads.append(at_last(empty) | moment | self._told(health))
            self.later[0][-1] |= {"Disk": "2000000000", "TotalSlotDisk": "2000000000"}  # what lay there is gone
            if "PartitionableSlot" in empty:  # a job has taken all but a little
                self.later[1][-1] |= {"Cpus": "1", "Memory": "512"}

    def _told(self, health: Ad) -> Ad:
        return {name: value for name, value in health.items() if self.probed or not name.startswith("NODE_")}

    def _health(self) -> Ad:
        """Return what a slot tells of its health now; some haven't been probed or measured yet."""
        health = self._told(HEALTHS[1] if self.dice.random() < 0.5 else self.dice.choice(HEALTHS))
        late = self.dice.random() < 0.3
        missing = ("KFlops", "Mips", "TotalTimeUnclaimedIdle", *(("HasCVMFS",) if self.probed else ()))
        return {name: value for name, value in health.items() if not late or name not in missing}


MOMENTS: tuple[Ad, ...] = (
    {"LoadAvg": "0.0", "CondorLoadAvg": "0.0", "KeyboardIdle": "90000", "ClockMin": "100", "ClockDay": "0"},
    {"LoadAvg": "0.9", "CondorLoadAvg": "0.1", "KeyboardIdle": "3", "ClockMin": "720", "ClockDay": "3"},
    {"LoadAvg": "0.2", "CondorLoadAvg": "0.2", "KeyboardIdle": "1000", "ClockMin": "1200", "ClockDay": "6"},
)
# What the node tells of its other slot, of its use and its speed, and what probes tell of its health (STARTD_CRON; the
# one that tells all that begins with NODE_ leaves the time under that prefix).
HEALTHS: tuple[Ad, ...] = (
    {
        "slot2_State": '"Unclaimed"',
        "KFlops": "1400000",
        "Mips": "35572",
        "TotalTimeUnclaimedIdle": "86400",
        "HasCVMFS": "true",
        "NODE_Status": '"All_OK"',
        "NODE_Rooms": "7",
        "NODE_LastUpdate": "1700000000",
    },
    {
        "slot2_State": '"Claimed"',
        "KFlops": "900000",
        "Mips": "20000",
        "TotalTimeUnclaimedIdle": "5",
        "HasCVMFS": "false",
        "NODE_Status": '"no CVMFS"',
        "NODE_Rooms": "0",
        "NODE_LastUpdate": "1700000000",
    },
    {
        "slot2_State": '"Owner"',
        "KFlops": "1000",
        "Mips": "10",
        "TotalTimeUnclaimedIdle": "700",
        "HasCVMFS": "true",
        "NODE_Status": '"All_OK"',
        "NODE_Rooms": "1",
        "NODE_LastUpdate": "1700000000",
    },
)


def _moment(dice: random.Random, slot: Ad) -> Ad:
    return {name: slot.get(name, value) for name, value in dice.choice(MOMENTS).items()}


def make_pool(seed: int) -> Pool:
    """Return the pool of a seed: some machines, with static slots or a partitionable one each."""
    dice = random.Random(seed)
    builder = _Builder(dice)
    builder.probed = builder.changing = dice.random() < 0.3
    for number in range(dice.randint(1, 4)):
        host = random_host(dice, f"node{number + 1}")
        if dice.random() < 0.15:
            host["Start"] = dice.choice(STARTS_THAT_CHANGE)
            builder.changing = True
        if dice.random() < 0.6:
            _partitionable(builder, host)
        else:
            _static(builder, host)
    return Pool(tuple(builder.now), tuple(builder.free), tuple(tuple(ads) for ads in builder.later), builder.changing)


def random_host(dice: random.Random, name: str) -> Ad:
    """Return what all slots of a machine tell of it."""
    family = dice.choice((6, 23, 25))
    return {
        "MyType": '"Machine"',
        "TargetType": '"Job"',
        "Machine": quoted(name),
        "Arch": dice.choice(('"X86_64"',) * 9 + ('"aarch64"',)),
        "OpSys": dice.choice(('"LINUX"',) * 8 + ('"WINDOWS"',)),
        "OpSysAndVer": dice.choice(('"Debian13"', '"AlmaLinux9"')),
        "OpSysMajorVer": dice.choice(("9", "13")),
        "FileSystemDomain": dice.choice(('"pool"', quoted(name))),
        **dice.choice(({"HasFileTransfer": "true"}, {"HasFileTransfer": "true"}, {})),
        "CpuFamily": str(family),
        "Microarch": quoted(f"x86_64-v{dice.randint(2, 4)}"),
        "HasAvx": dice.choice(("true", "false", "1", "0", "undefined")),
        "Open": dice.choice(("true", "1", "2.5", "HasAvx", "MY.CpuFamily > 6")),
        "Quiet": "KeyboardIdle > 600",
        "Kind": dice.choice(('"K1"', '"k1"', '"K2"')),
        "Label": quoted(dice.choice(ODD_TEXTS)),
        "Software": dice.choice(('"R,python"', '"python, julia"', '""', "undefined")),
        "Racks": dice.choice(('{ "r1","r2" }', '{ "r2" }', "{  }", '{ 1,"R1",undefined }')),
        "Tags": f"[ level = {dice.randint(0, 4)}; zone = {_odd_text(dice)}; deep = [ n = {dice.randint(0, 2)} ] ]",
        "Speed": dice.choice(("CpuFamily * 10 + 1", "TARGET.MinFamily * 2", "SpeedBase / 2", "real(CpuFamily)")),
        "SpeedBase": dice.choice(("100", "CpuFamily * CpuFamily", '"fast"')),
        "Broken": dice.choice(("error", "1 / 0", '"x" + 1')),
        "Start": dice.choice(STARTS),
        "MachineResources": '"Cpus Memory Disk Swap GPUs"',
    }


def _odd_text(dice: random.Random) -> str:
    return quoted(dice.choice(ODD_TEXTS))


def _resources(cpus: int, memory: int, disk: int, gpus: int) -> Ad:
    return {"Cpus": str(cpus), "Memory": str(memory), "Disk": str(disk), "GPUs": str(gpus)}


def _totals(resources: Ad) -> Ad:
    return {f"TotalSlot{name}": value for name, value in resources.items()}


IDLE = {"State": '"Unclaimed"', "Activity": '"Idle"'}
OWNERS = {"State": '"Owner"', "Activity": '"Idle"'}
CLAIMED = {"State": '"Claimed"', "Activity": '"Busy"', "RemoteOwner": '"bob@pool"', "RemoteUser": '"bob@pool"'}
# What a startd publishes while it drains: neither START nor limits, and Requirements that take nothing.
DRAINED = {"State": '"Drained"', "Activity": '"Idle"', "Draining": "true", "Requirements": "false"}
# Nobody can tell what it will take once it takes jobs again.
REOPENED = IDLE | {"Requirements": "true"}


def _closed(slot: Ad, state: Ad = DRAINED) -> Ad:
    return {name: value for name, value in slot.items() if name not in ("Start", "WithinResourceLimits")} | state


def _static(builder: _Builder, host: Ad) -> None:
    dice = builder.dice
    resources = _resources(dice.choice((1, 2, 4)), dice.choice((1024, 4096, 16384)), 50_000_000, dice.choice((0, 0, 1)))
    count = dice.randint(1, 3)
    for number in range(1, count + 1):
        name = f"slot{number}@{host['Machine'][1:-1]}"
        slot = host | {"Name": quoted(name), "SlotID": str(number), "SlotType": '"Static"', "SlotTypeID": "1"}
        slot |= resources | _totals(resources) | {"TotalCpus": str(count * int(resources["Cpus"])) + ".0"}
        slot |= {"TotalDisk": str(count * 50_000_000), "Requirements": "START"}
        state = dice.choice((IDLE, IDLE, IDLE, OWNERS, CLAIMED, DRAINED))
        if state is DRAINED:
            builder.add(_closed(slot), False, _closed(slot, REOPENED))
        else:
            builder.add(slot | state, state is not CLAIMED, slot | IDLE)


def _partitionable(builder: _Builder, host: Ad) -> None:
    dice = builder.dice
    cpus, memory, gpus = dice.choice((2, 4, 8, 16)), dice.choice((2048, 8192, 32768)), dice.choice((0, 0, 0, 2))
    whole = _resources(cpus, memory, 80_000_000, gpus)
    limits = LIMITS_OF_OLD if dice.random() < 0.2 else LIMITS
    host = host | {"SlotID": "1", "SlotTypeID": "1", "TotalCpus": f"{cpus}.0", "TotalMemory": str(memory)}
    host |= {"TotalDisk": "80000000", "WithinResourceLimits": limits, "Requirements": "START && (WithinResourceLimits)"}
    machine = host["Machine"][1:-1]
    slot = host | {"Name": quoted(f"slot1@{machine}"), "SlotType": '"Partitionable"', "PartitionableSlot": "true"}
    slot |= _totals(whole)
    parts = _parts(dice, cpus, memory, gpus)
    left = _resources(
        cpus - sum(part[0] for part in parts),
        memory - sum(part[1] for part in parts),
        80_000_000 - 1_000_000 * len(parts),
        gpus - sum(part[2] for part in parts),
    )
    now, empty = slot | left | IDLE | _children(parts, machine), slot | whole | IDLE | _children([], machine)
    if dice.random() < 0.12:
        builder.add(_closed(now), False, _closed(empty, REOPENED))
    else:
        builder.add(now, True, empty)
    for number, part in enumerate(parts, 1):
        of_part = _resources(part[0], part[1], 1_000_000, part[2])
        child = host | {"Name": quoted(f"slot1_{number}@{machine}"), "SlotType": '"Dynamic"', "DynamicSlot": "true"}
        builder.add(child | of_part | _totals(of_part) | CLAIMED, False, None)


def _parts(dice: random.Random, cpus: int, memory: int, gpus: int) -> list[tuple[int, int, int]]:
    """Return what jobs have taken of a partitionable slot: nothing, something or all."""
    if dice.random() < 0.35:
        return []
    taken: list[tuple[int, int, int]] = []
    while cpus > 0 and memory > 127 and len(taken) < 4:
        part = (dice.randint(1, cpus), dice.randint(1, memory // 128) * 128, dice.randint(0, gpus))
        taken.append(part)
        cpus, memory, gpus = cpus - part[0], memory - part[1], gpus - part[2]
        if dice.random() < 0.5:
            break
    return taken


def _children(parts: Sequence[tuple[int, int, int]], machine: str) -> Ad:
    """Return the lists in which a partitionable slot tells of its parts."""
    lists = {
        "ChildName": [quoted(f"slot1_{number}@{machine}") for number in range(1, len(parts) + 1)],
        "ChildCpus": [str(part[0]) for part in parts],
        "ChildMemory": [str(part[1]) for part in parts],
        "ChildState": ['"Claimed"' for _ in parts],
        "ChildRemoteOwner": ['"bob@pool"' for _ in parts],
        "ChildRemoteUser": ['"bob@pool"' for _ in parts],
    }
    return {"NumDynamicSlots": str(len(parts))} | {name: "{ " + ",".join(of) + " }" for name, of in lists.items()}


# --- jobs ----------------------------------------------------------------------------------------------------------


def make_jobs(seed: int, count: int) -> list[Job]:
    """Return jobs of a seed, numbered from 1."""
    dice = random.Random(f"jobs {seed}")
    return [_job(dice, number) for number in range(1, count + 1)]


def _job(dice: random.Random, number: int) -> Job:
    ad = {
        "MyType": '"Job"',
        "TargetType": '"Machine"',
        "ClusterId": str(number),
        "ProcId": "0",
        "AutoClusterId": str(number),  # condor_q -better-analyze -unmatchable names the wrong job without it
        "JobStatus": "1",
        "JobUniverse": "5",
        "Owner": (owner := dice.choice(('"ann"', '"bob"', '"cem"', '"Ann"'))),
        "User": owner[:-1] + '@pool"',
        **dice.choice(({}, {"AcctGroup": '"physics"'}, {"AcctGroup": '"Chem"'})),
        **dice.choice(({}, {}, {"NiceUser": "true"})),
        **dice.choice(({}, {"Wanted": quoted(dice.choice(("R", "python", *ODD_TEXTS)))})),
        "FileSystemDomain": '"pool"',
        "WantAvx": dice.choice(("true", "false", "1", "0", "0.5", "undefined")),
        "Kind": dice.choice(('"K1"', '"k2"', '"K3"')),
        "Sites": dice.choice(('"K1,K2"', '"r1, r2"', '"a && b,x ? y : z"', '""')),
        "Names": dice.choice(('{ "K1","x" }', '{ "k2",1,2.0 }', "{  }", "{ MinFamily,25 }")),
        "Profile": f"[ least = {dice.choice((2, 20, 24, 90))}; of = [ kind = {_odd_text(dice)} ] ]",
        "MinFamily": dice.choice(("2", "20", "24", "Chain1", '"20"')),
        "Chain1": dice.choice(("Chain2 + 1", "Chain2 * 2", "MY.Chain2 ?: 3", "Missing ?: 6")),
        "Chain2": dice.choice(("5", "12", "RequestCpus", "Chain3", "undefined")),
        "Chain3": dice.choice(("true", "1 / 0", "TARGET.CpuFamily - 1", "Chain1")),
        "ImageSize": str(dice.choice((100, 90000))),
    }
    large = dice.random() < 0.04
    ad |= _requests(dice) | {"RequestDisk": "900000000" if large else dice.choice(("1000", "DiskUsage", "20 * 1024"))}
    ad["DiskUsage"] = "75"
    maker = _Maker(dice, changes=dice.random() < 0.2)
    wanted = maker.requirement()
    if dice.random() < 0.15:
        ad["Policy"] = wanted
        wanted = dice.choice(("Policy", "MY.Policy", "(Policy)", "Policy ?: false", "(Policy) =?= true"))
    ad["Requirements"] = _with_appended(dice, wanted)
    # Errors may also come by way of attributes, the slot's Speed among them.
    named = any(name in f"{wanted} {ad.get('Policy')}".lower() for name in ("chain", "minfamily", "speed", "names"))
    odd = maker.odd or (named and (ad["Chain3"] in ("1 / 0", "Chain1") or ad["MinFamily"] == '"20"'))
    return Job(ad, maker.changing or large, maker.disputed, odd)


def _requests(dice: random.Random) -> Ad:
    ad = {
        "RequestCpus": dice.choice(
            ("1", "1", "1", "1", "2", "2", "4", "12", "64", "ifThenElse(WantAvx =?= true, 2, 1)")
        ),
        "RequestMemory": dice.choice(
            (*("100",) * 5, "1000", "1024", "3000", "8192", "30000", "900000", "ImageSize / 10", "RequestCpus * 700")
        ),
    }
    if dice.random() < 0.12:
        ad["RequestGPUs"] = dice.choice(("1", "1", "2", "8", "0"))
    return ad


def _with_appended(dice: random.Random, wanted: str) -> str:
    """Return the whole of Requirements, mostly with what condor_submit appends."""
    if dice.random() < 0.1:
        return wanted
    appended = [clause for clause in APPENDED if "Cpus" not in clause or dice.random() < 0.7]
    if dice.random() < 0.2:
        dice.shuffle(appended)
    return " && ".join([f"({wanted})", *appended]) if dice.random() < 0.9 else " && ".join([*appended, f"({wanted})"])


JOINED = ("{} && {}", "{} || {}")
ELVIS = "({}) ?: ({})"
FORMS = (*JOINED * 3, "{} || {}", "!{}", "{} ? {} : {}", ELVIS, "ifThenElse({}, {}, {})")


class _Maker:
    """Makes a requirement at random; `changing`, `disputed` and `odd` tell the same of it as those of `Job`."""

    def __init__(self, dice: random.Random, changes: bool) -> None:
        self.dice = dice
        self.changes = changes
        self.changing = False
        self.disputed = False
        self.odd = False
        self.plain = True  # every clause must hold as it stands: none is within a tree

    def requirement(self) -> str:
        """Return a requirement: a few clauses, or a tree of them."""
        kind = self.dice.random()
        if kind < 0.2:
            parts = ["true"]
        elif kind < 0.6:
            parts = [self._clause() for _ in range(self.dice.choice((1, 1, 1, 2, 2, 3)))]
        else:
            self.plain = False
            parts = [self._tree(self.dice.randint(1, 4))]
        if self.changes:
            self.changing = True
            parts.insert(self.dice.randint(0, len(parts)), f"({self._changing()})")
        return self.dice.choice((" && ", "&&", "  &&  ")).join(f"({part})" for part in parts)

    def _tree(self, depth: int) -> str:
        if depth == 0 or self.dice.random() < 0.1:
            return self._clause() if self.dice.random() < 0.75 else self._odd()
        form = self.dice.choice(FORMS)
        parts = [self._tree(depth - 1) for _ in range(form.count("{}"))]
        if form == ELVIS:
            whole = self.dice.random() < 0.9
            self.disputed = self.disputed or not whole
            return f"({form.format(*parts)})" if whole else form.format(*parts)
        # Brackets are left out at times: what is meant changes with that, and all must read it alike.
        return form.format(*(part if form in JOINED and self.dice.random() < 0.3 else f"({part})" for part in parts))

    # --- leaves that hold on many pairs

    def _clause(self) -> str:
        makers: Sequence[Callable[[], str]] = (
            *(self._number_clause, self._number_clause, self._text_clause, self._text_clause),
            *(self._list_clause, self._function_clause, self._truth_clause, self._missing_clause, self._nested_clause),
        )
        return self.dice.choice(makers)()

    def _name(self, name: str, scope: str = "") -> str:
        """Return a name in any case, with its scope or without."""
        spelt = self.dice.choice((name, name, name, name.upper(), name.lower(), f"'{name}'"))
        prefix = self.dice.choice(("", scope)) if scope else ""
        return f"{self.dice.choice((prefix, prefix, prefix.lower()))}{spelt}"

    def _of_slot(self, *names: str) -> str:
        return self._name(self.dice.choice(names), "TARGET.")

    def _of_job(self, *names: str) -> str:
        return self._name(self.dice.choice(names), "MY.")

    def _number(self, depth: int = 1) -> str:
        kind = self.dice.randrange(9 if depth else 6)
        if kind < 3:
            return self._of_slot("CpuFamily", "OpSysMajorVer", "Speed", "TotalSlotCpus", "TotalSlotMemory")
        if kind < 5:
            return self._of_job("MinFamily", "Chain1", "Chain2", "RequestCpus", "ImageSize")
        if kind == 5:
            return self.dice.choice(("0", "1", "7", "20.5", "1e3", "-3", "10 * 2", "true"))
        if kind == 6:
            sign = self.dice.choice((" + ", " - ", "*", " / ", " % "))
            return f"({self._number(0)}{sign}{self._number(0)})"
        if kind == 7:
            return self.dice.choice(
                (
                    f"size({self._of_slot('Racks')})",
                    f"int({self._number(0)})",
                    f"({self._of_slot('Missing')} ?: {self._number(0)})",
                    f"ifThenElse({self._of_job('WantAvx')}, {self._number(0)}, 1)",
                    f"size({self._text()})",
                    f"min({{ {self._number(0)}, 30 }})",
                )
            )
        return f"(isUndefined({self._of_slot('Software')}) ? {self._number(0)} : {self._number(0)})"

    def _number_clause(self) -> str:
        if self.dice.random() < 0.35:
            name = self.dice.choice(("Cpus", "Memory", "TotalSlotCpus", "TotalSlotMemory", "CpuFamily", "GPUs"))
            if not self.plain and name in ("Cpus", "Memory", "GPUs"):
                self.changing = True  # within a !, a slot with jobs on it may be what is wanted
            return f"{self._name(name, 'TARGET.')} >= {self.dice.choice(('1', '0', '2', '6', '2000'))}"
        sign = self.dice.choice((">=", ">", "<", "<=", "==", "!=", "=?=", "=!=", " is ", " isnt "))
        return f"{self._number()}{sign}{self._number()}"

    def _text(self) -> str:
        kind = self.dice.randrange(7)
        if kind < 3:
            return self._of_slot("Arch", "OpSysAndVer", "Machine", "Microarch", "Kind", "Label", "Software")
        if kind < 5:
            return self._of_job("Owner", "Kind", "Wanted", "Sites")
        if kind == 5:
            return quoted(self.dice.choice(("K1", "k1", "debian13", "node1", "X86_64", *ODD_TEXTS)))
        return self.dice.choice(
            (
                f"toUpper({self._of_slot('Kind', 'Label')})",
                f"strcat({self._of_slot('Kind')}, {_odd_text(self.dice)})",
                f"substr({self._of_slot('OpSysAndVer')}, 0, 6)",
                f"ifThenElse({self._of_slot('HasAvx')}, {self._of_slot('Kind')}, {_odd_text(self.dice)})",
            )
        )

    def _text_clause(self) -> str:
        if self.dice.random() < 0.4:
            name, value = self.dice.choice(
                (("OpSysAndVer", "debian13"), ("Machine", "node1"), ("Kind", "K1"), ("Microarch", "x86_64-v3"))
            )
            return f"{self._name(name, 'TARGET.')} {self.dice.choice(('==', '==', '=?=', '!='))} {quoted(value)}"
        sign = self.dice.choice((" == ", " != ", "=?=", "=!=", " is ", " isnt ", " < ", ">="))
        return f"{self._text()}{sign}{self._text()}"

    def _list_clause(self) -> str:
        return self.dice.choice(
            (
                f"member({self._of_slot('Kind')}, {self._of_job('Names')})",
                f"member({self._text()}, {{ {self._text()}, {_odd_text(self.dice)}, {self._number(0)} }})",
                f"stringListMember({self._of_slot('Kind')}, {self._of_job('Sites')})",
                f"stringListIMember({self._text()}, {self._of_slot('Software')})",
                f'{self._of_slot("Racks")}[0] == "r1"',
                f"anyCompare({quoted('<')}, {{ 1, 30 }}, {self._number(0)})",
                f"allCompare({quoted('!=')}, {self._of_slot('Racks')}, {self._text()})",
                f"identicalMember({self._of_slot('Kind')}, {self._of_job('Names')})",
                f'stringListSize({self._of_slot("Software")}, ",") >= 1',
            )
        )

    def _function_clause(self) -> str:
        return self.dice.choice(
            (
                f'regexp("^node[12]$", {self._of_slot("Machine")})',
                f'regexp("\\d+$", {self._of_slot("OpSysAndVer")})',
                f'regexp("(a|x) [&?]", {self._of_slot("Label")}, "i")',
                f"isUndefined({self._of_slot('Missing', 'Software', 'Wanted')})",
                f"!isError({self._of_slot('Broken', 'Speed')})",
                f"toLower({self._of_slot('Kind')}) == {quoted('k1')}",
                f"ifThenElse({self._of_slot('HasAvx')}, {self._number()} > 5, true)",
                f"strcmp({self._text()}, {self._text()}) == 0",
                f"versionGE({self._of_slot('Microarch')}, {quoted('x86_64-v3')})",
                f"isString({self._text()}) && isInteger({self._number()})",
                f"size({self._text()}) < 9",
            )
        )

    def _truth_clause(self) -> str:
        return self.dice.choice(
            (
                self._of_slot("HasAvx", "Open"),
                self._of_job("WantAvx"),
                f"{self._of_job('WantAvx')} == {self._of_slot('HasAvx')}",
                f"!{self._of_slot('HasAvx')}",
                f"!!{self._of_slot('Open')}",
                "true",
                "1",
                "0.5",
                self._of_slot("Start") + " =!= false",
                f"{self._of_slot('OpSysMajorVer')} - 9",
            )
        )

    def _missing_clause(self) -> str:
        return self.dice.choice(
            (
                f"{self._of_slot('Missing')} =?= undefined",
                f"{self._of_slot('Missing')} =!= true",
                f"({self._of_slot('Missing')} ?: true)",
                f"({self._of_slot('Software')} ?: {quoted('R')}) == {quoted('R')}",
                "MY.Machine is undefined",
                "TARGET.Owner isnt MY.Owner",
                f"{self._of_slot('Missing')} > 3 || {self._of_slot('CpuFamily')} > 3",
                f"MY.Kind != TARGET.Kind || {self._of_slot('Missing')}",
            )
        )

    def _nested_clause(self) -> str:
        if self.dice.random() < 0.1:
            self.disputed = True
            return self.dice.choice(("[ a = CpuFamily; b = a > 5 ].b", "[ a = TARGET.CpuFamily; b = a > 5 ].b"))
        return self.dice.choice(
            (
                f"{self._of_slot('Tags')}.level >= {self.dice.randint(0, 4)}",
                "TARGET.Tags.deep.n < 2",
                f"Tags.zone == {_odd_text(self.dice)}",
                "MY.Profile.least <= TARGET.CpuFamily",
                f"Profile.of.kind =!= {_odd_text(self.dice)}",
                "{ 1, 2, 30 }[2] > TARGET.CpuFamily",
                "TARGET.Tags.missing =?= undefined",
            )
        )

    # --- leaves that seldom hold, or are no truth values

    def _odd(self) -> str:
        self.odd = True
        if self.dice.random() < 0.1:
            self.disputed = True
            return self.dice.choice(("{ 1 }", "[ a = 1 ]"))
        return self.dice.choice(
            (
                "undefined",
                "error",
                "false",
                "0",
                '"true"',
                _odd_text(self.dice),
                self._of_slot("Missing"),
                self._of_slot("Broken"),
                "1 / 0 == 1",
                f"{self._text()} + 1",
                f"{self._text()} > {self._number()}",
                self._of_job("Chain3"),
            )
        )

    # --- leaves that change

    def _changing(self) -> str:
        moment = self.dice.choice(
            (
                "TARGET.LoadAvg < 0.5",
                "KeyboardIdle > 600",
                'State == "Unclaimed"',
                'TARGET.Activity =?= "Idle"',
                "time() > 4000000000",
                "TARGET.ClockMin >= 1080 || ClockMin < 420",
                "ClockDay == 0 || ClockDay == 6",
                "RemoteOwner =?= undefined",
                "TARGET.Quiet",
                "TARGET.Disk > 40000000",
                "(LoadAvg - CondorLoadAvg) < 0.3",
                "ifThenElse(KeyboardIdle > 600, LoadAvg < 0.5, false)",
                'TARGET.slot2_State == "Unclaimed"',
                "size(TARGET.ChildRemoteUser) < 1",
                "TARGET.HasCVMFS",
                "HasCVMFS =?= true",
                'TARGET.NODE_Status == "All_OK"',
                "NODE_Rooms >= 5",
                "KFlops > 500000",
                "TARGET.Mips >= 30000",
                "TARGET.TotalTimeUnclaimedIdle > 600",
                "TARGET.Cpus == 1",
                "Memory < 1000",
            )
        )
        return self.dice.choice((moment, moment, f"!({moment})", f"({moment}) && {self._clause()}"))


# --- what is true, and whether a verdict says so -------------------------------------------------------------------


@dataclass(frozen=True)
class Truth:
    """What HTCondor says of one job and the slots of its pool.

    Attributes
    ----------
    free
        A slot that takes part in matching matches.
    could
        A slot matches, as it is or as it could be later, be it busy now.
    """

    free: bool
    could: bool


@dataclass
class Tally:
    """Counts the verdicts, and keeps those that are wrong.

    Attributes
    ----------
    words
        How often which verdict was given on which kind of truth.
    wrong
        A job that could run is said never to, or its chance of doing so now is said wrongly.
    nevers, missed
        Pairs that can never match, with nothing in them that changes; and those of them where that wasn't said.
    """

    words: dict[tuple[str, str], int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    nevers: int = 0

    def add(self, word: str, truth: Truth, pool: Pool, job: Job) -> None:
        """Compare a verdict with the truth."""
        kind = "free" if truth.free else "could" if truth.could else "never"
        self.words[kind, word] = self.words.get((kind, word), 0) + 1
        known = word in ("FITS", "NOT YET", "NEVER")
        mistaken = (word == "FITS") != truth.free and not job.disputed
        if not known or mistaken or (word == "NEVER" and truth.could):
            self.wrong.append(tell(kind, word, pool, job))
        if kind == "never" and not (pool.changing or job.changing or job.disputed):
            self.nevers += 1
            if word != "NEVER":
                self.missed.append(tell(kind, word, pool, job))

    @property
    def share(self) -> float:
        """The share of the jobs that can never run of which just that was said, where nothing changes."""
        return 1 - len(self.missed) / self.nevers

    def __str__(self) -> str:
        said = ", ".join(f"{kind}/{word} {count}" for (kind, word), count in sorted(self.words.items()))
        return (
            f"{sum(self.words.values())} pairs, {len(self.wrong)} wrong;"
            f" {self.share:.1%} of {self.nevers} true NEVERs said; truth/word: {said}"
        )


def word_of(judge: Callable[[Any, Any], Any], job: object, slots: object) -> str:
    """Return the word of a verdict; one that raises is told with its pair, as a wrong one."""
    try:
        return str(judge(job, slots).word)
    except Exception as error:
        return repr(error)


def tell(kind: str, word: str, pool: Pool, job: Job) -> str:
    """Return a pair to be read: what is true, what was said, and all of both sides that bears on it."""
    lines = [f"HTCondor: {kind}, said: {word}", *(f"  job  {name} = {value}" for name, value in job.ad.items())]
    for slot in pool.slots:
        lines += ["  slot", *(f"    {name} = {value}" for name, value in slot.items())]
    return "\n".join(lines)
