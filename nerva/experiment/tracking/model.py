"""The network of a run as a model of MLflow."""

import re
import shutil
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import yaml
from mlflow.models import ModelSignature
from mlflow.pyfunc import save_model as save_pyfunc
from mlflow.types import Schema, TensorSpec

from nerva.errors import NervaError
from nerva.experiment.config.schema import Config
from nerva.experiment.identity.user_modules import write_texts
from nerva.experiment.paths import PACKAGE
from nerva.experiment.records.run_folder import RunFolder

_NO_SOURCE = shutil.ignore_patterns("__pycache__")
_MODULE_PATH = r"(?!nerva[/.])(?:[\w-]{1,60}/){0,20}[\w-]{1,60}\.py"


def save_model(folder: RunFolder, config: Config, path: Path) -> None:
    """Write the network of a run as a model of MLflow, with the engine and the recorded user-defined modules.

    The modules are copied. Nothing of them is imported before somebody loads the model.

    Args:
        folder: the run.
        config: its configuration.
        path: the folder to write; it may not exist.

    Raises:
        NervaError: if the recorded modules are damaged.
    """
    # MLflow executes served_model.py, which imports nothing that belongs to the run. With a signature, MLflow does not
    # call the model.
    X = TensorSpec(np.dtype(np.float32), (-1, config.data.features))
    Y = TensorSpec(np.dtype(np.float32), (-1, config.data.outputs))
    # MLflow warns that predict has no annotations, whatever the filters of warnings are.
    with tempfile.TemporaryDirectory(prefix="nerva-model-code-") as temporary, warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        engine, modules = Path(temporary) / "engine" / "nerva", Path(temporary) / "modules"
        engine.mkdir(parents=True)
        modules.mkdir()
        for file in PACKAGE.glob("*.py"):
            shutil.copy(file, engine)
        shutil.copytree(PACKAGE / "matrix_operations", engine / "matrix_operations", ignore=_NO_SOURCE)
        write_texts(_module_texts(folder), modules)
        save_pyfunc(
            path,
            python_model=str(Path(__file__).with_name("served_model.py")),
            artifacts={"weights": str(folder.best.absolute())},
            code_paths=[str(engine), *sorted(map(str, modules.iterdir()))],
            model_config={"imports": list(config.imports)},
            signature=ModelSignature(Schema([X]), Schema([Y])),
            input_example=np.zeros((2, config.data.features), np.float32),
            pip_requirements=[f"{name}=={version(name)}" for name in ("mlflow", "numpy", "scipy")],
        )
    # MLflow records where it found the files. That is private.
    description = path / "MLmodel"
    content = yaml.safe_load(description.read_text(encoding="utf-8"))
    function = content["flavors"]["python_function"]
    function["model_code_path"] = "served_model.py"
    for artifact in function["artifacts"].values():
        artifact["uri"] = artifact["path"]
    description.write_text(yaml.safe_dump(content), encoding="utf-8")


def _module_texts(folder: RunFolder) -> dict[str, str]:
    """The recorded texts of user-defined modules, by paths that are those of modules, and not of the engine."""
    texts = folder.read_imports()
    for name in texts:
        if not re.fullmatch(_MODULE_PATH, name):
            raise NervaError(
                f'{folder.imports} is damaged ("{name[:80]}" is not the path of a user-defined module); '
                f"{folder.repair_hint}"
            )
    return texts
