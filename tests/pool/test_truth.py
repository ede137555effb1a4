"""Verdicts on jobs that wait, compared with what HTCondor itself says of the same ads, and does with real jobs."""

import os
import random
from collections import Counter

import classad2 as classad
import pytest
from snakemake_logger_plugin_htcondor.matching import judge

from tests.pool.harness import wait_until, wait_until_no_slot_is_kept
from tests.pool.truth import ask
from tests.pool.truth_jobs import Waiting, configured
from tests.truth_ads import Ad, Tally, long_form, make_jobs, make_pool, random_host, tell, word_of

# More of them for a long run by hand: pools of ads, and lots of real jobs.
POOLS = int(os.environ.get("TRUTH_POOLS", "35"))
LOTS = int(os.environ.get("TRUTH_LOTS", "6"))
JOBS = 10


@pytest.fixture
def say(capsys):
    """Print figures whatever pytest captures."""

    def say(text):
        with capsys.disabled():
            print(f"\ntruth: {text}")

    return say


def parsed(ads: list[Ad]) -> list[classad.ClassAd]:
    return list(classad.parseAds(long_form(ads), classad.ParserType.Old))


def test_verdicts_on_random_ads_are_those_of_condor_q(pool, say):
    pairs = [(make_pool(seed), make_jobs(seed, JOBS)) for seed in range(POOLS)]
    tally, of_parts = Tally(), []
    for (slots, jobs), answers in zip(pairs, ask(pool, pairs), strict=True):
        ads = parsed(list(slots.slots))
        for job, ad, said in zip(jobs, parsed([job.ad for job in jobs]), answers, strict=True):
            word = word_of(judge, ad, ads)
            tally.add(word, said.truth, slots, job)
            if word == "NEVER" and said.everyone and not said.truth.could:
                of_parts.append(tell("a dynamic slot's Requirements match", word, slots, job))
    say(f"{tally}; only a dynamic slot matches: {len(of_parts)}")
    assert not tally.wrong, "\n".join(tally.wrong[:5])
    assert tally.share >= 0.95, "\n".join(tally.missed[:5])


# The attributes are those of random hosts; what startds set by themselves stays theirs.
SET_BY_STARTDS = {
    "MyType",
    "TargetType",
    "Machine",
    "Arch",
    "OpSys",
    "OpSysAndVer",
    "OpSysMajorVer",
    "FileSystemDomain",
}
SET_BY_STARTDS |= {"HasFileTransfer", "CpuFamily", "Microarch", "Start", "Mips", "MachineResources"}
STARTS = {"ep1": "(TARGET.RequestMemory ?: 1) < 5000 && JobUniverse == 5", "ep2": "!(TARGET.WantAvx) || HasAvx"}


@pytest.fixture
def waiting(pool):
    wait_until_no_slot_is_kept(pool)
    waiting = Waiting(pool)
    yield waiting
    waiting.end()


def test_verdicts_on_real_jobs_are_what_becomes_of_them(pool, waiting, say):
    dice = random.Random(7)
    nodes = {
        name: {key: value for key, value in random_host(dice, name).items() if key not in SET_BY_STARTDS}
        | {"START": start, "TruthConfig": "1"}
        for name, start in STARTS.items()
    }
    chosen = [job for seed in range(90, 90 + LOTS) for job in make_jobs(seed, JOBS) if not job.changing]
    jobs = dict(enumerate(chosen))
    with configured(pool, nodes):
        wait_until(
            lambda: all("TruthConfig" in slot for slot in waiting.slots()), 30, "the nodes tell their attributes"
        )
        waiting.submit({number: job.ad for number, job in jobs.items()})
        ads, slots = waiting.jobs(), waiting.slots()
        assert sorted(ads) == sorted(jobs)
        words = {number: word_of(judge, ad, slots) for number, ad in ads.items()}
        waiting.release()
        idle = waiting.idle(3, 60 + 20 * LOTS)
    told = Counter(("stays idle" if number in idle else "starts", word) for number, word in words.items())
    say(", ".join(f"{fate}/{word} {count}" for (fate, word), count in sorted(told.items())) + " of real jobs")
    wrong = [
        f"{'stays idle' if number in idle else 'starts'}, said: {word}\n{ads[number]}"
        for number, word in words.items()
        if (word == "NEVER" and number not in idle)
        or ((word == "FITS") == (number in idle) and not (jobs[number].disputed or jobs[number].odd))
    ]
    assert not wrong, "\n".join([*wrong[:3], *map(str, slots)])
    assert min(len(idle), len(jobs) - len(idle)) >= 12


def asks(requirements, **attributes):
    """Return the ad of a job that asks for little, but what is told."""
    little = {"RequestCpus": "1", "RequestMemory": "100", "RequestDisk": "1000"}
    return little | attributes | {"Requirements": requirements}


