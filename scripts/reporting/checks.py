"""The 25 checks of the report: each has an id that stays, a value, a threshold with its source, and a state.

A check that can't be made is `not run`, with the reason; none is left out. What they are made of is the files of a run
(`Evidence`); the thresholds that custom gives stand here, those of the team in the config.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from scripts.reporting.formats import between, count, percent
from scripts.shared.config import LOWER_IS_BETTER
from scripts.shared.promotions import previously_live

PASS, WARN, FAIL, NOT_RUN = "pass", "warn", "fail", "not run"
STATES = (FAIL, WARN, NOT_RUN, PASS)
PUBLISH, HOLD = "publish", "hold"

OVERFIT_GAP = 0.03
SLOPE = (0.8, 1.2)
SIGNIFICANCE = 0.05
MOVED_ROC_AUC = 0.01
SAME_REASON = 0.8
FOUR_FIFTHS = 0.8

CUSTOM = "custom"
CONFIG = "config"


@dataclass(frozen=True)
class Evidence:
    """What the files of a run say, for the checks. Parts that a run didn't make are empty or None.

    Attributes
    ----------
    config
        As the run froze it.
    receipt, differences
        What select wrote.
    card, metrics, performance
        Of the winner: what train and evaluate wrote.
    summary, profile
        What split and profile wrote of the data.
    drivers, sensitivity, fairness, screen
        Of the winner: what the rules of the analysis wrote.
    predictions
        The counts of each application file.
    history
        The entries of the promotion log; None where the log doesn't verify, `history_problem` says why.
    """

    config: dict[str, Any]
    receipt: dict[str, Any]
    differences: dict[str, Any]
    card: dict[str, Any]
    metrics: dict[str, Any]
    performance: dict[str, Any]
    summary: dict[str, Any]
    profile: dict[str, Any]
    drivers: dict[str, Any]
    sensitivity: dict[str, Any]
    fairness: dict[str, Any]
    screen: dict[str, Any] | None
    predictions: list[dict[str, Any]]
    history: list[dict[str, Any]] | None
    history_problem: str = ""
    lock: str = ""


@dataclass(frozen=True)
class Finding:
    """What a check has found.

    Attributes
    ----------
    state
        PASS, WARN, FAIL or NOT_RUN.
    value
        What was found, in words and numbers.
    threshold, source
        What it is held against, and where that comes from.
    note
        What else the reader should know; for NOT_RUN, the reason.
    """

    state: str
    value: str
    threshold: str
    source: str
    note: str = ""


@dataclass(frozen=True)
class Check:
    """A check and its finding, as the report shows them."""

    id: str
    title: str
    finding: Finding
    rules: list[str] = field(default_factory=list)


Checker = Callable[[Evidence], Finding]
CHECKS: list[tuple[str, str, Checker]] = []


def check(identity: str, title: str) -> Callable[[Checker], Checker]:
    """Register a check under an id that stays."""

    def register(function: Checker) -> Checker:
        CHECKS.append((identity, title, function))
        return function

    return register


def run_checks(evidence: Evidence) -> list[Check]:
    """Return all checks with what they found, by id. The check of the checks' own states comes last to a finding."""
    others = {identity: checker(evidence) for identity, _, checker in CHECKS if identity != STATES_CHECK}
    findings = others | {STATES_CHECK: states_finding(evidence, others)}
    return [Check(identity, title, findings[identity]) for identity, title, _ in CHECKS]


def verdict(checks: Iterable[Check]) -> str:
    """Return PUBLISH, or HOLD where any check fails."""
    return HOLD if any(each.finding.state == FAIL for each in checks) else PUBLISH


def stated(evidence: Evidence, names: dict[str, str], threshold: str, source: str) -> Finding:
    """Return the finding on texts that people must give: all there, or which are not stated."""
    given = evidence.config["governance"]
    missing = [words for key, words in names.items() if not given.get(key)]
    value = "; ".join(f"{words}: {given[key]}" for key, words in names.items() if given.get(key)) or "nothing is stated"
    note = f"not stated: {', '.join(missing)} (governance in the config)" if missing else ""
    return Finding(WARN if missing else PASS, value, threshold, source, note)


def not_run(reason: str, threshold: str = "–", source: str = "–") -> Finding:
    """Return the finding of a check that can't be made."""
    return Finding(NOT_RUN, "–", threshold, source, reason)


# --- what it is ---------------------------------------------------------------------------------------------------


