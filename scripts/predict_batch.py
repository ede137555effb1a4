"""Step predict_batch: score many small files of applications by one job, which starts and loads the model once."""

from pathlib import Path

from scripts.predict import live_scorer, score_file
from scripts.shared.config import read_config
from scripts.shared.partitions import planned_files


def main(
    applications: list[Path],
    live: Path,
    predictions: list[Path],
    rejects: list[Path],
    summaries: list[Path],
    config: Path,
    plan: Path,
) -> None:
    """Score files, one after another; the parameters are those of `predict.main`, one of each per file, in order."""
    settings = read_config(config)
    scorer = live_scorer(live, settings.predict.other_versions)
    files = planned_files(plan, applications)
    for file, *outputs in zip(files, predictions, rejects, summaries, strict=True):
        score_file(scorer, file, outputs, settings)
