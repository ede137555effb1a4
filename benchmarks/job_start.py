"""What a job costs beside its work: six stages one after another, as `script:` and as a light `shell:` line.

Both call the same function. Run: make bench [WHERE=pool]; on a pool of its own, each stage is a job there. Prints the
seconds of each round, and last the ratio of the medians.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pool.pool import PROJECT, Pool

ROOT = Path(__file__).resolve().parents[1]
STAGES, ROUNDS = 6, 3

SNAKEFILE = """
import os
os.environ["PYTHONPATH"] = {root!r}
os.environ["PATH"] = {bin!r} + os.pathsep + os.environ.get("PATH", os.defpath)

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


OPTIONS = ("--quiet", "all", "--scheduler", "greedy", "--forceall")


def write(folder: Path, root: str, programs: str) -> None:
    """Write both ways into a folder; `root` has the scripts, and `programs` Python."""
    (folder / "Snakefile").write_text(SNAKEFILE.format(root=root, bin=programs, stages=STAGES))
    (folder / "stage.py").write_text(SCRIPT)
    (folder / "metrics.json").write_text('{"model": "a", "roc_auc": 0.5}')


@contextlib.contextmanager
def here() -> Iterator[Callable[[str], None]]:
    """Give what runs one way on this machine."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), str(ROOT), str(Path(sys.executable).parent))
        command = [sys.executable, "-m", "snakemake", "--cores", "1", *OPTIONS]

        def run(way: str) -> None:
            subprocess.run([*command, "--config", f"way={way}"], cwd=folder, check=True, capture_output=True)

        yield run


@contextlib.contextmanager
def on_a_pool() -> Iterator[Callable[[str], None]]:
    """Give what runs one way on a pool of its own, where nothing else runs."""
    pool = Pool(f"bench-start-{os.getpid()}")
    try:
        pool.up()
        pool.sync()
        folder = pool.shared / "bench"
        folder.mkdir(mode=0o777)
        folder.chmod(0o777)
        write(folder, PROJECT, "/shared/environment/bin")
        snakemake = "/shared/environment/bin/snakemake --profile htcondor"
        line = f"cd /shared/bench && {snakemake} {' '.join(OPTIONS)} --config way="

        def run(way: str) -> None:
            done = pool.execute("ap", "bash", "-c", line + way, user="submit")
            if done.returncode:
                raise SystemExit(f"the run failed:\n{done.stdout[-3000:]}")

        yield run
    finally:
        pool.down()


def main() -> None:
    """Run both ways in turn and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--where", choices=["here", "pool"], default="here")
    place = here if parser.parse_args().where == "here" else on_a_pool
    times: dict[str, list[float]] = {"script": [], "shell": []}
    with place() as run:
        for number in range(ROUNDS):
            for way, taken in times.items():
                start = time.perf_counter()
                run(way)
                taken.append(time.perf_counter() - start)
            print(f"round {number + 1}: " + ", ".join(f"{way} {t[-1]:.2f} s" for way, t in times.items()), flush=True)
    medians = {way: statistics.median(taken) for way, taken in times.items()}
    print(f"{STAGES} stages: " + ", ".join(f"{way} {m:.2f} s" for way, m in medians.items()))
    print(f"ratio: {medians['shell'] / medians['script']:.2f}")


if __name__ == "__main__":
    main()
