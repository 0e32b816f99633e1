"""Damaged run folders: each is named in one line, and the other runs are logged."""

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from matplotlib.figure import Figure

from nerva.errors import NervaError
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.records.sweep_record import record_sweep
from nerva.experiment.tracking import track
from tests.experiment.tracking.sweeps import FIRST, nerva_track, track_sweep, trained_runs
from tests.helpers import client_of, logged_in

pytestmark = pytest.mark.usefixtures("drawn")  # a picture may be what needs a damaged file


def test_a_damaged_run_does_not_keep_the_others_from_being_logged(results, uri) -> None:
    one, two, three = trained_runs(1, 2, 3)
    two.best.write_bytes(b"")
    record_sweep(results, "digits-test", FIRST, "", [folder.run_id for folder in (one, two, three)])
    for _ in range(2):
        code, output = nerva_track()
        assert code == 1
        assert f"{two.best} is damaged" in output
        assert f"delete {two.path} to train the run again" in output
        client = client_of(uri)
        states = {run_id: run.info.status for run_id, run in logged_in(client).items()}
        assert states == {one.run_id: "FINISHED", three.run_id: "FINISHED", "sweep": "FINISHED"}
        assert client.get_model_version_by_alias("digits-test", "champion")
    (four,) = trained_runs(4)
    four.provenance.write_text("{")
    record_sweep(results, "digits-test", FIRST, "", [four.run_id])
    _, output = nerva_track()
    for words in (f"{four.provenance} is damaged", f"delete {four.path}", f"delete {two.path}"):
        assert words in output, output


def test_a_file_that_is_lost_and_found(results, uri) -> None:
    one, two = trained_runs(1, 2)
    content = one.best.read_bytes()
    for damage in (one.best.unlink, lambda: one.best.write_bytes(b"")):
        damage()
        with pytest.raises(NervaError, match=rf"best\.npz.*; delete .*/{one.run_id} to train the run again"):
            track_sweep(results, uri, FIRST, [one, two])
        states = {run_id: logged.info.status for run_id, logged in logged_in(client_of(uri)).items()}
        assert states[two.run_id] == "FINISHED"
        assert "RUNNING" not in states.values()
    one.best.write_bytes(content)
    assert track_sweep(results, uri, FIRST, [one, two]) == 1
    logged = logged_in(client_of(uri))[one.run_id]
    assert logged.info.status == "FINISHED"
    assert "mlflow.note.content" not in logged.data.tags


# Files, the text that is replaced, the new text, and the words of the message.
DAMAGE = [
    ("run.json", '"status": "finished"', '"status": "dead"', "run.json is damaged (status: "),
    ("run.json", '"run_id"', '"id"', "run.json is damaged (run_id: "),
    (
        "run.json",
        '"weights.npz":',
        '"other.npz":',
        "run.json is damaged (weights: there is no checksum of weights.npz)",
    ),
    ("run.json", '"epoch": 1', f'"epoch": {"9" * 400}', "run.json is damaged (best.epoch: "),
    ("run.json", "{", "[" * 10_000, "run.json is damaged ("),
    ("provenance.json", '"overrides": []', '"overrides": [7]', "provenance.json is damaged (overrides.0: "),
    ("provenance.json", "{", '{"a":' * 10_000, "provenance.json is damaged ("),
    ("provenance.json", '"run_id": "', '"run_id": "two\\nlines', "provenance.json is damaged (run_id: "),
    ("metrics.csv", "epoch,", "period,", "metrics.csv is damaged ("),
    ("metrics.csv", "\n1,", "\n7,", "metrics.csv is damaged ("),
    ("config.yaml", "features: 64", "features: -64", "config.yaml is not a run's configuration (data.features"),
    ("config.yaml", "features: 64", "features: 9000000000", "config.yaml is not a run's configuration (data.features"),
    ("config.yaml", "train: 1500", f"train: {'9' * 400}", "config.yaml is not a run's configuration (data.train"),
    ("config.yaml", "mu: 0.9", f"mu: 0x{'f' * 9000}", "config.yaml is not a run's configuration ("),
    ("config.yaml", "mu: 0.9", "$m%u: 0.9", "MLflow does not accept the records in "),
    ("config.yaml", "data:", "data: [" * 10_000, "config.yaml is not a run's configuration ("),
]


