"""The configuration of a run as a file."""

import pytest

from nerva.errors import NervaError
from nerva.experiment.identity.canonical import canonical_form
from nerva.experiment.records.run_config import from_yaml, read_config, to_yaml
from tests.helpers import configured

OVERRIDES = {
    "digits": ["data=digits"],
    "mnist": ["data=mnist", "model=large"],
    "other components": ["optimizer=nesterov", "learning_rate=multi_step", "loss=squared_error"],
    "numbers": ["learning_rate.lr=1e-5", "optimizer.mu=0.1", "seed=9223372036854775807"],
    "texts": ["data.class_names=['0x1','2026-01-01','null','1e3','é','a: b','[','x y','true']"],
}


@pytest.mark.parametrize("name", OVERRIDES)
def test_a_configuration_is_read_as_it_was_written(tmp_path, name: str) -> None:
    config = configured("numerics=native", *OVERRIDES[name])
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config, "native"), encoding="utf-8")
    read = read_config(path, "0123456789ab", "")
    assert canonical_form(read) == canonical_form(config)
    assert read.data.class_names == config.data.class_names
    assert read.experiment_name == "0123456789ab"


def test_the_same_run_has_the_same_file(monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/home/jane")
    other = configured(
        "experiment_name=other",
        "question=Why",
        "results_dir=elsewhere",
        "force=true",
        "tracking=mlflow",
        "sweep.id=0123",
        "numerics=native",
    )
    other.data.note = "chosen by data=auto"
    assert to_yaml(other, "native") == to_yaml(configured("numerics=native"), "native")
    assert to_yaml(configured("numerics=auto"), "portable") == to_yaml(configured("numerics=portable"), "portable")


def test_mirrors_are_recorded_without_personal_data(monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/home/jane")
    text = to_yaml(configured("data.mirrors=['https://jane:secret@example.com','file:///home/jane/data']"), "native")
    assert "https://example.com" in text
    assert "secret" not in text
    assert "/home/jane" not in text


def test_what_is_missing_is_as_by_default() -> None:
    config = from_yaml("{data: {name: x}}")
    assert (config.data.name, config.seed, config.imports) == ("x", 0, [])


REFUSED = {
    "": "Input should be an object",
    "- 1": "Input should be an object",
    "seed: one": "seed: Input should be a valid integer",
    "model: {hidden: [8, x]}": "model.hidden.1: Input should be a valid integer",
    "model: {hidden: [[8]]}": "model.hidden.0: Input should be a valid integer",
    "seed: !!python/object/apply:os.getpid []": "could not determine a constructor for the tag",
    "a: &a 1\nseed: *a": "it has aliases",
    "seed: ${oc.env:HOME}": "seed: Input should be a valid integer",
    "optimizer: {a: " + "[" * 100 + "]" * 100 + "}": "it has brackets nested 101 deep; 50 is the most",
    'question: "\\ud800"': "found invalid Unicode character escape code",
    "optimizer: {name: !!binary aGk=}": "bytes",
    "seed: 1\n---\nseed: 2": "expected a single document",
    "seed: [": "while parsing",
    "a: !!bool x": "",
    "a: !!int ''": "",
    "a: " + "1:" * 500 + "1.5": "",
    "#" * 70_000: "it has more than 65,536 characters",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:40])
def test_other_texts_are_refused(tmp_path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(NervaError) as raised:
        read_config(path, "0123456789ab", "delete it")
    assert str(raised.value).startswith(f"{path} is not a run's configuration (")
    assert REFUSED[text] in str(raised.value)
    assert str(raised.value).endswith("; delete it")


def test_an_interpolation_is_a_text(monkeypatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    assert from_yaml("question: ${oc.env:SECRET}").question == "${oc.env:SECRET}"


def test_files_that_cannot_be_read(tmp_path) -> None:
    (tmp_path / "config.yaml").write_bytes(b"\xff\xfeseed: 1")
    for path in (tmp_path, tmp_path / "nosuch.yaml", tmp_path / "config.yaml"):
        with pytest.raises(NervaError, match="is not a run's configuration"):
            read_config(path, "0123456789ab", "")