@check("C01", "Identity: version, hashes of code, data and lock, seed")
def identity(evidence: Evidence) -> Finding:
    """Whether the model can be told from any other, and made again."""
    card = evidence.card
    parts = {
        "version": evidence.receipt["version"],
        "code": card.get("code"),
        "data": card.get("data"),
        "artefact": card.get("sha256"),
        "lock": evidence.lock,
        "seed": card.get("seed"),
    }
    missing = [name for name, value in parts.items() if value in {None, ""}]
    shown = ", ".join(f"{name} {str(value)[:12]}" for name, value in parts.items() if name not in missing)
    note = f"missing: {', '.join(missing)}" if missing else ""
    return Finding(FAIL if missing else PASS, shown, "all there", "guidance on model risk", note)


@check("C02", "Intended use, out of scope, owner, approver, tier")
def intended_use(evidence: Evidence) -> Finding:
    """Whether people have said what the model is for, and who answers for it."""
    names = {
        "intended_use": "intended use",
        "out_of_scope": "out of scope",
        "owner": "owner",
        "approver": "approver",
        "tier": "tier",
    }
    return stated(evidence, names, "all stated", "guidance on model risk")


@check("C03", "Target definition, window, exclusions, reject bias")
def target_definition(evidence: Evidence) -> Finding:
    """Whether people have said what a default is, and what the data can't show."""
    names = {"target_definition": "target", "exclusions": "exclusions and reject bias"}
    return stated(evidence, names, "all stated", "guidance on model risk")


@check("C04", "Schema, ranges, duplicates, row waterfall")
def data_quality(evidence: Evidence) -> Finding:
    """Whether every row is accounted for, and few are set aside."""
    summary = evidence.summary
    rows_in, usable = summary["rows_in"], summary["rows_usable"]
    rejected = sum(summary["rejected_by_reason"].values())
    share = rejected / rows_in if rows_in else 0.0
    limit = evidence.config["rejects"]["max_share"]
    value = f"{count(rows_in)} rows in = {count(usable)} usable + {count(rejected)} set aside ({percent(share, 2)})"
    threshold = f"all accounted for; at most {percent(limit)} set aside"
    if rows_in != usable + rejected:
        return Finding(FAIL, value, threshold, CONFIG, "the numbers don't add up")
    return Finding(PASS if share <= limit else FAIL, value, threshold, CONFIG)


@check("C05", "Leakage: columns set after the application, prohibited columns")
def leakage(evidence: Evidence) -> Finding:
    """Whether the model leans on what it can't know, or must not use."""
    config = evidence.config["screen"]
    threshold = f"no prohibited column; ROC AUC moves by at most {MOVED_ROC_AUC} without what the lender sets"
    if not config["lender_set"] and not config["prohibited"]:
        return not_run("no column is marked (screen in the config)", threshold, CUSTOM)
    used = {*evidence.card["features"]["numeric"], *evidence.card["features"]["categorical"]}
    if bad := [name for name in config["prohibited"] if used & {name, *derived_from(evidence, name)}]:
        return Finding(FAIL, f"prohibited and used, itself or by what is derived: {', '.join(bad)}", threshold, CONFIG)
    screen = evidence.screen
    if screen is not None and screen.get("not_run") and screen.get("columns"):
        return Finding(WARN, f"made of marked columns only: {', '.join(screen['columns'])}", threshold, CUSTOM)
    if screen is None or screen.get("not_run"):
        reason = (screen or {}).get("not_run") or "the model uses none of the marked columns"
        return Finding(PASS, reason, threshold, CUSTOM)
    gap = screen["difference"]["roc_auc"]
    value = (
        f"without {', '.join(screen['columns'])}: ROC AUC {screen['without']['roc_auc']['value']:.4f} against "
        f"{screen['with']['roc_auc']['value']:.4f}; paired difference {signed(gap)}, n = {count(screen['rows'])}"
    )
    leans = gap["high"] < -MOVED_ROC_AUC
    note = "part of what it knows is set by the lender; it won't be there, or not the same, at the application"
    return Finding(WARN if leans else PASS, value, threshold, CUSTOM, note if leans else "")


def derived_from(evidence: Evidence, column: str) -> list[str]:
    """Return the derived features that are computed from a column."""
    sources = {each["feature"]: each["derived_from"] for each in evidence.drivers["importance"]}
    return [name for name, given in sources.items() if column in given]


