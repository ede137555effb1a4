"""What the page says of models, tuning, data and predictions, made from the files of a run."""

import csv
import itertools
from pathlib import Path
from typing import Any

from scripts.reporting.charts import draw_dependences, line_styles
from scripts.reporting.checks import changes
from scripts.reporting.formats import number
from scripts.shared.config import LOWER_IS_BETTER, METRICS
from scripts.shared.errors import UserError, listing
from scripts.shared.files import read_json
from scripts.shared.search import UNTUNED

AGAIN = "delete results/metrics and results/selection.json and run again"
STANDARD_ERRORS = 4.0  # the same allowance as in split
SHOWN_FILES = 50
SHOWN_REASONS = 30
SHOWN_TRIALS = 10

LABELS = {
    "roc_auc": ("ROC AUC", "how often a random default scores above a random non-default; 0.5 is a coin toss"),
    "pr_auc": ("PR AUC", "average precision over all thresholds; a coin toss gets the share of defaults"),
    "gini": ("Gini", "2 × ROC AUC − 1; 0 is a coin toss"),
    "ks": ("KS", "largest gap between the two groups’ cumulative scores"),
    "accuracy": ("Accuracy", "share of right decisions at the threshold"),
    "precision": ("Precision", "share of refused applications that did default"),
    "recall": ("Recall", "share of defaults that were refused"),
    "f1": ("F1", "harmonic mean of precision and recall"),
    "brier": ("Brier", "mean squared error of the probability; lower is better"),
    "log_loss": ("Log loss", "penalty for confident mistakes; lower is better"),
}
CHOSEN_ON = {"test": "the test rows", "cv": "training rows, by cross-validation"}
THRESHOLD_FROM = {"fixed": "set in the config", "cost": "lowest cost in cross-validation"}
SPLIT_BY = {
    "hash": "each on its own, by a keyed hash",
    "group": "with all others of their group, by a keyed hash",
    "time": "by date: the older to training, the newer to test",
}


# --- models ------------------------------------------------------------------------------------------------------


def read_models(
    metrics: list[Path],
    curves: list[Path],
    performance: list[Path],
    receipt: dict[str, Any],
    differences: dict[str, Any],
) -> list[dict[str, Any]]:
    """Return all models with what the page says about them: the winner first, then by the metric of the choice.

    Raises
    ------
    UserError
        Where the files don't belong to one run.
    """
    tested = {values["model"]: values for values in map(read_json, metrics)}
    drawn = {values["model"]: values for values in map(read_json, curves)}
    figures = {values["model"]: values for values in map(read_json, performance)}
    again = f"; {AGAIN}"
    if odd := sorted(tested.keys() ^ drawn.keys()):
        raise UserError(f"metrics and curves are of different models: {listing(odd)} stand in one of them only{again}")
    if odd := sorted(tested.keys() ^ differences["intervals"].keys() - {"champion"}):
        raise UserError(
            f"metrics and intervals are of different models: {listing(odd)} stand in one of them only{again}"
        )
    if receipt["winner"] not in tested:
        raise UserError(f"the selection's winner '{receipt['winner']}' has no metrics{again}")
    if len({(values["rows"], values["defaults"]) for values in tested.values()}) > 1:
        raise UserError(f"the models were not tested on the same rows: their numbers of rows or defaults differ{again}")
    metric = receipt["metric"]
    sign = 1 if metric in LOWER_IS_BETTER else -1
    names = sorted(tested, key=lambda name: (name != receipt["winner"], sign * tested[name][metric], name))
    best = best_values(list(tested.values()))
    return [
        _model(tested[name], drawn[name], figures[name], differences["intervals"][name], best, style)
        for name, style in zip(names, itertools.cycle(line_styles()), strict=False)
    ]


