"""Step predict: score one file of new applications with the live model, in the file's own order."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from scripts.shared.cleaning import CleanBlock, Cleaner
from scripts.shared.config import Config, Contract, Predict, Rejects, read_config
from scripts.shared.config import Reasons as ReasonOptions
from scripts.shared.drift import Drift, read_reference
from scripts.shared.environment import SAME
from scripts.shared.files import atomic, read_json, write_json
from scripts.shared.fitness import check_golden, check_versions, tried
from scripts.shared.models import load_version
from scripts.shared.partitions import InputFile, planned_file
from scripts.shared.progress import Progress
from scripts.shared.reading import WHOLE, Part, column_names, part_of, read_blocks
from scripts.shared.reasons import Reasons, no_reasons, reason_columns
from scripts.shared.registry import PUBLISH_ANEW, live_version, reads_live_version
from scripts.shared.rejects import RejectsWriter
from scripts.shared.scoring import fast_scorer
from scripts.shared.values import LINE

REFUSE, APPROVE = "refuse", "approve"


def main(
    application: Path,
    live: Path,
    predictions: Path,
    rejects: Path,
    summary: Path,
    config: Path,
    plan: Path,
    shares: list[Path],
    pieces: list[Path],
    number: int,
) -> None:
    """Score one partition: a file of applications, or a share of it.

    The model brings its own contract: what its columns are, how they are cleaned and derived. So a file is always
    treated as the training data of the model that scores it, also after a rollback.

    Parameters
    ----------
    application
        CSV or Parquet; the target may be absent.
    live
        The registry's live pointer.
    predictions
        CSV: the id (or the line, where there is no id), probability_of_default, decision, model_version, and
        reason_1, reason_2, …: what raised the risk, most first.
    rejects
        Rows set aside: file, line, column, value, reason.
    summary
        Counts; rows in = predicted + rejected.
    config, plan
        The run's config (how missing columns and rejects are treated), and what it works on.
    shares, pieces
        What the step `divide` has found, where the file is divided; else empty.
    number
        The partition's number, from 1.
    """
    file, part = planned_file(plan, application), part_of(shares, pieces, number)
    settings = read_config(config)
    score_file(
        live_scorer(live, settings.predict.other_versions), file, [predictions, rejects, summary], settings, part
    )


@reads_live_version
def live_scorer(live: Path, other_versions: str = "refuse") -> "Scorer":
    """Return the live model, ready to score files.

    Raises
    ------
    UserError
        Where it can't be loaded, or was trained with other versions and `predict.other_versions` is `refuse`, or its
        golden rows come out otherwise.
    """
    folder = live_version(live)
    different = check_versions(folder, other_versions)  # before the model is loaded: that alone may go wrong
    with tried(folder, different):
        pipeline, card = load_version(folder, PUBLISH_ANEW)
        scorer = Scorer(
            pipeline, card, read_json(folder / "metrics.json")["threshold"], folder.name, read_reference(folder)
        )
        if different:
            scorer.environment = check_golden(folder, scorer.scorer, different)
    return scorer


def score_file(
    scorer: "Scorer", file: InputFile, outputs: Sequence[Path], settings: Config, part: Part = WHOLE
) -> None:
    """Score one file, or a part of it, and say how many rows; `outputs` are predictions, rejects and summary."""
    application = Path(file.path)
    predictions, rejects, summary = outputs
    scorer.give_reasons(settings.predict.reasons, settings.labels)
    file.check()
    counts = scorer.score_file(application, predictions, rejects, settings.predict, settings.rejects, part)
    file.check()
    write_json(summary, counts)
    logging.info(
        "%s: %s rows in, %s predicted, %s rejected",
        application,
        *(f"{counts[k]:,}" for k in ("rows_in", "rows_predicted", "rows_rejected")),
    )


def _needs_quotes(names: pa.ChunkedArray) -> bool:
    """Return whether a text is empty or missing, or may hold a mark for which CSV needs quotes."""
    if not pa.types.is_string(names.type):
        return False
    texts = names.combine_chunks()
    held = texts.buffers()[2]
    marks = b"" if held is None else held.to_pybytes()
    empty = texts.null_count or not pc.min(pc.binary_length(texts)).as_py()
    return bool(empty) or any(mark in marks for mark in b'",\n\r')


class Scorer:
    """A model that scores files.

    Parameters
    ----------
    pipeline, card
        The model and its card.
    threshold
        An application is refused from this probability on.
    version
        What the predictions are labelled with.
    reference
        What drift is measured against; None where the version has none.
    """

    def __init__(
        self,
        pipeline: Any,
        card: dict[str, Any],
        threshold: float,
        version: str,
        reference: dict[str, Any] | None = None,
    ) -> None:
        self.reference = reference
        self.contract = Contract.model_validate(card["contract"])
        self.numeric: list[str] = card["features"]["numeric"]
        self.categorical: list[str] = card["features"]["categorical"]
        self.scorer = fast_scorer(pipeline, self.numeric, self.categorical)
        self.known = {name: set(values) for name, values in card["features"]["categories"].items()}
        self.threshold = threshold
        self.version = version
        self.environment = SAME
        columns = self.contract.columns
        self.label = columns.id or "line"
        self.pipeline, self.card = pipeline, card
        self.reasons: Reasons | None = None
        self.reason_columns: list[str] = []
        self.all_reasons = False

    def give_reasons(self, options: ReasonOptions, labels: dict[str, str]) -> None:
        """Have predictions carry reasons, in the words of `labels`, or of the card where those have none."""
        if self.reason_columns or not options.count:
            return
        self.reason_columns = reason_columns(options.count)
        self.all_reasons = options.of == "all"
        if "reference_group" not in self.card:
            logging.warning(
                "warning: the model %s was trained before models had a reference group, so its predictions carry no "
                "reasons; train a new one, or set predict.reasons.count: 0",
                self.version,
            )
            return
        words = self.card.get("labels", {}) | labels
        self.reasons = Reasons.of(self.pipeline, self.card, options.count, words)

    def score_file(
        self,
        application: Path,
        predictions: Path,
        rejects: Path,
        options: Predict,
        policy: Rejects,
        part: Part = WHOLE,
    ) -> dict[str, Any]:
        """Write predictions and rejects of one file, or of a part of it; return the counts.

        Raises
        ------
        UserError
            Where the file can't be read, or lacks a column that the model needs.
        """
        cleaner = Cleaner(self.contract, training=False)
        columns = self.contract.columns
        optional = columns.features() if options.missing_columns == "impute" else []
        self._note_columns(application, optional)
        progress = Progress(f"predict {application.name}")
        counts: Counter[str] = Counter(rows_in=0, rows_predicted=0, refused=0)
        unseen: Counter[str] = Counter()
        drift = Drift(self.reference)
        with (
            atomic(predictions) as predictions_part,
            atomic(rejects) as rejects_part,
            rejects_part.open("w", encoding="utf-8", newline="") as rejects_file,
            predictions_part.open("wb") as predictions_file,
        ):
            rejected = RejectsWriter(rejects_file, str(application), policy.show_values)
            for raw in read_blocks(
                application, self.contract.format, columns.numeric, cleaner.text_columns(), optional, part=part
            ):
                clean = cleaner.clean(raw)
                rejected.write(clean.rejects)
                unseen.update(self._unseen(clean))
                scores = self.scorer.score(clean.table)
                drift.see(clean.table, scores)
                self.write_scores(clean.table, scores, predictions_file)
                counts.update(
                    rows_in=clean.rows_in,
                    rows_predicted=len(scores),
                    refused=int((scores >= self.threshold).sum()),
                )
                progress.at(counts["rows_in"], raw.done)
            if predictions_file.tell() == 0:
                self.write_scores(cleaner.schema().empty_table(), np.empty(0), predictions_file)
        if counts["rows_in"] == 0 and part.share is None:
            logging.warning("warning: %s has a header and no rows; its predictions are empty", application)
        for name, number in sorted(unseen.items()):
            logging.warning(
                "warning: %s: %d rows have a value of '%s' that training never saw",
                application,
                number,
                name,
            )
        return {
            "file": str(application),
            "model_version": self.version,
            "environment": self.environment,
            "rows_in": counts["rows_in"],
            "rows_predicted": counts["rows_predicted"],
            "rows_rejected": rejected.by_reason.total(),
            "refused": counts["refused"],
            "approved": counts["rows_predicted"] - counts["refused"],
            "rejected_by_reason": dict(sorted(rejected.by_reason.items())),
            "unseen_categories": dict(sorted(unseen.items())),
            "drift": drift.result(),
        }

    def write_scores(self, table: pa.Table, scores: npt.NDArray[np.float64], file: IO[bytes]) -> None:
        """Write the predictions of some rows, below a header where the file is empty.

        To look at each value for marks that need quotes is most of the writing. What stands after the score is one of
        two texts where there are no reasons, and the marks of all ids are found at once.
        """
        if file.tell() == 0:
            self.label_scores(table.slice(0, 0), scores[:0]).write_csv(file)
        names = table.column(self.contract.columns.id or LINE)
        if _needs_quotes(names):
            self.label_scores(table, scores).write_csv(file, include_header=False)
            return
        refused, approved = (self._after_score(decision) for decision in (REFUSE, APPROVE))
        score = pl.Series("score", scores)
        after = pl.when(pl.col("score") >= self.threshold).then(pl.lit(refused)).otherwise(pl.lit(approved))
        rows = pl.DataFrame([pl.Series(self.label, names), score]).with_columns(after=after)
        if self.reason_columns:
            ends = self._reasons(table, scores, quoted=True).select(end=pl.concat_str(pl.all(), separator=","))
            rows = rows.with_columns(after=pl.concat_str(pl.col("after"), ends.to_series(), separator=","))
        rows.write_csv(file, include_header=False, quote_style="never")

    def _after_score(self, decision: str) -> str:
        """Return what stands after the score, less reasons, with quotes where it needs them."""
        return pl.DataFrame({"d": [decision], "v": [self.version]}).write_csv(include_header=False).removesuffix("\n")

    def _reasons(self, table: pa.Table, scores: npt.NDArray[np.float64], quoted: bool = False) -> pl.DataFrame:
        """Return the columns of reasons; `quoted`: as CSV has them, where none is an empty text, else null."""
        if self.reasons is None:
            return no_reasons(self.reason_columns, len(scores), quoted)
        chosen = np.full(len(scores), True) if self.all_reasons else scores >= self.threshold
        return self.reasons.columns(table, chosen, quoted)

    def label_scores(self, table: pa.Table, scores: npt.NDArray[np.float64]) -> pl.DataFrame:
        """Return the predictions of some rows, as they are written."""
        score = pl.col("probability_of_default")
        names = pl.Series(self.label, table.column(self.contract.columns.id or LINE))
        return (
            pl.DataFrame([names, pl.Series("probability_of_default", scores)])
            .with_columns(
                decision=pl.when(score >= self.threshold).then(pl.lit(REFUSE)).otherwise(pl.lit(APPROVE)),
                model_version=pl.lit(self.version),
            )
            .with_columns(self._reasons(table, scores))
        )

    def _unseen(self, clean: CleanBlock) -> dict[str, int]:
        """Count the rows whose category was not there in training."""
        counts: dict[str, int] = {}
        for name in self.categorical:
            values = clean.table.column(name).combine_chunks()
            texts = values.dictionary.to_pylist()
            unseen = [index for index, text in enumerate(texts) if text not in self.known[name]]
            if unseen:  # perhaps in rejected rows alone
                used = np.bincount(values.indices.drop_null().to_numpy(), minlength=len(texts))
                if number := int(used[unseen].sum()):
                    counts[name] = number
        return counts

    def _note_columns(self, application: Path, optional: list[str]) -> None:
        present = set(column_names(application, self.contract.format))
        columns = self.contract.columns
        used = {*columns.features(), columns.id, columns.target.column, columns.group, columns.date}
        if extra := sorted(present - used):
            logging.info("%s: columns that the model doesn't use: %s", application, ", ".join(extra[:20]))
        for name in optional:
            if name not in present:
                logging.warning("warning: %s lacks the column '%s'; it is taken as missing", application, name)
