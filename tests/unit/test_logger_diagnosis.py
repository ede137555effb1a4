"""Why a job waits: the word and the sentence, from ads as a real pool has them."""

import re

import classad2 as classad
import pytest
from snakemake_logger_plugin_htcondor.diagnosis import Pool, diagnose
from snakemake_logger_plugin_htcondor.matching import Word, judge

LIMITS = (
    "MY.Cpus > 0 && TARGET.RequestCpus <= MY.Cpus && MY.Memory > 0 && TARGET.RequestMemory <= MY.Memory"
    " && MY.Disk > 0 && TARGET.RequestDisk <= MY.Disk"
    " && (TARGET.RequestGPUs =?= undefined || MY.GPUs >= TARGET.RequestGPUs)"
)
EXPRESSIONS = {"Requirements": "START && (WithinResourceLimits)", "WithinResourceLimits": LIMITS}
DEFAULT = '(TARGET.OpSys == "LINUX") && (TARGET.Disk >= RequestDisk) && (TARGET.Memory >= RequestMemory)'


def ad(values, **expressions):
    made = classad.ClassAd(values)
    for name, text in expressions.items():
        made[name] = classad.ExprTree(text)
    return made


def slot(machine="ep1", start="true", **values):
    """A partitionable slot of 2 cores, 8 GB and 70 GB of disk."""
    given = {"Cpus": 2, "Memory": 8192, "Disk": 70 << 20, "GPUs": 0}
    totals = {f"TotalSlot{name}": value for name, value in given.items()}
    about = {
        "Name": f"slot1@{machine}",
        "Machine": machine,
        "OpSys": "LINUX",
        "Arch": "X86_64",
        "State": "Unclaimed",
        "PartitionableSlot": True,
        "MachineResources": "Cpus Memory Disk Swap GPUs",
        "LoadAvg": 0.5,
    }
    return ad(about | given | totals | values, Start=start, **EXPRESSIONS)


def job(requirements=DEFAULT, **values):
    given = {"ClusterId": 7, "Owner": "ann", "User": "ann@pool", "RequestCpus": 1, "RequestMemory": 500}
    return ad(given | {"RequestDisk": 1024} | values, Requirements=requirements)


def said(job, *slots, **pool):
    return diagnose(job, list(slots), Pool(**pool)).sentence


def test_too_much_memory_names_request_and_largest_slot():
    found = diagnose(job(RequestMemory=102400), [slot("ep1"), slot("ep2", TotalSlotMemory=16384)], Pool())
    assert found.word is Word.NEVER
    assert found.reason == "asks for 100 GB of memory, the largest slot has 16 GB (ep2); 0 of 2 slots match"
    assert found.remedy == (
        "Lower mem_mb of the rule (request_memory with executor htcondor) to at most 16384, or ask the pool's admin "
        "for a larger slot"
    )


def test_a_drained_slot_counts_not_what_is_left_of_it():
    assert judge(job(), [slot(Cpus=0, Memory=0, NumDynamicSlots=2)]).word is Word.NOT_YET
    assert judge(job(RequestCpus=3), [slot(Cpus=0, NumDynamicSlots=2)]).word is Word.NEVER


def test_too_many_cores_are_refused_by_the_slot_and_told_as_cores():
    assert "asks for 10 cores, the largest slot has 2 cores (ep1); 0 of 1 slot matches" in said(
        job(RequestCpus=10), slot()
    )


def test_the_culprit_is_named_with_what_the_slots_have():
    sentence = said(job(f'(TARGET.Arch == "ppc64le") && {DEFAULT}'), slot("ep1"), slot("ep2"))
    assert '1 of its 4 requirements matches no slot, the culprit is `TARGET.Arch == "ppc64le"`' in sentence
    assert 'Arch is "X86_64" on all 2' in sentence


def test_undefined_is_not_false():
    assert "(no slot defines HasGreenPaint)" in said(job(f"TARGET.HasGreenPaint && {DEFAULT}"), slot(), slot("ep2"))
    some = said(job(f"TARGET.Paint == 3 && {DEFAULT}"), slot(Paint=1), slot("ep2"))
    assert "(Paint is 1 on 1, undefined on 1)" in some


def test_the_figures_of_a_requirement_that_no_slot_meets_are_those_of_slots_without_jobs():
    taken = slot("ep1", TotalSlotMemory=16384, Memory=512)
    assert "`TARGET.Memory >= 100000` (Memory is 16384)" in said(job("TARGET.Memory >= 100000"), taken)


