"""Who wins and why, in words; publishing is the last act, and nothing is published where nobody passes."""

import json

import pytest
from builders import config, config_dict, write

from scripts import select_model
from scripts.select_model import choose, failed_gates
from scripts.shared.cards import model_version
from scripts.shared.config import Select
from scripts.shared.errors import UserError
from scripts.shared.files import read_json, sha256_file, write_json
from scripts.shared.registry import live_version, prepare

ON_TEST = "on the test rows (choosing and reporting on the same rows flatters the winner)"
ON_CV = "by cross-validation on training rows; the test rows had no say"


def candidates(**values):
    """Return candidates from tuples: complexity, ROC AUC, PR AUC, Brier score."""
    return {
        name: {"complexity": complexity, "values": {"roc_auc": roc, "pr_auc": pr, "brier": brier}}
        for name, (complexity, roc, pr, brier) in values.items()
    }


@pytest.mark.parametrize(
    ("given", "options", "winner", "reason"),
    [
        (
            {"a": (2, 0.91, 0.5, 0.1), "b": (1, 0.9, 0.9, 0.1)},
            {},
            "a",
            f"best roc_auc 0.9100 against 0.9000 of the next, {ON_TEST}",
        ),
        (
            {"a": (1, 0.9, 0.5, 0.1), "b": (2, 0.9, 0.6, 0.1)},
            {},
            "b",
            f"a, b tie on roc_auc 0.9000; best pr_auc 0.6000 against 0.5000 of the next, {ON_TEST}",
        ),
        (
            {"a": (2, 0.9, 0.6, 0.1), "b": (1, 0.9, 0.6, 0.1)},
            {},
            "b",
            f"a, b tie on roc_auc 0.9000; a, b tie on pr_auc 0.6000; b is the simplest of them, {ON_TEST}",
        ),
        (
            {"b": (1, 0.9, 0.6, 0.1), "a": (1, 0.9, 0.6, 0.1)},
            {},
            "a",
            f"a, b tie on roc_auc 0.9000; a, b tie on pr_auc 0.6000; a is the simplest of them, {ON_TEST}",
        ),
        (
            {"a": (3, 0.9, 0.6, 0.1), "b": (2, 0.895, 0.7, 0.1), "c": (1, 0.8, 0.9, 0.1)},
            {"tolerance": 0.01},
            "b",
            f"a, b tie on roc_auc 0.9000; best pr_auc 0.7000 against 0.6000 of the next, {ON_TEST}",
        ),
        (
            {"a": (2, 0.9, 0.6, 0.1), "b": (1, 0.895, 0.6, 0.1)},
            {"tolerance": 0},
            "a",
            f"best roc_auc 0.9000 against 0.8950 of the next, {ON_TEST}",
        ),
        (
            {"a": (1, 0.9, 0.6, 0.2), "b": (2, 0.8, 0.6, 0.1), "c": (3, 0.7, 0.6, 0.15)},
            {"metrics": ["brier"]},
            "b",
            f"best brier 0.1000 against 0.1500 of the next, {ON_TEST}",
        ),
        (
            {"a": (1, 0.9, 0.6, 0.1), "b": (2, 0.8, 0.7, 0.1)},
            {"metrics": ["brier", "pr_auc", "roc_auc"], "on": "cv"},
            "b",
            f"a, b tie on brier 0.1000; best pr_auc 0.7000 against 0.6000 of the next, {ON_CV}",
        ),
        (
            {"a": (1, 0.9, 0.6, 0.3), "b": (2, 0.8, 0.7, 0.1), "c": (2, 0.7, 0.7, 0.1)},
            {"gates": {"brier": 0.2}},
            "b",
            f"a failed the gates; best roc_auc 0.8000 against 0.7000 of the next, {ON_TEST}",
        ),
        (
            {"a": (1, 0.9, 0.6, 0.3), "b": (2, 0.8, 0.7, 0.1), "c": (2, 0.5, 0.7, 0.1)},
            {"gates": {"brier": 0.2, "roc_auc": 0.6}},
            "b",
            f"a, c failed the gates; best roc_auc 0.8000, the only candidate left, {ON_TEST}",
        ),
        ({"a": (1, 0.9, 0.6, 0.3)}, {}, "a", f"best roc_auc 0.9000, the only candidate left, {ON_TEST}"),
        ({"a": (1, 0.2, 0.6, 0.3)}, {"gates": {}}, "a", f"best roc_auc 0.2000, the only candidate left, {ON_TEST}"),
    ],
)
def test_the_winner_and_the_reason(given, options, winner, reason):
    assert choose(candidates(**given), Select(**options)) == (winner, reason)


