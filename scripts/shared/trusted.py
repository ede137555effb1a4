"""Artefacts in the format of skops: a loaded file makes objects of listed types only, whatever its author wrote.

Light to import, since the Snakefile asks it what can be carried: skops is imported where a file is written or read.
"""

import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scripts.shared.errors import UserError, listing

# What skops 0.16 doesn't trust by itself, and the models of this project are made of. Whoever can write a file that
# passes skops can still write numbers that make no sense: the nodes of a `Tree`, a `TreePredictor` or a k-d tree are
# read without checks, so that malformed ones crash Python or read memory that is none of theirs; LightGBM and CatBoost
# parse a blob of their own. That is why the checksum comes first (scripts/shared/models.py): only the bytes that
# training wrote, by the word of the card beside them, get as far as this list.
TRUSTED = frozenset(
    {
        "numpy.dtype",
        # what a scaled spline, an encoder and "passthrough" hold
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        "scipy.interpolate._bsplines.BSpline",
        "sklearn.model_selection._split.StratifiedKFold",
        "functools.partial",  # of the next, in HistGradientBoosting; a function that isn't listed is refused in it, too
        "sklearn.utils.validation.check_array",
        # decision trees, forests, boosting; neural networks
        "sklearn.tree._tree.Tree",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        # LightGBM, CatBoost
        "collections.OrderedDict",
        "lightgbm.basic.Booster",
        "lightgbm.sklearn.LGBMClassifier",
        "catboost.core.CatBoostClassifier",
        "scripts.shared.catboosting.CatBoost",
        # maps of scores, scorecards
        "scripts.shared.calibrated.Calibrated",
        "scripts.shared.scorecard.Attribute",
        "scripts.shared.scorecard.Scorecard",
    }
)
# Estimators, as the config names them, whose scores come back equal (tests/unit/test_trusted.py tries each).
CARRIED = (
    "sklearn.linear_model.LogisticRegression",
    "sklearn.tree.DecisionTreeClassifier",
    "sklearn.ensemble.RandomForestClassifier",
    "sklearn.ensemble.ExtraTreesClassifier",
    "sklearn.ensemble.GradientBoostingClassifier",
    "sklearn.ensemble.HistGradientBoostingClassifier",
    "sklearn.ensemble.AdaBoostClassifier",
    "sklearn.naive_bayes.GaussianNB",
    "sklearn.neural_network.MLPClassifier",
    "lightgbm.LGBMClassifier",
    "scripts.shared.catboosting.CatBoost",
    "scripts.shared.scorecard.Scorecard",
)
USE_JOBLIB = "set deploy.artefact: joblib, or take another model"


def check_carried(estimators: dict[str, str], artefact: str) -> None:
    """Raise UserError where models are to be written by skops, and it can't carry one; `estimators` by model.

    So it is told before anything runs. Estimators that nobody has tried are refused: a model is worth hours.
    """
    for name, estimator in sorted(estimators.items()):
        if artefact == "skops" and estimator not in CARRIED:
            raise UserError(
                f"models.{name}.estimator: {estimator} can't be written by skops, which carries "
                f"{listing(CARRIED, limit=len(CARRIED))}; {USE_JOBLIB}"
            )


def untrusted(types: Iterable[str]) -> list[str]:
    """Return the types that are not listed, sorted."""
    return sorted(set(types) - TRUSTED)


def dump(model: Any, path: Path) -> None:
    """Write a model by skops; equal models of equal history are equal bytes.

    Raises
    ------
    UserError
        Where it holds types that are not listed, or that skops can't write.
    """
    from skops import io  # noqa: PLC0415 - see above: most runs need none of it

    try:
        io.dump(model, path)
        unlisted = untrusted(io.get_untrusted_types(file=path))
    except (TypeError, ValueError, AttributeError, NotImplementedError) as error:
        raise UserError(f"skops can't write this model ({error}); {USE_JOBLIB}") from None
    if unlisted:
        raise UserError(f"skops can write this model, but would not load it: {_named(unlisted)}; {USE_JOBLIB}")
    _settle(path)


def load(path: Path, remedy: str) -> Any:
    """Return what a file of skops holds. The checksum must have been compared before.

    Parameters
    ----------
    path
        The artefact.
    remedy
        What to do where it isn't loaded.

    Raises
    ------
    UserError
        Where it holds types that are not listed, or isn't a file of skops.
    """
    from skops import io  # noqa: PLC0415 - see above: most runs need none of it

    try:
        found = io.get_untrusted_types(file=path)
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise UserError(f"{path} is no artefact of skops ({error}) and is not loaded; {remedy}") from None
    if unlisted := untrusted(found):
        raise UserError(f"{path} is not loaded: {_named(unlisted)}; {remedy}")
    return io.load(path, trusted=sorted(found))


def _named(unlisted: list[str]) -> str:
    """Return in words what is not in the list."""
    what = "is no type" if len(unlisted) == 1 else "are no types"
    return f"{', '.join(unlisted)} {what} that scripts/shared/trusted.py lists"


def _settle(path: Path) -> None:
    """Write a file of skops anew without what differs by chance: times, addresses in memory, and names made of them."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(members.pop("schema.json"))
    numbers: dict[int, int] = {}
    names: dict[str, str] = {}
    _renumber(schema, numbers, names)
    settled = {names[old]: content for old, content in members.items() if old in names}
    settled["schema.json"] = json.dumps(schema, separators=(",", ":")).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(settled):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), settled[name])


def _renumber(node: Any, numbers: dict[int, int], names: dict[str, str]) -> None:
    """Number objects and files below a node of the schema by where they come first, from 1, in place."""
    if isinstance(node, list):
        for child in node:
            _renumber(child, numbers, names)
    elif isinstance(node, dict):
        if "__loader__" in node:
            if isinstance(node.get("__id__"), int):
                node["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
            if isinstance(node.get("file"), str):
                new = f"{len(names) + 1}{Path(node['file']).suffix}"
                node["file"] = names.setdefault(node["file"], new)
        for child in node.values():
            _renumber(child, numbers, names)
