"""Components from modules of one's own: which run they are, and how it is made again."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nerva.activation_functions import ACTIVATIONS
from nerva.errors import NervaError
from nerva.experiment.config.schema import canonical
from nerva.experiment.identity.identify import code_parts, run_id
from nerva.experiment.identity.user_modules import files, sources, texts, write_texts
from nerva.experiment.run.train import run as train
from nerva.learning_rate import LEARNING_RATES
from nerva.optimizers import OPTIMIZERS
from tests.helpers import DIGITS, Command, configured

MINE = """
from helper import FACTOR
from nerva.learning_rate import LEARNING_RATES, LearningRateScheduler
from nerva.optimizers import OPTIMIZERS, GradientDescentOptimizer

@OPTIMIZERS.register("Scaled")
class Scaled(GradientDescentOptimizer):
    "No __repr__: it prints as its parent does."
    count = 0
    def __init__(self, x, Dx, part: float = 1):
        super().__init__(x, Dx)
        self.part = part
    def update(self, eta):
        type(self).count += 1
        super().update(eta * self.part * FACTOR / (1 + Scaled.count % 7))

@LEARNING_RATES.register("Bare")
class Bare(LearningRateScheduler):
    "No __repr__ either: it prints its address."
    def __init__(self, lr: float = 0.01):
        self.lr = lr
    def __call__(self, epoch):
        return self.lr
"""
OWN = ("imports=[mine]", "optimizer=gradient_descent", "optimizer.name=Scaled", "learning_rate={name:Bare}")


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What a test imports and registers is gone after it."""
    registries = (ACTIVATIONS, LEARNING_RATES, OPTIMIZERS)
    modules, path, before = {*sys.modules}, [*sys.path], [dict(registry.components) for registry in registries]
    yield
    for name in {*sys.modules} - modules:
        if name.partition(".")[0] in {"mine", "helper", "pkg", "wrong"}:
            del sys.modules[name]
    sys.path[:] = path
    importlib.invalidate_caches()
    for registry, components in zip(registries, before, strict=True):
        registry.components.clear()
        registry.components.update(components)


@pytest.fixture
def mine(tmp_path) -> Path:
    """A module in the current folder, which takes a number from another."""
    (tmp_path / "helper.py").write_text("FACTOR = 1.0\n")
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


def test_what_a_component_prints_does_not_matter(mine) -> None:
    determined = canonical(configured(*OWN))
    assert (determined["optimizer"], determined["learning_rate"]) == ("Scaled(part=1.0)", "Bare(lr=0.01)")
    different = [
        configured(*OWN),
        configured(*OWN, "+optimizer.part=0.5"),
        configured(*OWN, "optimizer.name=GradientDescent"),
        configured(*OWN, "learning_rate={name:Constant,lr:0.01}"),
    ]
    assert len({run_id(config) for config in different}) == len(different)
    assert run_id(configured(*OWN, "+optimizer.part=1")) == run_id(configured(*OWN))


def test_all_code_beside_a_module_counts(mine) -> None:
    before = run_id(configured(*OWN))
    (mine / "helper.py").write_text("FACTOR = 1.0  # why\n")
    assert run_id(configured(*OWN)) == before
    (mine / "helper.py").write_text("FACTOR = 2.0\n")
    assert run_id(configured(*OWN)) != before
    assert {"mine: Scaled.update", "helper", "nerva/layers.py"} <= set(code_parts(["mine"]))
    # The engine has a place of its own, and what is installed is known by its version.
    assert list(sources("mine")) == ["helper", "mine"]


