"""The candidates of a search, their rounds and jobs: from the config alone, so that all is known before a run starts.

Imported by the Snakefile, which every job parses: nothing heavy here.
"""

import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.shared.config import LOWER_IS_BETTER, Dimension, Model, Tune
from scripts.shared.errors import UserError
from scripts.shared.files import canonical, read_json, sha256_text

UNTUNED = "untuned"
ID_LENGTH = 10
DIGITS = 4  # of drawn numbers: enough for any parameter, and few enough that no machine's last bit shows


@dataclass(frozen=True)
class Candidate:
    """One set of parameters.

    Attributes
    ----------
    id
        Hash of the parameters, or `UNTUNED`: the same however many others there are.
    parameters
        By the names of the space, such as ``C`` and ``numeric.knots``.
    """

    id: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Round:
    """One round of a search.

    Attributes
    ----------
    number
        From 1.
    names
        What its trials are called: candidates' ids in the first round, then places, since only the scores tell who
        comes that far.
    share
        The share of the train rows that candidates are fitted on.
    """

    number: int
    names: tuple[str, ...]
    share: float

    def batches(self, per_job: int) -> list[tuple[str, ...]]:
        """Return the names by job, in their order, so that more candidates leave all full jobs as they were."""
        return [self.names[start : start + per_job] for start in range(0, len(self.names), per_job)]


def find_rounds(name: str, row: Model, seed: int) -> list[Round]:
    """Return the rounds of the search of the model `name`.

    Raises
    ------
    UserError
        Where the space doesn't hold as many different candidates as are asked for.
    """
    try:
        return rounds(row, candidates(row, seed))
    except UserError as error:
        raise UserError(f"models.{name}.{error}") from None


def candidates(row: Model, seed: int) -> list[Candidate]:
    """Return the candidates of a model's search; the first is the model as its row says it.

    A longer search begins with the shorter one's candidates. None comes twice.

    Raises
    ------
    UserError
        Where the space doesn't hold as many different candidates as are asked for.
    """
    tune = _tune(row)
    own = {name: value for name in tune.space if (value := _own_value(row, name)) is not _UNSET}
    found = [Candidate(UNTUNED, own)]
    seen = {canonical(own)}
    wanted = math.inf if tune.search == "grid" else tune.n + 1
    for parameters in _grid(tune) if tune.search == "grid" else _draws(tune, seed):
        if len(found) == wanted:
            break
        text = canonical(parameters)
        if text not in seen:
            seen.add(text)
            found.append(Candidate(sha256_text(text)[:ID_LENGTH], parameters))
    if len(found) < wanted < math.inf:
        raise UserError(
            f"tune.n: the space gave {len(found) - 1} different candidates, fewer than {tune.n}; "
            "lower n, or widen the space"
        )
    return found


def _tune(row: Model) -> Tune:
    if row.tune is None:
        raise AssertionError("a model without a search has no candidates")
    return row.tune


_UNSET = object()


def _own_value(row: Model, name: str) -> Any:
    section, dot, option = name.partition(".")
    return getattr(getattr(row, section), option) if dot else row.params.get(name, _UNSET)


def _grid(tune: Tune) -> Iterator[dict[str, Any]]:
    """Yield all combinations, the last parameter changing fastest."""
    for values in itertools.product(*(dimension.values or [] for dimension in tune.space.values())):
        yield dict(zip(tune.space, values, strict=True))


def _draws(tune: Tune, seed: int) -> Iterator[dict[str, Any]]:
    """Yield random candidates: the draw of a number and a parameter depends on nothing else."""
    for number in range(100 * tune.n + 1000):  # a space that is nearly used up repeats itself some ten times
        yield {
            name: drawn_value(dimension, uniform(f"{seed}/{number}/{name}")) for name, dimension in tune.space.items()
        }


def uniform(text: str) -> float:
    """Return a number in [0, 1) that follows from a text, alike on all machines and in all versions of Python.

    >>> uniform("2026/0/C") == uniform("2026/0/C") != uniform("2026/1/C")
    True
    """
    return (int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 11) * 2.0**-53


def drawn_value(dimension: Dimension, u: float) -> Any:
    """Return the value of a dimension at `u` of [0, 1).

    >>> drawn_value(Dimension(low=1, high=100, log=True), 0.5)
    10.0
    >>> drawn_value(Dimension(low=1, high=6, integer=True), 0.999)
    6
    >>> drawn_value(Dimension(values=["gini", "entropy"]), 0.5)
    'entropy'
    """
    if dimension.values is not None:
        return dimension.values[int(u * len(dimension.values))]
    if dimension.low is None or dimension.high is None:
        raise AssertionError("the config lets no such dimension pass")
    low, high = dimension.low, dimension.high
    if dimension.integer:
        high += 1  # each whole number has the same room
    value = low * (high / low) ** u if dimension.log else low + (high - low) * u
    if dimension.integer:
        return int(min(math.floor(value), dimension.high))
    return min(max(float(f"{value:.{DIGITS}g}"), dimension.low), dimension.high)


def rounds(row: Model, found: Sequence[Candidate]) -> list[Round]:
    """Return the rounds of a search.

    Successive halving (Jamieson and Talwalkar 2016, arXiv:1502.07943), with as many rounds as leave at most `eta`
    candidates for the last one, on all rows; a search of another kind is one round. The model as its row says it is in
    every round, beside them: what is found must be better than that.

    >>> tune = {"search": "halving", "n": 27, "space": {"C": {"low": 0, "high": 1}}}
    >>> row = Model(estimator="a.B", complexity=1, tune=tune)
    >>> [(len(r.names), round(r.share, 3)) for r in rounds(row, candidates(row, seed=1))]
    [(28, 0.111), (10, 0.333), (4, 1.0)]
    """
    tune = _tune(row)
    first = tuple(candidate.id for candidate in found)
    counts = [len(first) - 1]
    while tune.search == "halving" and counts[-1] > tune.eta:
        counts.append(math.ceil(counts[-1] / tune.eta))
    return [
        Round(
            number,
            first if number == 1 else (UNTUNED, *(f"place_{place}" for place in range(1, count + 1))),
            float(tune.eta) ** (number - len(counts)),
        )
        for number, count in enumerate(counts, start=1)
    ]


def tuned_row(row: Model, tuned: Sequence[Path]) -> Model:
    """Return a model's row with the parameters that its search found, or as it is where there was none."""
    return with_parameters(row, read_json(tuned[0])["parameters"]) if tuned else row


def with_parameters(row: Model, parameters: dict[str, Any]) -> Model:
    """Return a model's row with parameters of a search in it, and without the search."""
    data = row.model_dump() | {"tune": None}
    for name, value in parameters.items():
        section, dot, option = name.partition(".")
        if dot:
            data[section][option] = value
        else:
            data["params"][name] = value
    return Model.model_validate(data)


def ranked(trials: Iterable[dict[str, Any]], order: Sequence[str], metric: str) -> list[dict[str, Any]]:
    """Return trials, the best first.

    Trials of a larger share of the rows come first, then the better mean; where means are equal, the candidate that is
    earlier in `order`: the model as its row says it, then the sequence of the search.
    """
    sign = 1 if metric in LOWER_IS_BETTER else -1
    place = {name: index for index, name in enumerate(order)}
    return sorted(
        trials, key=lambda trial: (-trial["share"], sign * mean_score(trial, metric), place[trial["candidate"]])
    )


def mean_score(trial: dict[str, Any], metric: str) -> float:
    """Return the mean of a metric over a trial's folds."""
    scores = [fold[metric] for fold in trial["folds"]]
    return math.fsum(scores) / len(scores)
