"""Training on the train rows of files that the earlier steps made; the card says what was trained, on what."""

from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from builders import config, config_dict, write, write_plan

from scripts import check, preprocess, split, train
from scripts.shared.config import Contract, Model
from scripts.shared.environment import describe
from scripts.shared.errors import UserError
from scripts.shared.files import read_json, sha256_file, write_json
from scripts.shared.fitting import fit
from scripts.shared.membership import digest
from scripts.shared.models import load_model, predict_default, versions
from scripts.shared.pipeline import build_pipeline

TREE = {"estimator": "sklearn.tree.DecisionTreeClassifier", "complexity": 2, "params": {"max_depth": 4}}
LOGISTIC = {"estimator": "sklearn.linear_model.LogisticRegression", "complexity": 1, "params": {"max_iter": 2000}}
COLUMNS = ("id", "x", "y", "t", "z")


def loans(count=400, seed=3):
    """Return rows of text as a person would type them, the outcome `z` included."""
    random = np.random.default_rng(seed)
    x, y = random.normal(50, 20, count).round(1), random.integers(0, 9, count)
    t = random.choice(["rent", "Own", " MORTGAGE ", ""], count)
    bad = random.uniform(size=count) < 1 / (1 + np.exp(-((x - 50) / 15 + (t == "rent") * 2 - 1.5)))
    gaps = random.uniform(size=(2, count)) < 0.05
    return [
        {
            "id": f"{n:05}",
            "x": "" if gaps[0, n] else str(x[n]),
            "y": "NA" if gaps[1, n] else str(y[n]),
            "t": str(t[n]),
            "z": str(int(bad[n])),
        }
        for n in range(count)
    ]


def csv_text(rows, columns=COLUMNS):
    return "\n".join([",".join(columns), *(",".join(row[name] for name in columns) for row in rows)]) + "\n"


def lay_out(folder, *files, **sections):
    """Preprocess and split files (lists of rows) into `folder`; return where everything is."""
    sections.setdefault("models", {"tree": TREE, "line": LOGISTIC})
    settings = config(**(config_dict() | sections))
    at = SimpleNamespace(folder=folder, config=folder / "config.json", settings=settings)
    write_json(at.config, settings.model_dump(mode="json"))
    for kind in ("parts", "counts", "rejects", "membership"):
        setattr(at, kind, [folder / kind / f"f{n}" for n in range(len(files))])
    for n, rows in enumerate(files):
        raw = write(folder / f"f{n}.csv", csv_text(rows, list(rows[0]) if rows else COLUMNS))
        plan = write_plan(folder, raw)
        preprocess.main(raw, at.parts[n], at.rejects[n], at.counts[n], at.config, plan, [], [], 1)
    at.duplicates = folder / "duplicates.parquet"
    summary = folder / "rejects.csv", folder / "summary.json"
    check.main(at.parts, at.counts, at.rejects, at.duplicates, *summary, at.config)
    for n, (part, member) in enumerate(zip(at.parts, at.membership, strict=True)):
        split.main(part, at.duplicates, n, member, at.config)
    return at


def train_model(at, name="tree", code="c0de", tuned=None, cv=None):
    """Train one model; return its two files."""
    model, card = at.folder / f"{name}.joblib", at.folder / f"{name}.json"
    train.main(at.parts, at.membership, model, card, name, tuned or [], cv or [], at.config, code)
    return model, card


def rows_on(at, side):
    """Return the rows of one side with pandas alone: features as the models get them, outcome, line."""
    parts = pd.concat(pq.read_table(part).to_pandas() for part in at.parts)
    sides = pd.concat(pq.read_table(member).to_pandas() for member in at.membership)
    rows = parts[(sides["side"] == side).to_numpy()].reset_index(drop=True)
    rows["t"] = rows["t"].astype(object).where(rows["t"].notna(), np.nan)
    return rows