def test_a_job_that_waits_for_room_starts_once_there_is_some_and_one_that_cannot_match_never_does(pool, waiting):
    on_1, on_2 = 'TARGET.Machine == "ep1"', 'TARGET.Machine == "ep2"'
    expected = {
        1: (asks(on_1, RequestCpus="2"), "NOT YET"),
        2: (asks(on_1, RequestMemory="8100"), "NOT YET"),
        3: (asks(on_1, RequestCpus="3"), "NEVER"),
        4: (asks(f"{on_1} && TARGET.Cpus >= 3"), "NEVER"),
        5: (asks(on_2), "NOT YET"),
        6: (asks(on_2, RequestMemory="8200"), "NEVER"),
        7: (asks(f"{on_2} || TARGET.Gone"), "NOT YET"),
        8: (asks("TARGET.Gone =?= true"), "NEVER"),
        9: (asks("true", RequestGPUs="1"), "NEVER"),
        10: (asks(f"({on_1}) && Memory >= 8192"), "NOT YET"),
        11: (asks(f"{on_1} && {on_2}"), "NEVER"),
        12: (asks("TARGET.Cpus"), "FITS"),
    }
    address = next(slot["MyAddress"] for slot in waiting.slots() if slot["Machine"] == "ep2")
    waiting.submit({0: asks(on_1, TruthBlocks="true")}, "/bin/sleep", "300", hold=False)
    wait_until(lambda: waiting.jobs("JobStatus == 2"), 30, "the job that is in the way runs")
    try:
        drained = pool.execute("cm", "condor_drain", address)
        assert drained.returncode == 0, drained.stdout

        def is_so():
            slots = {slot["Name"]: slot for slot in waiting.slots()}
            return slots["slot1@ep1"]["Cpus"] == 1 and slots["slot1@ep2"].get("Draining")

        wait_until(is_so, 30, "the collector knows of both")
        waiting.submit({number: ad for number, (ad, _) in expected.items()})
        ads, slots = waiting.jobs(), waiting.slots()
        said = {number: word_of(judge, ads[number], slots) for number in expected}
        assert said == {number: word for number, (_, word) in expected.items()}
        waiting.release()
        assert waiting.idle(3, 90) == {number for number, word in said.items() if word != "FITS"}
    finally:
        pool.execute("cm", "condor_drain", "-cancel", address)
    done = pool.execute("ap", "condor_rm", "-constraint", f"{waiting.ours} && TruthBlocks =?= true", user="submit")
    assert done.returncode == 0, done.stdout
    never = {number for number, word in said.items() if word == "NEVER"}
    wait_until(lambda: set(waiting.jobs("JobStatus == 1")) == never, 60, "those that waited for room run")
    assert waiting.idle(3, 60) == never


# One job for each way to write a requirement: what it says, and attributes that it names.
KINDS: list[tuple[str, Ad]] = [
    ("{ CpuFamily }[0] > 5", {}),
    ("[ a = TARGET.CpuFamily ].a > 5", {}),
    ("Missing =?= undefined", {}),
    ("Missing ?: true", {}),
    ("Missing > 3 || true", {}),
    ("MY.CpuFamily is undefined", {}),
    ("MY.CpuFamily > 5", {}),
    ("Circle > 1 || true", {"Circle": "Circle + 1"}),
    ("true || Circle > 1", {"Circle": "Circle + 1"}),
    ("A > 5", {"A": "CpuFamily"}),
    ("A > 5", {"A": "MY.CpuFamily"}),
    ("TARGET.Cpus > 0 && B", {"B": "A > 5", "A": "CpuFamily"}),
    ("2.5 && 1", {}),
    ("0.0 || 0", {}),
    (r'regexp("\d", OpSysAndVer)', {}),
    ('eval("TARGET.CpuFamily > 5")', {}),
    ("Memory == 1", {"Memory": "1"}),
    ("TARGET.Memory > 1", {"Memory": "1"}),
    ("Inner.x > 5", {"Inner": "[ x = TARGET.CpuFamily ]"}),
    ("Inner.x", {"Inner": "[ x = y; y = Outer ]", "Outer": "CpuFamily > 5"}),
    ("List[0] > 5", {"List": "{ CpuFamily }"}),
    ("ifThenElse(CpuFamily > 5, Cpus > 0, false)", {}),
    ("TARGET.Start && WithinResourceLimits", {}),
    ("TARGET.TARGET.RequestMemory is undefined", {}),
    ('TARGET.State == "unclaimed"', {}),
    ('Machine == "EP1" || Machine == "EP2"', {}),
    ('Machine =?= "EP1" || Machine =?= "EP2"', {}),
    ('size(Machine) == 3 && strcat(Machine, "&& x") == "ep1&& x" || Machine is "ep2"', {}),
    ('(Missing ?: "(\\"") == "(\\"" && "x ? y : z" != "||"', {}),
    ("isError(1 / 0) && undefined =!= true", {}),
    ("sum({ CpuFamily, 1 }) > 5", {}),
    ("[ a = 1 ].CpuFamily > 5", {}),
    ("!(TARGET.Memory >= 1) ? true : false", {}),
    ("error || true", {}),
    ('"s" || true', {}),
]
# Where the negotiator differs from the bindings, no more is asked than that what starts isn't said never to.
DISPUTED: list[tuple[str, Ad]] = [
    ("[ a = CpuFamily; b = a > 5 ].b", {}),
    ("Inner.x > 5", {"Inner": "[ x = CpuFamily ]"}),
    ("true ?: false && false", {}),
    ("false ?: true || true", {}),
    ("{ 1 } || true", {}),
]


def test_the_negotiator_reads_every_kind_of_requirement_as_the_verdict_does(waiting):
    jobs = {number: asks(text, **attributes) for number, (text, attributes) in enumerate(KINDS + DISPUTED)}
    waiting.submit(jobs)
    ads, slots = waiting.jobs(), waiting.slots()
    words = {number: word_of(judge, ad, slots) for number, ad in ads.items()}
    waiting.release()
    idle = waiting.idle(3, 120)
    differ = [
        ("stays idle" if number in idle else "starts", words[number], *(KINDS + DISPUTED)[number])
        for number in jobs
        if (number not in idle and words[number] == "NEVER")
        or (number < len(KINDS) and (words[number] == "FITS") == (number in idle))
    ]
    assert not differ, "\n".join(map(str, differ))
    assert min(len(idle), len(jobs) - len(idle)) >= 8
