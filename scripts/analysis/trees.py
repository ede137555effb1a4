"""The upper levels of a decision tree, to be drawn: questions in words, rows and default rates on the train rows."""

from collections.abc import Sequence
from typing import Any

from sklearn.tree import DecisionTreeClassifier

from scripts.analysis.columns import Column
from scripts.analysis.intervals import share
from scripts.streaming.logistic import class_weights

NO_CHILD = -1


def why_not(model: Any) -> str | None:
    """Return why an estimator has no tree to draw, None where it has."""
    if type(model) is not DecisionTreeClassifier:
        return f"a tree is drawn of a decision tree, and this is {type(model).__name__}"
    return None


def describe(
    model: DecisionTreeClassifier, columns: Sequence[Column], depth: int, counts: tuple[int, int]
) -> dict[str, Any]:
    """Return the nodes down to `depth`, the root first.

    Parameters
    ----------
    model
        The fitted tree.
    columns
        What each of its columns is.
    depth
        Levels below the root.
    counts
        Train rows with target 0 and 1: class weights are undone by them.

    Returns
    -------
    dict
        `nodes`: `id`, `depth`, `rows`, `defaults`, `rate` (Wilson's 95 % interval), and where there is a question that
        is drawn: `feature`, `question`, `threshold` or `category`, `yes` and `no` (ids), `missing` (the child that gets
        missing values, where the tree handles such). `more` says that a node has children that aren't drawn. `depth`
        and `leaves` are the whole tree's.
    """
    tree = model.tree_
    positive = list(model.classes_).index(1)
    weights = class_weights(model.class_weight, counts)
    nodes: list[dict[str, Any]] = []
    todo = [(0, 0)]
    while todo:
        node, level = todo.pop(0)
        rows = int(tree.n_node_samples[node])
        weighted = float(tree.value[node][0][positive] / tree.value[node][0].sum())
        # Of weighted shares: the odds are those of the rows times the ratio of the weights.
        bad, good = weighted / weights[1], (1 - weighted) / weights[0]
        defaults = round(rows * bad / (bad + good))
        about: dict[str, Any] = {"id": node, "depth": level, "rows": rows, "defaults": defaults}
        about["rate"] = share(defaults, rows)
        left, right = int(tree.children_left[node]), int(tree.children_right[node])
        about["more"] = left != NO_CHILD and level >= depth
        if left != NO_CHILD and level < depth:
            about |= _question(columns[int(tree.feature[node])], float(tree.threshold[node]), left, right)
            if hasattr(tree, "missing_go_to_left") and columns[int(tree.feature[node])].kind == "number":
                about["missing"] = left if tree.missing_go_to_left[node] else right
            todo += [(left, level + 1), (right, level + 1)]
        nodes.append(about)
    return {"nodes": nodes, "depth": int(tree.max_depth), "leaves": int(tree.n_leaves), "rows": nodes[0]["rows"]}


def _question(column: Column, threshold: float, left: int, right: int) -> dict[str, Any]:
    """Return a question with its answers' children; the left child has what is at most the threshold."""
    at = threshold * column.scale + column.mean
    about: dict[str, Any] = {"feature": column.feature, "kind": column.kind}
    if column.kind in {"category", "missing", "bin"}:
        return about | {"question": column.label, "category": column.of, "yes": right, "no": left}
    return about | {"question": f"{column.label} ≤ {at:.6g}", "threshold": at, "yes": left, "no": right}
