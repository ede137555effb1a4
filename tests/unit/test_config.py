"""The config: what is refused, and how it is said."""

import copy
import json
import re
from typing import Any

import pytest
import yaml
from builders import config, config_dict

from scripts.shared.config import Contract, load_config, read_config
from scripts.shared.errors import UserError


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """Return the smallest config with values set at dotted places."""
    raw = copy.deepcopy(config_dict())
    for place, value in changes.items():
        at = raw
        *parents, key = place.split(".")
        for parent in parents:
            at = at.setdefault(parent, {})
        at[key] = value
    return raw


def message_of(changes: dict[str, Any]) -> str:
    with pytest.raises(UserError, match=r"^the config: ") as caught:
        load_config(changed(changes))
    return str(caught.value)


MODEL = {"estimator": "a.B", "complexity": 1}


def tuned(**tune):
    """Return models of which one is tuned."""
    return {"m": MODEL | {"tune": {"space": {"C": {"low": 1, "high": 2}}} | tune}}


def leaving_out(*names):
    """Return models of which one doesn't see some features."""
    return {"m": MODEL | {"leave_out": list(names)}}


@pytest.mark.parametrize(
    ("place", "where", "nearest"),
    [
        ("splitt", "the top level", "split"),
        ("data.rawe", "data", "raw"),
        ("data.format.delimeter", "data.format", "delimiter"),
        ("columns.numerics", "columns", "numeric"),
        ("columns.target.positiv", "columns.target", "positive"),
        ("cleaning.bound", "cleaning", "bounds"),
        ("cleaning.bounds.x.mim", "cleaning.bounds.x", "min"),
        ("cleaning.checks.c.requires", "cleaning.checks.c", "require"),
        ("rejects.maxshare", "rejects", "max_share"),
        ("split.methods", "split", "method"),
        ("models.lr.estimatr", "models.lr", "estimator"),
        ("models.lr.numeric.knot", "models.lr.numeric", "knots"),
        ("models.lr.tune.serch", "models.lr.tune", "search"),
        ("models.lr.tune.space.C.lo", "models.lr.tune.space.C", "low"),
        ("models.lr.categorical.encodin", "models.lr.categorical", "encoding"),
        ("threshold.values", "threshold", "value"),
        ("threshold.cost.missed_defaults", "threshold.cost", "missed_default"),
        ("select.metric", "select", "metrics"),
        ("predict.missing_column", "predict", "missing_columns"),
        ("deploy.foldr", "deploy", "folder"),
        ("resources.thread", "resources", "threads"),
    ],
)
def test_every_section_refuses_unknown_keys_and_names_the_nearest(place, where, nearest):
    message = message_of({place: 1})
    key = place.rpartition(".")[2]
    assert f"unknown key '{key}' in {where} (did you mean '{nearest}'?); allowed: " in message


