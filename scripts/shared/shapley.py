"""Baseline Shapley values: what each feature adds to a score, against one reference row.

A coalition of features takes its values from the row, the others from the reference; a feature's value is its gain,
averaged over all orders in which features can change over (Sundararajan and Najmi 2020, arXiv:1908.08474, "baseline
Shapley"). The values add up to the score less the reference's score. A feature may be several columns of a matrix
(a one-hot category, a spline): they change over together.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from scripts.shared.forests import Bools, Floats, Forest, Integers

Masks = npt.NDArray[np.uint64] | npt.NDArray[np.object_]
# Scores of rows (their places) of which the marked features are the rows' own, the others the reference's.
Evaluate = Callable[[Integers, Bools], Floats]

PATTERN_NODES = 64  # inner nodes of a tree that fit in one integer
SMALL_ROWS, LARGE_ROWS = 8_192, 2_048
EXACT = 6  # of so few changed features, all coalitions are scored: at most 64
PAIRS = 4  # of more, the orders drawn, each with its reverse
EVALUATIONS = 100_000  # rows scored at once


# --- trees: exact -------------------------------------------------------------------------------------------------


class ForestShapley:
    """Exact values for trees (interventional TreeSHAP with one reference: Lundberg et al. 2020, arXiv:1905.04610).

    A leaf is reached by a coalition that holds all features of a set S, where only the row goes towards it, and none of
    a set N, where only the reference does. For such a game each of S has the Shapley value
    (|S|-1)! |N|! / (|S|+|N|)!, each of N the value -|S|! (|N|-1)! / (|S|+|N|)!, times the leaf's value.

    Parameters
    ----------
    forest
        The trees.
    reference
        Shape (columns,): the reference row of the prepared matrix.
    owners
        Shape (columns,), int64: the feature that each column belongs to.
    features
        How many features there are.
    """

    def __init__(self, forest: Forest, reference: Floats, owners: Integers, features: int) -> None:
        self.forest, self.features = forest, features
        inner = np.flatnonzero(forest.column >= 0)
        self.base = float(forest.scores(reference[None, :])[0])
        self.owner = np.full(len(forest.column), -1)
        self.owner[inner] = owners[forest.column[inner]]
        left = np.zeros(len(forest.column), np.bool_)
        left[inner] = forest.goes_left(reference[forest.column[inner]], inner)
        self.base_left = left
        self.same = np.where(left, forest.left, forest.right)  # where the reference goes
        self.other = np.where(left, forest.right, forest.left)
        ends = [*forest.roots[1:].tolist(), len(forest.column)]
        trees = [_Tree(self, start, end) for start, end in zip(forest.roots.tolist(), ends, strict=True)]
        self.trees = [tree for tree in trees if len(tree.order)]

    def values(self, matrix: Floats) -> Floats:
        """Return the value of each feature for each row of a prepared matrix (shape (rows, features))."""
        found = np.zeros((len(matrix), self.features))
        large = any(not tree.small for tree in self.trees)
        size = LARGE_ROWS if large else SMALL_ROWS
        for start in range(0, len(matrix), size):
            block = np.asfortranarray(matrix[start : start + size])
            gaps = [gap if gap.any() else None for gap in np.isnan(block).T]
            for tree in self.trees:
                found[start : start + size, tree.groups] += tree.values(block, gaps)
        return found


class _Tree:
    """One tree of a forest: its features get bits of their own, in the order of the features."""

    def __init__(self, whole: ForestShapley, start: int, end: int) -> None:
        self.whole = whole
        self.root = start
        owner = whole.owner[start:end]
        self.groups = np.unique(owner[owner >= 0])
        wide = len(self.groups) > 64
        bits = [1 << n for n in range(len(self.groups))]
        kind = object if wide else np.uint64  # Python's integers have any number of bits
        self.none = np.array([0], kind)
        of_group = np.array([*bits, 0], kind)
        self.bit = of_group[np.where(owner < 0, -1, np.searchsorted(self.groups, owner))]
        self.bits = of_group[:-1]
        self.count = np.frompyfunc(int.bit_count, 1, 1) if wide else np.bitwise_count
        self.plus, self.minus = _weights(len(self.groups))
        self.order = self._from_the_root(end)
        self.small = len(self.order) <= PATTERN_NODES
        self.place = np.zeros(end - start, np.uint64)
        self.place[self.order - start] = np.arange(len(self.order))

    def _from_the_root(self, end: int) -> Integers:
        """Return the inner nodes, parents before children."""
        order, level = [], np.array([self.root])
        while len(level := level[self.whole.forest.column[level] >= 0]):
            order.append(level)
            level = np.concatenate([self.whole.same[level], self.whole.other[level]])
        return np.concatenate(order) if order else np.empty(0, np.int64)

    def values(self, block: Floats, gaps: list[Bools | None]) -> Floats:
        """Return the values of the tree's features for each row (shape (rows, groups))."""
        if not self.small:
            return self._large(block)
        patterns, rows = np.unique(self._patterns(block, gaps), return_inverse=True)
        place, root = self.place, self.root
        one = np.uint64(1)

        def differs(item: Integers, node: Integers) -> Bools:
            return np.asarray((patterns[item] >> place[node - root]) & one, np.bool_)

        return self._walk(len(patterns), differs)[rows]

    def _large(self, block: Floats) -> Floats:
        forest, left = self.whole.forest, self.whole.base_left

        def differs(item: Integers, node: Integers) -> Bools:
            return np.asarray(forest.goes_left(block[item, forest.column[node]], node) != left[node])

        return self._walk(len(block), differs)

    def _patterns(self, block: Floats, gaps: list[Bools | None]) -> npt.NDArray[np.uint64]:
        """Return for each row at which nodes it goes another way than the reference (shape (rows,), a bit a node).

        Nodes that no mixture of the two can reach count as equal, so that many rows share a pattern.
        """
        whole, rows = self.whole, len(block)
        bits = np.zeros((PATTERN_NODES, rows), np.bool_)
        reached: dict[int, Bools | None] = {self.root: None}
        for place, node in enumerate(self.order.tolist()):
            column = whole.forest.column[node]
            left = whole.forest.column_goes_left(block[:, column], gaps[column], node)
            differs = ~left if whole.base_left[node] else left
            before = reached.pop(node)
            if before is not None:
                differs &= before
            bits[place] = differs
            reached[int(whole.same[node])], reached[int(whole.other[node])] = before, differs
        packed = np.packbits(bits, axis=0, bitorder="little")
        return np.ascontiguousarray(packed.T).view("<u8")[:, 0]

    def _walk(self, items: int, differs: Callable[[Integers, Integers], Bools]) -> Floats:
        """Send each item down all ways that a mixture can take, level by level, and add up the leaves it reaches."""
        whole, column = self.whole, self.whole.forest.column
        item, node = np.arange(items), np.full(items, self.root)
        taken = np.repeat(self.none, items)  # S, as bits
        kept = taken.copy()  # N
        found = np.zeros((len(self.groups), items))
        while len(item):
            leaf = column[node] < 0
            if leaf.any():
                self._add(found, item[leaf], whole.forest.value[node[leaf]], taken[leaf], kept[leaf])
                item, node, taken, kept = item[~leaf], node[~leaf], taken[~leaf], kept[~leaf]
            bit = self.bit[node - self.root]
            apart = differs(item, node)
            same = ~apart | ((taken & bit) == 0)
            other = apart & ((kept & bit) == 0)
            at_same = np.where(apart[same], kept[same] | bit[same], kept[same])
            at_other = taken[other] | bit[other]
            item = np.concatenate([item[same], item[other]])
            node = np.concatenate([whole.same[node[same]], whole.other[node[other]]])
            taken, kept = np.concatenate([taken[same], at_other]), np.concatenate([at_same, kept[other]])
        return found.T

    def _add(self, found: Floats, item: Integers, value: Floats, taken: Masks, kept: Masks) -> None:
        sizes = np.asarray(self.count(taken), np.int64), np.asarray(self.count(kept), np.int64)
        plus, minus = value * self.plus[sizes], value * self.minus[sizes]
        either = taken | kept  # no feature is in both
        for group, bit in enumerate(self.bits):
            some = np.flatnonzero((either & bit) != 0)
            if len(some):
                weights = np.where((taken[some] & bit) != 0, plus[some], -minus[some])
                found[group] += np.bincount(item[some], weights, found.shape[1])


