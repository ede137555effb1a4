"""A published version's files: artefact, card as JSON and as Markdown, metrics, lock, environment, golden rows.

Pure text; nothing heavy is imported, since the step that publishes loads no model.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from scripts.shared.cards import SKOPS, artefact_name
from scripts.shared.config import Config
from scripts.shared.environment import FILE as ENVIRONMENT
from scripts.shared.environment import for_version
from scripts.shared.errors import listing
from scripts.shared.files import canonical, read_json, sha256_file, write_json, write_text

GOLDEN, CARD = "golden.json", "card.md"  # golden.json: also in scripts/shared/golden.py, whose imports are heavy
NOT_STATED = "not stated"
METRICS = {
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC (average precision)",
    "gini": "Gini (2 AUC - 1)",
    "ks": "KS",
    "brier": "Brier score (lower is better)",
    "log_loss": "log loss (lower is better)",
    "accuracy": "accuracy at the threshold",
    "precision": "precision of default at the threshold",
    "recall": "recall of default at the threshold",
    "f1": "F1 of default at the threshold",
}
GOVERNANCE = {
    "owner": "Owner",
    "approver": "Approver",
    "override": "May override the report's verdict",
    "tier": "Risk tier",
    "intended_use": "Intended use",
    "out_of_scope": "Out of scope",
    "target_definition": "Target definition",
    "exclusions": "Exclusions",
    "monitoring": "Monitoring",
}
SPLITS = {
    "hash": "by a keyed hash of each row's identity",
    "group": "by a keyed hash of the group that a row belongs to",
    "time": "by time: the test rows are the later ones",
}
FEW_DEFAULTS = 100  # below, the interval of a recall is some 0.1 to either side (binomial, normal approximation)


def version_files(
    folder: Path,
    model_file: Path,
    card_file: Path,
    metrics_file: Path,
    lock: Path,
    settings: Config,
    version: str,
    differences: dict[str, Any] | None = None,
) -> dict[str, Path]:
    """Return what a version consists of: names in its folder, and where they come from.

    Parameters
    ----------
    folder
        Where those that are made here are written; they must stay until the version is published.
    model_file, card_file, metrics_file
        The winner's.
    lock
        The lock file.
    settings
        The run's config.
    version
        The version's name.
    differences
        What `results/metrics/differences.json` holds, where there is one.
    """
    card, metrics, checksum = read_json(card_file), read_json(metrics_file), sha256_file(lock)
    write_json(folder / ENVIRONMENT, for_version(card, checksum))
    write_json(folder / GOLDEN, card["golden"])
    write_text(folder / CARD, make_card(card, metrics, settings, version, checksum, differences))
    return {
        artefact_name(card): model_file,
        "model.json": card_file,
        "metrics.json": metrics_file,
        "requirements.lock": lock,
        **{name: folder / name for name in (CARD, ENVIRONMENT, GOLDEN)},
    }


def make_card(
    card: dict[str, Any],
    metrics: dict[str, Any],
    settings: Config,
    version: str,
    lock: str,
    differences: dict[str, Any] | None = None,
) -> str:
    """Return a model's card in Markdown: equal input, equal text.

    Parameters
    ----------
    card
        The card that training wrote (`model.json`).
    metrics
        On the test rows, as the step `evaluate` writes them.
    settings
        The run's config: governance, labels, how rows are split, how the winner and the threshold are found.
    version
        The version's name.
    lock
        SHA-256 of the lock file.
    differences
        What `results/metrics/differences.json` holds: intervals, and the comparison with the model that was live.
    """
    sections = [
        (f"Model card: {escape(card['name'])}, version {version}", _what(card, version)),
        ("What people decided", _governance(settings)),
        ("Features", _features(card, settings)),
        ("Training", _training(card, settings)),
        ("Measured on the test rows", _measured(card, metrics, settings, differences)),
        ("Threshold", _threshold(metrics, settings)),
        ("Reasons for a decision", _reasons(card, settings)),
        ("Limits", _limits(card, metrics, settings, differences)),
        ("Where it comes from", _origin(card, lock)),
        ("How to load it", _loading(card, version)),
        ("How long it is kept", _retention(settings)),
    ]
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in sections).removeprefix("#") + "\n"


def escape(text: object) -> str:
    """Return a text that Markdown shows as it is, in one line: a backslash stands before each of its marks."""
    return re.sub(r"([\\`*_{}\[\]<>|~#&$])", r"\\\1", " ".join(str(text).split()))


def code(text: object) -> str:
    """Return a text as code, in one line; one with a backtick, or one that a table would cut, is escaped instead.

    >>> code("C=1.0")
    '`C=1.0`'
    """
    plain = " ".join(str(text).split())
    return escape(plain) if "`" in plain or "|" in plain or not plain else f"`{plain}`"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _what(card: dict[str, Any], version: str) -> str:
    model = card["model"]
    rows = [
        ("Model", escape(card["name"])),
        ("Version", code(version)),
        ("Estimator", code(model["estimator"])),
        (
            "Parameters",
            ", ".join(code(f"{k}={canonical(v)}") for k, v in sorted(model["params"].items())) or "defaults",
        ),
        ("Numeric columns", _options(model.get("numeric", {})) or "as they are"),
        ("Categorical columns", _options(model.get("categorical", {})) or "as they are"),
        ("Calibration", escape(model.get("calibration", "none"))),
        ("Predicts", "the probability of default of an application, between 0 and 1"),
    ]
    return _table(["", ""], rows)


def _options(options: dict[str, Any]) -> str:
    return ", ".join(code(f"{key}={canonical(value)}") for key, value in sorted(options.items()))


def _governance(settings: Config) -> str:
    texts = settings.governance.model_dump(mode="json")
    return _table(["", ""], [(words, escape(texts[key] or NOT_STATED)) for key, words in GOVERNANCE.items()])


def _features(card: dict[str, Any], settings: Config) -> str:
    features, labels = card["features"], settings.labels
    derived = card["contract"].get("features", {})
    rows = []
    for name in features["numeric"]:
        rows.append(
            (code(name), escape(labels.get(name, name)), "number", code(derived[name]) if name in derived else "")
        )
    for name in features["categorical"]:
        values = [escape(value) for value in features["categories"][name]]
        rows.append((code(name), escape(labels.get(name, name)), "category", listing(values)))
    return _table(["column", "in words", "kind", "computed as, or values in training"], rows)


def _training(card: dict[str, Any], settings: Config) -> str:
    rows, defaults = card["training"]["rows"], card["training"]["defaults"]
    lines = [
        f"{rows:,} rows, {defaults:,} of them defaults ({defaults / rows:.1%}).",
        f"Rows are split {SPLITS[settings.split.method]}.",
        f"Seed {card['seed']}.",
    ]
    if sample := card.get("sample"):
        lines.append(f"They are a sample of {sample['of_rows']:,} train rows.")
    if tuned := card.get("tuned"):
        found = _options(tuned["parameters"])
        lines.append(f"Parameters were searched for by cross-validation on train rows: {found or 'the row as it is'}.")
    return _bullets(lines)


def _measured(
    card: dict[str, Any], metrics: dict[str, Any], settings: Config, differences: dict[str, Any] | None
) -> str:
    found = (differences or {}).get("intervals", {}).get(card["name"], {})
    rows = []
    for name, words in METRICS.items():
        if name in metrics:
            interval = "{:.4f} to {:.4f}".format(*found[name]) if name in found else NOT_STATED
            rows.append((words, f"{metrics[name]:.4f}", interval))
    text = [
        f"{_count(metrics, 'rows')} rows that training never saw, {_count(metrics, 'defaults')} of them defaults.",
        _table(["metric", "value", "95 % interval"], rows),
    ]
    if found and differences:
        text.append(f"Intervals: bootstrap over the test rows, {differences['resamples']:,} samples.")
    if differences and differences.get("why"):
        text.append(f"Against the model that was live: {escape(differences['why'])}")
    return "\n\n".join(text)


def _count(metrics: dict[str, Any], key: str) -> str:
    return f"{metrics[key]:,}" if key in metrics else NOT_STATED


def _threshold(metrics: dict[str, Any], settings: Config) -> str:
    if settings.threshold.method == "cost":
        cost = settings.threshold.cost
        why = (
            "It is the cheapest by cross-validation on train rows, where a missed default costs "
            f"{cost.missed_default:g} and a refused good loan {cost.refused_good:g}"
        )
    else:
        why = "The config sets it"
    return (
        f"An application is refused from a probability of {metrics['threshold']:.4f} on. {why}; test rows had no say."
    )


METHODS = {
    "LogisticRegression": "its terms, less the reference's",
    "Scorecard": "its points, less the reference's",
    "CatBoost": "baseline Shapley values from scores of mixtures",
}


def _reasons(card: dict[str, Any], settings: Config) -> str:
    options = settings.predict.reasons
    if not options.count:
        return "None are given (`predict.reasons.count` is 0)."
    who = "each refused application" if options.of == "refused" else "each application"
    against = (
        "the reference group that `model.json` records under `reference_group`"
        if "reference_group" in card
        else "a reference group, which this version doesn't record"
    )
    estimator = card["model"]["estimator"].rpartition(".")[2]
    method = METHODS.get(estimator, "baseline Shapley values")
    return f"At most {options.count} for {who}: what raised its score most against {against}, by {method}."


def _limits(card: dict[str, Any], metrics: dict[str, Any], settings: Config, differences: dict[str, Any] | None) -> str:
    lines = []
    if settings.split.method != "time":
        lines.append(
            "No out-of-time test: train and test rows are from the same period. How it does on later applications is "
            "not known (`split.method: time` would tell)."
        )
    lines.append(
        "Reject bias: outcomes are known of granted loans only. Of applicants whom earlier rules would have refused, "
        "the data says little."
    )
    if settings.select.on == "test":
        lines.append("The winner was chosen on the rows that it is reported on, which flatters it.")
    if "defaults" in metrics and metrics["defaults"] < FEW_DEFAULTS:
        lines.append(f"Only {metrics['defaults']} defaults among the test rows: what is measured on them is uncertain.")
    if not (differences or {}).get("intervals", {}).get(card["name"]):
        lines.append("Metrics are stated without their uncertainty.")
    if not settings.fairness.groups:
        lines.append("No groups of applicants were compared (`fairness.groups` is empty).")
    missing = [words for key, words in GOVERNANCE.items() if getattr(settings.governance, key) is None]
    if missing:
        lines.append(f"Not stated by anybody: {', '.join(missing)}.")
    return _bullets(lines)


def _origin(card: dict[str, Any], lock: str) -> str:
    environment = card["environment"]
    rows = [
        ("Data (train rows, by content)", code(card["data"])),
        ("Code that trained it", code(card["code"])),
        (f"Artefact, {code(artefact_name(card))}", code(card["sha256"])),
        ("Lock file, `requirements.lock`", code(lock)),
        ("Environment", code(lock[:12])),
        ("Python", f"{escape(environment['python'])} on {escape(environment['machine'])}"),
        *((escape(name), escape(version)) for name, version in environment["libraries"].items()),
    ]
    return _table(["", "SHA-256, or version"], rows)


def _loading(card: dict[str, Any], version: str) -> str:
    how = (
        "then skops makes objects of the types that `scripts/shared/trusted.py` lists, and of no other"
        if artefact_name(card).endswith(SKOPS)
        else "then joblib unpickles it, which runs what its author wrote: load only what comes from your own registry"
    )
    return (
        "```python\nfrom pathlib import Path\n\nfrom scripts.shared.models import load_version\n\n"
        f'pipeline, card = load_version(Path("deployed/versions/{version}"))  # in your registry\n```\n\n'
        f"The artefact's checksum is compared with the card's first; {how}. The versions that it needs are in "
        "`requirements.lock`; `golden.json` holds made-up rows and their scores to try another environment on."
    )


def _retention(settings: Config) -> str:
    keep = settings.deploy.keep
    kept = (
        "keeps every version" if keep is None else f"keeps {keep} versions, the live one and the one before among them"
    )
    return (
        f"The registry {kept} (`deploy.keep`). US lenders keep what a credit decision was based on for 25 months "
        "(12 CFR 1002.12); other rules ask for longer: keep a copy of this folder for as long as yours do."
    )
