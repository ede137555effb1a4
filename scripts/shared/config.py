"""The configuration: one schema gives the defaults, the checks, config/README.md and the JSON schema.

Every level refuses unknown keys and names the nearest right one. Rules read the validated object, never the raw
mapping.
"""

import math
import re
import types
import typing
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from scripts.shared.errors import UserError, did_you_mean, listing
from scripts.shared.files import canonical, read_json
from scripts.shared.values import canonical_value

METRICS = (
    "accuracy",
    "precision",
    "recall",
    "f1",
    "roc_auc",
    "pr_auc",
    "brier",
    "log_loss",
    "gini",
    "ks",
)
LOWER_IS_BETTER = frozenset({"brier", "log_loss"})
MOST_REASONS = 20
PREDICTION_COLUMNS = (
    "probability_of_default",
    "decision",
    "model_version",
    *(f"reason_{n}" for n in range(1, MOST_REASONS + 1)),
)
MetricName = Literal["accuracy", "precision", "recall", "f1", "roc_auc", "pr_auc", "brier", "log_loss", "gini", "ks"]


def _text(value: object) -> object:
    """Let YAML's numbers stand for text; YAML's booleans (``Y``, ``NO``) are refused, since their spelling is lost."""
    if isinstance(value, bool):
        raise ValueError(f"YAML read this as the boolean {value}; put the value in quotes")
    return str(value) if isinstance(value, int | float) else value


Text = Annotated[str, BeforeValidator(_text)]


def _no_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"{value} is no number")
    return value


def _list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Name = Annotated[str, Field(min_length=1)]
Patterns = Annotated[list[Name], BeforeValidator(_list), Field(min_length=1)]
Whole = Annotated[int, BeforeValidator(_no_boolean)]


