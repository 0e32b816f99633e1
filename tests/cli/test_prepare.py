"""`nerva prepare`."""

from tests.helpers import Command


def test_prepare(run: Command, tmp_path) -> None:
    result = run("nerva", "prepare", "digits")
    assert result.returncode == 0
    assert "scikit-learn digits: results/data/digits.npz" in result.stdout
    assert (tmp_path / "results" / "data" / "digits.json").exists()
