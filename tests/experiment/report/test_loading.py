"""Loading the records of runs: a damaged run is named, whatever the damage."""

import json
import random
import shutil
from itertools import product

import pytest
import yaml

from nerva.errors import NervaError
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.report.loading import load_run, load_runs
from tests.experiment.report.examples import (
    WRONG_VALUES,
    damage_bytes,
    damage_json,
    edit_json,
    update_checksums,
)


def test_a_run_is_loaded(sweep) -> None:
    run = load_run(sweep[0])
    assert run.record.run_id == run.provenance.run_id == sweep[0].run_id
    assert run.config.learning_rate == {"name": "Constant", "lr": 0.1}
    assert [row["epoch"] for row in run.metrics] == [0, 1, 2]


@pytest.mark.parametrize("name", ["code.json", "weights.npz", "best.npz", "run.log", "metrics.csv", "config.yaml"])
def test_a_missing_file_is_named(copied_run, name) -> None:
    (copied_run.path / name).unlink()
    with pytest.raises(NervaError, match=f"{name} is missing; delete .* to train the run again"):
        load_run(copied_run)


@pytest.mark.parametrize("name", ["config.yaml", "provenance.json", "metrics.csv"])
def test_a_file_that_was_changed_is_named(copied_run, name) -> None:
    path = copied_run.path / name
    path.write_text(path.read_text().rstrip("\n") + "\n\n")
    with pytest.raises(NervaError, match=f"{name} was changed after the run had ended"):
        load_run(copied_run)


def test_a_run_without_a_result_has_not_ended(copied_run) -> None:
    copied_run.record.unlink()
    with pytest.raises(NervaError, match="has not ended"):
        load_run(copied_run)


def test_a_folder_with_another_name_is_damaged(copied_run) -> None:
    renamed = RunFolder(copied_run.path.rename(copied_run.path.with_name("000000000000")))
    with pytest.raises(NervaError, match=r"run_id is '.*', and should be '000000000000'"):
        load_run(renamed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"best": None}, "a finished run should have a best epoch"),
        ({"status": "failed"}, "a failed run should have a reason, and no best epoch"),
        ({"best": {"epoch": 7}}, "best.epoch is 7, but metrics.csv has 3 epochs"),
        ({"best": {"validation_accuracy": 0.999}}, "best.validation_accuracy is 0.999, but"),
        ({"last": {"epoch": 1}}, "last."),
        ({"training_seconds": -1.0}, "training_seconds is -1"),
        ({"peak_memory_mb": "inf"}, "peak_memory_mb is inf"),
        ({"files": {}}, "there is no checksum of config.yaml"),
    ],
)
def test_a_record_that_contradicts_the_others_is_damaged(copied_run, changes, message) -> None:
    def change(record: dict) -> None:
        for key, value in changes.items():
            record[key] = record[key] | value if isinstance(value, dict) and value else value

    edit_json(copied_run.record, change)
    with pytest.raises(NervaError, match=rf"run\.json is damaged \({message}"):
        load_run(copied_run)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("  name: ../../secret", "data.name in provenance.json is 'digits', and should be '../../secret'"),
        ("seed: 99", "seed in provenance.json is 1, and should be 99"),
        ('  title: "\\uD800"', "config.yaml is not a run's configuration"),
    ],
)
def test_a_forged_configuration_is_refused(copied_run, line, message) -> None:
    lines = copied_run.config.read_text().split("\n")
    key = line.partition(":")[0]
    copied_run.config.write_text("\n".join(line if x.startswith(f"{key}:") else x for x in lines))
    update_checksums(copied_run)
    with pytest.raises(NervaError, match=message):
        load_run(copied_run)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [x, x]\nb: &b [*a, *a]\n", "it has aliases"),
        (f"imports: [{'x, ' * 40_000}]\n", "it has more than 65,536 characters"),
        ("seed: ${oc.env:HOME}\n", "seed: Input should be a valid integer"),
        ("just a text\n", "is not a run's configuration"),
    ],
)
def test_a_configuration_that_could_take_long_is_refused(copied_run, text, message) -> None:
    copied_run.config.write_text(text)
    with pytest.raises(NervaError, match=message):
        load_run(copied_run)


def test_a_dataset_may_not_be_a_path(copied_run) -> None:
    """A report reads the dataset that a configuration names, and a stranger may have written the configuration."""
    copied_run.config.write_text(copied_run.config.read_text().replace("name: digits", "name: ../../secret", 1))
    edit_json(copied_run.provenance, lambda provenance: provenance["data"].update(name="../../secret"))
    update_checksums(copied_run)
    with pytest.raises(
        NervaError, match=r'data\.name in config\.yaml should be the name of a file, without folders, not "'
    ):
        load_run(copied_run)


@pytest.mark.parametrize(
    ("name", "forged"),
    [("run.json", False), *product(["provenance.json", "config.yaml", "metrics.csv"], [False, True])],
)
def test_mutations(sweep, tmp_path, name, forged) -> None:
    """A run with a file that was changed at random is named, or is still valid; there is no other error.

    A forger also changes the checksums, so that only the content can give the change away.
    """
    generator = random.Random(f"{name} {forged}")
    folder = RunFolder(tmp_path / sweep[0].run_id)
    shutil.copytree(sweep[0].path, folder.path)
    path, original, record = folder.path / name, (sweep[0].path / name).read_bytes(), sweep[0].record.read_bytes()
    named = 0
    for _ in range(40):
        folder.record.write_bytes(record)
        path.write_bytes(_mutated(name, original, generator))
        if path.read_bytes() == original:
            continue
        if forged:
            update_checksums(folder)
        loaded, damaged = load_runs([folder])
        assert len(loaded) + len(damaged) == 1
        if damaged:
            assert damaged[0].run_id == folder.run_id
            assert str(folder.path) in damaged[0].reason
            assert len(damaged[0].reason) <= 500
        elif not forged:
            assert name == "run.json"  # it has no checksum of itself
        named += len(damaged)
    assert named >= 10


def _mutated(name: str, content: bytes, generator: random.Random) -> bytes:
    if generator.random() < 0.4:
        return damage_bytes(content, generator)
    if name == "metrics.csv":
        lines = content.decode().split("\n")
        row = generator.randrange(1, 4)
        cells = lines[row].split(",")
        cells[generator.randrange(len(cells))] = str(generator.choice(WRONG_VALUES[:12]))
        lines[row] = ",".join(cells)
        return "\n".join(lines).encode()
    parsed = yaml.safe_load(content) if name == "config.yaml" else json.loads(content)
    return json.dumps(damage_json(parsed, generator), default=str).encode()
