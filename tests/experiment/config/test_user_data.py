"""Data of users in a configuration: it is read while the configuration is composed."""

import os
from pathlib import Path

import pytest

from nerva.data.sources import READERS
from nerva.errors import NervaError
from nerva.experiment.config import composition
from nerva.experiment.config.composition import Composer, compose, initialized
from nerva.experiment.config.validation import validate
from nerva.experiment.identity.identify import identify
from nerva.experiment.records.run_config import from_yaml, to_yaml
from nerva.experiment.sweep.planning import load_or_write_plan, plan_sweep
from tests.data.user_files import arrays, flowers, write_csv, write_images, write_npz

CSV = ["data=csv", "data.path=flowers.csv", "data.label=species", "data.categorical=[soil]", "train.batch_size=10"]


@pytest.fixture(autouse=True)
def file(tmp_path) -> Path:
    return write_csv(tmp_path / "flowers.csv", flowers())


def test_one_line_each(tmp_path) -> None:
    write_npz(tmp_path / "mine.npz", **arrays())
    write_images(tmp_path / "pets")
    flowers().to_parquet(tmp_path / "flowers.parquet")
    lines = [
        (["data=npz", "data.path=mine.npz"], "mine", 12),
        (CSV, "flowers", 4),
        ([*CSV, "data.path=flowers.parquet"], "flowers", 4),
        (["data=images", "data.path=pets", "data.size=6", "data.colour=grey"], "pets", 36),
        (["data=sklearn", "data.path=wine"], "wine", 13),
        (["data=csv", "data.path=flowers.csv", "data.label=[width,length]", "data.ignore=[soil]",
          "data.categorical=[species]", "data.task=regression"], "flowers", 2),
    ]  # fmt: skip
    for overrides, name, features in lines:
        config = compose([*overrides, "train.batch_size=10"])
        validate(config)
        assert (config.data.name, config.data.features) == (name, features)
    assert config.data.targets == 2
    assert config.sizes == [2, 64, 2]


def test_composing_writes_nothing(tmp_path, results) -> None:
    compose(CSV)
    assert not results.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["flowers.csv"]


def test_a_sweep_reads_a_file_once(monkeypatch) -> None:
    read = []

    def counted(dataset, *arguments):
        read.append(dataset.path)
        return composition_describe(dataset, *arguments)

    composition_describe = composition.describe
    monkeypatch.setattr(composition, "describe", counted)
    plan = plan_sweep([*CSV, "seed=1,2,3", "optimizer=momentum,nesterov"])
    assert len({point.run_id for point in plan.points}) == 6
    assert read == ["flowers.csv"]
    assert len({point.config.data.sha256 for point in plan_sweep([*CSV, "data.split_seed=1,2"]).points}) == 2
    assert len(read) == 3


def test_points_do_not_share_their_dataset() -> None:
    with initialized():
        composer = Composer()
        first, second = (composer.configuration(CSV)[0] for _ in range(2))
    first.data.class_names.append("changed")
    assert second.data.class_names == ["iris", "rose"]


def test_a_record_has_no_folder(file, tmp_path) -> None:
    config = compose([*CSV, f"data.path={tmp_path}/flowers.csv"])
    text = to_yaml(config, "portable")
    assert str(tmp_path) not in text
    recorded = from_yaml(text)
    assert recorded.data.path == "flowers.csv"
    # What was recorded is the same run, without the file.
    file.unlink()
    recorded.experiment_name = "x"
    assert identify(recorded).run_id == identify(config).run_id
    with pytest.raises(NervaError, match=r"flowers\.csv: there is no such file"):
        compose(CSV)


def test_a_changed_file_gives_another_plan(file) -> None:
    overrides = [*CSV, "train.epochs=1"]
    plan, path = load_or_write_plan("quick", overrides)
    assert load_or_write_plan("quick", overrides) == (plan, path)
    write_csv(file, flowers(seed=2))
    changed, other = load_or_write_plan("quick", overrides)
    assert other != path
    assert not {point.run_id for point in changed.points} & {point.run_id for point in plan.points}
    write_csv(file, flowers())
    os.utime(file)
    assert load_or_write_plan("quick", overrides) == (plan, path)


def test_a_changed_file_of_a_later_point_gives_another_plan(tmp_path) -> None:
    (tmp_path / "x").mkdir()
    second = write_csv(tmp_path / "x" / "flowers.csv", flowers(seed=2))
    overrides = [*CSV, "data.path=flowers.csv,x/flowers.csv", "train.epochs=1"]
    _, path = load_or_write_plan("quick", overrides)
    write_csv(second, flowers(seed=3))
    assert load_or_write_plan("quick", overrides)[1] != path


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=npz"], r"data\.path is missing: the \.npz file, as in data=npz data\.path=mine\.npz"),
        (["data=csv", "data.path=flowers.csv"], r"data\.label should name the column"),
        ([*CSV, "data.source=npz"], r"data\.source identifies the dataset and can't be overridden"),
        ([*CSV, "data.name=../x"], r"data\.name should be the name of a file"),
        ([*CSV, "data.steps=[Foo]"], r'data\.steps: unknown step "Foo"'),
        (["data=openml", "data.path=iris"], "has not been downloaded; `nerva prepare openml data.path=iris"),
        (["data=diabetes", "data.split_seed=3"], r"data\.split_seed can't be overridden, .* add data\.sha256=null"),
        (["data=digits", "data.name=x"], r"data\.name identifies the dataset"),
    ],
)
def test_mistakes(overrides: list[str], message: str) -> None:
    with pytest.raises(NervaError, match=message):
        identify(compose(overrides))


def test_a_name_can_be_chosen() -> None:
    config = compose([*CSV, "data.name=roses"])
    assert config.title == "roses-single"
    assert identify(config).run_id == identify(compose(CSV)).run_id


def test_the_checksum_of_a_declared_dataset_can_be_dropped() -> None:
    before = compose(["data=diabetes"]).data
    after = compose(["data=diabetes", "data.sha256=null", "data.split_seed=3"]).data
    assert after.sha256 not in (None, before.sha256)
    again = compose(["data=diabetes", "data.sha256=null"]).data
    assert again.sha256 == before.sha256
    assert {*READERS} == {"npz", "csv", "images", "openml", "sklearn"}