@pytest.mark.parametrize("place", ["data", "columns", "data.raw", "columns.target", "columns.target.positive"])
def test_what_has_no_default_must_be_there(place):
    raw = config_dict()
    at = raw
    *parents, key = place.split(".")
    for parent in parents:
        at = at[parent]
    del at[key]
    with pytest.raises(UserError, match=rf"the config: {re.escape(place)} is missing; it has no default"):
        load_config(raw)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns.target.positive": True}, "columns.target.positive: YAML read this as the boolean True; put the"),
        ({"columns.target.negative": False}, "columns.target.negative: YAML read this as the boolean False; put"),
        ({"data.format.missing_values": ["x", False]}, "data.format.missing_values.1: YAML read this as the boolean"),
        ({"cleaning.aliases": {"t": {"a": True}}}, "cleaning.aliases.t.a: YAML read this as the boolean True"),
        ({"split.key": True}, "split.key: YAML read this as the boolean True"),
        ({"data.raw": []}, "data.raw: value should have at least 1 item"),
        ({"data.raw": 5}, "data.raw: input should be a valid list, not 5"),
        ({"columns.numeric": "x"}, "columns.numeric: input should be a valid list, not 'x'"),
        ({"rejects.max_share": 2}, "rejects.max_share: input should be less than or equal to 1, not 2"),
        ({"rejects.max_share": -0.1}, "rejects.max_share: input should be greater than or equal to 0"),
        ({"rejects.show_values": "maybe"}, "rejects.show_values: input should be a valid boolean"),
        ({"split.test_share": 0}, "split.test_share: input should be greater than 0, not 0"),
        ({"split.test_share": 1}, "split.test_share: input should be less than 1, not 1"),
        ({"split.test_share": float("nan")}, "split.test_share: input should be a finite number, not nan"),
        ({"split.method": "random"}, "split.method: input should be 'hash', 'group' or 'time', not 'random'"),
        ({"split.test_from": "31.1.2026"}, "split.test_from: '31.1.2026' is no date"),
        ({"data.format.delimiter": ";;"}, "data.format.delimiter: string should have at most 1 character, not ';;'"),
        ({"data.format.encoding": "utf-99"}, "data.format: Python knows no encoding 'utf-99'"),
        ({"data.format.decimal": "x"}, "data.format.decimal: input should be '.' or ','"),
        ({"cv_folds": 1}, "cv_folds: input should be greater than or equal to 2, not 1"),
        ({"cv_folds": "many"}, "cv_folds: input should be a valid integer"),
        ({"seed": -1}, "seed: input should be greater than or equal to 0, not -1"),
        ({"seed": 2**32}, "seed: input should be less than 4294967296"),
        ({"models": {}}, "models: dictionary should have at least 1 item"),
        ({"models": {"Big": MODEL}}, "models: 'Big': a model's name has lower-case letters, digits and _, a letter"),
        ({"models": {"a-b": MODEL}}, "models: 'a-b': a model's name has lower-case letters"),
        ({"models": {"m": MODEL | {"estimator": "os; x"}}}, "models.m.estimator: string should match pattern"),
        ({"models": {"m": {"estimator": "a.B"}}}, "models.m.complexity is missing; it has no default"),
        ({"models": {"m": MODEL | {"numeric": {"knots": 2}}}}, "models.m.numeric.knots: input should be greater than"),
        ({"models": tuned(n=0)}, "models.m.tune.n: input should be greater than or equal to 1"),
        ({"models": tuned(search="bayes")}, "models.m.tune.search: input should be 'grid', 'random' or 'halving'"),
        ({"models": tuned(metric="auc")}, "models.m.tune.metric: input should be 'accuracy', "),
        ({"models": tuned(space={})}, "models.m.tune.space: dictionary should have at least 1 item"),
        ({"models": {"m": MODEL | {"tune": {"n": 3}}}}, "models.m.tune.space is missing; it has no default"),
        ({"models": tuned(space={"C": []})}, "models.m.tune.space.C.values: list should have at least 1 item"),
        ({"models": tuned(space={"C": 3})}, "models.m.tune.space.C: input should be a valid dictionary or instance"),
        ({"select.metrics": []}, "select.metrics: list should have at least 1 item"),
        ({"select.metrics": ["auc"]}, "select.metrics.0: input should be 'accuracy', 'precision'"),
        ({"select.gates": {"auc": 0.6}}, "select.gates.auc"),
        ({"select.on": "train"}, "select.on: input should be 'test' or 'cv', not 'train'"),
        ({"threshold.value": 1}, "threshold.value: input should be less than 1"),
        ({"threshold.cost.refused_good": 0}, "threshold.cost.refused_good: input should be greater than 0"),
        ({"resources.threads": 0}, "resources.threads: input should be greater than or equal to 1"),
        ({"data.format": "csv"}, "data.format: input should be a valid dictionary or instance of Format, not 'csv'"),
    ],
)
def test_wrong_values_are_named_with_their_place(changes, message):
    assert message_of(changes).casefold().startswith(f"the config: {message}".casefold())


