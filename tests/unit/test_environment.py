"""Old models in new environments: what is recorded, what counts as another version, and when predictions go on."""

import re
import time
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn
from builders import config, config_dict, write
from test_predict import at, made, new, score  # noqa: F401 - fixtures

from scripts.shared import environment, fitness
from scripts.shared.environment import describe, differences, for_version, installed, python_line, recorded
from scripts.shared.errors import UserError
from scripts.shared.files import read_json, sha256_text, write_json
from scripts.shared.models import versions

LOCK = sha256_text("lock")


def configured(at, **predict):  # noqa: F811
    settings = config(**config_dict(predict=predict))
    write_json(at.folder / "config.json", settings.model_dump(mode="json"))


def live(at):  # noqa: F811
    return at.live.parent / "versions" / "usual"


def publish_extras(at, golden=True, **libraries):  # noqa: F811
    """Give the live version what select publishes with it, some libraries in other versions."""
    card = read_json(live(at) / "model.json")
    content = for_version(card, LOCK)
    content["libraries"] |= libraries
    write_json(live(at) / "environment.json", content)
    if golden:
        write_json(live(at) / "golden.json", card["golden"])
    return card


# --- what is recorded ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimator", "artefact", "more"),
    [
        ("sklearn.tree.DecisionTreeClassifier", "model.joblib", set()),
        ("sklearn.tree.DecisionTreeClassifier", "model.skops", {"skops"}),
        ("lightgbm.LGBMClassifier", "model.joblib", {"lightgbm"}),
        ("scripts.shared.catboosting.CatBoost", "model.skops", {"catboost", "skops"}),
        ("scripts.shared.other.Model", "model.joblib", set()),
        ("nowhere_to_be_found.Model", "model.joblib", set()),
    ],
)
def test_the_libraries_that_matter_for_a_model(estimator, artefact, more):
    libraries = describe(estimator, artefact)["libraries"]
    assert set(libraries) == {"scikit-learn", "numpy", "pandas", "joblib", "scipy", "pyarrow"} | more
    assert (libraries["scikit-learn"], libraries["numpy"]) == (sklearn.__version__, np.__version__)
    assert "not installed" not in libraries.values()


def test_a_versions_environment_names_its_lock():
    card = {"environment": describe("a.B", "model.joblib")}
    found = for_version(card, LOCK)
    assert (found["lock"], found["environment"]) == (LOCK, LOCK[:12])
    assert found["python"].startswith(python_line(found["python"]) + ".")
    assert "lock" not in card["environment"], "the card stays as it is"


# --- what counts as another version -------------------------------------------------------------------------------


def test_repairs_of_python_are_no_other_version(tmp_path, monkeypatch):
    card = {"environment": describe("a.B", "model.joblib")}
    write_json(tmp_path / "environment.json", for_version(card, LOCK) | {"python": "3.11.99"})
    then = recorded(tmp_path, card)
    for here, expected in (
        ("3.11.2", []),
        ("3.12.2", ["Python 3.11 (here 3.12)"]),
        ("3.1.1", ["Python 3.11 (here 3.1)"]),
    ):
        monkeypatch.setattr(environment.platform, "python_version", lambda here=here: here)
        assert differences(then) == expected


def test_versions_that_a_model_is_known_by_lack_repairs_of_python(monkeypatch):
    monkeypatch.setattr(environment.platform, "python_version", lambda: "3.11.7")
    assert versions()["python"] == "3.11"


def test_differences_are_told_in_words_and_a_missing_library_is_one():
    then = {"numpy": "1.0", "scipy": installed("scipy"), "no-such-library": "3"}
    assert differences(then) == [f"numpy 1.0 (here {np.__version__})", "no-such-library 3 (here not installed)"]


def test_without_an_environment_the_cards_versions_count(tmp_path):
    card = {"versions": {"python": "3.11.7", "scikit_learn": "1.0", "numpy": np.__version__}}
    assert recorded(tmp_path, card) == {"Python": "3.11", "scikit-learn": "1.0", "numpy": np.__version__}


@pytest.mark.parametrize("content", [[], {}, {"python": 3, "libraries": {}}, {"python": "3.11", "libraries": []}])
def test_a_damaged_environment_is_named(tmp_path, content):
    write_json(tmp_path / "environment.json", content)
    with pytest.raises(UserError, match=r"environment\.json doesn't say Python's version"):
        recorded(tmp_path, {"versions": {}})


