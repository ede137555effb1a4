"""HTCondor's own answers to whether jobs match slots, for many pools of ads at once.

``condor_q`` judges ads from files: ``-jobads`` and ``-slotads``. What it does with them, by its sources and as seen:

- ``-better-analyze:summary`` counts, for each job, the slots whose both sides match as they stand: partitionable ones
  with what is left of them, and dynamic ones, too; claimed ones count like others.
- ``-unmatchable`` lists the jobs that no slot takes, dynamic slots left out; a partitionable slot whose
  WithinResourceLimits is false for the job is looked at once more with its TotalSlot values in place of what is left.
"""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from pool.pool import Pool as Containers
from tests.truth_ads import Ad, Job, Pool, Truth, long_form

FOLDER = "truth-ads"
# For each folder, its name and what each question is answered; a summary's rows begin with the job's number.
ASK = r"""
cd /shared/FOLDER || exit
for pool in *; do
    for slots in "$pool"/slots-*; do
        jobs=$pool/jobs
        case $slots in */slots-later*) jobs=$pool/jobs-later ;; esac
        echo "== $pool ${slots#*/slots-}"
        condor_q -better-analyze:summary -jobads "$jobs" -slotads "$slots" || exit
    done
    echo "== $pool unmatchable"
    condor_q -unmatchable -jobads "$pool/jobs" -slotads "$pool/slots-all" -af ClusterId || exit
done
"""
ROW = re.compile(r"^(\d+)\.0 +\S+ +(\d+) +(\d+) ")


@dataclass(frozen=True)
class Said:
    """What HTCondor's tools say of a job: how many slots match as they stand, and whether one could."""

    free: int
    whole: int
    everyone: int
    unmatchable: bool
    later: int

    @property
    def truth(self) -> Truth:
        """What a verdict must agree with; a dynamic slot is there for the job that it was made for, and no other."""
        return Truth(self.free > 0, self.whole > 0 or self.later > 0 or not self.unmatchable)


def ask(containers: Containers, pairs: Sequence[tuple[Pool, Sequence[Job]]]) -> list[list[Said]]:
    """Return what HTCondor says of the jobs of each pool, in their order."""
    folder = containers.shared / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    for number, (pool, jobs) in enumerate(pairs):
        at = folder / f"{number:04}"
        at.mkdir(parents=True)
        for name, ads in _files(pool, jobs).items():
            if ads:
                (at / name).write_text(long_form(ads), encoding="utf-8")
    done = containers.execute("ap", "bash", "-c", ASK.replace("FOLDER", FOLDER), user="submit")
    shutil.rmtree(folder)
    assert done.returncode == 0, done.stdout[-3000:]
    answers = _answers(done.stdout)
    return [[_said(answers, f"{n:04}", int(job.ad["ClusterId"])) for job in jobs] for n, (_, jobs) in enumerate(pairs)]


def _files(pool: Pool, jobs: Sequence[Job]) -> dict[str, list[Ad]]:
    return {
        "jobs": [job.ad for job in jobs],
        "jobs-later": [job.later for job in jobs],
        "slots-all": list(pool.slots),
        "slots-whole": [slot for slot in pool.slots if "DynamicSlot" not in slot],
        "slots-free": [pool.slots[number] for number in pool.free],
        **{f"slots-later{number}": list(ads) for number, ads in enumerate(pool.later)},
    }


def _answers(printed: str) -> dict[tuple[str, str], dict[int, int]]:
    """Return, for each pool and question, the jobs that are listed, and how many slots match them."""
    answers: dict[tuple[str, str], dict[int, int]] = {}
    for section in printed.split("== ")[1:]:
        heading, *lines = section.splitlines()
        pool, question = heading.split(" ", 1)
        if question == "unmatchable":
            answers[pool, question] = {int(line): 0 for line in lines if line.strip()}
        else:
            rows = [row for row in map(ROW.match, lines) if row]
            answers[pool, question] = {int(row[1]): int(row[2]) - int(row[3]) for row in rows}
            assert rows, f"condor_q told nothing:\n{section[:2000]}"
    return answers


def _said(answers: dict[tuple[str, str], dict[int, int]], pool: str, job: int) -> Said:
    def matching(question: str) -> int:
        return answers[pool, question][job] if (pool, question) in answers else 0

    return Said(
        free=matching("free"),
        whole=matching("whole"),
        everyone=matching("all"),
        unmatchable=job in answers[pool, "unmatchable"],
        later=sum(matching(f"later{number}") for number in range(3)),
    )
