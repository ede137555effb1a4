"""The console on a terminal: what Snakemake says, as it says it, above a live view of the run."""

import logging
from typing import Any, TextIO

from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter

from .jobs import Run
from .view import LiveView


class Console:
    """Shows records above the live view, with Snakemake's own filter, format and colours.

    Parameters
    ----------
    common
        Snakemake's output settings.
    stream
        A terminal.
    """

    def __init__(self, common: Any, stream: TextIO) -> None:
        self._view = LiveView(nocolor=bool(common.nocolor), stream=stream)
        self._handler = ColorizingTextHandler(
            nocolor=common.nocolor,
            stream=self._view.above(),
            formatter=DefaultFormatter(common.quiet, common.show_failed_logs),
        )
        self._handler.addFilter(
            DefaultFilter(common.quiet, common.debug_dag, common.verbose, common.dryrun, common.printshellcmds)
        )

    def show(self, record: logging.LogRecord) -> None:
        """Show a record where Snakemake would."""
        self._handler.handle(record)

    def update(self, run: Run) -> None:
        """Draw the run; the first time begins the live view."""
        self._view.update(run)

    def stop(self) -> None:
        """End the live view; what it showed last stays."""
        self._view.stop()
