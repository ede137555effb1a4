"""The report's charts, as SVG that stands in HTML.

Charts hold no text from the data: names stand in the HTML around them, where they wrap and are escaped, and where `$`
or a leading `_` means nothing to matplotlib.
"""

import io
import re
from collections.abc import Callable
from typing import Any

import matplotlib.style
import matplotlib.ticker
import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scripts.shared.errors import listing

SHOWN_MODELS = 12  # in charts; more can't be told apart, and each takes some 20 kB
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


def line_styles() -> list[dict[str, Any]]:
    """Return styles that differ in dashes too, for whoever sees or prints no colours; solid blue is the winner's."""
    return [
        {"colour": COLOURS[i % len(COLOURS)], "dashes": DASHES[i % len(DASHES)]}
        for i in range(len(COLOURS) * len(DASHES))
    ]


def draw_charts(models: list[dict[str, Any]]) -> dict[str, Any]:
    """Return all charts as SVG: two with all models in them, and three for each model."""
    names = listing((model["name"] for model in models), limit=SHOWN_MODELS)
    n = f"{models[0]['rows']:,} test rows, {models[0]['defaults']:,} defaults"
    with matplotlib.style.context(["default", STYLE]):  # whatever the machine's matplotlibrc says
        return {
            "roc": to_svg(draw_roc(models), "roc", "ROC curves", f"{names}; {n}"),
            "precision_recall": to_svg(draw_precision_recall(models), "pr", "Precision-recall curves", f"{names}; {n}"),
            "gains": to_svg(draw_gains(models), "gains", "Gains", f"{names}; {n}"),
            "lift": to_svg(draw_lift(models[0]), "lift", f"Lift by tenth, {models[0]['name']}", n),
            "costs": to_svg(draw_costs(models), "costs", "Cost by threshold", f"{names}; {n}"),
            "calibration": _panels(models, "calibration", "Calibration", draw_calibration, n),
            "ks": _panels(models, "ks", "Cumulative scores", draw_ks, n),
            "distribution": _panels(models, "scores", "Scores by outcome", draw_distribution, n),
        }


def draw_dependences(features: list[dict[str, Any]]) -> list[Markup]:
    """Return the partial dependence of numeric features as SVG."""
    with matplotlib.style.context(["default", STYLE]):
        return [
            to_svg(
                draw_dependence(each),
                f"pd-{index}",
                f"Partial dependence, {each['feature']}",
                f"{each['rows']:,} test rows",
            )
            for index, each in enumerate(features, start=1)
        ]


def _panels(
    models: list[dict[str, Any]], name: str, title: str, draw: Callable[[dict[str, Any]], Figure], n: str
) -> list[Markup]:
    return [
        to_svg(draw(model), f"{name}-{index}", f"{title}, {model['name']}", n)
        for index, model in enumerate(models, start=1)
    ]


def draw_gains(models: list[dict[str, Any]]) -> Figure:
    """Draw the share of defaults among the riskiest rows, of all models."""
    figure, axes = _square(LARGE)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=(0, (1, 2)))
    for model in reversed(models):
        gains = model["performance"]["gains"]
        axes.plot(gains["rows_share"], gains["defaults_share"], **_line(model, models))
    axes.set(xlabel="share of applications, riskiest first", ylabel="share of all defaults among them")
    return figure


def draw_costs(models: list[dict[str, Any]]) -> Figure:
    """Draw the cost per row over thresholds of all models, the winner's with its band and its threshold."""
    figure = Figure(figsize=LARGE, layout="constrained")
    axes = figure.add_subplot()
    curve = models[0]["performance"]["cost_curve"]
    axes.fill_between(curve["threshold"], curve["low"], curve["high"], color=OTHERS, alpha=0.15, linewidth=0)
    for model in reversed(models):
        curve = model["performance"]["cost_curve"]
        axes.plot(curve["threshold"], curve["cost"], **_line(model, models))
    axes.axvline(models[0]["values"]["threshold"], color="#3a4148", linewidth=0.9, linestyle=(0, (4, 2)))
    axes.set(xlim=(0, 1), xlabel="threshold", ylabel="cost per application")
    axes.set_ylim(bottom=0)
    return figure


def draw_lift(model: dict[str, Any]) -> Figure:
    """Draw the default rate of each tenth of the scores over that of all, with intervals, riskiest first."""
    figure = Figure(figsize=LARGE, layout="constrained")
    axes = figure.add_subplot()
    tenths = model["performance"]["deciles"]
    place = np.array([each["decile"] for each in tenths])
    lift = np.array([each["lift"] for each in tenths])
    low, high = np.array([each["lift_interval"] or (each["lift"],) * 2 for each in tenths]).T
    axes.axhline(1, color=FAINT, linewidth=0.8, linestyle=(0, (1, 2)))
    axes.bar(place, lift, width=0.7, color=OTHERS, alpha=0.3)
    axes.vlines(place, low, high, color=OTHERS, linewidth=1.2)
    axes.plot(place, lift, color=OTHERS, marker="o", markersize=3, linewidth=0)
    axes.set(xlabel="tenth of the scores, riskiest first", ylabel="lift: default rate over that of all")
    axes.xaxis.set_major_locator(matplotlib.ticker.MultipleLocator(1))
    return figure


def draw_dependence(feature: dict[str, Any]) -> Figure:
    """Draw the mean score of the sample as a numeric feature takes each value of a grid, with its interval."""
    figure = Figure(figsize=SMALL, layout="constrained")
    axes = figure.add_subplot()
    points = feature["points"]
    grid, mean, low, high = (np.array([point[key] for point in points]) for key in ("at", "mean", "low", "high"))
    axes.fill_between(grid, low, high, color=OTHERS, alpha=0.2, linewidth=0)
    axes.plot(grid, mean, color=OTHERS, marker="o", markersize=2.5, linewidth=1.2)
    axes.set(xlabel="value", ylabel=f"mean {SCORE}")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(5))
    return figure


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


def drawn_gap(model: dict[str, Any]) -> float:
    """Return the score at which a model's two groups stand farthest apart, as drawn."""
    edges, defaults, others = cumulative(model["curves"]["histogram"])
    return float(edges[np.argmax(others - defaults)])


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
