"""The candidates of a search: the same everywhere, in a sequence that grows at its end, in rounds that are known."""

import pytest
from builders import config

from scripts.shared.config import Dimension, Model
from scripts.shared.errors import UserError
from scripts.shared.plan import make_plan
from scripts.shared.search import (
    UNTUNED,
    candidates,
    drawn_value,
    find_rounds,
    ranked,
    rounds,
    uniform,
    with_parameters,
)

SPACE = {
    "C": {"low": 0.001, "high": 100, "log": True},
    "penalty": ["l1", "l2"],
    "numeric.knots": {"low": 3, "high": 12, "integer": True},
}

PINNED = [
    ("untuned", {"numeric.knots": 6}),
    ("f8bddb9cdf", {"C": 35.04, "penalty": "l1", "numeric.knots": 6}),
    ("ccd330786e", {"C": 1.527, "penalty": "l2", "numeric.knots": 6}),
    ("bd2f2554b7", {"C": 0.4218, "penalty": "l1", "numeric.knots": 8}),
]


def row(params=None, **tune):
    tune = {"space": SPACE} | tune
    return Model(estimator="a.B", complexity=1, params=params or {}, tune=tune)


def ids(model, seed=7):
    return [candidate.id for candidate in candidates(model, seed)]


def test_the_sequence_never_changes():
    """Values that must stay: another sequence would score everything anew."""
    found = candidates(row(n=3), seed=2026)
    assert [(c.id, c.parameters) for c in found] == PINNED


def test_a_longer_search_begins_with_the_shorter_one():
    assert ids(row(n=40))[:11] == ids(row(n=10))
    assert len(set(ids(row(n=40)))) == 41


def test_another_seed_draws_others():
    assert not set(ids(row(n=20), seed=1)[1:]) & set(ids(row(n=20), seed=2)[1:])


def test_an_id_follows_from_the_parameters_alone():
    by_id = {c.id: c.parameters for c in candidates(row(n=30), seed=7)}
    other = {k: v for k, v in SPACE.items() if k != "C"} | {"C": {"low": 0.001, "high": 100, "log": True}}
    again = {c.id: c.parameters for c in candidates(row(n=50, space=other, search="halving"), seed=7)}
    assert all(again[name] == parameters for name, parameters in by_id.items())


def test_the_row_itself_comes_first_and_is_not_tried_twice():
    found = candidates(row({"C": 1.0, "max_iter": 9}, search="grid", space={"C": [0.1, 1.0, 10.0]}), seed=1)
    assert [c.parameters["C"] for c in found] == [1.0, 0.1, 10.0]
    assert found[0].id == UNTUNED
    assert candidates(row(search="grid", space={"C": [1.0]}), seed=1)[0].parameters == {}


def test_a_grid_has_all_combinations_in_the_order_of_the_space():
    grid = row(search="grid", space={"a": [1, 2], "b": ["x", None]})
    assert [c.parameters for c in candidates(grid, seed=1)][1:] == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": None},
        {"a": 2, "b": "x"},
        {"a": 2, "b": None},
    ]


def test_a_value_more_in_a_grid_leaves_the_ids_of_the_others():
    small, large = (row(search="grid", space={"a": values, "b": [1, 2]}) for values in ([1, 3], [1, 2, 3]))
    assert set(ids(small)) < set(ids(large))


def test_a_space_can_be_used_up_to_its_last_candidate():
    assert len(set(ids(row(n=30, space={"a": list(range(6)), "b": list(range(5))})))) == 31


def test_a_space_that_repeats_itself_is_told():
    narrow = row(n=20, space={"a": {"low": 1.0, "high": 1.001}})  # two values of four digits
    with pytest.raises(UserError, match=r"^models\.m\.tune\.n: the space gave 2 different candidates, fewer than 20; "):
        find_rounds("m", narrow, seed=1)


@pytest.mark.parametrize("u", [0.0, 0.5, 1 - 2**-53])
@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize("integer", [True, False])
def test_drawn_values_stay_within_their_range(u, log, integer):
    value = drawn_value(Dimension(low=3, high=700, log=log, integer=integer), u)
    assert 3 <= value <= 700
    assert isinstance(value, int if integer else float)
    assert value == (3 if u == 0 else value)
    if integer and u > 0.9:
        assert value == 700


