# The sweep: its plan, and where its results are written.
import atexit
import os
import shlex
import shutil
import sys
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake_interface_executor_plugins.settings import SharedFSUsage
from snakemake.utils import validate

from nerva.errors import NervaError
from nerva.experiment.config import numerics
from nerva.experiment.config.overrides import restore_quote, split_overrides
from nerva.experiment.identity.fingerprint import digest
from nerva.experiment.paths import python_path
from nerva.experiment.records.privacy import private
from nerva.experiment.sweep.batches import megabytes, minutes, needs_gpu, split_into_batches
from nerva.experiment.sweep.plan import Plan, read_plan, write_plan
from nerva.experiment.sweep.planning import load_or_write_plan, plan_experiment

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
    *("--list-rules", "--list", "-l", "--list-target-rules", "--lt", "--list-changes", "--list-input-changes"),
    *("--list-params-changes", "--list-untracked", "--list-resources", "--list-conda-envs", "--report", "--reporter"),
    *("--unlock", "--touch", "-t", "--archive", "--delete-all-output", "--delete-temp-output", "--print-compilation"),
    *("--containerize", "--cleanup-metadata", "--cleanup-shadow", "--generate-unit-tests", "--draft-notebook"),
)


def runs_no_job(word):
    """Whether a word of the command line is one of these flags. Snakemake accepts abbreviations of long flags."""
    name = word.split("=")[0]
    return name in NO_JOB_FLAGS or (
        len(name) > 4 and name.startswith("--") and any(f.startswith(name) for f in NO_JOB_FLAGS)
    )


# A cluster has nodes, and no number of cores. A dry run has one core in any case.
RESOURCES = workflow.resource_settings
ON_CLUSTER = RESOURCES.nodes is not None and (RESOURCES.cores is None or workflow.output_settings.dryrun)
# A job of a cluster has a Snakemake process of its own, which is not the main process.
LOOKING = workflow.is_main_process and (workflow.output_settings.dryrun or any(map(runs_no_job, sys.argv)))
EXECUTING = workflow.is_main_process and not LOOKING

try:
    validate(config, "../schemas/config.schema.yaml")
except WorkflowError as error:
    reason = str(error).partition("\n\n")[0]  # the whole schema follows
    raise WorkflowError(
        f"--config takes experiment, data, overrides, batch (auto or a number of runs) and sample: {reason}"
    )
config["overrides"] = restore_quote(config["overrides"])
try:
    OVERRIDES = [f"data={config['data']}", *split_overrides(config["overrides"])]
    if not workflow.is_main_process:
        # The process of a job expands no sweep. It needs the points of its batch only, which have a file of their own.
        PLAN_FILE = Path(config["plan"])
        PLAN = read_plan(PLAN_FILE, all_points=False)
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
    # Snakemake gives these to its processes for jobs, in place of the overrides, which may have passwords.
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
DATA = RESULTS / "data" / f"{CONFIG.data.name}.npz"
# The jobs `store`, `track` and `compare` read the plan. A report shows their commands with the experiment and overrides.
SWEEP_ARGUMENTS = f"{shlex.join([config['experiment'], *OVERRIDES])} --plan {shlex.quote(str(PLAN_FILE))}"

if private(CONFIG.tracking.uri) != CONFIG.tracking.uri:
    # Plans have no passwords. Jobs inherit this variable.
    os.environ |= {"MLFLOW_TRACKING_URI": CONFIG.tracking.uri}


# This call of Snakemake. Files that belong to one call have its name, so that calls at the same time do not share them.
CALL = f"{PLAN.sweep.id}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"


BATCHES = {}  # the points of each batch, by its name


def name_batches(batches, folder):
    """Name each batch. If jobs will run, write a plan for each batch, too. Its file is deleted when this call ends."""
    named = {f"{CALL}-{number}": batch for number, batch in enumerate(batches, 1)}
    if EXECUTING:
        for name, batch in named.items():
            write_plan(Plan(batch, PLAN.sweep, PLAN.modified), folder / f"{name}.plan")
            atexit.register((folder / f"{name}.plan").unlink, missing_ok=True)
    BATCHES.update(named)
    return [*named]


def resources_of_batches(folder):
    """What the job of a batch needs. It is doubled if the job is repeated, because too little may have ended it.

    Only jobs of a cluster are repeated; `retries` in their profile says how often.
    """

    def points(batch):
        # The process of a job does not know the batches, and reads the file of its own.
        return BATCHES.get(batch) or read_plan(folder / f"{batch}.plan").points

    return {
        "mem_mb": lambda wildcards, attempt: megabytes(points(wildcards.batch)) * 2 ** (attempt - 1),
        "runtime": lambda wildcards, attempt: minutes(points(wildcards.batch)) * 2 ** (attempt - 1),
        "gpu": lambda wildcards: int(needs_gpu(points(wildcards.batch))),
    }


def check_cluster():
    """Check what the jobs of a cluster need. Snakemake knows its executor only after it has read the Snakefile."""
    if workflow.executor_plugin.name == "slurm" and not shutil.which("sbatch"):
        raise WorkflowError(
            "there is no Slurm here: sbatch is not in PATH; call snakemake on a login node of the cluster"
        )
    if not workflow.local_exec and SharedFSUsage.INPUT_OUTPUT not in workflow.storage_settings.shared_fs_usage:
        raise WorkflowError(
            "nerva needs a file system that all nodes share, because the folders of runs are no outputs of Snakemake's "
            "rules; see docs/scale.md"
        )