def _weights(features: int) -> tuple[Floats, Floats]:
    """Return (|S|-1)! |N|! / (|S|+|N|)! and |S|! (|N|-1)! / (|S|+|N|)! by the sizes (shape (n + 1, n + 1) each)."""
    plus = np.zeros((features + 1, features + 1))
    for s in range(1, features + 1):
        for n in range(features + 1 - s):
            plus[s, n] = 1 / (s * math.comb(s + n, s))
    return plus, plus.T.copy()


# --- any model: by its scores -------------------------------------------------------------------------------------


def by_scores(evaluate: Evaluate, differs: Bools, base: float, scores: Floats, seed: int) -> Floats:
    """Return the value of each feature for each row, by scores of mixtures of the row and the reference.

    Parameters
    ----------
    evaluate
        Scores mixtures.
    differs
        Shape (rows, features): where a row's value is another than the reference's.
    base
        The reference's score.
    scores
        Shape (rows,): the rows' own scores.
    seed
        Of the orders.

    Returns
    -------
    Floats
        Shape (rows, features). Exact where at most `EXACT` features differ. Otherwise the mean over `PAIRS` orders, the
        same for all rows, and their reverses (antithetic orders: Mitchell et al. 2022, arXiv:2104.12199); it adds up
        exactly, too, since each order does.
    """
    found = np.zeros(differs.shape)
    changed = differs.sum(axis=1)
    for count in range(1, EXACT + 1):
        _in_blocks(_exact, evaluate, differs, base, scores, found, np.flatnonzero(changed == count), 2**count)
    orders = np.random.default_rng(seed)
    drawn = [orders.permutation(differs.shape[1]) for _ in range(PAIRS)]
    both = [order for one in drawn for order in (one, one[::-1])]

    def sampled(evaluate: Evaluate, differs: Bools, base: float, scores: Floats, rows: Integers) -> Floats:
        return _by_orders(evaluate, differs, base, scores, rows, both)

    many = len(both) * differs.shape[1]
    _in_blocks(sampled, evaluate, differs, base, scores, found, np.flatnonzero(changed > EXACT), many)
    return found


