"""Can a job match a slot, now or ever? Pure functions on ClassAds; how HTCondor's negotiator decides, told in parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import classad2 as classad


class Word(StrEnum):
    """What can be said of a job that waits."""

    NEVER = "NEVER"  # no slot of this pool, as it is configured, could ever take the job
    NOT_YET = "NOT YET"  # one could, but not now
    UNKNOWN = "UNKNOWN"  # what would tell it isn't known: there are no slots, or they don't answer


@dataclass(frozen=True)
class Verdict:
    """What the job's and the slots' ClassAds say."""

    word: Word


def judge(job: classad.ClassAd, slots: Sequence[classad.ClassAd]) -> Verdict:
    """Tell whether a job could match one of the slots (the collector's ads of type Machine, or STARTD)."""
    raise NotImplementedError