def test_values_are_told_as_people_write_them_and_no_longer_than_a_line():
    assert "(TotalCpus is 8)" in said(job("TARGET.TotalCpus >= 16"), slot(TotalCpus=8.0))
    sentence = said(job('TARGET.Arch == "x"'), slot(Arch="y" * 500))
    assert f'(Arch is "{"y" * 88}…)' in sentence


def test_requirements_that_no_slot_meets_together():
    sentence = said(job(f'Machine == "ep1" && Paint == 2 && {DEFAULT}'), slot("ep1", Paint=1), slot("ep2", Paint=2))
    assert 'no slot matches all of them: `Machine == "ep1"` 1 of 2, `Paint == 2` 1 of 2' in sentence


@pytest.mark.parametrize("more", ["", " && (TARGET.Cpus >= RequestCpus)"])  # else the slots alone look at that
def test_amounts_that_no_slot_has_together_are_told_by_what_the_nearest_slots_have(more):
    slots = [
        slot("ep1", Cpus=0, TotalSlotCpus=8, Memory=100, TotalSlotMemory=16384),
        slot("ep2", TotalSlotCpus=2, TotalSlotMemory=65536),
        slot("ep3", TotalSlotCpus=8, TotalSlotMemory=8192),
        slot("ep4", 'TARGET.Owner == "bob"', TotalSlotCpus=4, TotalSlotMemory=65536),
    ]
    found = diagnose(job(DEFAULT + more, RequestCpus=8, RequestMemory=60000), slots, Pool())
    assert (found.word, found.sure) == (Word.NEVER, True)
    assert found.reason == (
        "asks for 8 cores and 58.6 GB of memory, and no slot has both: with 58.6 GB of memory at most 2 cores (ep2), "
        "with 8 cores at most 16 GB of memory (ep1); 0 of 4 slots match"
    )
    assert found.remedy.startswith("Lower threads of the rule to at most 2, or mem_mb of the rule (request_memory ")
    assert ") to at most 16384, or ask the pool's admin for" in found.remedy
    assert found.key == "never together: Cpus=8, Memory=60000"


def test_an_amount_that_the_slots_which_a_job_wants_do_not_have():
    slots = [slot("ep1"), slot("ep2", TotalSlotCpus=8)]
    found = diagnose(job(f'(TARGET.Machine == "ep1") && {DEFAULT}', RequestCpus=8), slots, Pool())
    assert found.reason == (
        'each of its requirements matches some slot, but no slot matches all of them: `TARGET.Machine == "ep1"` 1 of '
        "2, 8 cores 1 of 2; where all else matches at most 2 cores (ep1); 0 of 2 slots match"
    )
    assert found.remedy == (
        "Loosen one of these requirements in the rule or the profile, lower threads of the rule to at most 2, or ask "
        "the pool's admin for such a node"
    )


def test_a_slot_that_is_too_small_is_not_told_to_refuse_the_user():
    slots = [slot("ep1", 'TARGET.Owner == "bob"', TotalSlotCpus=8), slot("ep2")]
    assert said(job(RequestCpus=8), *slots).startswith(
        "NEVER: 1 of 2 slots would suit its requirements, but by START refuses the job (user ann): `START = "
    )


def test_a_start_expression_that_refuses_the_user():
    found = diagnose(job(), [slot(start='TARGET.Owner == "bob"'), slot("ep2", start='TARGET.Owner == "bob"')], Pool())
    assert found.word is Word.NEVER
    assert 'by START refuse the job (user ann): `START = TARGET.Owner == "bob"` on ep1 and ep2' in found.reason


@pytest.mark.parametrize("start", ["LoadAvg < 0.3", "time() < 5", "ClockMin > 9999", "NodeIsHealthy =?= true", "false"])
def test_what_changes_is_no_never(start):
    found = diagnose(job(), [slot(start=start, ClockMin=1, NodeIsHealthy=False)], Pool())
    assert found.word is Word.NOT_YET
    assert "1 of 1 slot could take it, but not as things are now" in found.reason


def test_free_disk_changes():
    found = diagnose(job(RequestDisk=1 << 40), [slot()], Pool())
    assert found.word is Word.NOT_YET
    assert "asks for 1,024 TB of disk, the most that is free is 70 GB (ep1)" in found.reason


