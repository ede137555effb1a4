"""How much of a model's lead comes from near twins: test rows of which nearly all values stand in one train row, too.

Synthetic data is made from fewer true rows, so that values and whole rows come back; a model that knows single values
profits from that, and would not on new data. After a run of a config with both models::

    LOAN_DATA_DIR=… make run CONFIG=config/examples/tuned.yaml
    python -m benchmarks.twins gbm gbm_twice

It prints a Markdown table: ROC AUC of both models, and the difference with its 95 % interval (paired bootstrap over the
test rows), by how many raw columns a test row shares with its nearest train row.
"""

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import roc_auc_score

from scripts.shared.config import read_config
from scripts.shared.membership import Rows, read_rows
from scripts.shared.models import load_model, predict_default
from scripts.shared.sides import TEST, TRAIN

RESULTS = Path("results")
DRAWS = 500
CHUNK = 256


def shared_columns(train: pd.DataFrame, test: pd.DataFrame) -> npt.NDArray[np.int64]:
    """Return, for each test row, the largest number of columns in which one train row has the same value."""
    codes = [pd.factorize(pd.concat([train[name], test[name]]))[0].astype(np.int32) for name in train]
    most = np.zeros(len(test), dtype=np.int64)
    for start in range(0, len(test), CHUNK):
        rows = slice(len(train) + start, len(train) + min(start + CHUNK, len(test)))
        same = np.zeros((rows.stop - rows.start, len(train)), dtype=np.uint8)
        for column in codes:
            same += column[rows, None] == column[: len(train)]
        most[start : start + len(same)] = same.max(axis=1)
    return most


def lead(
    target: npt.NDArray[np.int8], one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]
) -> tuple[float, float, float]:
    """Return the other score's ROC AUC less the first one's, and the 95 % interval by a paired bootstrap."""
    random = np.random.default_rng(2026)
    differences = []
    while len(differences) < DRAWS:
        rows = random.integers(0, len(target), len(target))
        if 0 < target[rows].sum() < len(rows):
            differences.append(roc_auc_score(target[rows], other[rows]) - roc_auc_score(target[rows], one[rows]))
    low, high = np.quantile(differences, [0.025, 0.975])
    return roc_auc_score(target, other) - roc_auc_score(target, one), float(low), float(high)


def _rows(side: str) -> Rows:
    parts = sorted((RESULTS / "data" / "clean").rglob("*.parquet"))
    members = [RESULTS / "data" / "membership" / path.relative_to(RESULTS / "data" / "clean") for path in parts]
    return read_rows(parts, members, side, read_config(RESULTS / "config.json").contract())


def main() -> int:
    """Print the table of two models."""
    if len(sys.argv) != 3:
        print("usage: python -m benchmarks.twins MODEL OTHER_MODEL", file=sys.stderr)
        return 2
    names = sys.argv[1:]
    raw = read_config(RESULTS / "config.json").columns.features()
    train, test = _rows(TRAIN), _rows(TEST)
    folders = [RESULTS / "models" / name for name in names]
    models = [load_model(folder / "model.joblib", folder / "model.json")[0] for folder in folders]
    scores = [predict_default(model, test.frame) for model in models]
    shared = shared_columns(train.frame[raw], test.frame[raw])
    print(f"| columns shared with a train row, of {len(raw)} | test rows | defaults | {names[0]} | {names[1]} | lead |")
    print("| --- | --- | --- | --- | --- | --- |")
    every = {"any": shared >= 0}
    by_count = {str(n): shared == n for n in range(min(shared), max(shared) + 1)}
    edge = len(raw) - 2
    halves = {f"{edge} or more (near twins)": shared >= edge, f"fewer than {edge}": shared < edge}
    for label, rows in {**every, **halves, **by_count}.items():
        target = test.target[rows]
        if min(target.sum(), len(target) - target.sum()) < 20:
            continue
        values = [roc_auc_score(target, score[rows]) for score in scores]
        gain, low, high = lead(target, scores[0][rows], scores[1][rows])
        print(
            f"| {label} | {len(target):,} | {int(target.sum()):,} | {values[0]:.4f} | {values[1]:.4f} "
            f"| {gain:+.4f} ({low:+.4f} to {high:+.4f}) |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
