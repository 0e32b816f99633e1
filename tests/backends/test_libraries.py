"""The engine on every library that is installed: its results equal those of NumPy within TOLERANCE.

Each library computes in a process of its own; see calculations.py.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nerva.backends import BACKENDS, may_have_gpu
from tests.backends import calculations
from tests.helpers import ROOT

LIBRARIES = [name for name in BACKENDS if name != "numpy"]
# The largest difference, relative to the largest element.
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


def python(backend: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process that computes with a library on one thread."""
    variables = {**os.environ, **BACKENDS[backend].environment, "PYTHONPATH": str(ROOT), "NERVA_BACKEND": backend}
    command = [sys.executable, "-W", "ignore", *arguments]
    return subprocess.run(command, env=variables | environment, capture_output=True, text=True, check=False)


def skip_unless_installed(backend: str) -> None:
    if importlib.util.find_spec(BACKENDS[backend].module) is None:
        pytest.skip(f"{BACKENDS[backend].title} is not installed")


@pytest.fixture(scope="module", params=LIBRARIES)
def library(request) -> str:
    skip_unless_installed(request.param)
    return request.param


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    """The results of NumPy."""
    with np.errstate(all="ignore"):
        return {name: np.array(value) for name, value in calculations.calculate()}


@pytest.fixture(scope="module")
def results(library: str, tmp_path_factory) -> dict[str, np.ndarray]:
    """The results of a library."""
    file = tmp_path_factory.mktemp(library) / "results.npz"
    result = python(library, "-m", "tests.backends.calculations", str(file))
    assert result.returncode == 0, result.stderr
    return dict(np.load(file))


def differences(
    results: dict[str, np.ndarray], expected: dict[str, np.ndarray], tolerance: dict[str, float] = TOLERANCE
) -> list[str]:
    """What differs, and by how much."""
    assert [name.replace("/", "_") for name in expected] == [*results]
    found = []
    for (name, a), b in zip(expected.items(), results.values(), strict=True):
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            found.append(f"{name}: {b.dtype} {b.shape} instead of {a.dtype} {a.shape}")
            continue
        finite = np.isfinite(a)
        same = np.array_equal(a[~finite], b[~finite], equal_nan=True)
        scale = np.abs(a[finite]).max(initial=1e-30)
        difference = np.abs(a[finite].astype(float) - b[finite].astype(float)).max(initial=0) / scale
        if not same or not difference <= tolerance["float64" if "float64" in name else "float32"]:
            found.append(f"{name}: {difference}")
    return found


@pytest.mark.backends
@pytest.mark.xdist_group("backends")
def test_every_result_is_that_of_numpy(results, expected) -> None:
    assert differences(results, expected) == []


@pytest.mark.backends
@pytest.mark.xdist_group("backends")
def test_every_result_on_a_gpu_is_that_of_numpy(library: str, expected, tmp_path: Path) -> None:
    if not may_have_gpu():
        pytest.skip("this machine has no GPU")
    file = tmp_path / "results.npz"
    result = python(library, "-m", "tests.backends.calculations", str(file), NERVA_DEVICE="gpu")
    if "finds no GPU" in result.stderr:
        pytest.skip(result.stderr.splitlines()[-1])
    assert result.returncode == 0, result.stderr
    # A GPU may multiply float32 matrices with fewer bits.
    assert differences(dict(np.load(file)), expected, {"float32": 1e-2, "float64": 1e-8}) == []


def test_the_calculations_cover_the_engine(expected) -> None:
    networks_at_the_last_step = {
        name.split(":")[1] for name in expected if f"step {calculations.STEPS - 1} layer" in name
    }
    assert len(networks_at_the_last_step) == len(calculations.NETWORKS)
    operations = {name.split(": ")[2].split(" ")[0].strip(",") for name in expected if name.startswith("operation: ")}
    # The conversions are in all calculations, and `indicator` is in those of the comparisons.
    assert calculations.mo.OPERATIONS.keys() - operations == {"from_numpy", "to_numpy", "scalar", "indicator"}


def test_a_difference_is_found(expected) -> None:
    name = "steps: SReLU: step 49 layer 1 DW"
    wrong = {key.replace("/", "_"): value for key, value in expected.items()}
    wrong[name] = wrong[name] * np.float32(1 + 2e-5)
    (found,) = differences(wrong, expected)
    assert found.startswith(name)


