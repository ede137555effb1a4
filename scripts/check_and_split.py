"""Steps check and split in one job: for data that is one partition, where a job more would cost more than its work."""

from pathlib import Path

from scripts import check, split


def main(
    parts: list[Path],
    summaries: list[Path],
    part_rejects: list[Path],
    duplicates: Path,
    membership: Path,
    rejects: Path,
    summary: Path,
    config: Path,
) -> None:
    """Check and split one part; the parameters are those of `check.main` and `split.main`."""
    check.main(parts, summaries, part_rejects, duplicates, rejects, summary, config)
    split.main(parts[0], duplicates, 0, membership, config)
