"""Artefacts by skops: the same scores after a round trip, the same bytes, and no type that isn't listed."""

import pickle
import zipfile

import joblib
import numpy as np
import pandas as pd
import pytest
from skops import io
from test_models import CARD, Trap
from test_streaming_models import MODELS, in_blocks  # noqa: F401 - a fixture
from test_train import lay_out, loans, rows_on, train_model

from scripts import train
from scripts.shared import trusted
from scripts.shared.calibrated import with_map
from scripts.shared.cards import model_version
from scripts.shared.config import Model
from scripts.shared.errors import UserError
from scripts.shared.files import read_json, sha256_file, write_json
from scripts.shared.models import load_model, predict_default, save_model
from scripts.shared.pipeline import build_pipeline

NATIVE = {"numeric": {"impute": False}, "categorical": {"encoding": "native"}}
SPLINE, SCALE, BIN = ({"numeric": {"transform": name}} for name in ("spline", "scale", "bin"))
TWICE = {"numeric": {"also_as_category": True}}
FEW = {"params": {"n_estimators": 5}}
# Each carried estimator at least once, and each way of preparing columns.
ROWS = [
    ("sklearn.linear_model.LogisticRegression", SPLINE),
    ("sklearn.linear_model.LogisticRegression", SCALE),
    ("sklearn.linear_model.LogisticRegression", BIN),
    ("sklearn.tree.DecisionTreeClassifier", {}),
    ("sklearn.ensemble.RandomForestClassifier", FEW),
    ("sklearn.ensemble.ExtraTreesClassifier", FEW | TWICE),
    ("sklearn.ensemble.GradientBoostingClassifier", FEW),
    ("sklearn.ensemble.HistGradientBoostingClassifier", NATIVE | {"params": {"max_iter": 5}}),
    ("sklearn.ensemble.AdaBoostClassifier", FEW),
    ("sklearn.naive_bayes.GaussianNB", {}),
    ("sklearn.neural_network.MLPClassifier", SCALE | {"params": {"max_iter": 3}}),
    ("lightgbm.LGBMClassifier", NATIVE | FEW),
    ("scripts.shared.catboosting.CatBoost", NATIVE | {"params": {"iterations": 5, "seeds": 2}}),
    ("scripts.shared.scorecard.Scorecard", NATIVE | {"params": {"min_iv": 0.0}}),
]


def data(rows=300):
    random = np.random.default_rng(5)
    frame = pd.DataFrame({"x": random.normal(size=rows), "y": random.integers(0, 9, rows).astype(float)})
    frame["t"] = random.choice(["A", "B", '"__id__": 7'], rows).astype(object)
    frame.loc[::17, "x"], frame.loc[::13, "t"] = np.nan, np.nan
    return frame, (random.uniform(size=rows) < 0.3).astype(np.int8)


def fitted(estimator="sklearn.tree.DecisionTreeClassifier", **options):
    frame, target = data()
    row = Model(estimator=estimator, complexity=1, **options)
    return build_pipeline("m", row, ["x", "y"], ["t"], seed=1).fit(frame, target)


def saved(folder, pipeline):
    files = folder / "model.skops", folder / "model.json"
    save_model(pipeline, CARD, *files)
    return files


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore:Bins whose width")
@pytest.mark.parametrize(("estimator", "options"), ROWS, ids=[name.rpartition(".")[2] for name, _ in ROWS])
def test_scores_are_equal_after_a_round_trip(tmp_path, estimator, options):
    pipeline, frame = fitted(estimator, **options), data(500)[0]
    loaded, card = load_model(*saved(tmp_path, pipeline))
    assert predict_default(loaded, frame).tolist() == predict_default(pipeline, frame).tolist()
    assert len(set(predict_default(loaded, frame).tolist())) > 1
    assert (card["artefact"], card["sha256"]) == ("model.skops", sha256_file(tmp_path / "model.skops"))


def test_a_calibrated_model_too(tmp_path):
    mapping = {"method": "sigmoid", "slope": 0.8, "intercept": -0.2}
    pipeline, frame = with_map(fitted(), mapping), data(500)[0]
    loaded, _ = load_model(*saved(tmp_path, pipeline))
    assert predict_default(loaded, frame).tolist() == predict_default(pipeline, frame).tolist()
    assert predict_default(loaded, frame).tolist() != predict_default(fitted(), frame).tolist()


def test_each_estimator_that_the_config_may_name_is_tried():
    assert {name for name, _ in ROWS} == set(trusted.CARRIED)


@pytest.mark.parametrize("options", [SPLINE, NATIVE | FEW], ids=["line", "boosting"])
def test_equal_models_are_equal_bytes(tmp_path, options):
    estimator = "lightgbm.LGBMClassifier" if "params" in options else "sklearn.linear_model.LogisticRegression"
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        saved(tmp_path / name, fitted(estimator, **options))
    assert (tmp_path / "a" / "model.skops").read_bytes() == (tmp_path / "b" / "model.skops").read_bytes()


def test_a_model_that_is_not_listed_is_refused_before_anything_runs():
    models = {"a": trusted.CARRIED[0], "b": "sklearn.neighbors.KNeighborsClassifier"}
    with pytest.raises(UserError, match=r"^models\.b\.estimator: sklearn\.neighbors.*deploy\.artefact: joblib"):
        trusted.check_carried(models, "skops")
    trusted.check_carried(models, "joblib")


