"""What makes a NEVER and what doesn't: attributes that stay, that may change, and what may remove a job."""

import classad2 as classad
import pytest
from snakemake_logger_plugin_htcondor import alike, questions
from snakemake_logger_plugin_htcondor.diagnosis import Pool, diagnose
from snakemake_logger_plugin_htcondor.matching import Word, judge

from tests.truth_ads import LIMITS_OF_OLD
from tests.unit.test_logger_diagnosis import DEFAULT, LIMITS, job, slot

PROBED = {"NODE_LastUpdate": 1_700_000_000}


@pytest.mark.parametrize(
    ("start", "values"),
    [
        ('(slot2_State == "Unclaimed") || TARGET.Light', {"slot2_State": "Claimed"}),  # STARTD_SLOT_ATTRS
        ("size(ChildRemoteUser) < 1 || TARGET.Light", {"ChildRemoteUser": ["ann@pool"]}),
        ("TotalTimeUnclaimedIdle > 600 || TARGET.Light", {"TotalTimeUnclaimedIdle": 5}),
        ("TotalTimeUnclaimedIdle > 600 || TARGET.Light", {}),
        ('NodeStatus == "ok" || TARGET.Light', {"NodeStatus": "no CVMFS"}),
    ],
)
def test_a_start_that_looks_at_use_or_health_is_no_never(start, values):
    assert judge(job(), [slot(start=start, **values)]).word is Word.NOT_YET


@pytest.mark.parametrize(
    "changes",
    [
        *("getHours(absTime()) == 3", "currentTime() < 5", "timezoneOffset() == 3600", "timeZoneOffset() == 3600"),
        *("dayTime() < 5", 'formatTime() == "x"', "random(2) == 7", 'eval("Paint") == 3', "unresolved(Paint)"),
        *("resourcesInUseByUser(TARGET.User) < 0", "resourcesInUseByUsersGroup(TARGET.User) < 0"),
        *('userHome(TARGET.Owner) == "/"', 'userMap("groups", TARGET.Owner) == "a"', "foo()"),
        *("(Paint ?: foo(1)) == 3", "size({ foo() }) == 3"),
    ],
)
def test_a_function_that_may_look_at_more_than_its_arguments_is_no_never(changes):
    assert judge(job(), [slot(start=f'(TARGET.Owner == "bob") || ({changes})')]).word is Word.NOT_YET
    assert judge(job(f"({changes}) && {DEFAULT}"), [slot()]).word is Word.NOT_YET


@pytest.mark.parametrize(
    "stays",
    [
        *('StringListMember(TARGET.Owner, "bob,cem")', 'regexp("^bob", TARGET.Owner)', "TARGET.Rooms =?= Int(7.5)"),
        *('toLower(TARGET.Owner) == "bob"', 'versionGE(split(CondorVersion)[1], "99.0")', "isString(TARGET.Wish)"),
        'ifThenElse(isUndefined(TARGET.Wish), false, size(strcat("a", TARGET.Owner)) > 3)',
    ],
)
def test_a_function_of_its_arguments_alone_makes_a_never(stays):
    assert judge(job(), [slot(start=stays)]).word is Word.NEVER


@pytest.mark.parametrize(
    ("wants", "start"),
    [
        ("MY.SubmitterUserResourcesInUse < 10", "true"),
        ("submitterGroupResourcesInUse < SubmitterGroupQuota", "true"),
        ("TARGET.NegotiatorMatchExprShare > 0.5", "true"),
        ("true", "TARGET.SubmitterUserPrio < 1000"),
        ("true", "SubmittorPrio < 1000"),
        ("true", 'TARGET.SubmitterGroup == "physics" || TARGET.SubmitterNegotiatingGroup == "physics"'),
        ("true", "MY.NegotiatorMatchExprShare > 0.5"),
    ],
)
def test_what_the_negotiator_alone_writes_into_ads_is_no_never(wants, start):
    assert judge(job(f"({wants}) && {DEFAULT}"), [slot(start=start)]).word is Word.NOT_YET


