"""What drift is measured against. It travels with each version of a model, as `reference.json`."""

from typing import Any

import numpy as np

from scripts.shared.binning import Floats, count_numbers, inner_edges, ranks_of_tenths


def make_reference(profile: dict[str, Any], card: dict[str, Any], scores: Floats) -> dict[str, Any]:
    """Return a model's reference.

    Parameters
    ----------
    profile
        As the step `profile_data` writes it; the train rows count.
    card
        The model's card: its features alone are kept.
    scores
        Shape (test rows,): the model's scores of the test rows. Those of train rows would be too sure.

    Returns
    -------
    dict
        features: for each its kind, `edges` or `values`, the counts of train rows in each bin, and without a value;
        score: edges and counts of the test rows, in tenths.
    """
    names = [*card["features"]["numeric"], *card["features"]["categorical"]]
    return {
        "features": {name: _of_feature(profile["features"][name]) for name in names},
        "score": score_bins(scores),
    }


def _of_feature(found: dict[str, Any]) -> dict[str, Any]:
    bins = "edges" if found["kind"] == "numeric" else "values"
    return {
        "kind": found["kind"],
        bins: found[bins],
        "counts": found["counts"]["train"],
        "missing": found["missing"]["train"],
    }


def score_bins(scores: Floats) -> dict[str, Any]:
    """Return the edges between the tenths of some scores, and the rows in each; equal scores are not parted."""
    ordered = np.sort(scores)
    edges = inner_edges(ordered[ranks_of_tenths(len(ordered))], float(ordered[-1]))
    return {"edges": edges, "counts": count_numbers(ordered, edges)[0].tolist()}
