"""MLflow: a view of the run folders, which can be restored from them. Only this package imports mlflow.

The functions of this module are all that other packages need, and importing the module imports nothing. Each function
applies MLflow's settings while it runs, and imports mlflow only if it needs it: that takes two seconds.
"""

from collections.abc import Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING

from nerva.experiment.tracking.settings import mlflow_environment, mlflow_settings

if TYPE_CHECKING:
    from nerva.experiment.config.schema import Sweep
    from nerva.experiment.records.run_folder import RunFolder

__all__ = [
    "create_database",
    "download_run",
    "logged_run_ids",
    "mlflow_environment",
    "prepare_store",
    "store_exists",
    "track",
]


def track(
    folders: "Sequence[RunFolder]",
    title: str,
    uri: str,
    results_dir: str | Path,
    sweep: "Sweep | None" = None,
    question: str = "",
    live: bool = False,
    trusted_imports: Set[str] = frozenset(),
    models: str = "best",
) -> int:
    """Log runs to an experiment of MLflow, each once.

    Args:
        folders: the runs. A run that has not ended counts as killed, unless it is being trained.
        title: the name of the experiment, which is created if necessary.
        uri: the store, such as `sqlite:///results/mlflow.db`. A database is created if necessary.
        results_dir: the folder of all results. Artifacts of a database's experiments go to its folder `mlartifacts`.
        sweep: the sweep whose points the runs are.
        question: the question that the experiment asks.
        live: whether runs that have not ended are being trained.
        trusted_imports: the user-defined modules that may be imported to draw what a network predicts. Runs that need
            other modules are logged without these pictures.
        models: the runs whose model and pictures are logged: `all`; `best`, the best of the experiment and runs that
            are no points of a sweep; or `none`. The champion always has a model.

    Returns:
        The number of runs that were logged; all others were up to date.

    Raises:
        NervaError: if the store refuses.
        DamagedRunsError: if folders are damaged, with one line for each, after the others have been logged.
    """
    with mlflow_settings():
        from nerva.experiment.tracking.synchronization import synchronize

        return synchronize(folders, title, uri, results_dir, sweep, question, live, trusted_imports, models)


def download_run(run: str, uri: str, destination: Path) -> "tuple[RunFolder, dict[str, list[tuple[int, float]]]]":
    """Download a run from a store.

    Args:
        run: its id, or its id in MLflow.
        uri: the store.
        destination: the folder in which the run's folder is created.

    Returns:
        The run's folder; and the metrics in MLflow that metrics.csv has too: epochs with values, by column.

    Raises:
        NervaError: if the store does not have the run, or refuses.
    """
    with mlflow_settings():
        from nerva.experiment.tracking.reading import download_run

        return download_run(run, uri, destination)


def logged_run_ids(uri: str) -> set[str]:
    """The ids of the runs that a store has; none if the store does not exist.

    Raises:
        NervaError: if the store refuses.
    """
    with mlflow_settings():
        from nerva.experiment.tracking.reading import logged_run_ids

        return logged_run_ids(uri)


def create_database(uri: str, results_dir: str | Path) -> None:
    """Create the database of a store, unless the store exists. Only one process does that at a time.

    Raises:
        NervaError: if the store refuses.
    """
    with mlflow_settings():
        from nerva.experiment.tracking.store import create_database

        create_database(uri, Path(results_dir))


def store_exists(uri: str) -> bool:
    """Whether a store exists, as far as can be told without connecting: false only for a database without a file.

    Raises:
        NervaError: if the address is that of a database, but names no file.
    """
    from nerva.experiment.tracking.address import store_exists

    return store_exists(uri)


def prepare_store(uri: str, results_dir: str | Path) -> None:
    """Check that a store exists and can be opened. A fresh database gets its tables, by one process at a time.

    Raises:
        NervaError: if it does not exist, or refuses.
    """
    with mlflow_settings():
        from nerva.experiment.tracking.store import prepare_store

        prepare_store(uri, Path(results_dir))