@pytest.mark.parametrize(
    ("wants", "values"),
    [
        ("TARGET.HasCVMFS", {"HasCVMFS": False}),  # a probe of the node's health (STARTD_CRON)
        ("TARGET.HasCVMFS =?= true", {"HasCVMFS": False}),
        ("TARGET.KFlops > 1000", {"KFlops": 1}),
        ("TARGET.KFlops > 1000", {}),  # before the first benchmark
        ("Mips > 1000", {}),
        ("TARGET.TotalTimeUnclaimedIdle > 600", {"TotalTimeUnclaimedIdle": 5}),
        ("TARGET.HasDocker", {}),  # its service may be down
        ("TARGET.NODE_Rooms > 3", {"NODE_Rooms": 1, **PROBED}),
        ('TARGET.NODE_Word == "fine"', {"NODE_Word": "ill", **PROBED}),
        ("TARGET.Rooms > 3", {"Rooms": 1, "LastUpdate": 1_700_000_000}),  # a probe without a prefix
        ("TARGET.NODE_Rooms > 3", PROBED),
        ("TARGET.Start", {"Start": True, "Draining": True}),
        ("TARGET.Cpus == 1", {}),  # with a job on it, it has one
        ("!(TARGET.Memory >= 4096)", {}),
    ],
)
def test_a_requirement_of_what_may_change_is_no_never(wants, values):
    found = judge(job(f"({wants}) && {DEFAULT}"), [slot(**values)])
    assert found.word is Word.NOT_YET or (found.word is Word.FITS and "Start" in values)


@pytest.mark.parametrize(
    ("asks", "word"),
    [({"RequestDisk": 1 << 40}, Word.NOT_YET), ({"RequestMemory": 102400}, Word.NEVER), ({}, Word.FITS)],
)
def test_free_disk_changes_and_memory_stays_also_where_an_old_startd_writes_its_limits(asks, word):
    old = slot()
    old["WithinResourceLimits"] = classad.ExprTree(LIMITS_OF_OLD)
    assert judge(job("true", **asks), [old]).word is word


def test_a_slot_that_is_out_of_order_may_be_repaired():
    broken = slot("ep1", "false", SlotBrokenReason="Could not clean up after job", Cpus=0, Memory=0, TotalSlotMemory=0)
    assert judge(job(), [broken]).word is Word.NOT_YET
    lessened = slot("ep1", Memory=2048, TotalSlotMemory=4096, BrokenSlotMemory=4096)
    assert judge(job(RequestMemory=8000), [lessened]).word is Word.NOT_YET
    assert judge(job(RequestMemory=9000), [lessened]).word is Word.NEVER


def test_what_one_node_tells_of_its_health_another_may_tell_later():
    large, healthy = slot("large", TotalSlotMemory=65536), slot("healthy", HasCVMFS=True)
    assert judge(job(f"TARGET.HasCVMFS && {DEFAULT}", RequestMemory=32000), [large, healthy]).word is Word.NOT_YET


@pytest.mark.parametrize(
    ("wants", "asks", "start"),
    [
        ('TARGET.Arch == "ppc64le"', {}, "true"),
        ("true", {"RequestMemory": 102400}, "true"),
        ("true", {"RequestCpus": 12}, "true"),
        ('TARGET.FileSystemDomain == "elsewhere"', {}, "true"),
        ('TARGET.Machine == "ep1"', {"RequestCpus": 12}, "true"),
        ("true", {}, 'TARGET.Owner == "bob"'),
        ("true", {}, 'TARGET.Owner == "bob" || Machine == "ep9"'),  # of its own host, a slot is sure
        ("TARGET.HasFileTransfer =?= 7", {}, "true"),
    ],
)
def test_a_never_by_what_surely_stays_may_remove_a_job(wants, asks, start):
    found = diagnose(job(f"({wants}) && {DEFAULT}", **asks), [slot(start=start, FileSystemDomain="pool")], Pool())
    assert found.word is Word.NEVER
    assert found.sure


