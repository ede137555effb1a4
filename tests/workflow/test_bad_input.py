"""What users do wrong: one clear sentence, a non-zero exit, no traceback, and what is deployed stays."""

import csv
import gzip
import json
import re
import shutil

import pytest

LOANS = "data/sample/loans.csv"
FEBRUARY = "data/sample/applications/february.csv"


def rows(project, name=LOANS):
    return project.read(name).splitlines(keepends=True)


def column(project, name, value_of):
    """Rewrite a column of the raw file."""
    lines = list(csv.reader(rows(project)))
    at = lines[0].index(name)
    for number, line in enumerate(lines[1:]):
        if len(line) > at:
            line[at] = value_of(number, line[at])
    with project.path(LOANS).open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)


def truncated(project):
    packed = gzip.compress(project.read(LOANS).encode())
    project.path("data/sample/loans.csv.gz").write_bytes(packed[: len(packed) // 2])
    project.config(data__raw="data/sample/loans.csv.gz")


def twice(project):
    shutil.copy(project.path(LOANS), project.path("data/sample/loans.csv.bak"))
    shutil.copy(project.path(FEBRUARY), project.path("data/sample/applications/february.txt"))
    project.config(data__applications="data/sample/applications/*")


# name: what is done, what the sentence says
RAW = {
    "missing file": (lambda p: p.path(LOANS).unlink(), "data.raw: the file 'data/sample/loans.csv' does not exist"),
    "no file matches": (lambda p: p.config(data__raw="data/none*.csv"), r"data.raw: no file matches data/none\*.csv"),
    "unset variable": (lambda p: p.config(data__raw="$NO_SUCH/x.csv"), "environment variable NO_SUCH in .* is not set"),
    "empty file": (lambda p: p.write(LOANS, ""), "loans.csv is empty; expected a header line"),
    "header only": (lambda p: p.write(LOANS, rows(p)[0]), "loans.csv has a header and no rows"),
    "encoding": (
        lambda p: p.path(LOANS).write_bytes(p.read(LOANS).replace("MEDICAL", "MÉDICAL").encode("latin-1")),
        r"loans.csv, line \d+: not valid UTF-8; .*data.format.encoding: cp1252",
    ),
    "cut short": (truncated, "loans.csv.gz: the compressed data is damaged or cut short"),
    "duplicate ids": (
        lambda p: p.write(LOANS, "".join([*rows(p), rows(p)[5]])),
        "columns.id: 1 rows have an 'id' that another row has: data/sample/loans.csv line 6 and "
        "data/sample/loans.csv line 4002; .*split.duplicate_ids: reject",
    ),
    "missing target": (
        lambda p: p.write(LOANS, p.read(LOANS).replace("loan_status", "loan_state", 1)),
        r"the column 'loan_status' is missing \(did you mean 'loan_state'\?\)",
    ),
    "three values": (
        lambda p: (p.config(columns__target={"column": "loan_status", "positive": 1}), None),
        "columns.target: 'loan_status' must have two values, '1' and one other; the data has 3",
    ),
    "one value": (
        lambda p: column(p, "loan_status", lambda n, v: "0"),
        "columns.target: 'loan_status' must have two values, .*; the data has 1: '0'",
    ),
    "all missing": (
        lambda p: column(p, "person_emp_length", lambda n, v: ""),
        "the column 'person_emp_length' has no value in any raw file; take it out",
    ),
    "too many rejects": (
        lambda p: column(p, "person_income", lambda n, v: "?!" if n % 10 == 0 else v),
        r"loans.csv: 4\d\d of 4000 rows were set aside \(10\.\d%\), more than rejects.max_share: 5.0%; "
        r"reasons: person_income: not a number \(\d+\).*the first is line 2, column person_income",
    ),
    "ragged rows": (
        lambda p: p.write(LOANS, "".join(r.replace(",", ";", 1) if 0 < n < 400 else r for n, r in enumerate(rows(p)))),
        "loans.csv: .*reasons: 11 fields where the header has 12 .*the first is line 2",
    ),
    "no YAML": (lambda p: p.write("config/config.yaml", "data: [unclosed"), "config.yaml' is not valid YAML"),
    "empty config": (lambda p: p.write("config/config.yaml", "# nothing"), "config.yaml' has no keys"),
    "unknown key": (
        lambda p: p.config(columns__catgorical=["x"]),
        r"unknown key 'catgorical' in columns \(did you mean 'categorical'\?\)",
    ),
    "wrong type": (lambda p: p.config(split__test_share="a fifth"), "split.test_share: input should be a valid number"),
    "wrong expression": (
        lambda p: p.config(features__x="loan_amount / person_income"),
        r"features.x: no such column 'loan_amount' \(did you mean 'loan_amnt'\?\)",
    ),
    "leaking expression": (
        lambda p: p.config(features__x="loan_amnt / AVG(loan_amnt)"),
        "features.x: .* looks beyond its own row",
    ),
    "unknown estimator": (
        lambda p: p.config(models__dt__estimator="sklearn.tree.DecisionTreeClasifier"),
        r"models.dt.estimator: .* has no 'DecisionTreeClasifier' \(did you mean 'DecisionTreeClassifier'\?\)",
    ),
    "unknown parameter": (
        lambda p: p.config(models__dt__params={"max_dept": 3}),
        r"models.dt.params: DecisionTreeClassifier has no parameter 'max_dept' \(did you mean 'max_depth'\?\)",
    ),
    "wrong parameter": (
        lambda p: p.config(models__dt__params={"max_depth": "deep"}),
        "models.dt.params: .*max_depth",
    ),
    "gates": (
        lambda p: p.config(select__gates={"roc_auc": 0.99}),
        r"no candidate passes the gates \(dt: roc_auc 0.\d+ is below 0.99; lr: .*nothing was published",
    ),
    "deploy folder": (
        lambda p: (p.write("registry", "a file"), p.config(deploy__folder="registry")),
        "deploy.folder: 'registry' can't be written",
    ),
    "same name": (twice, "february.csv' and 'data/sample/applications/february.txt' would both be called 'february'"),
    "application without a column": (
        lambda p: p.write(FEBRUARY, p.read(FEBRUARY).replace("loan_amnt", "amount", 1)),
        "february.csv: the column 'loan_amnt' is missing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RAW)
def test_a_mistake_gives_one_sentence(finished, case):
    do, sentence = RAW[case]
    live = finished.read("deployed/live.json")
    do(finished)
    run = finished.driver()
    assert run.code != 0
    assert "Traceback" not in run.output, run.output
    assert re.search(sentence, run.output), run.output
    assert finished.read("deployed/live.json") == live, "what is deployed stays"
    litter = [p for p in finished.path("results").rglob("*.part")]
    assert litter == []


def test_the_model_is_not_loaded_where_its_checksum_differs_from_its_card(finished):
    version = json.loads(finished.read("deployed/live.json"))["version"]
    model = finished.path(f"deployed/versions/{version}/model.joblib")
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    finished.path("results/predictions/january.csv").unlink()
    run = finished.driver()
    assert run.code != 0
    assert "Traceback" not in run.output
    assert "was changed or damaged after training and is not loaded" in run.sentences[0]
    assert "delete results/selection.json and run again" in run.sentences[0]
    finished.path("results/selection.json").unlink()
    run = finished.driver()
    assert run.code == 0, run.output
    assert json.loads(finished.read("deployed/live.json"))["version"] == version
    assert finished.path("results/predictions/january.csv").exists()
    assert "damaged" not in [p.name for p in model.parent.iterdir()]


def test_one_bad_application_file_does_not_hold_up_the_others(finished):
    shutil.copy(finished.path(FEBRUARY), finished.path("data/sample/applications/april.csv"))
    finished.write("data/sample/applications/march.csv", "")
    run = finished.driver()
    assert run.code != 0
    assert "march.csv is empty" in run.output
    assert finished.path("results/predictions/april.csv").exists()
    assert not finished.path("results/predictions/march.csv").exists()


def test_files_of_one_name_in_two_folders_keep_apart(finished):
    for folder in ("a", "b"):
        finished.path(f"new/{folder}").mkdir(parents=True)
        shutil.copy(finished.path(FEBRUARY), finished.path(f"new/{folder}/jan uary.csv"))
    finished.config(data__applications="new/*/*.csv")
    run = finished.driver()
    assert run.code == 0, run.output
    assert finished.read("results/predictions/a/jan uary.csv") == finished.read("results/predictions/b/jan uary.csv")


def test_logs_never_show_rejected_values(finished):
    finished.write(FEBRUARY, finished.read(FEBRUARY).replace("ten thousand", "SECRET VALUE"))
    run = finished.driver()
    assert run.code == 0, run.output
    assert "SECRET VALUE" not in run.output
    for path in finished.path("results").rglob("*.*"):
        assert b"SECRET VALUE" not in path.read_bytes(), path
    finished.config(rejects__show_values=True)
    run = finished.driver()
    assert "SECRET VALUE" not in run.output
    assert "SECRET VALUE" in finished.read("results/predictions/february.rejects.csv")
