"""One decision tree from histograms, level by level; what comes out is a fitted scikit-learn tree.

Features are put into at most 255 bins: the distinct values where there are that many at most, so that all splits are
there that scikit-learn considers, else quantiles. Splits are chosen by exact impurity on integer counts, so neither the
order of rows nor the size of blocks matters. Ties go to the lowest feature, then to the lowest threshold.

Of two children only the one with fewer rows is counted; what the other has is what is left of their parent's counts.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.tree import DecisionTreeClassifier
from sklearn.tree._tree import Tree

from scripts.streaming.bins import BLOCK_ROWS, Bins, Columns, bin_rows
from scripts.streaming.cache import ArrayFile
from scripts.streaming.logistic import Blocks, class_weights
from scripts.streaming.quantiles import Floats, Integers

# Of one pass; where a level has more nodes, it takes several. As much again holds counts that aren't yet told apart by
# feature, and as much those of parents.
HISTOGRAM_BYTES = 32 * 2**20
CELL_BYTES = 2 * 8  # counts of two classes
GATHERED_BYTES = 16 * 2**20  # of a block's rows, where all their bytes are held at once
EPSILON = np.finfo(np.float64).eps  # scikit-learn's own: a purer node is a leaf
DONE = -1  # a row's place when it has arrived in a leaf

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "splitter": ("best",),
    "max_features": (None, 1.0),
    "max_leaf_nodes": (None,),
    "ccp_alpha": (0, 0.0),
    "monotonic_cst": (None,),
}


def refused(model: DecisionTreeClassifier) -> list[str]:
    """Return the parameters which no fit from blocks has, with their values."""
    return [f"{key}: {getattr(model, key)}" for key, good in NEUTRAL.items() if getattr(model, key) not in good]


def fit_tree(model: DecisionTreeClassifier, blocks: Blocks, class_counts: tuple[int, int], scratch: Path) -> None:
    """Fit in place; the attributes are those of scikit-learn's own fit.

    Parameters
    ----------
    model
        With parameters of which `refused` names none.
    blocks
        Gives features (rows, width) and target (rows,), 0 or 1, anew at each call.
    class_counts
        Rows with target 0 and 1.
    scratch
        Folder for the rows: a byte a feature at most and five more, and at first four bytes a feature.

    Raises
    ------
    ValueError
        Where a feature has missing values.
    """
    with _rows(blocks, sum(class_counts), scratch) as rows:
        nodes = _Grower.of(model, class_counts, rows.bins).grow(rows)
    _into_sklearn(model, nodes, rows.bins, class_counts)


@dataclass(frozen=True)
class _Rows:
    """Bins, outcome and present node of each row, on scratch disk."""

    bins: Bins
    bytes: Columns
    target: ArrayFile
    node: ArrayFile


@contextmanager
def _rows(blocks: Blocks, rows: int, scratch: Path) -> Iterator[_Rows]:
    """Give all rows, at the root."""
    with (
        closing(ArrayFile(scratch / "tree-target", 1, np.int8)) as target,
        closing(ArrayFile(scratch / "node", 1, np.int32)) as node,
    ):
        bins, columns = bin_rows(blocks, rows, scratch, target)
        with closing(columns):
            for start in range(0, rows, BLOCK_ROWS):
                node.append(np.zeros((min(BLOCK_ROWS, rows - start), 1), np.int32))
            yield _Rows(bins, columns, target, node)


# --- growing ------------------------------------------------------------------------------------------------------


@dataclass
class _Node:
    counts: Integers  # rows of classes 0 and 1
    depth: int
    impurity: float
    parent: int
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
    bins: Bins
    nodes: list[_Node] = field(default_factory=list)

    @classmethod
    def of(cls, model: DecisionTreeClassifier, counts: tuple[int, int], bins: Bins) -> "_Grower":
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
            bins,
        )
        grower._add(np.array(counts, dtype=np.int64), 0)
        return grower

    def grow(self, rows: _Rows) -> list[_Node]:
        """Grow the tree on rows that are all at the root."""
        open_nodes = [0] if self._may_split(self.nodes[0]) else []
        bins, values = int(self.bins.starts[-1]), int(self.bins.values.sum())
        at_once = max(1, HISTOGRAM_BYTES // (CELL_BYTES * max(bins, values)))
        most_kept = HISTOGRAM_BYTES // (2 * CELL_BYTES * bins)  # of this level and of the one before
        parents: dict[int, Integers] = {}
        while open_nodes:
            kept: dict[int, Integers] = {}
            for start in range(0, len(open_nodes), at_once):
                some = open_nodes[start : start + at_once]
                histogram = self._histogram(rows, some, parents)
                self._split(some, histogram)
                for index, of_node in zip(some, histogram, strict=True):
                    if self.nodes[index].left >= 0 and len(kept) < most_kept:
                        kept[index] = of_node.copy()
            parents = kept
            children = [child for n in open_nodes for child in (self.nodes[n].left, self.nodes[n].right) if child >= 0]
            open_nodes = [child for child in children if self._may_split(self.nodes[child])]
            if open_nodes:
                self._move(rows, set(open_nodes))
        return self.nodes

    def _histogram(self, rows: _Rows, some: list[int], parents: dict[int, Integers]) -> Integers:
        """Return the rows by node, class and bin, shape (some nodes, 2, all bins); take from `parents` what helps."""
        rest = {}  # places of the larger and the smaller of two children
        for at, (one, two) in enumerate(pairwise(some)):
            if self.nodes[one].parent == self.nodes[two].parent and self.nodes[one].parent in parents:
                larger = int(self.nodes[two].counts.sum() >= self.nodes[one].counts.sum())
                rest[at + larger] = at + 1 - larger
        counted = [at for at in range(len(some)) if at not in rest]
        result = np.empty((len(some), 2, int(self.bins.starts[-1])), np.int64)
        self.bins.tell_apart(_count(rows, [some[at] for at in counted], len(self.nodes)), result, counted)
        for larger, smaller in rest.items():
            result[larger] = parents.pop(self.nodes[some[larger]].parent) - result[smaller]
        return result

    def _add(self, counts: Integers, depth: int, parent: int = -1) -> int:
        impurity = float(self.impurity(counts * self.weights))
        self.nodes.append(_Node(counts, depth, impurity, parent))
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
            node.left = self._add(left, node.depth + 1, index)
            node.right = self._add(node.counts - left, node.depth + 1, index)

    def _best(self, node: _Node, histogram: Integers) -> tuple[int, int, int, Integers] | None:
        """Return feature, bin, the next bin with rows and the counts on the left of the best split, if there is one."""
        sums = np.cumsum(histogram, axis=1)
        before = np.concatenate([np.zeros((2, 1), np.int64), sums], axis=1)[:, self.bins.starts[:-1]]
        left = sums - np.repeat(before, np.diff(self.bins.starts), axis=1)
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
        feature = int(np.searchsorted(self.bins.starts, best, side="right")) - 1
        first = int(self.bins.starts[feature])
        following = best + 1 + int(np.argmax(histogram[:, best + 1 :].sum(axis=0) > 0))
        return feature, best - first, following - first, left[:, best].copy()

    def _move(self, rows: _Rows, still_open: set[int]) -> None:
        """Send each row to its node of the next level, or mark it as done."""
        size = len(self.nodes)
        feature = np.array([max(node.feature, 0) for node in self.nodes])
        place = np.array([node.place for node in self.nodes])
        children = np.full((size, 2), DONE, np.int32)
        for index, node in enumerate(self.nodes):
            children[index] = [child if child in still_open else DONE for child in (node.left, node.right)]
        columns, held_at = np.unique(self.bins.group[feature], return_inverse=True)  # the latter by node
        block = max(1, min(BLOCK_ROWS, GATHERED_BYTES // len(columns)))
        for start in range(0, rows.node.rows, block):
            stop = min(start + block, rows.node.rows)
            at = rows.node.read(start, stop)[:, 0]
            active = np.flatnonzero(at != DONE)
            if len(active):
                nodes = at[active]
                held = np.concatenate([rows.bytes.read(column, start, stop) for column in columns])
                byte = held[held_at[nodes] * (stop - start) + active]
                goes_right = self.bins.digits(feature[nodes], byte) > place[nodes]
                at[active] = children[nodes, goes_right.astype(np.int64)]
                rows.node.write(start, at[:, None])


def _count(rows: _Rows, some: list[int], nodes: int) -> list[Integers]:
    """Return for each byte the rows by node, class and value: shape (some nodes, 2, values)."""
    local = np.full(nodes + 1, DONE, np.int64)  # the last place stands for DONE
    local[some] = np.arange(len(some))
    found = [np.zeros(len(some) * 2 * values, np.int64) for values in rows.bins.values]
    for start in range(0, rows.node.rows, BLOCK_ROWS):
        stop = start + BLOCK_ROWS
        at = local[rows.node.read(start, stop)[:, 0]]
        active = np.flatnonzero(at != DONE)
        if not len(active):
            continue
        place = at[active] * 2 + rows.target.read(start, stop)[active, 0]
        for column, (values, counts) in enumerate(zip(rows.bins.values, found, strict=True)):
            counted = np.bincount(place * values + rows.bytes.read(column, start, stop)[active])
            counts[: len(counted)] += counted
    return [c.reshape(len(some), 2, -1) for c in found]


def _gini(counts: Floats) -> Floats:
    """Return 2 p (1 - p) for weighted counts, shape (2, …)."""
    share = counts[1] / (counts[0] + counts[1])
    return np.asarray(2 * share * (1 - share))


def _entropy(counts: Floats) -> Floats:
    """Return the entropy in bits of weighted counts, shape (2, …)."""
    shares = counts / (counts[0] + counts[1])
    return np.asarray(-(shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=0))


# --- scikit-learn's own form --------------------------------------------------------------------------------------


def _into_sklearn(model: DecisionTreeClassifier, nodes: list[_Node], bins: Bins, class_counts: tuple[int, int]) -> None:
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
        fields[new]["threshold"] = -2.0 if leaf else _threshold(bins, node)
        fields[new]["impurity"] = node.impurity
        fields[new]["n_node_samples"] = node.counts.sum()
        fields[new]["weighted_n_node_samples"] = weighted.sum()
        values[new, 0] = weighted / weighted.sum()
    depth = max(node.depth for node in nodes)
    empty.__setstate__({"max_depth": depth, "node_count": len(order), "nodes": fields, "values": values})
    model.tree_ = empty


def _threshold(bins: Bins, node: _Node) -> float:
    """Return the middle between the highest value of a node's bin and the lowest of the following one."""
    low = float(bins.edges[node.feature][node.place])
    high = float(bins.above[node.feature][node.following - 1])
    middle = low / 2 + high / 2
    return low if middle in (high, math.inf, -math.inf) else middle  # as scikit-learn's splitter


def _preorder(nodes: list[_Node]) -> list[int]:
    order, waiting = [], [0]
    while waiting:
        index = waiting.pop()
        order.append(index)
        if nodes[index].left >= 0:
            waiting += [nodes[index].right, nodes[index].left]
    return order
