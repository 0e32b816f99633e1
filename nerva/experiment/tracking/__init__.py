"""Runs in MLflow: a view of their folders, which can be made again. The only package that imports mlflow."""

import os

# Nothing is sent anywhere but to the store that the configuration names. MLflow reads these when it is imported.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
# A server that is away is told soon: what is not logged now is logged later.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

from nerva.experiment.tracking.reading import recorded, tracked
from nerva.experiment.tracking.synchronization import track

__all__ = ["recorded", "track", "tracked"]
