"""`nerva data`, and the way from a user's file to a report."""

import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.data.user_files import arrays, flowers, write_csv, write_images, write_npz
from tests.helpers import ROOT, Command, failed_plainly, run_main

Result = subprocess.CompletedProcess[str]


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A copy of the package, because `nerva data add` writes to conf/."""
    folder = tmp_path / "checkout"
    for name in ("nerva", "conf", "workflow", "profiles"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", folder)
    return folder


@pytest.fixture
def nerva(tmp_path, checkout: Path, monkeypatch) -> Callable[..., Result]:
    """Calls `nerva` in this process, in the test's folder and with the configuration files of the copy."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NERVA_DATA_DIR", raising=False)
    for module in ("nerva.experiment.paths", "nerva.experiment.config.composition"):
        monkeypatch.setattr(f"{module}.conf_dir", lambda: checkout / "conf")
    return lambda *arguments: run_main("nerva", *arguments)


def described(checkout: Path, name: str) -> dict:
    found: dict = yaml.safe_load((checkout / "conf" / "data" / f"{name}.yaml").read_text())
    return found


def test_the_list(nerva) -> None:
    result = nerva("data")
    assert result.returncode == 0, result.stderr
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    assert "70,000" in rows["mnist"]
    assert "regression" in rows["diabetes"]
    assert "yes" not in result.stdout
    assert "data=csv, data=images, data=npz, data=openml, data=sklearn" in result.stdout
    assert nerva("prepare", "digits").returncode == 0
    assert [line.split()[0] for line in nerva("data").stdout.splitlines() if line.endswith("yes")] == ["digits"]


@pytest.mark.long
def test_a_table_goes_from_file_to_report_in_two_commands(run: Command, prepared, checkout) -> None:
    def command(*arguments: str | Path) -> Result:
        return run(*arguments, PYTHONPATH=str(checkout))

    write_csv(prepared / "flowers.csv", flowers(3000))
    added = command("nerva", "data", "add", "flowers.csv", "--label", "species")
    assert added.returncode == 0, added.stderr
    assert "iris ████████████████████████████████████████ 1,500" in added.stdout
    assert (
        "classification: 4 features, 2 classes; 2,160 samples for training, 240 for validation, 600 for" in added.stdout
    )
    result = command("snakemake", "--snakefile", checkout / "Snakefile", "--cores", "2", "--config", "data=flowers")
    assert result.returncode == 0, result.stderr
    assert "flowers-quick: 12 runs of 6 configurations on flowers.csv" in result.stdout
    report = (prepared / "results" / "flowers-quick" / "report.html").read_text()
    assert "iris" in report
    assert "data=flowers" in report
    # Hydra finds the same runs, also without the file in conf/data.
    settings = ["data=csv", "data.path=flowers.csv", "data.label=species", "data.categorical=[soil]"]
    for data in (["data=flowers"], settings):
        again = command("nerva", "train", "-m", "+experiment=quick", "tracking=off", *data)
        assert again.returncode == 0, again.stderr
        assert again.stdout.count(" already exists: ") == 12
    # The pipeline trains from the file itself, too.
    overrides = " ".join([*settings[1:], "seed=3", "optimizer=momentum"])
    direct = command(
        "snakemake", "--snakefile", checkout / "Snakefile", "--cores", "2",
        "--config", "data=csv", f"overrides={overrides}",
    )  # fmt: skip
    assert direct.returncode == 0, direct.stderr
    assert "flowers-quick: 2 runs of 2 configurations on flowers.csv" in direct.stdout


@pytest.mark.parametrize("kind", ["npz", "parquet", "images"])
def test_each_kind_of_file_is_added_and_trained(nerva, tmp_path, checkout, kind: str) -> None:
    options: list[str] = []
    if kind == "npz":
        path = write_npz(tmp_path / "mine.npz", **arrays())
    elif kind == "parquet":
        path = tmp_path / "mine.parquet"
        flowers().to_parquet(path)
        options = ["--label", "species"]
    else:
        path = write_images(tmp_path / "mine")
        options = ["--size", "8", "--colour", "rgb"]
    added = nerva("data", "add", path.name, *options)
    assert added.returncode == 0, added.stderr
    dataset = described(checkout, "mine")
    assert dataset["path"] == path.name
    assert len(dataset["sha256"]) == 64
    shown = tmp_path / "results" / "data" / "mine-samples.png"
    assert shown.exists() == (kind == "images")
    if kind == "images":
        assert f"samples: results/data/{shown.name}" in added.stdout
        with Image.open(shown) as picture:
            assert min(picture.size) > 100
    trained = nerva("train", "data=mine", "train.batch_size=10", "train.epochs=2", "tracking=off")
    assert trained.returncode == 0, trained.stderr
    assert f"{path.name}: " in trained.stdout
    run_id = trained.stdout.split()[1]
    replayed = nerva("replay", run_id)
    assert "identical" in replayed.stdout, replayed.stdout + replayed.stderr
    assert "mine" in nerva("data").stdout


