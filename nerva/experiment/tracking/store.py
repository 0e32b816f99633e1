"""MLflow's stores: opened, searched, and their errors told."""

import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from nerva.errors import NervaError
from nerva.experiment.privacy import private

_PATIENCE = 20.0  # seconds for which a locked database is waited for, as MLflow does when it writes


def make_database(uri: str) -> None:
    """Sees to it that an SQLite database is there and answers.

    A fresh one is made under another name first: one that is half made can't be used, nor repaired.

    Raises:
        NervaError: if it is no database, or somebody else keeps it locked.
    """
    path = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///"):
        return
    if path.exists():
        _ask(path)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_unfinished(path)
    # MLflow keeps the stores that it has opened: another name each time.
    temporary = path.with_name(f".{path.name}.{time.time_ns()}.tmp")
    try:
        MlflowClient(tracking_uri=f"sqlite:///{temporary}").search_experiments()
        temporary.replace(path)
    finally:
        _remove_unfinished(path)


def _remove_unfinished(path: Path) -> None:
    for unfinished in path.parent.glob(f".{path.name}.*.tmp*"):
        # As MLflow has it open, its room would not be free before this process ends: runs may need it.
        os.truncate(unfinished, 0)
        unfinished.unlink()


def _ask(path: Path) -> None:
    # MLflow would try for minutes, and not say so.
    try:
        with closing(sqlite3.connect(path, timeout=_PATIENCE)) as connection:
            connection.execute("select name from sqlite_master").fetchall()
    except sqlite3.Error as error:
        raise NervaError(f"MLflow's store at {private(f'sqlite:///{path}')}: {error}") from error


def exists(uri: str) -> bool:
    """Whether a store may be there: asking for a database that isn't would make it."""
    return not uri.startswith("sqlite:///") or Path(uri.removeprefix("sqlite:///")).exists()


def search(client: MlflowClient, experiment_ids: list[str], filter_string: str = "") -> Iterator[Run]:
    """The runs of experiments, however many there are."""
    token = None
    while True:
        page = client.search_runs(experiment_ids, filter_string, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


@contextmanager
def errors(uri: str) -> Iterator[None]:
    """Turns a store's errors into ours, and keeps what MLflow says of making its tables to itself."""
    noisy = [logging.getLogger(name) for name in ("alembic", "mlflow", "urllib3")]
    levels = [logger.level for logger in noisy]
    for logger in noisy:
        logger.setLevel(logging.ERROR)
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        raise NervaError(f"MLflow's store at {private(uri)}: {private(_reason(error))}") from error
    finally:
        for logger, level in zip(noisy, levels, strict=True):
            logger.setLevel(level)


def _reason(error: MlflowException | SQLAlchemyError) -> str:
    if getattr(error, "error_code", "") in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        return (
            "it lets nobody in with these credentials; MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
            "MLFLOW_TRACKING_TOKEN, give it others"
        )
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