NETWORK = """
import sys
import numpy as np
from nerva.multilayer_perceptron import load_multilayer_perceptron, parse_multilayer_perceptron
if len(sys.argv) > 2:
    M = load_multilayer_perceptron(sys.argv[2])
else:
    M = parse_multilayer_perceptron(
        ["SReLU", "BatchNormalization(momentum=0.1)", "Dropout", "Softmax"], [5, 4, 3], ["Adam"] * 3,
        ["HeNormal", "XavierUniform"], np.random.default_rng(1))
M.save(sys.argv[1])
"""


@pytest.mark.backends
@pytest.mark.xdist_group("backends")
def test_networks_are_exchanged_bit_for_bit(library: str, tmp_path: Path) -> None:
    files = [str(tmp_path / f"{i}.npz") for i in range(4)]
    for backend, *arguments in (
        ("numpy", files[0]), (library, files[1]), (library, files[2], files[0]), ("numpy", files[3], files[2]),
    ):  # fmt: skip
        result = python(backend, "-c", NETWORK, *arguments)
        assert result.returncode == 0, result.stderr
    first, *others = [dict(np.load(file)) for file in files]
    for other in others:
        assert first.keys() == other.keys()
        for name, array in first.items():
            assert array.dtype == other[name].dtype
            assert array.tobytes() == other[name].tobytes()


FOREIGN = """
import numpy as np
from nerva.layers import parse_layer
parse_layer("Linear", 2, 2).feedforward(np.ones((1, 2), np.float32))
"""


@pytest.mark.backends
@pytest.mark.xdist_group("backends")
def test_arrays_of_another_library_are_refused(library: str) -> None:
    result = python(library, "-c", FOREIGN)
    title = BACKENDS[library].title
    assert f"NervaError: this process computes with {title}, and a numpy.ndarray was given" in result.stderr


# "FromInteger" is compiled from the second epoch on, when its state is no integer any more.
COMPILED = {"ReLU", "Decaying", "FromInteger", "exchange"}


@pytest.mark.backends
@pytest.mark.xdist_group("backends")
def test_components_that_are_compiled_and_others_give_the_results_of_numpy(library: str) -> None:
    networks = {}
    for backend in ("numpy", library):
        result = python(backend, "-m", "tests.backends.components")
        assert result.returncode == 0, result.stderr
        networks[backend] = {line["name"]: line for line in map(json.loads, result.stdout.splitlines())}
    compiled = {name for name, network in networks[library].items() if network["compiled"]}
    assert compiled == (COMPILED if library != "torch" else set())
    steps = 3 * 4  # epochs and batches
    for name, network in networks[library].items():
        assert network["seen"] == (steps if name in ("Counting", "Recording") else None)
        assert network["sum"] == pytest.approx(networks["numpy"][name]["sum"], rel=1e-5), name


TIMED = """
import jax
import numpy as np
from nerva import training
from nerva.datasets import DataLoader
from nerva.loss_functions import parse_loss_function
from nerva.multilayer_perceptron import parse_multilayer_perceptron

class Watch(training.StopWatch):
    def seconds(self):
        print(all(x.is_ready() for x in jax.live_arrays()))
        return super().seconds()

training.StopWatch = Watch
M = parse_multilayer_perceptron(["ReLU", "Linear"], [784, 512, 10], ["Momentum(0.9)"] * 2, ["HeNormal"] * 2)
data = DataLoader(np.ones((5000, 784), np.float32), np.zeros(5000, int), 100, 10)
list(training.training_epochs(M, 3, parse_loss_function("SquaredError"), lambda epoch: 0.01, data, data))
"""


@pytest.mark.backends
@pytest.mark.xdist_group("backends")
def test_the_time_of_an_epoch_ends_when_it_is_computed() -> None:
    skip_unless_installed("jax")
    result = python("jax", "-c", TIMED)
    assert result.stdout.split() == ["True"] * 3, result.stderr


# --- mistakes, in words ------------------------------------------------------------------------------------------

USE = "import nerva; nerva.use({!r})"


