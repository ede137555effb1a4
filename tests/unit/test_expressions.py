"""SQL over one row: what is refused, and what missing values do."""

import pyarrow as pa
import pytest

from scripts.shared.errors import UserError
from scripts.shared.expressions import Expression

NUMERIC = ["n", "m", "income", "loan amnt"]
TEXT = ["t", "home ownership"]


def expression(text):
    return Expression(text, "features.f", NUMERIC, TEXT)


def values(text, **columns):
    arrays = {name: pa.array(v) for name, v in columns.items()}
    return expression(text).numbers(arrays).to_pylist()


@pytest.mark.parametrize(
    "text",
    [
        "AVG(n)",
        "n - AVG(n)",
        "n > AVG(n) * 0.1",  # true in every row of small examples
        "n - m > AVG(n - m)",
        "COALESCE(n, MAX(n))",
        "n / SUM(n)",
        "COUNT(n)",
        "n + COUNT(n)",
        "CASE WHEN n > MEDIAN(m) THEN 1 ELSE 0 END",
        "SUM(n) OVER (PARTITION BY t)",
        "SUM(n) OVER ()",
        "AVG(n) OVER (PARTITION BY m)",
        "LAG(n) OVER (ORDER BY n)",
        "LEAD(n) OVER (ORDER BY m)",
        "RANK() OVER (ORDER BY n)",
        "ROW_NUMBER() OVER (ORDER BY n)",
        "FIRST(n)",
        "STDDEV(n)",
        "MIN(t) = t",
    ],
)
def test_what_looks_beyond_its_row_is_refused(text):
    with pytest.raises(UserError, match=r"features\.f: '.*' looks beyond its own row; use only values of the same"):
        expression(text)


@pytest.mark.parametrize(
    "text", ["", "n +", "n, m", "*", "n; m", "SELECT n FROM self", "loan amnt / n", "EVAL(n)", "LAG(n) OVER ()"]
)
def test_what_is_no_expression_is_refused(text):
    with pytest.raises(UserError, match=r"features\.f: '.*' is not an expression"):
        expression(text)


@pytest.mark.parametrize("text", ["n IN (SELECT n FROM t)", "(SELECT 1) + n", "read_csv('/etc/passwd')"])
def test_nothing_but_the_row_can_be_reached(text):
    with pytest.raises(UserError, match=r"features\.f: "):
        expression(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("incom / n", "no such column 'incom' (did you mean 'income'?)"),
        ("n + zzzzz", "no such column 'zzzzz'"),
        ("T = 'A'", "no such column 'T' (did you mean 't'?)"),
    ],
)
def test_an_unknown_column_is_named_with_the_nearest(text, hint):
    with pytest.raises(UserError, match=r"features\.f: no such column") as caught:
        expression(text)
    assert str(caught.value) == f"features.f: {hint}"


@pytest.mark.parametrize("text", ["1 + 1", "COUNT(*)", "'t'"])
def test_a_constant_is_refused(text):
    with pytest.raises(UserError, match=r"uses no column; the columns are n, m, income, loan amnt, t, home ownership"):
        expression(text)


@pytest.mark.parametrize("text", ["t * 2", "CAST(t AS DOUBLE)", "t > n"])
def test_types_that_do_not_fit_are_refused_at_once(text):
    with pytest.raises(UserError, match=r"features\.f: '.*' can't be computed"):
        expression(text)


def test_a_feature_must_be_a_number():
    with pytest.raises(UserError, match=r"features\.f: 't' gives String, not a number"):
        values("t", t=["A"])


