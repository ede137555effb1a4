"""Step report: one page for people that opens offline, is printable, and holds no applicant's row.

Charts hold no text from the data: names stand in the HTML around them, where they wrap and are escaped, and where `$`
or a leading `_` means nothing to matplotlib.
"""

import csv
import io
import itertools
import logging
import math
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.style
import matplotlib.ticker
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scripts.shared.config import LOWER_IS_BETTER, METRICS
from scripts.shared.errors import UserError, listing
from scripts.shared.files import read_json, write_text
from scripts.shared.search import UNTUNED

Interval = tuple[float, float]

TEMPLATES = Path(__file__).resolve().parents[1] / "workflow" / "report"
Z = statistics.NormalDist().inv_cdf(0.975)  # both sides together: 95 %
STANDARD_ERRORS = 4.0  # the same allowance as in split
SHOWN_FILES = 50
SHOWN_REASONS = 30
SHOWN_TRIALS = 10
SHOWN_MODELS = 12  # in charts; more can't be told apart, and each takes some 20 kB

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

COLOURS = ("#174a7e", "#c2501a", "#2a7a4b", "#8a3f86", "#5f6b76", "#9a7400", "#007f8c", "#a12c47")
DASHES = ((), (6.0, 2.0), (2.0, 1.5), (7.0, 2.0, 1.5, 2.0), (4.0, 1.5, 1.5, 1.5, 1.5, 1.5))
DEFAULTED, OTHERS, FAINT = "#b3421a", "#174a7e", "#8b949d"
STYLE = {
    "svg.fonttype": "none",  # text stays text: small, searchable, readable aloud
    "svg.hashsalt": "report",
    "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib, so that all machines lay out alike
    "font.size": 8.5,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": "#3a4148",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e7ea",
    "grid.linewidth": 0.6,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": "#3a4148",
    "ytick.labelcolor": "#3a4148",
    "xtick.major.size": 3,
    "ytick.major.size": 3,
}
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
LARGE, SMALL = (4.5, 3.8), (3.6, 3.1)  # inches; half and a third of the page: letters come out alike
SCORE = "predicted probability of default"


def main(
    summary: Path,
    metrics: list[Path],
    curves: list[Path],
    tuned: list[Path],
    trials: list[Path],
    receipt: Path,
    predictions: list[Path],
    page: Path,
) -> None:
    """Write the report.

    Parameters
    ----------
    summary
        What split wrote: the row waterfall and the split.
    metrics, curves
        What evaluate wrote, one of each a model.
    tuned, trials
        What gather wrote, one of each a model that was tuned. May be none.
    receipt
        What select wrote: the winner and why.
    predictions
        What predict wrote beside each file's predictions: the counts. May be none.
    page
        One HTML file without scripts or references; the same inputs give the same bytes.

    Raises
    ------
    UserError
        Where the files don't belong to one run.
    """
    chosen = read_json(receipt)
    models = read_models(metrics, curves, chosen)
    html = render(
        {
            "receipt": chosen,
            "models": models,
            "candidates": candidate_table(chosen),
            "charts": draw_charts(models[:SHOWN_MODELS]),
            "tuning": [
                tuning_section(read_json(found), read_trials(table)) for found, table in zip(tuned, trials, strict=True)
            ],
            "data": data_section(read_json(summary)),
            "predictions": prediction_section([read_json(path) for path in predictions], chosen["version"]),
        }
    )
    write_text(page, html)
    logging.info("%s: %d models, %d application files, %.0f kB", page, len(models), len(predictions), len(html) / 1000)


# --- intervals ---------------------------------------------------------------------------------------------------


def wilson_interval(successes: int, trials: int) -> Interval | None:
    """Return the 95 % interval of a share, or None of no trials.

    Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference. Journal of the American
    Statistical Association 22(158), 209-212.

    >>> low, high = wilson_interval(0, 10)
    >>> round(low, 4), round(high, 4)
    (0.0, 0.2775)
    """
    if not trials:
        return None
    share, square = successes / trials, Z * Z / trials
    centre = (share + square / 2) / (1 + square)
    half = Z * math.sqrt(share * (1 - share) / trials + square / (4 * trials)) / (1 + square)
    return max(0.0, centre - half), min(1.0, centre + half)


