"""What the figures of the test rows cost, and what binned scores change in the bootstrap.

Prints, for the rows given (a quarter of a million and 4 million unless others are), seconds and peak memory of the
performance figures of one model and of 1,000 paired resamples of three models; how both grow with the rows; and, on the
fewest rows, by how much bins of scores change the standard deviation of each metric and of its difference between two
models, on the same draws. Run: python -m benchmarks.figures [ROWS …]
"""

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from scripts.shared import resampling
from scripts.shared.config import METRICS, Cost
from scripts.shared.performance import performance

ROWS = (250_000, 4_000_000)
RESAMPLES = 1000
FINE = 20_000  # so many bins that each holds a dozen rows or fewer
COMPARED = 250_000
Target = npt.NDArray[np.int8]
Scores = dict[str, npt.NDArray[np.float64]]


def invented(rows: int) -> tuple[Target, Scores]:
    """Return the outcome (some 14 % default) and scores of three models that agree about as real ones do."""
    random = np.random.default_rng(5)
    risk = random.normal(-3.2, 2.2, rows)
    target = (random.random(rows) < 1 / (1 + np.exp(-risk))).astype(np.int8)
    scores = {f"m{i}": 1 / (1 + np.exp(-risk - 0.6 * random.normal(size=rows))) for i in range(3)}
    scores["m2"] = np.round(scores["m2"], 2)  # as of a tree: few scores differ
    return target, scores


def figures(rows: int) -> None:
    """Make the performance figures of one model."""
    target, scores = invented(rows)
    performance(target, scores["m0"], 0.5, Cost())


def resamples(rows: int) -> None:
    """Draw the paired resamples of three models."""
    target, scores = invented(rows)
    resampling.resample(target, scores, METRICS, RESAMPLES, 1, dict.fromkeys(scores, 0.5))


def nothing(rows: int) -> None:
    """Invent the rows and nothing else: what the others are measured above."""
    invented(rows)


def _measured(work: Callable[[int], None], rows: int, answer: "multiprocessing.Queue[tuple[float, float]]") -> None:
    start = time.process_time()
    work(rows)
    answer.put((time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6))


def cost(work: Callable[[int], None], rows: int) -> tuple[float, float]:
    """Return CPU seconds and peak GB of some work in a process of its own, the rows' invention included."""
    context = multiprocessing.get_context("spawn")
    answer: multiprocessing.Queue[tuple[float, float]] = context.Queue()
    process = context.Process(target=_measured, args=(work, rows, answer))
    process.start()
    found = answer.get()
    process.join()
    return found


def change_by_bins(rows: int) -> dict[str, float]:
    """Return by metric the largest change of a standard deviation from usual bins to fine ones, on the same draws."""
    target, scores = invented(rows)
    thresholds = dict.fromkeys(scores, 0.5)
    found = []
    for bins in (resampling.BINS, FINE):
        resampling.BINS = bins
        found.append(resampling.resample(target, scores, METRICS, 256, 1, thresholds))
    usual, fine = found
    changes = {}
    for metric in METRICS:
        pairs = [(usual[name][metric], fine[name][metric]) for name in scores]
        for other in ("m1", "m2"):
            one, two = (way["m0"][metric] - way[other][metric] for way in found)
            pairs.append((one, two))
        changes[metric] = max(abs(float(one.std() / two.std()) - 1) for one, two in pairs)
    return changes


def main(sizes: list[int]) -> None:
    """Print the figures."""
    for work, name in ((figures, "figures of one model"), (resamples, f"{RESAMPLES} resamples of three models")):
        taken = []
        for rows in sizes:
            idle, (seconds, peak) = cost(nothing, rows), cost(work, rows)
            taken.append(seconds - idle[0])
            print(f"{name}, {rows:,} rows: {taken[-1]:.1f} s of CPU, {peak:.2f} GB at the peak")
        if len(sizes) > 1:
            print(f"{name}: {taken[-1] / taken[0]:.1f} times the time for {sizes[-1] / sizes[0]:.1f} times the rows")
    for metric, change in change_by_bins(max(min(sizes), COMPARED)).items():
        print(f"bins change the standard deviation of {metric} by at most {100 * change:.2f} %")


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or list(ROWS))
