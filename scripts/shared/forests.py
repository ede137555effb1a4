"""Fitted trees of any library in one form: which way a value goes at a node is decided as the library itself decides.

The rules were read from the libraries' sources: scikit-learn's ``_tree.pyx`` and ``_predictor.pyx``, LightGBM's
``tree.h``. shap reads numeric thresholds of HistGradientBoosting alone, so that native categories come out wrong there.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Scale = str

LOG_ODDS, PROBABILITY = "log-odds", "probability"
LIGHTGBM_ZERO = 1e-35  # what LightGBM takes as zero, where zero means missing
FIELDS = ("column", "threshold", "missing_left", "zero_is_missing", "category", "left", "right", "value")


@dataclass(frozen=True)
class Forest:
    """Trees whose leaves add up, one after the other in arrays by node.

    Attributes
    ----------
    column
        Shape (nodes,), int64: the matrix's column that a node asks, -1 at a leaf.
    threshold
        Shape (nodes,): numbers up to it go left.
    missing_left
        Shape (nodes,): whether a missing value goes left, or a category that has no place in the node's set.
    zero_is_missing
        Shape (nodes,): whether zero counts as missing.
    category
        Shape (nodes,), int64: the node's row in `sets`, -1 where it asks a number.
    sets
        Shape (categorical nodes, codes): whether the category with this code goes left.
    left, right
        Shape (nodes,), int64: the nodes below.
    value
        Shape (nodes,): what a leaf adds.
    roots
        Shape (trees,), int64.
    constant
        What is added to the sum of the leaves.
    scale
        Of the sum: `LOG_ODDS` or `PROBABILITY`.
    single
        Whether numbers are compared in single precision.
    """

    column: Integers
    threshold: Floats
    missing_left: Bools
    zero_is_missing: Bools
    category: Integers
    sets: Bools
    left: Integers
    right: Integers
    value: Floats
    roots: Integers
    constant: float
    scale: Scale
    single: bool = False

    def goes_left(self, x: Floats, nodes: Integers) -> Bools:
        """Return whether the values x go left at these nodes, value by value (shape (values,))."""
        missing = np.isnan(x) | (self.zero_is_missing[nodes] & (np.abs(x) <= LIGHTGBM_ZERO))
        left: Bools = np.where(missing, self.missing_left[nodes], x <= self.threshold[nodes])
        sets = self.category[nodes]
        if (asked := sets >= 0).any():
            left[asked] = self._in_set(x[asked], nodes[asked])
        return left

    def _in_set(self, x: Floats, nodes: Integers) -> Bools:
        width = self.sets.shape[1]
        known = (x > -1) & (x < width)  # NaN is neither
        codes = np.where(known, x, 0).astype(np.int64)
        return np.where(known, self.sets[self.category[nodes], codes], self.missing_left[nodes])

    def column_goes_left(self, x: Floats, gaps: Bools | None, node: int) -> Bools:
        """Return whether the values of a column go left at one node (shape (rows,)); `gaps`: where they are NaN."""
        if self.category[node] >= 0 or self.zero_is_missing[node]:
            return self.goes_left(x, np.full(len(x), node))
        left: Bools = x <= self.threshold[node]
        if gaps is not None and self.missing_left[node]:
            left |= gaps
        return left

    def prepared(self, matrix: npt.NDArray[Any]) -> Floats:
        """Return a matrix as the trees see it: float64, rounded to single precision where they do so."""
        with np.errstate(over="ignore"):
            seen = matrix.astype(np.float32) if self.single else matrix
        return np.asarray(seen, np.float64)

    def scores(self, matrix: Floats) -> Floats:
        """Return the sum of each row of a prepared matrix (shape (rows,)), on the forest's scale."""
        total = np.full(len(matrix), self.constant)
        rows = np.arange(len(matrix))
        for root in self.roots:
            at = np.full(len(matrix), root)
            while (inner := self.column[at] >= 0).any():
                nodes = at[inner]
                left = self.goes_left(matrix[rows[inner], self.column[nodes]], nodes)
                at[inner] = np.where(left, self.left[nodes], self.right[nodes])
            total += self.value[at]
        return total


def forest_of(model: Any) -> Forest | None:
    """Return the trees of a fitted binary classifier, None where its kind isn't known here.

    Parameters
    ----------
    model
        A tree, random forest or extra trees (scale: probability, the mean over the trees, which have no log-odds), or
        HistGradientBoosting or LightGBM (scale: log-odds).
    """
    kind = f"{type(model).__module__.split('.')[0]}.{type(model).__name__}"
    reader = READERS.get(kind)
    return None if reader is None or len(model.classes_) != 2 else reader(model)