CHECK = {"require": "x > 1", "column": "x"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.format.decimal": ","}, "data.format: decimal and thousands must not be the same mark"),
        (
            {"data.format": {"decimal": ",", "thousands": "."}},
            "data.format: decimal and delimiter must not be the same",
        ),
        ({"columns.target.negative": 1}, "columns.target: positive and negative must differ"),
        ({"columns.categorical": ["x"]}, "columns: x: a column has one role, and is named once"),
        ({"columns.id": "z"}, "columns: z: a column has one role, and is named once"),
        ({"columns.numeric": ["x", "x"]}, "columns: x: a column has one role, and is named once"),
        ({"columns.group": "id"}, "columns: id: a column has one role, and is named once"),
        ({"columns.id": "decision"}, "columns: id: predictions have a column 'decision' of their own; rename"),
        ({"columns.numeric": ["__line"]}, "columns: names that start with two underscores are taken; rename"),
        ({"columns.numeric": [], "columns.categorical": []}, "columns: name at least one numeric or categorical"),
        ({"cleaning.bounds": {"x": {}}}, "cleaning.bounds.x: give min, max or both"),
        ({"cleaning.bounds": {"x": {"min": 2, "max": 1}}}, "cleaning.bounds.x: min must not be above max"),
        ({"cleaning.bounds": {"xx": {"min": 2}}}, "cleaning.bounds: no such column 'xx' (did you mean 'x'?)"),
        ({"cleaning.bounds": {"t": {"min": 2}}}, "cleaning.bounds: no such column 't'"),
        ({"cleaning.aliases": {"x": {"a": "b"}}}, "cleaning.aliases: no such column 'x'"),
        ({"cleaning.checks": {"c": CHECK | {"column": "z"}}}, "cleaning.checks: no such column 'z'"),
        ({"models": tuned(space={"C": {"low": 1}})}, "models.m.tune.space.C: give a list of values, or low and high"),
        ({"models": tuned(space={"C": {"low": 2, "high": 2}})}, "models.m.tune.space.C: low must be below high"),
        ({"models": tuned(space={"C": {"low": 0, "high": 2, "log": True}})}, "models.m.tune.space.C: log: true needs"),
        (
            {"models": tuned(space={"C": {"low": 0.5, "high": 2, "integer": True}})},
            "models.m.tune.space.C: integer: true needs whole numbers",
        ),
        ({"models": tuned(space={"C": {"values": [1], "low": 2}})}, "models.m.tune.space.C: give values, or low and"),
        ({"models": tuned(space={"C": [1, 1]})}, "models.m.tune.space.C: name each value once"),
        ({"models": tuned(search="grid")}, "models.m.tune: search: grid needs a list of values, and C has a range"),
        ({"models": tuned(space={"C": [1, 2]})}, "models.m.tune: n: the space has 2 combinations, fewer than 20; use"),
        ({"models": tuned(space={"model.C": [1]}, n=1)}, "models.m: tune.space: 'model.C' is neither a parameter nor"),
        (
            {"models": tuned(space={"numeric.knot": [4]}, n=1)},
            "models.m: tune.space: numeric has no option 'knot' (did you mean 'knots'?)",
        ),
        (
            {"models": tuned(space={"numeric.knots": {"low": 2, "high": 9, "integer": True}}, n=1)},
            "models.m: tune.space.numeric.knots: knots: input should be greater than or equal to 3, not 2",
        ),
        (
            {"models": tuned(space={"categorical.encoding": ["onehot", "natve"]}, n=1)},
            "models.m: tune.space.categorical.encoding: encoding: input should be 'onehot' or 'native', not 'natve'",
        ),
        ({"features": {"x": "y"}}, "features: 'x' is empty, taken, or starts with two underscores"),
        ({"features": {"z": "y"}}, "features: 'z' is empty, taken, or starts with two underscores"),
        ({"features": {"id": "y"}}, "features: 'id' is empty, taken, or starts with two underscores"),
        ({"models": leaving_out("tt")}, "models.m.leave_out: no such feature 'tt' (did you mean 't'?)"),
        ({"models": leaving_out("x", "y", "t")}, "models.m.leave_out: nothing is left to learn from"),
        ({"split.method": "group"}, "split.method: group needs columns.group"),
        ({"split": {"method": "time", "test_from": "2026-01-01"}}, "split.method: time needs columns.date"),
        ({"split.method": "time"}, "split: split.method: time needs split.test_from"),
    ],
)
def test_sections_must_agree(changes, message):
    assert message_of(changes).startswith(f"the config: {message}")


