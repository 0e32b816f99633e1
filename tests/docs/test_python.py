"""The programs of docs/python.md, as they are written there: as a script, and as a notebook in a Jupyter kernel."""

from pathlib import Path

import pytest

from nerva.experiment.config import numerics
from tests.docs.blocks import blocks
from tests.helpers import Command, environment

PAGE = "docs/python.md"
CELLS = blocks(PAGE, "python")


def execute(folder: Path, cells: list[str], monkeypatch) -> list[str]:
    """Run cells as a notebook in a folder, and return what each of them shows, as text.

    The outputs of a cell are those of a saved notebook: what was replaced or cleared is not among them.
    """
    import nbformat
    from nbclient import NotebookClient

    (folder / "home").mkdir()
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "home"))
    # In these tests numerics are pinned, and so they are in the variables that a worker of pytest inherits.
    inherited = environment(folder / "home", IPYTHONDIR=str(folder / "home"))
    kernel = {name: value for name, value in inherited.items() if name not in numerics._VARIABLES}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute(env=kernel)
    return ["".join(shown(output) for output in cell.outputs) for cell in notebook.cells]


def shown(output) -> str:
    if output.output_type == "stream":
        return f"{output.name}: {output.text}"
    return str(output.data["text/plain"]) + "\n"


def test_the_page_as_a_script(run: Command, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("\n".join(CELLS))
    result = run("python", "-W", "error", "program.py", MPLBACKEND="agg")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("8 runs, the first is ")
    assert lines[1] == "4 and 8 of 8 runs"
    assert lines[-1] == "True 7 metrics of 6 epochs, 9,620 weights"
    assert "8 of 8 runs done" in result.stderr
    assert (tmp_path / "learning_curves.png").stat().st_size > 1000
    assert len(list(tmp_path.glob("results/runs/*/run.json"))) == 9


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "first",
    [
        pytest.param("", id="pinned"),
        pytest.param("import numpy", id="NumPy was imported before"),
    ],
)
@pytest.mark.long
def test_the_page_as_a_notebook(tmp_path: Path, monkeypatch, first: str) -> None:
    states = "from nerva.experiment.config import numerics\nprint(numerics.pinned())"
    outputs = execute(tmp_path, [first, *CELLS, states], monkeypatch)
    imports, planned, trained, single, frame, filtered, curves, network, replayed, pinned = outputs
    assert imports == ""
    assert planned.startswith("stdout: 8 runs, the first is ")
    # One line of progress, which was replaced until the end, and then the value of the cell.
    assert trained.startswith("100%|████████████████████| 8 of 8 runs done\n<8 runs of ")
    assert single == "<1 run of digits-single>\n"
    assert "validation_accuracy" in frame
    assert "learning_rate.lr" in frame
    assert filtered == "stdout: 4 and 8 of 8 runs\n"
    assert curves.split()[:3] == ["optimizer", "Momentum(mu=0.9)", "Nesterov(mu=0.9)"]
    assert float(network.split(": ")[2].partition("%")[0]) > 90
    assert replayed == "stdout: True 7 metrics of 6 epochs, 9,620 weights\n"
    mode = "" if first else "native" if numerics.obstacle() else "portable"
    assert pinned == f"stdout: {mode}\n"
