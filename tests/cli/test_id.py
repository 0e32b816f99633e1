"""`nerva id`."""

import pytest

from tests.helpers import Command, failed_plainly


def test_each_line_has_an_id_and_its_overrides(run: Command, tmp_path) -> None:
    result = run("nerva", "id", "data=digits", "seed=1,2")
    lines = result.stdout.splitlines()
    assert [line.split(maxsplit=1)[1] for line in lines] == ["data=digits seed=1", "data=digits seed=2"]
    assert len({line.split()[0] for line in lines}) == 2
    assert not (tmp_path / "results").exists()


@pytest.mark.long
def test_explain_lists_what_an_id_covers(run: Command, tmp_path) -> None:
    of_overrides = run("nerva", "id", "--explain", "data=digits", "train.epochs=1").stdout.splitlines()
    run_id = of_overrides[0].split()[0]
    assert "    optimizer: Momentum(mu=0.9)" in of_overrides
    assert any(line.endswith("nerva/optimizers.py: MomentumOptimizer.update") for line in of_overrides)
    assert not any("Adam" in line for line in of_overrides)
    assert run("nerva", "train", "data=digits", "train.epochs=1", "tracking=off").returncode == 0
    of_record = run("nerva", "id", "--explain", run_id).stdout.splitlines()
    assert of_record[0] == run_id
    assert of_record[1:] == of_overrides[1:]
    failed_plainly(run("nerva", "id", "--explain", "0" * 12), f"there is no run {'0' * 12} in results/runs")