def test_all_mistakes_are_told_at_once():
    message = message_of({"cv_folds": 1, "sed": 1, "split.method": "x"})
    assert all(part in message for part in ("cv_folds: ", "unknown key 'sed'", "split.method: "))


def test_yaml_numbers_may_stand_for_text():
    loaded = load_config(changed({"columns.target.positive": 1, "columns.target.negative": 0, "split.key": 7}))
    assert (loaded.columns.target.positive, loaded.columns.target.negative, loaded.split.key) == ("1", "0", "7")


def test_a_pattern_may_stand_alone():
    loaded = load_config(changed({"data.applications": "new/*.csv"}))
    assert (loaded.data.raw, loaded.data.applications) == (["raw.csv"], ["new/*.csv"])


def test_a_date_may_be_what_yaml_makes_of_it():
    split = yaml.safe_load("{method: hash, test_from: 2026-01-31}")
    assert load_config(config_dict(split=split)).split.test_from == "2026-01-31"


def test_the_bare_key_on_is_understood():
    loaded = load_config(config_dict(select=yaml.safe_load("on: cv")))
    assert loaded.select.on == "cv"
    assert loaded.needs_cross_validation


FULL = {
    "data": {"raw": ["a", "b"], "applications": "c", "format": {"delimiter": ";", "decimal": ",", "thousands": " "}},
    "columns": {
        "target": {"column": "z", "positive": "bad", "negative": "good"},
        "numeric": ["x"],
        "categorical": ["t"],
        "group": "g",
        "date": "d",
    },
    "cleaning": {"bounds": {"x": {"min": 0.1}}, "checks": {"c": CHECK}, "aliases": {"t": {1: 2}}},
    "features": {"f": "x * 2"},
    "split": {"method": "time", "test_from": "2026-01-01"},
    "select": {"on": "cv", "gates": {"brier": 0.2}},
    "models": {
        "m": {
            "estimator": "a.B",
            "complexity": 1,
            "tune": {"n": 2, "space": {"a": [1, None], "b": {"low": 0, "high": 1}}},
        }
    },
}


@pytest.mark.parametrize("raw", [config_dict(), FULL], ids=["smallest", "full"])
@pytest.mark.parametrize("mode", ["python", "json"])
def test_a_dumped_config_loads_equal(raw, mode, tmp_path):
    loaded = load_config(raw)
    dumped = loaded.model_dump(mode=mode)
    assert load_config(dumped) == loaded
    (tmp_path / "c.json").write_text(json.dumps(dumped))
    assert read_config(tmp_path / "c.json") == loaded
    assert (
        Contract.model_validate(json.loads(json.dumps(loaded.contract().model_dump(mode="json")))) == loaded.contract()
    )


def test_loading_leaves_the_mapping_as_it_was():
    raw = copy.deepcopy(FULL)
    load_config(raw)
    assert raw == FULL


def test_a_config_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        config().seed = 1


def test_models_see_given_columns_before_derived_ones():
    assert load_config(FULL).contract().numeric_features() == ["x", "f"]
    assert load_config(FULL).columns.features() == ["x", "t"]