def _each_once(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("name each once")
    return names


class Section(BaseModel):
    """A level of the config: frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Format(Section):
    """How the CSV files are written. Parquet files carry their own types."""

    delimiter: str = Field(",", min_length=1, max_length=1, description="between fields, one character")
    encoding: str = Field("utf-8", description="any encoding that Python knows, such as `cp1252`")
    decimal: Literal[".", ","] = Field(".", description="decimal mark of numbers")
    thousands: Literal[",", ".", " ", "'", ""] = Field(
        ",", description="thousands separator that numbers may carry; empty for none"
    )
    missing_values: list[Text] = Field(
        ["", "NA", "N/A", "NaN", "null", "None", "?"],
        description="texts that mean missing, in any case",
    )

    @model_validator(mode="after")
    def _marks_differ(self) -> Self:
        if self.decimal == self.thousands:
            raise ValueError("decimal and thousands must not be the same mark")
        if self.decimal == self.delimiter:
            raise ValueError("decimal and delimiter must not be the same mark")
        if not self.delimiter.isascii() or self.delimiter.isalnum() or self.delimiter in '"\r\n':
            raise ValueError(f"{self.delimiter!r} can't stand between fields; use a mark such as , ; | or a tab")
        try:
            "".encode(self.encoding)
        except LookupError:
            raise ValueError(f"Python knows no encoding '{self.encoding}'") from None
        return self


class Data(Section):
    """The files that a run reads. Patterns may use `*`, `**`, `?` and environment variables such as `$DATA`."""

    raw: Patterns = Field(
        description="CSV (plain, .gz, .zst) or Parquet files with known outcomes: a path, a glob, or a list"
    )
    applications: Annotated[list[Name], BeforeValidator(_list)] = Field(
        [],
        description="files of new applications to score: a path, a glob, or a list; may be empty",
    )
    format: Format = Format()


class Target(Section):
    """The outcome to predict."""

    column: Name = Field(description="name of the column")
    positive: Text = Field(description="the value that means default")
    negative: Text | None = Field(
        None,
        description="the value that means no default; without it, the data must hold exactly one other value",
    )

    @model_validator(mode="after")
    def _two_values(self) -> Self:
        if self.negative is not None and canonical_value(self.positive) == canonical_value(self.negative):
            raise ValueError("positive and negative must differ")
        return self


class Columns(Section):
    """What each column is. Columns not named here are not used."""

    id: Name | None = Field(None, description="unique id of an application; without it, rows are known by content")
    target: Target
    numeric: list[Name] = Field([], description="numeric columns")
    categorical: list[Name] = Field([], description="categorical columns")
    group: Name | None = Field(None, description="borrower or similar; needed by `split.method: group`")
    date: Name | None = Field(
        None, description="ISO date (2026-01-31) of the application; needed by `split.method: time`"
    )
    observed: list[Name] = Field(
        [],
        description="categorical columns kept for `fairness` and seen by no model, such as the applicant's sex; "
        "applications need not have them",
    )

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        roles = [
            *self.features(),
            *self.observed,
            *filter(None, [self.id, self.target.column, self.group, self.date]),
        ]
        twice = sorted({name for name in roles if roles.count(name) > 1})
        if twice:
            raise ValueError(f"{listing(twice)}: a column has one role, and is named once")
        if self.id in PREDICTION_COLUMNS:
            raise ValueError(f"id: predictions have a column '{self.id}' of their own; rename the id column")
        if any(name.startswith("__") for name in roles):
            raise ValueError("names that start with two underscores are taken; rename the column")
        if not self.features():
            raise ValueError("name at least one numeric or categorical column")
        return self

    def features(self) -> list[str]:
        """Return the names of the columns that models may learn from, numeric first."""
        return [*self.numeric, *self.categorical]


class Bounds(Section):
    """What a numeric column may hold."""

    min: float | None = Field(None, description="smallest possible value")
    max: float | None = Field(None, description="largest possible value")
    otherwise: Literal["reject", "missing"] = Field(
        "reject", description="set the row aside, or take the value as missing"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min must not be above max")
        return self


class Check(Section):
    """A condition between columns that every row must meet. A row that lacks one of the values is not judged."""

    require: str = Field(
        description='SQL expression, such as `person_emp_length <= person_age - 14`; names with spaces in `"…"`'
    )
    otherwise: Literal["reject", "missing"] = Field(
        "reject", description="set the row aside, or take `column` as missing"
    )
    column: str = Field(description="the column that is named in the rejects, or taken as missing")


class Cleaning(Section):
    """Row by row, with nothing learnt from the data."""

    case: Literal["upper", "lower", "keep"] = Field(
        "upper",
        description="one spelling per category: all texts are trimmed and brought to this case",
    )
    aliases: dict[str, dict[Text, Text]] = Field(
        {},
        description="per categorical column: other spelling → the one to use (compared after trimming and case)",
    )
    bounds: dict[str, Bounds] = Field({}, description="per numeric column")
    checks: dict[str, Check] = Field({}, description="by a name of yours")


class Rejects(Section):
    """Rows that can't be used are set aside with file, line, column and reason, and counted."""

    max_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="a run fails where a larger share of a raw file's rows is set aside",
    )
    show_values: bool = Field(
        False, description="write rejected values to the rejects files; they can hold personal data"
    )


class Contract(Section):
    """What turns a raw row into a row that models can use. It travels with each model, so that serving can't drift."""

    format: Format
    columns: Columns
    cleaning: Cleaning
    features: dict[str, str]

    def numeric_features(self) -> list[str]:
        """Return the numeric columns that models see: the given ones, then the derived ones."""
        return [*self.columns.numeric, *self.features]

    def features_of(self, row: "Model") -> tuple[list[str], list[str]]:
        """Return the numeric and the categorical features that a model sees."""
        out = set(row.leave_out)
        numeric = [name for name in self.numeric_features() if name not in out]
        return numeric, [name for name in self.columns.categorical if name not in out]


class Split(Section):
    """Which rows are kept for the test."""

    method: Literal["hash", "group", "time"] = Field(
        "hash",
        description="`hash`: by id or content; `group`: all rows of one `columns.group` on one side; "
        "`time`: train before `test_from`, test from then on",
    )
    test_share: float = Field(0.2, gt=0, lt=1, description="share of test rows (hash, group)")
    key: Text = Field(
        "loan-default",
        description="key of the hash: another key draws another split; keep it, and no row ever moves",
    )
    test_from: str | None = Field(None, description="first date of the test rows (time), such as `2026-01-01`")
    duplicate_ids: Literal["fail", "reject"] = Field(
        "fail", description="fail, or set aside all rows of an id but the first"
    )

    @field_validator("test_from", mode="before")
    @classmethod
    def _date(cls, value: object) -> object:
        text = str(value) if value is not None else None
        try:
            return text and datetime.strptime(text, "%Y-%m-%d").date().isoformat()
        except ValueError:
            raise ValueError(f"'{text}' is no date; write it as YYYY-MM-DD") from None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.method == "time" and self.test_from is None:
            raise ValueError("split.method: time needs split.test_from")
        return self


