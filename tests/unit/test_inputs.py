"""Patterns to named files."""

import re
from pathlib import Path

import pytest
from builders import write

from scripts.shared.errors import UserError
from scripts.shared.inputs import ENDINGS, find_inputs, fixed_part


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def files(*paths):
    for path in paths:
        write(Path(path), "")


def find(*patterns, **options):
    return find_inputs(patterns, "data.raw", **options)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("apps/a/jan.csv", ["jan"]),
        ("apps/*/*.csv", ["a/jan", "b/jan"]),
        ("apps/a/*.csv", ["feb", "jan"]),
        ("apps/**/*.csv", ["a/jan", "b/jan", "top"]),
        ("**/jan.csv", ["apps/a/jan", "apps/b/jan"]),
        ("apps/?/jan.csv", ["a/jan", "b/jan"]),
        ("apps/[b-z]/*.csv", ["b/jan"]),
        ("./apps/*.csv", ["top"]),
        ("apps//*.csv", ["top"]),
        ("*/top.csv", ["apps/top"]),
        ("apps/none*.csv", []),
    ],
)
def test_a_name_is_the_path_below_the_fixed_part(pattern, names):
    files("apps/a/jan.csv", "apps/b/jan.csv", "apps/top.csv")
    if "feb" in names:
        files("apps/a/feb.csv")
    assert list(find(pattern)) == names


def test_absolute_patterns_give_the_same_names(tmp_path):
    files("apps/a/jan.csv", "apps/top.csv")
    assert find(f"{tmp_path}/apps/**/*.csv") == {
        "a/jan": f"{tmp_path}/apps/a/jan.csv",
        "top": f"{tmp_path}/apps/top.csv",
    }


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_ending_is_taken_off_in_any_case(ending):
    files(f"a/x.y{ending.upper()}")
    assert find("a/*") == {"x.y": f"a/x.y{ending.upper()}"}


@pytest.mark.parametrize(
    ("pattern", "fixed"), [("apps/2026-*/x/*.csv", "apps"), ("a/x.csv", "a"), ("*.csv", ""), ("/*.csv", "")]
)
def test_the_fixed_part_ends_before_the_first_wildcard(pattern, fixed):
    assert fixed_part(pattern) == fixed


@pytest.mark.parametrize(
    "patterns", [("a/*.csv*",), ("a/x.csv", "a/x.csv.gz"), ("a/x.csv", "b/x.csv"), ("*/x.csv", "b/*/x.csv")]
)
def test_two_files_of_one_name_are_refused(patterns):
    files("a/x.csv", "a/x.csv.gz", "b/x.csv", "b/a/x.csv")
    with pytest.raises(UserError, match=r"data\.raw: '.*' and '.*' would both be called '.*' in results"):
        find(*patterns)


def test_one_file_may_match_twice():
    files("a/x.csv")
    assert find("a/x.csv", "a/*.csv") == {"x": "a/x.csv"}


def test_names_come_sorted():
    files("b.csv", "a.csv", "c.csv")
    assert list(find("c.csv", "b.csv", "a.csv")) == ["a", "b", "c"]


def test_variables_and_home_are_expanded(tmp_path, monkeypatch):
    files("in/x.csv")
    monkeypatch.setenv("DATA", f"{tmp_path}/in")
    monkeypatch.setenv("HOME", str(tmp_path))
    expected = {"x": f"{tmp_path}/in/x.csv"}
    assert find("$DATA/*.csv") == find("${DATA}/x.csv") == find("~/in/x.csv") == expected


@pytest.mark.parametrize("pattern", ["$NO_SUCH_PLACE/x.csv", "${NO_SUCH_PLACE}/*.csv"])
def test_an_unset_variable_is_named(pattern, monkeypatch):
    monkeypatch.delenv("NO_SUCH_PLACE", raising=False)
    message = f"data.raw: the environment variable NO_SUCH_PLACE in '{pattern}' is not set"
    with pytest.raises(UserError, match=re.escape(message)):
        find(pattern)


@pytest.mark.parametrize("pattern", ["a/y.csv", "a", "a/broken.csv"])
def test_a_missing_file_is_named(pattern):
    files("a/x.csv")
    Path("a/broken.csv").symlink_to("gone.csv")
    with pytest.raises(UserError, match=f"data.raw: the file '{pattern}' does not exist"):
        find(pattern)


@pytest.mark.parametrize("pattern", ["a/x.xlsx", "a/*", "a/csv"])
def test_an_unknown_ending_is_refused(pattern):
    files("a/x.xlsx", "a/csv", "a/y.csv")
    with pytest.raises(UserError, match=r"data\.raw: 'a/.*' is neither CSV nor Parquet by its ending; known: \.csv, "):
        find(pattern)


@pytest.mark.parametrize(
    "name", ["with space", "Grüße 日本", "a[1]", "q?", "st*r", "it's", 'say "x"', "-dash", "x.csv"]
)
def test_unusual_file_names_work(name):
    files(f"in/{name}.csv")
    assert find(f"in/{name}.csv") == find("in/*.csv") == {name: f"in/{name}.csv"}


def test_folders_with_brackets_work(tmp_path):
    files("in[1]/x.csv")
    assert list(find("in[1]/x.csv").values()) == ["in[1]/x.csv"]
    assert find("in[[]1]/*.csv") == {"in[1]/x": "in[1]/x.csv"}


@pytest.mark.parametrize("name", ["a{b}.csv", "a\nb.csv", ".csv", "x.summary.csv"])
def test_names_that_rules_cannot_carry_are_refused(name):
    files(f"in/{name}")
    with pytest.raises(UserError, match=r"data\.raw: the file name 'in/[^']*' can't be used here; rename the file"):
        find(f"in/{name}", reserved=(".rejects", ".summary"))


def test_a_name_never_climbs_out_of_results():
    files("in/a/x.csv", "y.csv")
    with pytest.raises(UserError, match=r"data\.raw: the file name 'in/a/\.\./\.\./y\.csv' can't be used here"):
        find("in/*/../../y.csv")


def test_folders_are_not_files():
    files("in/x.csv/inner.csv", "in/y.csv")
    assert find("in/*.csv") == {"y": "in/y.csv"}
