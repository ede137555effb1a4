"""The report: right intervals, the same bytes, everything escaped, nothing from elsewhere, at all sizes."""

import html.parser
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from markupsafe import Markup
from scipy.stats import binomtest

from scripts import report
from scripts.shared.errors import UserError
from scripts.shared.metrics import compute_metrics, curves

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
        self.numbers = range(len(names))
        self.receipt = {
            "winner": names[0],
            "version": "1db6c256ceb8",
            "metric": "roc_auc",
            "on": on,
            "reason": f"best roc_auc of <{names[0]}>",
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
        self.predictions, self.tuned = [], ([], [])

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
        report.main(
            self.write("summary.json", self.summary),
            [self.folder / f"metrics/{n}.json" for n in self.numbers],
            [self.folder / f"metrics/{n}.curves.json" for n in self.numbers],
            *self.tuned,
            self.write("selection.json", self.receipt),
            self.predictions,
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
    monkeypatch.setattr(report, "to_svg", lambda *_: Markup("<svg></svg>"))


# --- intervals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (10, 10), (1, 3), (989, 1248), (11_838, 1_000_000)])
def test_wilson_agrees_with_scipy(successes, trials):
    expected = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert report.wilson_interval(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_of_nothing_is_none():
    assert report.wilson_interval(0, 0) is None


def test_auc_interval_of_the_paper():
    """Hanley and McNeil's 109 images: an area of 0.893 from 51 abnormal and 58 normal has a standard error of 0.0325.

    By hand: Q1 = 0.893 / 1.107 = 0.80668, Q2 = 2 · 0.797449 / 1.893 = 0.84253,
    (0.095551 + 50 · 0.009235 + 57 · 0.045077) / (51 · 58) = 0.0010570, its root 0.03251.
    """
    low, high = report.auc_interval(0.893, 51, 58)
    assert (low, high) == pytest.approx((0.893 - 1.96 * 0.03251, 0.893 + 1.96 * 0.03251), abs=1e-4)


def test_auc_interval_covers_as_often_as_it_says():
    """The formula holds exactly for exponential scores, whose true area is rate / (1 + rate)."""
    random, hits, rounds, truth = np.random.default_rng(3), 0, 400, 0.8
    for _ in range(rounds):
        bad, good = random.exponential(4.0, 60), random.exponential(1.0, 90)
        low, high = report.auc_interval(float((bad[:, None] > good).mean()), 60, 90)
        hits += low <= truth <= high
    assert 0.92 < hits / rounds < 0.975


@pytest.mark.parametrize(("auc", "positives", "negatives"), [(1.0, 5, 5), (0.0, 5, 5), (0.7, 0, 5), (0.7, 5, 0)])
def test_auc_interval_claims_no_certainty(auc, positives, negatives):
    assert report.auc_interval(auc, positives, negatives) is None


def test_auc_interval_stays_within_bounds():
    low, high = report.auc_interval(0.97, 3, 4)
    assert 0 <= low < 0.97 < high == 1.0


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
    comparison, decisions = (table for table in page.tables if len(table[0]) > 5 and table[0][0] == "Model")
    values = run.models["lr"]
    low, high = report.auc_interval(values["roc_auc"], values["defaults"], ROWS - values["defaults"])
    lr = next(row for row in comparison if row[0] == "lr")
    assert lr[1].replace("● (best)", "") == f"{values['roc_auc']:.4f}{low:.3f}–{high:.3f}"
    assert len(comparison[0]) == 1 + len(report.METRICS)
    counts = [values[k] for k in ("true_positives", "false_negatives", "true_negatives", "false_positives")]
    assert next(row for row in decisions if row[0] == "lr")[2:6] == [str(n) for n in counts]


@pytest.mark.usefixtures("no_charts")
def test_marks_the_best_of_each_metric_in_words_too(tmp_path):
    run = Run(tmp_path)
    _, page = run.page()
    comparison = page.table("Model")
    for column, metric in enumerate(report.LABELS, start=1):
        values = {name: values[metric] for name, values in run.models.items()}
        best = (min if metric in {"brier", "log_loss"} else max)(values.values())
        for row in comparison[1:]:
            name = row[0].removesuffix(" (winner)")
            tie = len(set(values.values())) == 1
            assert ("(best)" in row[column]) == (values[name] == best and not tie)


def test_every_chart_has_a_title_and_a_description(tmp_path):
    _, page = Run(tmp_path).page()
    charts = 2 + 3 * 2
    assert page.tags["title"] == charts + 1
    assert page.tags["desc"] == charts
    assert page.tags["figure"] == page.tags["figcaption"] == charts


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
    assert "only wins, the only model" in page.text
    assert "(best)" not in text


@pytest.mark.usefixtures("no_charts")
def test_no_prediction_files(tmp_path):
    _, page = Run(tmp_path).page()
    assert "No application files were scored." in page.text


@pytest.mark.usefixtures("no_charts")
def test_a_model_that_refuses_nobody_or_everybody(tmp_path):
    _, page = Run(tmp_path, threshold=1.0).page()
    assert page.table("Model")[1][6] == "0.0000no interval"
    _, page = Run(tmp_path, threshold=0.0).page()
    assert "none approved" in page.text


def test_a_perfect_model(tmp_path):
    run = Run(tmp_path, names=("perfect",))
    target = np.array([0, 1] * 10, np.int8)
    values = compute_metrics(target, target * 1.0, 0.5)
    run.write("metrics/0.json", {"model": "perfect", "threshold_method": "cost"} | values)
    run.write("metrics/0.curves.json", {"model": "perfect"} | curves(target, target * 1.0))
    _, page = run.page()
    assert "no interval can be given" in page.text
    assert "lowest cost in cross-validation" in page.text


def test_many_models_with_long_names(tmp_path):
    names = tuple(f"a_model_{n}_{'with_a_very_long_name_' * 5}" for n in range(8))
    text, page = Run(tmp_path, names=names).page()
    assert page.tags["figure"] == 2 + 3 * 8
    assert len(text) < 600_000
    styles = [(style["colour"], style["dashes"]) for style in report.line_styles()]
    assert len(set(styles)) == len(styles)


@pytest.mark.usefixtures("no_charts")
def test_more_models_than_the_figures_hold(tmp_path):
    _, page = Run(tmp_path, names=tuple(f"m{n}" for n in range(14))).page()
    assert "The figures show the winner and the next 11 of 14 models" in page.text
    assert page.tags["figure"] == 2 + 3 * 12
    assert len(page.table("Model")) == 15


@pytest.mark.usefixtures("no_charts")
def test_many_application_files(tmp_path):
    run = Run(tmp_path)
    run.predict([f"{'long_' * 30}{n}.csv" for n in range(200)])
    _, page = run.page()
    table = page.table("Application file")
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
    assert report._percent(share, 2) == f"{shown}\u00a0%"


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
