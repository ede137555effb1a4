"""Step predict_batch: score many small files of applications by one job, which starts and loads the model once."""

from pathlib import Path

from scripts.predict import live_scorer, score_file


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
    scorer = live_scorer(live)
    for application, *outputs in zip(applications, predictions, rejects, summaries, strict=True):
        score_file(scorer, application, outputs, config, plan)
