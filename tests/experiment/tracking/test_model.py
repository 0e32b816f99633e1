"""The networks of runs as models of MLflow."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import requests

from nerva.errors import NervaError
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.report.predictions import load_network
from nerva.experiment.tracking import track
from nerva.utilities import load_dict_from_npz
from tests.experiment.tracking.sweeps import trained_runs
from tests.helpers import HANGS, client_of, configured, free_port, kill, logged_in, served, started, trained, until


@pytest.fixture(scope="module")
def champion(tmp_path_factory, empty_store) -> tuple[Path, str, RunFolder]:
    """The results, the store, and the run in it."""
    results = tmp_path_factory.mktemp("model") / "results"
    results.mkdir()
    shutil.copy(empty_store, results)
    uri = f"sqlite:///{results}/mlflow.db"
    folder = trained(configured(f"results_dir={results}"))
    track([folder], "digits-test", uri, results)
    return results, uri, folder


def test_the_model_predicts_what_the_engine_does(champion, tmp_path) -> None:
    """In another process, from another folder: the engine is in the model."""
    results, uri, folder = champion
    X = load_dict_from_npz(results / "data" / "digits.npz")["Xtest"][:20]
    np.savez(tmp_path / "X.npz", X=X, Y=load_network(folder, folder.read_config()).evaluate(X))
    program = (
        "import os; os.environ['MLFLOW_DISABLE_TELEMETRY'] = 'true'\n"
        "import mlflow, numpy as np\n"
        f"mlflow.set_tracking_uri({uri!r})\n"
        "model = mlflow.pyfunc.load_model('models:/digits-test@champion')\n"
        "data = np.load('X.npz')\n"
        "np.testing.assert_allclose(model.predict(data['X']), data['Y'], rtol=1e-5, atol=1e-6)\n"
        "print(model.metadata.signature)\n"
        "import nerva; print(nerva.__file__)\n"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "Tensor('float32', (-1, 64))" in result.stdout
    assert "/model/code/nerva/__init__.py" in result.stdout
    model = next((results / "mlartifacts").rglob("MLmodel")).parent
    assert not list(model.rglob("*.pkl"))
    assert not list(model.rglob("*.pickle"))
    texts = "".join(path.read_text() for path in (*model.glob("*.y*ml"), model / "MLmodel", model / "requirements.txt"))
    assert str(results) not in texts
    assert {line.partition("==")[0] for line in (model / "requirements.txt").read_text().split()} == {
        *("mlflow", "numpy", "scipy")
    }


@pytest.fixture(params=["here", pytest.param("clean", marks=pytest.mark.slow)])
def python(request, champion, tmp_path) -> Path:
    """A Python that serves models: the one that runs the tests, or one that has only what a model requires."""
    if request.param == "here":
        return Path(sys.executable)
    results, *_ = champion
    requirements = next((results / "mlartifacts").rglob("model/requirements.txt"))
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "clean"], check=True)
    python = tmp_path / "clean" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", requirements], check=True)
    assert subprocess.run([python, "-I", "-c", "import nerva"], capture_output=True, check=False).returncode == 1
    return python


def test_the_champion_is_served(champion, tmp_path, python) -> None:
    """By `mlflow models serve`, whose answers over HTTP are what the engine computes."""
    results, uri, folder = champion
    X = load_dict_from_npz(results / "data" / "digits.npz")["Xtest"]
    expected = load_network(folder, folder.read_config()).evaluate(X)
    address = f"http://127.0.0.1:{free_port()}"
    command = (python, "-m", "mlflow", "models", "serve", "--model-uri", "models:/digits-test@champion")
    options = ("--env-manager", "local", "--port", address.rpartition(":")[2])
    with (tmp_path / "serve.log").open("w") as log:
        server = started(tmp_path, *command, *options, stdout=log, MLFLOW_TRACKING_URI=uri)
    try:
        until(lambda: served(f"{address}/ping"), server)
        for body, status in (({"inputs": X.tolist()}, 200), ({"inputs": X[:, 1:].tolist()}, 400)):
            answer = requests.post(f"{address}/invocations", json=body, timeout=HANGS)
            assert answer.status_code == status, answer.text
            if status == 200:
                predictions = np.array(answer.json()["predictions"])
                np.testing.assert_allclose(predictions, expected, rtol=1e-5, atol=1e-6)
                assert (predictions.argmax(axis=1) == expected.argmax(axis=1)).all()
    finally:
        kill(server)


HOSTILE = "from pathlib import Path\nPath('executed').touch()\n"


@pytest.fixture
def stranger(results, tmp_path) -> RunFolder:
    """A run folder that was copied here. It names a module that is in the current folder, too."""
    (folder,) = trained_runs(1)
    folder.config.write_text(folder.config.read_text().replace("imports: []", "imports:\n- hostile"))
    folder.imports.write_text(json.dumps({"hostile.py": HOSTILE}))
    (tmp_path / "hostile.py").write_text(HOSTILE)
    return folder


def test_logging_a_run_does_not_import_its_modules(results, uri, stranger, tmp_path, drawn) -> None:
    """They are only copied into the model. The pictures of predictions are left out."""
    assert track([stranger], "digits-test", uri, results) == 1
    assert not (tmp_path / "executed").exists()
    assert "hostile" not in sys.modules
    client = client_of(uri)
    logged = logged_in(client)[stranger.run_id]
    assert logged.info.status == "FINISHED"
    names = {
        artifact.path.removeprefix("pictures/") for artifact in client.list_artifacts(logged.info.run_id, "pictures")
    }
    assert names == {"learning_curves.png", "first_layer.png"}
    model = next((results / "mlartifacts").rglob("MLmodel")).parent
    assert (model / "code" / "hostile.py").read_text() == HOSTILE


def test_modules_that_the_caller_trusts_are_imported(results, uri, stranger, tmp_path, monkeypatch, drawn) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert track([stranger], "digits-test", uri, results, trusted_imports=frozenset({"hostile"})) == 1
    finally:
        sys.modules.pop("hostile", None)
    assert (tmp_path / "executed").exists()
    client = client_of(uri)
    run_id = logged_in(client)[stranger.run_id].info.run_id
    names = {artifact.path.removeprefix("pictures/") for artifact in client.list_artifacts(run_id, "pictures")}
    assert "confusion_matrix.png" in names


@pytest.mark.parametrize(
    "name",
    [
        *("../outside.py", "/tmp/outside.py", "a/../../outside.py", "nerva/layers.py", "nerva.py", "a\0b.py", "", "a"),
        *("a/b/", "x" * 300 + ".py", "a//b.py", "MLmodel"),
    ],
)
def test_paths_that_are_not_those_of_user_defined_modules(results, uri, stranger, tmp_path, name: str) -> None:
    """They could overwrite the engine in the model, or files elsewhere."""
    stranger.imports.write_text(json.dumps({name: HOSTILE}))
    with pytest.raises(NervaError, match=r"imports\.json is damaged"):
        track([stranger], "digits-test", uri, results)
    assert not list(tmp_path.rglob("outside.py"))
    assert not Path("/tmp/outside.py").exists()