def test_damage_is_named_with_its_place(results, uri) -> None:
    (folder,) = trained_runs(1)
    folders = []
    for number, (name, old, new, _) in enumerate(DAMAGE):
        folders.append(copy_of(folder, f"{number:012}"))
        file = folders[-1].path / name
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))
    with pytest.raises(NervaError) as raised:
        track([*folders, folder], "digits-test", uri, results)
    lines = str(raised.value).splitlines()
    assert len(lines) == len(DAMAGE)
    for line, copy, (*_, message) in zip(lines, folders, DAMAGE, strict=True):
        assert message in line, (line, message)
        assert line.endswith(f"; delete {copy.path} to train the run again")
    runs = logged_in(client_of(uri))
    assert runs[folder.run_id].info.status == "FINISHED"
    assert "RUNNING" not in {run.info.status for run in runs.values()}


@pytest.mark.long
def test_mutated_records_raise_nothing_but_a_nerva_error(results, uri, monkeypatch) -> None:
    """All mutations are tracked at once, before a run that is not damaged."""
    (folder,) = trained_runs(1)
    # To draw takes most of the time, and how a picture becomes a file does not depend on the run.
    monkeypatch.setattr(Figure, "savefig", lambda self, path, dpi: Path(path).touch())
    rng = random.Random(11)
    folders = []
    for number in range(150):
        folders.append(copy_of(folder, f"{number:012}"))
        mutate(folders[-1].path / rng.choice(["run.json", "provenance.json", "config.yaml", "metrics.csv"]), rng)
    try:
        track([*folders, folder], "digits-test", uri, results)
    except NervaError as error:
        problems = str(error).splitlines()
    named = [copy for copy in folders if any(str(copy.path) in problem for problem in problems)]
    assert len(named) == len(problems) > 50
    assert all("to train the run again" in problem for problem in problems)
    runs = logged_in(client_of(uri))
    for copy in folders:
        finished = copy.run_id in runs and runs[copy.run_id].info.status in ("FINISHED", "FAILED")
        assert finished == (copy not in named)
    assert runs[folder.run_id].info.status == "FINISHED"


def copy_of(folder: RunFolder, run_id: str) -> RunFolder:
    """A copy of a run with another id."""
    copy = RunFolder(folder.path.with_name(run_id))
    shutil.copytree(folder.path, copy.path)
    for file in (copy.record, copy.provenance):
        file.write_text(file.read_text().replace(folder.run_id, run_id))
    return copy


_VALUES = [
    *(None, True, -1, 0, 10**30, 10**400, 1e308, float("nan"), float("inf"), "", "x", "x" * 10_000, "\0", "💥", "'"),
    *([], {}, [[]], {"a": {"b": 1}}, "0001-01-01", "9999-12-31", "../../..", "${oc.env:HOME}"),
]


def mutate(file: Path, rng: random.Random) -> None:
    """Change a file: a key or a value in a tree, or characters anywhere."""
    text = file.read_text()
    if file.suffix == ".csv" or rng.random() < 0.2:
        place, length = rng.randrange(len(text)), rng.choice([0, 1, 10, 1000])
        garbage = rng.choice(["", "x", ",", "-", "1e999", "\n", "\0", "é", "[" * 10_000, "{", '"', "nan"])
        file.write_text(text[:place] + garbage + text[place + length :])
        return
    content = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    parent, key = rng.choice([*places(content)])
    kind = rng.choice(["delete", "rename", "replace", "replace", "replace", "replace"])
    if kind == "replace" or isinstance(parent, list):
        parent[key] = rng.choice(_VALUES)
    else:
        value = parent.pop(key)
        if kind == "rename":
            parent[f"{key}$"] = value
    file.write_text(json.dumps(content) if file.suffix == ".json" else yaml.safe_dump(content))


def places(node) -> Iterator[tuple]:
    """All places in a tree of dictionaries and lists: a container, and a key or an index."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield node, key
        yield from places(value)
