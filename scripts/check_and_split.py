"""Steps check, split and profile_data in one job: for data of one partition, where a job more costs more than its work.

Beside training, a job for the profile alone would also take a slot that a model could have had to itself.
"""

from pathlib import Path

from scripts import check, profile_data, split


def main(
    parts: list[Path],
    summaries: list[Path],
    part_rejects: list[Path],
    duplicates: Path,
    membership: Path,
    rejects: Path,
    summary: Path,
    profile: Path,
    config: Path,
) -> None:
    """Check, split and profile one part; the parameters are those of these steps."""
    check.main(parts, summaries, part_rejects, duplicates, rejects, summary, config)
    split.main(parts[0], duplicates, 0, membership, config)
    profile_data.main(parts, [membership], profile, config)