class Numeric(Section):
    """How a model sees the numeric columns, after imputation by the median with an indicator of missing values."""

    transform: Literal["scale", "spline", "bin", "none"] = Field(
        "none", description="`none` leaves missing values to estimators that handle them themselves"
    )
    knots: Whole = Field(6, ge=3, le=50, description="knots of a spline, or number of bins, at quantiles")
    impute: bool = Field(True, description="impute missing values (false: the estimator handles them)")
    also_as_category: bool = Field(
        False,
        description="each numeric column a second time, each of its values a category of its own, known by the default "
        "rate of the train rows that have it; docs/tuning.md says when that deceives",
    )


class Categorical(Section):
    """How a model sees the categorical columns. Missing is a category of its own; unseen values are handled."""

    encoding: Literal["onehot", "native"] = Field(
        "onehot",
        description="`native` hands integer codes to an estimator with `categorical_features`",
    )
    min_frequency: Whole = Field(20, ge=1, description="rarer categories are taken together (onehot)")


class Sample(Section):
    """Some of the train rows, by the hash of their key: the same rows on any host and in any partitioning."""

    rows: Whole = Field(ge=1000, description="train on so many rows at most; the card shows what that costs")


def _list_or_section(schema: dict[str, Any]) -> None:
    """Let the JSON schema of a dimension say that a plain list is one, too."""
    section = dict(schema)
    schema.clear()
    schema["anyOf"] = [{"type": "array", "minItems": 1, "items": {}}, section]


class Dimension(Section):
    """The values of one parameter: a plain list, or a range `{low: 0.01, high: 100, log: true}`."""

    model_config = ConfigDict(json_schema_extra=_list_or_section)

    values: list[Any] | None = Field(
        None, min_length=1, description="the values; a plain list in place of the section means the same"
    )
    low: float | None = Field(None, description="lowest value of a range")
    high: float | None = Field(None, description="highest value of a range")
    log: bool = Field(False, description="draw evenly on the logarithm, for ranges over several powers of ten")
    integer: bool = Field(False, description="draw whole numbers, `low` and `high` among them")

    @model_validator(mode="before")
    @classmethod
    def _plain_list(cls, value: object) -> object:
        return {"values": value} if isinstance(value, list) else value

    @model_validator(mode="after")
    def _values_or_range(self) -> Self:
        if self.values is not None:
            if self.low is not None or self.high is not None or self.log or self.integer:
                raise ValueError("give values, or low and high, not both")
            if len({canonical(value) for value in self.values}) < len(self.values):
                raise ValueError("name each value once")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give a list of values, or low and high")
        if self.low >= self.high:
            raise ValueError("low must be below high")
        if self.log and self.low <= 0:
            raise ValueError("log: true needs a low above 0")
        if self.integer and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError("integer: true needs whole numbers as low and high")
        return self

    def size(self) -> float:
        """Return the number of values, infinite for a range of real numbers."""
        if self.values is not None:
            return len(self.values)
        if self.integer and self.low is not None and self.high is not None:
            return self.high - self.low + 1
        return math.inf

    def ends(self) -> list[Any]:
        """Return the values that must be valid: all of a list, both ends of a range."""
        if self.values is not None:
            return self.values
        return [int(end) if self.integer else end for end in (self.low, self.high) if end is not None]