def rows_by_id(at, side):
    return set(rows_on(at, side)["id"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    rows = loans()
    at = lay_out(folder, rows[:250], rows[250:], features={"ratio": "x / (y + 1)"}, labels={"x": "income"})
    at.model, at.card = train_model(at)
    return at


@pytest.mark.parametrize("in_memory_rows", [10_000, 0], ids=["in memory", "in blocks"])
def test_a_model_sees_nothing_of_what_it_leaves_out(tmp_path, in_memory_rows):
    models = {"tree": TREE | {"leave_out": ["y", "t"]}}
    resources = {"in_memory_rows": in_memory_rows}
    at = lay_out(tmp_path, loans(), features={"ratio": "x / (y + 1)"}, models=models, resources=resources)
    model, card = train_model(at)
    features = read_json(card)["features"]
    assert features == {"numeric": ["x", "ratio"], "categorical": [], "categories": {}}
    pipeline, _ = load_model(model, card)
    seen = {name.rpartition("_")[2] for name in pipeline["columns"].get_feature_names_out()}
    assert seen == {"x", "ratio"}


def test_the_card_says_what_was_trained_on_what(trained):
    card, rows = read_json(trained.card), rows_on(trained, "train")
    repaid = rows[rows["z"] == 0]
    assert card == {
        "name": "tree",
        "model": trained.settings.models["tree"].model_dump(mode="json"),
        "contract": trained.settings.contract().model_dump(mode="json"),
        "features": {
            "numeric": ["x", "y", "ratio"],
            "categorical": ["t"],
            "categories": {"t": ["MORTGAGE", "OWN", "RENT"]},
        },
        "training": {"rows": len(rows), "defaults": int(rows["z"].sum())},
        "reference_group": {
            "description": f"typical of the {len(repaid)} train rows that were repaid: the median of each number, the "
            "most frequent value of each category",
            "rows": len(repaid),
            "values": {name: float(repaid[name].median()) for name in ("x", "y", "ratio")}
            | {"t": repaid["t"].fillna("").mode()[0] or None},
        },
        "labels": {"x": "income"},
        "seed": 2026,
        "split": trained.settings.split.model_dump(mode="json"),
        "code": "c0de",
        "versions": versions(),
        "environment": describe(TREE["estimator"], "model.joblib"),
        "golden": card["golden"],
        "artefact": "model.joblib",
        "data": digest(trained.parts, trained.membership, "train", trained.settings.contract()),
        "inputs": {path.as_posix(): sha256_file(path) for path in [*trained.parts, *trained.membership]},
        "sha256": sha256_file(trained.model),
    }
    assert 250 < len(rows) < 350
    assert Contract.model_validate(card["contract"]) == trained.settings.contract()


def test_the_model_is_what_scikit_learn_makes_of_the_train_rows(trained):
    pipeline, _ = load_model(trained.model, trained.card)
    rows = rows_on(trained, "train")
    frame, everything = rows[["x", "y", "ratio", "t"]], rows_on(trained, "test")[["x", "y", "ratio", "t"]]
    own = build_pipeline("tree", trained.settings.models["tree"], ["x", "y", "ratio"], ["t"], 2026)
    own.fit(frame, rows["z"])
    np.testing.assert_array_equal(predict_default(pipeline, everything), own.predict_proba(everything)[:, 1])


def test_imputation_knows_the_train_rows_alone(trained):
    pipeline, _ = load_model(trained.model, trained.card)
    medians = pipeline["columns"].named_transformers_["numeric"][0].statistics_
    rows = rows_on(trained, "train")[["x", "y", "ratio"]]
    assert medians.tolist() == rows.median().tolist()


def test_features_of_test_rows_have_no_say(tmp_path):
    rows = loans(200)
    at = lay_out(tmp_path / "one", rows)
    held_out = rows_by_id(at, "test")
    new = {"x": "1e6", "t": "NEVER"}
    changed = [row | new | {"z": str(1 - int(row["z"]))} if row["id"] in held_out else row for row in rows]
    other = lay_out(tmp_path / "other", changed)
    assert rows_by_id(other, "test") == held_out
    one, two = (load_model(*train_model(of)) for of in (at, other))
    frame = rows_on(at, "train")[["x", "y", "t"]]
    np.testing.assert_array_equal(predict_default(one[0], frame), predict_default(two[0], frame))
    assert one[1]["features"] == two[1]["features"]


@pytest.mark.parametrize("name", ["tree", "line"])
def test_training_again_gives_the_same_model(tmp_path, name):
    at = lay_out(tmp_path, loans(200))
    frame = rows_on(at, "test")[["x", "y", "t"]]
    scores = [predict_default(load_model(*train_model(at, name))[0], frame) for _ in range(2)]
    np.testing.assert_array_equal(*scores)


def test_files_in_another_order_train_on_the_same_rows(tmp_path):
    rows = loans(200)
    one, other = lay_out(tmp_path / "a", rows[:90], rows[90:]), lay_out(tmp_path / "b", rows[90:], rows[:90])
    cards = [read_json(train_model(at)[1]) for at in (one, other)]
    assert cards[0]["training"] == cards[1]["training"]
    assert rows_by_id(one, "train") == rows_by_id(other, "train")


@pytest.mark.parametrize("columns", [{"categorical": []}, {"numeric": []}])
def test_one_kind_of_column_is_enough(tmp_path, columns):
    at = lay_out(tmp_path, loans(200), columns=config_dict()["columns"] | columns)
    card = read_json(train_model(at, "line")[1])
    assert [*card["features"]["numeric"], *card["features"]["categorical"]] in (["x", "y"], ["t"])


def test_a_model_that_cannot_be_built_leaves_nothing_behind(tmp_path):
    at = lay_out(tmp_path, loans(200), models={"tree": TREE | {"params": {"max_dept": 3}}})
    with pytest.raises(UserError, match=r"models\.tree\.params: .*'max_dept' \(did you mean 'max_depth'\?\)"):
        train_model(at)
    assert not list(tmp_path.glob("*tree*"))


def test_the_artefact_is_one_whole_pipeline(trained):
    assert [name for name, _ in joblib.load(trained.model).steps] == ["columns", "model"]


def test_an_estimator_that_cannot_take_missing_values_is_said():
    frame = pd.DataFrame({"x": [1.0, np.nan, 3.0, 4.0]})
    row = Model(estimator="sklearn.linear_model.LogisticRegression", complexity=1, numeric={"impute": False})
    pipeline = build_pipeline("lr", row, ["x"], [], seed=1)
    with pytest.raises(
        UserError, match=r"models\.lr: the estimator can't take missing .* models\.lr\.numeric\.impute: true"
    ):
        fit("lr", pipeline, frame, np.array([0, 1, 0, 1], np.int8))


def test_the_digest_of_the_data_does_not_depend_on_the_parts(tmp_path):
    rows = loans(300)
    one, three = lay_out(tmp_path / "one", rows), lay_out(tmp_path / "three", rows[:90], rows[90:91], rows[91:])
    first, second = (digest(at.parts, at.membership, "train", at.settings.contract()) for at in (one, three))
    assert first == second
    changed = lay_out(tmp_path / "changed", [{**rows[0], "t": "OWN"}, {**rows[1], "x": "77"}, *rows[2:]])
    assert digest(changed.parts, changed.membership, "train", changed.settings.contract()) != first
    assert digest(one.parts, one.membership, "test", one.settings.contract()) != first
