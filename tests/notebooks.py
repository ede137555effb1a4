"""What the tests of the notebooks share: the line that runs one from top to bottom, and what its cells have said."""

from pathlib import Path

import nbformat


def execution(bin_folder: str, notebook: str, seconds: int) -> list[str]:
    """Return the command that runs a notebook in place, as docs/jupyter.md says, with that environment's own Python.

    It ends with an error where a cell does, or takes longer than so many seconds.
    """
    # A user's kernel of the same name, with another Python, must not come first.
    own = ["env", "JUPYTER_PREFER_ENV_PATH=1", f"{bin_folder}/jupyter-execute"]
    return [*own, "--inplace", "--kernel_name=python3", f"--timeout={seconds}", notebook]


class Executed:
    """A notebook that was run."""

    def __init__(self, path: Path) -> None:
        self.cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]

    @property
    def counts(self) -> list[int]:
        """The order in which the cells were run."""
        return [cell.execution_count for cell in self.cells]

    @property
    def pictures(self) -> int:
        """How many figures there are."""
        return sum("image/png" in output.get("data", {}) for cell in self.cells for output in cell.outputs)

    @property
    def complaints(self) -> str:
        """What went to standard error: warnings, mostly."""
        return "".join(
            o.text for c in self.cells for o in c.outputs if o.output_type == "stream" and o.name == "stderr"
        )

    def said(self, piece: str) -> str:
        """Return what the one cell that holds a piece of code has said, tables as text."""
        (cell,) = [cell for cell in self.cells if piece in cell.source]
        return "\n".join(o.text if o.output_type == "stream" else o.data.get("text/plain", "") for o in cell.outputs)
