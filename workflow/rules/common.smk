# The sweep: its plan, and where its results are written.
import atexit
import functools
import os
import shlex
import shutil
import sys
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate
from snakemake_interface_executor_plugins.settings import SharedFSUsage

from nerva.data.prepare import Prepared
from nerva.errors import NervaError
from nerva.experiment.config import numerics
from nerva.experiment.config.overrides import restore_quote, split_overrides
from nerva.experiment.identity.fingerprint import digest
from nerva.experiment.paths import python_path
from nerva.experiment.records.privacy import private, without_credentials
from nerva.experiment.sweep.batches import (
    needs_gpu,
    requested_megabytes,
    requested_minutes,
    split_into_batches,
)
from nerva.experiment.sweep.plan import Plan, read_plan, write_plan
from nerva.experiment.sweep.planning import load_or_write_plan, plan_experiment, plan_shared

# Jobs use the `nerva` and the Python of this process, even if no environment is activated. Snakemake's own prefix, which
# stops at the first error, has to be repeated.
shell.prefix(
    f"set -euo pipefail; export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"
    f" PYTHONPATH={shlex.quote(python_path(os.environ.get('PYTHONPATH')))}; "
)


report: "../report/workflow.rst"


# With these flags, Snakemake runs no jobs, and nerva must write nothing. Snakemake tells a Snakefile about --dry-run, but
# not about the other flags.
NO_JOB_FLAGS = (
    *("--lint", "--dag", "--d3dag", "--rulegraph", "--filegraph", "--summary", "-S", "--detailed-summary", "-D"),
    *("--list-rules", "--list", "-l", "--list-target-rules", "--lt", "--list-changes", "--lc", "--list-input-changes"),
    *("--li", "--list-params-changes", "--lp", "--list-untracked", "--lu", "--list-resources", "--list-conda-envs"),
    *("--report", "--reporter", "--unlock", "--touch", "-t", "--archive", "--delete-all-output", "--export-cwl"),
    *("--delete-temp-output", "--print-compilation", "--containerize", "--cleanup-metadata", "--cm"),
    *("--cleanup-shadow", "--generate-unit-tests", "--draft-notebook", "--edit-notebook", "--conda-create-envs-only"),
    *("--conda-cleanup-envs", "--conda-cleanup-pkgs", "--container-cleanup-images"),
)


def runs_no_job(word):
    """Whether a word of the command line is one of these flags. Snakemake accepts abbreviations of long flags."""
    name = word.split("=")[0]
    return name in NO_JOB_FLAGS or (
        len(name) > 4 and name.startswith("--") and any(f.startswith(name) for f in NO_JOB_FLAGS)
    )


# With the executor of a cluster, Snakemake sets the number of nodes, and leaves that of cores unset. But a dry run always
# has one core.
RESOURCES = workflow.resource_settings
NAMES_EXECUTOR = any(word.startswith(("--profile", "--executor", "-e")) for word in sys.argv)
ON_CLUSTER = RESOURCES.nodes is not None and (
    RESOURCES.cores is None or (workflow.output_settings.dryrun and NAMES_EXECUTOR)
)
# On a cluster, each job starts another Snakemake process, which is not the main process. It neither looks nor executes.
LOOKING = workflow.is_main_process and (
    workflow.output_settings.dryrun or (any(map(runs_no_job, sys.argv)) and "--report-after-run" not in sys.argv)
)
EXECUTING = workflow.is_main_process and not LOOKING

try:
    validate(config, "../schemas/config.schema.yaml")
except WorkflowError as error:
    reason = str(error).partition("\n\n")[0]  # the whole schema follows
    raise WorkflowError(
        "--config takes experiment, data, overrides, batch (auto or a number of runs), sample, search, trials, sampler "
        f"and pruner: {reason}"
    )
config["overrides"] = restore_quote(config["overrides"])
# `snakemake search` trains no sweep.
SEARCHING = "search" in sys.argv
try:
    SPACE = split_overrides(restore_quote(config["search"]))
    OVERRIDES = [f"data={config['data']}", *split_overrides(config["overrides"])]
    if not workflow.is_main_process:
        # The process of a job expands no sweep. It needs only the points of its batch, which it reads from another file.
        PLAN_FILE = Path(config["plan"])
        PLAN = read_plan(PLAN_FILE, all_points=False)
    elif SEARCHING:
        PLAN, PLAN_FILE = plan_shared(config["experiment"], OVERRIDES, settle=EXECUTING), None
    elif LOOKING:
        PLAN, PLAN_FILE = plan_experiment(config["experiment"], OVERRIDES), None
    else:
        PLAN, PLAN_FILE = load_or_write_plan(config["experiment"], OVERRIDES)