@check("C06", "Split: sizes, default rates, train against test")
def split(evidence: Evidence) -> Finding:
    """Whether the test rows are like the train rows, but for chance."""
    found = evidence.summary["split"]
    gap, error = found["default_rate_difference"], found["default_rate_standard_error"]
    features = evidence.profile["features"]
    shifts = {name: each["psi"] for name, each in features.items() if each["psi"]["psi"] is not None}
    moved = [name for name, each in shifts.items() if each["status"] != "stable" and not each["noise"]]
    largest = max(shifts.values(), key=lambda each: each["psi"], default=None)
    value = f"default rate {100 * gap:+.2f} pp, test less train (chance allows ±{400 * error:.2f} pp)"
    if largest:
        value += f"; largest PSI of a feature {largest['psi']:.4f}"
    threshold = "default rates within four standard errors; PSI below 0.1"
    if found["method"] == "time":
        return Finding(PASS, value, "reported: rows are split by date", CUSTOM)
    good = abs(gap) <= 4 * error and not moved
    return Finding(PASS if good else FAIL, value, threshold, CUSTOM, f"moved: {', '.join(moved)}" if moved else "")


# --- how well it tells apart --------------------------------------------------------------------------------------


@check("C07", "ROC AUC and Gini with intervals")
def discrimination(evidence: Evidence) -> Finding:
    """Whether the model tells defaults from the rest, beyond the noise."""
    metrics = evidence.metrics
    low, high = evidence.differences["intervals"][evidence.receipt["winner"]]["roc_auc"]
    gate = evidence.config["select"]["gates"].get("roc_auc")
    value = f"ROC AUC {metrics['roc_auc']:.4f} ({between((low, high), 4)}), Gini {metrics['gini']:.4f}, " + rows(
        metrics
    )
    if gate is None:
        return Finding(PASS if low > 0.5 else FAIL, value, "lower end of the interval above 0.5", "a coin toss")
    state = PASS if low >= gate else WARN if metrics["roc_auc"] >= gate else FAIL
    return Finding(state, value, f"lower end of the interval at least {gate:g}", f"{CONFIG} (select.gates)")


@check("C08", "KS, lift by decile, breaks in rank order")
def rank_order(evidence: Evidence) -> Finding:
    """Whether riskier scores default more often, all the way."""
    found = evidence.performance
    breaks, beyond = found["rank_order_breaks"], sum(each["beyond_noise"] for each in found["rank_order"])
    first = found["deciles"][0]
    value = (
        f"KS {evidence.metrics['ks']:.4f}; lift of the riskiest tenth {first['lift']:.2f} "
        f"({between(first['lift_interval'], 2)}, n = {count(first['rows'])}); {breaks} breaks in rank order, "
        f"{beyond} beyond the noise"
    )
    state = FAIL if beyond else WARN if breaks else PASS
    return Finding(state, value, "no break; none beyond the noise", CUSTOM)


@check("C09", "Overfit: train against test, spread over folds")
def overfit(evidence: Evidence) -> Finding:
    """Whether the model knows its train rows by heart."""
    found = evidence.sensitivity["overfit"]
    gap, threshold = found["gap"], f"gap at most {OVERFIT_GAP}"
    if gap["value"] is None:
        return not_run("the sample of train or test rows has one outcome only", threshold, CUSTOM)
    value = (
        f"ROC AUC {found['train']['value']:.4f} on {count(found['train']['rows'])} train rows, "
        f"{found['test']['value']:.4f} on {count(found['test']['rows'])} test rows: gap {gap['value']:+.4f} "
        f"({between(bounds(gap), 4)})"
    )
    if folds := found["folds"].get("values"):
        value += f"; folds from {min(folds):.4f} to {max(folds):.4f}"
    return Finding(PASS if gap["value"] <= OVERFIT_GAP else WARN, value, threshold, CUSTOM)


