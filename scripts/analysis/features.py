"""What each feature does for a model's scores: permutation importance and partial dependence, through its scorer."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import rankdata

from scripts.analysis.intervals import Floats, Target, mean_of_placements, placements
from scripts.shared.arrays import numbers
from scripts.shared.config import Contract
from scripts.shared.expressions import checked
from scripts.shared.hashing import key_to_seed
from scripts.shared.membership import numbers_of
from scripts.shared.scoring import Scorer
from scripts.shared.statistics import Z

REPEATS = 10
GRID = 20  # between quantiles: the smallest and the largest value are some applicant's own
MOST_CATEGORIES = 30
RARE = 20  # rows: of fewer, a category's point would be about some applicants
CLEAR = 0.8  # a rank correlation from which on a feature is said to raise or lower the score


def generator(seed: int, *names: str) -> np.random.Generator:
    """Return a generator that depends on the seed and on names, and not on what was drawn before."""
    return np.random.default_rng(int(key_to_seed("/".join([str(seed), *names]))))


def sources_of(contract: Contract) -> dict[str, list[str]]:
    """Return the given columns that each derived feature is computed from."""
    given = tuple(contract.columns.numeric), tuple(contract.columns.categorical)
    return {name: checked(text, f"features.{name}", *given).columns for name, text in contract.features.items()}


def replaced(table: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Return a table with another column in place of one."""
    return table.set_column(table.column_names.index(name), name, values)


def permutation_importance(
    scorer: Scorer, table: pa.Table, target: Target, features: Sequence[str], seed: int, repeats: int = REPEATS
) -> list[dict[str, Any]]:
    """Return for each feature how far the area under the ROC curve drops when its values are shuffled, highest first.

    Breiman, L. (2001). Random forests. Machine Learning 45(1), 5-32. Only the feature itself is shuffled: what is
    derived from it stays, so that importance is shared with those.

    Parameters
    ----------
    scorer
        Of the model.
    table, target
        Test rows, shape (rows,).
    features
        The model's features.
    seed
        Each feature's shuffles depend on it and on the feature's name alone.
    repeats
        Shuffles of each feature.

    Returns
    -------
    list
        `feature`, `value` (mean drop), `low` and `high` (95 %: DeLong's variance of the mean difference over rows, and
        that of the shuffles), `sd` over the shuffles, `rows`, `repeats`.
    """
    base = placements(target, scorer.score(table))
    if not len(base[0]) or not len(base[1]):
        none = {"value": None, "low": None, "high": None, "sd": None, "rows": table.num_rows, "repeats": repeats}
        return [{"feature": name} | none for name in features]
    found = []
    for name in features:
        random = generator(seed, "permutation", name)
        drops, mean_bad, mean_good = [], np.zeros(len(base[0])), np.zeros(len(base[1]))
        for _ in range(repeats):
            shuffled = replaced(table, name, table.column(name).take(pa.array(random.permutation(table.num_rows))))
            of_bad, of_good = placements(target, scorer.score(shuffled))
            drops.append(float(base[0].mean() - of_bad.mean()))
            mean_bad += (base[0] - of_bad) / repeats
            mean_good += (base[1] - of_good) / repeats
        sd = float(np.std(drops, ddof=1))
        about = mean_of_placements(mean_bad, mean_good, sd * sd / repeats)
        found.append({"feature": name, **about, "sd": sd, "rows": table.num_rows, "repeats": repeats})
    return sorted(found, key=lambda one: (-one["value"], one["feature"]))


