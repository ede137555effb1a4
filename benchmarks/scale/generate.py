"""Write loans, or applications, as many as asked for: python -m benchmarks.scale.generate OUT --rows 2000000.

All people in it are invented. The columns are those of config/examples/loan_data.yaml, and a small structural model of
our own ties them together: who is older has more credit history, who earns more borrows more and rents less, the grade
sets the interest rate, and a tenant with a loan large for the income is the main risk. Its steps and interactions are
such that a tree finds more in it than a logistic regression. It also has what real files have: missing values, rare
categories, and rows that can't be used.

Rows are made and written in blocks, so that memory doesn't grow with their number. Each block has a generator of its
own, seeded by its number: the first rows of two files of one seed are the same, however long the files are. Equal seed,
rows, NumPy, polars and kind of processor give equal bytes.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

BLOCK = 100_000  # part of what a seed means: another block, other rows
TARGET = "loan_status"
GRADES = ("A", "B", "C", "D", "E", "F", "G")
GRADE_EDGES = np.array([0.36, 0.70, 0.885, 0.975, 0.994, 0.9985])  # of the latent risk, as shares of all loans
RATE_OF_GRADE = np.array([7.4, 11.0, 13.5, 15.4, 16.9, 18.6, 20.3])
RISK_OF_GRADE = np.array([-0.5, -0.2, 0.0, 0.7, 0.9, 1.2, 1.8])
OWNERSHIP = ("RENT", "MORTGAGE", "OWN", "OTHER")
INTENTS = ("EDUCATION", "MEDICAL", "PERSONAL", "VENTURE", "DEBTCONSOLIDATION", "HOMEIMPROVEMENT", "WEDDING")
INTENT_EDGES = np.array([0.21, 0.395, 0.565, 0.735, 0.892, 0.9995])
RISK_OF_INTENT = np.array([-0.2, 0.45, 0.0, -0.5, 0.5, 0.4, 0.0])
# Shares of cells without a value, and what stands in their place: two of three nothing, else NA.
MISSING = {"person_emp_length": 0.03, "loan_int_rate": 0.05, "person_home_ownership": 0.005, "loan_intent": 0.01}
# Shares of cells that make a row unusable: numbers that are none, values out of bounds, an outcome that is none.
INVALID = {
    "person_age": ((0.0004, "144"), (0.0002, "young")),
    "person_income": ((0.0005, "not known"), (0.0003, "-1")),
    "loan_amnt": ((0.0003, "0"), (0.0002, "12.000 USD")),
    TARGET: ((0.0004, ""), (0.0001, "late")),
}


@dataclass(frozen=True)
class Kind:
    """What is to be made.

    Parameters
    ----------
    seed
        Another seed, other rows.
    first_id
        The id of the first row; ids are consecutive.
    outcomes
        Whether the outcome is known, as of loans, or not, as of applications.
    invalid
        Whether some rows can't be used. Without, the same rows have sound values there.
    """

    seed: int = 1
    first_id: int = 0
    outcomes: bool = True
    invalid: bool = True


def generate(out: Path, rows: int, kind: Kind) -> None:
    """Write `rows` rows as CSV with a header."""
    with out.open("wb") as file:
        for number, table in enumerate(blocks(rows, kind)):
            table.write_csv(file, include_header=number == 0)


def blocks(rows: int, kind: Kind) -> Iterator[pl.DataFrame]:
    """Yield the rows, block by block: integers, floats and texts, and texts wherever a number may be none."""
    for number, start in enumerate(range(0, max(rows, 1), BLOCK)):
        # The whole block is drawn also where fewer rows are wanted: columns are drawn one after another.
        random = np.random.Generator(np.random.Philox(np.random.SeedSequence(kind.seed, spawn_key=(number,))))
        table = _block(random, kind, kind.first_id + start)
        yield table.head(min(BLOCK, rows - start))


def _block(random: np.random.Generator, kind: Kind, first_id: int) -> pl.DataFrame:
    age = np.minimum(20 + random.exponential(7.8, BLOCK), 84.0).astype(np.int64)
    history = np.clip(random.uniform(0.1, 0.9, BLOCK) * (age - 18), 2, 30).astype(np.int64)
    wealth = random.standard_normal(BLOCK)
    income = _rounded(np.exp(10.9 + 0.45 * wealth + 0.007 * (age - 20)), 100)
    employed = np.minimum(random.exponential(4.5 * np.exp(0.25 * wealth)), age - 16).astype(np.int64)
    ownership = _ownership(random, wealth)
    intent = np.searchsorted(INTENT_EDGES, random.random(BLOCK))
    amount = _rounded(np.clip(np.exp(8.93 + 0.2 * wealth + 0.56 * random.standard_normal(BLOCK)), 500, 35_000), 25)
    grade = np.searchsorted(GRADE_EDGES, random.random(BLOCK))
    rate = np.maximum(RATE_OF_GRADE[grade] + 0.9 * random.standard_normal(BLOCK), 5.4).round(2)
    on_file = (grade >= 2) & (random.random(BLOCK) < 0.5)
    burden = amount / income
    risk = _risk(burden, ownership, intent, grade, employed)
    defaulted = random.random(BLOCK) < 1 / (1 + np.exp(-risk))
    table = pl.DataFrame(
        {
            "id": np.arange(first_id, first_id + BLOCK),
            "person_age": age,
            "person_income": income,
            "person_home_ownership": _texts(OWNERSHIP, ownership),
            "person_emp_length": employed,
            "loan_intent": _texts(INTENTS, intent),
            "loan_grade": _texts(GRADES, grade),
            "loan_amnt": amount,
            "loan_int_rate": rate,
            "loan_percent_income": burden.round(2),
            "cb_person_default_on_file": _texts(("N", "Y"), on_file.astype(np.int64)),
            "cb_person_cred_hist_length": history,
            TARGET: defaulted.astype(np.int64),
        }
    )
    table = _without_some(random, table)
    if kind.invalid:
        table = _with_invalid(random, table)
    return table if kind.outcomes else table.drop(TARGET)


def _risk(burden: Floats, ownership: Numbers, intent: Numbers, grade: Numbers, employed: Numbers) -> Floats:
    """Return the log-odds of a default."""
    tenant, mortgage, owner = (ownership == code for code in (0, 1, 2))
    low_grade, for_debts = grade >= 3, intent % 3 == 1
    risk = -3.0 + RISK_OF_GRADE[grade] + RISK_OF_INTENT[intent] + 1.0 * burden - 0.02 * employed - 2.0 * owner
    # A sum of what single columns say finds none of these: what is too much for a tenant depends on what it is for, and
    # so does what a low grade means for whoever has a mortgage.
    risk += 5.0 * (tenant & (burden > np.where(for_debts, 0.2, 0.31)))
    risk += 2.2 * (tenant & low_grade) + 3.2 * (mortgage & low_grade & for_debts) - 1.0 * (mortgage & ~for_debts)
    return np.asarray(risk)


def _ownership(random: np.random.Generator, wealth: Floats) -> Numbers:
    """Draw who rents: the fewer, the more they earn."""
    draw = random.random(BLOCK)
    rents = 1 / (1 + np.exp(0.9 * wealth - 0.05))
    share = (draw - rents) / (1 - rents)  # uniform among those who don't rent
    return np.where(draw < rents, 0, 1 + np.searchsorted(np.array([0.89, 0.997]), share))


def _rounded(values: Floats, step: int) -> Numbers:
    return (values / step).round().astype(np.int64) * step


def _texts(names: tuple[str, ...], codes: Numbers) -> pl.Series:
    return pl.Series(names).gather(codes)


def _without_some(random: np.random.Generator, table: pl.DataFrame) -> pl.DataFrame:
    """Take values away; an empty cell is written where there is none, or NA."""
    columns = []
    for name, share in MISSING.items():
        draw = pl.Series(random.random(BLOCK))
        missing = pl.when(draw < share / 3).then(pl.lit("NA"))
        columns.append(missing.when(draw >= share).then(pl.col(name).cast(pl.String)).alias(name))
    return table.with_columns(columns)


def _with_invalid(random: np.random.Generator, table: pl.DataFrame) -> pl.DataFrame:
    """Put in what makes rows unusable; drawn last, so that the other rows are the same without."""
    columns = []
    for name, kinds in INVALID.items():
        cells, edges = table[name].cast(pl.String), np.cumsum([share for share, _ in kinds])
        kind = np.searchsorted(edges, random.random(BLOCK), side="right")
        for number, (_, text) in enumerate(kinds):
            cells = cells.scatter(np.flatnonzero(kind == number), text)
        columns.append(cells)
    return table.with_columns(columns)


def main() -> None:
    """Write a file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale.generate", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first-id", type=int, default=0)
    parser.add_argument("--applications", action="store_true", help="without the outcome")
    parser.add_argument("--valid", action="store_true", help="without rows that can't be used")
    options = parser.parse_args()
    kind = Kind(options.seed, options.first_id, not options.applications, not options.valid)
    generate(options.out, options.rows, kind)


if __name__ == "__main__":
    main()
