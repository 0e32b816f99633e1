"""Replaying runs that are named by an id or a folder, and the runs of a sweep."""

import random
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from nerva.errors import NervaError
from nerva.experiment.config.schema import Config
from nerva.experiment.identity.identify import identify
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.run.replay import History, Verdict, replay
from nerva.experiment.sweep.plan import Plan

Say = Callable[[str], object]


def replay_experiment(plan: Plan, sample: int | None, trust: bool, say: Say) -> bool:
    """Replay the recorded runs of a plan; return whether all of them are identical.

    Args:
        plan: the plan.
        sample: how many runs, chosen at random. Default: all.
        trust: whether user-defined modules may be executed. Those that the plan's own overrides name are trusted,
            because they were imported to make the plan.
        say: prints a line.

    Raises:
        NervaError: if no run is recorded.
    """
    config, total = plan.config, len(plan.points)
    runs = _recorded(plan, say)
    if not runs:
        raise NervaError(
            f"none of the {total} runs of {config.title} has been trained with the present code"
            " (of a run that other code trained, `nerva replay RUN` lists the functions that differ)"
        )
    if len(runs) < total:
        say(f"{total - len(runs)} of {total} runs have not been trained yet")
    runs = random.sample(runs, min(sample or len(runs), len(runs)))
    identical = _replay_all(runs, config, trust or bool(config.imports), say)
    say(f"{identical} of {len(runs)} runs are identical")
    return identical == len(runs)


def replay_all(plan: Plan, trust: bool, say: Say) -> bool:
    """Replay the runs of a plan; return whether all of them are identical.

    Args:
        plan: the plan.
        trust: whether user-defined modules may be executed.
        say: prints a line.
    """
    return _replay_all([point.run_id for point in plan.points], plan.config, trust, say) == len(plan.points)


def _replay_all(runs: Iterable[str], config: Config, trust: bool, say: Say) -> int:
    """Replay runs, and return how many of them are identical."""
    identical = 0
    for run in runs:
        try:
            identical += _say_verdict(_replay(run, config, trust), say)
        except (NervaError, OSError) as error:
            say(f"{run}  can't be replayed: {error}")
    return identical


def replay_one(run: str, overrides: Sequence[str], trust: bool, say: Say) -> bool:
    """Replay a run that is named by its id, its folder or its id in MLflow; return whether it is identical.

    Args:
        run: the name.
        overrides: where things are.
        trust: whether the user-defined modules that the run names may be executed.
        say: prints a line.

    Raises:
        NervaError: as `verdict_of`.
    """
    return _say_verdict(verdict_of(run, overrides, trust), say)


def verdict_of(run: str, overrides: Sequence[str] = (), trust: bool = False) -> Verdict:
    """Replay a run that is named by its id, its folder or its id in MLflow.

    Args:
        run: the name.
        overrides: where things are.
        trust: whether the user-defined modules that the run names may be executed.

    Raises:
        NervaError: if there is no such run, it has not ended, or its records are damaged.
    """
    from nerva.experiment.config.composition import compose

    # The recorded configuration is replayed, whatever the dataset is here; `data=auto` would search for one.
    config = compose(["data=digits", *overrides])
    if overrides and identify(config).run_id != identify(compose(["data=digits"])).run_id:
        raise NervaError(
            f"a run is replayed as it was recorded, and {' '.join(overrides)} would give another run;"
            " overrides only say where things are, such as results_dir=elsewhere"
        )
    beside = not any(override.startswith("results_dir=") for override in overrides)
    return _replay(run, config, trust, beside)


def _recorded(plan: Plan, say: Say) -> list[str]:
    """The ids of the runs that have ended, including those with damaged records."""
    tracking = plan.config.tracking
    # These files are written at the end of a run.
    ended = [f for f in plan.folders if any(file.exists() for file in (f.weights, f.best, f.record))]
    runs = [folder.run_id for folder in ended]
    if len(runs) < len(plan.points) and tracking.enabled:
        from nerva.experiment.tracking import logged_run_ids

        try:
            logged = logged_run_ids(tracking.uri)
        except NervaError as error:
            if not runs:
                raise
            say(str(error))
            logged = set()
        runs += [folder.run_id for folder in plan.folders if not folder.path.is_dir() and folder.run_id in logged]
    return runs


def _say_verdict(verdict: Verdict, say: Say) -> bool:
    """Print a verdict; return whether the run is identical."""
    outcome = f"identical ({verdict.compared})" if verdict.identical else "different"
    say(f"{verdict.run_id}  {outcome}")
    for line in (*verdict.differences, *verdict.context):
        say(f"  {line}")
    if verdict.advice:
        say("  to restore the code that computed it:")
    for line in verdict.advice:
        say(f"    {line}")
    return verdict.identical


def _replay(run: str, config: Config, trust: bool, beside: bool = False) -> Verdict:
    """Replay a run.

    Args:
        run: the run's id, its id in MLflow, or its folder.
        config: where things are.
        trust: whether user-defined modules may be executed.
        beside: whether the prepared data may be beside a run folder that is elsewhere.
    """
    downloads = Path(tempfile.mkdtemp(prefix="nerva-recorded-"))
    keep = False
    try:
        recorded, results_dir, logged = _find(run, config, downloads, beside)
        verdict = replay(recorded, results_dir, logged, trust)
        # What the verdict refers to has to exist after this call.
        keep = any(str(downloads) in line for line in (*verdict.differences, *verdict.advice))
        return verdict
    finally:
        if not keep:
            shutil.rmtree(downloads)


def _find(run: str, config: Config, downloads: Path, beside: bool) -> tuple[RunFolder, str, dict[str, History]]:
    """The folder of a run, the results folder that has its data, and the metrics that MLflow has of it."""
    if run and Path(run).is_dir():
        recorded = RunFolder(Path(run).resolve())
        if not any(file.exists() for file in recorded.evidence):
            raise NervaError(f"{run} is not the folder of a run")
        results_dir = recorded.path.parent.parent
        found = beside and (results_dir / "data").is_dir()
        return recorded, str(results_dir) if found else config.results_dir, {}
    if not re.fullmatch("[0-9a-f]{12}|[0-9a-f]{32}", run):
        raise NervaError(f'"{run}" is neither a folder nor an id, which has 12 hexadecimal digits, or 32 in MLflow')
    recorded = RunFolder.of(config.results_dir, run)
    if recorded.path.is_dir():
        return recorded, config.results_dir, {}
    if not config.tracking.enabled:
        raise NervaError(f"there is no run {run} in {recorded.path.parent}, and tracking is off")
    from nerva.experiment.tracking import download_run

    downloaded, logged = download_run(run, config.tracking.uri, downloads)
    return downloaded, config.results_dir, logged
