"""Replays of runs on data of users: as long as the prepared data or the file exist."""

import shutil
from pathlib import Path

import pytest

from nerva.errors import NervaError
from nerva.experiment.config.composition import compose
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.report.predictions import Analyst, RegressionAnalysis
from nerva.experiment.run.replay import Verdict, replay
from nerva.utilities import load_dict_from_npz
from tests.data.user_files import flowers, write_csv
from tests.helpers import trained


@pytest.fixture
def file(tmp_path) -> Path:
    return write_csv(tmp_path / "flowers.csv", flowers())


def run_on(path: str) -> RunFolder:
    overrides = ["data=csv", f"data.path={path}", "data.label=species", "data.categorical=[soil]"]
    overrides += ["data.steps=[MinMaxScaler]", "train.batch_size=10", "train.epochs=2", "tracking=off"]
    return trained(compose(overrides), overrides)


def replayed(folder: RunFolder) -> Verdict:
    return replay(folder, folder.path.parent.parent)


def test_what_a_replay_needs(file, results) -> None:
    folder = run_on("flowers.csv")
    file.rename(file.with_suffix(".away"))
    assert replayed(folder).identical
    # Only the data before the steps are left.
    stepped, plain = sorted((results / "data").glob("flowers-*.npz"), key=lambda path: -len(path.stem))
    assert stepped.stem.startswith(plain.stem)
    stepped.unlink()
    assert replayed(folder).identical
    # Only the file is left.
    shutil.rmtree(results / "data")
    file.with_suffix(".away").rename(file)
    assert replayed(folder).identical
    # Nothing is left.
    shutil.rmtree(results / "data")
    file.unlink()
    with pytest.raises(
        NervaError, match=r"the dataset flowers of this run is not prepared .*; flowers\.csv is not here"
    ):
        replayed(folder)
    # Another file is not taken for it.
    write_csv(file, flowers(seed=2))
    with pytest.raises(NervaError, match=r"flowers\.csv has changed: the sha256 of its arrays"):
        replayed(folder)
    assert not list((results / "data").glob("*.npz"))


def test_records_name_no_folder(file, tmp_path) -> None:
    (tmp_path / "secret").mkdir()
    moved = shutil.move(file, tmp_path / "secret" / "flowers.csv")
    folder = run_on(str(moved))
    records = [*folder.path.iterdir(), *(tmp_path / "results" / "data").glob("*.json")]
    texts = {path.name: path.read_bytes() for path in records if path.suffix != ".npz"}
    assert {"config.yaml", "provenance.json", "run.log"} <= {*texts}
    assert [name for name, text in texts.items() if b"secret" in text] == []
    assert b"data.path=flowers.csv" in texts["provenance.json"]
    assert replayed(folder).identical


def test_a_regression_of_two_targets_is_trained_and_replayed(file) -> None:
    overrides = ["data=csv", "data.path=flowers.csv", "data.task=regression", "data.label=[length,width]"]
    overrides += ["data.categorical=[soil,species]", "train.batch_size=10", "train.epochs=20", "tracking=off"]
    folder = trained(compose([*overrides, "train.stop.patience=5"]), overrides)
    rows = folder.read_metrics()
    assert {"train_r2", "validation_r2", "test_r2"} < rows[0].keys()
    best = folder.read_record().best
    assert best is not None
    assert best.validation_r2 == max(row["validation_r2"] for row in rows) > rows[0]["validation_r2"]
    assert len(rows) - 1 == min(20, best.epoch + 5)
    assert load_dict_from_npz(folder.weights)["W2"].shape[0] == 2
    assert replayed(folder).identical
    analysis = Analyst(folder.path.parent.parent / "data").analyse(folder)
    assert isinstance(analysis, RegressionAnalysis)
    scores = analysis.per_target()
    assert [score["target"] for score in scores] == [1, 2]
    assert sum(score["r2"] for score in scores) / 2 == pytest.approx(best.test_r2, abs=1e-5)
