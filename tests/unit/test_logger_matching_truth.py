"""Verdicts on random jobs and pools, judged by the bindings' own evaluation of both sides' Requirements."""

import classad2 as classad
from snakemake_logger_plugin_htcondor.matching import judge

from tests.truth_ads import Ad, Tally, Truth, long_form, make_jobs, make_pool, word_of

SEEDS = range(1000, 1130)
JOBS = 10


def parsed(ads: list[Ad]) -> list[classad.ClassAd]:
    """Return the ads as the bindings read them, all of them and whole."""
    read = list(classad.parseAds(long_form(ads), classad.ParserType.Old))
    assert [sorted(map(str.lower, ad)) for ad in read] == [sorted(map(str.lower, ad)) for ad in ads]
    return read


def match(job: classad.ClassAd, slot: classad.ClassAd) -> bool:
    """Return whether both sides agree; attributes that refer to each other in a circle have no value."""
    try:
        return bool(job.symmetricMatch(slot))
    except classad.ClassAdException:
        return False


def test_verdicts_on_random_jobs_and_pools_are_those_of_the_bindings():
    tally, removable = Tally(), 0
    for seed in SEEDS:
        pool, jobs = make_pool(seed), make_jobs(seed, JOBS)
        slots, later = parsed(list(pool.slots)), [slot for ads in pool.later for slot in parsed(list(ads))]
        ads, ads_later = parsed([job.ad for job in jobs]), parsed([job.later for job in jobs])
        for job, ad, ad_later in zip(jobs, ads, ads_later, strict=True):
            free = any(match(ad, slots[number]) for number in pool.free)
            whole = [slot for slot in slots if not slot.get("DynamicSlot")]
            could = any(match(ad, slot) for slot in whole) or any(match(ad_later, slot) for slot in later)
            word = word_of(judge, ad, slots)
            tally.add(word, Truth(free, could), pool, job)
            removable += word == "NEVER" and judge(ad, slots).sure
    assert not tally.wrong, f"{tally}\n" + "\n".join(tally.wrong[:5])
    assert tally.share >= 0.95, f"{tally}\n" + "\n".join(tally.missed[:5])
    assert removable >= 0.5 * sum(count for (_, word), count in tally.words.items() if word == "NEVER")
    for kind in ("free", "could", "never"):
        assert sum(count for (truth, _), count in tally.words.items() if truth == kind) >= 80, str(tally)
