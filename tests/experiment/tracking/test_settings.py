"""MLflow's settings, and what tracking leaves as it was."""

import logging
import os
import subprocess
import sys
from contextlib import suppress

import pytest

from nerva.experiment.tracking import mlflow_environment, prepare_store, store_exists, track
from nerva.experiment.tracking.settings import mlflow_settings


def test_importing_the_package_changes_nothing() -> None:
    """Neither the environment nor the loaded modules. To ask whether a store exists, MLflow is not needed."""
    program = (
        "import os, sys\n"
        "before = dict(os.environ)\n"
        "import nerva.experiment.tracking as tracking, nerva.experiment.tracking.follower\n"
        "assert not {'mlflow', 'numpy', 'pandas', 'sqlalchemy'} & {*sys.modules}\n"
        "assert not tracking.store_exists('sqlite:///missing.db')\n"
        "assert 'mlflow' not in sys.modules\n"
        "changed = dict(os.environ.items() ^ before.items())\n"
        "assert not changed, changed\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_settings_apply_while_mlflow_is_used(monkeypatch) -> None:
    """Telemetry is always off. Where the user has decided about retries, that holds."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    before = dict(os.environ)
    with suppress(ZeroDivisionError), mlflow_settings():
        assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "2"
        _ = 1 / 0
    assert dict(os.environ) == before
    changed = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
    assert mlflow_environment(before).items() >= {**before, **changed}.items()


def test_telemetry_is_off_when_mlflow_is_first_imported(tmp_path) -> None:
    """In a process of its own, where nothing tells MLflow that it is being tested."""
    program = (
        "import os, sys\n"
        "from nerva.experiment.tracking import logged_run_ids\n"
        "before = dict(os.environ)\n"
        "assert logged_run_ids('sqlite:///missing.db') == set()\n"
        "assert 'mlflow' in sys.modules\n"
        "from mlflow.telemetry import get_telemetry_client\n"
        "assert get_telemetry_client() is None\n"
        "changed = dict(os.environ.items() ^ before.items())\n"
        "assert not changed, changed\n"
    )
    # The import of MLflow by other tests leaves a variable with an underscore in this process.
    hints = ("_MLFLOW_", "MLFLOW_", "PYTEST_", "CI", "GITHUB_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(hints)}
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def levels() -> dict[str, int]:
    """The levels of all loggers."""
    loggers = {"": logging.getLogger(), **logging.Logger.manager.loggerDict}
    return {name: logger.level for name, logger in loggers.items() if isinstance(logger, logging.Logger)}


def test_levels_of_loggers_stay(uri, results) -> None:
    track([], "digits-test", uri, results)
    for name in ("mlflow", "alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.INFO)
    before, environment = levels(), dict(os.environ)
    track([], "digits-new", uri, results)
    after = levels()
    assert {name: after[name] for name in before} == before
    assert dict(os.environ) == environment


def test_a_store_is_prepared_only_if_it_exists(uri, results) -> None:
    missing = f"sqlite:///{results}/missing.db"
    assert store_exists(uri)
    assert not store_exists(missing)
    assert store_exists("http://127.0.0.1:9")
    prepare_store(uri, results)
    with pytest.raises(RuntimeError, match=r"there is no store at sqlite:///.*missing\.db yet; train runs first"):
        prepare_store(missing, results)
    assert not store_exists(missing)
