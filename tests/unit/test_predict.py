"""Scoring: a file's rows in its order by the live model's own contract, whatever is wrong with the file said."""

import csv
import gzip
import io
import json
import pickle
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import config, config_dict, write, write_plan
from test_models import Trap
from test_train import csv_text, lay_out, loans, train_model

from scripts import predict
from scripts.shared.errors import UserError
from scripts.shared.files import read_json, write_json
from scripts.shared.models import load_model
from scripts.shared.registry import prepare, publish, roll_back

FEATURES = ("x", "y", "t")
REASONS = ["reason_1", "reason_2", "reason_3", "reason_4"]
HEADER = ",".join(["id", "probability_of_default", "decision", "model_version", *REASONS]) + "\n"
BOUNDS = {"cleaning": {"bounds": {"x": {"min": -100, "max": 200}}}}


def deploy(at, name, version, threshold):
    """Train and publish a model."""
    model, card = train_model(at, name)
    write_json(at.folder / "metrics.json", {"threshold": threshold})
    files = {"model.joblib": model, "model.json": card, "metrics.json": at.folder / "metrics.json"}
    publish(at.folder / "deployed", version, files, {})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A registry with two versions of different contracts and thresholds; the first has no id."""
    folder = tmp_path_factory.mktemp("predict")
    without = {key: value for key, value in config_dict()["columns"].items() if key != "id"}
    deploy(lay_out(folder, loans(), columns=without, features={"ratio": "x / (y + 1)"}), "line", "no_id", 0.7)
    at = lay_out(folder, loans(), **BOUNDS)
    deploy(at, "tree", "usual", 0.5)
    return at


@pytest.fixture
def at(made, tmp_path):
    """The registry, copied, and a config."""
    shutil.copytree(made.folder / "deployed", tmp_path / "deployed", symlinks=True)
    found = SimpleNamespace(folder=tmp_path, live=tmp_path / "deployed" / "live.json")
    found.outputs = [tmp_path / "out" / name for name in ("a.csv", "a.rejects.csv", "a.summary.json")]
    configure(found)
    return found


def configure(at, **sections):
    settings = config(**config_dict(**sections))
    write_json(at.folder / "config.json", settings.model_dump(mode="json"))


def new(count=60, seed=11):
    return [{key: row[key] for key in ("id", *FEATURES)} for row in loans(count, seed)]


def score(at, content, name="new.csv"):
    """Score a file (rows, text, bytes, or a path); return predictions and rejects as rows, and the summary."""
    if isinstance(content, list):
        content = csv_text(content, list(content[0]))
    path = content if isinstance(content, Path) else write(at.folder / name, content)
    predict.main(path, at.live, *at.outputs, at.folder / "config.json", write_plan(at.folder, path), [], [], 1)
    tables = []
    for output in at.outputs[:2]:
        with output.open(encoding="utf-8", newline="") as file:
            tables.append(list(csv.DictReader(file)))
    summary = read_json(at.outputs[2])
    assert summary["rows_in"] == summary["rows_predicted"] + summary["rows_rejected"]
    assert summary["rows_predicted"] == len(tables[0]) == summary["refused"] + summary["approved"]
    assert summary["rows_rejected"] == len(tables[1]) == sum(summary["rejected_by_reason"].values())
    return *tables, summary


def own_scores(at, rows, version="usual"):
    """Return the scores by scikit-learn alone, of a frame that pandas makes of typed rows."""
    folder = at.live.parent / "versions" / version
    pipeline, card = load_model(folder / "model.joblib", folder / "model.json")
    frame = pd.DataFrame(rows)
    numbers = frame[["x", "y"]].apply(pd.to_numeric, errors="coerce")
    if "ratio" in card["features"]["numeric"]:
        numbers["ratio"] = numbers["x"] / (numbers["y"] + 1)
    texts = [row["t"].strip().upper() or np.nan for row in rows]
    return pipeline.predict_proba(numbers.assign(t=np.array(texts, dtype=object)))[:, 1]


# --- the usual ----------------------------------------------------------------------------------------------------


def test_predictions_are_those_of_scikit_learn_in_the_order_of_the_file(at):
    rows = new()[::-1]
    predictions, rejects, summary = score(at, rows)
    scores = own_scores(at, rows)
    assert predictions == [
        {
            "id": row["id"],
            "probability_of_default": p["probability_of_default"],
            "decision": "refuse" if own >= 0.5 else "approve",
            "model_version": "usual",
            **{name: p[name] for name in REASONS},
        }
        for row, p, own in zip(rows, predictions, scores, strict=True)
    ]
    assert [float(p["probability_of_default"]) for p in predictions] == scores.tolist()
    assert {p["decision"] for p in predictions} == {"refuse", "approve"}
    assert rejects == []
    assert summary == {
        "file": str(at.folder / "new.csv"),
        "model_version": "usual",
        "rows_in": 60,
        "rows_predicted": 60,
        "rows_rejected": 0,
        "refused": int((scores >= 0.5).sum()),
        "approved": int((scores < 0.5).sum()),
        "rejected_by_reason": {},
        "unseen_categories": {},
    }


def test_the_outcome_may_stand_in_the_file_and_has_no_say(at):
    without = score(at, new())[0]
    assert score(at, [row | {"z": "1"} for row in new()])[0] == without
    assert score(at, [{"z": "nonsense"} | row for row in new()])[0] == without


def test_the_order_of_columns_and_rows_does_not_matter(at):
    rows = new()
    usual = {p["id"]: p for p in score(at, rows)[0]}
    turned = score(at, [dict(reversed(row.items())) for row in rows[::-1]])[0]
    assert {p["id"]: p for p in turned} == usual
    assert [p["id"] for p in turned] == [row["id"] for row in rows[::-1]]


def test_ids_stay_the_text_that_they_are(at):
    ids = ["007", "1e5", "1.50", "a, b", 'say "hi"', "Ünïcode", "=1+1"]
    rows = [row | {"id": '"' + name.replace('"', '""') + '"'} for row, name in zip(new(), ids, strict=False)]
    assert [p["id"] for p in score(at, rows)[0]] == ids


def test_zipped_and_parquet_files_give_the_same_predictions(at):
    rows = new()
    usual = score(at, rows)[0]
    zipped = gzip.compress(csv_text(rows, ("id", *FEATURES)).encode())
    assert score(at, zipped, "new.csv.gz")[0] == usual
    frame = pd.DataFrame(rows)
    frame[["x", "y"]] = frame[["x", "y"]].apply(pd.to_numeric, errors="coerce")
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), at.folder / "new.parquet")
    assert score(at, at.folder / "new.parquet")[0] == usual


def test_where_blocks_are_cut_does_not_matter(at, monkeypatch):
    rows = new()
    rows[10]["x"], rows[30]["t"], rows[50]["id"] = "oops", "NEW", ""
    whole = score(at, rows), [path.read_bytes() for path in at.outputs]
    original = predict.read_blocks
    for size in (1, 50, 333):
        monkeypatch.setattr(predict, "read_blocks", lambda *a, size=size, **k: original(*a, **k, block_bytes=size))
        assert (score(at, rows), [path.read_bytes() for path in at.outputs]) == whole


def test_a_first_block_without_a_usable_row_leaves_one_header(at, monkeypatch):
    rows = new()
    original = predict.read_blocks
    monkeypatch.setattr(predict, "read_blocks", lambda *a, **k: original(*a, **k, block_bytes=40))
    for row in rows[:10]:
        row["x"] = "oops"
    predictions, rejects, _ = score(at, rows)
    assert len(rejects) == 10
    assert [p["id"] for p in predictions] == [row["id"] for row in rows[10:]]


def test_scoring_again_gives_the_same_bytes(at):
    score(at, new())
    first = [path.read_bytes() for path in at.outputs]
    score(at, new())
    assert [path.read_bytes() for path in at.outputs] == first
    assert len(list(at.outputs[0].parent.iterdir())) == 3


# --- bad rows -----------------------------------------------------------------------------------------------------


def spoilt():
    rows = new()
    rows[3]["x"] = "secret-number"
    rows[5]["id"] = ""
    rows[7]["x"] = "987654"
    rows[9]["t"] = "secret-place,surplus"
    return rows


def test_bad_rows_stand_beside_and_the_others_are_scored_as_ever(at):
    predictions, rejects, summary = score(at, spoilt())
    kept = [row for n, row in enumerate(new()) if n not in (3, 5, 7, 9)]
    assert [float(p["probability_of_default"]) for p in predictions] == own_scores(at, kept).tolist()
    assert [(r["line"], r["column"], r["reason"]) for r in rejects] == [
        ("5", "x", "not a number"),
        ("7", "id", "missing"),
        ("9", "x", "outside -100..200"),
        ("11", "", "5 fields where the header has 4"),
    ]
    assert {r["file"] for r in rejects} == {str(at.folder / "new.csv")}
    assert summary["rows_rejected"] == 4


@pytest.mark.parametrize("shown", [False, True])
def test_values_of_bad_rows_are_shown_only_where_the_config_says_so(at, caplog, shown):
    caplog.set_level("DEBUG")
    configure(at, rejects={"show_values": shown})
    score(at, spoilt())
    text = at.outputs[1].read_text()
    for value in ("secret-number", "987654", "secret-place", "surplus"):
        assert (value in text) is shown
        assert value not in caplog.text
        assert value not in at.outputs[2].read_text()


def test_all_rows_may_be_bad(at):
    predictions, rejects, summary = score(at, [row | {"x": "oops"} for row in new()])
    assert (predictions, len(rejects), summary["rows_predicted"]) == ([], 60, 0)
    assert at.outputs[0].read_text() == HEADER


# --- what training never saw --------------------------------------------------------------------------------------


def test_new_categories_are_counted_and_said_but_not_shown(at, caplog):
    rows = new()
    for n in (1, 4, 9):
        rows[n]["t"] = f"never{n}"
    rows[20]["t"] = "  rent "
    _, rejects, summary = score(at, rows)
    assert rejects == []
    assert summary["unseen_categories"] == {"t": 3}
    assert caplog.messages == [f"warning: {at.folder / 'new.csv'}: 3 rows have a value of 't' that training never saw"]


def test_missing_categories_are_not_new(at, caplog):
    assert score(at, [row | {"t": ""} for row in new()])[2]["unseen_categories"] == {}
    assert caplog.messages == []


def test_extra_columns_are_noted(at, caplog):
    caplog.set_level("INFO")
    score(at, [row | {"branch": "north", "agent": "x"} for row in new()])
    assert f"{at.folder / 'new.csv'}: columns that the model doesn't use: agent, branch" in caplog.messages


# --- missing columns ----------------------------------------------------------------------------------------------


def without(*names):
    return [{key: value for key, value in row.items() if key not in names} for row in new()]


@pytest.mark.parametrize("name", ["id", "x", "t"])
def test_a_file_that_lacks_a_column_is_refused(at, name):
    with pytest.raises(UserError, match=rf"new\.csv: the column '{name}' is missing.*; its columns are "):
        score(at, without(name))
    assert not any(path.exists() for path in at.outputs)
    assert not at.outputs[0].parent.exists() or not list(at.outputs[0].parent.iterdir())


@pytest.mark.parametrize("names", [("x",), ("t",), ("x", "y", "t")])
def test_a_missing_column_may_be_taken_as_missing_values(at, caplog, names):
    configure(at, predict={"missing_columns": "impute"})
    predictions = score(at, without(*names))[0]
    assert caplog.messages == [
        f"warning: {at.folder / 'new.csv'} lacks the column '{name}'; it is taken as missing" for name in names
    ]
    assert predictions == score(at, [row | dict.fromkeys(names, "") for row in new()])[0]


def test_the_id_is_never_taken_as_missing(at):
    configure(at, predict={"missing_columns": "impute"})
    with pytest.raises(UserError, match=r"the column 'id' is missing"):
        score(at, without("id"))


# --- files with nothing in them -----------------------------------------------------------------------------------


def empty_parquet(folder):
    schema = pa.schema([("id", pa.string()), ("x", pa.float64()), ("y", pa.float64()), ("t", pa.string())])
    pq.write_table(schema.empty_table(), folder / "new.parquet")
    return folder / "new.parquet"


@pytest.mark.parametrize("content", ["id,x,y,t\n", "id,x,y,t", "id,x,y,t\n\n\n", "id,x,y,t\r\n\r\n", None])
def test_a_file_without_rows_has_empty_predictions(at, caplog, content):
    given = empty_parquet(at.folder) if content is None else content
    assert score(at, given)[:2] == ([], [])
    assert at.outputs[0].read_text() == HEADER
    name = "new.csv" if content else "new.parquet"
    assert caplog.messages == [f"warning: {at.folder / name} has a header and no rows; its predictions are empty"]


@pytest.mark.parametrize("content", ["", "\n", "\n\n"])
def test_an_empty_file_is_refused(at, content):
    with pytest.raises(UserError, match=r"new\.csv is empty; expected a header line with column names"):
        score(at, content)


# --- versions -----------------------------------------------------------------------------------------------------


def test_after_a_rollback_the_old_version_brings_its_own_contract_and_threshold(at):
    rows = new()
    rows[7]["x"] = "987"  # the new contract has bounds, the old one has none
    usual = score(at, rows)
    write_json(at.live, {"version": "no_id"})
    predictions, rejects, summary = score(at, rows)
    scores = own_scores(at, rows, "no_id")
    assert (usual[2]["rows_rejected"], rejects, summary["model_version"]) == (1, [], "no_id")
    assert [float(p["probability_of_default"]) for p in predictions] == pytest.approx(scores.tolist(), abs=1e-12)
    assert [p["decision"] for p in predictions] == ["refuse" if s >= 0.7 else "approve" for s in scores]
    assert {p["model_version"] for p in predictions} == {"no_id"}
    write_json(at.live, {"version": "usual"})
    assert score(at, rows) == usual


def test_without_an_id_rows_are_known_by_their_line(at):
    roll_back(at.live.parent, "no_id")
    text = csv_text(new(4), ("id", *FEATURES)).splitlines(keepends=True)
    text.insert(3, "\n")
    predictions = score(at, "".join(text))[0]
    assert list(predictions[0]) == ["line", "probability_of_default", "decision", "model_version", *REASONS]
    assert [p["line"] for p in predictions] == ["2", "3", "5", "6"]


def test_a_model_that_was_changed_after_publishing_is_refused_before_it_is_unpickled(at):
    sprung = at.folder / "sprung"
    model = at.live.parent / "versions" / "usual" / "model.joblib"
    model.write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(UserError, match=r"model\.joblib has the checksum .* is not loaded"):
        score(at, new())
    assert not sprung.exists()
    assert not any(path.exists() for path in at.outputs)
    pickle.loads(model.read_bytes())  # noqa: S301 - the trap works
    assert sprung.exists()


def test_a_flipped_bit_is_refused(at):
    model = at.live.parent / "current" / "model.joblib"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    with pytest.raises(UserError, match=r"changed or damaged after training"):
        score(at, new())


def test_nothing_deployed_is_said(at):
    at.live = prepare(at.folder / "fresh")
    with pytest.raises(UserError, match=r"no model is deployed yet; run the workflow first"):
        score(at, new())


def test_other_library_versions_than_in_training_are_said(at, caplog):
    card = at.live.parent / "versions" / "usual" / "model.json"
    content = read_json(card)
    content["versions"]["numpy"] = "1.0"
    write_json(card, content)
    score(at, new())
    assert caplog.messages == [f"warning: the model was trained with numpy 1.0, this is {np.__version__}"]


def test_the_end_is_logged_in_one_line(at, caplog):
    caplog.set_level("INFO")
    score(at, new())
    assert caplog.messages == [f"{at.folder / 'new.csv'}: 60 rows in, 60 predicted, 0 rejected"]
    assert json.loads(at.outputs[2].read_text())["rows_in"] == 60


@pytest.mark.parametrize("odd", ["a", "1 2", "é", "a'b", "a,b", 'a"b', "a\nb", "a\rb", None, ""])
@pytest.mark.parametrize("version", ["abc", 'odd, "very"'])
def test_the_short_way_of_writing_gives_the_same_bytes(at, odd, version):
    scorer = predict.live_scorer(at.live)
    scorer.version = version
    ids = pa.array(["x", odd, "y"], pa.string())
    scores = np.array([0.1, scorer.threshold, np.nan])
    written, expected = io.BytesIO(), io.BytesIO()
    for start in (0, 1):
        rows = pa.table({"id": ids}).slice(start)
        scorer.write_scores(rows, scores[start:], written)
        scorer.label_scores(rows, scores[start:]).write_csv(expected, include_header=start == 0)
    assert written.getvalue() == expected.getvalue()


def test_ids_without_marks_are_written_the_short_way():
    plain, quoted = (pa.chunked_array([pa.array(["x", text])]) for text in ("é 1", "a,b"))
    assert not predict._needs_quotes(plain)
    assert predict._needs_quotes(quoted)


# --- reasons ------------------------------------------------------------------------------------------------------


def written(at):
    """Return the lines of the predictions, less the reasons."""
    return [line.split(",")[:4] for line in at.outputs[0].read_text().splitlines()]


def test_refused_applications_have_reasons_and_others_have_none(at):
    predictions = score(at, new())[0]
    _, card = load_model(*((at.live.parent / "versions" / "usual" / f"model.{kind}") for kind in ("joblib", "json")))
    values = card["reference_group"]["values"]
    words = {"x": "higher than typical of repaid loans", "t": "RENT"}
    for row, p in zip(new(), predictions, strict=True):
        told = [p[name] for name in REASONS if p[name]]
        if p["decision"] == "approve":
            assert not told
            continue
        assert told
        assert len({text.partition(":")[0] for text in told}) == len(told)
        # Risk rises with x and with rent (test_train.loans); what tells of them is what the row holds.
        if f"x: {words['x']}" in told:
            assert float(row["x"]) > values["x"]
        if f"t: {words['t']}" in told:
            assert row["t"].strip().upper() == "RENT"
    firsts = {p["reason_1"] for p in predictions}
    assert {f"{name}: {text}" for name, text in words.items()} <= firsts


def test_all_applications_may_have_reasons_or_none(at):
    score(at, new())
    usual, bare = at.outputs[0].read_text(), written(at)
    configure(at, predict={"reasons": {"of": "all", "count": 2}})
    predictions = score(at, new())[0]
    assert list(predictions[0])[4:] == REASONS[:2]
    assert any(p["reason_1"] for p in predictions if p["decision"] == "approve")
    assert written(at) == bare
    configure(at, predict={"reasons": {"count": 0}})
    assert list(score(at, new())[0][0])[4:] == []
    assert written(at) == bare
    configure(at)
    score(at, new())
    assert at.outputs[0].read_text() == usual


def test_reasons_speak_in_the_words_of_the_run_or_else_of_the_card(at):
    path = at.live.parent / "versions" / "usual" / "model.json"
    write_json(path, read_json(path) | {"labels": {"x": "the card's x", "t": "home"}})
    configure(at, labels={"x": 'income, "net"'})
    firsts = {p["reason_1"] for p in score(at, new())[0]}
    assert {'income, "net": higher than typical of repaid loans', "home: RENT"} <= firsts
    assert "the card's x" not in at.outputs[0].read_text()


def test_a_model_of_former_days_gives_no_reasons_and_says_so(at, caplog):
    bare = [p | dict.fromkeys(REASONS, "") for p in score(at, new())[0]]
    path = at.live.parent / "versions" / "usual" / "model.json"
    card = read_json(path)
    del card["reference_group"], card["labels"]
    write_json(path, card)
    assert score(at, new())[0] == bare
    (message,) = caplog.messages
    assert message.startswith("warning: the model usual was trained before models had a reference group")


@pytest.mark.parametrize("odd", ["a", "a,b"])
@pytest.mark.parametrize("of", ["refused", "all"])
@pytest.mark.parametrize("label", ["plain", 'odd, "very"'])
def test_reasons_are_written_the_short_way_with_the_same_bytes(at, odd, of, label):
    scorer = predict.live_scorer(at.live)
    options = config(predict={"reasons": {"of": of, "count": 3}}).predict.reasons
    scorer.give_reasons(options, {"x": label, "t": label})
    texts = pa.array(["RENT", "OWN", None], pa.string()).dictionary_encode()
    numbers = {"x": pa.array([90.0, None, 70.0]), "y": pa.array([1.0, 2.0, None])}
    table = pa.table({"id": pa.array(["x", odd, "y"]), **numbers, "t": texts})
    scores = np.array([0.9, 0.1, scorer.threshold])
    written_, expected = io.BytesIO(), io.BytesIO()
    scorer.write_scores(table, scores, written_)
    scorer.label_scores(table, scores).write_csv(expected)
    assert written_.getvalue() == expected.getvalue()
    in_parts = io.BytesIO()
    for row in range(3):
        scorer.write_scores(table.slice(row, 1), scores[row : row + 1], in_parts)
    assert in_parts.getvalue() == expected.getvalue()
    assert label.partition(",")[0].encode() in expected.getvalue()
