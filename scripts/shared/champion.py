"""The live model against which a winner must show itself: whether the two can be compared, and what follows from it.

Light to import: what needs Arrow or scikit-learn is imported where there is a live model to compare with.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scripts.shared.config import LOWER_IS_BETTER, Contract, Split
from scripts.shared.errors import listing
from scripts.shared.values import canonical_value

PUBLISH, STAGE, KEEP = "publish", "stage", "keep"

# What decides on which side a row is, by the method of the split.
DECIDES_SIDE = {
    "hash": ("method", "key", "test_share"),
    "group": ("method", "key", "test_share"),
    "time": ("method", "test_from"),
}
IDENTITY = {"hash": "id", "group": "group", "time": "date"}


# --- can they be compared? -----------------------------------------------------------------------------------------


def why_not_comparable(card: Mapping[str, Any], now: Contract) -> str | None:
    """Return in words why the clean rows don't give a model what it was trained on, or None where they do.

    Parameters
    ----------
    card
        Of the model: its contract, and the features that it uses.
    now
        What has made the clean rows.
    """
    then = Contract.model_validate(card["contract"])
    numeric, categorical = card["features"]["numeric"], card["features"]["categorical"]
    derived = [name for name in numeric if name in then.features]
    gone = [name for name in numeric if name not in now.numeric_features()]
    gone += [name for name in categorical if name not in now.columns.categorical]
    if gone:
        return f"it uses {listing(gone)}, which the rows no longer have in that form"
    other = [name for name in derived if then.features[name] != now.features.get(name)]
    other += [name for name in numeric if name not in then.features and name in now.features]
    if other:
        return f"{listing(other)}: derived by another expression when it was trained"
    if _target(then) != _target(now):
        return "it was trained for another target"
    used = {*categorical, *(name for name in numeric if name not in derived)}
    for name in derived:
        used |= _columns_of(then.features[name], f"features.{name}", then)
    return _cleaned_otherwise(then, now, used)


def _target(contract: Contract) -> tuple[str, str, str | None]:
    target = contract.columns.target
    negative = None if target.negative is None else canonical_value(target.negative)
    return target.column, canonical_value(target.positive), negative


def _cleaned_otherwise(then: Contract, now: Contract, used: set[str]) -> str | None:
    """Return in words which of the used columns were cleaned otherwise, or None."""
    old, new = then.cleaning, now.cleaning
    bounded = [name for name in sorted(used) if old.bounds.get(name) != new.bounds.get(name)]
    if bounded:
        return f"{listing(bounded)}: other bounds when it was trained (cleaning.bounds)"
    texts = sorted(used & set(then.columns.categorical))
    if texts and old.case != new.case:
        return f"{listing(texts)}: in another case when it was trained (cleaning.case)"
    spelled = [name for name in texts if old.aliases.get(name, {}) != new.aliases.get(name, {})]
    if spelled:
        return f"{listing(spelled)}: other aliases when it was trained (cleaning.aliases)"
    if _missing(then) != _missing(now):
        return "other texts meant missing when it was trained (data.format.missing_values)"
    differ = _checks(then, used) ^ _checks(now, used)
    if differ:
        text = min(differ)[0]
        return f"other checks between columns when it was trained (cleaning.checks: {text})"
    return None


def _missing(contract: Contract) -> set[str]:
    return {text.casefold() for text in contract.format.missing_values}


def _checks(contract: Contract, used: set[str]) -> set[tuple[str, str, str]]:
    """Return the checks that concern the used columns; what they are called doesn't matter."""
    return {
        (check.require, check.otherwise, check.column)
        for name, check in contract.cleaning.checks.items()
        if check.column in used or _columns_of(check.require, f"cleaning.checks.{name}", contract) & used
    }


def _columns_of(text: str, where: str, contract: Contract) -> set[str]:
    from scripts.shared.expressions import checked  # noqa: PLC0415 - Polars, and only where there is an expression

    return set(checked(text, where, tuple(contract.columns.numeric), tuple(contract.columns.categorical)).columns)


