"""The promotion log: a changed, missing or moved line is named, half a line doesn't count, old lines need a yes."""

import datetime as dt
import errno
import json
import os
import re

import pytest
from builders import write

from scripts.shared import promotions, registry
from scripts.shared.errors import UserError
from scripts.shared.files import canonical, read_json, sha256_text, write_json
from scripts.shared.promotions import held, last_until, moment, seal, verify, whole_lines
from scripts.shared.registry import adopt, history, live_version, publish, roll_back

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def _one_look(monkeypatch):
    monkeypatch.setattr(registry, "LOOKS", 1)


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets, an hour later at each look."""

    class Clock:
        time = NOON

        def tick(self):
            self.time += dt.timedelta(hours=1)
            return self.time - dt.timedelta(hours=1)

    made = Clock()
    monkeypatch.setattr(promotions, "now", made.tick)
    return made


@pytest.fixture
def folder(tmp_path, clock):
    """A registry in which v1, v2 and v3 became live, then v1 again: at 12, 13, 14 and 15 o'clock."""
    for version in ("v1", "v2", "v3"):
        put(tmp_path, version)
    roll_back(tmp_path / "deployed", "v1")
    return tmp_path / "deployed"


def put(place, version):
    contents = {
        "model.joblib": version,
        "model.json": json.dumps({"sha256": sha256_text(version)}),
        "metrics.json": "{}",
    }
    files = {name: write(place / "from" / version / name, content) for name, content in contents.items()}
    return publish(place / "deployed", version, files, {"model": f"model of {version}"})


def lines_of(folder):
    return whole_lines((folder / "log.jsonl").read_bytes())


