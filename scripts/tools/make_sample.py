"""Make the shipped sample: loans with known outcomes, and two files of new applications, one with bad rows in it.

The same bytes each time: Python's own generator with a fixed seed, whose `random()` never changes between versions.
All people in it are invented. It has what real files have: missing values, several spellings of a category, thousands
separators, impossible ages, a row too short, an outcome that is no outcome.
"""

import argparse
import csv
import io
import math
import random
from pathlib import Path

from scripts.shared.files import write_text

SEED = 20261124
COLUMNS = (
    "id",
    "person_age",
    "person_income",
    "person_home_ownership",
    "person_emp_length",
    "loan_intent",
    "loan_grade",
    "loan_amnt",
    "loan_int_rate",
    "cb_person_default_on_file",
    "cb_person_cred_hist_length",
)
TARGET = "loan_status"
OWNERSHIP = (("RENT", 0.50), ("MORTGAGE", 0.41), ("OWN", 0.08), ("OTHER", 0.01))
INTENTS = (
    ("EDUCATION", 0.20),
    ("MEDICAL", 0.19),
    ("VENTURE", 0.18),
    ("PERSONAL", 0.17),
    ("DEBT CONSOLIDATION", 0.16),
    ("HOME IMPROVEMENT", 0.10),
)
GRADES = (("A", 0.34), ("B", 0.33), ("C", 0.18), ("D", 0.10), ("E", 0.03), ("F", 0.015), ("G", 0.005))
RATE_OF_GRADE = {"A": 7.3, "B": 10.9, "C": 13.4, "D": 15.3, "E": 16.9, "F": 18.5, "G": 20.2}
RISK_OF_GRADE = {"A": -0.9, "B": -0.5, "C": -0.2, "D": 1.7, "E": 1.9, "F": 2.2, "G": 3.0}

Row = dict[str, str]


def make_sample(folder: Path, loans: int = 4000, applications: int = 300) -> None:
    """Write loans.csv, applications/january.csv and applications/february.csv into `folder`."""
    generator = random.Random(SEED)  # noqa: S311 - a sample, no secret
    rows = [_loan(generator, number) for number in range(1, loans + 1)]
    outcomes = [_outcome(generator, row) for row in rows]
    raw = [_dirty(generator, row) | {TARGET: outcome} for row, outcome in zip(rows, outcomes, strict=True)]
    raw[1200]["person_income"] = "not known"
    raw[1700]["person_age"] = "144"
    raw[2100]["person_age"] = "123"
    raw[2600][TARGET] = ""
    raw[3100][TARGET] = "late"
    lines = _csv(raw, (*COLUMNS, TARGET)).splitlines(keepends=True)
    lines[901] = ",".join(lines[901].rstrip("\n").split(",")[:6]) + "\n"  # a row too short
    write_text(folder / "loans.csv", "".join(lines))

    january = [_loan(generator, 100_000 + number) for number in range(applications)]
    write_text(folder / "applications" / "january.csv", _csv(january, COLUMNS))

    february = [_dirty(generator, _loan(generator, 200_000 + number)) for number in range(applications)]
    for row in february:
        row["branch"] = generator.choice(("north", "south"))  # a column that no model knows
    february[40]["loan_amnt"] = "ten thousand"
    february[80]["person_age"] = "144"
    february[120]["id"] = ""
    february[160]["loan_intent"] = "WEDDING"  # never seen in training
    february[200]["person_income"] = ""
    lines = _csv(february, (*COLUMNS, "branch")).splitlines(keepends=True)
    lines[241] = lines[241].rstrip("\n") + ",surplus\n"
    write_text(folder / "applications" / "february.csv", "".join(lines))


def _loan(generator: random.Random, number: int) -> Row:
    age = min(20 + int(-math.log(1 - generator.random()) * 8), 84)
    income = round(math.exp(10.95 + 0.52 * _normal(generator)) / 100) * 100
    grade = _pick(generator, GRADES)
    rate = max(5.4, RATE_OF_GRADE[grade] + 1.0 * _normal(generator))
    amount = min(35_000, max(500, round(math.exp(8.95 + 0.6 * _normal(generator)) / 25) * 25))
    on_file = grade > "B" and generator.random() < 0.5
    return {
        "id": str(number),
        "person_age": str(age),
        "person_income": str(income),
        "person_home_ownership": _pick(generator, OWNERSHIP),
        "person_emp_length": str(int(generator.random() * min(age - 17, 16))),
        "loan_intent": _pick(generator, INTENTS),
        "loan_grade": grade,
        "loan_amnt": str(amount),
        "loan_int_rate": f"{rate:.2f}",
        "cb_person_default_on_file": "Y" if on_file else "N",
        "cb_person_cred_hist_length": str(max(2, int((age - 18) * generator.random()))),
    }


def _outcome(generator: random.Random, row: Row) -> str:
    """Draw whether the loan defaults: a tenant with a loan large for the income is the main risk, as in real data."""
    burden = int(row["loan_amnt"]) / int(row["person_income"])
    rent = row["person_home_ownership"] == "RENT"
    score = -3.6 + RISK_OF_GRADE[row["loan_grade"]] + 5.0 * burden + 1.0 * rent
    score += 3.5 if rent and burden > 0.3 else 0.0
    score -= 3.0 if row["person_home_ownership"] == "OWN" else 0.0
    score += 0.6 if row["loan_intent"] in ("MEDICAL", "DEBT CONSOLIDATION") else 0.0
    return str(int(generator.random() < 1 / (1 + math.exp(-score))))


def _dirty(generator: random.Random, row: Row) -> Row:
    """Return the row as somebody might have typed it."""
    dirty = dict(row)
    for name, share in (("person_emp_length", 0.03), ("loan_int_rate", 0.06), ("loan_intent", 0.01)):
        if generator.random() < share:
            dirty[name] = generator.choice(("", "NA", "?"))
    if generator.random() < 0.05:
        dirty["person_home_ownership"] = generator.choice(
            (f" {row['person_home_ownership']}", row["person_home_ownership"].title())
        )
    if generator.random() < 0.05:
        dirty["loan_intent"] = dirty["loan_intent"].lower().replace(" ", "  ")
    if generator.random() < 0.05:
        dirty["person_income"] = f"{int(row['person_income']):,}"
    if generator.random() < 0.002:
        dirty["person_emp_length"] = "123"
    return dirty


def _normal(generator: random.Random) -> float:
    """Return a standard normal number (Box and Muller 1958)."""
    return math.sqrt(-2 * math.log(1 - generator.random())) * math.cos(2 * math.pi * generator.random())


def _pick(generator: random.Random, shares: tuple[tuple[str, float], ...]) -> str:
    left = generator.random()
    for value, share in shares:
        left -= share
        if left < 0:
            return value
    return shares[0][0]


def _csv(rows: list[Row], columns: tuple[str, ...]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    make_sample(parser.parse_args().folder)
