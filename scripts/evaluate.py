"""Step evaluate: one model on the test rows, and nothing but the test rows."""

import logging
from pathlib import Path

from scripts.shared.config import Contract, read_config
from scripts.shared.files import read_json, write_json
from scripts.shared.membership import read_table
from scripts.shared.metrics import compute_metrics, curves
from scripts.shared.models import load_model
from scripts.shared.scoring import fast_scorer
from scripts.shared.sides import TEST


def main(
    parts: list[Path],
    membership: list[Path],
    model_file: Path,
    card: Path,
    metrics: Path,
    curve_file: Path,
    cv: list[Path],
    config: Path,
) -> None:
    """Evaluate one model.

    Parameters
    ----------
    parts, membership
        Clean rows and their sides, in the same order.
    model_file, card
        The model, checked against its card before it is loaded.
    metrics, curve_file
        JSON: the metrics; what the report draws.
    cv
        The model's cross-validation, where the threshold comes from it, else empty.
    config
        The run's config.
    """
    pipeline, about = load_model(model_file, card)
    options = read_config(config).threshold
    at = read_json(cv[0])["cheapest_threshold"] if options.method == "cost" else options.value
    contract = Contract.model_validate(about["contract"])
    table, _ = read_table(parts, membership, TEST, contract)
    target = table.column(contract.columns.target.column).to_numpy()
    # The scorer that predict uses: what is measured here is what applications will get.
    scores = fast_scorer(pipeline, contract.numeric_features(), contract.columns.categorical).score(table)
    result = compute_metrics(target, scores, at)
    write_json(metrics, {"model": about["name"], "threshold_method": options.method} | result)
    write_json(curve_file, {"model": about["name"]} | curves(target, scores))
    logging.info(
        "%s on %s test rows: ROC AUC %.4f, PR AUC %.4f, F1 %.3f at %.3f",
        about["name"],
        f"{len(target):,}",
        result["roc_auc"],
        result["pr_auc"],
        result["f1"],
        at,
    )