def test_the_order_of_candidates_does_not_matter():
    given = candidates(a=(2, 0.9, 0.6, 0.1), b=(1, 0.9, 0.6, 0.1), c=(1, 0.9, 0.6, 0.1))
    assert choose(given, Select()) == choose(dict(reversed(given.items())), Select())


@pytest.mark.parametrize(
    ("gates", "words"),
    [
        ({}, []),
        ({"roc_auc": 0.7}, []),
        ({"roc_auc": 0.71}, ["roc_auc 0.7000 is below 0.71"]),
        ({"brier": 0.2}, []),
        ({"brier": 0.19}, ["brier 0.2000 is above 0.19"]),
        ({"roc_auc": 0.9, "brier": 0.1, "pr_auc": 0.3}, ["brier 0.2000 is above 0.1", "roc_auc 0.7000 is below 0.9"]),
    ],
)
def test_a_gate_is_reached_from_its_own_side(gates, words):
    assert failed_gates({"roc_auc": 0.7, "brier": 0.2, "pr_auc": 0.5}, Select(gates=gates)) == words


def test_where_nobody_passes_each_is_told_why():
    given = candidates(b=(1, 0.5, 0.5, 0.4), a=(1, 0.9, 0.5, 0.3))
    message = (
        r"^no candidate passes the gates \(a: brier 0\.3000 is above 0\.2; "
        r"b: brier 0\.4000 is above 0\.2, roc_auc 0\.5000 is below 0\.6\); "
        r"nothing was published, what is deployed stays$"
    )
    with pytest.raises(UserError, match=message):
        choose(given, Select(gates={"roc_auc": 0.6, "brier": 0.2}))


# --- the step -----------------------------------------------------------------------------------------------------


def lay_out(folder, on="test", gate=0.6, **tested):
    """Write models that nobody loads, with ROC AUCs on test rows (and by cross-validation, where a pair is given)."""
    settings = config(**config_dict(select={"on": on, "gates": {"roc_auc": gate}}))
    write_json(folder / "config.json", settings.model_dump(mode="json"))
    files = {"model_files": [], "cards": [], "metrics": [], "cv": [], "references": []}
    for name, value in tested.items():
        test, cv = value if isinstance(value, tuple) else (value, None)
        files["model_files"].append(write(folder / f"{name}.joblib", f"model {name}"))
        files["cards"].append(folder / f"{name}.card.json")
        files["metrics"].append(folder / f"{name}.metrics.json")
        identity = {"contract": {}, "data": "", "code": "c", "seed": 1, "versions": {}}
        card = {"name": name, "model": {"complexity": 1}, "sha256": sha256_file(files["model_files"][-1])}
        write_json(files["cards"][-1], card | identity)
        write_json(files["metrics"][-1], {"roc_auc": test, "pr_auc": test / 2, "threshold": 0.4})
        files["references"].append(write(folder / f"{name}.reference.json", f"reference {name}"))
        if cv is not None:
            files["cv"].append(folder / f"{name}.cv.json")
            write_json(files["cv"][-1], {"mean": {"roc_auc": cv, "pr_auc": cv / 2}})
    return files | {
        "live": prepare(folder / "deployed"),
        "lock": write(folder / "requirements.lock", "numpy==2\n"),
        "receipt": folder / "selection.json",
        "config": folder / "config.json",
    }


