"""Step explain: what drives one model, how steady it is, and how it treats groups. For the report alone.

What calls the model many times over works on samples of bounded size, by the rows' hash; what needs all rows streams.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.pipeline import Pipeline

from scripts.analysis import fairness as groups
from scripts.analysis import features, linear, sensitivity, trees
from scripts.analysis.columns import columns_of
from scripts.analysis.notices import sample_notices
from scripts.shared.calibrated import uncalibrated
from scripts.shared.config import Config, Contract, read_config
from scripts.shared.errors import UserError
from scripts.shared.files import read_json, write_json
from scripts.shared.membership import KEY, stream_tables, to_frame
from scripts.shared.models import load_model
from scripts.shared.reasons import Reasons, stability
from scripts.shared.scoring import Scorer, fast_scorer
from scripts.shared.search import tuned_row
from scripts.shared.sides import TEST, TRAIN
from scripts.streaming.sampling import SampleOf, draw

BLOCK_ROWS = 65_536
TRAIN_ROWS = 30_000  # for refits, and for the gap between train and test rows
REASON_ROWS = 1_000  # refused test rows whose reasons are looked at again after small changes
DEPENDENCE_ROWS = 3_000  # of the sample, for partial dependence: each of a hundred points scores them all


def main(
    parts: list[Path],
    membership: list[Path],
    model_file: Path,
    card: Path,
    metrics: Path,
    tuned: list[Path],
    cv: list[Path],
    drivers: Path,
    sensitivities: Path,
    fairness: Path,
    config: Path,
) -> None:
    """Explain one model.

    Parameters
    ----------
    parts, membership
        Clean rows and their sides, in the same order.
    model_file, card
        The model, checked against its card before it is loaded.
    metrics
        What evaluate wrote: the threshold.
    tuned
        What its search found, where it has one, else empty.
    cv
        Its cross-validation, where the run has one, else empty.
    drivers, sensitivities, fairness
        JSON: coefficients, tree, importance, partial dependence; what changes do to the scores; groups of applicants.
    config
        The run's config.
    """
    settings = read_config(config)
    pipeline, about = load_model(model_file, card)
    of = Explained(settings, parts, membership, pipeline, about, tuned)
    write_json(drivers, of.head() | of.drivers())
    threshold = read_json(metrics)["threshold"]
    write_json(sensitivities, of.head() | of.sensitivity(cv, threshold))
    write_json(fairness, of.head() | of.fairness(threshold))
    logging.info("%s: explained on %s test rows", about["name"], f"{of.test.num_rows:,}")


def fitted_estimator(pipeline: Pipeline) -> Any:
    """Return the estimator whose coefficients or nodes are shown: of a calibrated model, the one inside."""
    return uncalibrated(pipeline)["model"]


def reasons_stability(
    reasons: Reasons | None, card: dict[str, Any], refused: pa.Table, count: int, seed: int
) -> dict[str, Any]:
    """Return how often the reasons of refused rows stay when the numbers change by a little.

    Parameters
    ----------
    reasons, card
        The model's reasons, None where predictions carry none, and its card.
    refused
        Clean rows.
    count
        Reasons of an application.
    seed
        Of the changes.
    """
    if reasons is None:
        return {"not_run": "predictions carry no reasons (predict.reasons.count)"}
    if not refused.num_rows:
        return {"not_run": "no test row is refused"}
    return {"method": reasons.model.method} | stability(reasons.model, refused, card, count, seed)


class Explained:
    """One model with what explains it.

    Parameters
    ----------
    settings
        The run's config.
    parts, membership
        Clean rows and their sides.
    pipeline, card
        The model and its card, whose contract says what a row is.
    tuned
        What its search found, where it has one, else empty.
    """

    def __init__(
        self,
        settings: Config,
        parts: Sequence[Path],
        membership: Sequence[Path],
        pipeline: Pipeline,
        card: dict[str, Any],
        tuned: Sequence[Path],
    ) -> None:
        self.settings, self.parts, self.membership = settings, parts, membership
        self.pipeline, self.card = pipeline, card
        self.name: str = card["name"]
        self.row = tuned_row(settings.models[self.name], tuned)
        self.contract = Contract.model_validate(card["contract"])
        self.numeric: list[str] = card["features"]["numeric"]
        self.categorical: list[str] = card["features"]["categorical"]
        self.scorer: Scorer = fast_scorer(pipeline, self.numeric, self.categorical)
        training = card["training"]
        self.counts = training["rows"] - training["defaults"], training["defaults"]
        self.test = self._sample(TEST, settings.report.sample_rows)
        self.target = self._target(self.test)
        self.scores = self.scorer.score(self.test)
        self._train: pa.Table | None = None

    def head(self) -> dict[str, Any]:
        """Return what stands at the head of each file."""
        return {"model": self.name, "estimator": self.row.estimator, "seed": self.settings.seed}

    def _target(self, table: pa.Table) -> Any:
        return table.column(self.contract.columns.target.column).to_numpy()

    def _blocks(self, side: str, observed: Sequence[str] = ()) -> Iterator[pa.Table]:
        return stream_tables(self.parts, self.membership, side, self.contract, BLOCK_ROWS, observed)

    def _chosen(self, side: str, sample: SampleOf) -> Iterator[pa.Table]:
        for block in self._blocks(side):
            yield block.filter(pa.array(sample.chosen(block.column(KEY).to_numpy())))

    def _sample(self, side: str, rows: int) -> pa.Table:
        """Return at most so many rows of one side, by their hash: the same ones in any partitioning."""
        return pa.concat_tables(self._chosen(side, self._draw(side, rows))).unify_dictionaries().combine_chunks()

    def _draw(self, side: str, rows: int) -> SampleOf:
        """Return a sample; of rows that belong together and are more than that, the first of them whole."""
        try:
            return draw(self.membership, side, rows, 0, self.name)
        except UserError:
            return self._draw(side, 4 * rows)

    def train(self) -> pa.Table:
        """Return some of the rows that the model was trained on."""
        if self._train is None:
            most = min(TRAIN_ROWS, self.row.sample.rows) if self.row.sample else TRAIN_ROWS
            self._train = self._sample(TRAIN, most)
        return self._train

    def _trained_on(self) -> Iterator[pa.Table]:
        """Yield the rows that the model was trained on."""
        if self.row.sample:
            return self._chosen(TRAIN, draw(self.membership, TRAIN, self.row.sample.rows, 0, self.name))
        return self._blocks(TRAIN)

    # --- drivers ---

    def drivers(self) -> dict[str, Any]:
        """Return coefficients, tree, importance and partial dependence."""
        names = [*self.numeric, *self.categorical]
        sources = features.sources_of(self.contract)
        importance = features.permutation_importance(self.scorer, self.test, self.target, names, self.settings.seed)
        for one in importance:
            one["derived_from"] = sources.get(one["feature"], [])
        top = [one["feature"] for one in importance[: self.settings.report.top_features]]
        top += [name for name in self.settings.report.expected_effects if name in names and name not in top]
        fewer = self._sample(TEST, min(DEPENDENCE_ROWS, self.settings.report.sample_rows))
        return {
            "rows": self.test.num_rows,
            "defaults": int(self.target.sum()),
            "linear": self._linear(),
            "tree": self._tree(),
            "importance": importance,
            "dependence": [features.partial_dependence(self.scorer, fewer, name) for name in top],
        }

    def _linear(self) -> dict[str, Any]:
        model = fitted_estimator(self.pipeline)
        columns = columns_of(self.pipeline, self.numeric, self.categorical)
        if reason := linear.why_not(model):
            return {"not_run": reason}
        if columns is None:
            return {"not_run": "a step before the estimator isn't known, so that its columns have no names"}
        information = linear.Information(model, self.counts)
        for block in self._trained_on():
            if block.num_rows:
                frame = to_frame(block.unify_dictionaries(), self.numeric, self.categorical)
                matrix = np.asarray(self.pipeline["columns"].transform(frame), np.float64)
                information.update(matrix, self._target(block))
        return linear.describe(information, columns)

    def _tree(self) -> dict[str, Any]:
        model = fitted_estimator(self.pipeline)
        columns = columns_of(self.pipeline, self.numeric, self.categorical)
        if reason := trees.why_not(model):
            return {"not_run": reason}
        if columns is None:
            return {"not_run": "a step before the estimator isn't known, so that its columns have no names"}
        return trees.describe(model, columns, self.settings.report.tree_depth, self.counts)

    # --- sensitivity ---

    def sensitivity(self, cv: Sequence[Path], threshold: float) -> dict[str, Any]:
        """Return what seeds, noise, missing cells and other rows do to the scores, and how steady reasons are."""
        count = self.settings.predict.reasons.count
        reasons = Reasons.of(self.pipeline, self.card, count, self.settings.labels) if count else None
        refused = self.test.take(pa.array(np.flatnonzero(self.scores >= threshold)[:REASON_ROWS]))
        seed, rest = self.settings.seed, (self.test, self.target, self.contract, self.settings.seed, self.scores)
        train = self.train()
        return {
            "rows": self.test.num_rows,
            "defaults": int(self.target.sum()),
            "seed_change": sensitivity.to_seed(self.name, self.row, self.contract, train, self.test, self.target, seed),
            "noise": sensitivity.to_noise(self.scorer, *rest),
            "missing": sensitivity.to_missing(self.scorer, *rest),
            "overfit": sensitivity.overfit(self.scorer, train, self._target(train), self.target, self.scores, cv),
            "reasons": reasons_stability(reasons, self.card, refused, count, seed),
            "notices": sample_notices(reasons, self.scorer, self.test, self.card, threshold) if reasons else [],
        }

    # --- fairness ---

    def fairness(self, threshold: float) -> dict[str, Any]:
        """Return how groups of applicants fare, over all test rows."""
        blocks = self._blocks(TEST, self.contract.columns.observed)
        of = self.settings.fairness.groups
        return groups.compare_groups(blocks, self.scorer, self.contract.columns.target.column, of, threshold)
