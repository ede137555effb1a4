"""From a winner to the live model: what the config asks of it, in whole runs."""

import json

EVALUATED = ["evaluate", "evaluate", "compare", "select"]


def live(project, folder="deployed"):
    return json.loads(project.read(f"{folder}/live.json"))["version"]


def test_a_winner_that_gains_too_little_is_not_published_and_predictions_go_on(finished):
    champion = live(finished)
    finished.config(threshold__value=0.4, select__champion={"min_gain": 0})
    run = finished.driver()
    assert run.code == 0, run.output
    assert sorted(run.finished) == sorted([*EVALUATED, "predict", "predict"])
    assert live(finished) == champion
    receipt = json.loads(finished.read("results/selection.json"))
    assert (receipt["decision"], receipt["champion"], receipt["live"]) == ("keep", champion, champion)
    assert receipt["version"] != champion
    assert f"it is not published: {receipt['why']}" in run.output
    differences = json.loads(finished.read("results/metrics/differences.json"))
    assert differences["champion"]["comparable"] is True
    gain = next(each for each in differences["differences"] if each["against"] == "champion")
    assert (gain["value"], gain["low"], gain["high"]) == (0, 0, 0), "the same model, with another threshold"
    assert finished.read("results/predictions/january.csv").splitlines()[1].split(",")[3] == champion
    finished.config(deploy={"keep": 5, "mode": "664"})
    assert finished.snakemake("-n").planned == {}, "who owns the registry, and how much stays, changes no result"


def test_with_approval_a_run_ends_staged_and_the_next_one_after_the_yes_predicts(finished):
    finished.config(deploy={"folder": "elsewhere", "approval": True})
    finished.path("results/predictions/january.csv").unlink()
    run = finished.driver()
    assert run.code == 0, run.output
    assert run.finished == ["select"]
    version = json.loads(finished.read("results/selection.json"))["version"]
    how = f'to make it live: make promote VERSION={version} REASON="…"'
    assert f"version {version} is staged, no model is live yet, so nothing is predicted; {how}" in run.output
    asked = finished.snakemake("results/predictions/january.csv")
    assert asked.code != 0
    sentence = (
        f"error: elsewhere/live.json: no model is live yet, and version {version} is staged; {how}, then run again"
    )
    assert asked.sentences == [sentence]
    promoted = finished.command("scripts.tools.promote", version, "--reason", "minutes 7")
    assert promoted.output == f"version {version} is live now; the next run predicts with it\n"
    run = finished.driver()
    assert run.code == 0, run.output
    assert run.finished == ["predict", "predict"]
    assert finished.read("results/predictions/january.csv").splitlines()[1].split(",")[3] == version
