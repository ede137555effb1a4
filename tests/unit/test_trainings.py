"""What the pool tests know of processes that train: it has to see two at once, also where one is killed."""

import numpy as np

from tests.pool.harness import Training, at_once
from tests.pool.slow_estimator import SlowTree


def training(model, began, seen):
    return Training(model, "ep1", 1, began, seen)


def test_a_training_notes_when_it_was_at_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    SlowTree(seconds=0.5).fit(np.array([[0.0], [1.0]]), np.array([0, 1]))
    (file,) = (tmp_path / "trainings").iterdir()
    times = [float(line) for line in file.read_text().splitlines()]
    assert file.name.startswith("5 ")
    assert len(times) >= 4
    assert times[-1] - times[0] >= 0.5


def test_the_project_can_tell_it_another_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seconds").write_text("0")
    SlowTree(seconds=60).fit(np.array([[0.0], [1.0]]), np.array([0, 1]))


def test_two_of_one_model_at_once_are_seen():
    first, after, within, other = (
        training("lr", 0, 10),
        training("lr", 10, 20),
        training("lr", 8, 9),
        training("dt", 1, 9),
    )
    assert at_once([after, first, other]) == []
    assert at_once([within, first, other]) == [(first, within)]
    assert at_once([within, first, other], seconds=1) == [], "no longer than is allowed"
