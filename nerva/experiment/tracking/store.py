"""MLflow's stores: opened, searched, and their errors told."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from nerva.errors import NervaError
from nerva.experiment.privacy import private


def make_database(uri: str) -> None:
    """Makes a fresh SQLite database under another name first: one that is half made can't be used, nor repaired."""
    path = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///") or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    for unfinished in path.parent.glob(f".{path.name}.*.tmp*"):
        unfinished.unlink()
    # MLflow keeps the stores that it has opened: another name each time.
    temporary = path.with_name(f".{path.name}.{time.time_ns()}.tmp")
    MlflowClient(tracking_uri=f"sqlite:///{temporary}").search_experiments()
    temporary.replace(path)


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
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise NervaError(f"MLflow's store at {private(uri)}: {first}") from error
    finally:
        for logger, level in zip(noisy, levels, strict=True):
            logger.setLevel(level)