def auc_interval(auc: float, positives: int, negatives: int) -> Interval | None:
    """Return the 95 % interval of an area under the ROC curve; None where the formula gives an error of nothing.

    That is so for areas of 0 and 1, where an interval without width would claim certainty.

    Hanley, J. A. and McNeil, B. J. (1982). The meaning and use of the area under a receiver operating characteristic
    (ROC) curve. Radiology 143(1), 29-36, doi:10.1148/radiology.143.1.7063747.

    Parameters
    ----------
    auc
        The area A.
    positives, negatives
        Defaults and others among the rows.
    """
    if auc in {0.0, 1.0} or not positives or not negatives:
        return None
    two_positives = auc / (2 - auc)
    two_negatives = 2 * auc * auc / (1 + auc)
    variance = (
        auc * (1 - auc) + (positives - 1) * (two_positives - auc * auc) + (negatives - 1) * (two_negatives - auc * auc)
    ) / (positives * negatives)
    half = Z * math.sqrt(variance)
    return max(0.0, auc - half), min(1.0, auc + half)


# --- models ------------------------------------------------------------------------------------------------------


def read_models(metrics: list[Path], curves: list[Path], receipt: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all models with what the page says about them: the winner first, then by the metric of the choice.

    Raises
    ------
    UserError
        Where the files don't belong to one run.
    """
    tested = {values["model"]: values for values in map(read_json, metrics)}
    drawn = {values["model"]: values for values in map(read_json, curves)}
    again = "; delete results/metrics and results/selection.json and run again"
    if odd := sorted(tested.keys() ^ drawn.keys()):
        raise UserError(f"metrics and curves are of different models: {listing(odd)} stand in one of them only{again}")
    if receipt["winner"] not in tested:
        raise UserError(f"the selection's winner '{receipt['winner']}' has no metrics{again}")
    if len({(values["rows"], values["defaults"]) for values in tested.values()}) > 1:
        raise UserError(f"the models were not tested on the same rows: their numbers of rows or defaults differ{again}")
    metric = receipt["metric"]
    sign = 1 if metric in LOWER_IS_BETTER else -1
    names = sorted(tested, key=lambda name: (name != receipt["winner"], sign * tested[name][metric], name))
    best = best_values(list(tested.values()))
    return [
        _model(tested[name], drawn[name], best, style)
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


def line_styles() -> list[dict[str, Any]]:
    """Return styles that differ in dashes too, for whoever sees or prints no colours; solid blue is the winner's."""
    return [
        {"colour": COLOURS[i % len(COLOURS)], "dashes": DASHES[i % len(DASHES)]}
        for i in range(len(COLOURS) * len(DASHES))
    ]


def intervals(values: dict[str, Any]) -> dict[str, Interval | None]:
    """Return the 95 % intervals of a model's metrics, those that have one."""
    tp, fp, tn, fn = confusion(values)
    return {
        "roc_auc": auc_interval(values["roc_auc"], tp + fn, tn + fp),
        "accuracy": wilson_interval(tp + tn, tp + fp + tn + fn),
        "precision": wilson_interval(tp, tp + fp),
        "recall": wilson_interval(tp, tp + fn),
    }


def confusion(values: dict[str, Any]) -> tuple[int, int, int, int]:
    """Return true and false positives, true and false negatives."""
    return (
        values["true_positives"],
        values["false_positives"],
        values["true_negatives"],
        values["false_negatives"],
    )


def _model(
    values: dict[str, Any], curves: dict[str, Any], best: dict[str, float], style: dict[str, Any]
) -> dict[str, Any]:
    tp, fp, tn, fn = confusion(values)
    between = intervals(values)
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
        "style": style,
        "calibration": calibration_table(curves["calibration"]),
    }


