"""What the pages of the documentation refer to exists, and what they repeat agrees with the code."""

import re
import tomllib

import pytest
import yaml

import nerva
from nerva.cli import DISK_FULL, VERBS
from nerva.experiment.sweep.planning import plan_sweep
from tests.docs.blocks import PAGES, blocks, read
from tests.helpers import ROOT


def headings(page: str) -> set[str]:
    """The anchors of a page, as GitHub derives them from its headings."""
    text = re.sub(r"```.*?```", "", read(page), flags=re.DOTALL)
    return {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", text, re.M)
    }


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\((?!http)([^)]+)\)", read(page)):
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in headings(str(target.resolve().relative_to(ROOT))), link


@pytest.mark.parametrize("page", PAGES)
def test_paths_of_the_repository_exist(page: str) -> None:
    folders = "benchmarks|conf|docs|nerva|profiles|tests|workflow"
    for path in re.findall(rf"`(?:python )?((?:{folders})/[\w/.]*)`", read(page)):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES)
def test_commands_exist(page: str) -> None:
    for verb in re.findall(r"\bnerva ([a-z]+)\b(?=[ `\n])", " ".join(re.findall(r"`[^`\n]+`", read(page)))):
        assert verb in VERBS, verb


def test_the_experiment_in_the_text_is_the_one_in_the_file() -> None:
    shown, _ = blocks("docs/experiments.md", "yaml")
    file = (ROOT / "conf" / "experiment" / "quick.yaml").read_text()
    assert shown == "".join(line for line in file.splitlines(True) if not line.startswith("# ") or "@package" in line)


def test_the_experiment_with_several_grids_can_be_planned(tmp_path) -> None:
    _, shown = blocks("docs/experiments.md", "yaml")
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "rates.yaml").write_text(shown)
    plan = plan_sweep(["+experiment=rates", "data=digits", f"hydra.searchpath=[file://{tmp_path}]"])
    # The filter leaves out two of the eight points of the first grid.
    assert plan.rules == ("2 grids", "3 seeds", "where learning_rate.lr < 0.5 or train.batch_size >= 50")
    assert len(plan.points) == 3 * (8 - 2 + 2)


def test_the_datasets_are_documented() -> None:
    for file in (ROOT / "conf" / "data").glob("*.yaml"):
        assert f"| `{file.stem}` |" in read("docs/experiments.md")


def test_the_exit_code_of_a_full_disk() -> None:
    assert f"| {DISK_FULL} | the disk is full |" in read("docs/experiments.md")


def test_the_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert project["version"] == nerva.__version__ == citation["version"] == newest.group(1)


def test_the_citation_has_the_required_keys() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    for entry in (citation, *citation["references"]):
        assert entry["title"]
        assert entry["authors"]
        assert entry["type"]
    assert citation["message"]
    assert citation["license"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]
