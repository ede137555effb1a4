"""What each column of a fitted Pipeline's matrix is, known by how the Pipeline is built, never by parsing a name."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

Kind = Literal["number", "missing", "category", "bin", "spline", "encoded"]

RARE = "infrequent_sklearn"  # what scikit-learn calls categories that it takes together
RARE_IN_WORDS = "a rare value"


@dataclass(frozen=True)
class Column:
    """One column of the matrix that the estimator gets.

    Attributes
    ----------
    feature
        The feature that it comes from.
    kind
        `number`: its value; `missing`: whether it is missing; `category`: whether it is one; `bin`: whether it lies in
        one; `spline`: a spline's basis, which means little alone; `encoded`: the default rate of its value.
    of
        The category, the bin, or the number of the basis, in words.
    mean, scale
        The column is (what it stands for - mean) / scale.
    """

    feature: str
    kind: Kind
    of: str = ""
    mean: float = 0.0
    scale: float = 1.0

    @property
    def label(self) -> str:
        """Return the column in words, such as ``loan_intent is MEDICAL``."""
        return {
            "number": self.feature,
            "missing": f"{self.feature} is missing",
            "category": f"{self.feature} is {self.of}",
            "bin": f"{self.feature} in {self.of}",
            "spline": f"{self.feature}, spline {self.of}",
            "encoded": f"default rate of the value of {self.feature}",
        }[self.kind]


def columns_of(pipeline: Pipeline, numeric: Sequence[str], categorical: Sequence[str]) -> list[Column] | None:
    """Return the columns of a Pipeline of `build_pipeline`, in their order; None where a step isn't known here."""
    found: list[Column] = []
    for name, transformer, _ in pipeline["columns"].transformers_:
        if transformer == "drop":
            continue
        columns = _categories(transformer, categorical) if name == "categorical" else _numbers(transformer, numeric)
        if columns is None:
            return None
        found += columns
    return found


def _numbers(transformer: Any, numeric: Sequence[str]) -> list[Column] | None:
    if isinstance(transformer, TargetEncoder):
        return [Column(name, "encoded") for name in numeric]
    columns = [Column(name, "number") for name in numeric]
    for step in list(transformer) if isinstance(transformer, Pipeline) else [transformer]:
        if isinstance(step, SimpleImputer) and step.keep_empty_features:
            indicated = [] if step.indicator_ is None else step.indicator_.features_.tolist()
            columns += [Column(numeric[place], "missing") for place in indicated]
        elif isinstance(step, StandardScaler):
            scales = zip(columns, step.mean_.tolist(), step.scale_.tolist(), strict=True)
            columns = [Column(c.feature, c.kind, c.of, mean, scale) for c, mean, scale in scales]
        elif isinstance(step, SplineTransformer):
            each = step.n_features_out_ // len(columns)
            columns = [_part(c, "spline", f"{n + 1} of {each}") for c in columns for n in range(each)]
        elif isinstance(step, KBinsDiscretizer):
            columns = [
                _part(c, "bin", f"[{low:.6g}, {high:.6g})")
                for c, edges in zip(columns, step.bin_edges_, strict=True)
                for low, high in itertools.pairwise(edges.tolist())
            ]
        elif not (isinstance(step, FunctionTransformer) and step.func is None):
            return None
    return columns


def _part(column: Column, kind: Kind, of: str) -> Column:
    """Return a part of a column; that of an indicator tells which it was of."""
    return Column(column.feature, kind, f"{of} of its indicator" if column.kind == "missing" else of)


def _categories(transformer: Any, categorical: Sequence[str]) -> list[Column] | None:
    last = transformer[-1] if isinstance(transformer, Pipeline) else transformer
    if not isinstance(last, OneHotEncoder):
        return None
    outputs = last.get_feature_names_out([str(place) for place in range(len(categorical))])  # 0_RENT, 1_MEDICAL, …
    found = []
    for output in outputs.tolist():
        place, _, of = output.partition("_")
        found.append(Column(categorical[int(place)], "category", RARE_IN_WORDS if of == RARE else of))
    return found


def standard_deviation(second_moment: float, mean: float) -> float:
    """Return the standard deviation of a column from the mean of its squares and its mean."""
    return float(np.sqrt(max(0.0, second_moment - mean * mean)))
