"""One decision tree from histograms, level by level; what comes out is a fitted scikit-learn tree.

Features are put into at most 255 bins: the distinct values where there are that many at most, so that all splits are
there that scikit-learn considers, else quantiles. Splits are chosen by exact impurity on integer counts, so neither the
order of rows nor the size of blocks matters. Ties go to the lowest feature, then to the lowest threshold.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.tree import DecisionTreeClassifier
from sklearn.tree._tree import Tree

from scripts.shared.errors import UserError, listing
from scripts.streaming.cache import BLOCK_ROWS, ArrayFile
from scripts.streaming.logistic import Blocks, class_weights
from scripts.streaming.quantiles import Floats, Integers, distinct_values, order_statistics

BINS = 255  # one byte holds them
HISTOGRAM_BYTES = 32 * 2**20  # of one pass; where a level has more nodes, it takes several passes
EPSILON = np.finfo(np.float64).eps  # scikit-learn's own: a purer node is a leaf
DONE = -1  # a row's place when it has arrived in a leaf

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "splitter": ("best",),
    "max_features": (None, 1.0),
    "max_leaf_nodes": (None,),
    "ccp_alpha": (0, 0.0),
    "monotonic_cst": (None,),
}


def check_tree(name: str, model: DecisionTreeClassifier) -> None:
    """Raise UserError that names the parameters which no streaming fit has."""
    refused = [f"{key}: {getattr(model, key)}" for key, good in NEUTRAL.items() if getattr(model, key) not in good]
    if refused:
        raise UserError(
            f"models.{name}.params: {listing(refused)}: not possible for rows that don't fit in memory; leave it out, "
            f"raise resources.memory_mb, or set models.{name}.sample.rows"
        )


def fit_tree(model: DecisionTreeClassifier, blocks: Blocks, class_counts: tuple[int, int], scratch: Path) -> None:
    """Fit in place; the attributes are those of scikit-learn's own fit.

    Parameters
    ----------
    model
        With parameters that `check_tree` accepts.
    blocks
        Gives features (rows, width) and target (rows,), 0 or 1, anew at each call.
    class_counts
        Rows with target 0 and 1.
    scratch
        Folder for the binned rows: a byte a feature, and five more.

    Raises
    ------
    ValueError
        Where a feature has missing values.
    """
    bins = _Bins.of(blocks, sum(class_counts))
    grower = _Grower.of(model, class_counts, bins)
    rows = _BinnedRows(scratch, len(bins.edges))
    try:
        bins.fill(blocks, rows)
        nodes = grower.grow(rows)
    finally:
        rows.close()
    _into_sklearn(model, nodes, bins, class_counts)


# --- bins ---------------------------------------------------------------------------------------------------------


class _Bins:
    """Upper edges of the bins of each feature, but for the last: values of the data, each within the bin it ends."""

    def __init__(self, edges: list[Floats]) -> None:
        self.edges = [of_feature.astype(np.float32) for of_feature in edges]
        self.above = [np.full(len(of_feature), np.inf) for of_feature in edges]  # lowest value above each edge
        sizes = [len(of_feature) + 1 for of_feature in edges]
        self.starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)  # of each feature among all bins

    @classmethod
    def of(cls, blocks: Blocks, rows: int) -> "_Bins":
        """Choose the edges by a few passes over all rows."""

        def as_single() -> Iterator[npt.NDArray[np.float32]]:
            for features, _ in blocks():  # scikit-learn's trees see single precision, in training and later
                single = features.astype(np.float32)
                if np.isnan(single).any():
                    raise ValueError("Input X contains NaN")
                yield single

        width = next(as_single()).shape[1]
        distinct = distinct_values(as_single, width, BINS)
        levels = (np.arange(1, BINS) * rows // BINS).astype(np.int64)
        ranks = [np.empty(0, np.int64) if known is not None else levels for known in distinct]
        quantiles = order_statistics(as_single, ranks)
        return cls(
            [known[:-1] if known is not None else np.unique(q) for known, q in zip(distinct, quantiles, strict=True)]
        )

    def fill(self, blocks: Blocks, rows: "_BinnedRows") -> None:
        """Write the bins of all rows, and see which value comes next above each edge."""
        for features, target in blocks():
            binned = np.empty(features.shape, np.uint8)
            for at, edges in enumerate(self.edges):
                values = features[:, at].astype(np.float32)
                binned[:, at] = np.searchsorted(edges, values)
                ascending = np.append(np.sort(values), np.inf)
                following = ascending[np.searchsorted(ascending, edges, side="right")]
                np.minimum(self.above[at], following, out=self.above[at])
            rows.append(binned, target)

    def threshold(self, feature: int, place: int, following: int) -> float:
        """Return the middle between the highest value of a bin and the lowest of a following one."""
        low, high = float(self.edges[feature][place]), float(self.above[feature][following - 1])
        middle = low / 2 + high / 2
        return low if middle in (high, math.inf, -math.inf) else middle  # as scikit-learn's splitter


class _BinnedRows:
    """Bins, outcome and present node of each row, on scratch disk."""

    def __init__(self, folder: Path, width: int) -> None:
        self.bins = ArrayFile(folder / "bins", width, np.uint8)
        self.target = ArrayFile(folder / "binned-target", 1, np.int8)
        self.node = ArrayFile(folder / "node", 1, np.int32)

    def append(self, bins: npt.NDArray[np.uint8], target: npt.NDArray[np.int8]) -> None:
        """Add rows, at the root."""
        self.bins.append(bins)
        self.target.append(target[:, None])
        self.node.append(np.zeros((len(target), 1), np.int32))

    def close(self) -> None:
        """Close all files."""
        for file in (self.bins, self.target, self.node):
            file.close()


# --- growing ------------------------------------------------------------------------------------------------------


@dataclass
class _Node:
    counts: Integers  # rows of classes 0 and 1
    depth: int
    impurity: float
    feature: int = -2  # scikit-learn's marks of a leaf
    place: int = -2  # bins up to this one go left
    following: int = -2  # the next bin that has any of the node's rows
    left: int = -1
    right: int = -1


@dataclass
class _Grower:
    """Decides which nodes are split, and where."""

    weights: Floats  # of classes 0 and 1
    total: float  # weighted rows
    impurity: Callable[[Floats], Floats]
    max_depth: float
    min_split: int
    min_leaf: int
    min_leaf_weight: float
    min_decrease: float
    starts: Integers
    nodes: list[_Node] = field(default_factory=list)

    @classmethod
    def of(cls, model: DecisionTreeClassifier, counts: tuple[int, int], bins: _Bins) -> "_Grower":
        """Return a grower with scikit-learn's own limits, and the root."""
        rows = sum(counts)
        weights = class_weights(model.class_weight, counts)
        total = float(weights @ np.array(counts, dtype=np.float64))
        leaf, split = model.min_samples_leaf, model.min_samples_split
        min_leaf = leaf if isinstance(leaf, int) else math.ceil(leaf * rows)
        min_split = split if isinstance(split, int) else max(2, math.ceil(split * rows))
        grower = cls(
            weights,
            total,
            _gini if model.criterion == "gini" else _entropy,
            math.inf if model.max_depth is None else model.max_depth,
            max(min_split, 2 * min_leaf),
            min_leaf,
            model.min_weight_fraction_leaf * total,
            model.min_impurity_decrease,
            bins.starts,
        )
        grower._add(np.array(counts, dtype=np.int64), 0)
        return grower

    def grow(self, rows: _BinnedRows) -> list[_Node]:
        """Grow the tree on rows that are all at the root."""
        open_nodes = [0] if self._may_split(self.nodes[0]) else []
        at_once = max(1, HISTOGRAM_BYTES // (16 * int(self.starts[-1])))
        while open_nodes:
            for start in range(0, len(open_nodes), at_once):
                some = open_nodes[start : start + at_once]
                self._split(some, _histogram(rows, some, self.starts, len(self.nodes)))
            children = [child for n in open_nodes for child in (self.nodes[n].left, self.nodes[n].right) if child >= 0]
            open_nodes = [child for child in children if self._may_split(self.nodes[child])]
            if open_nodes:
                self._move(rows, set(open_nodes))
        return self.nodes

    def _add(self, counts: Integers, depth: int) -> int:
        impurity = float(self.impurity(counts * self.weights))
        self.nodes.append(_Node(counts, depth, impurity))
        return len(self.nodes) - 1

    def _may_split(self, node: _Node) -> bool:
        weight = float(node.counts @ self.weights)
        return bool(
            node.depth < self.max_depth
            and int(node.counts.sum()) >= self.min_split
            and weight >= 2 * self.min_leaf_weight
            and node.impurity > EPSILON
        )

    def _split(self, some: list[int], histogram: Integers) -> None:
        """Split each of some nodes where that is allowed; `histogram` has the shape (nodes, 2, all bins)."""
        for index, of_node in zip(some, histogram, strict=True):
            node = self.nodes[index]
            best = self._best(node, of_node)
            if best is None:
                continue
            node.feature, node.place, node.following, left = best
            node.left = self._add(left, node.depth + 1)
            node.right = self._add(node.counts - left, node.depth + 1)

    def _best(self, node: _Node, histogram: Integers) -> tuple[int, int, int, Integers] | None:
        """Return feature, bin, the next bin with rows and the counts on the left of the best split, if there is one."""
        sums = np.cumsum(histogram, axis=1)
        before = np.concatenate([np.zeros((2, 1), np.int64), sums], axis=1)[:, self.starts[:-1]]
        left = sums - np.repeat(before, np.diff(self.starts), axis=1)
        right = node.counts[:, None] - left
        scales = self.weights[:, None]
        weight_left, weight_right = (left * scales).sum(axis=0), (right * scales).sum(axis=0)
        allowed = (
            (left.sum(axis=0) >= max(1, self.min_leaf))
            & (right.sum(axis=0) >= max(1, self.min_leaf))
            & (weight_left >= self.min_leaf_weight)
            & (weight_right >= self.min_leaf_weight)
            & (histogram.sum(axis=0) > 0)  # between the same rows, the lowest threshold
        )
        places = np.flatnonzero(allowed)
        if not len(places):
            return None
        after = weight_left[places] * self.impurity(left[:, places] * scales) + weight_right[places] * self.impurity(
            right[:, places] * scales
        )
        # What rounding alone tells apart is a tie, so that it can't decide.
        best = int(places[np.flatnonzero(after <= after.min() * (1 + 1e-12))[0]])
        weight = float(node.counts @ self.weights)
        decrease = (weight * node.impurity - float(after.min())) / self.total
        if decrease + EPSILON < self.min_decrease:
            return None
        feature = int(np.searchsorted(self.starts, best, side="right")) - 1
        first = int(self.starts[feature])
        following = best + 1 + int(np.argmax(histogram[:, best + 1 :].sum(axis=0) > 0))
        return feature, best - first, following - first, left[:, best].copy()

    def _move(self, rows: _BinnedRows, still_open: set[int]) -> None:
        """Send each row to its node of the next level, or mark it as done."""
        size = len(self.nodes)
        feature = np.array([max(node.feature, 0) for node in self.nodes])
        place = np.array([node.place for node in self.nodes])
        children = np.full((size, 2), DONE, np.int32)
        for index, node in enumerate(self.nodes):
            children[index] = [child if child in still_open else DONE for child in (node.left, node.right)]
        for start in range(0, rows.node.rows, BLOCK_ROWS):
            at = rows.node.read(start, start + BLOCK_ROWS)[:, 0]
            active = np.flatnonzero(at != DONE)
            if len(active):
                bins, nodes = rows.bins.read(start, start + BLOCK_ROWS), at[active]
                goes_right = bins[active, feature[nodes]] > place[nodes]
                at[active] = children[nodes, goes_right.astype(np.int64)]
                rows.node.write(start, at[:, None])


def _histogram(rows: _BinnedRows, some: list[int], starts: Integers, nodes: int) -> Integers:
    """Return the rows by node, class and bin: shape (some nodes, 2, all bins)."""
    local = np.full(nodes + 1, DONE, np.int64)  # the last place stands for DONE
    local[some] = np.arange(len(some))
    sizes = np.diff(starts)
    found = [np.zeros(len(some) * 2 * size, np.int64) for size in sizes]
    for start in range(0, rows.node.rows, BLOCK_ROWS):
        at = local[rows.node.read(start, start + BLOCK_ROWS)[:, 0]]
        active = np.flatnonzero(at != DONE)
        if not len(active):
            continue
        bins = np.ascontiguousarray(rows.bins.read(start, start + BLOCK_ROWS)[active].T)
        place = at[active] * 2 + rows.target.read(start, start + BLOCK_ROWS)[active, 0]
        for size, counts, of_feature in zip(sizes, found, bins, strict=True):
            counted = np.bincount(place * size + of_feature)
            counts[: len(counted)] += counted
    return np.concatenate([c.reshape(len(some), 2, -1) for c in found], axis=2)


def _gini(counts: Floats) -> Floats:
    """Return 2 p (1 - p) for weighted counts, shape (2, …)."""
    share = counts[1] / (counts[0] + counts[1])
    return np.asarray(2 * share * (1 - share))


def _entropy(counts: Floats) -> Floats:
    """Return the entropy in bits of weighted counts, shape (2, …)."""
    shares = counts / (counts[0] + counts[1])
    return np.asarray(-(shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=0))


# --- scikit-learn's own form --------------------------------------------------------------------------------------


def _into_sklearn(
    model: DecisionTreeClassifier, nodes: list[_Node], bins: _Bins, class_counts: tuple[int, int]
) -> None:
    """Fill in what `fit` would have set. Nodes come in the order of a walk, left before right."""
    width = len(bins.edges)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(np.zeros((2, width)), np.array([0, 1], dtype=np.int8))  # classes_ and the like
    order = _preorder(nodes)
    number = {old: new for new, old in enumerate(order)}
    weights = class_weights(model.class_weight, class_counts)
    empty = Tree(width, np.array([2], dtype=np.intp), 1)
    fields = np.zeros(len(order), dtype=empty.__getstate__()["nodes"].dtype)
    values = np.empty((len(order), 1, 2))
    for new, old in enumerate(order):
        node = nodes[old]
        weighted = node.counts * weights
        leaf = node.left < 0
        fields[new]["left_child"] = -1 if leaf else number[node.left]
        fields[new]["right_child"] = -1 if leaf else number[node.right]
        fields[new]["feature"] = node.feature
        fields[new]["threshold"] = -2.0 if leaf else bins.threshold(node.feature, node.place, node.following)
        fields[new]["impurity"] = node.impurity
        fields[new]["n_node_samples"] = node.counts.sum()
        fields[new]["weighted_n_node_samples"] = weighted.sum()
        values[new, 0] = weighted / weighted.sum()
    depth = max(node.depth for node in nodes)
    empty.__setstate__({"max_depth": depth, "node_count": len(order), "nodes": fields, "values": values})
    model.tree_ = empty


def _preorder(nodes: list[_Node]) -> list[int]:
    order, waiting = [], [0]
    while waiting:
        index = waiting.pop()
        order.append(index)
        if nodes[index].left >= 0:
            waiting += [nodes[index].right, nodes[index].left]
    return order