except NervaError as error:
    raise WorkflowError(str(error))
except OSError as error:
    raise WorkflowError(f"{error.filename}: {error.strerror}")

CONFIG = PLAN.config
if EXECUTING:
    # Snakemake passes these to the process of each job. The overrides are left out: they may contain passwords.
    workflow.config_settings.config_args = [f"{key}={config[key]!r}" for key in ("experiment", "data")] + [
        f"plan={str(PLAN_FILE)!r}"
    ]
if NOTE := numerics.note(CONFIG.numerics.mode):
    print(NOTE, file=sys.stderr)
if CONFIG.data.note and LOOKING:
    print(f"{CONFIG.data.title}, {CONFIG.data.note}", file=sys.stderr)
# Snakemake's report shows these.
config |= {"title": CONFIG.title, "question": CONFIG.question}
RESULTS = Path(CONFIG.results_dir)
if "{" in str(RESULTS) or "}" in str(RESULTS):
    raise WorkflowError(
        f"results_dir is {RESULTS}, but Snakemake takes braces in a path for wildcards; use another name"
    )
SWEEP_DIR = PLAN.results
LOGS = RESULTS / "logs"
DATA = Prepared.of(CONFIG.data, CONFIG.data_dir).npz
# The jobs `store`, `track` and `compare` read the plan. They are given the experiment and the overrides as well, so that
# the commands in Snakemake's report can be read.
SWEEP_ARGUMENTS = (
    f"{shlex.join([config['experiment'], *map(without_credentials, OVERRIDES)])} --plan {shlex.quote(str(PLAN_FILE))}"
)

if private(CONFIG.tracking.uri) != CONFIG.tracking.uri:
    # A plan contains no password. The jobs get the address with its password from the environment.
    os.environ |= {"MLFLOW_TRACKING_URI": CONFIG.tracking.uri}


# This call of Snakemake. Files that belong to one call have its name, so that calls at the same time do not share them.
CALL = f"{PLAN.sweep.id}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"


BATCHES = {}  # the points of each batch, by its name


def name_batches(batches, folder):
    """Name each batch. If jobs will run, write a plan for each batch, too. Its file is deleted when this process exits."""
    named = {f"{CALL}-{number}": batch for number, batch in enumerate(batches, 1)}
    if EXECUTING:
        for name, batch in named.items():
            write_plan(Plan(batch, PLAN.sweep, PLAN.modified, PLAN.rules), folder / f"{name}.plan")
            atexit.register((folder / f"{name}.plan").unlink, missing_ok=True)
    BATCHES.update(named)
    return [*named]


def resources_of_batches(folder):
    """The resources of a batch's job. Each retry doubles memory and time, because the job may have exceeded its limit.

    Only jobs on a cluster are retried; `retries` in the profile says how often.
    """

    @functools.cache
    def points(batch):
        # The process of a job does not know the batches, and reads the plan of its batch.
        return BATCHES.get(batch) or read_plan(folder / f"{batch}.plan").points

    return {
        "mem_mb": lambda wildcards, attempt: requested_megabytes(points(wildcards.batch)) * 2 ** (attempt - 1),
        "runtime": lambda wildcards, attempt: requested_minutes(points(wildcards.batch)) * 2 ** (attempt - 1),
        "gpu": lambda wildcards: int(needs_gpu(points(wildcards.batch))),
    }


def check_cluster():
    """Check what jobs on a cluster need. Snakemake knows its executor only after it has read the Snakefile."""
    if workflow.executor_plugin.name == "slurm" and not shutil.which("sbatch"):
        raise WorkflowError(
            "there is no Slurm here: sbatch is not in PATH; call snakemake on a login node of the cluster"
        )
    if SEARCHING and not workflow.local_exec:
        raise WorkflowError("a search trains on one machine; call snakemake without the profile of a cluster")
    if not workflow.local_exec and SharedFSUsage.INPUT_OUTPUT not in workflow.storage_settings.shared_fs_usage:
        raise WorkflowError(
            "nerva needs a file system that all nodes share, because the folders of runs are not declared as outputs of "
            "Snakemake's rules; see docs/scale.md"
        )
