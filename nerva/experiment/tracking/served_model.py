"""The network of a run as a model of MLflow. This file is copied into the model, and runs where that is loaded.

The model is the weights, an `.npz` file, beside a copy of the engine. Nothing is pickled.
"""

import mlflow
import numpy as np
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class ServedModel(PythonModel):
    """Returns the outputs of the network (N×K) for inputs (N×D). The predicted class of a row is its largest output."""

    def load_context(self, context: PythonModelContext) -> None:
        import importlib

        from nerva.multilayer_perceptron import load_multilayer_perceptron

        # User-defined modules register the components that the network may have. They are in the model, too.
        for name in (context.model_config or {}).get("imports", []):
            importlib.import_module(name)
        self.M = load_multilayer_perceptron(context.artifacts["weights"])

    # Without annotations: MLflow would infer a signature from them.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        return self.M.evaluate(np.asarray(model_input, dtype=np.float32))


mlflow.models.set_model(ServedModel())
