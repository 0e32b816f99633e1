"""A run's network as a model of MLflow's: this file is logged with it, and run where the model is loaded.

The model is the weights, an `.npz` file, beside a copy of the engine; nothing is pickled.
"""

import mlflow
import numpy as np
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class ServedModel(PythonModel):
    """Gives the outputs of the network (N×K) for inputs (N×D); the largest of a row is that of the predicted class."""

    def load_context(self, context: PythonModelContext) -> None:
        import importlib

        from nerva.multilayer_perceptron import load_multilayer_perceptron

        # Modules with components of one's own, which the network may have.
        for name in (context.model_config or {}).get("imports", []):
            importlib.import_module(name)
        self.M = load_multilayer_perceptron(context.artifacts["weights"])

    # Without types: from a type, MLflow would infer a signature of its own.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        return self.M.evaluate(np.asarray(model_input, dtype=np.float32))


mlflow.models.set_model(ServedModel())