@check("C10", "Challenger against champion, paired on the same rows")
def champion(evidence: Evidence) -> Finding:
    """Whether the winner is better than what is live."""
    known = evidence.differences["champion"]
    metric = evidence.differences["metric"]
    least = evidence.config["select"]["champion"]["min_gain"]
    threshold = "not worse beyond the noise" if least is None else f"interval of the gain above {least:g}"
    source = CUSTOM if least is None else f"{CONFIG} (select.champion)"
    if not known["version"]:
        return not_run("nothing was live before", threshold, source)
    if known["version"] == evidence.receipt["version"]:
        return not_run("the winner is the champion itself", threshold, source)
    note = known.get("note") or ""
    found = difference(evidence, "champion", metric)
    if not known["comparable"] or found is None:
        if evidence.receipt["decision"] == "keep":
            return Finding(FAIL, f"can't be compared: {known['why_not']}", threshold, source, note)
        return not_run("; ".join(filter(None, (known["why_not"], note))), threshold, source)
    sign = -1 if metric in LOWER_IS_BETTER else 1
    low, high = sorted((sign * found["low"], sign * found["high"]))
    value = (
        f"{metric}: {signed(found)} against version {known['version']}; better in {percent(found['share_better'])} of "
        f"{count(evidence.differences['resamples'])} resamples, n = {count(evidence.differences['rows'])}"
    )
    if least is not None:
        return Finding(PASS if low > least else FAIL, value, threshold, source, note)
    return Finding(FAIL if high < 0 else PASS if low > 0 else WARN, value, threshold, source, note)


def difference(evidence: Evidence, against: str, metric: str) -> dict[str, Any] | None:
    """Return the paired difference of the winner against another model; None where there is none."""
    found = evidence.differences["differences"]
    return next((each for each in found if each["against"] == against and each["metric"] == metric), None)


# --- whether its probabilities can be believed --------------------------------------------------------------------


@check("C11", "Reliability: slope, intercept, Brier score")
def reliability(evidence: Evidence) -> Finding:
    """Whether predicted rates are the observed ones."""
    found, brier = evidence.performance["calibration"], evidence.performance["brier"]
    threshold = f"slope within {SLOPE[0]} and {SLOPE[1]}"
    if found["slope"] is None:
        return not_run(f"there is no slope: {found['why_no_slope']}", threshold, CUSTOM)
    slope, interval = found["slope"], found["slope_interval"]
    value = (
        f"slope {slope:.3f} ({between(interval)}), intercept {found['intercept']:+.3f} "
        f"({between(found['intercept_interval'])}), Brier {brier['value']:.4f} (no skill: {brier['uncertainty']:.4f}), "
        f"n = {count(evidence.performance['rows'])}"
    )
    state = PASS if SLOPE[0] <= slope <= SLOPE[1] else FAIL if (interval[1] < 0.5 or interval[0] > 2) else WARN
    return Finding(state, value, threshold, CUSTOM)


@check("C12", "Spiegelhalter z, Hosmer-Lemeshow")
def calibration_tests(evidence: Evidence) -> Finding:
    """Whether miscalibration is more than chance."""
    found = evidence.performance["calibration"]
    z, fit = found["spiegelhalter"], found["hosmer_lemeshow"]
    source = "Spiegelhalter 1986; Hosmer and Lemeshow 1980"
    threshold = f"p at least {SIGNIFICANCE}"
    if z is None or fit["p"] is None:
        return not_run("the scores are all 0, 1/2 or 1, which leaves no variance to test against", threshold, source)
    value = (
        f"z = {z['z']:.2f}, p = {z['p']:.3g}; χ² = {fit['chi2']:.1f} on {fit['df']} degrees of freedom, "
        f"p = {fit['p']:.3g}; n = {count(evidence.performance['rows'])}"
    )
    good = min(z["p"], fit["p"]) >= SIGNIFICANCE
    note = "" if good else "with many rows, differences too small to matter come out significant: see C11 and the plot"
    return Finding(PASS if good else WARN, value, threshold, source, note)


@check("C13", "Default rate per grade (Jeffreys test)")
def grades(evidence: Evidence) -> Finding:
    """Whether any grade defaults more often than predicted."""
    found = evidence.performance["grades"]
    bad = [grade for grade in found if grade["significant_after_holm"]]
    value = f"{len(bad)} of {len(found)} grades default more often than predicted"
    if bad:
        worst = max(bad, key=lambda grade: grade["default_rate"] - grade["expected"])
        value += (
            f"; grade {worst['grade']}: {percent(worst['default_rate'])} against {percent(worst['expected'])}, "
            f"n = {count(worst['rows'])}"
        )
    threshold = f"none at {SIGNIFICANCE}, after Holm's correction for {len(found)} tests"
    return Finding(WARN if bad else PASS, value, threshold, "ECB instructions for reporting validation results, 2019")


