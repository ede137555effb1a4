"""`make models` and `make rollback`: the table, what was live at a time, and one sentence for each mistake."""

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import pytest
from builders import config_dict, write

from scripts.shared import promotions, registry
from scripts.shared.files import read_json, sha256_text, write_json
from scripts.shared.registry import prepare, publish, stage
from scripts.tools import models, promote, rollback

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "LOOKS", 1)
    monkeypatch.setattr(promotions, "author", lambda: "berta on ap1")
    write_json(models.CONFIG, config_dict(deploy={"folder": "shared/deployed"}, select={"metrics": ["pr_auc"]}))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A registry in which v1 became live at 12, v2 at 13 o'clock."""
    place = tmp_path / "shared" / "deployed"
    for hour, version in enumerate(("v1", "v2")):
        monkeypatch.setattr(promotions, "now", lambda hour=hour: NOON + dt.timedelta(hours=hour))
        card = json.dumps({"name": f"lr{version}", "sha256": sha256_text(version)})
        contents = {"model.joblib": version, "model.json": card, "metrics.json": f'{{"pr_auc": 0.7{hour}}}'}
        files = {name: write(tmp_path / "from" / version / name, content) for name, content in contents.items()}
        publish(place, version, files, {"model": f"lr{version}", "run": f"run of {version}"})
    monkeypatch.setattr(promotions, "now", lambda: NOON + dt.timedelta(days=2))
    return place


def call(monkeypatch, capsys, tool, *arguments):
    """Return the exit code, and what was printed to both outputs."""
    monkeypatch.setattr(sys, "argv", ["tool", *arguments])
    code = tool.main()
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def show(monkeypatch, capsys):
    return lambda *arguments: call(monkeypatch, capsys, models, *arguments)


@pytest.fixture
def back(monkeypatch, capsys):
    return lambda *arguments: call(monkeypatch, capsys, rollback, *arguments)


# --- the table -----------------------------------------------------------------------------------------------------


def test_the_table_says_of_each_version_all_that_is_asked(show, folder):
    code, out, err = show()
    head = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])["sha256"]
    assert (code, err) == (0, "")
    assert [line.rstrip() for line in out.splitlines()] == [
        "version    state    went live (UTC)      model      pr_auc  by                     run",
        "---------  -------  -------------------  -------  --------  ---------------------  ---------",
        "v1                  2026-03-01 12:00:00  lrv1       0.7000  publish, berta on ap1  run of v1",
        "v2         live     2026-03-01 13:00:00  lrv2       0.7100  publish, berta on ap1  run of v2",
        "",
        f"log: 2 entries, verified; the last one is {head}",
    ]


def test_after_a_rollback_the_table_says_so(show, back, folder):
    assert back("v1") == (0, "version v1 is live now\n", "")
    rows = {row["version"]: row for row in json.loads(show("--json")[1])["versions"]}
    assert rows["v1"] == {
        "version": "v1",
        "state": "live",
        "live_since": "2026-03-03T12:00:00.000000Z",
        "staged_since": None,
        "action": "rollback",
        "by": "berta on ap1",
        "run": "run of v1",
        "model": "lrv1",
        "value": 0.7,
    }
    assert rows["v2"]["state"] == ""


def test_json_holds_the_same_and_nothing_else(show, folder):
    code, out, _ = show("--json")
    found = json.loads(out)
    assert (code, found["live"], found["metric"], found["log"]["entries"]) == (0, "v2", "pr_auc", 2)
    assert [row["version"] for row in found["versions"]] == ["v1", "v2"]


def test_a_version_that_is_damaged_gone_or_unlogged_is_shown(show, folder):
    (folder / "versions" / "v2" / "model.joblib").write_text("other")
    for path in sorted((folder / "versions" / "v1").iterdir()):
        path.unlink()
    (folder / "versions" / "v1").rmdir()
    (folder / "versions" / "v0").mkdir()
    rows = {row["version"]: row["state"] for row in json.loads(show("--json")[1])["versions"]}
    assert rows == {"v0": "damaged", "v1": "missing", "v2": "damaged, live"}
    assert show()[0] == 0


def test_an_empty_registry_is_said(show):
    prepare(Path("shared/deployed"))
    assert show() == (0, "shared/deployed: no model is deployed yet; run the workflow first\n", "")