def test_whole_numbers_are_equally_likely():
    dimension = Dimension(low=1, high=4, integer=True)
    values = [drawn_value(dimension, uniform(str(n))) for n in range(4000)]
    assert all(900 < values.count(value) < 1100 for value in range(1, 5))


def test_a_logarithmic_range_has_its_powers_of_ten_equally_often():
    dimension = Dimension(low=0.001, high=100, log=True)
    below = [drawn_value(dimension, uniform(str(n))) < 0.1 for n in range(2000)]
    assert 0.36 < sum(below) / 2000 < 0.44


# --- rounds and jobs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "eta", "counts"),
    [(27, 3, [27, 9, 3]), (28, 3, [28, 10, 4, 2]), (20, 3, [20, 7, 3]), (8, 2, [8, 4, 2]), (2, 2, [2]), (1, 3, [1])],
)
def test_halving_goes_on_until_few_are_left_and_ends_on_all_rows(n, eta, counts):
    found = find_rounds("m", row(search="halving", n=n, eta=eta), seed=1)
    assert [len(r.names) - 1 for r in found] == counts
    assert [r.share for r in found] == [pytest.approx(eta ** (i - len(counts) + 1)) for i in range(len(counts))]
    assert all(r.names[0] == UNTUNED for r in found)
    assert [r.number for r in found] == list(range(1, len(counts) + 1))


@pytest.mark.parametrize("search", ["random", "grid"])
def test_other_searches_have_one_round_on_all_rows(search):
    model = row(search=search, n=2, space={"a": [1, 2]})
    (only,) = rounds(model, candidates(model, seed=1))
    assert (only.share, len(only.names)) == (1.0, 3)


def test_more_candidates_leave_the_full_jobs_as_they_were():
    few, many = (find_rounds("m", row(n=n), seed=1)[0].batches(4) for n in (9, 14))
    assert [len(batch) for batch in many] == [4, 4, 4, 3]
    assert many[:2] == few[:2]
    assert many[2][:2] == few[2]


def test_a_plan_has_the_searches_of_the_models_that_are_tuned(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw.csv").write_text("id,x,y,t,z\n")
    plain = {"estimator": "a.B", "complexity": 1}
    settings = config(models={"one": plain, "two": plain | {"tune": {"n": 5, "space": SPACE}}})
    plan = make_plan(settings.model_dump(mode="json"))
    assert {name: len(found[0].names) for name, found in plan.searches.items()} == {"two": 6}


# --- ranking and applying -----------------------------------------------------------------------------------------


def trial(name, *scores, share=1.0, metric="roc_auc"):
    return {"candidate": name, "share": share, "folds": [{metric: score} for score in scores]}


def best(trials, order, metric="roc_auc"):
    return [t["candidate"] for t in ranked(trials, order, metric)]


def test_the_best_mean_comes_first():
    assert best([trial("a", 0.7, 0.8), trial("b", 0.9, 0.7)], ["a", "b"]) == ["b", "a"]


def test_of_equal_means_the_earlier_candidate_wins():
    trials = [trial("c", 0.8, 0.7), trial("b", 0.7, 0.8), trial(UNTUNED, 0.75, 0.75)]
    assert best(trials, [UNTUNED, "b", "c"]) == [UNTUNED, "b", "c"]
    assert best(trials[::-1], ["c", "b", UNTUNED]) == ["c", "b", UNTUNED]


def test_of_losses_the_lowest_comes_first():
    trials = [trial("a", 0.3, metric="brier"), trial("b", 0.1, metric="brier")]
    assert best(trials, ["a", "b"], "brier") == ["b", "a"]


def test_who_came_further_stands_before_who_scored_well_on_few_rows():
    assert best([trial("a", 0.9, share=0.5), trial("b", 0.6)], ["a", "b"]) == ["b", "a"]


def test_parameters_go_to_the_estimator_and_to_the_options_of_the_row():
    model = row({"C": 1.0, "max_iter": 9})
    tuned = with_parameters(model, {"C": 5, "penalty": "l1", "numeric.knots": 4, "categorical.min_frequency": 9})
    assert tuned.params == {"C": 5, "max_iter": 9, "penalty": "l1"}
    assert (tuned.numeric.knots, tuned.categorical.min_frequency, tuned.tune) == (4, 9, None)
    assert model.params == {"C": 1.0, "max_iter": 9}
