"""MLflow's stores: opened, searched, and their errors told."""

import logging
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from nerva.errors import NervaError
from nerva.experiment.records.privacy import private

_PATIENCE = 20.0  # seconds for which a locked database is waited for, as MLflow does when it writes


def opened(uri: str) -> MlflowClient:
    """A client of a store that answers; a fresh SQLite database is made.

    Raises:
        NervaError: if it can't be had.
    """
    try:
        path = database(uri)
        if path and path.exists():
            _ask(path)
        elif path:
            _make(path)
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    except (NervaError, MlflowException, SQLAlchemyError):
        raise
    except Exception as error:  # of a driver that isn't installed, an address that is none, a plugin: not of nerva's
        reason = (str(error).strip().splitlines() or [""])[0]
        raise NervaError(f"MLflow's store at {private(uri)}: {type(error).__name__}: {private(reason)}") from error
    return client


def database(uri: str) -> Path | None:
    """The file of an SQLite database; None if a store is something else.

    Raises:
        NervaError: if the database is to be in memory, and so would be lost.
    """
    if not uri.startswith("sqlite:"):
        return None
    name = make_url(uri).database
    if not name or name == ":memory:":
        raise NervaError(f"{uri} names no file: what is logged there is lost; try sqlite:///results/mlflow.db")
    return Path(name)


@contextmanager
def locked(uri: str, results_dir: Path) -> Iterator[None]:
    """One process at a time: those that make the tables of a fresh database together spoil it.

    The lock is beside the database, as runs of several folders may be logged there; for a server, among the results.
    """
    path = database(uri) or results_dir / "mlflow"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.with_name(f".{path.name}.lock")
        file.touch()  # FileLock would try for ever, where it can't be made
        lock = FileLock(file)
        lock.acquire()
    except OSError as error:
        where = private(str(path.parent))
        raise NervaError(f"MLflow's store at {private(uri)}: {where}: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()


def _make(path: Path) -> None:
    """Makes a database under another name first: one that is half made can't be used, nor repaired."""
    # MLflow keeps the stores that it has opened: another name each time.
    temporary = path.with_name(f".{path.name}.{time.time_ns()}.tmp")
    try:
        _remove_unfinished(path)
        temporary.touch()  # MLflow would try for minutes, and not say so
    except OSError as error:
        where = private(str(path.parent))
        raise NervaError(f"MLflow's store at {private(f'sqlite:///{path}')}: {where}: {error.strerror}") from None
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
    path = database(uri)
    return path is None or path.exists()


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
        logger.setLevel(logging.CRITICAL)
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
    text = str(error).strip()
    if (found := re.search(r"found version (\w+)", text)) and not _known(found[1]):
        return f"it was made by a newer MLflow than {version('mlflow')}; upgrade MLflow, or name another store"
    if "Max retries exceeded" in text:
        # What a person needs to know is what began it.
        cause: BaseException = error
        while following := cause.__cause__ or cause.__context__:
            cause = following
        return str(cause) or type(cause).__name__
    if found := re.search(r"^\(\w+\.\w+\) (.+)$", text, re.MULTILINE):
        return found[1]  # what the database said, without what SQLAlchemy did
    return (text.splitlines() or [type(error).__name__])[0]


def _known(revision: str) -> bool:
    """Whether this MLflow knows a version of a database."""
    versions = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    return any(revision in path.name for path in versions.glob("*.py"))
