"""Verdicts on jobs that wait, compared with what HTCondor itself says of the same ads, and does with real jobs."""

import os

import classad2 as classad
import pytest
from snakemake_logger_plugin_htcondor.matching import judge

from tests.pool.truth import ask
from tests.truth_ads import Ad, Tally, long_form, make_jobs, make_pool, tell, word_of

POOLS = int(os.environ.get("TRUTH_POOLS", "35"))  # more of them for a long run by hand
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