def test_packages(tmp_path) -> None:
    for name, text in {
        "pkg/__init__.py": "",
        "pkg/helper.py": "alpha = 1",
        "pkg/sub/__init__.py": "from . import second",
        "pkg/sub/second.py": "",
        "pkg/sub/third.py": "",
        "pkg/sub/mine.py": "from ..helper import alpha\n\ndef f():\n    from .third import x\n",
        "pkg/unused.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "pkg" / "sub" / "third.py").write_bytes(b"# coding: latin-1\nx = '\xe9'\n")
    modules = ["pkg", "pkg.helper", "pkg.sub", "pkg.sub.mine", "pkg.sub.second", "pkg.sub.third"]
    assert list(files("pkg.sub.mine")) == modules
    copied = tmp_path / "copy"
    write_texts(texts(["pkg.sub.mine"]), copied)
    assert sorted(str(path.relative_to(copied)) for path in copied.rglob("*.py")) == sorted(
        str(path.relative_to(tmp_path)) for path in files("pkg.sub.mine").values()
    )
    assert (copied / "pkg" / "sub" / "third.py").read_bytes() == (tmp_path / "pkg" / "sub" / "third.py").read_bytes()
    with pytest.raises(NervaError, match="is no path of a module"):
        write_texts({"../x.py": ""}, copied)


WRONG = {
    "import nosuch": 'there is no module "nosuch" to import',
    "1 +": r'the module "wrong" can\'t be imported: SyntaxError: .*wrong.py, line 1',
    "def f():\n    from helper import x": r"imports: .*\(helper.py, line 1\)",
    "1 / 0": r'the module "wrong" can\'t be imported: ZeroDivisionError: division by zero, .*wrong.py, line 1',
}


@pytest.mark.parametrize("text", WRONG)
def test_modules_that_cannot_be_imported(tmp_path, text: str) -> None:
    (tmp_path / "wrong.py").write_text(text)
    (tmp_path / "helper.py").write_text("1 +")
    with pytest.raises(NervaError, match=WRONG[text]):
        run_id(configured("imports=[wrong]"))


def test_modules_that_are_none(tmp_path) -> None:
    (tmp_path / "wrong").mkdir()
    for name in ("wrong", "sys"):
        with pytest.raises(NervaError, match=f'imports: "{name}" is no module written in Python'):
            run_id(configured(f"imports=[{name}]"))
    (tmp_path / "wrong" / "empty.py").touch()
    assert list(sources("wrong.empty")) == ["wrong.empty"]


def test_a_component_whose_code_would_not_count_is_refused(mine) -> None:
    configured(*OWN)
    run_id(configured(*OWN))  # which imports the module
    with pytest.raises(NervaError, match="Scaled is of the module mine, which is not in imports"):
        run_id(configured("optimizer=gradient_descent", "optimizer.name=Scaled"))


def test_another_module_of_that_name_is_refused(mine, tmp_path, monkeypatch) -> None:
    (tmp_path / "lib").mkdir()
    (mine / "mine.py").rename(tmp_path / "lib" / "mine.py")
    (tmp_path / "lib" / "helper.py").write_text("FACTOR = 5.0\n")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(NervaError, match=r'"helper" is .*/helper.py, and not .*/lib/helper.py: which code counts'):
        run_id(configured(*OWN))


def test_a_module_that_is_called_like_one_of_pythons(mine) -> None:
    (mine / "json.py").write_text("")
    (mine / "helper.py").write_text("import json\nFACTOR = 1.0\n")
    run_id(configured(*OWN))
    assert list(sources("mine")) == ["helper", "mine"]


def test_the_doors_agree_and_the_record_is_enough(run: Command, mine) -> None:
    """By each process the same id; and trained again from MLflow, without the modules."""
    ids = {run("nerva", "id", *DIGITS, *OWN).stdout.split()[0] for _ in range(2)}
    result = run("nerva", "train", *DIGITS, *OWN, "tracking=mlflow")
    assert result.returncode == 0, result.stderr
    (folder,) = mine.glob("results/runs/[!.]*")
    assert ids == {folder.name}
    (mine / "helper.py").write_text("FACTOR = 3.0\n")
    result = run("nerva", "replay", folder)
    assert result.returncode == 1
    assert "  code: changed helper\n" in result.stdout
    assert f"helper.py, mine.py: the texts in {folder}/imports.json" in result.stdout
    for path in (mine / "helper.py", mine / "mine.py"):
        path.unlink()
    folder.rename(mine / "moved")
    result = run("nerva", "replay", folder.name)
    assert result.returncode == 0, result.stdout + result.stderr
    (model,) = mine.glob("results/mlartifacts/*/*/artifacts/model/code")
    assert {path.name for path in model.iterdir()} >= {"nerva", "mine.py", "helper.py"}


def test_each_run_has_a_process_of_its_own(run: Command, mine) -> None:
    """What a class has counted in one is nothing to the next; and of such a run there is no checkpoint."""
    weights = []
    for sweep in (["-m", "seed=1,2"], ["seed=2", "force=true"]):
        result = run("nerva", "train", *DIGITS, *OWN, *sweep)
        assert result.returncode == 0, result.stderr
        assert (
            "it restarts from scratch: training changes Scaled.count, which a checkpoint does not hold" in result.stdout
        )
        weights += [
            json.loads(path.read_text())["weights"]["weights.npz"]
            for path in mine.glob("results/runs/*/run.json")
            if json.loads((path.parent / "provenance.json").read_text())["determined_by"]["seed"] == 2
        ]
    assert len(weights) == 2
    assert len(set(weights)) == 1


def test_a_package_that_finds_its_modules_itself(tmp_path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("import importlib\nimportlib.import_module('pkg.mine')\n")
    (tmp_path / "pkg" / "mine.py").write_text(MINE.replace("from helper import FACTOR", "FACTOR = 1"))
    with pytest.raises(NervaError, match=r"Scaled is of the module pkg\.mine, which is not in imports"):
        run_id(configured("imports=[pkg]", *OWN[1:]))
    assert run_id(configured("imports=[pkg,pkg.mine]", *OWN[1:]))


def test_a_run_whose_modules_have_changed_is_logged_with_its_own(mine, uri, results) -> None:
    from nerva.experiment.tracking import track

    folder = train(configured(*OWN), [])
    (mine / "helper.py").write_text("FACTOR = 9.0\n")
    assert track([folder], "digits-test", uri, results) == 1
    (model,) = results.glob("mlartifacts/*/*/artifacts/model/code")
    assert (model / "helper.py").read_text() == "FACTOR = 1.0\n"
