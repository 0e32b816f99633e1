"""Reading runs from a store."""

import shutil

import pytest

from nerva.errors import NervaError
from nerva.experiment.tracking import download_run, logged_run_ids, track
from tests.experiment.tracking.sweeps import trained_runs
from tests.helpers import client_of, configured, logged_in, trained


def test_a_run_is_downloaded_with_its_metrics(results, uri, tmp_path) -> None:
    """By its id, and by its id in MLflow; also from a database that was moved with its artifacts."""
    folder = trained(configured("learning_rate.lr=1e30"))  # it has metrics that are not finite
    track([folder], "digits-test", uri, results)
    assert logged_run_ids(uri) == {folder.run_id}
    moved = tmp_path / "moved"
    shutil.copytree(results, moved)
    mlflow_id = logged_in(client_of(uri))[folder.run_id].info.run_id
    expected = [str(row) for row in folder.read_metrics()]
    for number, run in enumerate((folder.run_id, mlflow_id, folder.run_id)):
        if number == 2:
            shutil.rmtree(results)
            uri = f"sqlite:///{moved}/mlflow.db"
        destination = tmp_path / str(number)
        destination.mkdir()
        found, history = download_run(run, uri, destination)
        assert found.read_record().files
        assert found.path == destination / folder.run_id
        assert [str(row) for row in found.read_metrics()] == expected
        for column in ("train_loss", "test_accuracy", "learning_rate"):
            rows = [(int(row["epoch"]), row[column]) for row in found.read_metrics()]
            assert str(history[column]) == str(rows)
    shutil.rmtree(moved / "mlartifacts")
    (tmp_path / "last").mkdir()
    with pytest.raises(NervaError, match=f"does not have all files of the run {folder.run_id}: its status is FAILED"):
        download_run(folder.run_id, uri, tmp_path / "last")


def test_runs_that_a_store_does_not_have(results, uri, tmp_path) -> None:
    for run in ("0" * 12, "0" * 32, "nonsense", "' or '1'='1"):
        with pytest.raises(NervaError, match=r"there is no run .* in MLflow at sqlite:"):
            download_run(run, uri, tmp_path)
    missing = f"sqlite:///{results}/missing.db"
    with pytest.raises(NervaError, match="there is no run"):
        download_run("0" * 12, missing, tmp_path)
    assert logged_run_ids(missing) == set()
    assert logged_run_ids(uri) == set()
    assert not (results / "missing.db").exists()


def test_an_id_from_a_store_is_not_a_path(results, uri, tmp_path) -> None:
    (folder,) = trained_runs(1)
    track([folder], "digits-test", uri, results)
    client = client_of(uri)
    logged = logged_in(client)[folder.run_id].info.run_id
    client.set_tag(logged, "nerva.run_id", "../outside")
    (tmp_path / "downloads").mkdir()
    with pytest.raises(NervaError, match="there is no run"):
        download_run(logged, uri, tmp_path / "downloads")
    assert not (tmp_path / "outside").exists()
