"""Publishers killed at each step, and publishers at once: readers always see a whole model, and the log is whole."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from builders import write

from scripts.shared.files import sha256_text
from scripts.shared.promotions import held, verify, whole_lines
from scripts.shared.registry import check_version, history, live_version, prepare, publish, roll_back, stage, versions

ROOT = Path(__file__).resolve().parents[2]


class Publisher:
    """A process that obeys orders (killing.py)."""

    def __init__(self, stderr=None):
        paths = os.pathsep.join([str(ROOT), str(ROOT / "tests/unit")])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "killing"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=os.environ | {"PYTHONPATH": paths},
            text=True,
        )

    def send(self, order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def answer(self):
        return json.loads(self.process.stdout.readline())

    def obey(self, **order):
        self.send(order)
        return self.answer()

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=10) == 0
        self.process.stdout.close()


@pytest.fixture
def publisher():
    made = Publisher()
    yield made
    made.end()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The files of three versions, as `publish` takes them."""
    folder, made = tmp_path_factory.mktemp("files"), {}
    for version in ("v1", "v2", "v3"):
        contents = {
            "model.joblib": f"model {version}" * 50,
            "model.json": json.dumps({"name": version, "sha256": sha256_text(f"model {version}" * 50)}),
            "metrics.json": "{}",
        }
        made[version] = {name: write(folder / version / name, content) for name, content in contents.items()}
    return made


def plain(files):
    return {name: str(path) for name, path in files.items()}


def read(folder):
    """Do what a reader does: find what is live and check it; return its version and what the log says is live."""
    live, entries = history(folder)
    assert (entries[-1]["version"] if entries else None) == live
    if live is not None:
        place = live_version(folder / "live.json")
        check_version(place)
        assert json.loads((place / "model.json").read_text())["name"] == place.name
    return live, [(entry["action"], entry["version"]) for entry in entries]


def nothing(folder, files):
    prepare(folder)


def one(folder, files):
    publish(folder, "v1", files["v1"], {})


def two(folder, files):
    one(folder, files)
    publish(folder, "v2", files["v2"], {})


def one_and_a_damaged_one(folder, files):
    two(folder, files)
    roll_back(folder, "v1")
    (folder / "versions" / "v2" / "model.joblib").write_text("damaged")


def one_and_an_incomplete_one(folder, files):
    two(folder, files)
    roll_back(folder, "v1")
    (folder / "versions" / "v2" / "metrics.json").unlink()


def changed_by_hand(folder, files):
    two(folder, files)
    (folder / "live.json").write_text('{"version": "v1"}')


def one_and_a_staged_one(folder, files):
    one(folder, files)
    stage(folder, "v2", files["v2"], {})


STORIES = [
    (nothing, "publish", "v1", [("publish", "v1")]),
    (one, "publish", "v2", [("publish", "v1"), ("publish", "v2")]),
    (two, "roll back", "v1", [("publish", "v1"), ("publish", "v2"), ("rollback", "v1")]),
    (two, "publish", "v1", [("publish", "v1"), ("publish", "v2"), ("publish", "v1")]),
    (
        one_and_a_damaged_one,
        "publish",
        "v2",
        [("publish", "v1"), ("publish", "v2"), ("rollback", "v1"), ("publish", "v2")],
    ),
    (
        one_and_an_incomplete_one,
        "publish",
        "v2",
        [("publish", "v1"), ("publish", "v2"), ("rollback", "v1"), ("publish", "v2")],
    ),
    (changed_by_hand, "publish", "v2", [("publish", "v1"), ("publish", "v2"), ("found", "v1"), ("publish", "v2")]),
    (one, "stage", "v2", [("publish", "v1"), ("staged", "v1")]),
    (one_and_a_staged_one, "promote", "v2", [("publish", "v1"), ("staged", "v1"), ("promoted", "v2")]),
    (two, "publish and prune", "v3", [("publish", "v1"), ("publish", "v2"), ("publish", "v3"), ("pruned", "v3")]),
]


def test_killed_before_any_step_nothing_is_lost(tmp_path, files, publisher):
    kills = 0
    for before, do, version, story in STORIES:
        base = tmp_path / f"{before.__name__} {do}"
        before(base, files)
        was_live = json.loads((base / "live.json").read_text())["version"]
        becomes = story[-1][1]
        last, answer = 0, {"signal": signal.SIGKILL}
        while "signal" in answer:
            last += 1
            folder = tmp_path / "at work" / f"{before.__name__} {do} {last}"
            shutil.copytree(base, folder, symlinks=True)
            order = {"do": do, "folder": str(folder), "version": version, "files": plain(files[version])}
            answer = publisher.obey(**order, last=last)
            if "signal" not in answer:
                assert answer == {"changed": True, "steps": last - 1}, "one kill for each step"
                assert read(folder) == (becomes, story)
                continue
            kills += 1
            assert answer == {"signal": signal.SIGKILL}
            assert live_version_of(folder) in {was_live, becomes}, last
            if before is not changed_by_hand or live_version_of(folder) == version:
                assert read(folder)[0] in {was_live, becomes}
            again = publisher.obey(**order)
            assert "changed" in again
            assert read(folder) == (becomes, story), f"after a kill before step {last}"
            assert_in_order(folder)
    assert kills >= 100, kills