@check("C14", "Calibration by segment")
def calibration_by_segment(evidence: Evidence) -> Finding:
    """Whether predicted rates are the observed ones in each group."""
    threshold = "expected within the interval of the observed rate in each group"
    groups = list(judged_groups(evidence))
    if not groups:
        return not_run(no_groups(evidence), threshold, CUSTOM)
    off = [
        f"{division}: {group['group']} ({percent(group['mean_score'])} predicted, "
        f"{percent(group['default_rate']['value'])} observed)"
        for division, group in groups
        if not group["default_rate"]["low"] <= group["mean_score"] <= group["default_rate"]["high"]
    ]
    value = f"{len(off)} of {len(groups)} groups are off" + (f": {'; '.join(off[:4])}" if off else "")
    return Finding(WARN if off else PASS, value, threshold, CUSTOM)


# --- whether it will last -----------------------------------------------------------------------------------------


@check("C15", "PSI of the score and of each feature")
def drift(evidence: Evidence) -> Finding:
    """Whether the applications are like the train rows."""
    threshold = "below 0.1 (warn), below 0.25 (fail), beyond what the number of rows explains"
    files = [file for file in evidence.predictions if "features" in file.get("drift", {})]
    if not files:
        reasons = sorted(
            {file.get("drift", {}).get("not_run", "no drift was counted") for file in evidence.predictions}
        )
        return not_run("; ".join(reasons) or "no application file was scored", threshold, CUSTOM)
    moved = [
        (each["psi"], name, file["file"], each)
        for file in files
        for name, each in {**file["drift"]["features"], "the score": file["drift"]["score"]}.items()
        if each["status"] in {"moderate", "large"} and not each["noise"]
    ]
    value = f"{len(moved)} of the figures of {len(files)} files beyond the marks and the noise"
    if not moved:
        return Finding(PASS, value, threshold, f"{CUSTOM}; Yurdakul and Naranjo 2020")
    psi, name, file, each = max(moved, key=lambda found: found[:3])
    value += f"; largest: {name} in {file}, PSI {psi:.3f} (chance allows {each['limit']:.3f})"
    state = FAIL if any(found[3]["status"] == "large" for found in moved) else WARN
    return Finding(state, value, threshold, f"{CUSTOM}; Yurdakul and Naranjo 2020")


@check("C16", "Sensitivity to seed, noise and missing values")
def sensitivity(evidence: Evidence) -> Finding:
    """Whether small changes change little."""
    found = evidence.sensitivity
    threshold = f"ROC AUC moves by at most {MOVED_ROC_AUC}"
    moves = changes(found)
    value = "; ".join(
        f"{each['what']}: " + (each["not_run"] or f"ROC AUC {each['change']['value']:+.4f}") for each in moves
    )
    worst = max((abs(each["change"]["value"]) for each in moves if not each["not_run"]), default=None)
    if worst is None:
        return not_run(value, threshold, CUSTOM)
    state = PASS if worst <= MOVED_ROC_AUC else WARN
    return Finding(state, f"{value}; n = {count(found['rows'])}", threshold, CUSTOM)


