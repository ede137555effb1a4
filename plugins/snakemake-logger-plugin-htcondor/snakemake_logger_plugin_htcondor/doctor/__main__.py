"""``python -m snakemake_logger_plugin_htcondor.doctor``."""

import sys

from .cli import main

sys.exit(main())