def test_a_check_must_be_a_condition():
    with pytest.raises(UserError, match=r"features\.f: 'n \+ 1' is not a condition"):
        expression("n + 1").is_false({"n": pa.array([1.0])})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n / m", [2.0, None, None, None, None]),
        ("n - m", [2.0, 1.0, 0.0, None, None]),
        ("n > m", [1.0, 1.0, 0.0, None, None]),
        ("n / m + 0 * n", [2.0, None, None, None, None]),
        ("LN(n)", [pytest.approx(1.3862943611198906), 0.0, None, None, 0.0]),
        ("SQRT(m - n)", [None, None, 0.0, None, None]),
        ("COALESCE(n, -1)", [4.0, 1.0, 0.0, -1.0, 1.0]),
        ("n IS NULL", [0.0, 0.0, 0.0, 1.0, 0.0]),
        ("CASE WHEN n > m THEN 1 ELSE 0 END", [1.0, 1.0, 0.0, 0.0, 0.0]),
        ("1 / 2 * n", [2.0, 0.5, 0.0, None, 0.5]),
        ("POW(n, 2)", [16.0, 1.0, 0.0, None, 1.0]),
        ("ABS(0 - n)", [4.0, 1.0, 0.0, None, 1.0]),
        ("GREATEST(n, m)", [4.0, 1.0, 0.0, 2.0, 1.0]),
        ("n BETWEEN 1 AND 4", [1.0, 1.0, 0.0, None, 1.0]),
    ],
)
def test_division_by_zero_and_missing_values_give_missing(text, expected):
    assert values(text, n=[4.0, 1.0, 0.0, None, 1.0], m=[2.0, 0.0, 0.0, 2.0, None]) == expected


@pytest.mark.parametrize("whole", [True, False])
def test_categories_can_be_compared_also_as_dictionaries(whole):
    texts = pa.array(["RENT", "OWN", None])
    columns = {"t": texts if whole else texts.dictionary_encode(), "n": pa.array([1.0, 2.0, 3.0])}
    assert expression("CASE WHEN t = 'RENT' THEN n ELSE 0 END").numbers(columns).to_pylist() == [1.0, 0.0, 0.0]
    assert expression("t IN ('OWN', 'RENT')").numbers(columns).to_pylist() == [1.0, 1.0, None]


def test_names_with_spaces_stand_in_double_quotes():
    columns = {"loan amnt": pa.array([6.0]), "home ownership": pa.array(["RENT"])}
    result = expression("""CASE WHEN "home ownership" = 'RENT' THEN "loan amnt" / 2 END""").numbers(columns)
    assert result.to_pylist() == [3.0]


def test_a_condition_that_cannot_be_judged_is_not_false():
    judged = expression("n <= m").is_false({"n": pa.array([1.0, 3.0, None, 1.0]), "m": pa.array([2.0, 2.0, 2.0, None])})
    assert judged.tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n > 1 AND m > 1", [True, True, False]),  # missing AND false is false
        ("n > 1 OR m > 1", [True, False, False]),
        ("NOT n > 1", [False, False, False]),
    ],
)
def test_conditions_follow_three_valued_logic(text, expected):
    columns = {"n": pa.array([0.0, None, None]), "m": pa.array([0.0, 0.0, 2.0])}
    assert expression(text).is_false({k: v for k, v in columns.items() if k in text}).tolist() == expected


@pytest.mark.parametrize(
    "text",
    [
        *(f"{function}(n)" for function in ("LN", "LOG10", "EXP", "SQRT", "CBRT", "SIN", "ROUND", "FLOOR", "SIGN")),
        "POW(ABS(n), 0.3)",
        "n % m",
        "n / (m - income) * 100",
        "LEAST(n, m, income)",
        "CASE t WHEN 'A' THEN n WHEN 'B' THEN m END",
        "CASE WHEN UPPER(t) LIKE 'A%' THEN 1 ELSE 0 END",
        "LENGTH(t) + n",
        "NULLIF(n, 0)",
        "COALESCE(t, 'none') = 'none'",
        "n NOT IN (1, 2) AND t IS NOT NULL",
    ],
)
def test_what_stays_in_its_row_is_accepted(text):
    columns = {"n": [4.0, None], "m": [2.0, 0.0], "income": [1.0, 1.0], "t": ["A", None]}
    assert len(expression(text).numbers({name: pa.array(column) for name, column in columns.items()})) == 2


def test_no_rows_give_no_values():
    assert values("n / m", n=pa.array([], pa.float64()), m=pa.array([], pa.float64())) == []


def test_values_do_not_depend_on_the_rows_beside_them():
    text, n = "CASE WHEN n > 2 THEN LN(n) ELSE n * 2 END", [1.0, None, 3.0, 4.0, -1.0]
    assert values(text, n=n) == [values(text, n=pa.array([v], pa.float64()))[0] for v in n]