def best_values(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return the best value of each metric that tells any two rows apart."""
    best: dict[str, float] = {}
    for metric in METRICS:
        values = [row[metric] for row in rows]
        if len(set(values)) > 1:
            best[metric] = min(values) if metric in LOWER_IS_BETTER else max(values)
    return best


def confusion(values: dict[str, Any]) -> tuple[int, int, int, int]:
    """Return true and false positives, true and false negatives."""
    return (
        values["true_positives"],
        values["false_positives"],
        values["true_negatives"],
        values["false_negatives"],
    )


def _model(
    values: dict[str, Any],
    curves: dict[str, Any],
    figures: dict[str, Any],
    between: dict[str, Any],
    best: dict[str, float],
    style: dict[str, Any],
) -> dict[str, Any]:
    tp, fp, tn, fn = confusion(values)
    return {
        "name": values["model"],
        "rows": values["rows"],
        "defaults": values["defaults"],
        "cells": [
            {
                "value": values[metric],
                "best": metric in best and values[metric] == best[metric],
                "has_interval": metric in between,
                "interval": between.get(metric),
            }
            for metric in LABELS
        ],
        "values": values,
        "threshold_from": THRESHOLD_FROM.get(values["threshold_method"], values["threshold_method"]),
        "refused_share": (tp + fp) / values["rows"],
        "approved_default_rate": fn / (tn + fn) if tn + fn else None,
        "curves": curves,
        "performance": figures,
        "style": style,
        "calibration": [
            {
                "score": each["mean_score"],
                "rate": each["default_rate"],
                "rows": each["rows"],
                "interval": each["interval"],
            }
            for each in figures["calibration"]["bins"]
        ],
    }


def candidate_table(receipt: dict[str, Any]) -> dict[str, Any]:
    """Return what the choice was made of: the metrics' names, and each candidate's values."""
    candidates = receipt["candidates"]
    first = next(iter(candidates.values()))
    metrics = [key for key in first if key in LABELS]
    return {
        "metrics": metrics,
        "rows": [
            {
                "name": name,
                "values": [values[metric] for metric in metrics],
                "complexity": values["complexity"],
                "passes": values["passes_gates"],
            }
            for name, values in candidates.items()
        ],
    }


# --- tuning ------------------------------------------------------------------------------------------------------


def read_trials(table: Path) -> list[dict[str, str]]:
    """Return the rows of a table of trials, as texts."""
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def tuning_section(found: dict[str, Any], trials: list[dict[str, str]]) -> dict[str, Any]:
    """Return what the page says of one search: the best trials, and the model as its row says it wherever it ranks."""
    columns = list(trials[0])
    shown = trials[:SHOWN_TRIALS] + [row for row in trials[SHOWN_TRIALS:] if row["candidate"] == UNTUNED]
    parameters = columns[columns.index("candidate") + 1 : columns.index("share")]
    return {
        "found": found,
        "parameters": parameters,
        "halving": len({row["share"] for row in trials}) > 1,
        "trials": len(trials),
        "rows": [
            {
                "rank": int(row["rank"]),
                "untuned": row["candidate"] == UNTUNED,
                "parameters": [row[name] for name in parameters],
                "share": float(row["share"]),
                "mean": float(row["mean"]),
                "sd": float(row["sd"]),
            }
            for row in shown
        ],
    }


# --- data and predictions ----------------------------------------------------------------------------------------


def data_section(summary: dict[str, Any]) -> dict[str, Any]:
    """Return the waterfall, the checks of the split, and the missing values."""
    split, rows_in = summary["split"], summary["rows_in"]
    reasons = sorted(summary["rejected_by_reason"].items(), key=lambda item: (-item[1], item[0]))
    # values are counted in clean rows, before duplicates are set aside
    clean = sum(file["rows_out"] for file in summary["files"])
    steps = [
        ("rows in", rows_in, "total"),
        *((f"set aside: {reason}", n, "out") for reason, n in reasons[:SHOWN_REASONS]),
        (f"set aside: {len(reasons) - SHOWN_REASONS} more reasons", sum(n for _, n in reasons[SHOWN_REASONS:]), "out"),
        ("usable", summary["rows_usable"], "total"),
        ("train", split["train"]["rows"], "part"),
        ("test", split["test"]["rows"], "part"),
    ]
    missing = [
        {
            "column": column,
            "present": present,
            "missing": clean - present,
            "share": (clean - present) / clean if clean else 0.0,
            "set": summary["set_to_missing"].get(column, 0),
        }
        for column, present in summary["values_present"].items()
    ]
    return {
        "files": len(summary["files"]),
        "steps": [
            {"label": label, "rows": n, "share": n / rows_in if rows_in else 0.0, "kind": kind}
            for label, n, kind in steps
            if kind != "out" or n
        ],
        "split": split,
        "split_by": SPLIT_BY.get(split["method"], split["method"]),
        "checks": split_checks(split),
        "clean": clean,
        "usable": summary["rows_usable"],
        "missing": sorted(missing, key=lambda row: -row["missing"]),
    }


def split_checks(split: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what was found beside what chance alone would allow: four standard errors."""
    gap = split["default_rate_difference"]
    checks = [("default rate, test less train", gap, 0.0, "default_rate_standard_error", True)]
    if split["test_share_wanted"] is not None:
        wanted = split["test_share_wanted"]
        checks.insert(0, ("share of test rows", split["test_share"], wanted, "test_share_standard_error", False))
    return [
        {
            "what": what,
            "found": found,
            "expected": expected,
            "allowance": STANDARD_ERRORS * split[error],
            "within": abs(found - expected) <= STANDARD_ERRORS * split[error],
            "difference": difference,
        }
        for what, found, expected, error, difference in checks
    ]


def prediction_section(files: list[dict[str, Any]], version: str) -> dict[str, Any]:
    """Return the first files' counts, and all files' totals."""
    counted = ("rows_in", "rows_predicted", "rows_rejected", "refused", "approved")
    return {
        "count": len(files),
        "files": files[:SHOWN_FILES],
        "total": {key: sum(file[key] for file in files) for key in counted},
        "unseen": sum(bool(file["unseen_categories"]) for file in files),
        "other_version": sum(file["model_version"] != version for file in files),
    }


def profile_section(profile: dict[str, Any], labels: dict[str, str]) -> dict[str, Any]:
    """Return each feature's bins in words, by outcome and side, and the segments furthest from the mean."""
    return {
        "features": [
            {
                "name": name,
                "label": labels.get(name, name),
                "bins": feature_bins(about, profile["rows"]),
                **{key: about[key] for key in ("kind", "role", "psi")},
                "mean": about.get("mean"),
            }
            for name, about in profile["features"].items()
        ],
        "default_rate": with_interval(profile["default_rate"]["all"]),
        "segments": [
            {**with_interval(each), "name": f"{labels.get(each['feature'], each['feature'])}: {segment_name(each)}"}
            for each in profile["segments"]
        ],
    }


def feature_bins(about: dict[str, Any], rows: dict[str, int]) -> list[dict[str, Any]]:
    """Return the bins of one feature: name, shares of train and test rows, default rate of all rows."""
    names = [*bin_names(about), "missing"]
    rates = [*about["default_rate"], about["missing_default_rate"]]
    counts = {side: [*about["counts"][side], about["missing"][side]] for side in ("train", "test")}
    return [
        {"name": name, **{side: counts[side][at] / max(rows[side], 1) for side in counts}, **with_interval(rates[at])}
        for at, name in enumerate(names)
        if counts["train"][at] + counts["test"][at]
    ]


def with_interval(rate: dict[str, Any]) -> dict[str, Any]:
    """Return a default rate with its interval in one piece."""
    return {**rate, "interval": (rate["low"], rate["high"])}


def segment_name(segment: dict[str, Any]) -> str:
    """Return a segment in words."""
    if segment.get("missing"):
        return "missing"
    if "value" in segment:
        return str(segment["value"])
    low, high = segment["above"], segment["to"]
    if low is None:
        return f"up to {number(high)}"
    return f"above {number(low)}" if high is None else f"{number(low)}–{number(high)}"


def bin_names(about: dict[str, Any]) -> list[str]:
    """Return the bins of a feature in words.

    >>> bin_names({"kind": "numeric", "edges": [20.0, 30.0]})
    ['up to 20', '20–30', 'above 30']
    """
    if about["kind"] == "categorical":
        return list(about["values"])
    edges = [number(edge) for edge in about["edges"]]
    if not edges:
        return ["all"]
    return [f"up to {edges[0]}", *(f"{a}–{b}" for a, b in itertools.pairwise(edges)), f"above {edges[-1]}"]


def drift_section(files: list[dict[str, Any]], labels: dict[str, str]) -> dict[str, Any]:
    """Return the PSI of each feature and of the score for the files that lie furthest off, in the files' order."""
    counted = [file for file in files if "features" in file["drift"]]
    names = list(counted[0]["drift"]["features"]) if counted else []
    furthest = sorted(counted, key=lambda file: (-_largest(file["drift"]), file["file"]))[:SHOWN_FILES]
    kept = {file["file"] for file in furthest}
    shown = [file for file in files if file["file"] in kept or "features" not in file["drift"]][:SHOWN_FILES]
    reasons = sorted({file["drift"]["not_run"] for file in files if "features" not in file["drift"]})
    return {
        "count": len(files),
        "names": [labels.get(name, name) for name in names] + ["the score"] if names else [],
        "files": [_drift_row(file, names) for file in shown] if counted else [],
        "not_run": f"Not run: {'; '.join(reasons) or 'no application files were scored'}.",
    }


def _largest(drift: dict[str, Any]) -> float:
    return max((each["psi"] or 0.0) for each in [*drift["features"].values(), drift["score"]])


def _drift_row(file: dict[str, Any], names: list[str]) -> dict[str, Any]:
    drift = file["drift"]
    if "features" not in drift:
        return {"file": file["file"], "not_run": drift["not_run"]}
    found = [*(drift["features"].get(name) for name in names), drift["score"]]
    return {
        "file": file["file"],
        "not_run": None,
        "rows": drift["score"]["rows"],
        "cells": [
            None
            if each is None or each["psi"] is None
            else {**each, "beyond": each["status"] != "stable" and not each["noise"]}
            for each in found
        ],
    }


def drivers_section(drivers: dict[str, Any], labels: dict[str, str]) -> dict[str, Any]:
    """Return importance, dependence (numbers with their chart, categories with their points), coefficients and tree."""
    importance = drivers["importance"]
    most = max((each["value"] or 0.0 for each in importance), default=0.0)
    curves = [
        {**each, "label": labels.get(each["feature"], each["feature"])}
        for each in drivers["dependence"]
        if each["points"]
    ]
    numeric = [each for each in curves if each["kind"] == "number"]
    linear, tree = perhaps_run(drivers["linear"]), perhaps_run(drivers["tree"])
    shown = [each for each in linear.get("coefficients", []) if each["read_alone"]]
    return {
        "rows": drivers["rows"],
        "defaults": drivers["defaults"],
        "repeats": importance[0]["repeats"] if importance else 0,
        "importance": [
            {
                **each,
                "label": labels.get(each["feature"], each["feature"]),
                "width": 100 * max(0.0, each["value"] or 0.0) / most if most > 0 else 0.0,
            }
            for each in importance
        ],
        "dependence_rows": curves[0]["rows"] if curves else 0,
        "numeric": [{**each, "chart": chart} for each, chart in zip(numeric, draw_dependences(numeric), strict=True)],
        "categorical": [each for each in curves if each["kind"] == "category"],
        "linear": linear,
        "terms": shown,
        "splines": len(linear.get("coefficients", [])) - len(shown),
        "tree": tree,
        "root": branch_of(tree) if tree["not_run"] is None else None,
    }


def branch_of(tree: dict[str, Any], node: int = 0, test: str = "all train rows") -> dict[str, Any]:
    """Return a node of a drawn tree with its children below it, and what leads to each."""
    about = next(each for each in tree["nodes"] if each["id"] == node)
    children = []
    if "question" in about:
        for answer in ("yes", "no"):
            gets = ", or it is missing" if about.get("missing") == about[answer] else ""
            said = about["question"] if answer == "yes" else f"not: {about['question']}"
            children.append(branch_of(tree, about[answer], said + gets))
    return {"test": test, "rate": about["rate"], "rows": about["rows"], "more": about["more"], "children": children}


def fairness_section(fairness: dict[str, Any], labels: dict[str, str]) -> dict[str, Any]:
    """Return the divisions with the name and label of each; or not_run."""
    if fairness.get("not_run"):
        return {"not_run": fairness["not_run"]}
    return {
        "not_run": None,
        "note": fairness["note"],
        "divisions": [
            {
                **each,
                "name": name,
                "label": name if labels.get(each["column"]) in {name, None} else f"{name} ({labels[each['column']]})",
            }
            for name, each in fairness["groups"].items()
        ],
    }


def perhaps_run(found: dict[str, Any]) -> dict[str, Any]:
    """Return what was found, where `not_run` is None unless it is a reason."""
    return {"not_run": None} | found


def sensitivity_section(found: dict[str, Any]) -> dict[str, Any]:
    """Return what small changes do, and how steady the reasons are."""
    return {
        "rows": found["rows"],
        "changes": changes(found),
        "reasons": perhaps_run(found["reasons"]),
        "notices": found["notices"],
    }


def screen_section(screens: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a row for each model and set of columns that it was tried without, and why others weren't tried."""
    rows = []
    for found in screens:
        if found.get("not_run"):
            continue
        rows.append({key: found[key] for key in ("model", "columns", "with", "without", "difference")})
        if "both" in found:
            rows.append({"model": found["model"], "with": found["with"], **found["both"]})
    return {
        "rows": rows,
        "not_run": [(found["model"], found["not_run"]) for found in screens if found.get("not_run")],
    }
