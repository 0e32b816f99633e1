"""The Python entry point: what `nerva.experiment` offers to scripts and notebooks.

This module imports nothing that imports NumPy. A script can therefore import it first, and numerics are pinned by the
first call that composes, plans, trains or replays. If NumPy has been imported before, as in most notebooks, each run is
trained in its own child process.
"""

import functools
import sys
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from nerva.errors import NervaError, RunFailedError
from nerva.experiment.config import numerics
from nerva.experiment.config.overrides import split_overrides

if TYPE_CHECKING:
    from nerva.experiment.config.schema import Config
    from nerva.experiment.run.replay import Verdict
    from nerva.experiment.sweep.plan import Plan
    from nerva.experiment.sweep.results import Run, Runs

Overrides = str | Sequence[str]


def compose(overrides: Overrides = ()) -> "Config":
    """The configuration of one run.

    Args:
        overrides: Hydra's overrides: a list, or one text in which spaces separate them, such as
            `"data=digits optimizer=nesterov seed=2"`.

    Returns:
        The configuration. `launch` trains it. `data=auto` is predicted from the files on this disk.

    Raises:
        NervaError: if a key or an option is unknown, a value has the wrong type or is out of range, or an override is a
            sweep.
    """
    overrides = _prepared(overrides)
    from nerva.experiment.config.validation import validate
    from nerva.experiment.sweep.planning import plan_command

    planned = plan_command(overrides, multirun=None, settle=False)
    if len(planned.points) != 1:
        raise NervaError(
            f"{' '.join(overrides)} is a sweep of {len(planned.points)} points, and compose gives one configuration; "
            "use plan"
        )
    validate(planned.config)
    return planned.config


def plan(overrides: Overrides = ()) -> "Plan":
    """The plan of a sweep. Nothing is trained or written.

    Args:
        overrides: Hydra's overrides, as for `compose`. Lists of values are sweeps: `"data=digits seed=1,2,3"`. An
            experiment of `conf/experiment/` is added by `"+experiment=quick"`.

    Returns:
        The plan. Each of its `points` has a configuration, a run id and a folder. `launch` trains them. `data=auto` is
        predicted from the files on this disk.

    Raises:
        NervaError: if a key or an option is unknown, or a value has the wrong type or is out of range.
    """
    overrides = _prepared(overrides)
    from nerva.experiment.sweep.planning import plan_command

    return plan_command(overrides, multirun=None, settle=False)


def launch(what: "Plan | Config | Overrides", progress: bool = True) -> "Runs":
    """Train one run or a sweep, one run after another. Runs that already exist are not trained again.

    The runs are logged to MLflow as their configurations say. Whatever interrupts the call, repeating it resumes.

    Args:
        what: a plan, a configuration, or overrides as for `plan`. Overrides settle `data=auto`, which may download.
        progress: whether progress is shown: as a bar in a notebook or a terminal, and otherwise as lines in stderr.

    Returns:
        The runs, in the order of the plan. A run that diverged is among them, with the status `failed`, and is named
        in a warning.

    Raises:
        NervaError: if overrides are wrong; or if runs could not be trained, after all others were.
        OSError: if the disk is full.
    """
    numerics.pin_for(())
    from tqdm import TqdmWarning

    from nerva.experiment.config.schema import Config
    from nerva.experiment.identity.identify import identify
    from nerva.experiment.sweep.finding import load
    from nerva.experiment.sweep.launcher import Launcher
    from nerva.experiment.sweep.plan import Plan, Point
    from nerva.experiment.sweep.planning import plan_command
    from nerva.experiment.sweep.progress import Progress

    if isinstance(what, Config):
        # Which overrides gave it is not known, and it may have been changed since.
        planned = Plan([Point(what, identify(what), (), ())], what.sweep, modified=False)
    elif isinstance(what, Plan):
        planned = what
    else:
        planned = plan_command(_prepared(what), multirun=None)
    if not planned.points:
        raise NervaError("the plan has no points, so that there is nothing to train")
    launcher = Launcher()
    planned.record()
    say = functools.partial(print, file=sys.stderr)
    shown = [(point.folder, point.config) for point in planned.points]
    try:
        with warnings.catch_warnings(), Progress(shown, say) if progress else nullcontext():
            # Packages that MLflow imports look for the widgets of notebooks, and warn if there are none.
            warnings.filterwarnings("ignore", "IProgress not found", TqdmWarning)
            try:
                launcher.launch_all(planned.points)
            finally:
                if isinstance(sys.exception(), Exception | None):  # not if the user interrupts it
                    launcher.finish()
    except RunFailedError as error:
        warnings.warn(str(error), stacklevel=2)
    trusted = frozenset(name for point in planned.points for name in point.config.imports)
    return load(planned.folders, planned.sweep.name or planned.config.title, trusted)


def runs(
    results: str | Path | None = None,
    experiment: str | None = None,
    data: str | None = None,
    sweep: str | None = None,
) -> "Runs":
    """The recorded runs that have ended. This only reads files: it needs neither Hydra nor MLflow.

    Args:
        results: the folder of the results. Default: `NERVA_RESULTS_DIR`, or else `results`.
        experiment: only the runs of this experiment, including those that earlier code trained.
        data: only the runs on this dataset.
        sweep: only the runs of the sweep with this id: `plan(...).sweep.id`, or a name in `results/sweeps/`.

    Returns:
        The runs. Damaged runs are left out, and named in a warning.

    Raises:
        NervaError: if there is no such folder, experiment, dataset or sweep, or no such run has ended.
    """
    from nerva.experiment.sweep.finding import recorded_runs

    return recorded_runs(results, experiment, data, sweep)


def replay(run: "Run | str | Path", trust: bool = False, overrides: Overrides = ()) -> "Verdict":
    """Train a recorded run again, in a temporary folder, and compare every metric and every weight.

    Args:
        run: a run, its folder, its id, or its id in MLflow.
        trust: whether the user-defined modules that the run names may be executed. Without it, a run that has some is
            not trained, and its verdict is not `identical`. Read their text before you trust them.
        overrides: where things are, such as `"results_dir=elsewhere"`.

    Returns:
        The verdict. `identical` tells whether nothing differs, `differences` what differs, `context` what has changed
        in the code and the environment, and `advice` how to restore the recorded code.

    Raises:
        NervaError: if there is no such run, it has not ended, or its records are damaged.
    """
    overrides = _prepared(overrides)
    from nerva.experiment.sweep.replays import verdict_of
    from nerva.experiment.sweep.results import Run

    name = run.folder.path.resolve() if isinstance(run, Run) else run
    return verdict_of(str(name), overrides, trust)


def _prepared(overrides: Overrides) -> list[str]:
    """The overrides as a list. Numerics are pinned, if NumPy has not been imported yet."""
    if not isinstance(overrides, str) and not (
        isinstance(overrides, Sequence) and all(isinstance(override, str) for override in overrides)
    ):
        raise NervaError(
            f"overrides should be a text or a list of texts, such as 'data=digits seed=1,2', not {overrides!r:.100}"
        )
    texts = split_overrides(overrides) if isinstance(overrides, str) else list(overrides)
    numerics.pin_for(tuple(texts))
    return texts
