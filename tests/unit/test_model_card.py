"""The card in Markdown: everything is there, what nobody stated is said, and no text breaks the page."""

import re

import pytest
from builders import config, config_dict, write

from scripts.shared.environment import describe
from scripts.shared.files import read_json, sha256_file, write_json
from scripts.shared.model_card import GOVERNANCE, code, escape, make_card, version_files

ENVIRONMENT = describe("sklearn.linear_model.LogisticRegression", "model.joblib") | {"machine": "x86_64"}
METRICS = {"roc_auc": 0.9, "brier": 0.1, "threshold": 0.25, "threshold_method": "fixed", "rows": 1234, "defaults": 150}
DIFFERENCES = {"intervals": {"m": {"roc_auc": [0.88, 0.92]}}, "resamples": 1000, "why": "better by *far*"}


def card_of(**changes):
    settings = config()
    return {
        "name": "m",
        "model": settings.models["lr"].model_dump(mode="json"),
        "contract": settings.contract().model_dump(mode="json") | {"features": {"ratio": "x / y"}},
        "features": {"numeric": ["x", "ratio"], "categorical": ["t"], "categories": {"t": ["A", "B"]}},
        "training": {"rows": 2000, "defaults": 300},
        "seed": 2026,
        "code": "c0de",
        "data": "da7a",
        "versions": {},
        "environment": ENVIRONMENT,
        "golden": {"features": {}, "rows": [], "scores": []},
        "sha256": "a" * 64,
    } | changes


def text_of(card=None, metrics=METRICS, differences=None, **sections):
    return make_card(card or card_of(), metrics, config(**config_dict(**sections)), "v1", "b" * 64, differences)