def calibration_table(calibration: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Return the bins of a calibration with their intervals."""
    rows = zip(calibration["mean_score"], calibration["default_rate"], calibration["rows"], strict=True)
    return [
        {"score": score, "rate": rate, "rows": n, "interval": wilson_interval(round(rate * n), n)}
        for score, rate, n in rows
    ]


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


# --- charts ------------------------------------------------------------------------------------------------------


def draw_charts(models: list[dict[str, Any]]) -> dict[str, Any]:
    """Return all charts as SVG: two with all models in them, and three for each model."""
    names = listing((model["name"] for model in models), limit=SHOWN_MODELS)
    n = f"{models[0]['rows']:,} test rows, {models[0]['defaults']:,} defaults"
    with matplotlib.style.context(["default", STYLE]):  # whatever the machine's matplotlibrc says
        return {
            "roc": to_svg(draw_roc(models), "roc", "ROC curves", f"{names}; {n}"),
            "precision_recall": to_svg(draw_precision_recall(models), "pr", "Precision-recall curves", f"{names}; {n}"),
            "calibration": _panels(models, "calibration", "Calibration", draw_calibration, n),
            "ks": _panels(models, "ks", "Cumulative scores", draw_ks, n),
            "distribution": _panels(models, "scores", "Scores by outcome", draw_distribution, n),
        }


def _panels(
    models: list[dict[str, Any]], name: str, title: str, draw: Callable[[dict[str, Any]], Figure], n: str
) -> list[Markup]:
    return [
        to_svg(draw(model), f"{name}-{index}", f"{title}, {model['name']}", n)
        for index, model in enumerate(models, start=1)
    ]


def draw_roc(models: list[dict[str, Any]]) -> Figure:
    """Draw true against false positives of all models."""
    figure, axes = _square(LARGE)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=(0, (1, 2)))
    for model in reversed(models):  # the winner on top
        roc = model["curves"]["roc"]
        axes.plot(roc["fpr"], roc["tpr"], **_line(model, models))
    axes.set(xlabel="share of non-defaults refused", ylabel="share of defaults refused (recall)")
    return figure


def draw_precision_recall(models: list[dict[str, Any]]) -> Figure:
    """Draw precision against recall of all models, as steps: between two thresholds lies no straight line."""
    figure, axes = _square(LARGE)
    share = models[0]["defaults"] / models[0]["rows"]
    axes.axhline(share, color=FAINT, linewidth=0.8, linestyle=(0, (1, 2)))
    for model in reversed(models):
        curve = model["curves"]["precision_recall"]
        axes.plot(curve["recall"], curve["precision"], drawstyle="steps-pre", **_line(model, models))
    axes.set(xlabel="share of defaults refused (recall)", ylabel="share of refused that default (precision)")
    return figure


def draw_calibration(model: dict[str, Any]) -> Figure:
    """Draw observed default rates against predicted ones, with intervals."""
    figure, axes = _square(SMALL)
    bins = model["calibration"]
    score, rate = np.array([b["score"] for b in bins]), np.array([b["rate"] for b in bins])
    low, high = np.array([b["interval"] for b in bins]).T
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=(0, (1, 2)))
    axes.fill_between(score, low, high, color=OTHERS, alpha=0.15, linewidth=0)
    axes.vlines(score, low, high, color=OTHERS, linewidth=1)
    axes.plot(score, rate, color=OTHERS, marker="o", markersize=3.5, linewidth=1)
    axes.set(xlabel=f"mean {SCORE}", ylabel="observed default rate")
    return figure


def draw_ks(model: dict[str, Any]) -> Figure:
    """Draw both outcomes' cumulative scores, and the largest gap between them."""
    figure, axes = _square(SMALL)
    edges, defaults, others = cumulative(model["curves"]["histogram"])
    axes.plot(edges, others, color=OTHERS, linewidth=1.5)
    axes.plot(edges, defaults, color=DEFAULTED, linewidth=1.5, linestyle=(0, (6, 2)))
    widest = int(np.argmax(others - defaults))
    axes.plot(
        [edges[widest]] * 2,
        [defaults[widest], others[widest]],
        color="#3a4148",
        linewidth=1,
        marker="_",
        markersize=7,
    )
    axes.set(xlabel=SCORE, ylabel="share of rows up to this score")
    return figure


def cumulative(histogram: dict[str, list[Any]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a histogram's edges, and the shares of defaults and of others below each."""
    defaults, others = (np.cumsum([0, *histogram[key]]) for key in ("defaults", "others"))
    return np.array(histogram["edges"]), defaults / max(defaults[-1], 1), others / max(others[-1], 1)


def draw_distribution(model: dict[str, Any]) -> Figure:
    """Draw the rows by score, each outcome on its own scale: there are many fewer defaults."""
    figure = Figure(figsize=SMALL, layout="constrained")
    histogram = model["curves"]["histogram"]
    above, below = figure.subplots(2, 1, sharex=True)
    for axes, key, colour, label in (
        (above, "others", OTHERS, "did not default"),
        (below, "defaults", DEFAULTED, "defaulted"),
    ):
        axes.stairs(histogram[key], histogram["edges"], fill=True, color=colour, alpha=0.75)
        axes.axvline(model["values"]["threshold"], color="#3a4148", linewidth=0.9, linestyle=(0, (4, 2)))
        axes.set_title(f"{label}: {sum(histogram[key]):,} rows", loc="left", fontsize=8.5, color=colour)
        axes.set_ylabel("rows")
        axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4, integer=True))
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlim(0, 1)
    below.set_xlabel(SCORE)
    return figure


def _square(size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    return figure, axes


def _line(model: dict[str, Any], models: list[dict[str, Any]]) -> dict[str, Any]:
    style = model["style"]
    return {
        "color": style["colour"],
        "linestyle": (0, style["dashes"]) if style["dashes"] else "-",
        "linewidth": 1.9 if model is models[0] else 1.2,
    }


# --- SVG and HTML ------------------------------------------------------------------------------------------------


def to_svg(figure: Figure, name: str, title: str, description: str) -> Markup:
    """Return a figure as SVG to stand in HTML.

    matplotlib numbers the elements of each figure from 1, so the ids that are referred to get the figure's name, and
    the rest of them go; digits that no eye sees go too.

    Parameters
    ----------
    figure
        With no text in it that comes from outside.
    name
        Unique in the page.
    title, description
        For those who don't see it; escaped here.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata=NO_METADATA)
    whole = buffer.getvalue().decode()
    box = re.search(r'viewBox="([^"]+)"', whole)
    start = re.search(r"<svg[^>]*>", whole)
    if box is None or start is None:
        raise AssertionError("matplotlib wrote an SVG without a viewBox")
    body = re.sub(r"<style.*?</style>|<metadata.*?</metadata>|<!--.*?-->", "", whole[start.end() :], flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', body))
    body = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", body)
    body = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", body).replace("xlink:href=", "href=")
    body = re.sub(r'\b(?:d|x|y|transform)="[^"]*"', lambda m: _rounded(m[0]), body)
    body = re.sub(r">\s+<", "><", body).replace("<defs></defs>", "").replace("<defs/>", "")
    return Markup(  # noqa: S704 - matplotlib's own output, and escaped texts
        f'<svg class="chart" viewBox="{box[1]}" role="img" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>{body}'
    )


def _rounded(text: str) -> str:
    return re.sub(r"-?\d+\.\d{3,}", lambda m: f"{float(m[0]):.2f}", text)


def render(context: dict[str, Any]) -> str:
    """Return the page of a context; all texts in it are escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"count": _count, "percent": _percent, "signed_points": _points, "interval": _interval}
    shared = {
        "labels": LABELS,
        "chosen_on": CHOSEN_ON,
        "shown_files": SHOWN_FILES,
        "shown_models": SHOWN_MODELS,
        "cumulative_gap": drawn_gap,
    }
    return environment.get_template("report.html.j2").render(shared | context)


def drawn_gap(model: dict[str, Any]) -> float:
    """Return the score at which a model's two groups stand farthest apart, as drawn."""
    edges, defaults, others = cumulative(model["curves"]["histogram"])
    return float(edges[np.argmax(others - defaults)])


def _count(number: int) -> str:
    return f"{number:,}"


def _percent(share: float, digits: int = 1) -> str:
    text = f"{100 * share:.{digits}f}"
    smallest = 10.0**-digits
    if share > 0 and float(text) == 0:  # a few of many are not none
        text = f"<{smallest:.{digits}f}"
    elif share < 1 and float(text) == 100:
        text = f">{100 - smallest:.{digits}f}"
    return f"{text}\u00a0%"


def _points(share: float) -> str:
    return f"{100 * share:+.2f}".replace("-", "\u2212") + "\u00a0pp"


def _interval(interval: Interval, digits: int = 3) -> str:
    return f"{interval[0]:.{digits}f}\u2013{interval[1]:.{digits}f}"