def _joined(
    trees: Iterable[dict[str, npt.NDArray[Any]]], sets: list[Bools], constant: float, scale: Scale, single: bool = False
) -> Forest:
    """Return trees whose nodes count from 0 each as one forest; `sets` are of any lengths, False beyond."""
    roots, parts, size = [], [], 0
    for tree in trees:
        roots.append(size)
        parts.append(tree | {side: tree[side] + size for side in ("left", "right")})
        size += len(tree["column"])
    types: dict[str, Any] = {"column": np.int64, "category": np.int64, "left": np.int64, "right": np.int64}
    types |= {"threshold": np.float64, "value": np.float64, "missing_left": np.bool_, "zero_is_missing": np.bool_}
    whole: dict[str, Any] = {f: np.concatenate([[], *(part[f] for part in parts)]).astype(types[f]) for f in FIELDS}
    table = np.zeros((len(sets), max(map(len, sets), default=0)), np.bool_)
    for row, members in enumerate(sets):
        table[row, : len(members)] = members
    return Forest(**whole, sets=table, roots=np.array(roots, np.int64), constant=constant, scale=scale, single=single)


# --- scikit-learn -------------------------------------------------------------------------------------------------


def _sklearn_tree(tree: Any, positive: int, share: float) -> dict[str, npt.NDArray[Any]]:
    leaf = tree.children_left < 0
    nodes = len(leaf)
    return {
        "column": np.where(leaf, -1, tree.feature),
        "threshold": tree.threshold,
        "missing_left": np.asarray(tree.__getstate__()["nodes"]["missing_go_to_left"], np.bool_),
        "zero_is_missing": np.zeros(nodes, np.bool_),
        "category": np.full(nodes, -1),
        "left": tree.children_left,
        "right": tree.children_right,
        "value": tree.value[:, 0, positive] * share,
    }


def _of_tree(model: Any) -> Forest | None:
    return _of_trees([model], list(model.classes_).index(1))


def _of_ensemble(model: Any) -> Forest | None:
    return _of_trees(model.estimators_, list(model.classes_).index(1))


def _of_trees(models: list[Any], positive: int) -> Forest | None:
    if not np.allclose(models[0].tree_.value[0].sum(), 1):  # before scikit-learn 1.3: counts, not shares
        return None
    trees = [_sklearn_tree(model.tree_, positive, 1 / len(models)) for model in models]
    return _joined(trees, [], 0.0, PROBABILITY, single=True)


def _of_hist_gradient_boosting(model: Any) -> Forest | None:
    """Return the trees; the matrix that they see is what the model's own preprocessor makes (`seen_by`)."""
    if model.loss != "log_loss":
        return None
    known, place = model._bin_mapper.make_known_categories_bitsets()
    sets: list[Bools] = []
    trees = []
    for (predictor,) in model._predictors:
        nodes = predictor.nodes
        category = np.full(len(nodes), -1)
        for index in np.flatnonzero(nodes["is_categorical"] & (nodes["is_leaf"] == 0)):
            node = nodes[index]
            left = _bits(predictor.raw_left_cat_bitsets[node["bitset_idx"]])
            seen = _bits(known[place[node["feature_idx"]]])
            category[index] = len(sets)
            sets.append(left | (~seen & bool(node["missing_go_to_left"])))
        trees.append(
            {
                "column": np.where(nodes["is_leaf"], -1, nodes["feature_idx"].astype(np.int64)),
                "threshold": nodes["num_threshold"],
                "missing_left": nodes["missing_go_to_left"].astype(np.bool_),
                "zero_is_missing": np.zeros(len(nodes), np.bool_),
                "category": category,
                "left": nodes["left"].astype(np.int64),
                "right": nodes["right"].astype(np.int64),
                "value": np.where(nodes["is_leaf"], nodes["value"], 0.0),
            }
        )
    sign = 1.0 if model.classes_[1] == 1 else -1.0
    for tree in trees:
        tree["value"] = tree["value"] * sign
    return _joined(trees, sets, sign * float(np.ravel(model._baseline_prediction)[0]), LOG_ODDS)


def _bits(words: npt.NDArray[np.uint32]) -> Bools:
    """Return a set of 256 codes, kept in eight words, as booleans."""
    return np.unpackbits(np.ascontiguousarray(words, "<u4").view(np.uint8), bitorder="little").astype(np.bool_)


# --- LightGBM -----------------------------------------------------------------------------------------------------


