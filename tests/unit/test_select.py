"""Who wins and why, in words; publishing is the last act, and nothing is published where nobody passes."""

import json

import numpy as np
import pyarrow as pa
import pytest
from builders import config, config_dict, write

from scripts import select_model
from scripts.select_model import choose, failed_gates
from scripts.shared.cards import model_version
from scripts.shared.config import Select
from scripts.shared.errors import UserError
from scripts.shared.files import read_json, sha256_file, write_json
from scripts.shared.metrics import compute_metrics
from scripts.shared.parts import write_part
from scripts.shared.registry import live_version, prepare, promote, roll_back

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


TARGET = (np.arange(200) % 5 == 0).astype(np.int8)


def scores_of(value):
    """Return scores of the test rows, the better the higher the value."""
    noise = np.random.default_rng(1).random(len(TARGET))
    return np.clip(value * (0.2 + 0.6 * TARGET) + (1 - value) * noise, 0, 1)


def lay_out(folder, on="test", gate=0.6, deploy=None, champion=None, **tested):
    """Write models that nobody loads, with ROC AUCs on test rows (and by cross-validation, where a pair is given)."""
    select = {"on": on, "gates": {"roc_auc": gate}, "champion": {"resamples": 100} | (champion or {})}
    settings = config(**config_dict(select=select, deploy=deploy or {}))
    write_json(folder / "config.json", settings.model_dump(mode="json"))
    files = {"model_files": [], "cards": [], "metrics": [], "cv": [], "scores": [], "references": []}
    for name, value in tested.items():
        test, cv = value if isinstance(value, tuple) else (value, None)
        files["model_files"].append(write(folder / f"{name}.joblib", f"model {name}"))
        files["cards"].append(folder / f"{name}.card.json")
        files["metrics"].append(folder / f"{name}.metrics.json")
        identity = {"contract": {}, "data": "", "code": "c", "seed": 1, "versions": {}}
        identity |= {"environment": {"python": "3.11.9", "machine": "m", "libraries": {}}, "golden": {"scores": []}}
        identity |= {"features": {"numeric": [], "categorical": []}, "training": {"rows": 9, "defaults": 3}}
        model = {"complexity": 1, "estimator": "a.B", "params": {}}
        card = {"name": name, "model": model, "sha256": sha256_file(files["model_files"][-1])}
        write_json(files["cards"][-1], card | identity)
        files["scores"].append(folder / f"{name}.parquet")
        write_part(pa.table({"target": TARGET, "score": scores_of(test)}), files["scores"][-1])
        known = compute_metrics(TARGET, scores_of(test), 0.4)
        write_json(files["metrics"][-1], known | {"roc_auc": test, "pr_auc": test / 2})
        files["references"].append(write(folder / f"{name}.reference.json", f"reference {name}"))
        if cv is not None:
            files["cv"].append(folder / f"{name}.cv.json")
            write_json(files["cv"][-1], {"mean": {"roc_auc": cv, "pr_auc": cv / 2}})
    return files | {
        "live": prepare(folder / "deployed"),
        "lock": write(folder / "requirements.lock", "numpy==2\n"),
        "parts": [],
        "membership": [],
        "receipt": folder / "selection.json",
        "differences": folder / "differences.json",
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
        "decision": "publish",
        "why": "nothing is live yet",
        "champion": None,
        "live": version,
        "candidates": {
            "a": {"roc_auc": 0.8, "pr_auc": 0.4, "complexity": 1, "passes_gates": True},
            "b": {"roc_auc": 0.9, "pr_auc": 0.45, "complexity": 1, "passes_gates": True},
            "c": {"roc_auc": 0.5, "pr_auc": 0.25, "complexity": 1, "passes_gates": False},
        },
    }
    live = live_version(files["live"])
    assert live.name == version
    found = {path.name: path.read_bytes() for path in live.iterdir()}
    assert found.pop("card.md").startswith(f"# Model card: b, version {version}\n".encode())
    assert json.loads(found.pop("environment.json"))["lock"] == sha256_file(files["lock"])
    assert found == {
        "golden.json": b'{\n  "scores": []\n}\n',
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
    assert caplog.messages == [
        f"b wins: {reason}",
        "publish: nothing is live yet",
        f"version {version} is live now",
    ]


def receipts_of(files):
    return files["receipt"].read_bytes(), files["differences"].read_bytes()


def test_selecting_again_changes_nothing(tmp_path, caplog):
    caplog.set_level("INFO")
    files = lay_out(tmp_path, a=0.8)
    select_model.main(**files)
    before, receipts = files["live"].stat().st_mtime_ns, receipts_of(files)
    select_model.main(**files)
    assert files["live"].stat().st_mtime_ns == before
    assert receipts_of(files) == receipts, "as a step writes them that was killed after it had published"
    assert caplog.messages[-1].endswith("was live already")
    assert len((tmp_path / "deployed" / "log.jsonl").read_text().splitlines()) == 1


def test_selecting_again_in_place_of_another_version_compares_with_that_one_again(tmp_path):
    first = lay_out(tmp_path, a=0.8)
    select_model.main(**first)
    files = another(tmp_path, first, b=0.9)
    select_model.main(**files)
    receipts, receipt = receipts_of(files), read_json(files["receipt"])
    assert receipt["champion"] == read_json(first["receipt"])["version"] != receipt["version"]
    select_model.main(**files)
    assert receipts_of(files) == receipts


@pytest.mark.parametrize("who", ["a person", "another run"])
def test_a_winner_that_became_live_otherwise_is_the_champion_itself(tmp_path, who):
    files = lay_out(tmp_path, a=0.8)
    select_model.main(**files)
    winner = read_json(files["receipt"])["version"]
    if who == "a person":
        select_model.main(**another(tmp_path, files, b=0.9))
        roll_back(files["live"].parent, winner)
    else:
        write_json(files["config"], read_json(files["config"]) | {"cv_folds": 4})
    select_model.main(**files)
    receipt = read_json(files["receipt"])
    assert (receipt["champion"], receipt["why"]) == (winner, f"version {winner} is live already")


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


# --- the live model -----------------------------------------------------------------------------------------------


def log(folder):
    return [json.loads(line) for line in (folder / "deployed" / "log.jsonl").read_text().splitlines()]


def test_differences_are_those_of_the_winner_on_the_same_rows(tmp_path):
    files = lay_out(tmp_path, a=0.8, b=0.95)
    select_model.main(**files)
    found = read_json(files["differences"])
    told = {key: found[key] for key in ("rows", "defaults", "resamples", "seed", "metric", "decision", "why")}
    assert told == {
        "rows": 200,
        "defaults": 40,
        "resamples": 100,
        "seed": 2026,
        "metric": "roc_auc",
        "decision": "publish",
        "why": "nothing is live yet",
    }
    assert found["champion"]["version"] is None
    assert found["champion"]["comparable"] is False
    assert set(found["intervals"]) == {"a", "b"}
    assert set(found["intervals"]["a"]) >= {"accuracy", "roc_auc", "ks", "log_loss"}
    differences = {each["metric"]: each for each in found["differences"]}
    assert list(differences) == ["roc_auc", "pr_auc", "ks", "brier", "log_loss"]
    assert {(each["model"], each["against"]) for each in found["differences"]} == {("b", "a")}
    brier = differences["brier"]
    assert brier["value"] < 0, "winner less other"
    assert brier["low"] <= brier["value"] <= brier["high"]
    assert brier["share_better"] == 1, "lower is better"


def test_the_same_input_gives_the_same_differences(tmp_path):
    first, second = (lay_out(tmp_path / name, a=0.8, b=0.95) for name in ("one", "two"))
    for files in (first, second):
        select_model.main(**files)
    assert first["differences"].read_bytes() == second["differences"].read_bytes()


def test_scores_of_other_rows_are_refused(tmp_path):
    files = lay_out(tmp_path, a=0.8, b=0.9)
    write_part(pa.table({"target": TARGET[::-1], "score": scores_of(0.9)}), files["scores"][1])
    with pytest.raises(UserError, match=r"b\.parquet is of other rows than the other models' scores; delete"):
        select_model.main(**files)
    assert read_json(files["live"]) == {"version": None}


def another(folder, files, **options):
    """Return the files of a later run in the same registry, whose winner is another version."""
    later = lay_out(folder / "later", **options)
    return later | {"live": files["live"]}


def test_a_live_model_that_cannot_be_compared_is_replaced_where_no_gain_is_asked_for(tmp_path):
    files = lay_out(tmp_path, a=0.8)
    select_model.main(**files)
    later = another(tmp_path, files, b=0.9)
    select_model.main(**later)
    champion = read_json(later["differences"])["champion"]
    assert champion["version"] == read_json(files["receipt"])["version"]
    assert champion["comparable"] is False
    assert champion["why_not"].startswith("its files can't be read (")
    assert live_version(files["live"]).name == read_json(later["receipt"])["version"]


def test_a_live_model_that_cannot_be_compared_stays_where_a_gain_is_asked_for(tmp_path):
    files = lay_out(tmp_path, a=0.8)
    select_model.main(**files)
    before = files["live"].read_bytes()
    later = another(tmp_path, files, champion={"min_gain": 0}, b=0.9)
    select_model.main(**later)
    receipt = read_json(later["receipt"])
    assert (receipt["decision"], receipt["live"]) == ("keep", receipt["champion"])
    assert "can't be compared" in receipt["why"]
    assert "set deploy.approval: true and promote the winner, or leave min_gain out" in receipt["why"]
    assert files["live"].read_bytes() == before
    assert len(list((tmp_path / "deployed" / "versions").iterdir())) == 1, "nothing is written"


def test_with_approval_the_winner_is_staged_and_a_person_makes_it_live(tmp_path, caplog):
    caplog.set_level("INFO")
    files = lay_out(tmp_path, deploy={"approval": True}, a=0.8)
    select_model.main(**files)
    receipt = read_json(files["receipt"])
    version = receipt["version"]
    assert (receipt["decision"], receipt["champion"], receipt["live"]) == ("stage", None, None)
    assert receipt["why"] == "nothing is live yet; a person must make it live (deploy.approval)"
    how = f'to make it live: make promote VERSION={version} REASON="…"'
    assert caplog.messages[-1] == f"version {version} is staged; {how}"
    with pytest.raises(
        UserError, match=f"no model is live yet, and version {version} is staged; to make it live: make"
    ):
        live_version(files["live"])
    select_model.main(**files)
    assert caplog.messages[-1] == f"version {version} was staged already; {how}"
    assert [entry["action"] for entry in log(tmp_path)] == ["staged"]
    promote(tmp_path / "deployed", version, "looks right")
    assert live_version(files["live"]).name == version
    select_model.main(**files)
    assert read_json(files["receipt"])["decision"] == "publish"
    assert [entry["action"] for entry in log(tmp_path)] == ["staged", "promoted"]


def test_a_version_that_became_live_meanwhile_is_not_replaced_unseen(tmp_path, monkeypatch):
    files = lay_out(tmp_path, a=0.8)
    other = another(tmp_path, files, b=0.9)
    compared = select_model.compared

    def slow(*given):
        monkeypatch.setattr(select_model, "compared", compared)
        select_model.main(**other)
        return compared(*given)

    monkeypatch.setattr(select_model, "compared", slow)
    with pytest.raises(UserError, match=r"has become live in .* since the winner was compared with what was live"):
        select_model.main(**files)
    assert live_version(files["live"]).name == read_json(other["receipt"])["version"]