def live_version_of(folder):
    """Return the live version, whose model is whole, or None."""
    version = json.loads((folder / "live.json").read_text())["version"]
    if version is not None:
        check_version(live_version(folder / "live.json"))
    return version


def assert_in_order(folder):
    """Check that the log itself is whole and ends with what is live, and that nothing lies about."""
    version = json.loads((folder / "live.json").read_text())["version"]
    content = (folder / "log.jsonl").read_bytes()
    assert content.endswith(b"\n")
    assert verify(whole_lines(content), folder / "log.jsonl")[-1]["version"] == version
    assert os.readlink(folder / "current") == f"versions/{version}"  # noqa: PTH115 - the text of the link
    assert {path.name for path in folder.iterdir()} == {"live.json", "log.jsonl", "current", "versions"}
    assert {path.name for path in (folder / "versions").iterdir()} <= {"v1", "v2", "v3"}
    for version in versions(folder):
        check_version(folder / "versions" / version)


@pytest.mark.parametrize("seed", range(3))
def test_killed_again_and_again_the_registry_goes_on(tmp_path, files, publisher, seed):
    """Each publisher starts from what the killed one before it has left."""
    chance, folder = random.Random(seed), tmp_path / "deployed"
    publish(folder, "v1", files["v1"], {})
    kills = 0
    for _ in range(40):
        version = chance.choice(sorted(files))
        do = chance.choice(["publish", "roll back"]) if version in versions(folder) else "publish"
        order = {"do": do, "folder": str(folder), "version": version, "files": plain(files[version])}
        before = read(folder)
        answer = publisher.obey(**order, last=chance.randint(1, 60))
        kills += "signal" in answer
        live, story = read(folder)
        assert live in {before[0], version}
        assert story[: len(before[1])] == before[1], "the log only grows"
        assert len(story) - len(before[1]) == (live != before[0]), "one entry for each change, and none without"
    assert kills >= 10
    publish(folder, "v2", files["v2"], {})
    publish(folder, "v3", files["v3"], {})
    assert_in_order(folder)


def test_two_at_once_are_one_after_the_other_and_readers_never_wait(tmp_path, files):
    folder = tmp_path / "deployed"
    publish(folder, "v1", files["v1"], {})
    publish(folder, "v2", files["v2"], {})
    pair, changes, seen, broken = [Publisher(), Publisher()], 2, [], []
    over = threading.Event()

    def look():
        while not over.is_set():
            try:
                check_version(live_version(folder / "live.json"))
                seen.append(read(folder)[1])
            except Exception as error:
                broken.append(error)
                return

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for number in range(25):
            pair[0].send(
                {"do": "publish", "folder": str(folder), "version": "v3", "files": plain(files["v3"])}
                if number % 2
                else {"do": "roll back", "folder": str(folder), "version": "v1"}
            )
            pair[1].send({"do": "roll back", "folder": str(folder), "version": "v2"})
            changes += sum(publisher.answer()["changed"] for publisher in pair)
            live, story = read(folder)
            assert live in {"v1", "v2", "v3"}
            assert len(story) == changes, "each change has its entry"
    finally:
        over.set()
        reader.join(timeout=30)
        for publisher in pair:
            publisher.end()
    assert broken == []
    assert len({len(story) for story in seen}) > 5, "the reader was in the middle of it"
    assert changes > 25
    assert_in_order(folder)


def test_a_publisher_waits_for_the_one_at_work_and_says_so_and_a_reader_does_not(tmp_path, files):
    folder = tmp_path / "deployed"
    two(folder, files)
    publisher = Publisher(stderr=subprocess.PIPE)
    with held(folder):
        publisher.send({"do": "roll back", "folder": str(folder), "version": "v1"})
        said = publisher.process.stderr.readline()
        assert said == f"{folder}/log.jsonl: another publisher is at work; waiting for it\n"
        assert read(folder)[0] == "v2"
    assert publisher.answer()["changed"] is True
    publisher.end()
    publisher.process.stderr.close()
    assert read(folder)[0] == "v1"