def contract_of_used(card: Mapping[str, Any]) -> dict[str, Any]:
    """Return a contract by which the rows of today can be read for a model: what it uses, and the target.

    Derived features are columns of clean rows like any others.
    """
    then = Contract.model_validate(card["contract"])
    columns = {
        "target": then.columns.target.model_dump(mode="json"),
        "numeric": card["features"]["numeric"],
        "categorical": card["features"]["categorical"],
    }
    return Contract.model_validate(
        {"format": then.format, "columns": columns, "cleaning": {}, "features": {}}
    ).model_dump(mode="json")


def split_note(card: Mapping[str, Any], now: Contract, split: Split) -> str | None:
    """Return in words that a model may have been trained on rows that are test rows now, or None where it wasn't."""
    warning = "so it may have been trained on some of these test rows, which flatters it"
    if "split" not in card:
        return f"its card doesn't say how its rows were split, {warning}"
    then, before = card["split"], Contract.model_validate(card["contract"])
    identity = IDENTITY[split.method]
    same = all(then.get(key) == getattr(split, key) for key in DECIDES_SIDE[split.method])
    same = same and getattr(before.columns, identity) == getattr(now.columns, identity)
    if split.method == "hash" and now.columns.id is None:  # a row is known by its content, as cleaned, column by column
        same = same and _decides_content(before) == _decides_content(now)
    if same:
        return None
    return f"its rows were split otherwise, {warning}"


def _decides_content(contract: Contract) -> tuple[Any, ...]:
    return contract.columns.numeric, contract.columns.categorical, contract.cleaning, contract.format


# --- what follows --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gain:
    """How much better the winner is than the live model, in the metric that decides; positive is better.

    Attributes
    ----------
    metric
        Its name.
    value, low, high
        On the test rows, with its 95 % interval.
    """

    metric: str
    value: float
    low: float
    high: float

    @classmethod
    def of(cls, difference: Mapping[str, Any]) -> "Gain":
        """Return the gain of a difference, winner less champion, as `differences.json` has it."""
        value, low, high = (float(difference[key]) for key in ("value", "low", "high"))
        if difference["metric"] in LOWER_IS_BETTER:
            value, low, high = -value, -high, -low
        return cls(difference["metric"], value, low, high)

    def __str__(self) -> str:
        """Return the gain in words."""
        return f"the gain in {self.metric} is {self.value:+.4f}, 95 % interval {self.low:+.4f} to {self.high:+.4f}"


def decide(
    version: str, live: str | None, gain: Gain | None, why_not: str | None, min_gain: float | None, approval: bool
) -> tuple[str, str]:
    """Return the decision (publish, stage or keep) and the reason in words.

    Parameters
    ----------
    version, live
        The winner's version and the live one, None where nothing is live.
    gain
        Of the winner over the live model, None where they can't be compared.
    why_not
        Why they can't.
    min_gain
        `select.champion.min_gain`.
    approval
        `deploy.approval`.
    """
    if version == live:
        return PUBLISH, f"version {version} is live already"
    onward = (STAGE, "a person must make it live (deploy.approval)") if approval else (PUBLISH, "")
    if live is None:
        return _because(onward, "nothing is live yet")
    if min_gain is None:
        told = f"{gain}; no gain was asked for (select.champion.min_gain)" if gain else f"not compared: {why_not}"
        return _because(onward, told)
    asked = f"select.champion.min_gain {min_gain:g}"
    if gain is not None:
        enough = gain.low > min_gain
        told = f"{gain}: above {asked}" if enough else f"{gain}: not above {asked}; version {live} stays live"
        return _because(onward if enough else (KEEP, ""), told)
    told = f"{asked} is asked for, and the live version {live} can't be compared: {why_not}"
    remedy = (
        "it stays live; to replace it all the same, set deploy.approval: true and promote the winner, or leave "
        "min_gain out"
    )
    return _because(onward, told) if approval else (KEEP, f"{told}; {remedy}")


def _because(onward: tuple[str, str], told: str) -> tuple[str, str]:
    decision, also = onward
    return decision, "; ".join(filter(None, [told, also]))


def metrics_compared(first: str, usual: Iterable[str] = ("roc_auc", "pr_auc", "ks", "brier", "log_loss")) -> list[str]:
    """Return the metrics in which models are compared pairwise, the one that decides among them.

    >>> metrics_compared("f1")
    ['f1', 'roc_auc', 'pr_auc', 'ks', 'brier', 'log_loss']
    """
    return list(dict.fromkeys([first, *usual]))
