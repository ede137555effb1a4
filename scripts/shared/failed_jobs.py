"""What Snakemake notes of a job that has failed: nothing, once this is called. Imported by the Snakefile alone."""

import functools
from typing import Any


def note_nothing_of_failed_jobs(job_class: type[Any]) -> None:
    """Have a job that fails leave its record as its last success has made it.

    Snakemake (9.27) removes what a failed job has written, and records it as it does a finished one: with its inputs'
    checksums, params and code as they are now. Where what follows was made before, the next run sees a file that is not
    there and of which nothing has changed, and ends with "Nothing to be done" and exit code 0, on results of the old
    data. With the old record it sees that the input, or the config, is another one, and tries again.

    Parameters
    ----------
    job_class
        Snakemake's own.
    """
    postprocess = job_class.postprocess
    if hasattr(postprocess, "__wrapped__"):
        return

    @functools.wraps(postprocess)
    async def without_a_record(self: Any, *args: Any, error: bool = False, **options: Any) -> None:
        settings = self.dag.workflow.execution_settings
        kept = settings.keep_metadata
        settings.keep_metadata = kept and not error
        try:
            await postprocess(self, *args, error=error, **options)
        finally:
            settings.keep_metadata = kept

    job_class.postprocess = without_a_record
