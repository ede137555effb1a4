"""The report: right intervals, the same bytes, everything escaped, nothing from elsewhere, at all sizes."""

import html.parser
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from builders import config, config_dict
from markupsafe import Markup

from scripts import report
from scripts.reporting import charts, checks, formats, sections
from scripts.reporting.rules import read_rules
from scripts.shared.config import METRICS, Cost
from scripts.shared.errors import UserError
from scripts.shared.files import sha256_file, to_json
from scripts.shared.metrics import compute_metrics, curves
from scripts.shared.performance import performance
from scripts.shared.registry import publish
from scripts.shared.resampling import interval, resample

ALONE = 6  # charts of all models, or of the winner alone
REGISTER = Path(__file__).resolve().parents[2] / "config" / "rules.yaml"

ROWS = 400
VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(html.parser.HTMLParser):
    """Collects tags, ids, references, table cells and text; fails on tags that don't close."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.references = [], Counter(), Counter(), set()
        self.tables, self.texts = [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in {"td", "th"}:
            self.tables[-1][-1].append("")
        for name, value in attrs:
            assert not name.startswith("on")
            assert name not in {"src", "srcset", "data", "action"}
            if name == "id":
                self.ids[value] += 1
            if name in {"aria-labelledby"}:
                self.references |= set(value.split())
            self.references |= set(re.findall(r"url\(#([^)]+)\)", value or ""))
            if name == "href":
                assert value.startswith("#")
                self.references.add(value[1:])

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data

    @property
    def text(self):
        return " ".join("".join(self.texts).split())

    def table(self, heading):
        return next(table for table in self.tables if table[0][0] == heading)


RATE = {"rows": 100, "defaults": 25, "rate": 0.25, "low": 0.17, "high": 0.34}
STABLE = {"psi": 0.012, "limit": 0.05, "status": "stable", "noise": True}
LARGE = {"psi": 0.31, "limit": 0.05, "status": "large", "noise": False}
COUNTED = {"rows": 9, "missing": 0, "counts": [9], "reference": {"counts": [9], "missing": 0}}
DRIFT = {"features": {"age": STABLE | COUNTED, "purpose": LARGE | COUNTED}, "score": STABLE | COUNTED}


def profile():
    """Two features, one of them with a name that needs care."""
    sides = {"rows": {"train": 1600, "test": 400}, "missing": {"train": 0, "test": 0}}
    bins = {"counts": {"train": [800, 800], "test": [200, 200]}, "default_rate": [RATE, RATE]}
    shared = sides | bins | {"role": "given", "missing_default_rate": RATE | {"rows": 0, "rate": None}, "psi": STABLE}
    mean = {"mean": {"train": 40.0, "test": 41.0}}
    return {
        "rows": {"train": 1600, "test": 400},
        "defaults": {"train": 400, "test": 100},
        "default_rate": {"all": RATE},
        "features": {
            "age": {"kind": "numeric", "edges": [38.0]} | shared | mean,
            "purpose": {"kind": "categorical", "values": ["<a>", "(other)"]} | shared,
        },
        "segments": [{"feature": "age", "above": None, "to": 38.0, "difference": 0.1} | RATE],
    }


POINTS = [{"mean": 0.1, "low": 0.05, "high": 0.2, "share": 0.5}, {"mean": 0.2, "low": 0.1, "high": 0.3, "share": 0.5}]
TERM = {"value": 0.5, "low": 0.1, "high": 0.9, "odds_ratio": 1.65, "odds_low": 1.1, "odds_high": 2.46}
PART = {"rows": 400, "missing": None, "left_out": 0}


def points(*values):
    return [{"at": at} | point for at, point in zip(values, POINTS, strict=True)]


DRIVERS = {
    "rows": 400,
    "defaults": 100,
    "importance": [
        {"feature": "age", "value": 0.1, "low": 0.09, "high": 0.11, "repeats": 10, "derived_from": []},
        {"feature": "purpose", "value": -0.001, "low": None, "high": None, "repeats": 10, "derived_from": ["age"]},
    ],
    "dependence": [
        {"feature": "age", "kind": "number", "points": points(20.0, 60.0), "direction": "rises"} | PART,
        {"feature": "purpose", "kind": "category", "points": points("<a>", "c"), "direction": None} | PART,
    ],
    "linear": {
        "coefficients": [
            {"name": "age", "read_alone": True, "per": "one unit"} | TERM,
            {"name": "purpose is <a>", "read_alone": True, "per": "being so", "against": "c", "difference": TERM}
            | TERM,
            {"name": "age, spline 1 of 5", "read_alone": False, "per": "not read alone"} | TERM,
        ],
        "penalty": {"C": 1.0},
        "rows": 1600,
        "note": "as they are",
    },
    "tree": {
        "depth": 9,
        "leaves": 30,
        "nodes": [
            {"id": 0, "question": "purpose is <a>", "yes": 2, "no": 1, "more": False, "rows": 1600},
            {"id": 1, "more": True, "rows": 900},
            {"id": 2, "more": False, "rows": 700},
        ],
    },
}
for node in DRIVERS["tree"]["nodes"]:
    node["rate"] = {"value": 0.25, "low": 0.2, "high": 0.3}
CHANGE = {"value": -0.002, "low": -0.003, "high": -0.001}
SENSITIVITY = {
    "rows": 400,
    "seed_change": {"refits": [{}, {}, {}], "spread": 0.001, "mean_change": 0.004},
    "noise": [{"noise": 0.05, "change": CHANGE, "mean_change": 0.01}],
    "missing": {"not_run": "the estimator can't take missing values"},
    "overfit": {
        "train": {"value": 0.9, "low": 0.88, "high": 0.92, "rows": 1600},
        "test": {"value": 0.88, "low": 0.85, "high": 0.91, "rows": 400},
        "gap": {"value": 0.02, "low": -0.01, "high": 0.05},
        "folds": {"values": [0.87, 0.89]},
    },
    "reasons": {
        "method": "its terms",
        "rows": 50,
        "rows_with_reasons": 50,
        "first_same": 0.96,
        "first_same_interval": [0.87, 0.99],
        "set_overlap": 0.9,
        "noise": 0.01,
    },
    "notices": [{"score": 0.7, "reasons": ["age: <lower> than typical"]}],
}
NO_RATIO = {"value": 1.0, "low": None, "high": None}
SHARE = {"value": 0.25, "low": 0.2, "high": 0.31, "hits": 50, "rows": 200}
GROUP = {
    **{"rows": 200, "defaults": 50, "too_small": False, "mean_score": 0.25, "below_four_fifths": False},
    **dict.fromkeys(("approval", "recall", "false_positive_rate", "default_rate"), SHARE),
    "approval_ratio": NO_RATIO,
    "auc": {"value": 0.85, "low": 0.8, "high": 0.9},
}
LOW = {"approval_ratio": {"value": 0.7, "low": 0.6, "high": 0.8}, "below_four_fifths": True}
FAIRNESS = {
    "rows": 400,
    "threshold": 0.5,
    "note": "a screen, not a verdict",
    "groups": {"age": {"column": "age", "groups": [{"group": "below 40"} | GROUP, {"group": "from 40"} | GROUP | LOW]}},
}


CHAMPION = {"version": None, "model": None, "comparable": False, "why_not": "nothing", "values": None, "note": None}


class Run:
    """The files of a run, in a folder."""

    def __init__(self, folder, names=("dt", "lr"), *, threshold=0.5, on="test", split_method="hash"):
        self.folder = folder
        random = np.random.default_rng(7)
        target = (random.random(ROWS) < 0.25).astype(np.int8)
        self.models = {}
        for number, name in enumerate(names):
            scores = 1 / (1 + np.exp(-random.normal(1.6 * target - 1.8, 1 + 0.1 * number)))
            self.models[name] = compute_metrics(target, scores, threshold)
            self.write(f"metrics/{number}.json", {"model": name, "threshold_method": "fixed"} | self.models[name])
            self.write(f"metrics/{number}.curves.json", {"model": name} | curves(target, scores))
            self.write_figures(number, name, target, scores, threshold)
        self.numbers = range(len(names))
        self.receipt = {
            "winner": names[0],
            "version": "1db6c256ceb8",
            "metric": "roc_auc",
            "on": on,
            "reason": f"best roc_auc of <{names[0]}>",
            "decision": "publish",
            "why": "nothing was live before",
            "champion": None,
            "live": "1db6c256ceb8",
            "candidates": {
                name: {"roc_auc": values["roc_auc"], "complexity": 1, "passes_gates": True}
                for name, values in self.models.items()
            },
        }
        time = split_method == "time"
        self.summary = {
            "rows_in": 2010,
            "rows_rejected": 10,
            "rows_usable": 2000,
            "rejected_by_reason": {"age: outside 18..100": 3, "purpose: not one of <a>, <b>": 7},
            "files": [{"file": "raw.csv", "rows_in": 2010, "rows_out": 2000, "rows_rejected": 10}],
            "split": {
                "method": split_method,
                "train": {"rows": 1600, "defaults": 400, "default_rate": 0.25},
                "test": {"rows": 400, "defaults": int(target.sum()), "default_rate": float(target.mean())},
                "test_share": 0.2,
                "test_share_wanted": None if time else 0.2,
                "test_share_standard_error": None if time else 0.00894,
                "default_rate_difference": -0.11,
                "default_rate_standard_error": 0.0242,
            },
            "values_present": {"age": 2000, "<b>income</b>": 1900},
            "set_to_missing": {"<b>income</b>": 40},
        }
        self.predictions, self.tuned, self.screens = [], ([], []), []
        self.config = config(**config_dict()).model_dump(mode="json")
        self.profile = profile()
        drawn = resample(target, self.scores, METRICS, 20, 1, dict.fromkeys(names, threshold))
        self.differences = {
            "rows": ROWS,
            "defaults": int(target.sum()),
            "resamples": 20,
            "seed": 1,
            "metric": "roc_auc",
            "intervals": {name: {m: interval(drawn[name][m]) for m in METRICS} for name in names},
            "champion": {
                "version": None,
                "model": None,
                "comparable": False,
                "why_not": "nothing",
                "values": None,
                "note": None,
            },
            "differences": [
                {
                    "model": names[0],
                    "against": name,
                    "metric": "roc_auc",
                    "value": self.models[names[0]]["roc_auc"] - self.models[name]["roc_auc"],
                    "low": -0.01,
                    "high": 0.02,
                    "share_better": 0.7,
                }
                for name in names[1:]
            ],
            "decision": "publish",
            "why": "nothing was live before",
        }
        self.registry = folder / "deployed"
        (folder / "artefact").write_text("a model")
        files = {"model.joblib": folder / "artefact", "metrics.json": self.write("artefact.metrics.json", {})}
        card = self.write("artefact.json", {"sha256": sha256_file(folder / "artefact")})
        publish(self.registry, "1db6c256ceb8", files | {"model.json": card}, {"model": names[0], "reason": "the best"})
        (folder / "lock").write_text("numpy==2.0\n")
        (folder / "rules.svg").write_text('<?xml version="1.0"?>\n<svg width="10pt"><g><text>train_lr</text></g></svg>')

    def write_figures(self, number, name, target, scores, threshold):
        """Write what evaluate, train and explain say beside the metrics, by numbers that can be told apart."""
        self.scores = getattr(self, "scores", {}) | {name: scores}
        figures = performance(target, scores, threshold, Cost())
        self.write(f"metrics/{number}.performance.json", {"model": name} | json.loads(to_json(figures)))
        features = {"numeric": ["age"], "categorical": ["purpose"]}
        versions = {"python": "3.11", "scikit_learn": "1.9.0"}
        card = {"name": name, "features": features, "seed": 1, "code": "c0de", "data": "da7a", "sha256": "a57e"}
        reference = {"description": "typical of the 300 train rows that were repaid", "rows": 300, "values": {}}
        self.write(f"models/{number}.json", card | {"versions": versions, "reference_group": reference})
        self.write(f"analysis/{number}.drivers.json", {"model": name} | DRIVERS)
        self.write(f"analysis/{number}.sensitivity.json", {"model": name} | SENSITIVITY)
        self.write(f"analysis/{number}.fairness.json", {"model": name} | FAIRNESS)

    def write(self, name, value):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value), encoding="utf-8")
        return path

    def predict(self, files, version="1db6c256ceb8"):
        self.predictions = [
            self.write(
                f"predictions/{index}.summary.json",
                {
                    "file": name,
                    "model_version": version,
                    "rows_in": 10,
                    "rows_predicted": 9,
                    "rows_rejected": 1,
                    "refused": 2,
                    "approved": 7,
                    "rejected_by_reason": {"no id": 1},
                    "unseen_categories": {"<i>purpose": 3} if index == 0 else {},
                    "drift": DRIFT,
                },
            )
            for index, name in enumerate(files)
        ]

    def tune(self, count=14, search="random", name="dt"):
        """Tune one model: the model as its row says it stands last."""
        shares = [1.0] * 3 + [1 / 3] * (count - 3) if search == "halving" else [1.0] * count
        header = "rank,candidate,max_depth,<b>leaf,share,mean,sd,fold_1,fold_2"
        lines = [f"{n},c{n},{n},gini,{share},{1 - n / 100},0.01,0.5,0.6" for n, share in enumerate(shares[1:], 1)]
        lines.append(f"{count},untuned,,5,{shares[-1]},0.5,0.01,0.5,0.6")
        table = self.folder / "trials.csv"
        table.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
        found = {"model": name, "metric": "roc_auc", "mean": 0.99, "untuned_mean": 0.5, "search": search, "folds": 2}
        self.tuned = [self.write("tuned.json", found)], [table]

    def page(self, name="report.html"):
        path = self.folder / name
        self.write("config.json", self.config)
        kinds = ("metrics/{}.json", "metrics/{}.curves.json", "metrics/{}.performance.json", "models/{}.json")
        kinds += tuple(f"analysis/{{}}.{kind}.json" for kind in ("drivers", "sensitivity", "fairness"))
        plan = {"waits": False, "applications": {each.name.split(".")[0]: {} for each in self.predictions}}
        report.main(
            self.write("summary.json", self.summary),
            self.write("profile.json", self.profile),
            *([self.folder / kind.format(n) for n in self.numbers] for kind in kinds),
            self.screens,
            *self.tuned,
            self.write("selection.json", self.receipt),
            self.write("differences.json", self.differences),
            self.write("plan.json", plan),
            REGISTER,
            self.folder / "lock",
            self.registry / "live.json",
            self.folder / "rules.svg",
            self.folder / "config.json",
            path,
        )
        text = path.read_text(encoding="utf-8")
        page = Page(text)
        assert "<script" not in text.lower()
        assert not re.findall(r"https?:", text)
        assert not re.findall(r"@import|url\(", text.split("<style>")[1].split("</style>")[0])
        assert max(page.ids.values()) == 1
        assert page.references <= page.ids.keys()
        return text, page


@pytest.fixture
def no_charts(monkeypatch):
    """For tests of what stands around the charts: drawing takes the most time."""
    monkeypatch.setattr(charts, "to_svg", lambda *_: Markup("<svg></svg>"))


# --- the page ----------------------------------------------------------------------------------------------------


def test_same_inputs_same_bytes(tmp_path):
    run = Run(tmp_path, names=("dt",))
    run.predict(["a.csv"])
    run.page("one.html")
    run.page("two.html")
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


@pytest.mark.usefixtures("no_charts")
def test_says_who_won_and_why(tmp_path):
    run = Run(tmp_path, on="cv")
    _, page = run.page()
    assert "dt wins out of 2 models" in page.text
    assert "Best roc_auc of <dt>." in page.text
    assert "on training rows, by cross-validation" in page.text
    assert "version 1db6c256ceb8" in page.text


@pytest.mark.usefixtures("no_charts")
def test_tables_hold_the_numbers(tmp_path):
    run = Run(tmp_path)
    _, page = run.page()
    comparison, decisions = (
        table
        for table in page.tables
        if table[0][:2] in (["Model", "ROC AUC"], ["Model", "Threshold"]) and len(table[0]) > 5
    )
    values = run.models["lr"]
    low, high = run.differences["intervals"]["lr"]["roc_auc"]
    lr = next(row for row in comparison if row[0] == "lr")
    assert lr[1].replace("● (best)", "") == f"{values['roc_auc']:.4f}{low:.3f}–{high:.3f}"
    assert len(comparison[0]) == 1 + len(METRICS)
    counts = [values[k] for k in ("true_positives", "false_negatives", "true_negatives", "false_positives")]
    assert next(row for row in decisions if row[0] == "lr")[2:6] == [str(n) for n in counts]


@pytest.mark.usefixtures("no_charts")
def test_marks_the_best_of_each_metric_in_words_too(tmp_path):
    run = Run(tmp_path)
    _, page = run.page()
    comparison = page.table("Model")
    for column, metric in enumerate(sections.LABELS, start=1):
        values = {name: values[metric] for name, values in run.models.items()}
        best = (min if metric in {"brier", "log_loss"} else max)(values.values())
        for row in comparison[1:]:
            name = row[0].removesuffix(" (winner)")
            tie = len(set(values.values())) == 1
            assert ("(best)" in row[column]) == (values[name] == best and not tie)


def test_every_chart_has_a_title_and_a_description(tmp_path):
    _, page = Run(tmp_path).page()
    drawn = ALONE + 3 * 2
    assert page.tags["title"] == drawn + 1
    assert page.tags["desc"] == drawn
    assert page.tags["figure"] == page.tags["figcaption"] == drawn + 1  # the picture of the rules


@pytest.mark.usefixtures("no_charts")
def test_waterfall_split_and_missing_values(tmp_path):
    _, page = Run(tmp_path).page()
    labels = [row[:2] for row in page.table("Rows")[1:]]
    assert labels == [
        ["rows in", "2,010"],
        ["set aside: purpose: not one of <a>, <b>", "−7"],
        ["set aside: age: outside 18..100", "−3"],
        ["usable", "2,000"],
        ["train", "1,600"],
        ["test", "400"],
    ]
    assert [row[-1] for row in page.table("Check")[1:]] == ["within chance", "beyond chance"]
    assert page.table("Column")[1] == ["<b>income</b>", "1,900", "100", "5.00\u00a0%", "40"]


@pytest.mark.usefixtures("no_charts")
def test_duplicates_make_no_negative_missing_values(tmp_path):
    run = Run(tmp_path)
    run.summary["files"][0]["rows_out"] = 2005  # five ids stood twice
    run.summary["values_present"] = {"age": 2005}
    _, page = run.page()
    assert page.table("Column")[1][1:3] == ["2,005", "0"]
    assert "counted before rows with a repeated id were set aside" in page.text


@pytest.mark.usefixtures("no_charts")
def test_split_by_time_has_no_wanted_share(tmp_path):
    _, page = Run(tmp_path, split_method="time").page()
    assert len(page.table("Check")) == 2
    assert "by date" in page.text


@pytest.mark.usefixtures("no_charts")
def test_many_reasons_are_summed_up(tmp_path):
    run = Run(tmp_path)
    run.summary["rejected_by_reason"] = {f"reason {n:02}": 1 for n in range(40)}
    _, page = run.page()
    assert ["set aside: 10 more reasons", "−10"] in [row[:2] for row in page.table("Rows")]


def test_everything_is_escaped(tmp_path):
    evil = "<script>alert(1)</script>"
    run = Run(tmp_path, names=(evil, '$_"><img src=x>', "_hidden"))
    run.receipt["reason"] = run.receipt["version"] = evil
    run.predict([f"{evil}.csv"], version=evil)
    text, page = run.page()
    assert page.tags["script"] == page.tags["img"] == page.tags["i"] == page.tags["b"] == 0
    assert text.count("&lt;script&gt;") > 10
    assert "<i>purpose: 3" in page.text


def test_one_model_needs_no_marks(tmp_path):
    text, page = Run(tmp_path, names=("only",)).page()
    assert "only, the only model" in page.text
    assert "(best)" not in text


@pytest.mark.usefixtures("no_charts")
def test_no_prediction_files(tmp_path):
    _, page = Run(tmp_path).page()
    assert "No application files were scored." in page.text


@pytest.mark.usefixtures("no_charts")
def test_a_model_that_refuses_nobody_or_everybody(tmp_path):
    _, page = Run(tmp_path, threshold=1.0).page()
    assert page.table("Model")[1][6] == "0.00000.000–0.000"
    _, page = Run(tmp_path, threshold=0.0).page()
    assert "none approved" in page.text


def test_a_perfect_model(tmp_path):
    run = Run(tmp_path, names=("perfect",))
    target = np.array([0, 1] * 10, np.int8)
    values = compute_metrics(target, target * 1.0, 0.5)
    run.write("metrics/0.json", {"model": "perfect", "threshold_method": "cost"} | values)
    run.write("metrics/0.curves.json", {"model": "perfect"} | curves(target, target * 1.0))
    run.write_figures(0, "perfect", target, target * 1.0, 0.5)
    _, page = run.page()
    assert "no score of a default is among those of the others" in page.text
    assert "lowest cost in cross-validation" in page.text


def test_many_models_with_long_names(tmp_path):
    names = tuple(f"a_model_{n}_{'with_a_very_long_name_' * 5}" for n in range(8))
    text, page = Run(tmp_path, names=names).page()
    assert page.tags["figure"] == ALONE + 3 * 8 + 1
    assert len(text) < 600_000
    styles = [(style["colour"], style["dashes"]) for style in charts.line_styles()]
    assert len(set(styles)) == len(styles)


@pytest.mark.usefixtures("no_charts")
def test_more_models_than_the_figures_hold(tmp_path):
    _, page = Run(tmp_path, names=tuple(f"m{n}" for n in range(14))).page()
    assert "The figures show the winner and the next 11 of 14 models" in page.text
    assert page.tags["figure"] == ALONE + 3 * 12 + 1
    assert len(page.table("Model")) == 15


@pytest.mark.usefixtures("no_charts")
def test_many_application_files(tmp_path):
    run = Run(tmp_path)
    run.predict([f"{'long_' * 30}{n}.csv" for n in range(200)])
    _, page = run.page()
    table = next(table for table in page.tables if table[0][:2] == ["Application file", "Rows in"])
    assert len(table) == 1 + 50 + 1
    assert table[-1][:6] == ["All 200 files", "2,000", "200", "1,800", "400", "1,400"]
    assert "The table holds the first 50 of 200 files; the totals are of all 200." in page.text


@pytest.mark.usefixtures("no_charts")
def test_predictions_of_another_version_are_named(tmp_path):
    run = Run(tmp_path)
    run.predict(["a.csv"], version="0123456789ab")
    _, page = run.page()
    assert "1 of 1 files were scored by another version" in page.text


@pytest.mark.parametrize(
    ("share", "shown"), [(0.0, "0.00"), (1e-6, "<0.01"), (0.5, "50.00"), (0.999999, ">99.99"), (1.0, "100.00")]
)
def test_few_are_not_none(share, shown):
    assert formats.percent(share, 2) == f"{shown}\u00a0%"


# --- checks ------------------------------------------------------------------------------------------------------


def found(run):
    """The state of each check, and the page."""
    _, page = run.page()
    table = page.table("Id")
    return {row[0]: row[2] for row in table[1:]}, page


@pytest.mark.usefixtures("no_charts")
def test_all_25_checks_are_there_whatever_a_run_lacks(tmp_path):
    run = Run(tmp_path)
    run.config["fairness"] = {"groups": {}}
    for number in run.numbers:
        run.write(f"analysis/{number}.fairness.json", {"model": list(run.models)[number], "not_run": "no groups"})
    states, page = found(run)
    assert list(states) == [f"C{number:02}" for number in range(1, 26)]
    assert set(states.values()) <= {"pass", "warn", "fail", "not run"}
    for check in ("C05", "C10", "C14", "C15", "C17", "C21", "C22"):
        assert states[check] == "not run", check
    assert all(row[3] != "–" or len(row[3]) > 1 for row in page.table("Id") if row[2] == "not run"), "with its reason"


@pytest.mark.usefixtures("no_charts")
def test_a_model_that_uses_a_prohibited_column_is_held_and_the_first_page_says_why(tmp_path):
    run = Run(tmp_path)
    run.config["screen"]["prohibited"] = ["purpose"]
    states, page = found(run)
    assert states["C05"] == "fail"
    assert "Hold dt wins out of 2 models" in page.text
    assert "prohibited columns: prohibited and used, itself or by what is derived: purpose" in page.text


@pytest.mark.usefixtures("no_charts")
@pytest.mark.parametrize(
    ("low", "high", "least", "state"),
    [
        (0.01, 0.03, None, "pass"),
        (-0.01, 0.03, None, "warn"),
        (-0.03, -0.01, None, "fail"),
        (0.01, 0.03, 0.0, "pass"),
        (-0.01, 0.03, 0.0, "fail"),
        (-0.01, 0.03, -0.02, "pass"),
    ],
)
def test_the_champion_is_compared_beyond_the_noise(tmp_path, low, high, least, state):
    run = Run(tmp_path)
    run.config["select"]["champion"]["min_gain"] = least
    run.differences["champion"] = {
        "version": "0ld",
        "model": "lr",
        "comparable": True,
        "why_not": None,
        "values": {},
        "note": "flattered",
    }
    paired = {"model": "dt", "against": "champion", "metric": "roc_auc", "value": 0.01, "share_better": 0.8}
    run.differences["differences"].append(paired | {"low": low, "high": high})
    states, page = found(run)
    assert states["C10"] == state
    assert "champion (live before: 0ld)" in page.text
    assert page.text.count("flattered") == 2, "in the check and on the first page"


@pytest.mark.usefixtures("no_charts")
def test_drift_beyond_marks_and_noise_fails_and_within_the_noise_does_not(tmp_path):
    run = Run(tmp_path)
    run.predict(["a.csv"])
    assert found(run)[0]["C15"] == "fail"
    path = run.predictions[0]
    path.write_text(path.read_text().replace('"noise": false', '"noise": true'))
    assert found(run)[0]["C15"] == "pass"


@pytest.mark.usefixtures("no_charts")
def test_governance_texts_turn_warnings_into_passes(tmp_path):
    run = Run(tmp_path)
    before, _ = found(run)
    run.config["governance"] = dict.fromkeys(run.config["governance"], "as the committee says")
    after, page = found(run)
    for check in ("C02", "C03", "C24", "C25"):
        assert (before[check], after[check]) == ("warn", "pass"), check
    assert "Who may override: as the committee says" in page.text


@pytest.mark.usefixtures("no_charts")
def test_a_prohibited_column_counts_when_something_is_derived_from_it(tmp_path):
    run = Run(tmp_path)
    run.config["screen"]["prohibited"] = ["age"]
    for number, name in enumerate(run.models):
        card = json.loads((tmp_path / f"models/{number}.json").read_text())
        run.write(f"models/{number}.json", card | {"features": {"numeric": ["ratio"], "categorical": ["purpose"]}})
        ratio = DRIVERS["importance"][0] | {"feature": "ratio", "derived_from": ["age"]}
        run.write(f"analysis/{number}.drivers.json", {"model": name} | DRIVERS | {"importance": [ratio]})
    assert found(run)[0]["C05"] == "fail"


@pytest.mark.usefixtures("no_charts")
def test_what_is_missing_on_one_side_is_a_dash(tmp_path):
    run = Run(tmp_path)
    run.profile["features"]["age"]["mean"] = {"train": 40.0, "test": None}
    assert "mean 40 train, – test" in run.page()[1].text


@pytest.mark.usefixtures("no_charts")
def test_a_second_report_of_the_same_run_is_the_same(tmp_path):
    run = Run(tmp_path)
    for rule, job in (("train_dt", "train_dt"), ("train_gone", "train_gone"), ("explain", "lr"), ("explain", "gone")):
        path = tmp_path / "benchmarks" / rule / f"{job}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("s\tmax_rss\n1.5\t100\n")
    first = run.page()[0]
    (tmp_path / "benchmarks/report").mkdir()
    (tmp_path / "benchmarks/report/report.tsv").write_text("s\tmax_rss\n2.5\t100\n")
    again, page = run.page()
    assert again == first
    assert [row[:3] for row in page.table("Rule")[1:]] == [["explain", "1", "1.5"], ["train_dt", "1", "1.5"]]


@pytest.mark.usefixtures("no_charts")
def test_effects_are_held_against_what_experts_expect(tmp_path):
    run = Run(tmp_path)
    run.config["report"]["expected_effects"] = {"age": "rises"}
    assert found(run)[0]["C18"] == "pass"
    run.config["report"]["expected_effects"] = {"age": "falls"}
    assert found(run)[0]["C18"] == "warn"


@pytest.mark.usefixtures("no_charts")
def test_a_promotion_log_that_was_changed_fails(tmp_path):
    run = Run(tmp_path)
    (tmp_path / "deployed/log.jsonl").write_text("[1, 2]\n")
    states, page = found(run)
    assert states["C25"] == "fail"
    assert "line 1 is no entry of a promotion log" in page.text


@pytest.mark.usefixtures("no_charts")
def test_what_the_run_decided_is_on_the_first_page(tmp_path):
    run = Run(tmp_path)
    assert "The run has published version 1db6c256ceb8 (dt)." in run.page()[1].text
    run.receipt |= {"decision": "stage"}
    assert "it was promoted since, and is live" in run.page()[1].text
    run.receipt |= {"version": "5taged"}
    assert "make promote VERSION=5taged" in run.page()[1].text
    run.receipt |= {"decision": "keep", "champion": "0ld", "why": "no gain beyond the noise"}
    assert "The run has kept the champion, version 0ld: no gain beyond the noise" in run.page()[1].text


# --- the register of rules ---------------------------------------------------------------------------------------


def test_the_shipped_register_is_valid_and_names_checks_that_there_are():
    rules = read_rules(REGISTER)
    assert {"us-model-risk", "reg-b-reasons", "psi-marks"} <= {rule.id for rule in rules}
    assert {check for rule in rules for check in rule.checks} <= {identity for identity, *_ in checks.CHECKS}
    assert not any("SR 11-7" in rule.rule and "rescinded" not in rule.rule for rule in rules)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- id: a\n  rule: b\n", "entry 0.status: field required"),
        (
            "- {id: a, rule: b, status: c, checked: soon, source: d, means: e}",
            "entry 0.checked: input should be a valid",
        ),
        ("[1", "is no YAML"),
        (
            "- &a {id: a, rule: b, status: c, checked: 2026-01-31, source: d, means: e}\n- *a\n",
            "the id a is there twice",
        ),
    ],
)
def test_a_register_that_is_wrong_says_where(tmp_path, text, message):
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_rules(path)


def test_a_register_that_is_missing(tmp_path):
    with pytest.raises(UserError, match=r"there is no .*gone\.yaml; restore it"):
        read_rules(tmp_path / "gone.yaml")


# --- files that don't belong together ----------------------------------------------------------------------------


def test_curves_of_another_model(tmp_path):
    run = Run(tmp_path)
    path = tmp_path / "metrics/1.curves.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model": "old"}))
    with pytest.raises(UserError, match="lr, old"):
        run.page()


def test_winner_without_metrics(tmp_path):
    run = Run(tmp_path)
    run.receipt["winner"] = "gone"
    with pytest.raises(UserError, match="'gone' has no metrics"):
        run.page()


def test_models_tested_on_different_rows(tmp_path):
    run = Run(tmp_path)
    path = tmp_path / "metrics/1.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rows": 7}))
    with pytest.raises(UserError, match="not tested on the same rows"):
        run.page()


def test_the_template_is_where_the_step_looks():
    assert Path(report.TEMPLATES, "report.html.j2").is_file()


# --- tuning --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_charts")
def test_a_search_shows_its_best_trials_and_the_model_as_configured(tmp_path):
    run = Run(tmp_path)
    run.tune(14)
    _, page = run.page()
    table = page.table("Rank")
    assert table[0] == ["Rank", "max_depth", "<b>leaf", "Mean ROC AUC", "SD over folds"]
    assert [row[0] for row in table[1:]] == [*map(str, range(1, 11)), "14 (as configured)"]
    assert table[1] == ["1", "1", "gini", "0.9900", "0.0100"]
    assert table[-1][1:3] == ["default", "5"]
    assert (
        "14 candidates (random search), 2 folds, by ROC AUC: the best has 0.9900, the model as configured" in page.text
    )


@pytest.mark.usefixtures("no_charts")
def test_halving_shows_on_how_many_rows_a_candidate_was_fitted(tmp_path):
    run = Run(tmp_path)
    run.tune(6, "halving")
    _, page = run.page()
    assert [row[3] for row in page.table("Rank")] == ["Fitted on share of rows", "100.0\u00a0%", "100.0\u00a0%"] + [
        "33.3\u00a0%"
    ] * 4


@pytest.mark.usefixtures("no_charts")
def test_without_a_search_the_page_says_nothing_of_tuning(tmp_path):
    text, _ = Run(tmp_path).page()
    assert "Tuning" not in text
