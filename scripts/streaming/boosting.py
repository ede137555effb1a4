"""LightGBM from rows on scratch disk: it samples them for its bins, then takes them block by block as bytes.

What it keeps is a few bytes a feature and row, some 60 on the loan data: bounded, but not for any number of rows.
"""

import numbers
import warnings
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt

from scripts.streaming.cache import BLOCK_ROWS, ArrayFile
from scripts.streaming.logistic import Blocks, class_weights


class _OnDisk(lightgbm.Sequence):
    """Rows of an array file, as LightGBM asks for them."""

    batch_size = BLOCK_ROWS

    def __init__(self, file: ArrayFile) -> None:
        self.file = file

    def __getitem__(self, index: Any) -> npt.NDArray[np.float64]:
        if isinstance(index, numbers.Integral):
            return np.asarray(self.file.read(int(index), int(index) + 1)[0])
        if isinstance(index, slice):
            return self.file.read(index.start or 0, self.file.rows if index.stop is None else index.stop)
        return np.vstack([self.file.read(int(at), int(at) + 1) for at in index])

    def __len__(self) -> int:
        return self.file.rows


def fit_boosting(model: lightgbm.LGBMClassifier, blocks: Blocks, class_counts: tuple[int, int], scratch: Path) -> None:
    """Fit in place; the attributes are those of LightGBM's own fit.

    Parameters
    ----------
    model
        Any parameters.
    blocks
        Gives features (rows, width) and target (rows,), 0 or 1, anew at each call.
    class_counts
        Rows with target 0 and 1.
    scratch
        Folder for the rows: 8 bytes a feature.
    """
    width = next(blocks())[0].shape[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        few = lightgbm.LGBMClassifier(**(model.get_params() | {"n_estimators": 1, "verbosity": -1}))
        few.fit(np.zeros((2, width)), np.array([0, 1], dtype=np.int8))  # for classes_ and the like
    model.__dict__.update({name: value for name, value in vars(few).items() if name not in model.get_params()})
    params = model._process_params(stage="fit")
    file = ArrayFile(scratch / "features", width, np.float64)
    try:
        target = np.empty(sum(class_counts), np.int8)
        for features, of_block in blocks():
            target[file.rows : file.rows + len(of_block)] = of_block
            file.append(features)
        weights = class_weights(model.class_weight, class_counts)
        data = lightgbm.Dataset(
            _OnDisk(file),
            label=target,
            weight=None if model.class_weight is None else weights[target],
            params=params,
        ).construct()
    finally:
        file.close()
    booster = lightgbm.train(params, data, num_boost_round=model.n_estimators)
    booster.free_dataset()
    model._Booster = booster
    model._best_iteration = booster.best_iteration