def test_no_slots_is_unknown_and_so_is_a_pool_that_shrinks():
    assert diagnose(job(), [], Pool()).word is Word.UNKNOWN
    found = diagnose(job(RequestMemory=102400), [slot()], Pool(gone=["slot1@big"]))
    assert found.word is Word.UNKNOWN
    assert "1 slot that the pool had before is gone (slot1@big)" in found.reason
    assert "no other can take it: it asks for 100 GB of memory" in found.reason
    assert diagnose(job(), [slot()], Pool(gone=["slot1@big"])).word is Word.NOT_YET
    pinned = diagnose(job('TARGET.Machine == "big"'), [slot()], Pool(gone=["slot1@big"]))
    assert re.search("no other can take it: (its requirement|1 of its .* matches no slot)", pinned.reason)


def test_busy_slots_tell_what_is_left_and_whose_turn_it_is():
    users = [
        classad.ClassAd({"Name": "ann@pool", "Priority": 900.0, "WeightedResourcesUsed": 1.0}),
        classad.ClassAd({"Name": "bob@pool", "Priority": 500.0, "WeightedResourcesUsed": 2.0}),
    ]
    waiting = [classad.ClassAd({"Name": f"{name}@pool", "IdleJobs": 7}) for name in ("ann", "bob")]
    taken = slot(Cpus=1, Memory=4096, NumDynamicSlots=1)
    sentence = said(job(RequestCpus=2), taken, accounting=users, submitters=waiting, ahead=3)
    assert "all are busy with 1 job (at most 1 core free, it asks for 2 cores)" in sentence
    assert (
        "your priority is 900.0 (lower is better), 1 active user has a better one; 10 idle jobs are ahead of it"
        in sentence
    )


@pytest.mark.parametrize(
    ("ahead", "own", "words"),
    [
        (0, 1, "; up to 500 more idle jobs of yours may be ahead of it. It"),
        (3, 5, "; 3 idle jobs are ahead of it, and up to 496 more of yours may be. It"),
        (1, 501, "; 1 idle job is ahead of it. It"),
        (0, 600, "; no idle job is ahead. It"),  # the collector tells of a moment ago
    ],
)
def test_idle_jobs_of_another_run_of_the_user_may_be_ahead(ahead, own, words):
    users = [classad.ClassAd({"Name": "ann@pool", "Priority": 500.0})]
    on_two_access_points = [classad.ClassAd({"Name": "ann@pool", "IdleJobs": number}) for number in (500, 1)]
    about = {"accounting": users, "submitters": on_two_access_points, "ahead": ahead, "idle": own}
    assert words in said(job(), slot(Cpus=0, NumDynamicSlots=2), **about)


def test_draining_and_offline_nodes():
    assert "draining, that is, take no new jobs: ep1" in said(job(), slot(Draining=True, start="false"))
    assert "switched off: ep1" in said(job(), slot(Offline=True))


def test_a_job_that_only_an_absent_node_can_take_waits_for_it():
    large = slot("ep9", Absent=True, TotalSlotMemory=65536, Memory=65536)
    found = diagnose(job(RequestMemory=32000), [slot(), large], Pool())
    assert found.word is Word.NOT_YET
    assert found.reason == ("1 of 2 slots could take it and is absent, that is, not heard of any more: ep9")
    assert diagnose(job(), [large], Pool()).word is Word.NOT_YET, "what is absent takes no job now"
    assert "switched off: ep1" in said(job(), slot(Offline=True), large)
    assert diagnose(job(RequestMemory=66000), [slot(), large], Pool()).word is Word.NEVER


def test_free_slots_and_a_silent_negotiator():
    problem = "the negotiator doesn't answer (no answer within 25 s)"
    assert f"1 of 1 slot is free and would take it, but {problem}" in said(job(), slot(), negotiator=problem)
    assert "the negotiator has not come to it yet" in said(job(), slot())


def test_a_group_whose_quota_is_reached():
    group = {"Name": "group_credit", "IsAccountingGroup": True, "EffectiveQuota": 1.0, "WeightedResourcesUsed": 1.0}
    sentence = said(
        job(AcctGroup="group_credit"), slot(), accounting=[classad.ClassAd(group | {"SurplusPolicy": "no"})]
    )
    assert (
        "the quota of accounting group group_credit is reached: it uses 1 of 1 cores, and the job asks for 1"
        in sentence
    )


def quota(**values):
    return [classad.ClassAd({"Name": "g", "IsAccountingGroup": True, "WeightedResourcesUsed": 0.0} | values)]