def partial_dependence(scorer: Scorer, table: pa.Table, name: str) -> dict[str, Any]:
    """Return the mean score over all rows when a feature is set to each of some values.

    Friedman, J. H. (2001). Greedy function approximation: a gradient boosting machine. Annals of Statistics 29(5),
    1189-1232. Other features, derived ones too, stay as they are.

    Parameters
    ----------
    scorer
        Of the model.
    table
        Test rows.
    name
        The feature: float64, or a dictionary of string.

    Returns
    -------
    dict
        `points`: `at` (a number at quantiles of the rows, or a category), `mean`, `low` and `high` (95 %, from the
        spread of the rows' scores), `share` of the rows nearest to it; `missing`, the same for a missing value, None
        where no row has one; `rows`; `spearman` of values and means, and `direction` (rises, falls, mixed, flat), which
        categories have not; `left_out`, the number of rarer categories without a point.
    """
    numeric = pa.types.is_floating(table.schema.field(name).type)
    about = _of_numbers(scorer, table, name) if numeric else _of_categories(scorer, table, name)
    absent = table.column(name).null_count
    missing = None
    if absent:
        empty = pa.nulls(table.num_rows, table.schema.field(name).type)
        missing = _point(None, scorer.score(replaced(table, name, empty)), absent / table.num_rows)
    return {"feature": name, "kind": "number" if numeric else "category", **about, "missing": missing} | {
        "rows": table.num_rows
    }


def _of_numbers(scorer: Scorer, table: pa.Table, name: str) -> dict[str, Any]:
    values = numbers_of(table, name)
    values = values[~np.isnan(values)]
    if not len(values):
        return {"points": [], "spearman": None, "direction": "flat", "left_out": 0}
    grid = np.unique(np.quantile(values, np.linspace(0.02, 0.98, GRID), method="inverted_cdf"))
    nearest = np.searchsorted((grid[:-1] + grid[1:]) / 2, values)
    shares = np.bincount(nearest, minlength=len(grid)) / table.num_rows
    points = [
        _point(at, scorer.score(replaced(table, name, numbers(np.full(table.num_rows, at)))), near)
        for at, near in zip(grid.tolist(), shares.tolist(), strict=True)
    ]
    means = np.array([point["mean"] for point in points])
    spearman = rank_correlation(grid, means)
    return {"points": points, "spearman": spearman, "direction": direction(spearman), "left_out": 0}


def _of_categories(scorer: Scorer, table: pa.Table, name: str) -> dict[str, Any]:
    counted = pc.value_counts(table.column(name).cast(pa.string()).combine_chunks().drop_null()).to_pylist()
    counted.sort(key=lambda one: (-one["counts"], one["values"]))
    points = []
    shown = [one for one in counted[:MOST_CATEGORIES] if one["counts"] >= RARE]
    for one in shown:
        codes = numbers(np.zeros(table.num_rows, np.int32))
        column = pa.DictionaryArray.from_arrays(codes, pa.array([one["values"]], pa.string()))
        points.append(
            _point(one["values"], scorer.score(replaced(table, name, column)), one["counts"] / table.num_rows)
        )
    return {
        "points": points,
        "spearman": None,
        "direction": None,
        "left_out": len(counted) - len(shown),
    }


def _point(at: float | str | None, scores: Floats, near: float) -> dict[str, Any]:
    mean, half = float(scores.mean()), Z * float(scores.std(ddof=1)) / np.sqrt(len(scores))
    return {"at": at, "mean": mean, "low": float(mean - half), "high": float(mean + half), "share": near}


def rank_correlation(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> float | None:
    """Return Spearman's rank correlation of two arrays of the same shape (n,), None where either doesn't vary."""
    if len(np.unique(x)) < 2 or len(np.unique(y)) < 2:
        return None
    return float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])


def direction(spearman: float | None) -> str:
    """Return what a rank correlation says of a feature: rises, falls, mixed or flat.

    >>> direction(1.0), direction(-0.9), direction(0.3), direction(None)
    ('rises', 'falls', 'mixed', 'flat')
    """
    if spearman is None:
        return "flat"
    return "rises" if spearman >= CLEAR else "falls" if spearman <= -CLEAR else "mixed"


def rederived(table: pa.Table, contract: Contract) -> pa.Table:
    """Return a table whose derived features follow from its given columns, as cleaning computes them."""
    given = tuple(contract.columns.numeric), tuple(contract.columns.categorical)
    columns = {name: table.column(name).combine_chunks() for name in contract.columns.features()}

    def put(rows: pa.Table, item: tuple[str, str]) -> pa.Table:
        name, text = item
        return replaced(rows, name, checked(text, f"features.{name}", *given).numbers(columns))

    return functools.reduce(put, contract.features.items(), table)