def changes(sensitivity: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what was changed, in words, and how the ROC AUC moved, or why that wasn't tried."""
    seeds = sensitivity["seed_change"]
    if not seeds.get("not_run"):
        spread = {"value": seeds["spread"], "low": None, "high": None}
        seeds = {"what": f"{len(seeds['refits'])} other seeds, highest less lowest", "change": spread}
        seeds["moved"] = sensitivity["seed_change"]["mean_change"]
    each = [{"what": "other seeds"} | seeds]
    for noise in sensitivity["noise"]:
        what = f"numbers moved by normal noise of {noise['noise']:.0%} of their standard deviation"
        each.append({"what": what, "change": noise["change"], "moved": noise["mean_change"]})
    missing = sensitivity["missing"]
    if missing.get("not_run"):
        each.append({"what": "more missing values", "not_run": missing["not_run"]})
    else:
        what = f"{missing['missing']:.0%} of the values taken away"
        each.append({"what": what, "change": missing["change"], "moved": missing["mean_change"]})
    return [
        {"not_run": None} | one
        if "change" not in one or one["change"]["value"] is not None
        else {"what": one["what"], "not_run": "the sample has one outcome only"}
        for one in each
    ]


@check("C17", "Out-of-time test")
def out_of_time(evidence: Evidence) -> Finding:
    """Whether the model was tested on later loans than it was trained on."""
    threshold = "tested on loans later than those of training"
    options = evidence.config["split"]
    if options["method"] != "time":
        return not_run(
            "there is no out-of-time test: rows are not split by date (split.method: time)", threshold, CUSTOM
        )
    value = f"test rows from {options['test_from']} on, " + rows(evidence.metrics)
    return Finding(PASS, value, threshold, CUSTOM)


# --- what drives it -----------------------------------------------------------------------------------------------


@check("C18", "Effects and their signs")
def effects(evidence: Evidence) -> Finding:
    """Whether the score moves with the features as experts expect."""
    found = {each["feature"]: each["direction"] for each in evidence.drivers["dependence"] if each["direction"]}
    expected: dict[str, str] = evidence.config["report"]["expected_effects"]
    shown = ", ".join(f"{name} {direction}" for name, direction in found.items())
    threshold = "as the config expects"
    if not expected:
        note = "no effect is expected in the config (report.expected_effects)"
        return Finding(WARN, f"the score, with each feature: {shown}", threshold, CONFIG, note)
    wrong = [f"{name} {found[name]}, expected: {way}" for name, way in expected.items() if found.get(name, way) != way]
    unseen = [name for name in expected if name not in found]
    note = f"not among the features drawn, so not looked at: {', '.join(unseen)}" if unseen else ""
    value = "; ".join(wrong) or f"{len(expected) - len(unseen)} effects as expected"
    return Finding(WARN if wrong or unseen else PASS, value, threshold, f"{CONFIG} (report.expected_effects)", note)


@check("C19", "Reason codes: method, reference group, stability")
def reason_codes(evidence: Evidence) -> Finding:
    """Whether reasons are given by a sound method, and stay under small changes."""
    threshold = f"the first reason stays in {percent(SAME_REASON, 0)} of rows under small changes"
    if not evidence.config["predict"]["reasons"]["count"]:
        return not_run("reasons are switched off (predict.reasons.count)", threshold, CUSTOM)
    found = evidence.sensitivity["reasons"]
    if found.get("not_run"):
        return not_run(found["not_run"], threshold, CUSTOM)
    if found["first_same"] is None:
        return not_run("no refused row has a reason", threshold, CUSTOM)
    value = (
        f"{found['method']}, against {evidence.card['reference_group']['description']}; the first reason stays in "
        f"{percent(found['first_same'])} ({between(found['first_same_interval'])}) of "
        f"{count(found['rows_with_reasons'])} rows"
    )
    return Finding(PASS if found["first_same"] >= SAME_REASON else WARN, value, threshold, CUSTOM)


@check("C20", "Sample notices")
def sample_notices(evidence: Evidence) -> Finding:
    """Whether notices can be read before they are sent."""
    threshold = "at least one notice, with specific reasons"
    if not evidence.config["predict"]["reasons"]["count"]:
        return not_run("reasons are switched off (predict.reasons.count)", threshold, "Regulation B")
    notices = evidence.sensitivity.get("notices", [])
    if not notices:
        return not_run("no made-up application is refused", threshold, "Regulation B")
    return Finding(PASS, f"{len(notices)} notices of made-up applications, below", threshold, "Regulation B")


# --- fairness -----------------------------------------------------------------------------------------------------


def judged_groups(evidence: Evidence) -> Iterable[tuple[str, dict[str, Any]]]:
    """Yield each division's groups that are large enough to look at."""
    for name, division in evidence.fairness.get("groups", {}).items():
        for group in division["groups"]:
            if not group["too_small"]:
                yield name, group


def no_groups(evidence: Evidence) -> str:
    """Return why there are no groups to compare."""
    return str(evidence.fairness.get("not_run") or "all groups are too small")


@check("C21", "Approval ratio by group (four-fifths as a screen)")
def approval_ratio(evidence: Evidence) -> Finding:
    """Where approval rates differ; a screen, never a verdict."""
    threshold = f"ratio to the most approved group at least {FOUR_FIFTHS}: a screen, no verdict"
    source = "four-fifths rule of employment law"
    groups = list(judged_groups(evidence))
    if not groups:
        return not_run(no_groups(evidence), threshold, source)
    low = [
        f"{division}: {group['group']} {group['approval_ratio']['value']:.2f} "
        f"({between(bounds(group['approval_ratio']), 2)}), "
        f"n = {count(group['rows'])}"
        for division, group in groups
        if group["below_four_fifths"]
    ]
    value = f"{len(low)} of {len(groups)} groups below" + (f": {'; '.join(low[:4])}" if low else "")
    return Finding(WARN if low else PASS, value, threshold, source)


@check("C22", "Recall, false positive rate and calibration by group")
def group_errors(evidence: Evidence) -> Finding:
    """How the errors differ between groups: shown, not judged."""
    groups = list(judged_groups(evidence))
    if not groups:
        return not_run(no_groups(evidence), "reported", CUSTOM)
    spread = []
    for name in ("recall", "false_positive_rate"):
        within = [
            [group[name]["value"] for of, group in groups if of == division and group[name]["value"] is not None]
            for division in {of: None for of, _ in groups}
        ]
        spread.append(max((max(known) - min(known) for known in within if known), default=0.0))
    value = (
        f"{len(groups)} groups; within a division, recall differs by up to {100 * spread[0]:.1f} pp, the false "
        f"positive rate by up to {100 * spread[1]:.1f} pp"
    )
    return Finding(PASS, value, "reported, not judged", CUSTOM)


# --- what follows -------------------------------------------------------------------------------------------------


@check("C23", "Cut-offs: approval rate, bad rate, expected cost")
def cut_offs(evidence: Evidence) -> Finding:
    """What the threshold means, and whether another would cost less."""
    found = evidence.performance
    chosen = next(each for each in found["cutoffs"] if each["chosen"])
    cheapest = found["cheapest"]
    value = (
        f"at {chosen['threshold']:.3f}: {percent(chosen['approval_rate'])} approved, "
        + (f"{percent(chosen['bad_rate'])} of them default, " if chosen["bad_rate"] is not None else "")
        + f"cost {chosen['cost_per_row']:.4f} a row; cheapest at {cheapest['threshold']:.3f}: "
        f"{cheapest['cost_per_row']:.4f}; "
        f"n = {count(found['rows'])}"
    )
    dear = chosen["cost_interval"][0] > cheapest["cost_interval"][1]
    threshold = "no threshold that is cheaper beyond the noise"
    return Finding(WARN if dear else PASS, value, threshold, f"{CONFIG} (threshold.cost)")


STATES_CHECK = "C24"


@check(STATES_CHECK, "The state of every check, and who may override")
def states(evidence: Evidence) -> Finding:
    """Count the other checks' states."""
    return states_finding(evidence, {})


def states_finding(evidence: Evidence, findings: dict[str, Finding]) -> Finding:
    """Return the finding on all others' states."""
    counts = [f"{sum(each.state == state for each in findings.values())} {state}" for state in STATES]
    who = evidence.config["governance"].get("override")
    value = f"{', '.join(counts)}; override: {who or 'not stated'}"
    note = "" if who else "not stated: who may override (governance.override in the config)"
    return Finding(
        PASS if who else WARN, value, "all listed; who may override is stated", "guidance on model risk", note
    )


@check("C25", "Monitoring plan, rollback target, promotion log")
def monitoring(evidence: Evidence) -> Finding:
    """Whether somebody watches, and whether the way back is there."""
    threshold = "plan stated; log verifies; a version to go back to"
    if evidence.history is None:
        return Finding(FAIL, "the promotion log doesn't verify", threshold, CUSTOM, evidence.history_problem)
    plan = evidence.config["governance"].get("monitoring")
    back = previously_live(evidence.history)
    value = (
        f"plan: {plan or 'not stated'}; promotion log: chained and verified, "
        f"{count(len(evidence.history))} {'entry' if len(evidence.history) == 1 else 'entries'}; "
        f"to go back to: {back or 'nothing yet, this is the first version'}"
    )
    note = "" if plan else "not stated: monitoring (governance.monitoring in the config)"
    return Finding(PASS if plan else WARN, value, threshold, CUSTOM, note)


# --- words --------------------------------------------------------------------------------------------------------


def bounds(found: dict[str, Any]) -> tuple[float, float] | None:
    """Return the interval of an estimate."""
    return None if found["low"] is None else (found["low"], found["high"])


def signed(found: dict[str, Any]) -> str:
    """Return a difference with its interval."""
    return f"{found['value']:+.4f} ({found['low']:+.4f} to {found['high']:+.4f})"


def rows(metrics: dict[str, Any]) -> str:
    """Return on how many rows a figure rests."""
    return f"n = {count(metrics['rows'])} ({count(metrics['defaults'])} defaults)"