def test_a_job_that_asks_for_more_than_its_groups_whole_quota_waits_for_no_other_job():
    wide = job(AcctGroup="g", RequestCpus=16)
    found = diagnose(wide, [slot(TotalSlotCpus=16, Cpus=16)], Pool(quota(EffectiveQuota=8.5)))
    assert found.word is Word.NOT_YET
    assert found.reason == "it asks for 16 cores, and the whole quota of accounting group g is 8.5"
    assert (
        found.remedy
        == "Lower threads of the rule to at most 8, ask the pool's admin for a larger quota, or use another group"
    )
    small = diagnose(job(AcctGroup="g"), [slot()], Pool(quota(EffectiveQuota=0.5)))
    assert small.remedy == "Ask the pool's admin for a larger quota, or use another group"
    assert "is reached: it uses 4 of 8 cores" in said(
        job(AcctGroup="g", RequestCpus=8),
        slot(TotalSlotCpus=8, Cpus=8),
        accounting=quota(EffectiveQuota=8, WeightedResourcesUsed=4.0),
    )


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"ConfigQuota": 0.3}, "next cycle"),  # a share of the pool, which the negotiator has yet to count in cores
        ({"ConfigQuota": 0.3, "EffectiveQuota": 0.0}, "next cycle"),
        ({"ConfigQuota": 1.0, "WeightedResourcesUsed": 4.0}, "next cycle"),
        ({"ConfigQuota": 0.3, "EffectiveQuota": 2.4, "WeightedResourcesUsed": 2.0}, "quota g"),
        ({"ConfigQuota": 4.0, "WeightedResourcesUsed": 4.0}, "quota g"),
        ({"ConfigQuota": 4.0, "WeightedResourcesUsed": 4.0, "SurplusPolicy": "byquota"}, "next cycle"),
    ],
)
def test_a_quota_that_is_configured_as_a_share_is_no_number_of_cores(values, key):
    assert diagnose(job(AcctGroup="g"), [slot()], Pool(quota(**values))).key == key


@pytest.mark.parametrize("why", [{"Cpus": 0, "NumDynamicSlots": 2}, {"Draining": True}, {"Offline": True}])
def test_a_silent_negotiator_and_a_full_quota_are_told_where_no_slot_is_free_either(why):
    group = {"Name": "g", "IsAccountingGroup": True, "EffectiveQuota": 1.0, "WeightedResourcesUsed": 1.0}
    problem = "the negotiator doesn't answer (no answer within 25 s)"
    plain = diagnose(job(AcctGroup="g"), [slot(**why)], Pool())
    silent = diagnose(job(AcctGroup="g"), [slot(**why)], Pool(negotiator=problem))
    assert silent.reason == f"{plain.reason}; besides, {problem}, so no job is matched"
    assert silent.remedy.startswith("Tell the pool's admin: condor_negotiator")
    full = diagnose(job(AcctGroup="g"), [slot(**why)], Pool([classad.ClassAd(group)]))
    assert full.reason.startswith(f"{plain.reason}; besides, the quota of accounting group g is reached: it uses 1")
    assert full.remedy.startswith("It starts when jobs of the group end")
    both = diagnose(job(AcctGroup="g"), [slot(**why)], Pool([classad.ClassAd(group)], negotiator=problem))
    assert problem in both.reason and "the quota of" in both.reason
    assert len({found.key for found in (plain, silent, full, both)}) == 4, "what is news has another key"


def test_a_concurrency_limit_as_the_negotiator_says_it():
    rejected = job(LastRejMatchReason="concurrency limit license reached", LastRejMatchTime=10)
    assert "concurrency limit that the job names is used up" in said(rejected, slot())


def test_a_full_access_point():
    assert "this access point runs 200 jobs" in said(
        job(), slot(), schedd={"TotalRunningJobs": 200, "MaxJobsRunning": 200}
    )


def test_slots_that_turn_the_job_down_again_and_again():
    assert "it was matched 5 times and never started" in said(job(NumJobMatches=5), slot())


def test_attributes_that_refer_to_each_other_in_a_circle_match_nothing():
    circle = ad({"RequestCpus": 1}, Loop="Loop + 1", Requirements="Loop > 1")
    assert judge(circle, [slot()]).word is Word.NEVER
    assert diagnose(circle, [slot()], Pool()).word is Word.NEVER


def test_a_condition_that_cant_hold_whatever_changes_is_a_never():
    assert judge(job('LoadAvg < 0.3 && Arch == "ppc64le"'), [slot()]).word is Word.NEVER
    assert (
        judge(job('TARGET.LoadAvg < 0.3 ? TARGET.Arch == "ppc64le" : TARGET.OpSys == "WINDOWS"'), [slot()]).word
        is Word.NEVER
    )
    assert (
        judge(job('TARGET.LoadAvg < 0.3 ? TARGET.Arch == "ppc64le" : TARGET.OpSys == "LINUX"'), [slot()]).word
        is Word.FITS
    )
    assert judge(job('LoadAvg > 0.6 || Arch == "ppc64le"'), [slot()]).word is Word.NOT_YET


