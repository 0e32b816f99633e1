# The sweep: its plan, and where its results are written.
import os
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from nerva.errors import NervaError
from nerva.experiment.config import numerics
from nerva.experiment.config.overrides import restore_quote, split_overrides
from nerva.experiment.identity.fingerprint import digest
from nerva.experiment.paths import python_path
from nerva.experiment.records.privacy import private
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.sweep.plan import plan_experiment

# Jobs use the `nerva` and the Python of this process, even if no environment is activated. Snakemake's own prefix, which
# stops at the first error, has to be repeated.
shell.prefix(
    f"set -euo pipefail; export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"
    f" PYTHONPATH={shlex.quote(python_path(os.environ.get('PYTHONPATH')))}; "
)


report: "../report/workflow.rst"


# Calls that only show something must not change anything. Snakemake tells a Snakefile which calls are dry runs, but not
# which ones only print.
PRINTING = (
    *("--lint", "--dag", "--d3dag", "--rulegraph", "--filegraph", "--summary", "-S", "--detailed-summary", "-D"),
    *("--list-rules", "--list", "-l", "--list-target-rules", "--lt", "--list-changes", "--list-input-changes"),
    *("--list-params-changes", "--list-untracked", "--list-resources", "--list-conda-envs", "--report", "--reporter"),
    *("--unlock", "--touch", "-t", "--archive", "--delete-all-output", "--delete-temp-output", "--print-compilation"),
    *("--containerize", "--cleanup-metadata", "--cleanup-shadow", "--generate-unit-tests", "--draft-notebook"),
)


def prints(word):
    """Whether a word of the command line is one of these flags. Snakemake accepts abbreviations of long flags."""
    name = word.split("=")[0]
    return name in PRINTING or (len(name) > 4 and name.startswith("--") and any(f.startswith(name) for f in PRINTING))


EXECUTING = workflow.is_main_process and not workflow.output_settings.dryrun and not any(map(prints, sys.argv))

try:
    validate(config, "../schemas/config.schema.yaml")
except WorkflowError as error:
    reason = str(error).partition("\n\n")[0]  # the whole schema follows
    raise WorkflowError(f"--config takes experiment, data, overrides and sample: {reason}")
config["overrides"] = restore_quote(config["overrides"])
try:
    OVERRIDES = [f"data={config['data']}", *split_overrides(config["overrides"])]
    SWEEP = plan_experiment(config["experiment"], OVERRIDES, settle=EXECUTING)
except (NervaError, OSError) as error:
    raise WorkflowError(str(error))

POINTS = {point.run_id: point for point in SWEEP.points}
CONFIG = SWEEP.config
if NOTE := numerics.note(CONFIG.numerics.mode):
    print(NOTE, file=sys.stderr)
if CONFIG.data.note and workflow.is_main_process and not EXECUTING:
    print(f"{CONFIG.data.title}, {CONFIG.data.note}", file=sys.stderr)
# Snakemake's report shows these.
config |= {"title": CONFIG.title, "question": CONFIG.question}
RESULTS = Path(CONFIG.results_dir)
if "{" in str(RESULTS) or "}" in str(RESULTS):
    raise WorkflowError(
        f"results_dir is {RESULTS}, but Snakemake takes braces in a path for wildcards; use another name"
    )
SWEEP_DIR = SWEEP.results
LOGS = RESULTS / "logs"
DATA = RESULTS / "data" / f"{CONFIG.data.name}.npz"
RUN = RunFolder.of(RESULTS, "{run}")
RECORDS = [RunFolder.of(RESULTS, run).record for run in POINTS]
# `nerva track` and `nerva compare` plan the sweep as this file does.
SWEEP_ARGUMENTS = shlex.join([config["experiment"], *OVERRIDES])


wildcard_constraints:
    run="[0-9a-f]{12}",


def overrides(wildcards):
    """The overrides of a point. Short runs are logged by the rule `track`."""
    asked = [o for o in POINTS[wildcards.run].overrides if not o.startswith("hydra.mode=")]
    return shlex.join([*asked, "hydra.mode=RUN", "tracking.deferred=true", f"sweep.id={SWEEP.sweep.id}"])


def point(wildcards):
    """The overrides that distinguish a point from the others."""
    common = set.intersection(*(set(other.overrides) for other in POINTS.values())) if len(POINTS) > 1 else set()
    return " ".join(o for o in POINTS[wildcards.run].overrides if o not in common)
