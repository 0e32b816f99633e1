"""The choice behind `data=auto`."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from nerva.data import choose, predict, prepare, recorded_choice
from nerva.errors import NervaError
from tests.data.raw_files import DAMAGES, nowhere, put


def test_auto_takes_the_preferred_dataset_if_its_files_exist(dataset, tmp_path, capsys) -> None:
    put(tmp_path / "raw" / "tiny")
    assert choose(dataset, "digits", tmp_path).chosen == "tiny"
    assert "data=auto takes tiny: its files are in " in capsys.readouterr().err


def test_auto_takes_the_preferred_dataset_if_it_can_be_downloaded(dataset, tmp_path, mirror, capsys) -> None:
    assert choose(replace(dataset, mirrors=[mirror.url]), "digits", tmp_path).chosen == "tiny"
    assert mirror.asked == ["/data/train_labels.gz"]
    assert "it can be downloaded" in capsys.readouterr().err


def test_auto_takes_the_alternative_and_says_so_once(dataset, tmp_path, capsys) -> None:
    dataset = replace(dataset, mirrors=[nowhere()])
    choice = choose(dataset, "digits", tmp_path)
    assert choice.chosen == "digits"
    notice = capsys.readouterr().err
    assert "data=auto takes digits: Tiny is not in " in notice
    assert "say data=tiny" in notice
    # The choice is kept until its file is deleted, even if the files are there later.
    put(tmp_path / "raw" / "tiny")
    assert choose(dataset, "digits", tmp_path) == choice
    assert capsys.readouterr().err == ""
    (tmp_path / "auto.json").unlink()
    assert choose(dataset, "digits", tmp_path).chosen == "tiny"


def test_auto_refuses_damaged_files(dataset, tmp_path) -> None:
    raw = put(tmp_path / "raw" / "tiny")
    DAMAGES["cut off"](raw / "test_labels.gz")
    with pytest.raises(NervaError, match=r"test_labels\.gz is damaged"):
        choose(dataset, "digits", tmp_path)
    assert not (tmp_path / "auto.json").exists()


def files_below(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(f): (f.stat().st_mtime_ns, f.read_bytes()) for f in folder.rglob("*") if f.is_file()}


@pytest.mark.parametrize("present", ["nothing", "raw files", "a part of the raw files", "prepared files"])
def test_a_prediction_agrees_with_the_choice_without_network_and_writes_nothing(
    dataset, tmp_path, mirror, present: str
) -> None:
    folder = tmp_path / "data"
    if present != "nothing":
        put(folder / "raw" / "tiny")
    if present == "a part of the raw files":
        (folder / "raw" / "tiny" / "test_labels.gz").unlink()
    if present == "prepared files":
        prepare(dataset, folder)
        shutil.rmtree(folder / "raw")
    before = files_below(tmp_path)
    predicted = predict(replace(dataset, mirrors=[mirror.url]), "digits", folder)
    assert files_below(tmp_path) == before
    assert folder.exists() == (present != "nothing")
    assert mirror.asked == []
    expected = "tiny" if present in ("raw files", "prepared files") else "digits"
    assert predicted.chosen == expected
    reasons = {
        "digits": "Tiny is not in .*raw/tiny; mirrors were not tried",
        "tiny": "its files are in|it is prepared in",
    }
    assert re.search(reasons[expected], predicted.reason)
    assert choose(replace(dataset, mirrors=[nowhere()]), "digits", folder).chosen == expected


def test_a_prediction_is_the_recorded_choice(dataset, tmp_path) -> None:
    choice = choose(replace(dataset, mirrors=[nowhere()]), "digits", tmp_path)
    put(tmp_path / "raw" / "tiny")
    assert predict(dataset, "digits", tmp_path) == choice
    assert recorded_choice(tmp_path / "auto.json", ("tiny", "digits")) == choice
    assert recorded_choice(tmp_path / "other.json", ("tiny", "digits")) is None


DAMAGED = {
    "{": "Invalid JSON",
    "": "Invalid JSON",
    "\x00\xff": "Invalid JSON",
    "[]": "Input should be an object|Input should be a dictionary",
    "3": "Input should be",
    "null": "Input should be",
    "{}": "chosen: Field required",
    '{"chosen": "tiny"}': "reason: Field required",
    '{"chosen": 3, "reason": ""}': "chosen: Input should be a valid string",
    '{"chosen": ["tiny"], "reason": ""}': "chosen: Input should be a valid string",
    '{"chosen": "tiny", "reason": {}}': "reason: Input should be a valid string",
    '{"chosen": "auto", "reason": ""}': '"auto" is neither tiny nor digits',
    "[" * 100_000: "Invalid JSON",
    '{"reason": "", "chosen": ' + "[" * 100_000: "Invalid JSON",
    " " * (2 << 20): "more than 1048576 bytes",
}


@pytest.mark.parametrize("text", DAMAGED, ids=range(len(DAMAGED)))
def test_a_file_that_records_no_choice_is_refused(dataset, tmp_path, text: str) -> None:
    (tmp_path / "auto.json").write_text(text, encoding="latin-1")
    for decide in (choose, predict):
        with pytest.raises(
            NervaError, match=rf"auto\.json should record a choice of data: .*({DAMAGED[text]}).*delete it"
        ):
            decide(dataset, "digits", tmp_path)