@pytest.mark.parametrize(
    "wants",
    [
        *('TARGET.Machine == "ep9"', 'Machine == "ep9"', 'stringListMember(TARGET.Machine, "ep9,ep8")'),
        *('TARGET.Name == "slot1@ep9"', 'TARGET.UtsnameNodename == "ep9"', 'TARGET.Machine == "ep9" || Name == "ep9"'),
        *("TARGET.Machine == MY.Host", "MY.Pinned"),
    ],
)
def test_a_host_that_is_not_in_the_pool_may_be_down(wants):
    pinned = job(f"({wants}) && {DEFAULT}", Host="ep9")
    pinned["Pinned"] = classad.ExprTree('TARGET.Machine == "ep9"')
    found = diagnose(pinned, [slot(), slot("ep2")], Pool())
    assert (found.word, found.sure) == (Word.UNKNOWN, False)
    assert found.reason.startswith("no node with such a name is in the pool now: it is down, or the name is misspelt; ")
    assert "; 1 of its 4 requirements matches no slot, the culprit is `" in found.reason
    assert found.remedy.startswith("Look whether the node is up (condor_status). Correct the requirements of the rule")


def test_a_list_of_hosts_one_of_which_is_in_the_pool_removes_nothing_for_what_that_one_lacks():
    slots = [slot("ep1"), slot("ep2", TotalSlotCpus=8)]
    wanted = job(f'stringListMember(TARGET.Machine, "ep1,ep9") && {DEFAULT}', RequestCpus=8)
    found = diagnose(wanted, slots, Pool())
    assert (found.word, found.sure) == (Word.NEVER, False)


@pytest.mark.parametrize(
    ("wants", "values"),
    [
        ("TARGET.HasGreenPaint", {}),
        ("TARGET.Paint == 3", {"Paint": 1}),
        ('TARGET.Rack == "r9"', {"Rack": "r1"}),
        ("TARGET.Paint == 3", {"Paint": 1, "LastUpdate": 1_700_000_000, "LastBenchmark": 1_700_000_003}),
    ],
)
def test_a_never_by_an_admins_label_is_told_and_removes_nothing(wants, values):
    found = diagnose(job(f"{wants} && {DEFAULT}"), [slot(**values)], Pool())
    assert found.word is Word.NEVER
    assert not found.sure


def test_one_slot_that_is_refused_by_a_label_alone_is_enough_to_remove_nothing():
    slots = [slot("ep1", Arch="ppc64"), slot("ep2", Rack="r1")]
    assert not judge(job(f'TARGET.Arch == "X86_64" && Rack == "r9" && {DEFAULT}'), slots).sure


# --- slots with a consumption policy ---


def policy(memory, leave_out=(), **values):
    made = slot(**({"MachineResources": "Cpus Memory Disk Swap"} | values))
    amounts = {"Cpus": "quantize(TARGET.RequestCpus, { 1 })", "Memory": memory, "Disk": "TARGET.RequestDisk"}
    for name, text in amounts.items():
        if name not in leave_out:
            made[f"Consumption{name}"] = classad.ExprTree(text)
    return made


FITTED = "min({ TARGET.RequestMemory, 6000 })"


@pytest.mark.parametrize(
    ("made", "word", "sure"),
    [
        (policy(FITTED), Word.FITS, False),
        (policy(FITTED, Memory=100), Word.NOT_YET, False),
        (policy(FITTED, leave_out=["Disk"]), Word.NEVER, True),
        (policy(FITTED, MachineResources="Cpus Memory Disk Swap GPUs"), Word.NEVER, True),
        (policy(FITTED, PartitionableSlot=False), Word.NEVER, True),
        (policy("quantize(TARGET.RequestMemory, { 128 })"), Word.NEVER, True),
        (policy("LoadAvg < 0.3 ? 1 : TARGET.RequestMemory"), Word.NOT_YET, False),  # the policy itself may change
        (policy("TARGET.RequestMemory - MY.Memory"), Word.NOT_YET, False),
        (policy("TARGET.NoSuch + 1"), Word.NOT_YET, False),
        (policy("TARGET.RequestMemory * MY.Rate", Rate=2), Word.NEVER, False),  # an admin's label
    ],
)
def test_a_job_is_judged_by_what_a_slots_consumption_policy_makes_of_it(made, word, sure):
    asks = job(RequestMemory=100000)
    found = judge(asks, [made])
    assert (found.word, found.sure) == (word, sure)
    assert asks["RequestMemory"] == 100000
    prepared = alike.prepared([made, made], alike.reads([made, asks]))
    assert diagnose(asks, prepared, Pool()) == diagnose(asks, [made, made], Pool())