def test_what_would_not_be_loaded_again_is_not_written(tmp_path):
    with pytest.raises(UserError, match=r"would not load it: sklearn\..*, sklearn\.neighbors\._kd_tree\.KDTree are"):
        saved(tmp_path, fitted("sklearn.neighbors.KNeighborsClassifier"))
    assert not list(tmp_path.iterdir())


def test_what_skops_cannot_write_is_said(tmp_path):
    pipeline = fitted()
    pipeline.marks = (n for n in range(3))
    with pytest.raises(UserError, match=r"skops can't write this model .*deploy\.artefact: joblib"):
        saved(tmp_path, pipeline)


def test_a_type_that_is_not_listed_is_not_made(tmp_path):
    """The card vouches for it, and still it isn't loaded."""
    model, card = saved(tmp_path, fitted())
    io.dump(Trap(tmp_path / "sprung"), model)
    write_json(card, read_json(card) | {"sha256": sha256_file(model)})
    with pytest.raises(
        UserError, match=r"model\.skops is not loaded: pathlib\.PosixPath, test_models\.Trap are no types "
    ):
        load_model(model, card)
    assert not (tmp_path / "sprung").exists()


def test_the_checksum_comes_before_skops(tmp_path, monkeypatch):
    model, card = saved(tmp_path, fitted())
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    monkeypatch.setattr(trusted, "load", lambda *_: pytest.fail("it was looked at"))
    with pytest.raises(UserError, match=r"model\.skops has the checksum .* is not loaded"):
        load_model(model, card)


@pytest.mark.parametrize("content", [b"no archive", b"empty"])
def test_a_file_that_is_none_of_skops_is_refused(tmp_path, content):
    model, card = saved(tmp_path, fitted())
    model.write_bytes(content)
    if content == b"empty":
        with zipfile.ZipFile(model, "w"):
            pass
    write_json(card, read_json(card) | {"sha256": sha256_file(model)})
    with pytest.raises(UserError, match=r"model\.skops is no artefact of skops .* is not loaded"):
        load_model(model, card)


def test_a_pickle_is_refused_where_the_card_says_skops(tmp_path):
    _, card = saved(tmp_path, fitted())
    sprung, pickled = tmp_path / "sprung", tmp_path / "model.joblib"
    pickled.write_bytes(pickle.dumps(Trap(sprung)))
    write_json(card, read_json(card) | {"sha256": sha256_file(pickled)})
    with pytest.raises(UserError, match=r"model\.joblib is not loaded: its card says that the model is a \.skops file"):
        load_model(pickled, card)
    (tmp_path / "model.skops").write_bytes(pickled.read_bytes())
    with pytest.raises(UserError, match="is no artefact of skops"):
        load_model(tmp_path / "model.skops", card)
    assert not sprung.exists()


def test_skops_is_refused_where_the_card_says_joblib_or_nothing(tmp_path):
    model, card = saved(tmp_path, fitted())
    for said in ({"artefact": "model.joblib"}, {}):
        content = {key: value for key, value in read_json(card).items() if key != "artefact"}
        write_json(tmp_path / "other.json", content | said)
        with pytest.raises(UserError, match=r"model\.skops is not loaded: its card says that the model is a \.joblib"):
            load_model(model, tmp_path / "other.json")


def test_an_artefact_elsewhere_than_in_the_folder_is_refused(tmp_path):
    _, card = saved(tmp_path, fitted())
    write_json(card, read_json(card) | {"artefact": "../other/model.joblib"})
    with pytest.raises(UserError, match="which is no format known here"):
        load_model(tmp_path / "model.joblib", card)


def test_joblib_files_stay_what_they_are(tmp_path):
    files = tmp_path / "model.joblib", tmp_path / "model.json"
    save_model(fitted(), CARD, *files)
    assert type(joblib.load(files[0])).__name__ == "Pipeline"
    assert read_json(files[1])["artefact"] == "model.joblib"


def test_another_format_is_another_version_and_the_usual_one_is_called_as_ever():
    usual = model_version(CARD, 0.5)
    assert model_version(CARD | {"artefact": "model.joblib"}, 0.5) == usual
    assert model_version(CARD | {"artefact": "model.skops"}, 0.5) != usual


@pytest.mark.parametrize("name", MODELS)
def test_what_was_trained_in_blocks_is_carried_too(tmp_path, name, in_blocks):  # noqa: F811
    at = lay_out(tmp_path, loans(300), models=MODELS)
    pipeline, _ = load_model(*train_model(at, name))
    model, card = tmp_path / "model.skops", tmp_path / "skops.json"
    train.main(at.parts, at.membership, model, card, name, [], [], at.config, "c0de")
    frame = rows_on(at, "test")[["x", "y", "t"]]
    assert predict_default(load_model(model, card)[0], frame).tolist() == predict_default(pipeline, frame).tolist()


def test_a_model_that_comes_back_with_other_scores_is_refused(tmp_path, monkeypatch):
    at = lay_out(tmp_path, loans(200))
    other = fitted()
    monkeypatch.setattr(train, "load_model", lambda *_: (other, read_json(tmp_path / "card.json")))
    with pytest.raises(UserError, match=r"^models\.tree: read back from skops, scores differ by up to \S+; set "):
        train.main(
            at.parts, at.membership, tmp_path / "m.skops", tmp_path / "card.json", "tree", [], [], at.config, "c"
        )