def rewrite(folder, lines):
    (folder / "log.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))


def entries_of(folder):
    return [json.loads(line) for line in lines_of(folder)]


def fails(folder, message):
    """Check that readers, publishers and rollbacks all refuse with the same sentence, and change nothing."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for act in (lambda: history(folder), lambda: put(folder.parent, "v4"), lambda: roll_back(folder, "v2")):
        with pytest.raises(UserError, match=message):
            act()
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


# --- the chain -----------------------------------------------------------------------------------------------------


def test_each_entry_carries_the_checksum_of_the_one_before_it(folder):
    entries = entries_of(folder)
    assert [entry["entry"] for entry in entries] == [1, 2, 3, 4]
    assert [entry["before"] for entry in entries] == [
        sha256_text("what became live in this registry"),
        *(entry["sha256"] for entry in entries[:-1]),
    ]
    for line, entry in zip(lines_of(folder), entries, strict=True):
        assert line.decode() == canonical(entry)
        assert entry["sha256"] == sha256_text(canonical({k: v for k, v in entry.items() if k != "sha256"}))
    assert history(folder) == ("v1", entries)


def test_an_entry_says_who_did_what_and_when(folder, monkeypatch):
    monkeypatch.setenv("LOGNAME", "berta")
    monkeypatch.setattr(promotions.socket, "gethostname", lambda: "ap1")
    roll_back(folder, "v2")
    *_, back, last = entries_of(folder)
    assert {key: back[key] for key in ("action", "version", "previous", "at")} == {
        "action": "rollback",
        "version": "v1",
        "previous": "v3",
        "at": "2026-03-01T15:00:00.000000Z",
    }
    assert (last["by"], last["version"], last["previous"]) == ("berta on ap1", "v2", "v1")
    assert entries_of(folder)[0]["model"] == "model of v1"


@pytest.mark.parametrize("error", [KeyError("uid"), OSError("no name")])
def test_a_user_without_a_name_is_known_by_number(monkeypatch, error):
    def nameless():
        raise error

    monkeypatch.setattr(promotions.getpass, "getuser", nameless)
    assert promotions.author().startswith(f"uid {os.getuid()} on ")


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "change",
    [
        lambda line: line.replace(b"model of", b"Model of").replace(b'"previous":"v3"', b'"previous":"v2"'),
        lambda line: line.replace(b'"at":"2026', b'"at":"2025'),
        lambda line: line.replace(b'","', b'", "', 1),  # the same content, in other bytes
        lambda line: line.replace(b"{", b'{"version":"v9",', 1),  # a key twice: readers would differ
    ],
)
def test_a_changed_line_is_named(folder, number, change):
    lines = lines_of(folder)
    changed = change(lines[number - 1])
    assert changed != lines[number - 1]
    rewrite(folder, [*lines[: number - 1], changed, *lines[number:]])
    fails(folder, rf"log\.jsonl: line {number} was changed: its checksum doesn't fit; see docs/registry\.md$")


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"\xff", b'"\\ud800"', b'{"version":"\\ud800","sha256":""}'])
def test_a_line_that_is_no_entry_is_named(folder, line):
    lines = lines_of(folder)
    rewrite(folder, [lines[0], line, *lines[2:]])
    fails(folder, r"log\.jsonl: line 2 is no entry of a promotion log")


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_missing_line_is_named(folder, number):
    lines = lines_of(folder)
    rewrite(folder, lines[: number - 1] + lines[number:])
    fails(folder, rf"log\.jsonl: line {number} holds entry {number + 1}: entry {number} is missing")


def test_lines_that_changed_places_are_named(folder):
    one, two, three, four = lines_of(folder)
    rewrite(folder, [one, three, two, four])
    fails(folder, r"line 2 holds entry 3: entry 2 is missing")
    rewrite(folder, [one, two, two, three, four])
    fails(folder, r"line 3 holds entry 2: it is out of order, or there twice")


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_line_that_was_changed_together_with_its_checksum_is_named(folder, number):
    lines = lines_of(folder)
    forged = seal(json.loads(lines[number - 1]) | {"by": "nobody"})
    rewrite(folder, [*lines[: number - 1], canonical(forged).encode(), *lines[number:]])
    fails(folder, rf"log\.jsonl: line {number} was changed after line {number + 1} was written")


def test_a_last_line_that_was_changed_with_its_checksum_is_not_the_one_that_the_pointer_carries(folder):
    lines = lines_of(folder)
    rewrite(folder, [*lines[:-1], canonical(seal(json.loads(lines[-1]) | {"by": "nobody"})).encode()])
    fails(folder, r"log\.jsonl: ends with line 4, but the live pointer carries entry 4, which doesn't follow it")


@pytest.mark.parametrize("missing", ["entry", "before", "at", "version"])
def test_a_forged_entry_without_a_field_is_named(folder, missing):
    entry = json.loads(lines_of(folder)[0])
    del entry[missing]
    rewrite(folder, [canonical(seal(entry)).encode(), *lines_of(folder)[1:]])
    fails(folder, r"line 1 was changed")


@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_lost_end_is_found(folder, left):
    rewrite(folder, lines_of(folder)[:left])
    fails(folder, rf"ends with line {left}, but the live pointer carries entry 4, which doesn't follow it")


def test_a_lost_log_is_found(folder):
    (folder / "log.jsonl").unlink()
    with pytest.raises(UserError, match=r"ends with line 0, but the live pointer carries entry 4"):
        history(folder)


def test_the_last_entry_alone_comes_back_from_the_pointer(folder):
    whole = (folder / "log.jsonl").read_bytes()
    rewrite(folder, lines_of(folder)[:-1])
    assert history(folder)[1] == [json.loads(line) for line in whole_lines(whole)], "readers count it already"
    assert roll_back(folder, "v1") is False, "it is live"
    assert (folder / "log.jsonl").read_bytes() == whole


def test_half_a_line_at_the_end_does_not_count_and_goes(folder):
    whole = (folder / "log.jsonl").read_bytes()
    for cut in (1, 20, len(lines_of(folder)[-1])):
        (folder / "log.jsonl").write_bytes(whole[:-cut])
        assert len(history(folder)[1]) == 4
        assert roll_back(folder, "v1") is False
        assert (folder / "log.jsonl").read_bytes() == whole


def test_a_clock_that_goes_wrong_does_not_reorder_the_log(folder, clock):
    clock.time = NOON - dt.timedelta(days=1)
    roll_back(folder, "v2")
    assert entries_of(folder)[-1]["at"] == entries_of(folder)[-2]["at"]


# --- the pointer by hand -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ['{"version": "v2"}', '{"version": "v2", "entry": {"version": "v2"}}'])
def test_a_pointer_that_was_set_by_hand_is_told_and_the_next_publisher_notes_it(folder, content):
    (folder / "live.json").write_text(content)
    assert live_version(folder / "live.json").name == "v2", "predictions follow it"
    with pytest.raises(UserError, match=r"names the version v2, but by the log v1 is live: the pointer was changed by"):
        history(folder)
    assert roll_back(folder, "v3") is True
    found, last = entries_of(folder)[-2:]
    assert (found["action"], found["version"], found["previous"]) == ("found", "v2", "v1")
    assert (last["action"], last["version"], last["previous"]) == ("rollback", "v3", "v2")
    assert history(folder)[0] == "v3"


def test_an_older_pointer_that_was_restored_is_noted(folder):
    older = (folder / "live.json").read_bytes()
    roll_back(folder, "v2")
    (folder / "live.json").write_bytes(older)
    roll_back(folder, "v1")
    assert [entry["action"] for entry in entries_of(folder)[-2:]] == ["rollback", "found"]
    assert history(folder)[0] == "v1"


# --- adoption ------------------------------------------------------------------------------------------------------


@pytest.fixture
def old(tmp_path):
    """A registry from before the chain."""
    put(tmp_path, "v1")
    put(tmp_path, "v2")
    old = [{"version": "v1", "previous": None}, {"version": "v2", "previous": "v1"}]
    rewrite(tmp_path / "deployed", [json.dumps(entry).encode() for entry in old])
    write_json(tmp_path / "deployed" / "live.json", {"version": "v2"})
    return tmp_path / "deployed"


def test_old_lines_are_refused_until_they_are_adopted(old):
    fails(old, r"line 1 has no checksum: .* adopt it by: make models ADOPT=\"why\"")
    lines, pointer = lines_of(old), (old / "live.json").read_bytes()
    assert adopt(old, "from before the chain") is True
    assert (lines_of(old)[:2], (old / "live.json").read_bytes()) == (lines, pointer)
    live, (entry,) = history(old)
    assert live == "v2"
    assert (entry["action"], entry["adopted"], entry["entry"], entry["reason"]) == (
        "adopt",
        2,
        3,
        "from before the chain",
    )
    assert roll_back(old, "v1") is True
    assert [entry["action"] for entry in history(old)[1]] == ["adopt", "rollback"]


@pytest.mark.parametrize("index", [0, 1])
def test_adopted_lines_are_fixed_from_then_on(old, index):
    adopt(old, "")
    lines = lines_of(old)
    lines[index] = lines[index].replace(b"v1", b"v7")
    rewrite(old, lines)
    fails(old, r"one of the lines before line 3 was changed after line 3 was written")
    del lines[index]
    rewrite(old, lines)
    fails(old, r"line 1 has no checksum")


def test_taking_the_checksums_away_makes_no_log_an_old_one(folder):
    lines = lines_of(folder)
    bare = [{k: v for k, v in json.loads(line).items() if k not in {"sha256", "before", "entry"}} for line in lines]
    rewrite(folder, [canonical(entry).encode() for entry in bare])
    fails(folder, r"line 1 has no checksum")
    rewrite(folder, [*lines[:3], canonical(bare[3]).encode()])
    fails(folder, r"line 4 has no checksum")


@pytest.mark.parametrize("left", [0, 2])
def test_a_damaged_log_can_be_adopted_too_and_says_what_was_found(folder, left):
    rewrite(folder, lines_of(folder)[:left])
    assert adopt(folder, "the disk was full") is True
    live, (entry,) = history(folder)
    assert (live, entry["adopted"], entry["reason"]) == ("v1", left, "the disk was full")
    assert "carries entry 4" in entry["found"]
    assert roll_back(folder, "v2") is True
    assert [entry["version"] for entry in history(folder)[1]] == ["v1", "v2"]


def test_a_log_that_verifies_needs_no_adoption(folder):
    before = (folder / "log.jsonl").read_bytes()
    assert adopt(folder, "why not") is False
    assert (folder / "log.jsonl").read_bytes() == before


# --- time ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-02-28", "2026-02-28T23:59:59.999999+00:00"),
        ("2026-03-01", "2026-03-01T23:59:59.999999+00:00"),  # today: as it is now
        ("2026-03-01T12:00Z", "2026-03-01T12:00:00+00:00"),
        ("2026-03-01T11:30:00+01:00", "2026-03-01T10:30:00+00:00"),
    ],
)
def test_a_date_is_its_end_in_utc_and_a_time_is_itself(clock, text, expected):
    assert moment(text).astimezone(dt.UTC).isoformat() == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("yesterday", r"^AT: 'yesterday' is neither a date such as 2026-03-01 nor a time such as .*\+01:00$"),
        ("2026-02-30", r"'2026-02-30' is neither a date"),
        ("2026-03-01T10:00", r"'2026-03-01T10:00' needs a zone, such as 2026-03-01T10:00Z for UTC"),
        ("2026-03-02", r"2026-03-02 lies in the future"),
        ("2026-03-01T23:00Z", r"2026-03-01T23:00Z lies in the future"),
    ],
)
def test_what_names_no_time_is_said(clock, text, message):
    with pytest.raises(UserError, match=message):
        moment(text)


@pytest.mark.parametrize(
    ("hour", "minute", "version"),
    [(11, 59, None), (12, 0, "v1"), (12, 59, "v1"), (13, 0, "v2"), (14, 30, "v3"), (15, 0, "v1"), (23, 0, "v1")],
)
def test_what_was_live_at_a_time(folder, hour, minute, version):
    entry = last_until(history(folder)[1], NOON.replace(hour=hour, minute=minute), folder / "log.jsonl")
    assert (entry and entry["version"]) == version


def test_before_an_adoption_the_log_cannot_say(folder):
    rewrite(folder, lines_of(folder)[:1])
    adopt(folder, "")
    entries = history(folder)[1]
    with pytest.raises(UserError, match=re.escape(f"can't say what was live before {entries[0]['at']}")):
        last_until(entries, NOON, folder / "log.jsonl")


# --- the lock ------------------------------------------------------------------------------------------------------


def test_a_log_that_is_replaced_while_one_waits_is_opened_again(folder, monkeypatch):
    lock, calls = promotions.fcntl.flock, []

    def replaced(descriptor, how):
        calls.append(descriptor)
        if len(calls) == 1:
            write(folder / "other", (folder / "log.jsonl").read_text()).replace(folder / "log.jsonl")
        if len(calls) == 2:
            (folder / "log.jsonl").unlink()
        lock(descriptor, how)

    monkeypatch.setattr(promotions.fcntl, "flock", replaced)
    with held(folder) as log:
        assert log.lines == [], "the file that is there now"
    assert len(calls) == 3


def test_a_file_system_without_locks_is_said(folder, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(promotions.fcntl, "flock", refuse)
    with pytest.raises(
        UserError, match=r"can't be locked \(No locks available\); the registry needs a file system with"
    ):
        roll_back(folder, "v2")


def test_a_log_that_cannot_be_written_is_said(folder):
    (folder / "log.jsonl").unlink()
    (folder / "log.jsonl").mkdir()
    with pytest.raises(UserError, match=r"log\.jsonl can't be written \(Is a directory\); mend its permissions"):
        roll_back(folder, "v2")


# --- rollback ------------------------------------------------------------------------------------------------------


def state(folder):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_rolling_back_to_what_is_live_changes_nothing(folder):
    before = state(folder)
    assert roll_back(folder, "v1") is False
    assert state(folder) == before


@pytest.mark.parametrize("version", ["v9", "../versions/v2", ".v2", ""])
def test_an_unknown_version_is_refused(folder, version):
    before = state(folder)
    with pytest.raises(UserError, match=rf"has no version '{re.escape(version)}'.*; make models lists what is there"):
        roll_back(folder, version)
    assert state(folder) == before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.joblib", "other", r"v2/model\.joblib has the checksum .* it was changed or damaged"),
        ("model.joblib", None, r"v2/model\.joblib does not exist; choose another version, or restore it"),
        ("model.json", "{", r"v2/model\.json is missing or damaged; .* or restore it"),
        ("model.json", "[]", r"v2/model\.json is missing or damaged"),
        ("model.json", "{}", r"v2/model\.json is no model's card"),
        ("metrics.json", None, r"v2/metrics\.json is missing or damaged"),
    ],
)
def test_a_damaged_version_is_refused(folder, name, content, message):
    damaged = folder / "versions" / "v2" / name
    damaged.unlink()
    if content is not None:
        damaged.write_text(content)
    before = state(folder)
    with pytest.raises(UserError, match=message):
        roll_back(folder, "v2")
    assert state(folder) == before
    assert read_json(folder / "live.json")["version"] == "v1"


def test_the_log_of_a_new_registry_is_empty(tmp_path):
    assert verify([], tmp_path) == []
    registry.prepare(tmp_path / "new")
    assert history(tmp_path / "new") == (None, [])


def test_a_registry_that_is_not_there_is_said(tmp_path):
    with pytest.raises(UserError, match=r"live\.json does not exist"):
        roll_back(tmp_path / "nowhere", "v1")
    assert not (tmp_path / "nowhere").exists()
