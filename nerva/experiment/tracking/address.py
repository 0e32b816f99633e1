"""Addresses of MLflow's stores. Nothing here needs mlflow."""

from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from nerva.errors import NervaError
from nerva.experiment.records.privacy import private


def database_path(uri: str) -> Path | None:
    """The file of an SQLite database; None if a store is something else.

    Raises:
        NervaError: if the address names no file: what is logged in memory would be lost.
    """
    if not uri.startswith("sqlite:"):
        return None
    try:
        name = make_url(uri).database
    except (ArgumentError, ValueError):
        name = None
    if not name or name == ":memory:":
        raise NervaError(f"{private(uri)} is not the address of a database file; try sqlite:///results/mlflow.db")
    return Path(name)


def store_exists(uri: str) -> bool:
    """Whether a store exists, as far as can be told without connecting: connecting would create a database."""
    path = database_path(uri)
    return path is None or path.exists()