class Tune(Section):
    """A search for better parameters, on train rows alone, as jobs of their own; see docs/tuning.md."""

    search: Literal["grid", "random", "halving"] = Field(
        "random",
        description="`grid`: all combinations of lists; `random`: `n` draws; `halving`: `n` draws that compete on a "
        "growing share of the train rows, the best of each round going on to the next",
    )
    n: Whole = Field(
        20,
        ge=1,
        le=10_000,
        description="draws (random, halving), beside the model as its row says it; more extend them",
    )
    folds: Whole = Field(5, ge=2, le=20, description="folds of the cross-validation that scores a candidate")
    metric: MetricName = Field(
        "roc_auc", description="the mean over the folds decides; ties go to the earlier candidate"
    )
    eta: Whole = Field(
        3, ge=2, le=10, description="a round of `halving` keeps one of so many, on so many times the rows"
    )
    per_job: Whole = Field(4, ge=1, description="candidates that one job scores, one after the other")
    space: dict[Name, Dimension] = Field(
        min_length=1,
        description="by parameter of the estimator, or option of the row such as `numeric.knots`",
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        size = math.prod(dimension.size() for dimension in self.space.values())
        if self.search == "grid":
            if ranges := [name for name, dimension in self.space.items() if dimension.values is None]:
                raise ValueError(f"search: grid needs a list of values, and {listing(ranges)} has a range")
        elif self.n > size:
            raise ValueError(f"n: the space has {size:.0f} combinations, fewer than {self.n}; use search: grid")
        return self


class Model(Section):
    """One candidate. A row here is a rule `train_NAME`; nothing else is needed."""

    estimator: str = Field(
        description="import path of a scikit-learn compatible classifier with `predict_proba`",
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$",
    )
    complexity: Whole = Field(description="rank for ties: the lower, the simpler")
    params: dict[str, Any] = Field({}, description="keyword arguments of the estimator")
    numeric: Numeric = Numeric()
    categorical: Categorical = Categorical()
    leave_out: list[str] = Field([], description="features, given or derived, that this model doesn't see")
    calibration: Literal["none", "sigmoid", "isotonic", "auto"] = Field(
        "none",
        description="maps scores to observed default rates, fitted on scores of held-out folds of the train rows; "
        "`auto`: whichever of the three has the lowest log loss there",
    )
    sample: Sample | None = None
    tune: Tune | None = Field(
        None, description="a search for better parameters; without it, the row is trained as it is"
    )

    @model_validator(mode="after")
    def _space_is_valid(self) -> Self:
        for name, dimension in self.tune.space.items() if self.tune else ():
            section, dot, option = name.partition(".")
            if not dot:
                continue
            sections: dict[str, type[Section]] = {"numeric": Numeric, "categorical": Categorical}
            kind = sections.get(section)
            if kind is None:
                raise ValueError(
                    f"tune.space: '{name}' is neither a parameter nor numeric.OPTION nor categorical.OPTION"
                )
            if option not in kind.model_fields:
                raise ValueError(
                    f"tune.space: {section} has no option '{option}'{did_you_mean(option, kind.model_fields)}"
                )
            for value in dimension.ends():
                try:
                    kind.model_validate({option: value})
                except ValidationError as error:
                    raise ValueError(f"tune.space.{name}: {_sentence(error.errors()[0])}") from None
        return self


class Cost(Section):
    """What the two kinds of error cost, in the same unit."""

    missed_default: float = Field(5.0, gt=0, description="cost of granting a loan that defaults")
    refused_good: float = Field(1.0, gt=0, description="cost of refusing a loan that would have been repaid")


class Threshold(Section):
    """From which probability of default on an application is refused."""

    method: Literal["fixed", "cost"] = Field(
        "fixed",
        description="`cost`: chosen on training rows by cross-validation to minimise the cost",
    )
    value: float = Field(0.5, gt=0, lt=1, description="the threshold (fixed)")
    cost: Cost = Cost()


class Champion(Section):
    """What the winner must show against the live model, on the same test rows, before it takes its place."""

    min_gain: float | None = Field(
        None,
        description="the 95 % interval of the gain in the first of `select.metrics` must lie above this (0: better "
        "beyond the noise; -0.01: not worse by more than that); otherwise the live model stays. Unset: reported, not "
        "asked for",
    )
    resamples: Whole = Field(1000, ge=100, le=100_000, description="bootstrap samples of the test rows, for intervals")


class Select(Section):
    """How the winner is found."""

    on: Literal["test", "cv"] = Field(
        "test",
        description="compare on the test rows, or by cross-validation on training rows "
        "(choosing and reporting on the same rows flatters the winner)",
    )
    metrics: Annotated[list[MetricName], AfterValidator(_each_once)] = Field(
        ["roc_auc", "pr_auc"], min_length=1, description="in this order; later ones break ties"
    )
    tolerance: float = Field(
        0.0001,
        ge=0,
        description="values this close to the best are a tie; the last tie goes to lower complexity",
    )
    gates: dict[MetricName, float] = Field(
        {"roc_auc": 0.6}, description="a candidate must reach these (brier, log_loss: stay below)"
    )
    champion: Champion = Champion()

    @model_validator(mode="before")
    @classmethod
    def _on(cls, value: object) -> object:
        """YAML 1.1 reads the bare key ``on`` as true."""
        if isinstance(value, dict) and True in value:
            return {"on" if key is True else key: item for key, item in value.items()}
        return value


class Reasons(Section):
    """Why an application was scored as it was: what raised its risk most against the reference group."""

    count: Whole = Field(
        4, ge=0, le=MOST_REASONS, description="reasons at most; 0 for none (more than four rarely help)"
    )
    of: Literal["refused", "all"] = Field("refused", description="which applications get reasons")


class Predict(Section):
    """How new applications are scored."""

    missing_columns: Literal["fail", "impute"] = Field(
        "fail",
        description="a file that lacks a feature column: refuse it, or take the column as missing",
    )
    other_versions: Literal["refuse", "golden"] = Field(
        "refuse",
        description="where Python or a library isn't the one that the live model was trained with: refuse, or go on "
        "once the model's golden rows come out with equal scores",
    )
    reasons: Reasons = Reasons()


class Deploy(Section):
    """The model registry; see docs/registry.md."""

    folder: str = Field("deployed", description="usually elsewhere, on shared storage; never inside `results/`")
    approval: bool = Field(
        False, description="a person must make a new version live: the run stages it and says how to promote it"
    )
    keep: Whole | None = Field(
        None,
        ge=2,
        description="versions kept; of more, the oldest go, but never the live one, the one before it, or a staged "
        "one. Unset: all",
    )
    group: Name | None = Field(
        None, description="group that all files of the registry belong to; unset: the user's own"
    )
    mode: Text | None = Field(
        None,
        pattern=r"^0?[0-7]{3}$",
        description="permissions of the registry's files in octal, in quotes, such as `'664'`; folders get x where "
        "files have r. Unset: by the umask",
    )
    artefact: Literal["joblib", "skops"] = Field(
        "joblib", description="how models are written; `skops` loads listed types only, and can't carry every model"
    )


class Screen(Section):
    """Columns that make a model look better than it will be, or that it must not use; the report tries it without."""

    lender_set: list[Name] = Field(
        [], description="features that the lender sets after the application, such as the interest rate"
    )
    prohibited: list[Name] = Field([], description="features that must not be used; the report holds a model that does")


class Group(Section):
    """How one column divides the applicants."""

    column: Name = Field(description="a feature, or one of `columns.observed`")
    edges: list[float] = Field([], description="of a numeric column: where a new group begins, such as `[25, 62]`")

    @field_validator("edges")
    @classmethod
    def _rising(cls, edges: list[float]) -> list[float]:
        if sorted(set(edges)) != edges:
            raise ValueError("edges must rise")
        return edges


class Fairness(Section):
    """What the report compares between groups of applicants. It shows, and doesn't judge."""

    groups: dict[str, Group] = Field({}, description="by a name of yours")


class Governance(Section):
    """What people decide about the model; stands in its card and in the report. What is unset is told as missing."""

    owner: Text | None = Field(None, description="who answers for the model")
    approver: Text | None = Field(None, description="who approves a version")
    override: Text | None = Field(None, description="who may override the report's verdict")
    tier: Text | None = Field(None, description="risk tier of the model")
    intended_use: Text | None = Field(None, description="what decisions it is made for")
    out_of_scope: Text | None = Field(None, description="what it must not be used for")
    target_definition: Text | None = Field(None, description="what counts as a default, within which time")
    exclusions: Text | None = Field(
        None, description="loans that are not in the data, and what is known of rejected ones"
    )
    monitoring: Text | None = Field(None, description="what is watched once it is live, how often, and by whom")


class Report(Section):
    """What the report draws."""

    tree_depth: Whole = Field(3, ge=1, le=6, description="levels of a decision tree that are drawn")
    top_features: Whole = Field(6, ge=1, le=30, description="features whose partial dependence is drawn")
    sample_rows: Whole = Field(
        20_000, ge=500, description="test rows, by their hash, for what calls the model many times over"
    )
    expected_effects: dict[str, Literal["rises", "falls"]] = Field(
        {}, description="what experts expect of the risk as a feature grows, such as `person_income: falls`"
    )
    rules: str = Field("config/rules.yaml", description="the dated register of rules that the report cites")


class Partitions(Section):
    """How work is cut into jobs: large files are divided, many small ones taken together; results are the same."""

    mb: Annotated[float, Field(gt=0)] = Field(
        200, description="10⁶ bytes of CSV in a partition, about (a compressed file: when unpacked)"
    )
    files: Whole = Field(
        100, ge=1, description="where there are more application files than this, so many of them are scored by one job"
    )


class Resources(Section):
    """What a job asks for."""

    threads: Whole = Field(1, ge=1, description="threads of a training job; results are equal for equal threads only")
    mem_mb: Whole = Field(1000, ge=100, description="memory of a job on small input; grows with input and attempt")
    disk_mb: Whole = Field(1000, ge=100, description="disk of a job on small input; grows with input and attempt")
    memory_mb: Whole = Field(
        2000,
        ge=500,
        description="memory that a training job keeps within; what doesn't fit is trained in blocks from scratch disk",
    )
    in_memory_rows: Whole = Field(
        500_000,
        ge=0,
        description="train rows from which on logistic regression and decision tree are trained in blocks even where "
        "memory would do: several times faster, the tree by at most 255 bins a feature",
    )


DEFAULT_MODELS: dict[str, Model] = {
    "lr": Model(
        estimator="sklearn.linear_model.LogisticRegression",
        complexity=1,
        params={"C": 1.0, "max_iter": 2000},
        numeric=Numeric(transform="spline", knots=6),
    ),
    "dt": Model(
        estimator="sklearn.tree.DecisionTreeClassifier",
        complexity=2,
        params={"min_samples_leaf": 50},
    ),
}


class Config(Section):
    """The whole configuration."""

    data: Data
    columns: Columns
    cleaning: Cleaning = Cleaning()
    rejects: Rejects = Rejects()
    features: dict[str, str] = Field(
        {},
        description="derived numeric features, `name: SQL expression` over the numeric and categorical columns",
    )
    split: Split = Split()
    models: dict[str, Model] = Field(DEFAULT_MODELS, min_length=1, description="the candidates, by name")
    cv_folds: Whole = Field(5, ge=2, le=20, description="folds, wherever cross-validation is asked for")
    threshold: Threshold = Threshold()
    select: Select = Select()
    predict: Predict = Predict()
    deploy: Deploy = Deploy()
    labels: dict[str, Text] = Field(
        {}, description="features in words, for reasons and the report, such as `person_income: income`"
    )
    screen: Screen = Screen()
    fairness: Fairness = Fairness()
    governance: Governance = Governance()
    report: Report = Report()
    partitions: Partitions = Partitions()
    resources: Resources = Resources()
    seed: Whole = Field(2026, ge=0, lt=2**32, description="seed of everything random")

    @field_validator("models")
    @classmethod
    def _model_names(cls, models: dict[str, Model]) -> dict[str, Model]:
        for name in models:
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
                raise ValueError(f"'{name}': a model's name has lower-case letters, digits and _, a letter first")
            if name == "champion":
                raise ValueError("'champion' is what results call the live model; choose another name")
        return models

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        columns = self.columns
        for where, names, allowed in (
            ("cleaning.bounds", self.cleaning.bounds, columns.numeric),
            ("cleaning.aliases", self.cleaning.aliases, [*columns.categorical, *columns.observed]),
            (
                "cleaning.checks",
                [c.column for c in self.cleaning.checks.values()],
                columns.features(),
            ),
        ):
            for name in names:
                if name not in allowed:
                    raise ValueError(f"{where}: no such column '{name}'{did_you_mean(name, allowed)}")
        taken = {
            *columns.features(),
            *columns.observed,
            columns.id,
            columns.target.column,
            columns.group,
            columns.date,
        }
        for name in self.features:
            if name in taken or not name or name.startswith("__"):
                raise ValueError(f"features: '{name}' is empty, taken, or starts with two underscores; rename it")
        if self.split.method == "group" and columns.group is None:
            raise ValueError("split.method: group needs columns.group")
        if self.split.method == "time" and columns.date is None:
            raise ValueError("split.method: time needs columns.date")
        return self

    @model_validator(mode="after")
    def _models_leave_out_what_there_is(self) -> Self:
        there = [*self.columns.features(), *self.features]
        for model, row in self.models.items():
            for name in row.leave_out:
                if name not in there:
                    raise ValueError(f"models.{model}.leave_out: no such feature '{name}'{did_you_mean(name, there)}")
            if set(there) <= set(row.leave_out):
                raise ValueError(f"models.{model}.leave_out: nothing is left to learn from")
        return self

    @model_validator(mode="after")
    def _named_features_exist(self) -> Self:
        there = [*self.columns.features(), *self.features]
        observed = self.columns.observed
        for where, names, allowed in (
            ("labels", list(self.labels), [*there, *observed]),
            ("report.expected_effects", list(self.report.expected_effects), there),
            ("screen.lender_set", self.screen.lender_set, there),
            ("screen.prohibited", self.screen.prohibited, there),
            ("fairness.groups", [group.column for group in self.fairness.groups.values()], [*there, *observed]),
        ):
            for name in names:
                if name not in allowed:
                    raise ValueError(f"{where}: no such feature '{name}'{did_you_mean(name, allowed)}")
        numeric = {*self.columns.numeric, *self.features}
        for name, group in self.fairness.groups.items():
            if bool(group.edges) != (group.column in numeric):
                raise ValueError(f"fairness.groups.{name}: edges are for numeric columns, which need them")
        return self

    def contract(self) -> Contract:
        """Return the part that decides what a clean row is."""
        return Contract(
            format=self.data.format,
            columns=self.columns,
            cleaning=self.cleaning,
            features=self.features,
        )

    @property
    def needs_cross_validation(self) -> bool:
        """Whether a choice is made on training rows by cross-validation."""
        return self.threshold.method == "cost" or self.select.on == "cv"


def load_config(raw: Mapping[str, Any], source: str = "the config") -> Config:
    """Validate a raw mapping.

    Raises
    ------
    UserError
        Names every wrong key and value, the nearest right key, and what is allowed.
    """
    try:
        return Config.model_validate(dict(raw))
    except ValidationError as error:
        lines = [_sentence(detail) for detail in error.errors()]
    raise UserError(f"{source}: " + "; ".join(lines))


def read_config(path: Path) -> Config:
    """Read the config as the run froze it when it started: what the user edits meanwhile changes nothing."""
    return load_config(read_json(path), str(path))


def _sentence(detail: ErrorDetails) -> str:
    place = ".".join(str(part) for part in detail["loc"])
    kind = detail["type"]
    if kind == "extra_forbidden":
        *parents, key = detail["loc"]
        allowed = _allowed_keys(Config, tuple(parents))
        where = ".".join(map(str, parents)) or "the top level"
        return f"unknown key '{key}' in {where}{did_you_mean(str(key), allowed)}; allowed: {listing(allowed, limit=30)}"
    if kind == "missing":
        return f"{place} is missing; it has no default"
    message = detail["msg"].removeprefix("Value error, ")
    given = "" if kind == "value_error" else f", not {detail['input']!r}"
    if kind != "value_error":
        message = message[0].lower() + message[1:]
    return f"{place + ': ' if place else ''}{message}{given}"


def _allowed_keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Return the keys of the section at `path` below `model`."""
    at: Any = model
    for part in path:
        if isinstance(at, type) and issubclass(at, BaseModel):
            at = plain_type(at.model_fields[str(part)].annotation)
        else:  # a dict or list: its values
            at = plain_type(typing.get_args(at)[-1])
    return sorted(at.model_fields)


def plain_type(annotation: Any) -> Any:
    """Strip ``Annotated`` and ``| None`` off a type."""
    if typing.get_origin(annotation) is Annotated:
        return plain_type(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return plain_type(next(a for a in typing.get_args(annotation) if a is not type(None)))
    return annotation
