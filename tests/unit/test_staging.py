"""Versions that wait for a person, and old ones that go: what the log says, what stays, and a sentence for mistakes."""

import errno
import json

import pytest
from builders import write

from scripts.shared import promotions, registry
from scripts.shared.errors import UserError
from scripts.shared.files import sha256_text, write_json
from scripts.shared.promotions import last_until, moment, previously_live, staged
from scripts.shared.registry import (
    adopt,
    check_version,
    history,
    live_version,
    prepare,
    promote,
    publish,
    reads_live_version,
    reject,
    roll_back,
    stage,
    versions,
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "LOOKS", 1)
    return tmp_path / "deployed"


def files(folder, version):
    contents = {"model.joblib": version, "model.json": f'{{"sha256": "{sha256_text(version)}"}}', "metrics.json": "{}"}
    return {name: write(folder.parent / "from" / version / name, text) for name, text in contents.items()}


def bring(do, folder, *names, **options):
    return [do(folder, name, files(folder, name), {"model": f"m{name}"}, **options) for name in names]


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def story(folder):
    return [(entry["action"], entry["version"], *entry.get("concerns", [])) for entry in log(folder)]


# --- staging -------------------------------------------------------------------------------------------------------


def test_a_staged_version_is_whole_and_what_is_live_stays(folder):
    bring(publish, folder, "v1")
    before = (folder / "live.json").read_bytes()
    assert bring(stage, folder, "v2") == [True]
    check_version(folder / "versions" / "v2")
    assert (folder / "live.json").read_bytes() == before
    live, entries = history(folder)
    assert (live, list(staged(entries))) == ("v1", ["v2"])
    entry = log(folder)[-1]
    assert {key: entry[key] for key in ("action", "version", "previous", "concerns", "model")} == {
        "action": "staged",
        "version": "v1",
        "previous": "v1",
        "concerns": ["v2"],
        "model": "mv2",
    }


def test_staging_again_or_what_is_live_adds_no_entry(folder):
    bring(publish, folder, "v1")
    assert bring(stage, folder, "v2", "v2", "v1") == [True, False, False]
    assert story(folder) == [("publish", "v1"), ("staged", "v1", "v2")]


def test_a_damaged_staged_version_is_brought_again(folder):
    bring(stage, folder, "v1")
    (folder / "versions" / "v1" / "model.joblib").write_text("other")
    assert bring(stage, folder, "v1") == [False]
    check_version(folder / "versions" / "v1")


def test_a_person_makes_it_live_and_the_log_says_who_and_why(folder, monkeypatch):
    monkeypatch.setattr(promotions, "author", lambda: "berta on ap1")
    bring(publish, folder, "v1")
    bring(stage, folder, "v2")
    assert promote(folder, "v2", "the committee's minutes 7") is True
    assert live_version(folder / "live.json").name == "v2"
    assert (folder / "current").resolve() == (folder / "versions" / "v2").resolve()
    entry = log(folder)[-1]
    assert {key: entry[key] for key in ("action", "version", "previous", "by", "reason", "model")} == {
        "action": "promoted",
        "version": "v2",
        "previous": "v1",
        "by": "berta on ap1",
        "reason": "the committee's minutes 7",
        "model": "mv2",
    }
    assert staged(history(folder)[1]) == {}
    assert promote(folder, "v2", "again") is False
    assert len(log(folder)) == 3


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (
            "v1",
            r"version v1 isn't staged \(its last entry in the log is 'publish'\); staged: v3; .*rollback VERSION=v1",
        ),
        ("v0", r"version v0 isn't staged \(the log doesn't say that it ever was\); staged: v3; to make it live all"),
        ("v33", r"has no version 'v33' \(did you mean 'v3'\?\); make models lists what is there"),
    ],
)
def test_what_is_not_staged_is_not_promoted(folder, version, message):
    bring(publish, folder, "v1", "v2")
    bring(stage, folder, "v3")
    for name, source in files(folder, "v0").items():
        write(folder / "versions" / "v0" / name, source.read_bytes())
    before = (folder / "log.jsonl").read_bytes(), (folder / "live.json").read_bytes()
    with pytest.raises(UserError, match=message):
        promote(folder, version, "why")
    assert ((folder / "log.jsonl").read_bytes(), (folder / "live.json").read_bytes()) == before


def test_a_damaged_version_is_not_promoted(folder):
    bring(stage, folder, "v1")
    (folder / "versions" / "v1" / "model.joblib").write_text("other")
    with pytest.raises(UserError, match=r"model\.joblib has the checksum"):
        promote(folder, "v1", "why")
    assert history(folder)[0] is None


def test_a_rejected_version_waits_no_longer_but_can_be_staged_anew(folder):
    bring(publish, folder, "v1")
    bring(stage, folder, "v2")
    reject(folder, "v2", "too few rows")
    assert log(folder)[-1]["reason"] == "too few rows"
    with pytest.raises(UserError, match=r"v2 isn't staged \(its last entry in the log is 'rejected'\)"):
        promote(folder, "v2", "why")
    with pytest.raises(UserError, match="v1 is live, not staged"):
        reject(folder, "v1", "why")
    assert bring(stage, folder, "v2") == [True]
    assert promote(folder, "v2", "enough now") is True