@pytest.mark.parametrize(
    ("program", "environment", "message"),
    [
        (USE.format("pytorch"), {}, 'the backend should be one of numpy, torch, jax, tensorflow, not "pytorch"'),
        ("import nerva.layers", {"NERVA_BACKEND": "x"}, 'should be one of numpy, torch, jax, tensorflow, not "x"'),
        ("import nerva; nerva.use('numpy', 'tpu')", {}, 'of a backend should be one of auto, cpu, gpu, not "tpu"'),
        ("import nerva; nerva.use('numpy', 'gpu')", {}, "device=gpu: NumPy computes on the CPU only"),
        (
            "import nerva.layers; " + USE.format("jax"),
            {},
            "the engine was already imported with numpy, and a process computes with one library: "
            "call nerva.use('jax') before the engine is first imported, or set NERVA_BACKEND=jax",
        ),
        (
            "import os, nerva.layers; os.environ['NERVA_BACKEND'] = 'jax'\n"
            "import nerva.multilayer_perceptron as m; m.MultilayerPerceptron()",
            {},
            'NERVA_BACKEND was changed to "jax" after nerva had been imported, and has no effect: '
            "this process computes with numpy",
        ),
        (
            "import nerva.layers; nerva.layers.parse_layer('Linear', 2, 2).feedforward([[1.0, 2.0]])",
            {},
            "this process computes with NumPy, and a builtins.list was given: nerva.matrix_operations.from_numpy",
        ),
        (
            "import nerva.layers; nerva.use('numpy', 'auto')",
            {"NERVA_DEVICE": "cpu"},
            "the engine was already imported with numpy on the cpu, and",
        ),
        (
            "import sys; sys.path.insert(0, ''); import nerva.layers; import nerva.proof",
            {},
            "call nerva.use('sympy') before the engine is first imported, or set NERVA_BACKEND=sympy",
        ),
    ],
)  # fmt: skip
def test_mistakes(program: str, environment: dict[str, str], message: str) -> None:
    result = python("numpy", "-c", program, **environment)
    assert result.returncode == 1
    assert message in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("backend", LIBRARIES)
def test_a_library_that_is_not_installed(backend: str) -> None:
    if importlib.util.find_spec(BACKENDS[backend].module):
        pytest.skip(f"{BACKENDS[backend].title} is installed")
    result = python("numpy", "-c", USE.format(backend))
    title = BACKENDS[backend].title
    assert result.stderr.splitlines()[-1].endswith(
        f'backend={backend}: {title} is not installed; pip install "nerva[{backend}]" installs it'
    )


@pytest.mark.backends
@pytest.mark.xdist_group("backends")
def test_a_gpu_that_is_not_there(library: str) -> None:
    if may_have_gpu():
        pytest.skip("this machine may have a GPU")
    result = python(library, "-c", "import nerva.layers", NERVA_DEVICE="gpu")
    assert f"NervaError: device=gpu: {BACKENDS[library].title}" in result.stderr


def test_the_device_of_the_environment_holds_for_use_as_well() -> None:
    program = (
        "import nerva; from nerva.backends import chosen; nerva.use('numpy'); import nerva.layers; print(chosen())"
    )
    result = python("numpy", "-c", program, NERVA_BACKEND="", NERVA_DEVICE="cpu")
    assert result.stdout.strip() == "('numpy', 'cpu')", result.stderr


def test_the_choice_may_be_repeated() -> None:
    program = (
        "import os, nerva; nerva.use('numpy'); import nerva.layers; nerva.use('numpy', 'cpu')\n"
        "os.environ.update(NERVA_BACKEND='numpy', NERVA_DEVICE='auto')\n"
        "from nerva.multilayer_perceptron import MultilayerPerceptron; MultilayerPerceptron()"
    )
    result = python("numpy", "-c", program, NERVA_BACKEND="", NERVA_DEVICE="")
    assert result.returncode == 0, result.stderr


def test_numpy_alone_imports_no_other_library() -> None:
    program = "import sys, nerva.training; print(*{name.partition('.')[0] for name in sys.modules})"
    assert not {*python("numpy", "-c", program).stdout.split()} & {*LIBRARIES, "sympy"}


def test_the_libraries_are_named_in_their_files_only() -> None:
    names = [library.module for library in BACKENDS.values() if library.module != "numpy"]
    files = subprocess.run(
        ["git", "grep", "-lwE", "|".join(names), "--", "*.py", "*.smk", "Snakefile"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    allowed = ("nerva/matrix_operations/", "nerva/backends.py", "tests/", "benchmarks/", "docs/")
    assert [file for file in files if not file.startswith(allowed)] == []
