"""The preflight: finds out, before the first job, what would stop a run on this pool.

`cli.py` is the command line, `checks.py` the checks in their order, `questions.py` what is asked of HTCondor, in
processes of their own (`asking.py`), `plan.py` what the run would submit, `probe.sh` what a node is asked, `nodes.py`
and `mounts.py` what its answer means, `compatible.py` which versions go together, `report.py` how it is told.
"""

from .checks import quick
from .cli import main
from .report import Check, Result

__all__ = ["Check", "Result", "main", "quick"]
