"""The artefact and its card: nothing is unpickled before the checksum agrees."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import make_pipeline

from scripts.shared.cards import check_artefact, model_version
from scripts.shared.errors import UserError
from scripts.shared.files import read_json, sha256_file, write_json
from scripts.shared.models import load_model, predict_default, save_model, versions

CARD = {
    "name": "lr",
    "model": {"estimator": "a.B", "params": {"C": 1.0, "d": [1, 2]}},
    "contract": {"columns": {"id": "id"}},
    "data": "da7a",
    "code": "c0de",
    "seed": 1,
    "versions": {"numpy": "2"},
}


class Trap:
    """Leaves a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def saved(folder):
    pipeline = make_pipeline(DummyClassifier(strategy="prior")).fit([[0], [0], [0]], [0, 1, 0])
    files = folder / "m" / "model.joblib", folder / "m" / "model.json"
    save_model(pipeline, CARD, *files)
    return files


def test_a_saved_model_loads_with_its_card(tmp_path):
    pipeline, card = load_model(*saved(tmp_path))
    assert card == CARD | {"artefact": "model.joblib", "sha256": sha256_file(tmp_path / "m" / "model.joblib")}
    assert predict_default(pipeline, pd.DataFrame({"x": [0]})) == pytest.approx([1 / 3])
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["model.joblib", "model.json"]


@pytest.mark.parametrize("place", [0, 100, -1])
def test_a_flipped_byte_is_found(tmp_path, place):
    model, card = saved(tmp_path)
    content = bytearray(model.read_bytes())
    content[place] ^= 1
    model.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.joblib has the checksum \w{12}…, its card says \w{12}…: it was chang"):
        load_model(model, card)


def test_nothing_is_unpickled_before_the_checksum_agrees(tmp_path):
    model, card = saved(tmp_path)
    sprung = tmp_path / "sprung"
    model.write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(UserError, match="changed or damaged after training and is not loaded"):
        load_model(model, card)
    assert not sprung.exists()
    write_json(card, read_json(card) | {"sha256": sha256_file(model)})
    load_model(model, card)
    assert sprung.exists()  # the trap works


def test_a_missing_artefact_or_card_is_named(tmp_path):
    model, card = saved(tmp_path)
    with pytest.raises(UserError, match=r"gone\.json does not exist"):
        load_model(model, tmp_path / "gone.json")
    model.unlink()
    with pytest.raises(UserError, match=r"model\.joblib does not exist"):
        check_artefact(model, read_json(card))


# --- version ------------------------------------------------------------------------------------------------------


def test_the_version_is_frozen_and_does_not_depend_on_the_order_of_keys():
    version = model_version(CARD, 0.5)
    assert version == "055801c3a6cb"
    assert model_version(dict(reversed(CARD.items())), 0.5) == version


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"model": {"estimator": "a.B", "params": {"C": 2.0, "d": [1, 2]}}},
        {"contract": {"columns": {"id": None}}},
        {"data": "other"},
        {"code": "c1de"},
        {"seed": 2},
        {"versions": {"numpy": "3"}},
        {"environment": {"libraries": {"pyarrow": "99"}}},  # else a new library trains nothing new
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_decides_what_a_model_says_alters_its_version(change):
    assert model_version(CARD | change, 0.5) != model_version(CARD, 0.5)


def test_the_threshold_alters_the_version_and_the_artefact_bytes_do_not():
    assert model_version(CARD, 0.5) != model_version(CARD, 0.4)
    assert model_version(CARD | {"sha256": "ff", "training": {"rows": 3}}, 0.5) == model_version(CARD, 0.5)


def test_what_is_only_observed_is_no_part_of_the_version():
    observed = CARD["contract"] | {"columns": {**CARD["contract"]["columns"], "observed": ["sex"]}}
    assert model_version(CARD | {"contract": observed}, 0.5) == model_version(CARD, 0.5)


# --- scores -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [[0, 1], [1, 0]])
def test_the_score_is_the_probability_of_class_1_wherever_it_stands(classes):
    class Fixed:
        classes_ = np.array(classes)

        def predict_proba(self, frame):
            return np.tile([0.9 if c == 0 else 0.1 for c in classes], (len(frame), 1))

    scores = predict_default(Fixed(), pd.DataFrame({"x": [1, 2]}))
    assert scores.tolist() == [0.1, 0.1]
    assert scores.dtype == np.float64


def test_no_rows_have_no_scores():
    assert predict_default(None, pd.DataFrame({"x": []})).tolist() == []


def test_versions_are_those_a_pickle_depends_on():
    found = versions()
    assert set(found) == {"python", "scikit_learn", "numpy", "pandas", "joblib"}
    assert found["numpy"] == np.__version__
