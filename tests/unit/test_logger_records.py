"""Records for machines: one line of JSON for each change, whole or not at all."""

import contextlib
import json

import pytest
from snakemake_logger_plugin_htcondor.jobs import Job
from snakemake_logger_plugin_htcondor.records import Record, Recorder, read

NOW = 1795593713.25


@pytest.fixture
def recorder_of():
    """Return a function that makes recorders; they are closed after the test."""
    with contextlib.ExitStack() as made:
        yield lambda path: made.enter_context(contextlib.closing(Recorder(path)))


def job(**more):
    return Job(cluster=17, jobid="3", rule="train_lr", wildcards={"file": "may"}, **more)


def test_a_change_is_a_line_with_every_name_of_the_schema(recorder_of, tmp_path):
    path = tmp_path / "logs" / "jobs.jsonl"
    recorder = recorder_of(path)
    assert not path.parent.exists(), "nothing is made before there is something to say"
    done = job(
        attempt=2,
        submitted=NOW - 60,
        started=NOW - 50.5,
        ended=NOW,
        hosts=["ep1", "ep2"],
        requested={"memory_mb": 2000},
        used={"memory_mb": 310.5},
        exit_code=0,
    )
    recorder.write(done, "done", NOW, slot="slot1_1")
    line = json.loads(path.read_text())  # at once, while the file is open
    assert line == {
        "time": "2026-11-25T08:01:53.250Z",
        "change": "done",
        "cluster": 17,
        "jobid": "3",
        "rule": "train_lr",
        "wildcards": {"file": "may"},
        "attempt": 2,
        "host": "ep2",
        "requested": {"memory_mb": 2000},
        "used": {"memory_mb": 310.5},
        "submitted": "2026-11-25T08:00:53.250Z",
        "started": "2026-11-25T08:01:02.750Z",
        "worked": None,
        "ended": "2026-11-25T08:01:53.250Z",
        "exit_code": 0,
        "signal": None,
        "reason": None,
        "slot": "slot1_1",
    }
    assert list(line)[:-1] == list(Record.__annotations__)


def test_changes_are_appended_also_by_a_later_run(recorder_of, tmp_path):
    path = tmp_path / "jobs.jsonl"
    for change in ("submitted", "running"):
        recorder = recorder_of(path)
        recorder.write(job(), change, NOW)
        recorder.close()
    recorder.write(job(), "held", NOW)
    assert [record["change"] for record in read(path)] == ["submitted", "running", "held"]


def test_a_line_that_broke_off_costs_no_other(recorder_of, tmp_path):
    path = tmp_path / "jobs.jsonl"
    recorder_of(path).write(job(), "submitted", NOW)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])  # the run was killed
    assert [record["change"] for record in read(path)] == ["submitted"]
    recorder_of(path).write(job(), "running", NOW)
    assert [record["change"] for record in read(path)] == ["submitted", "running"]


def test_another_file_is_not_taken_for_records(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text('{"time": "x"}\n\nnot JSON\n')
    lines = read(path)
    assert next(lines) == {"time": "x"}
    with pytest.raises(ValueError, match=r"log\.txt, line 3: not a record"):
        next(lines)


@pytest.mark.parametrize("text", ["Überprüfung 模型", 'a\nb"c\\', "\udc80 bytes that are no text", "\x1b[31m"])
def test_any_text_comes_back_as_it_was(recorder_of, tmp_path, text):
    path = tmp_path / "jobs.jsonl"
    recorder_of(path).write(job(reason=text), "held", NOW, folder=tmp_path)
    assert path.read_bytes().count(b"\n") == 1
    (found,) = read(path)
    assert found["reason"] == text
    assert found["folder"] == str(tmp_path)


def test_figures_that_json_has_no_word_for_are_left_out(recorder_of, tmp_path):
    path = tmp_path / "jobs.jsonl"
    recorder_of(path).write(job(used={"memory_mb": float("nan"), "cpus": 1.0}), "done", NOW)
    assert next(read(path))["used"] == {"cpus": 1.0}


def test_an_error_reaches_the_caller_and_the_next_record_is_tried_again(recorder_of, tmp_path):
    folder = tmp_path / "logs"
    folder.write_text("in the way")
    recorder = recorder_of(folder / "jobs.jsonl")
    with pytest.raises(OSError, match="logs"):
        recorder.write(job(), "submitted", NOW)
    folder.unlink()
    recorder.write(job(), "running", NOW)
    assert [record["change"] for record in read(folder / "jobs.jsonl")] == ["running"]


def test_a_full_disk_raises_and_the_file_can_still_be_read(recorder_of, tmp_path):
    class Full:
        """A file that takes no more than ten bytes, as the last ones of a disk."""

        def __init__(self, file):
            self.file = file

        def write(self, data):
            self.file.write(data[:10])
            self.file.flush()
            return 10

        def close(self):
            self.file.close()

    path = tmp_path / "jobs.jsonl"
    recorder = recorder_of(path)
    recorder.write(job(), "submitted", NOW)
    recorder.close()
    recorder._file = Full(path.open("ab"))
    with pytest.raises(OSError, match="only 10 of"):
        recorder.write(job(), "running", NOW)
    recorder.write(job(), "done", NOW)
    assert [record["change"] for record in read(path)] == ["submitted", "done"]
