"""The console on a terminal: what Snakemake says, as it says it, above a live view of the run."""

import logging
from collections.abc import Callable
from io import StringIO
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
        self._view = LiveView(stream)
        self._handler = ColorizingTextHandler(
            nocolor=common.nocolor,
            stream=_Above(self._view),
            formatter=DefaultFormatter(common.quiet, common.show_failed_logs),
        )
        self._handler.addFilter(
            DefaultFilter(common.quiet, common.debug_dag, common.verbose, common.dryrun, common.printshellcmds)
        )

    def show(self, record: logging.LogRecord) -> None:
        """Show a record where Snakemake would."""
        self._handler.handle(record)

    def drawing(self, run: Run) -> Callable[[], None]:
        """Return what draws the run as it stands now; the first time begins the live view."""
        update = self._view.drawing(run)

        def draw() -> None:
            self._view.start()
            update()

        return draw

    def stop(self) -> None:
        """End the live view; what it showed last stays."""
        self._view.stop()


class _Above(StringIO):
    """What is written here appears above the view, record by record."""

    def __init__(self, view: LiveView) -> None:
        super().__init__()
        self._view = view

    def isatty(self) -> bool:
        return True

    def flush(self) -> None:
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        if text:
            self._view.print(text.removesuffix("\n"))