def _of_lightgbm(model: Any) -> Forest | None:
    """Return the trees as LightGBM's model text has them, numbers with 17 digits."""
    text = model.booster_.model_to_string(num_iteration=model.booster_.best_iteration or -1)
    header, *blocks = text.split("\nTree=")
    about = dict(line.partition("=")[::2] for line in header.splitlines())
    objective = about.get("objective", "").split()
    if objective[:1] != ["binary"] or not set(objective[1:]) <= {"sigmoid:1"}:
        return None  # another link from the sum of leaves to the probability
    trees, sets = [], list[Bools]()
    for block in blocks:
        fields = dict(line.partition("=")[::2] for line in block.splitlines())
        if fields.get("is_linear", "0") != "0":
            return None
        trees.append(_lightgbm_tree(fields, sets))
    share = 1 / len(trees) if "average_output" in header.splitlines() else 1.0
    sign = share if model.classes_[1] == 1 else -share
    for tree in trees:
        tree["value"] = tree["value"] * sign
    return _joined(trees, sets, 0.0, LOG_ODDS)


def _lightgbm_tree(fields: dict[str, str], sets: list[Bools]) -> dict[str, npt.NDArray[Any]]:
    """Return one tree: its inner nodes, then its leaves; the sets of its categories are added to `sets`."""

    def numbers(key: str, dtype: Any = np.int64) -> npt.NDArray[Any]:
        return np.array(fields.get(key, "").split(), dtype=dtype)

    leaves = numbers("leaf_value", np.float64)
    inner = len(leaves) - 1
    none = np.zeros(len(leaves), np.bool_)
    if not inner:
        empty = np.full(1, -1)
        where = {"column": empty, "category": empty, "left": empty, "right": empty, "threshold": np.zeros(1)}
        return where | {"missing_left": none, "zero_is_missing": none, "value": leaves}
    kinds, threshold = numbers("decision_type"), numbers("threshold", np.float64)
    categorical, default_left, missing = kinds & 1 > 0, kinds & 2 > 0, (kinds >> 2) & 3  # none, zero, NaN
    # Where nothing was missing in training, a missing number is taken as zero; a missing category goes right.
    missing_left = np.where(categorical, False, np.where(missing == 0, threshold >= 0, default_left))
    category = np.full(inner, -1)
    bounds, words = numbers("cat_boundaries"), numbers("cat_threshold").astype(np.uint32)
    for node in np.flatnonzero(categorical):
        at = int(threshold[node])
        category[node] = len(sets)
        sets.append(_bits(words[bounds[at] : bounds[at + 1]]))

    def below(key: str) -> Integers:
        child = numbers(key)
        return np.where(child < 0, inner + ~child, child)  # leaves are numbered -1, -2, …

    at_leaves = np.full(len(leaves), -1)
    return {
        "column": np.concatenate([numbers("split_feature"), at_leaves]),
        "threshold": np.concatenate([threshold, np.zeros(len(leaves))]),
        "missing_left": np.concatenate([missing_left, none]),
        "zero_is_missing": np.concatenate([(missing == 1) & ~categorical, none]),
        "category": np.concatenate([category, at_leaves]),
        "left": np.concatenate([below("left_child"), at_leaves]),
        "right": np.concatenate([below("right_child"), at_leaves]),
        "value": np.concatenate([np.zeros(inner), leaves]),
    }


READERS: dict[str, Callable[[Any], Forest | None]] = {
    "sklearn.DecisionTreeClassifier": _of_tree,
    "sklearn.ExtraTreeClassifier": _of_tree,
    "sklearn.RandomForestClassifier": _of_ensemble,
    "sklearn.ExtraTreesClassifier": _of_ensemble,
    "sklearn.HistGradientBoostingClassifier": _of_hist_gradient_boosting,
    "lightgbm.LGBMClassifier": _of_lightgbm,
}


def seen_by(model: Any, width: int) -> tuple[Callable[[npt.NDArray[Any]], npt.NDArray[Any]], Integers]:
    """Return what an estimator makes of its matrix before the trees see it, and which column each of theirs was.

    HistGradientBoosting moves its categories to the front and numbers them anew; others leave the matrix as it is.
    """
    categorical = getattr(model, "is_categorical_", None)
    if getattr(model, "_preprocessor", None) is None or categorical is None:
        return lambda matrix: matrix, np.arange(width)
    order = np.concatenate([np.flatnonzero(categorical), np.flatnonzero(~categorical)])
    return lambda matrix: np.asarray(model._preprocess_X(np.asarray(matrix, np.float64), reset=False)), order
