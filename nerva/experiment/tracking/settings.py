"""MLflow's settings. They are environment variables, which MLflow reads when it is imported and when it is used."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

# Nothing is sent anywhere except to the store that the configuration names, and MLflow prints nothing.
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# A server that does not answer is reported soon, because runs can be logged later. The user's own values win.
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


def mlflow_environment(base: Mapping[str, str]) -> dict[str, str]:
    """Environment variables, with MLflow's settings among them."""
    return {**_DEFAULTS, **base, **_SETTINGS}


@contextmanager
def mlflow_settings() -> Iterator[None]:
    """Apply MLflow's settings to this process, and restore the variables afterwards.

    MLflow decides about its telemetry when it is first imported. That has to happen inside.
    """
    before = {name: os.environ.get(name) for name in (*_SETTINGS, *_DEFAULTS)}
    os.environ.update(mlflow_environment(os.environ))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
