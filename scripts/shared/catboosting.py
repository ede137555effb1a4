"""CatBoost as the Pipeline takes it: a matrix of numbers in, of which some are codes of categories."""

import os
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from catboost import CatBoostClassifier, Pool
from sklearn.base import BaseEstimator, ClassifierMixin

MISSING = -1  # the code of a missing category


class CatBoost(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Gradient boosting on categories as they are, by ordered target statistics (Prokhorenkova 2018, arXiv:1706.09516).

    Parameters
    ----------
    categorical_features
        Columns of the matrix that hold codes of categories; the Pipeline sets it.
    numbers_twice
        Whether each other column is a category, too: every value of a number is one.
    seeds
        How many models are fitted, with `random_state` and the numbers after it, whose probabilities are averaged: the
        order in which CatBoost takes the rows is drawn.
    iterations, learning_rate, depth, l2_leaf_reg, random_strength, bagging_temperature, rsm
        CatBoost's own.
    random_state
        Seed. Equal seeds and threads give equal models; threads are the job's (OMP_NUM_THREADS).
    """

    def __init__(
        self,
        categorical_features: list[int] | None = None,
        numbers_twice: bool = False,
        seeds: int = 1,
        iterations: int = 1000,
        learning_rate: float = 0.05,
        depth: int = 6,
        l2_leaf_reg: float = 3.0,
        random_strength: float = 1.0,
        bagging_temperature: float = 1.0,
        rsm: float = 1.0,
        random_state: int | None = None,
    ) -> None:
        self.categorical_features = categorical_features
        self.numbers_twice = numbers_twice
        self.seeds = seeds
        self.iterations = iterations
        self.learning_rate = learning_rate
        self.depth = depth
        self.l2_leaf_reg = l2_leaf_reg
        self.random_strength = random_strength
        self.bagging_temperature = bagging_temperature
        self.rsm = rsm
        self.random_state = random_state

    def fit(self, X: npt.NDArray[np.float64], y: npt.NDArray[Any]) -> Self:
        """Fit on a matrix (rows, columns) and outcomes (rows,)."""
        own = ("categorical_features", "numbers_twice", "seeds", "random_state")
        options = {key: value for key, value in self.get_params().items() if key not in own}
        self.classes_ = np.unique(y)
        self.n_features_in_ = np.shape(X)[1]
        options |= {"thread_count": _threads(), "allow_writing_files": False, "verbose": False}
        first, pool = self.random_state or 0, self._pool(X, y)
        self.models_ = [
            CatBoostClassifier(**options, random_seed=seed).fit(pool) for seed in range(first, first + self.seeds)
        ]
        return self

    def predict_proba(self, X: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the probability of each class, shape (rows, 2)."""
        pool = self._pool(X)
        each = [model.predict_proba(pool, thread_count=_threads()) for model in self.models_]
        return np.asarray(np.mean(each, axis=0), dtype=np.float64)

    def log_odds(self, X: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the log-odds of the averaged probability of class 1, shape (rows,).

        Not by way of the probability, of which no digits are left where it is near 1.
        """
        pool = self._pool(X)
        each = [model.predict(pool, prediction_type="RawFormulaVal", thread_count=_threads()) for model in self.models_]
        if len(each) == 1:
            return np.asarray(each[0], dtype=np.float64)
        raw = np.stack(each)
        log_of_default, log_of_repaid = (-np.logaddexp(0, sign * raw) for sign in (-1, 1))
        return np.asarray(np.logaddexp.reduce(log_of_default, axis=0) - np.logaddexp.reduce(log_of_repaid, axis=0))

    def predict(self, X: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
        """Return the likelier class of each row."""
        return np.asarray(self.classes_[np.argmax(self.predict_proba(X), axis=1)])

    def _pool(self, X: npt.NDArray[np.float64], y: npt.NDArray[Any] | None = None) -> Pool:
        matrix = np.asarray(X, dtype=np.float64)
        coded = set(self.categorical_features or ())
        columns: dict[str, npt.NDArray[Any]] = {}
        for index in range(matrix.shape[1]):
            values = matrix[:, index]
            if index in coded:
                columns[f"c{index}"] = np.where(np.isnan(values), MISSING, values).astype(np.int64)
            else:
                columns[f"n{index}"] = values
                if self.numbers_twice:
                    columns[f"c{index}"] = (values + 0.0).view(np.int64)  # equal bits are equal numbers; no -0
        categories = [name for name in columns if name.startswith("c")]
        return Pool(pd.DataFrame(columns), y, cat_features=categories)


def _threads() -> int:
    return int(os.environ.get("OMP_NUM_THREADS", "1"))
