"""Where a run comes from, as a record."""

import json

import pytest

from nerva.errors import NervaError


def test_a_provenance_is_read_as_it_was_written(recorded) -> None:
    origin = recorded.read_provenance()
    text = recorded.provenance.read_text()
    recorded.write_provenance(origin, recorded.read_code(), b"", {})
    assert recorded.provenance.read_text() == text
    assert recorded.read_provenance() == origin
    assert origin.overrides == ["data=digits", "model.hidden=[8]"]
    assert origin.data.description.startswith("scikit-learn ")
    assert origin.part_of is not None
    assert origin.part_of.title == "digits-single"


def test_the_patch_and_the_modules_are_written_if_there_are_any(recorded) -> None:
    origin, code = recorded.read_provenance(), recorded.read_code()
    recorded.write_provenance(origin, code, b"a patch", {"mine.py": "x = '\udcff'"})
    assert recorded.patch.read_bytes() == b"a patch"
    assert {recorded.patch, recorded.imports} <= {*recorded.evidence}
    recorded.write_provenance(origin, code, b"", {})
    assert not {recorded.patch, recorded.imports} & {*recorded.evidence}
    assert recorded.read_imports() == {}


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("overrides", 7, "overrides: "),
        ("environment", [], "environment: "),
        ("determined_by", "x", "determined_by: "),
        ("code", None, "code: "),
        ("data", {"name": "digits"}, "data.title: Field required"),
        ("part_of", {"title": 1}, "part_of.title: "),
    ],
)
def test_a_damaged_key_is_named(recorded, key: str, value: object, reason: str) -> None:
    content = json.loads(recorded.provenance.read_text())
    recorded.provenance.write_text(json.dumps(content | {key: value}))
    with pytest.raises(NervaError) as raised:
        recorded.read_provenance()
    assert f"{recorded.provenance} is damaged ({reason}" in str(raised.value)


@pytest.mark.parametrize("text", ["[]", "null", "3", '"x"', '{"a": 1}'])
def test_hashes_of_code_are_texts_by_names(recorded, text: str) -> None:
    recorded.code.write_text(text)
    with pytest.raises(NervaError, match=r"code\.json is damaged"):
        recorded.read_code()