# --- at a time -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("2026-02-28", "2026-02-28T23:59:59.999999+00:00: no model was live\n"),
        (
            "2026-03-01T12:30Z",
            "2026-03-01T12:30:00+00:00: v1 (lrv1) was live, since 2026-03-01 12:00:00 UTC: "
            "publish by berta on ap1, entry 1 of the log\n",
        ),
        (
            "2026-03-01",
            "2026-03-01T23:59:59.999999+00:00: v2 (lrv2) was live, since 2026-03-01 13:00:00 UTC: "
            "publish by berta on ap1, entry 2 of the log\n",
        ),
    ],
)
def test_what_was_live(show, folder, at, said):
    assert show("--at", at) == (0, said, "")


def test_what_was_live_as_json(show, folder):
    found = json.loads(show("--at", "2026-03-01", "--json")[1])
    assert (found["version"], found["entry"]["entry"], found["found_later"]) == ("v2", 2, None)


def test_where_the_pointer_was_changed_by_hand_later_the_answer_says_so(show, back, folder):
    (folder / "live.json").write_text('{"version": "v1"}')
    assert show()[2].startswith("error: shared/deployed/live.json names the version v1, but by the log v2 is live")
    assert back("v1") == (0, "version v1 is live already; nothing was changed\n", "")
    out = show("--at", "2026-03-02")[1]
    assert "v2 (lrv2) was live" in out
    assert "until 2026-03-03 12:00:00 UTC at the latest: by then, another version had become live" in out


def test_the_log_is_verified_first(show, folder):
    log = folder / "log.jsonl"
    log.write_text(log.read_text().replace("run of v1", "run of v7"))
    for arguments in ((), ("--json",), ("--at", "2026-03-01")):
        code, out, err = show(*arguments)
        assert (code, out) == (1, "")
        assert err == (
            "error: shared/deployed/log.jsonl: line 1 was changed: its checksum doesn't fit; see docs/registry.md\n"
        )


def test_a_log_can_be_adopted(show, folder):
    log = folder / "log.jsonl"
    log.write_text(log.read_text().replace("run of v1", "run of v7"))
    assert show("--adopt", "typed over") == (0, "shared/deployed/log.jsonl: adopted as it is\n", "")
    assert show("--adopt", "again")[1] == "shared/deployed/log.jsonl: verifies; there is nothing to adopt\n"
    assert show()[0] == 0
    code, _, err = show("--at", "2026-03-01")
    assert code == 1
    assert "can't say what was live before 2026-03-03T12:00:00.000000Z, where its chain begins" in err


# --- rollback ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("", "error: which version? make rollback VERSION=…; make models lists what is there\n"),
        ("v22", "error: shared/deployed has no version 'v22' (did you mean 'v2'?); make models lists what is there\n"),
    ],
)
def test_no_version_and_an_unknown_one_are_said(back, folder, version, message):
    code, out, err = back(version)
    assert (code, out) == (1, "")
    assert err.startswith(message)


def test_a_damaged_version_is_refused(back, folder):
    (folder / "versions" / "v1" / "model.joblib").write_text("other")
    code, _, err = back("v1")
    assert code == 1
    assert err.startswith("error: shared/deployed/versions/v1/model.joblib has the checksum ")
    assert read_json(folder / "live.json")["version"] == "v2"


def test_another_config_names_another_registry(show, back, folder, tmp_path):
    write_json(tmp_path / "my.yaml", config_dict(deploy={"folder": "mine"}))
    prepare(tmp_path / "mine")
    assert show("--config", "my.yaml")[1].startswith("mine: no model is deployed yet")
    assert "mine has no version 'v1'" in back("v1", "--config", "my.yaml")[2]
    assert "the config file 'none.yaml' does not exist" in show("--config", "none.yaml")[2]


# --- staged versions -----------------------------------------------------------------------------------------------


@pytest.fixture
def yes(monkeypatch, capsys):
    return lambda *arguments: call(monkeypatch, capsys, promote, *arguments)


@pytest.fixture
def waiting(tmp_path, folder):
    """The same registry, in which v3 is staged."""
    card = json.dumps({"name": "lrv3", "sha256": sha256_text("v3")})
    contents = {"model.joblib": "v3", "model.json": card, "metrics.json": '{"pr_auc": 0.72}'}
    files = {name: write(tmp_path / "from" / "v3" / name, content) for name, content in contents.items()}
    stage(folder, "v3", files, {"model": "lrv3", "run": "run of v3"})