def test_a_resource_that_no_slot_has():
    found = diagnose(job(f"(TARGET.GPUs >= RequestGPUs) && {DEFAULT}", RequestGPUs=1), [slot()], Pool())
    assert found.reason == "asks for 1 GPU, the largest slot has 0 GPUs; 0 of 1 slot matches"
    assert found.remedy == "Ask the pool's admin for a node with GPUs"


def gpu_slot(machine="ep1", free=2, capability=7.5, **values):
    """A slot with two GPUs, as a startd tells of them: those that no job has in a list."""
    about = {"GPUs": free, "TotalSlotGPUs": 2, "NumDynamicSlots": 2 - free}
    devices = [f"GPUs_GPU_{number}_{machine}" for number in (1, 2)]
    told = {name: f'[ Id = "{name}"; Capability = {capability}; ClockMhz = 1.59 ]' for name in devices}
    made = slot(machine, **(about | values))
    for name, text in (told | {"AvailableGPUs": f"{{ {', '.join(devices[:free])} }}"}).items():
        made[name] = classad.ExprTree(text)
    return made


def gpu_job(wants="Capability >= 7.0", number=1):
    made = job(f"(countMatches(MY.RequireGPUs, TARGET.AvailableGPUs) >= RequestGPUs) && {DEFAULT}", RequestGPUs=number)
    made["RequireGPUs"] = classad.ExprTree(wants)
    return made


@pytest.mark.parametrize("others", [[], [slot("ep2")]])
def test_a_gpu_of_the_wanted_kind_that_another_job_has_is_busy(others):
    found = diagnose(gpu_job(), [gpu_slot(free=0), *others], Pool())
    assert (found.word, found.key) == (Word.NOT_YET, "busy")
    assert found.reason.startswith(f"1 of {1 + len(others)} slot")
    assert "all are busy with 2 jobs (at most 0 GPUs free, it asks for 1 GPU)" in found.reason
    assert judge(gpu_job(), [gpu_slot(free=1), *others]).word is Word.FITS
    assert judge(gpu_job(number=2), [gpu_slot(free=1), *others]).word is Word.NOT_YET


@pytest.mark.parametrize("others", [[], [slot("ep2")]])
@pytest.mark.parametrize("free", [0, 2])
def test_a_kind_of_gpu_that_no_node_has_is_told_with_what_they_have_and_removes_nothing(free, others):
    found = diagnose(gpu_job("Capability >= 9.0"), [gpu_slot(free=free), gpu_slot("ep3"), *others], Pool())
    assert (found.word, found.sure) == (Word.NEVER, False)
    assert "(it wants 1 GPU with `Capability >= 9`; Capability is 7.5 on all 4)" in found.reason
    mixed = [gpu_slot(), gpu_slot("ep3", capability=8.5)]
    assert "; Capability is 7.5 on 2 and 8.5 on 2)" in said(gpu_job("Capability >= 9.0"), *mixed)


def test_where_a_slot_does_not_tell_of_each_gpu_another_may_be_of_the_wanted_kind():
    assert judge(gpu_job("Capability >= 9.0"), [gpu_slot(TotalSlotGPUs=3)]).word is Word.NOT_YET


def test_an_amount_that_suffices_is_not_told_to_be_lacking():
    small = slot("ep2", "LoadAvg < 0.3", Disk=10, TotalSlotDisk=10)
    sentence = said(job(RequestDisk=1 << 20), slot("ep1", "LoadAvg < 0.3"), small)
    assert "asks for 1 GB of disk" not in sentence
    assert "`TARGET.Disk >= RequestDisk` (not so on ep2)" in sentence


@pytest.mark.parametrize("universe", [7, 9, 12])
def test_jobs_that_run_on_no_slot_are_not_judged_by_slots(universe):
    found = diagnose(job(RequestCpus=64, JobUniverse=universe), [slot()], Pool())
    assert found.word is Word.UNKNOWN
    assert f"universe {universe}, which runs on the access point or elsewhere" in found.reason


def test_what_no_slot_here_takes_may_find_one_in_another_pool():
    found = diagnose(job(RequestCpus=64), [slot()], Pool(flocks="cm.example.org"))
    assert found.word is Word.UNKNOWN
    assert "asks for 64 cores" in found.reason
    assert "jobs may also go to cm.example.org" in found.reason