def test_the_winner_is_published_and_the_receipt_says_why(tmp_path, caplog):
    caplog.set_level("INFO")
    files = lay_out(tmp_path, a=0.8, b=0.9, c=0.5)
    select_model.main(**files)
    version = model_version(read_json(files["cards"][1]), 0.4)
    reason = f"c failed the gates; best roc_auc 0.9000 against 0.8000 of the next, {ON_TEST}"
    assert read_json(files["receipt"]) == {
        "winner": "b",
        "version": version,
        "metric": "roc_auc",
        "on": "test",
        "reason": reason,
        "candidates": {
            "a": {"roc_auc": 0.8, "pr_auc": 0.4, "complexity": 1, "passes_gates": True},
            "b": {"roc_auc": 0.9, "pr_auc": 0.45, "complexity": 1, "passes_gates": True},
            "c": {"roc_auc": 0.5, "pr_auc": 0.25, "complexity": 1, "passes_gates": False},
        },
    }
    live = live_version(files["live"])
    assert live.name == version
    assert {path.name: path.read_bytes() for path in live.iterdir()} == {
        "model.joblib": b"model b",
        "model.json": files["cards"][1].read_bytes(),
        "metrics.json": files["metrics"][1].read_bytes(),
        "reference.json": b"reference b",
        "requirements.lock": b"numpy==2\n",
    }
    (entry,) = [json.loads(line) for line in (tmp_path / "deployed" / "log.jsonl").read_text().splitlines()]
    assert {key: entry[key] for key in ("action", "version", "model", "reason", "metric", "value", "run")} == {
        "action": "publish",
        "version": version,
        "model": "b",
        "reason": reason,
        "metric": "roc_auc",
        "value": 0.9,
        "run": sha256_file(files["config"])[:12],
    }
    assert caplog.messages == [f"b wins: {reason}", f"version {version} is live now"]


def test_selecting_again_changes_nothing(tmp_path, caplog):
    caplog.set_level("INFO")
    files = lay_out(tmp_path, a=0.8)
    select_model.main(**files)
    before = files["live"].stat().st_mtime_ns, files["receipt"].read_bytes()
    select_model.main(**files)
    assert (files["live"].stat().st_mtime_ns, files["receipt"].read_bytes()) == before
    assert caplog.messages[-1].endswith("was live already")
    assert len((tmp_path / "deployed" / "log.jsonl").read_text().splitlines()) == 1


def test_by_cross_validation_the_test_rows_have_no_say(tmp_path):
    files = lay_out(tmp_path, on="cv", a=(0.9, 0.7), b=(0.55, 0.8))
    select_model.main(**files)
    receipt = read_json(files["receipt"])
    assert (receipt["winner"], receipt["on"]) == ("b", "cv")
    assert receipt["reason"] == f"best roc_auc 0.8000 against 0.7000 of the next, {ON_CV}"
    assert receipt["candidates"]["a"]["roc_auc"] == 0.7
    entry = json.loads((tmp_path / "deployed" / "log.jsonl").read_text())
    assert (entry["metric"], entry["value"]) == ("roc_auc", 0.8), "what decided"
    assert (
        read_json(live_version(files["live"]) / "metrics.json")["roc_auc"] == 0.55
    )  # what is reported stays the test's


def test_where_nobody_passes_nothing_is_published_and_what_is_live_stays(tmp_path):
    files = lay_out(tmp_path, a=0.8)
    select_model.main(**files)
    live, receipt = files["live"].read_bytes(), files["receipt"].read_bytes()
    worse = lay_out(tmp_path, gate=0.95, a=0.9)
    with pytest.raises(UserError, match=r"no candidate passes the gates \(a: roc_auc 0\.9000 is below 0\.95\)"):
        select_model.main(**worse)
    assert (files["live"].read_bytes(), files["receipt"].read_bytes()) == (live, receipt)
    assert len(list((tmp_path / "deployed" / "versions").iterdir())) == 1


def test_a_winner_that_was_changed_after_training_is_not_published(tmp_path):
    files = lay_out(tmp_path, a=0.8, b=0.9)
    files["model_files"][1].write_text("other")
    with pytest.raises(UserError, match=r"b\.joblib has the checksum"):
        select_model.main(**files)
    assert read_json(files["live"]) == {"version": None}
    assert not files["receipt"].exists()


def test_a_publication_that_fails_leaves_no_receipt(tmp_path):
    files = lay_out(tmp_path, a=0.8)
    files["lock"].unlink()
    with pytest.raises(FileNotFoundError, match=r"requirements\.lock"):
        select_model.main(**files)
    assert read_json(files["live"]) == {"version": None}
    assert not files["receipt"].exists()
