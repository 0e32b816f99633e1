"""MLflow's stores: connecting, locking, searching, and the translation of their errors."""

import logging
import os
import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from importlib.metadata import version
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from nerva.data.locks import locked as file_locked
from nerva.errors import NervaError
from nerva.experiment.records.privacy import private
from nerva.experiment.tracking.address import database_path, store_exists

_PATIENCE = 20.0  # seconds to wait for a locked database, as MLflow does when it writes

_REFUSED = {
    "UNAUTHENTICATED": (
        "authentication failed; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, "
        "or write them to ~/.mlflow/credentials"
    ),
    "PERMISSION_DENIED": "permission denied",
}


def connect(uri: str) -> MlflowClient:
    """A client of a store that answers. A missing SQLite database is created.

    Raises:
        NervaError: if there is no such store.
        MlflowException, SQLAlchemyError: if the store refuses; see `store_errors`.
    """
    try:
        path = database_path(uri)
        if path and path.exists():
            _check_readable(path)
        elif path:
            _create_database(path)
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    except (NervaError, MlflowException, SQLAlchemyError):
        raise
    except (ImportError, OSError, ValueError) as error:  # a driver that is not installed, or a wrong address
        reason = (str(error).strip().splitlines() or [""])[0]
        raise _store_error(uri, f"{type(error).__name__}: {private(reason)}") from error
    return client


def prepare_store(uri: str, results_dir: Path) -> None:
    """Check that a store exists and can be opened. A fresh database gets its tables.

    Raises:
        NervaError: if it does not exist, or refuses.
    """
    if not store_exists(uri):
        raise NervaError(f"there is no store at {private(uri)} yet; train runs first, with `make run` or `nerva train`")
    create_database(uri, results_dir)


def create_database(uri: str, results_dir: Path) -> None:
    """Open a store. A database that does not exist is created.

    Raises:
        NervaError: if the store refuses.
    """
    with locked(uri, results_dir), store_errors(uri):
        connect(uri)


@contextmanager
def locked(uri: str, results_dir: Path) -> Iterator[None]:
    """Keep other processes of nerva out of a store.

    Processes that create the tables of a fresh database at the same time spoil it, and processes that look for the same
    run before either has logged it log it twice. The lock of a database is beside it, because several folders of
    results may share a database. The lock of a server is among the results.

    Raises:
        NervaError: if the lock can't be created.
    """
    path = database_path(uri) or results_dir / "mlflow"
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.with_name(f".{path.name}.lock")
            file.touch()  # filelock would wait forever if the file can't be created
            stack.enter_context(file_locked(file))
        except OSError as error:
            raise _store_error(uri, f"{private(str(path.parent))}: {error.strerror}") from None
        yield


def search_runs(client: MlflowClient, experiment_ids: Sequence[str], filter_string: str = "") -> Iterator[Run]:
    """All runs of experiments that a filter selects."""
    token = None
    while True:
        page = client.search_runs(list(experiment_ids), filter_string, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


@contextmanager
def store_errors(uri: str) -> Iterator[None]:
    """Turn the errors of a store into NervaErrors, and hide what MLflow logs about its tables and its retries."""
    noisy = [logging.getLogger(name) for name in ("alembic", "mlflow", "urllib3")]
    levels = [logger.level for logger in noisy]
    for logger in noisy:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        raise _store_error(uri, private(reason(error))) from error
    finally:
        for logger, level in zip(noisy, levels, strict=True):
            logger.setLevel(level)


def reason(error: MlflowException | SQLAlchemyError) -> str:
    """The reason of an error, in one line."""
    if refusal := _REFUSED.get(getattr(error, "error_code", "")):
        return refusal
    text = str(error).strip()
    if (found := re.search(r"found version (\w+)", text)) and not _is_known(found[1]):
        return f"it was created by a newer MLflow than {version('mlflow')}; upgrade MLflow, or use another store"
    if "Max retries exceeded" in text:
        cause: BaseException = error
        while following := cause.__cause__ or cause.__context__:
            cause = following
        return str(cause) or type(cause).__name__
    if found := re.search(r"^\(\w+\.\w+\) (.+)$", text, re.MULTILINE):
        return found[1]  # the database's own words, without those of SQLAlchemy
    return (text.splitlines() or [type(error).__name__])[0]


def _store_error(uri: str, problem: str) -> NervaError:
    return NervaError(f"MLflow's store at {private(uri)}: {problem}")


def _create_database(path: Path) -> None:
    """Create a database under another name first: an unfinished one can't be used or repaired."""
    # The name is a new one each time, because MLflow caches the stores that it has opened.
    temporary = path.with_name(f".{path.name}.{time.time_ns()}.tmp")
    try:
        _remove_unfinished(path)
        temporary.touch()  # MLflow would retry for minutes, without a message
    except OSError as error:
        raise _store_error(f"sqlite:///{path}", f"{private(str(path.parent))}: {error.strerror}") from None
    try:
        MlflowClient(tracking_uri=f"sqlite:///{temporary}").search_experiments()
        temporary.replace(path)
    finally:
        _remove_unfinished(path)


def _remove_unfinished(path: Path) -> None:
    for unfinished in path.parent.glob(f".{path.name}.*.tmp*"):
        # MLflow keeps the file open, so that its space would be free only at the end of this process.
        os.truncate(unfinished, 0)
        unfinished.unlink()


def _check_readable(path: Path) -> None:
    """Raise a NervaError if a file is not a database, or stays locked: MLflow would retry for minutes."""
    try:
        with closing(sqlite3.connect(path, timeout=_PATIENCE)) as connection:
            connection.execute("select name from sqlite_master").fetchall()
    except sqlite3.Error as error:
        raise _store_error(f"sqlite:///{path}", str(error)) from error


def _is_known(revision: str) -> bool:
    """Whether this version of MLflow knows a revision of the database's tables."""
    versions = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    return any(revision in path.name for path in versions.glob("*.py"))
