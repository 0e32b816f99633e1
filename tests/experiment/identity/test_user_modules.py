"""User-defined modules: their code is part of a run's identity, and their texts are recorded."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nerva.utilities
from nerva.activation_functions import ACTIVATIONS
from nerva.errors import NervaError
from nerva.experiment.identity.canonical import canonical_form
from nerva.experiment.identity.identify import identify
from nerva.experiment.identity.user_modules import files, is_importable, sources, texts, write_texts
from nerva.learning_rate import LEARNING_RATES
from nerva.optimizers import OPTIMIZERS
from tests.helpers import MINE, USER_DEFINED, configured


def run_id(*overrides: str) -> str:
    return identify(configured(*overrides)).run_id


@pytest.fixture(autouse=True)
def forgotten(monkeypatch) -> Iterator[None]:
    """Forget what a test imports and registers."""
    registries = (ACTIVATIONS, LEARNING_RATES, OPTIMIZERS)
    modules, before = {*sys.modules}, [dict(registry.components) for registry in registries]
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.setattr(nerva.utilities._FALLBACK, "folders", [])
    importlib.invalidate_caches()
    yield
    for name in {*sys.modules} - modules:
        if name.partition(".")[0] in {"mine", "helper", "pkg", "wrong"}:
            del sys.modules[name]
    for registry, components in zip(registries, before, strict=True):
        registry.components.clear()
        registry.components.update(components)


@pytest.fixture
def mine(tmp_path) -> Path:
    """A folder with a module that uses another one."""
    (tmp_path / "helper.py").write_text("FACTOR = 1.0\n")
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


def test_the_canonical_form_does_not_depend_on_what_a_component_prints(mine) -> None:
    determined = canonical_form(configured(*USER_DEFINED))
    assert (determined["optimizer"], determined["learning_rate"]) == ("Scaled(part=1.0)", "Bare(lr=0.01)")
    changes = [
        "seed=1",
        "+optimizer.part=0.5",
        "optimizer.name=GradientDescent",
        "learning_rate={name:Constant,lr:0.01}",
    ]
    assert len({run_id(*USER_DEFINED, change) for change in changes}) == len(changes)
    assert run_id(*USER_DEFINED, "+optimizer.part=1") == run_id(*USER_DEFINED)


def test_the_code_of_modules_beside_a_module_counts(mine) -> None:
    before = run_id(*USER_DEFINED)
    (mine / "helper.py").write_text("FACTOR = 1.0  # why\n")
    assert run_id(*USER_DEFINED) == before
    (mine / "helper.py").write_text("FACTOR = 2.0\n")
    assert run_id(*USER_DEFINED) != before
    code = identify(configured(*USER_DEFINED)).code
    assert {"mine: Scaled.update", "helper", "nerva/optimizers.py: GradientDescentOptimizer.update"} <= {*code}
    # Neither the engine nor installed packages.
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


@pytest.mark.parametrize(
    "name",
    ["../x.py", "/tmp/x.py", "a/../../x.py", "x", "", ".py", "a//x.py", "x.pth", "a\0.py", "x.py\n", "\ud800.py"],
)
def test_texts_are_written_to_paths_of_modules_only(tmp_path, name: str) -> None:
    with pytest.raises(NervaError, match="is not the path of a module"):
        write_texts({name: ""}, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


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
        run_id("imports=[wrong]")


def test_what_is_not_a_module_written_in_python(tmp_path) -> None:
    (tmp_path / "wrong").mkdir()
    for name in ("wrong", "sys"):
        with pytest.raises(NervaError, match=f'imports: "{name}" is not a module written in Python'):
            run_id(f"imports=[{name}]")
    (tmp_path / "wrong" / "empty.py").touch()
    assert list(sources("wrong.empty")) == ["wrong.empty"]


def test_a_component_whose_code_would_not_count_is_refused(mine) -> None:
    run_id(*USER_DEFINED)  # it imports the module
    with pytest.raises(NervaError, match="Scaled is defined in the module mine, which is not in imports"):
        run_id("optimizer=gradient_descent", "optimizer.name=Scaled")


def test_another_module_of_the_same_name_is_refused(mine, tmp_path, monkeypatch) -> None:
    (tmp_path / "lib").mkdir()
    (mine / "mine.py").rename(tmp_path / "lib" / "mine.py")
    (tmp_path / "lib" / "helper.py").write_text("FACTOR = 5.0\n")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        NervaError, match=r'"helper" was imported from .*/helper.py, but .*/helper.py would be recorded'
    ):
        run_id(*USER_DEFINED)


def test_a_module_with_the_name_of_a_standard_module(mine) -> None:
    (mine / "json.py").write_text("")
    (mine / "helper.py").write_text("import json\nFACTOR = 1.0\n")
    run_id(*USER_DEFINED)
    assert list(sources("mine")) == ["helper", "mine"]


def test_a_package_that_imports_its_modules_by_their_names(tmp_path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("import importlib\nimportlib.import_module('pkg.mine')\n")
    (tmp_path / "pkg" / "mine.py").write_text(MINE.replace("from helper import FACTOR", "FACTOR = 1"))
    with pytest.raises(NervaError, match=r"Scaled is defined in the module pkg\.mine, which is not in imports"):
        run_id("imports=[pkg]", *USER_DEFINED[1:])
    assert run_id("imports=[pkg,pkg.mine]", *USER_DEFINED[1:])


def test_a_module_can_be_found_without_importing_it(mine) -> None:
    (mine / "folder").mkdir()
    assert is_importable("mine")
    assert is_importable("json.decoder")
    assert not is_importable("nosuch")
    assert not is_importable("folder")
    assert "mine" not in sys.modules


def test_modules_in_folders_without_an_init_file(mine) -> None:
    (mine / "tools" / "deep").mkdir(parents=True)
    (mine / "tools" / "deep" / "numbers.py").write_text("FACTOR = 1.0\n")
    (mine / "helper.py").write_text("from tools.deep.numbers import FACTOR\n")
    before = run_id(*USER_DEFINED)
    assert [*sources("mine")] == ["helper", "mine", "tools.deep.numbers"]
    assert {*texts(["mine"])} == {"helper.py", "mine.py", "tools/deep/numbers.py"}
    (mine / "tools" / "deep" / "numbers.py").write_text("FACTOR = 2.0\n")
    assert run_id(*USER_DEFINED) != before
