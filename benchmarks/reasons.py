"""What reasons cost: scoring a file with them, in ratio to scoring it without, in one process.

    LOAN_DATA_DIR=… python -m benchmarks.reasons config/examples/loan_data.yaml

Trains each model on all rows of the config's raw file and scores the same file, with no reasons and with reasons for
refused applications (the default). Prints a Markdown table: the ratio is that of CPU time, of the better of two rounds
each, and the rows a second are those explained.
"""

import logging
import os
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from scripts.predict import Scorer
from scripts.preprocess import preprocess
from scripts.shared.config import Config, Model, load_config
from scripts.shared.config import Reasons as Options
from scripts.shared.fitting import fit
from scripts.shared.membership import to_frame
from scripts.shared.pipeline import build_pipeline
from scripts.streaming.reference import reference_in_memory

NATIVE = {"numeric": {"impute": False}, "categorical": {"encoding": "native"}}
BOOSTED = {"n_estimators": 200, "learning_rate": 0.05}
MODELS: dict[str, dict[str, object]] = {
    "`LogisticRegression`, splines": {
        "estimator": "sklearn.linear_model.LogisticRegression",
        "params": {"max_iter": 200},
        "numeric": {"transform": "spline", "knots": 10},
    },
    "`DecisionTreeClassifier`, depth 10": {
        "estimator": "sklearn.tree.DecisionTreeClassifier",
        "params": {"max_depth": 10, "min_samples_leaf": 50},
    },
    "`RandomForestClassifier`, 100 trees": {
        "estimator": "sklearn.ensemble.RandomForestClassifier",
        "params": {"n_estimators": 100, "min_samples_leaf": 20},
    },
    "`HistGradientBoostingClassifier`, 200 trees, native categories": {
        "estimator": "sklearn.ensemble.HistGradientBoostingClassifier",
        "params": {"max_iter": 200, "early_stopping": False},
        **NATIVE,
    },
    "`LGBMClassifier`, 200 trees, native categories": {
        "estimator": "lightgbm.LGBMClassifier",
        "params": BOOSTED,
        **NATIVE,
    },
    "`CatBoost`, 200 trees, one seed": {
        "estimator": "scripts.shared.catboosting.CatBoost",
        "params": {"iterations": 200},
        **NATIVE,
    },
}
ROUNDS = 2


def scorer_of(row: Model, settings: Config, table: pa.Table) -> Scorer:
    """Return a model, trained on all rows."""
    contract = settings.contract()
    numeric, categorical = contract.features_of(row)
    frame, target = to_frame(table, numeric, categorical), table.column(contract.columns.target.column).to_numpy()
    pipeline = build_pipeline("m", row, numeric, categorical, settings.seed)
    fit("m", pipeline, frame, target)
    known = {name: sorted(frame[name].dropna().unique()) for name in categorical}
    card = {
        "contract": contract.model_dump(mode="json"),
        "features": {"numeric": numeric, "categorical": categorical, "categories": known},
        "reference_group": reference_in_memory(frame, target, categorical),
        "seed": settings.seed,
    }
    return Scorer(pipeline, card, 0.5, "v")


def seconds(scorer: Scorer, source: Path, settings: Config, options: Options, folder: Path) -> tuple[float, int]:
    """Return what it takes to score the file, and how many applications are refused."""
    scorer.reasons, scorer.reason_columns = None, []
    scorer.give_reasons(options, {})
    outputs = [folder / name for name in ("predictions", "rejects")]
    start = time.process_time()
    counts = scorer.score_file(source, *outputs, settings.predict, settings.rejects)
    return time.process_time() - start, counts["refused"]


def main(config: str) -> None:
    """Print the table."""
    logging.disable(logging.WARNING)
    settings = load_config(yaml.safe_load(Path(config).read_text()), config)
    source = Path(os.path.expandvars(settings.data.raw[0]))
    print("| model | refused | time with reasons / without | rows explained a second |")
    print("| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        preprocess(source, folder / "part", folder / "rejects", settings.contract(), settings.rejects)
        table = pq.read_table(folder / "part")
        for label, row in MODELS.items():
            scorer = scorer_of(Model(complexity=1, **row), settings, table)  # type: ignore[arg-type]
            plain, told = (
                min(seconds(scorer, source, settings, options, folder) for _ in range(ROUNDS))
                for options in (Options(count=0), Options())
            )
            rate = told[1] / max(told[0] - plain[0], 1e-9)
            share = told[1] / table.num_rows
            print(f"| {label} | {share:.0%} | {told[0] / plain[0]:.2f} | {float(f'{rate:.1e}'):,.0f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