def _in_blocks(
    method: Callable[[Evaluate, Bools, float, Floats, Integers], Floats],
    evaluate: Evaluate,
    differs: Bools,
    base: float,
    scores: Floats,
    found: Floats,
    rows: Integers,
    each: int,
) -> None:
    """Fill in `found` for some rows, as many at once as evaluations allow."""
    size = max(1, EVALUATIONS // each)
    for start in range(0, len(rows), size):
        some = rows[start : start + size]
        found[some] = method(evaluate, differs[some], base, scores[some], some)


def _exact(evaluate: Evaluate, differs: Bools, base: float, scores: Floats, rows: Integers) -> Floats:
    """Return exact values of rows of which equally many features differ, from the scores of all coalitions."""
    features = np.nonzero(differs)[1].reshape(len(rows), -1)
    count = features.shape[1]
    worth = np.empty((len(rows), 2**count))
    worth[:, 0], worth[:, -1] = base, scores
    coalitions = range(1, 2**count - 1)
    masks = np.zeros((len(coalitions), *differs.shape), np.bool_)
    for place, coalition in enumerate(coalitions):
        for n in range(count):
            if coalition >> n & 1:
                masks[place, np.arange(len(rows)), features[:, n]] = True
    if coalitions:
        flat = evaluate(np.tile(rows, len(coalitions)), masks.reshape(-1, differs.shape[1]))
        worth[:, 1:-1] = flat.reshape(len(coalitions), -1).T
    found = np.zeros(differs.shape)
    for n in range(count):
        gain = np.zeros(len(rows))
        for coalition in range(2**count):
            if not coalition >> n & 1:
                size = coalition.bit_count()
                weight = 1 / (count * math.comb(count - 1, size))
                gain += weight * (worth[:, coalition | 1 << n] - worth[:, coalition])
        found[np.arange(len(rows)), features[:, n]] = gain
    return found


def _by_orders(
    evaluate: Evaluate, differs: Bools, base: float, scores: Floats, rows: Integers, orders: list[Integers]
) -> Floats:
    """Return the mean gain of each feature over some orders; nothing is scored where it would be known."""
    last = differs.sum(axis=1)
    asked: list[tuple[int, int, Integers]] = []
    of_rows, masks = [], []
    for number, order in enumerate(orders):
        mask = np.zeros(differs.shape, np.bool_)
        done = np.zeros(len(rows), np.int64)
        for feature in order.tolist():
            mask[:, feature] = differs[:, feature]
            done += differs[:, feature]
            some = np.flatnonzero(differs[:, feature] & (done < last))
            asked.append((number, feature, some))
            of_rows.append(rows[some])
            masks.append(mask[some])
    answers = np.split(evaluate(np.concatenate(of_rows), np.concatenate(masks)), np.cumsum([*map(len, of_rows)])[:-1])
    worth = dict(zip([(number, feature) for number, feature, _ in asked], answers, strict=True))
    where = {(number, feature): some for number, feature, some in asked}
    found = np.zeros(differs.shape)
    for number, order in enumerate(orders):
        before = np.full(len(rows), base)
        for feature in order.tolist():
            after = np.where(differs[:, feature], scores, before)
            after[where[number, feature]] = worth[number, feature]
            found[:, feature] += (after - before) / len(orders)
            before = after
    return found
