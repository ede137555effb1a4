# What the rules share: the validated config, the files of this run, and what a job asks for.
import atexit
import gc
import json
import math
import os
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.jobs import Job
from snakemake.logging import logger

# Every job parses this file again, on whichever host it runs: so each finds the project's modules, and the Python that
# runs Snakemake also runs the steps.
ROOT = Path(workflow.basedir).parent
os.environ.update(PYTHONPATH=str(ROOT), PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]))
sys.path.insert(0, str(ROOT))
# Python's last sweep over all that Snakemake made takes 0.2 s in each job, and does nothing for us.
atexit.register(gc.freeze)

from scripts.shared.code_hash import code_hash, code_hash_of
from scripts.shared.errors import UserError
from scripts.shared.failed_jobs import note_nothing_of_failed_jobs
from scripts.shared.files import remove_remains, sha256_file
from scripts.shared.inputs import variables
from scripts.shared.ownership import forget_owner, record_owner, release_stale_lock
from scripts.shared.partitions import batches, partitions_of, to_ask_for
from scripts.shared.plan import FROZEN_CONFIG, FROZEN_PLAN, frozen_plan, make_plan

# What the run works on is looked at once, by the main process; its jobs read what that has frozen.
try:
    PLAN = make_plan(config) if workflow.is_main_process else frozen_plan()
except UserError as error:
    raise WorkflowError(str(error)) from None

# A run after one that failed would find nothing to do.
if workflow.is_main_process:
    note_nothing_of_failed_jobs(Job)

# A killed run leaves Snakemake's lock behind. Its owner is provably dead, so the next run goes on without being asked; a lock
# whose owner lives, or can't be checked from here, stays Snakemake's affair.
if workflow.is_main_process and (owner := release_stale_lock()):
    logger.warning(f"{owner} was ended before it was done; its lock is removed and the run resumes.")

# Each job parses this file, so it needs the variables by which the config names files.
workflow.register_envvars(*variables([*PLAN.config.data.raw, *PLAN.config.data.applications]))

CONFIG, RAW, APPLICATIONS, LIVE = PLAN.config, PLAN.raw, PLAN.applications, PLAN.live
LOCK = os.path.relpath(ROOT / "requirements.lock")
LOCK_CHECKSUM = sha256_file(Path(LOCK))
CONTRACT = CONFIG.contract().model_dump(mode="json")
# What models see of it: a column that is only observed trains nothing anew.
SEEN = CONTRACT | {"columns": {key: value for key, value in CONTRACT["columns"].items() if key != "observed"}}
REJECTS = CONFIG.rejects.model_dump(mode="json")


# One environment for all steps: they share their libraries, and it is the one that Snakemake itself runs in. So it is used
# as it is; with `--software-deployment-method conda`, Snakemake builds it from the same lock instead.
ENVIRONMENT = str(ROOT / "environment.yml")

# As jobs read them: frozen when the run starts. Rules name the parts that they depend on in their params, so that a change
# reruns exactly the rules that it concerns.
CONFIG_FILE, PLAN_FILE = str(FROZEN_CONFIG), str(FROZEN_PLAN)

# What a training job asks for: its rows go to scratch disk where they don't fit in memory (LightGBM's as 8-byte numbers,
# one-hot: some ten bytes for each of compressed Parquet).
TRAINING = {"memory_per_input": 100, "most_mb": CONFIG.resources.memory_mb, "disk_per_input": 12}

# What decides whether a model is fitted in memory or from blocks. Within rounding, and a tree's bins, it is the same.
IN_BLOCKS = json.dumps([CONFIG.resources.memory_mb, CONFIG.resources.in_memory_rows])

# Requests are multiples of this; and what Python takes with a step's libraries imported, before any data.
STEP_MB, IMPORTS_MB = 500, 300


def as_json(value):
    """Sorted, so that equal values are equal texts to Snakemake."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def row_of(model):
    """What a model's row says of the model itself: its search is the affair of the rules that tune."""
    return as_json(CONFIG.models[model].model_dump(mode="json", exclude={"tune"}))


def trials_of(model, rounds):
    """The files of all trials of some rounds."""
    return [path for each in rounds for path in expand(TRIAL, model=model, round=each.number, trial=each.names)]


def tuned_of(model):
    """What a model is trained with beside its row."""
    return expand(TUNED, model=model) if model in SEARCHES else []


def calibration_of(model):
    """What the scores of a model are calibrated by."""
    return expand(CROSS_VALIDATION, model=model) if CONFIG.models[model].calibration != "none" else []


def estimator_code(model):
    """The hash of the code of a model's estimator, where it is one of ours."""
    return code_hash_of(CONFIG.models[model].estimator)


def code_of(module):
    """The hash of a step's code, as a function: a job computes its own step's alone."""
    return lambda wildcards: code_hash(module)


def step(module, arguments):
    """The shell line of a step.

    It starts faster than a `script:` would (benchmarks/job_start.py). `exec` makes the step a child of
    Snakemake itself, so that it ends when Snakemake is killed.
    """
    return f"exec python -m scripts.step {module} --log {{log:q}} --threads {{threads}} {arguments}"


def requests(memory_per_input=4.0, most_mb=math.inf, disk_per_input=2, divided_by=lambda wildcards: 1):
    """What a job asks for, here and on the pool.

    Both grow with the size of the input, or with a job's part of it where the input is divided, and double with each
    attempt; memory to `most_mb` only, within which a training job keeps by itself. In steps, since HTCondor matches jobs
    of equal requests at once, and a slot that one of them leaves serves the next without a negotiation.
    """

    def in_steps(least, needed, attempt):
        return max(least, math.ceil(needed / STEP_MB) * STEP_MB) * 2 ** (attempt - 1)

    def mem_mb(wildcards, input, attempt):
        needed = min(most_mb, IMPORTS_MB + memory_per_input * input.size_mb / divided_by(wildcards))
        return in_steps(CONFIG.resources.mem_mb, needed, attempt)

    def disk_mb(wildcards, input, attempt):
        return in_steps(CONFIG.resources.disk_mb, disk_per_input * input.size_mb / divided_by(wildcards), attempt)

    return {"mem_mb": mem_mb, "disk_mb": disk_mb}


def of_share(path, kind, partitions, wildcard):
    """What the step `divide` has written of a partition's file; nothing where the file isn't divided.

    It may be written anew for the sake of one partition whose output is lost: the others need not be made again for that.
    Where the file itself has changed, they are.
    """

    def found(wildcards):
        partition = partitions[wildcards[wildcard]]
        return expand(path, kind=kind, file=partition.file) if partition.of > 1 else []

    return ancient(found)


def of_application(path):
    """The files of all shares of an application file, in order."""
    return lambda wildcards: expand(
        path, share=[name for name, share in SHARES_OF_APPLICATIONS.items() if share.file == wildcards.application]
    )


onstart:
    if workflow.execution_settings.lock:
        try:
            record_owner(workflow.executor_plugin.name)
        except UserError as error:
            raise WorkflowError(str(error)) from None
    remove_remains(Path("results"))
    PLAN.freeze()


onsuccess:
    forget_owner()


onerror:
    # Where the schedd was away, jobs may be in its queue still: a later run has to know.
    if not getattr(workflow, "htcondor_jobs_left", False):
        forget_owner()