def row(text, head):
    """Return the cells after the first of the table row that starts with `head`."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {head} |")]
    return [cell.strip() for cell in line.strip("|").split(" | ")[1:]]


def test_it_says_what_it_is_and_where_it_comes_from():
    text = text_of(labels={"x": "income"})
    assert text.startswith("# Model card: m, version v1\n\n")
    assert row(text, "Estimator") == ["`sklearn.linear_model.LogisticRegression`"]
    assert row(text, "Parameters") == ["`C=1.0`, `max_iter=2000`"]
    assert row(text, "`x`") == ["income", "number", ""]
    assert row(text, "`ratio`") == ["ratio", "number", "`x / y`"]
    assert row(text, "`t`") == ["t", "category", "A, B"]
    assert "2,000 rows, 300 of them defaults (15.0%)." in text
    for value in ("Seed 2026", "`c0de`", "`da7a`", f"`{'a' * 64}`", f"`{'b' * 64}`", f"`{'b' * 12}`"):
        assert value in text
    for name, version in ENVIRONMENT["libraries"].items():
        assert row(text, escape(name)) == [escape(version)]


def test_what_nobody_stated_is_said():
    text = text_of(governance={"owner": "Risk", "tier": "2"})
    assert row(text, "Owner") == ["Risk"]
    for key, words in GOVERNANCE.items():
        assert row(text, words) == [{"owner": "Risk", "tier": "2"}.get(key, "not stated")]
    assert "Not stated by anybody: Approver, " in text
    everything = text_of(governance=dict.fromkeys(GOVERNANCE, "yes"))
    assert "Not stated by anybody" not in everything


def test_metrics_with_and_without_intervals():
    text = text_of()
    assert "1,234 rows that training never saw, 150 of them defaults." in text
    assert row(text, "ROC AUC") == ["0.9000", "not stated"]
    assert "Metrics are stated without their uncertainty." in text
    text = text_of(differences=DIFFERENCES)
    assert row(text, "ROC AUC") == ["0.9000", "0.8800 to 0.9200"]
    assert row(text, "Brier score (lower is better)") == ["0.1000", "not stated"]
    assert "1,000 samples" in text
    assert r"better by \*far\*" in text
    assert "without their uncertainty" not in text


def test_the_threshold_and_where_it_came_from():
    assert "from a probability of 0.2500 on. The config sets it; test rows had no say." in text_of()
    text = text_of(threshold={"method": "cost", "cost": {"missed_default": 8}})
    assert "a missed default costs 8 and a refused good loan 1" in text


def test_limits_follow_from_the_config_and_the_rows():
    text = text_of()
    for words in ("No out-of-time test", "Reject bias", "chosen on the rows that it is reported on", "No groups"):
        assert words in text
    assert "Only" not in text
    assert "Only 99 defaults among the test rows" in text_of(metrics=METRICS | {"defaults": 99})
    columns = config_dict()["columns"] | {"date": "d"}
    text = text_of(columns=columns, split={"method": "time", "test_from": "2026-01-01"}, select={"on": "cv"})
    assert "No out-of-time test" not in text
    assert "chosen on the rows" not in text


def test_reasons_retention_and_loading():
    text = text_of()
    assert "At most 4 for each refused application" in text
    assert "by its terms, less the reference's" in text
    assert "keeps every version" in text
    assert "joblib unpickles it" in text
    text = text_of(
        card_of(artefact="model.skops", reference_group={}),
        predict={"reasons": {"count": 2, "of": "all"}},
        deploy={"keep": 5},
    )
    assert "At most 2 for each application" in text
    assert "that `model.json` records under `reference_group`" in text
    assert "keeps 5 versions" in text
    assert "scripts/shared/trusted.py" in text
    assert "None are given" in text_of(predict={"reasons": {"count": 0}})


def test_a_sample_and_a_search_are_told():
    assert "They are a sample of 9,000 train rows." in text_of(card_of(sample={"of_rows": 9000}))
    assert "cross-validation on train rows: `C=0.5`." in text_of(card_of(tuned={"parameters": {"C": 0.5}}))


@pytest.mark.parametrize(
    "text",
    ["a | b", "<script>alert(1)</script>", "# no heading", "[a](http://b)", "`x`", "two\n\n# lines", "\\", "~~x~~"],
)
def test_no_text_breaks_the_page(text):
    page, usual = text_of(governance={"owner": text}, labels={"x": text}), text_of()
    assert [len(line) > 0 for line in page.splitlines()] == [len(line) > 0 for line in usual.splitlines()]
    assert len(re.findall(r"(?<!\\)\|", page)) == len(re.findall(r"(?<!\\)\|", usual))
    assert not re.search(r"(?<!\\)[<>]", page)
    assert row(page, "Owner") == [escape(text)]


def test_code_is_shown_as_it_is():
    assert code("a < b") == "`a < b`"
    assert code("a `b` | c") == r"a \`b\` \| c"
    assert code("") == ""


def test_equal_input_is_equal_text():
    other = dict(reversed(card_of().items())) | {"model": dict(reversed(card_of()["model"].items()))}
    assert text_of(other) == text_of()


def test_a_version_has_all_of_its_files(tmp_path):
    files = tmp_path / "m.skops", tmp_path / "m.json", tmp_path / "metrics.json"
    write(files[0], "model")
    write_json(files[1], card_of(artefact="model.skops"))
    write_json(files[2], METRICS)
    lock = write(tmp_path / "requirements.lock", "numpy==2\n")
    found = version_files(tmp_path / "made", *files, lock, config(), "v1")
    assert list(found) == [
        *("model.skops", "model.json", "metrics.json", "requirements.lock"),
        *("card.md", "environment.json", "golden.json"),
    ]
    checksum = sha256_file(lock)
    assert found["card.md"].read_text() == make_card(card_of(artefact="model.skops"), METRICS, config(), "v1", checksum)
    assert read_json(found["environment.json"]) == ENVIRONMENT | {"lock": checksum, "environment": checksum[:12]}
    assert read_json(found["golden.json"]) == card_of()["golden"]
