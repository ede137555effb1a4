"""A published version outlives its environment: it says what it needs, and is tried before it goes on elsewhere."""

import json

FILES = [
    *("card.md", "environment.json", "golden.json", "metrics.json"),
    *("model.joblib", "model.json", "reference.json", "requirements.lock"),
]


def test_a_version_has_its_files_and_under_other_versions_only_golden_rows_let_it_go_on(finished):
    folder = finished.path("deployed/current").resolve()
    assert sorted(path.name for path in folder.iterdir()) == FILES
    version = json.loads(finished.read("deployed/live.json"))["version"]
    assert finished.read("deployed/current/card.md").startswith(f"# Model card: lr, version {version}\n")
    before = finished.read("results/predictions/january.csv")
    assert json.loads(finished.read("results/predictions/january.summary.json"))["environment"] == "same"

    environment = json.loads(finished.read("deployed/current/environment.json"))
    environment["libraries"]["scipy"] = "1.0.1"
    (folder / "environment.json").write_text(json.dumps(environment))
    finished.path("results/predictions/january.csv").unlink()
    run = finished.snakemake("results/predictions/january.csv")
    assert run.code != 0
    (sentence,) = run.sentences
    assert f"deployed/versions/{version}: the model was trained with scipy 1.0.1 (here " in sentence
    assert f"--require-hashes -r deployed/versions/{version}/requirements.lock" in sentence
    assert not finished.path("results/predictions/january.csv").exists()

    finished.config(predict__other_versions="golden")
    run = finished.snakemake("results/predictions/january.csv")
    assert run.code == 0, run.output
    assert run.finished == ["predict"]
    assert "its 12 golden rows have equal scores here, so it goes on" in run.output
    assert finished.read("results/predictions/january.csv") == before
    assert json.loads(finished.read("results/predictions/january.summary.json"))["environment"] == "golden"


def test_a_run_with_skops_publishes_and_predicts(fresh):
    fresh.config(deploy__artefact="skops")
    run = fresh.driver()
    assert run.code == 0, run.output
    assert "deployed/current/model.skops" in run.output
    folder = fresh.path("deployed/current").resolve()
    expected = sorted("model.skops" if name == "model.joblib" else name for name in FILES)
    assert sorted(path.name for path in folder.iterdir()) == expected
    assert not list(fresh.path("results/models").rglob("*.joblib"))
    assert json.loads(fresh.read("results/predictions/january.summary.json"))["rows_predicted"] > 0
