"""What a job costs beside its work: six stages one after another, as `script:` and as a light `shell:` line.

Both call the same function. Run: make bench. Prints seconds per job for each round, and last the ratio of the medians.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STAGES, ROUNDS = 6, 3

SNAKEFILE = """
import os
os.environ["PYTHONPATH"] = {root!r}
os.environ["PATH"] = {bin!r} + os.pathsep + os.environ["PATH"]

rule all:
    input: "script/{stages}.csv" if config["way"] == "script" else "shell/{stages}.csv"

rule first:
    output: "{{way}}/0.csv"
    shell: "cp metrics.json {{output}}"

for stage in range(1, {stages} + 1):
    rule:
        name: f"script_{{stage}}"
        input: previous=f"script/{{stage - 1}}.csv", metrics="metrics.json"
        output: f"script/{{stage}}.csv"
        script: "stage.py"

    rule:
        name: f"shell_{{stage}}"
        input: previous=f"shell/{{stage - 1}}.csv", metrics="metrics.json"
        output: f"shell/{{stage}}.csv"
        shell: "exec python -m scripts.step compare --metrics {{input.metrics}} --comparison {{output}}"
"""
SCRIPT = """
from pathlib import Path
from scripts.compare import main
main([Path(snakemake.input.metrics)], Path(snakemake.output[0]))
"""


def seconds(folder: Path, way: str) -> float:
    """Return the seconds of one run from nothing."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--cores",
        "1",
        "--quiet",
        "all",
        "--scheduler",
        "greedy",
        "--forceall",
    ]
    start = time.perf_counter()
    subprocess.run([*command, "--config", f"way={way}"], cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Run both ways in turn and print the ratio."""
    times: dict[str, list[float]] = {"script": [], "shell": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = SNAKEFILE.format(root=str(ROOT), bin=str(Path(sys.executable).parent), stages=STAGES)
        (folder / "Snakefile").write_text(text)
        (folder / "stage.py").write_text(SCRIPT)
        (folder / "metrics.json").write_text('{"model": "a", "roc_auc": 0.5}')
        for number in range(ROUNDS):
            for way, taken in times.items():
                taken.append(seconds(folder, way))
            print(f"round {number + 1}: " + ", ".join(f"{way} {t[-1]:.2f} s" for way, t in times.items()), flush=True)
    medians = {way: statistics.median(taken) for way, taken in times.items()}
    print(f"{STAGES} stages: " + ", ".join(f"{way} {m:.2f} s" for way, m in medians.items()))
    print(f"ratio: {medians['shell'] / medians['script']:.2f}")


if __name__ == "__main__":
    main()
