"""A model's row in the config becomes one scikit-learn Pipeline that holds everything learnt from data."""

import importlib
import inspect
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

from scripts.shared.config import Categorical, Model, Numeric
from scripts.shared.errors import UserError, did_you_mean, listing

MISSING = "(missing)"
MAX_NATIVE_CATEGORIES = 254  # HistGradientBoosting bins categories into one byte, one of them for missing
# Its filter of useless features works otherwise for rows from disk than for rows in memory; training drops them, too.
LIGHTGBM = {
    "deterministic": True,
    "force_row_wise": True,
    "feature_pre_filter": False,
    "n_jobs": 0,
    "verbosity": -1,
}


def build_pipeline(name: str, model: Model, numeric: list[str], categorical: list[str], seed: int) -> Pipeline:
    """Return the unfitted Pipeline of a model.

    Parameters
    ----------
    name
        The model's name in the config, for messages.
    model
        Its row in the config.
    numeric, categorical
        The feature columns; the Pipeline takes a pandas frame that has them.
    seed
        For estimators with a `random_state`.

    Raises
    ------
    UserError
        Where the estimator can't be imported, is no classifier with `predict_proba`, or refuses a parameter.
    """
    estimator = _estimator(name, model, len(categorical), seed)
    unknown = getattr(estimator, "UNKNOWN_CATEGORY", np.nan)
    transformers = [
        ("numeric", _numeric(model.numeric, seed), numeric),
        ("categorical", _categorical(model.categorical, unknown), categorical),
    ]
    if model.numeric.also_as_category:
        transformers.insert(1, ("values", _values(seed), numeric))
    if model.categorical.encoding == "native":
        transformers.reverse()  # numeric columns may become more than they were, so only the first places are known
    columns = ColumnTransformer([t for t in transformers if t[2]], verbose_feature_names_out=True)
    return Pipeline([("columns", columns), ("model", estimator)])


def _numeric(options: Numeric, seed: int) -> Any:
    steps: list[Any] = []
    if options.impute:
        # The indicator keeps what a missing value says; with a median alone that is lost.
        steps.append(SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True))
    if options.transform == "scale":
        steps.append(StandardScaler())
    elif options.transform == "spline":
        steps += [
            SplineTransformer(n_knots=options.knots, degree=3, knots="quantile", extrapolation="linear"),
            StandardScaler(),
        ]
    elif options.transform == "bin":
        steps.append(
            KBinsDiscretizer(
                n_bins=options.knots,
                encode="onehot-dense",  # not every estimator takes sparse matrices
                strategy="quantile",
                quantile_method="averaged_inverted_cdf",
                random_state=seed,
            )
        )
    return make_pipeline(*steps) if steps else "passthrough"


def _values(seed: int) -> TargetEncoder:
    """Return what takes each value of a number as a category: the default rate of its rows.

    Rare values are drawn to the overall rate (Micci-Barreca 2001, doi:10.1145/507533.507538), and values that training
    never saw get it. While training, a row's own outcome has no part in its encoding: the rate is that of other folds.
    """
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    return TargetEncoder(target_type="binary", smooth="auto", cv=folds)


def _categorical(options: Categorical, unknown: float) -> Any:
    if options.encoding == "native":
        return OrdinalEncoder(
            handle_unknown="use_encoded_value",
            unknown_value=unknown,
            encoded_missing_value=np.nan,
            max_categories=MAX_NATIVE_CATEGORIES,
            dtype=np.float64,
        )
    return make_pipeline(
        SimpleImputer(strategy="constant", fill_value=MISSING, keep_empty_features=True),
        OneHotEncoder(
            handle_unknown="infrequent_if_exist",
            min_frequency=options.min_frequency,
            sparse_output=False,
        ),
    )


def _estimator(name: str, model: Model, categorical: int, seed: int) -> Any:
    where = f"models.{name}"
    kind = _import(model.estimator, where)
    no_classifier = UserError(f"{where}.estimator: {model.estimator} is no classifier with predict_proba")
    if not inspect.isclass(kind) or not hasattr(kind, "predict_proba"):
        raise no_classifier
    _refuse_prepared_columns(model, kind, where)
    allowed = inspect.signature(kind).parameters
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in allowed.values())
    for key in model.params:
        if key not in allowed and not takes_any:
            raise UserError(
                f"{where}.params: {kind.__name__} has no parameter '{key}'{did_you_mean(key, allowed)}; "
                f"it has {listing(allowed, limit=40)}"
            )
    params = dict(model.params)
    if "random_state" in allowed:
        params.setdefault("random_state", seed)
    lightgbm = path_of(kind).startswith("lightgbm.")
    if lightgbm:
        # Equal bytes for equal input. By itself it takes all cores: 0 means those that the job has (OMP_NUM_THREADS).
        for key, value in LIGHTGBM.items():
            params.setdefault(key, value)
    if model.categorical.encoding == "native":
        if "categorical_features" not in allowed and not lightgbm:
            raise UserError(f"{where}.categorical.encoding: {kind.__name__} has no native categories; use onehot")
        # build_pipeline puts them first; `cat_feature` is the name that LightGBM takes from an estimator's arguments.
        params["cat_feature" if lightgbm else "categorical_features"] = list(range(categorical))
    estimator = kind(**params)
    if not is_classifier(estimator):
        raise no_classifier
    return estimator


def _refuse_prepared_columns(model: Model, kind: type, where: str) -> None:
    """Raise UserError where an estimator that bins the columns itself would get others."""
    raw = (model.numeric.transform, model.numeric.impute, model.numeric.also_as_category, model.categorical.encoding)
    if getattr(kind, "NEEDS_RAW_COLUMNS", False) and raw != ("none", False, False, "native"):
        raise UserError(
            f"{where}: {kind.__name__} bins the columns itself; set {where}.numeric: {{impute: false}}, with no "
            f"transform, and {where}.categorical: {{encoding: native}}"
        )


def path_of(kind: type) -> str:
    """Return a class's module and name."""
    return f"{kind.__module__}.{kind.__qualname__}"


def _import(path: str, where: str) -> Any:
    module, _, attribute = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise UserError(f"{where}.estimator: can't import '{module}' ({error}); is its package installed?") from None
    except AttributeError:
        names = [n for n in dir(importlib.import_module(module)) if n[:1].isupper()]
        raise UserError(f"{where}.estimator: '{module}' has no '{attribute}'{did_you_mean(attribute, names)}") from None
