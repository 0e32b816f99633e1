"""A run's network as a model of MLflow's."""

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

from nerva.experiment import PACKAGE
from nerva.experiment.config.schema import Config
from nerva.experiment.identity.user_modules import write_texts
from nerva.experiment.records.run_folder import RunFolder


def save_model(folder: RunFolder, config: Config, path: Path) -> None:
    """Writes a run's network as a model of MLflow's, with the engine that computes it."""
    X = TensorSpec(np.dtype(np.float32), (-1, config.data.features))
    Y = TensorSpec(np.dtype(np.float32), (-1, config.data.classes))
    # MLflow asks for types that the signature tells it, whatever the filters of warnings are.
    with tempfile.TemporaryDirectory(prefix="nerva-engine-") as temporary, warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        engine = Path(temporary) / "nerva"
        engine.mkdir()
        for file in PACKAGE.glob("*.py"):
            shutil.copy(file, engine)
        own = Path(temporary) / "own"
        own.mkdir()
        write_texts(folder.read_imports(), own)
        save_pyfunc(
            path,
            python_model=str(Path(__file__).with_name("served_model.py")),
            artifacts={"weights": str(folder.best)},
            code_paths=[str(engine), *map(str, own.iterdir())],
            model_config={"imports": list(config.imports)},
            signature=ModelSignature(Schema([X]), Schema([Y])),
            input_example=np.zeros((2, config.data.features), np.float32),
            pip_requirements=[f"{name}=={version(name)}" for name in ("mlflow", "numpy", "scipy")],
        )
    # MLflow notes where it found the files, which is nobody's business.
    description = path / "MLmodel"
    content = yaml.safe_load(description.read_text())
    function = content["flavors"]["python_function"]
    function["model_code_path"] = "served_model.py"
    for artifact in function["artifacts"].values():
        artifact["uri"] = artifact["path"]
    description.write_text(yaml.safe_dump(content))