def test_a_version_that_was_live_since_is_staged_no_longer(folder):
    bring(publish, folder, "v1")
    bring(stage, folder, "v2")
    roll_back(folder, "v2")
    bring(publish, folder, "v1")
    assert staged(history(folder)[1]) == {}


def test_what_was_live_at_a_time_is_not_a_matter_of_what_was_staged(folder):
    bring(publish, folder, "v1")
    bring(stage, folder, "v2")
    live, entries = history(folder)
    found = last_until(entries, moment(entries[-1]["at"]), folder)
    assert (found["action"], found["version"], live) == ("publish", "v1", "v1")
    assert previously_live(entries) is None


def test_nothing_was_live_while_the_first_version_waited(folder):
    bring(stage, folder, "v1")
    _, entries = history(folder)
    assert last_until(entries, moment(entries[-1]["at"]), folder) is None
    with pytest.raises(
        UserError,
        match=r"no model is live yet, and version v1 is staged; to make it live: make promote VERSION=v1 REASON=",
    ):
        live_version(folder / "live.json")


# --- how many stay -------------------------------------------------------------------------------------------------


def test_the_oldest_by_the_log_go_and_the_log_says_so(folder):
    bring(publish, folder, "v3", "v1", "v2", "v3", keep=3)
    assert versions(folder) == ["v1", "v2", "v3"]
    bring(publish, folder, "v4", keep=3)
    assert versions(folder) == ["v2", "v3", "v4"], "v3 was live again after v1"
    assert story(folder)[-2:] == [("publish", "v4"), ("pruned", "v4", "v1")]
    assert log(folder)[-1]["reason"] == "deploy.keep"
    assert sorted(path.name for path in (folder / "versions").iterdir()) == ["v2", "v3", "v4"]
    assert history(folder)[0] == "v4"


def test_without_a_number_all_stay(folder):
    bring(publish, folder, "v1", "v2", "v3", "v4")
    assert len(versions(folder)) == 4


def test_what_one_would_roll_back_to_stays_however_old(folder):
    bring(publish, folder, "v1", "v2", "v3")
    roll_back(folder, "v1")
    bring(publish, folder, "v4", keep=2)
    assert versions(folder) == ["v1", "v4"]
    assert roll_back(folder, "v1") is True


def test_a_staged_version_stays_and_one_that_nobody_logged(folder):
    bring(stage, folder, "v0")
    for name, source in files(folder, "v9").items():
        write(folder / "versions" / "v9" / name, source.read_bytes())
    bring(publish, folder, "v1", "v2", "v3", keep=2)
    assert versions(folder) == ["v0", "v2", "v3", "v9"]
    reject(folder, "v0", "no")
    bring(publish, folder, "v4", keep=2)
    assert versions(folder) == ["v3", "v4", "v9"]


def test_a_promotion_prunes_too(folder):
    bring(publish, folder, "v1", "v2")
    bring(stage, folder, "v3")
    promote(folder, "v3", "why", keep=2)
    assert versions(folder) == ["v2", "v3"]


def test_versions_from_before_an_adoption_are_the_oldest(folder):
    bring(publish, folder, "v1", "v2")
    path = folder / "log.jsonl"
    path.write_text(path.read_text().replace('"mv1"', '"mv7"'))
    adopt(folder, "a typing error")
    bring(publish, folder, "v3", keep=2)
    assert versions(folder) == ["v2", "v3"]


def test_a_pruned_version_can_come_back(folder):
    bring(publish, folder, "v1", "v2", "v3", keep=2)
    assert versions(folder) == ["v2", "v3"]
    assert bring(publish, folder, "v1", keep=2) == [True]
    assert versions(folder) == ["v1", "v3"]


# --- what can't be read --------------------------------------------------------------------------------------------


def test_a_reader_in_the_middle_is_told(folder):
    bring(publish, folder, "v1")

    @reads_live_version
    def read(pointer):
        place = live_version(pointer)
        (place / "metrics.json").unlink()
        return (place / "metrics.json").read_text()

    with pytest.raises(UserError, match=r"metrics\.json was removed while it was read: newer versions .*; run again"):
        read(folder / "live.json")


def refuse(*_, **__):
    raise PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize("name", ["log.jsonl", "live.json"])
def test_a_log_or_pointer_that_cannot_be_read_is_said(folder, monkeypatch, name):
    bring(publish, folder, "v1")
    (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(UserError, match=rf"{name} can't be read \(Is a directory\); mend its permissions, or restore"):
        history(folder)


def test_a_version_that_cannot_be_read_is_said(folder, monkeypatch):
    bring(publish, folder, "v1")
    monkeypatch.setattr(registry, "check_artefact", refuse)
    with pytest.raises(UserError, match=r"v1 can't be read \(Permission denied\)"):
        check_version(folder / "versions" / "v1")


def test_versions_that_cannot_be_listed_are_said(folder, monkeypatch):
    bring(publish, folder, "v1")
    monkeypatch.setattr(registry.Path, "iterdir", refuse)
    with pytest.raises(UserError, match=r"versions can't be read \(Permission denied\)"):
        versions(folder)


def test_a_new_registry_that_waits_is_told_apart_from_an_empty_one(folder):
    write_json(prepare(folder), {"version": None})
    with pytest.raises(UserError, match=r"no model is deployed yet; run the workflow first"):
        live_version(folder / "live.json")