# --- predicting ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["refuse", "golden"])
def test_the_same_versions_are_the_usual_case(at, caplog, policy):  # noqa: F811
    publish_extras(at)
    configured(at, other_versions=policy)
    assert score(at, new())[2]["environment"] == "same"
    assert caplog.messages == []


def test_other_versions_are_refused_with_the_ways_out(at):  # noqa: F811
    publish_extras(at, scipy="0.9", joblib="0.1")
    with pytest.raises(UserError) as refused:
        score(at, new())
    folder = live(at)
    assert re.fullmatch(
        rf"{folder}: the model was trained with joblib 0\.1 \(here \S+\), scipy 0\.9 \(here \S+\), by which its scores "
        r"could be others\. Predict in its own environment: `python3\.\d+ -m venv \.venv-usual && "
        rf"\.venv-usual/bin/pip install --require-hashes -r {folder}/requirements\.lock && .*`, then `.*snakemake.*`\. "
        r"Or make a version live .*"
        r"`make rollback VERSION=…`\. Or train anew: delete results/models and results/selection\.json, and run again",
        str(refused.value),
    )
    assert not any(path.exists() for path in at.outputs)


def test_nothing_is_loaded_where_versions_differ(at):  # noqa: F811
    publish_extras(at, scipy="0.9")
    (live(at) / "model.joblib").unlink()
    with pytest.raises(UserError, match=r"the model was trained with scipy 0\.9"):
        score(at, new())


def test_with_equal_golden_rows_it_goes_on_and_says_so(at, caplog):  # noqa: F811
    publish_extras(at)
    expected = score(at, new())[0]
    publish_extras(at, scipy="0.9")
    configured(at, other_versions="golden")
    predictions, _, summary = score(at, new())
    assert predictions == expected
    assert summary["environment"] == "golden"
    assert caplog.messages == [
        f"warning: the model was trained with scipy 0.9 (here {installed('scipy')}); its 12 golden rows have equal "
        "scores here, so it goes on"
    ]


def test_a_golden_row_that_differs_by_its_last_bit_is_refused(at):  # noqa: F811
    golden = publish_extras(at, scipy="0.9")["golden"]
    golden["scores"][3] = float(np.nextafter(golden["scores"][3], 1))
    write_json(live(at) / "golden.json", golden)
    configured(at, other_versions="golden")
    with pytest.raises(UserError, match=r"others, and those of its golden rows are: by up to \d\S*e-1\d\. Pred"):
        score(at, new())
    assert not any(path.exists() for path in at.outputs)


def test_a_version_without_golden_rows_is_refused_and_why_is_said(at):  # noqa: F811
    card = read_json(live(at) / "model.json")
    write_json(live(at) / "model.json", card | {"versions": card["versions"] | {"numpy": "1.0"}})
    configured(at, other_versions="golden")
    with pytest.raises(UserError, match=r"numpy 1\.0 .*, and it was published before there were golden rows"):
        score(at, new())


def test_what_goes_wrong_under_other_versions_is_put_down_to_them(tmp_path):
    write(tmp_path / "model.json", '{"versions": {"python": "3.11.7"}}')
    with (
        pytest.raises(
            UserError, match=r"numpy 1 .*, and here it can't be used \(AttributeError: no such thing\)\. Pred"
        ),
        fitness.tried(tmp_path, ["numpy 1 (here 2)"]),
    ):
        raise AttributeError("no\nsuch thing")
    with pytest.raises(AttributeError), fitness.tried(tmp_path, []):
        raise AttributeError("a defect")
    with pytest.raises(UserError, match="own words"), fitness.tried(tmp_path, ["numpy 1 (here 2)"]):
        raise UserError("own words")


def test_warnings_of_other_versions_are_said_once(recwarn):
    with fitness.tried(SimpleNamespace(), ["numpy 1 (here 2)"]):
        warnings.warn("trained with another version", UserWarning, stacklevel=1)
    assert not recwarn.list


def test_the_check_takes_milliseconds_where_versions_agree(at):  # noqa: F811
    publish_extras(at)
    took = []
    for _ in range(5):
        start = time.perf_counter()
        assert fitness.check_versions(live(at), "refuse") == []
        took.append(time.perf_counter() - start)
    assert min(took) < 0.1
