"""The rows that a model is trained on, in memory or on scratch disk: whoever fits need not know which."""

import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline

from scripts.shared.config import Config
from scripts.shared.fitting import fit, in_words
from scripts.shared.hashing import Hashes
from scripts.shared.membership import KEY, Digest, Rows, Survey, stream_tables, survey, to_rows
from scripts.shared.models import predict_default
from scripts.shared.sides import TRAIN
from scripts.streaming.cache import BLOCK_ROWS, Keep, RowCache, cached
from scripts.streaming.fit import fit_streaming, fits_from_blocks
from scripts.streaming.reference import reference_in_blocks, reference_in_memory
from scripts.streaming.sampling import DIVISORS, SampleOf, draw


class TrainRows(ABC):
    """Train rows that a model can be fitted on and that it can score."""

    def __init__(self, sample: SampleOf | None) -> None:
        self.sample = sample
        self._chosen = sample.chosen if sample else None

    def fit(self, name: str, pipeline: Pipeline, keep: Keep | None = None) -> None:
        """Fit in place on the rows that `keep` keeps; without it on all, or on all of the sample."""
        self._fit(name, pipeline, keep or self._chosen)

    @abstractmethod
    def _fit(self, name: str, pipeline: Pipeline, keep: Keep | None) -> None: ...

    @abstractmethod
    def scores(self, pipeline: Pipeline, keep: Keep | None = None) -> npt.NDArray[np.float64]:
        """Return the probability of default of the rows that `keep` keeps."""

    @abstractmethod
    def target(self, keep: Keep | None = None) -> npt.NDArray[np.int8]:
        """Return the outcome of the rows that `keep` keeps."""

    @abstractmethod
    def keys(self) -> Hashes:
        """Return the hash of each row's identity."""

    @abstractmethod
    def first_numbers(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return the numeric features of the first BLOCK_ROWS rows, NaN where missing; the same either way."""

    @property
    @abstractmethod
    def categories(self) -> dict[str, list[str]]:
        """Return the values that training sees, so that prediction can tell new ones."""

    def reference(self) -> dict[str, Any]:
        """Return the reference group of the rows to train on, as the card has it: see `streaming.reference`."""
        return self._reference(self._chosen)

    @abstractmethod
    def _reference(self, keep: Keep | None) -> dict[str, Any]: ...

    @property
    def count(self) -> int:
        """Return the number of rows to train on."""
        return len(self.target(self._chosen))

    @property
    def defaults(self) -> int:
        """Return how many of them are defaults."""
        return int(self.target(self._chosen).sum())

    def learning_curve(self, name: str, pipeline: Pipeline) -> dict[str, Any]:
        """Return what the sample costs: the AUC on train rows beyond it, for a half of it, a quarter, an eighth.

        The rows come in the order of their hash, as the sample itself does. Nothing is said where no sample is asked
        for, and no AUC where it leaves no rows of both outcomes.
        """
        if self.sample is None:
            return {}
        beyond = self.target(self.sample.beyond)
        about: dict[str, Any] = {"of_rows": self.sample.of_rows, "held_out_rows": len(beyond), "curve": []}
        if len(np.unique(beyond)) < 2:
            return about
        for share, limit in zip(DIVISORS, self.sample.limits, strict=True):
            keep = partial(self.sample.below, limit)
            target = self.target(keep)
            if len(np.unique(target)) < 2:
                continue
            model = clone(pipeline)
            self._fit(name, model, keep)
            auc = float(roc_auc_score(beyond, self.scores(model, self.sample.beyond)))
            about["curve"].append({"rows": len(target), "roc_auc": auc})
            logging.info("%s: 1/%d of the sample, %s rows: ROC AUC %.4f", name, share, f"{len(target):,}", auc)
        return about


class InMemory(TrainRows):
    """Rows held in memory."""

    def __init__(self, rows: Rows, categorical: list[str], sample: SampleOf | None) -> None:
        super().__init__(sample)
        self.rows, self.categorical = rows, categorical

    def _mask(self, keep: Keep | None) -> npt.NDArray[np.bool_] | slice:
        return slice(None) if keep is None else keep(self.rows.keys)

    def _fit(self, name: str, pipeline: Pipeline, keep: Keep | None) -> None:
        mask = self._mask(keep)
        fit(name, pipeline, self.rows.frame[mask], self.rows.target[mask])

    def scores(self, pipeline: Pipeline, keep: Keep | None = None) -> npt.NDArray[np.float64]:
        """Return the probability of default of the rows that `keep` keeps."""
        return predict_default(pipeline, self.rows.frame[self._mask(keep)])

    def target(self, keep: Keep | None = None) -> npt.NDArray[np.int8]:
        """Return the outcome of the rows that `keep` keeps."""
        return self.rows.target[self._mask(keep)]

    def keys(self) -> Hashes:
        """Return the hash of each row's identity."""
        return self.rows.keys

    def first_numbers(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return the numeric features of the first BLOCK_ROWS rows, NaN where missing; no -0."""
        first = self.rows.frame.iloc[:BLOCK_ROWS].drop(columns=self.categorical)
        return {str(name): first[name].to_numpy(np.float64) + 0.0 for name in first.columns}

    @property
    def categories(self) -> dict[str, list[str]]:
        """Return the values that training sees."""
        frame = self.rows.frame[self._mask(self._chosen)]
        return {name: sorted(frame[name].dropna().unique()) for name in self.categorical}

    def _reference(self, keep: Keep | None) -> dict[str, Any]:
        mask = self._mask(keep)
        return reference_in_memory(self.rows.frame[mask], self.rows.target[mask], self.categorical)


class InBlocks(TrainRows):
    """Rows on scratch disk. Held in memory are only outcomes, keys and scores, where they are asked for."""

    def __init__(self, cache: RowCache, sample: SampleOf | None) -> None:
        super().__init__(sample)
        self.cache = cache

    def _fit(self, name: str, pipeline: Pipeline, keep: Keep | None) -> None:
        with in_words(name):
            fit_streaming(pipeline, self.cache, keep)

    def scores(self, pipeline: Pipeline, keep: Keep | None = None) -> npt.NDArray[np.float64]:
        """Return the probability of default of the rows that `keep` keeps."""
        blocks = self.cache.blocks(keep)
        return np.concatenate([predict_default(pipeline, self.cache.frame(block)) for block in blocks])

    def target(self, keep: Keep | None = None) -> npt.NDArray[np.int8]:
        """Return the outcome of the rows that `keep` keeps."""
        return np.concatenate([np.empty(0, np.int8), *(block.target for block in self.cache.blocks(keep))])

    def keys(self) -> Hashes:
        """Return the hash of each row's identity."""
        return np.concatenate([block.keys for block in self.cache.blocks()])

    def first_numbers(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return the numeric features of the first BLOCK_ROWS rows, NaN where missing; no -0."""
        first = next(self.cache.blocks()).numeric
        return {name: first[:, at] for at, name in enumerate(self.cache.numeric)}

    @property
    def categories(self) -> dict[str, list[str]]:
        """Return the values that training sees."""
        found: list[set[int]] = [set() for _ in self.cache.categorical]
        for block in self.cache.blocks(self._chosen):
            for codes, seen in zip(block.codes.T, found, strict=True):
                seen.update(np.unique(codes[codes >= 0]).tolist())
        texts = [self.cache.values(at) for at in range(len(found))]
        return {name: sorted(texts[at][code] for code in found[at]) for at, name in enumerate(self.cache.categorical)}

    def _reference(self, keep: Keep | None) -> dict[str, Any]:
        return reference_in_blocks(self.cache, keep)


@contextlib.contextmanager
def train_rows(
    name: str,
    settings: Config,
    parts: Sequence[Path],
    membership: Sequence[Path],
    pipeline: Pipeline,
    held_out: bool = False,
    digest: Digest | None = None,
) -> Iterator[TrainRows]:
    """Give the train rows of a model: in memory, or on scratch disk where `fits_from_blocks` says so.

    Parameters
    ----------
    name
        The model's name in the config.
    settings
        The run's config.
    parts, membership
        Clean rows and their sides, in the same order.
    pipeline
        As `build_pipeline` makes it.
    held_out
        Whether a sample comes with a quarter as many rows more, for its learning curve.
    digest
        What is to have seen all rows, also those that a sample leaves out.

    Raises
    ------
    UserError
        Where the rows fit neither way.
    """
    contract, row = settings.contract(), settings.models[name]
    numeric, categorical = contract.features_of(row)
    found = survey(parts, membership, TRAIN, categorical)
    sample = None
    if row.sample:
        size = row.sample.rows
        sample = draw(membership, TRAIN, size, size // 4 if held_out else 0, name)
        found = Survey(sample.held_rows, found.categories)
    from_blocks = fits_from_blocks(name, row, pipeline, numeric, found, settings.resources)
    blocks = stream_tables(parts, membership, TRAIN, contract, BLOCK_ROWS)
    if digest:
        blocks = map(digest.update, blocks)
    if sample:
        blocks = (block.filter(pa.array(sample.held(block.column(KEY).to_numpy()))) for block in blocks)
    if from_blocks:
        logging.info("%s: in blocks, by resources.memory_mb or resources.in_memory_rows", name)
        with cached(blocks, numeric, categorical, contract.columns.target.column) as cache:
            yield InBlocks(cache, sample)
    else:
        whole = to_rows(pa.concat_tables(blocks), numeric, categorical, contract.columns.target.column)
        yield InMemory(whole, categorical, sample)
