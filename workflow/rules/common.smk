# The sweep: its points, as Hydra expands them, and where their results go.
import os
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from nerva.experiment import python_path
from nerva.experiment.config import composition as compose
from nerva.experiment.config import numerics
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.identity.fingerprint import digest
from nerva.experiment.records.privacy import private
from nerva.errors import NervaError

# The jobs' `nerva` is that which this file imports, of the Python that runs Snakemake, also if no environment is
# activated, or that of another checkout. What Snakemake itself puts before every command, to stop at the first error,
# has to be said again.
shell.prefix(
    f"set -euo pipefail; export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"
    f" PYTHONPATH={shlex.quote(python_path(os.environ.get('PYTHONPATH')))}; "
)


report: "../report/workflow.rst"


try:
    validate(config, "../schemas/config.schema.yaml")
except WorkflowError as error:
    wrong = str(error).partition("\n\n")[0]  # and then the whole schema
    raise WorkflowError(f"--config takes experiment, data, overrides and sample: {wrong}")
try:
    OVERRIDES = [f"data={config['data']}", *compose.split(config["overrides"])]
    POINTS = {point.run_id: point for point in compose.expand(config["experiment"], OVERRIDES)}
except (NervaError, OSError) as error:
    raise WorkflowError(str(error))

FIRST = next(iter(POINTS.values()))
CONFIG = FIRST.config
if NOTE := numerics.note(CONFIG.numerics.mode):
    print(NOTE, file=sys.stderr)
# For the text of Snakemake's report.
config |= {"title": CONFIG.title, "question": CONFIG.question}
RESULTS = Path(CONFIG.results_dir)
DATA = RESULTS / "data" / f"{CONFIG.data.name}.npz"
RUN = RunFolder.of(RESULTS, "{run}")
SWEEP = RESULTS / CONFIG.title
SUMMARIES = [RunFolder.of(RESULTS, run).summary for run in POINTS]
THIS = compose.sweep_of(list(POINTS.values()), OVERRIDES)
# `nerva track` and `nerva compare` expand the sweep as this file does.
SWEEP_ARGUMENTS = shlex.join([config["experiment"], *OVERRIDES])


wildcard_constraints:
    run="[0-9a-f]{12}",


def overrides(wildcards):
    """A point's overrides; it is one run, which the rule `track` logs if it isn't followed while it trains."""
    asked = [o for o in POINTS[wildcards.run].overrides if not o.startswith("hydra.mode=")]
    return shlex.join([*asked, "hydra.mode=RUN", "tracking.deferred=true", f"sweep.id={THIS.id}"])


def point(wildcards):
    """What tells a point from the others."""
    common = set.intersection(*(set(other.overrides) for other in POINTS.values())) if len(POINTS) > 1 else set()
    return " ".join(o for o in POINTS[wildcards.run].overrides if o not in common)