# --- jobs that aren't submitted yet ---


@pytest.mark.parametrize(
    ("start", "present"),
    [
        ('regexp("@pool$", TARGET.User)', {"User": "ann@elsewhere"}),
        ('TARGET.AccountingGroup == "group_a.ann"', {"AccountingGroup": "group_b.ann"}),
        ('TARGET.AcctGroupUser == "ann"', {"AcctGroupUser": "bob"}),
        ("TARGET.ProjectName =!= undefined", {"ProjectName": classad.Value.Undefined}),
        ('TARGET.Queue == "short"', {"Queue": "long"}),
        ('Queue == "short"', {"Queue": "long"}),
    ],
)
def test_what_a_made_up_ad_lacks_may_come_and_what_it_has_counts(start, present):
    made = job()
    del made["User"]
    assert diagnose(made, [slot(start=start)], Pool(), made_up=True).word is Word.NOT_YET
    assert diagnose(job(**present), [slot(start=start)], Pool(), made_up=True).word is Word.NEVER
    if "User" not in start:
        assert diagnose(job(), [slot(start=start)], Pool()).word is Word.NEVER


@pytest.mark.parametrize(
    ("wants", "asks"),
    [
        ("true", {"RequestMemory": 102400}),
        ("true", {"RequestCpus": 12}),
        ('TARGET.Arch == "ppc64le"', {}),
        ("TARGET.HasGreenPaint", {}),
        ("TARGET.GPUs >= RequestGPUs", {"RequestGPUs": 1}),
    ],
)
@pytest.mark.parametrize("limits", [LIMITS, LIMITS_OF_OLD])
def test_a_made_up_ad_that_asks_for_too_much_is_a_never(wants, asks, limits):
    old = slot()
    old["WithinResourceLimits"] = classad.ExprTree(limits)
    assert diagnose(job(f"({wants}) && {DEFAULT}", **asks), [old], Pool(), made_up=True).word is Word.NEVER


# --- slots that the collector may not know yet ---


def test_a_young_collector_may_not_know_all_nodes():
    found = diagnose(job(RequestMemory=102400), [slot()], Pool(age=120.0))
    assert found.word is Word.UNKNOWN
    assert not found.sure
    assert found.reason.startswith(
        "the pool's collector has been up for 2.0 min only, so it may not know all nodes yet, and none that it knows "
        "can take it: it asks for 100 GB of memory"
    )
    refused = diagnose(job(), [slot(start='TARGET.Owner == "bob"')], Pool(age=120.0))
    assert "none that it knows can take it: 1 of 1 slot would suit its requirements" in refused.reason
    assert diagnose(job(RequestMemory=102400), [slot()], Pool(age=900.0)).word is Word.NEVER
    assert diagnose(job(RequestMemory=102400), [slot()], Pool(age=31.0, settled=30.0)).word is Word.NEVER
    assert diagnose(job(), [slot()], Pool(age=120.0)).word is Word.NOT_YET


def test_a_collector_that_does_not_tell_its_age_removes_nothing():
    found = diagnose(job(RequestMemory=102400), [slot()], Pool(age=None))
    assert (found.word, found.sure) == (Word.NEVER, False)


def test_a_collectors_age_is_by_its_own_clock_and_that_of_the_youngest():
    heard = [{"LastHeardFrom": 1000}, {"LastHeardFrom": 1300}]
    assert questions._age([{"DaemonStartTime": 500}, {"DaemonStartTime": 900}], heard) == 400.0
    assert questions._age([{"StatsLastUpdateTime": 1290, "StatsLifetime": 90}], heard) == 100.0, "as 23.9 tells it"
    assert questions._age([{}], heard) is None
    assert questions._age([{"DaemonStartTime": 500}], []) is None
    assert [questions._settled(value) for value in (None, "30", 30, "15 * 60")] == [900.0, 30.0, 30.0, 900.0]