def test_a_regression_is_described(nerva, tmp_path, checkout) -> None:
    write_csv(tmp_path / "flowers.csv", flowers())
    added = nerva("data", "add", "flowers.csv", "--label", "length", "--label", "width", "--name", "sizes")
    assert added.returncode == 0, added.stderr
    dataset = described(checkout, "sizes")
    assert (dataset["task"], dataset["targets"], dataset["label"]) == ("regression", 2, ["length", "width"])
    assert dataset["target_steps"] == ["StandardScaler"]
    assert dataset["categorical"] == ["soil", "species"]
    assert "█" not in added.stdout


def test_a_table_with_missing_values(nerva, tmp_path, checkout) -> None:
    frame = flowers().astype({"width": object})
    frame.loc[[3, 33], "width"] = "unknown"
    write_csv(tmp_path / "flowers.csv", frame)
    command = ["data", "add", "flowers.csv", "--label", "species"]
    failed_plainly(nerva(*command, "--missing", "unknown"), 'missing values in "width" (2)')
    assert not (checkout / "conf" / "data" / "flowers.yaml").exists()
    added = nerva(*command, "--missing", "unknown", "--impute", "median")
    assert added.returncode == 0, added.stderr
    (row,) = [line.split() for line in added.stdout.splitlines() if " width " in f" {line} "]
    assert "2" in row
    assert described(checkout, "flowers")["impute"] == "median"


def test_a_description_is_kept_until_force(nerva, tmp_path, checkout) -> None:
    file = write_csv(tmp_path / "flowers.csv", flowers())
    command = ["data", "add", "flowers.csv", "--label", "species"]
    assert nerva(*command).returncode == 0
    before = described(checkout, "flowers")
    assert nerva("prepare", "flowers").returncode == 0
    failed_plainly(nerva(*command), "flowers.yaml already exists; --force replaces it, or choose another --name")
    write_csv(file, flowers(seed=2))
    for changed in (nerva("id", "data=flowers"), nerva("train", "data=flowers")):
        failed_plainly(changed, "flowers.csv has changed: the sha256 of its arrays is", before["sha256"], "--force")
    # The file of the description has the command that describes the file again.
    text = (checkout / "conf" / "data" / "flowers.yaml").read_text()
    (again,) = [line.removeprefix("#").strip() for line in text.splitlines() if "--force" in line]
    result = nerva(*shlex.split(again)[1:])
    assert result.returncode == 0, result.stderr
    after = described(checkout, "flowers")
    assert after == before | {"sha256": after["sha256"]}
    assert after["sha256"] != before["sha256"]
    assert nerva("id", "data=flowers", "train.batch_size=10").returncode == 0


def test_mistakes(nerva, tmp_path, checkout) -> None:
    write_csv(tmp_path / "flowers.csv", flowers())
    write_npz(tmp_path / "bad.npz", X=np.full((30, 2), np.nan), T=np.arange(30) % 2)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.pdf").write_text("x")
    before = sorted((checkout / "conf").rglob("*"))
    for arguments, *words in (
        (["nowhere.csv"], "nowhere.csv: there is no such file or folder"),
        (["notes.pdf"], "notes.pdf has none of the suffixes .npz, .csv", "is not a folder of images"),
        (["empty"], "empty is empty or has no folders"),
        (["bad.npz"], "bad.npz: the inputs have 60 values that are missing"),
        (["flowers.csv"], "data.label should name the column", '"species"'),
        (["flowers.csv", "--label", "colour"], 'has no column "colour"'),
        (["flowers.csv", "--label", "species", "--name", "../x"], "--name should be the name of a file"),
        (["flowers.csv", "--label", "species", "--name", "mnist", "--force"], "mnist is a built-in name"),
        (["flowers.csv", "--label", "species", "--name", "npz"], "npz is a built-in name"),
        (["flowers.csv", "--label", "species", "--ignore", "species"], "data.ignore and data.label both name"),
        (["flowers.csv", "--label", "species", "--label", "species"], "data.label names a column twice"),
    ):
        failed_plainly(nerva("data", "add", *arguments), *words)
    for arguments, *words in (
        (["bad.npz", "--label", "species"], "--label is for tables"),
        (["flowers.csv", "--label", "species", "--size", "8"], "--size and --colour are for folders of images"),
        (["empty", "--task", "regression"], "A folder of images by class is a classification"),
    ):
        failed_plainly(nerva("data", "add", *arguments), *words, code=2)
    assert sorted((checkout / "conf").rglob("*")) == before
    assert not (tmp_path / "results").exists()