def test_a_staged_version_is_shown_with_what_to_do(show, waiting):
    code, out, _ = show()
    lines = [line.rstrip() for line in out.splitlines()]
    assert code == 0
    assert lines[3:7] == [
        "v2         live     2026-03-01 13:00:00  lrv2       0.7100  publish, berta on ap1  run of v2",
        "v3         staged   -                    lrv3       0.7200  staged, berta on ap1   run of v3",
        "",
        'version v3 is staged; to make it live: make promote VERSION=v3 REASON="…"',
    ]
    found = json.loads(show("--json")[1])
    assert (found["live"], found["staged"], found["versions"][-1]["staged_since"]) == (
        "v2",
        ["v3"],
        "2026-03-03T12:00:00.000000Z",
    )


def test_what_is_live_is_not_touched_by_what_is_staged(show, waiting):
    assert "v2 (lrv2) was live, since 2026-03-01 13:00:00 UTC: publish by" in show("--at", "2026-03-02")[1]
    rows = {row["version"]: row for row in json.loads(show("--json")[1])["versions"]}
    assert (rows["v2"]["live_since"], rows["v2"]["action"]) == ("2026-03-01T13:00:00.000000Z", "publish")


def test_a_yes_makes_it_live(show, yes, waiting):
    assert yes("v3", "--reason", "minutes 7") == (0, "version v3 is live now; the next run predicts with it\n", "")
    assert yes("v3", "--reason", "again") == (0, "version v3 is live already; nothing was changed\n", "")
    found = json.loads(show("--json")[1])
    assert (found["live"], found["staged"], found["versions"][-1]["action"]) == ("v3", [], "promoted")
    assert found["versions"][-1]["run"] == "run of v3"


def test_a_no_ends_the_waiting(show, yes, waiting):
    assert yes("v3", "--reject", "--reason", "no") == (0, "version v3 is rejected; what is live stays\n", "")
    rows = {row["version"]: row for row in json.loads(show("--json")[1])["versions"]}
    assert (rows["v3"]["state"], rows["v3"]["action"], rows["v2"]["state"]) == ("", "rejected", "live")


def test_a_pruned_version_is_shown_no_longer(tmp_path, show, waiting, folder):
    files = {path.name: path for path in (tmp_path / "from" / "v3").iterdir()}
    publish(folder, "v3", files, {}, keep=2)
    assert [row["version"] for row in json.loads(show("--json")[1])["versions"]] == ["v2", "v3"]
    assert "v1 (lrv1) was live" in show("--at", "2026-03-01T12:30Z")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["", "--reason", "why"], 'error: which version? make promote VERSION=… REASON="…"; make models lists what is'),
        (["v3"], 'error: why? make promote VERSION=v3 REASON="…"; the log keeps it beside your name'),
        (["v3", "--reason", " "], "error: why? make promote"),
        (["v3", "--reject"], "error: why? make reject VERSION=v3"),
        (["v1", "--reason", "why"], "error: version v1 isn't staged"),
        (["v4", "--reason", "why"], "error: shared/deployed has no version 'v4'"),
    ],
)
def test_a_promotion_that_cannot_be_is_said(yes, waiting, folder, arguments, message):
    code, out, err = yes(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith(message)
    assert read_json(folder / "live.json")["version"] == "v2"


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["models"], ["scripts.tools.models"]),
        (["models", "AT=2026-03-01"], ["scripts.tools.models", "--at", "2026-03-01"]),
        (["models", "ADOPT=as it is"], ["scripts.tools.models", "--adopt", "as it is"]),
        (["rollback", "VERSION=v1", "CONFIG=my.yaml"], ["scripts.tools.rollback", "--config", "my.yaml", "v1"]),
        (["rollback"], ["scripts.tools.rollback", ""]),
        (["promote", "VERSION=v3", "REASON=minutes 7"], ["scripts.tools.promote", "--reason", "minutes 7", "v3"]),
        (["promote"], ["scripts.tools.promote", "--reason", "", ""]),
        (
            ["reject", "VERSION=v3", "REASON=no", "CONFIG=my.yaml"],
            ["scripts.tools.promote", "--config", "my.yaml", "--reject", "--reason", "no", "v3"],
        ),
    ],
)
def test_make_passes_its_words_on(tmp_path, words, command):
    """`python` is a program here that prints its arguments, one a line."""
    python = write(tmp_path / "bin" / "python", '#!/bin/sh\nshift\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    make = ["make", "-s", "-f", str(ROOT / "Makefile"), "-o", "setup", f"BIN={tmp_path / 'bin'}", *words]
    done = subprocess.run(make, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split("\n")[:-1] == command
