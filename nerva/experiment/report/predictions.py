"""The predictions of a trained network for the test set."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nerva.data import load_prepared
from nerva.data.prepare import Prepared
from nerva.errors import NervaError
from nerva.experiment.config.schema import Config
from nerva.experiment.config.validation import check_file_name
from nerva.experiment.identity import user_modules
from nerva.experiment.records.files import file_checksum
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.report.text import cut
from nerva.matrix_operations import Matrix
from nerva.multilayer_perceptron import MultilayerPerceptron, load_multilayer_perceptron
from nerva.utilities import import_here

_MOST_CLASSES = 1000  # of a confusion matrix


@dataclass(frozen=True)
class Analysis:
    """The outputs of the best network of a classification for the test set, with the correct classes."""

    X: Matrix  # N×D
    T: Matrix  # N labels
    Y: Matrix  # N×K outputs
    names: Sequence[str]  # of the K classes

    @property
    def predicted(self) -> Matrix:
        """The class with the largest output, for each sample."""
        predicted: Matrix = self.Y.argmax(axis=1)
        return predicted

    @property
    def confusion(self) -> Matrix:
        """The number of samples of class i (row) that were predicted as class j (column)."""
        # That of scikit-learn is the same, but its import takes longer than logging a run.
        K = self.Y.shape[1]
        counts: Matrix = np.bincount(self.T * K + self.predicted, minlength=K * K).reshape(K, K)
        return counts

    def per_class(self) -> list[dict[str, Any]]:
        """Precision, recall, F1 and the number of samples of each class."""
        from sklearn.metrics import precision_recall_fscore_support

        scores = precision_recall_fscore_support(self.T, self.predicted, labels=range(self.Y.shape[1]), zero_division=0)
        keys = ("precision", "recall", "f1", "samples")
        return [
            {"class": name, **dict(zip(keys, map(float, row), strict=True))}
            for name, row in zip(self.names, zip(*scores, strict=True), strict=True)
        ]

    def worst(self, count: int) -> Matrix:
        """The wrong predictions with the largest margin between the output of the predicted class and the correct one.

        Args:
            count: how many, at most.

        Returns:
            The rows of these samples in X, those with the largest margin first.
        """
        correct = self.Y[np.arange(len(self.T)), self.T]
        margin = np.where(np.isfinite(self.Y), self.Y, -math.inf).max(axis=1) - correct
        order: Matrix = np.argsort(-margin, kind="stable")
        worst: Matrix = order[self.predicted[order] != self.T[order]][:count]
        return worst


@dataclass(frozen=True)
class RegressionAnalysis:
    """The outputs of the best network of a regression for the test set, with the correct targets."""

    T: Matrix  # N×K targets
    Y: Matrix  # N×K outputs

    def sampled(self, most: int) -> "RegressionAnalysis":
        """The samples at equal distances in the test set, at most so many."""
        step = -(-len(self.T) // most)
        return RegressionAnalysis(self.T[::step], self.Y[::step])

    def per_target(self) -> list[dict[str, Any]]:
        """R², the mean absolute error and the root mean squared error of each target."""
        from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

        r2, mae, rmse = (
            np.atleast_1d(score(self.T, self.Y, multioutput="raw_values"))
            for score in (r2_score, mean_absolute_error, root_mean_squared_error)
        )
        return [
            {"target": k + 1, "r2": float(r2[k]), "mae": float(mae[k]), "rmse": float(rmse[k]), "samples": len(self.T)}
            for k in range(self.T.shape[1])
        ]


class Analyst:
    """Analyses runs on the same data, which are read once.

    The folder of a run may come from a stranger, and must not choose code that is executed. A network with user-defined
    modules is therefore loaded only if the caller trusts their names, and their texts are those that were recorded.
    """

    def __init__(self, data_dir: str | Path, trusted_imports: frozenset[str] = frozenset()) -> None:
        """Prepare to analyse runs.

        Args:
            data_dir: the folder of the prepared datasets.
            trusted_imports: the user-defined modules that the configuration of the caller names.
        """
        self.data_dir = Path(data_dir)
        self.trusted_imports = trusted_imports
        self._arrays: dict[Path, dict[str, Matrix]] = {}

    def obstacle(self, folder: RunFolder) -> str:
        """Why the predictions of a run can't be computed, in a sentence; empty if they can.

        Raises:
            NervaError: if a record of the run is damaged.
        """
        config = folder.read_config()
        names = ", ".join(config.imports)
        if not self.trusted_imports.issuperset(config.imports):
            return f"The network uses user-defined modules that this configuration does not import: {names}."
        if not all(map(user_modules.is_importable, config.imports)):
            return f"The network uses user-defined modules that are not found: {names}."
        if user_modules.texts(config.imports) != folder.read_imports():
            return f"The network uses user-defined modules that have changed since it was trained: {names}."
        if config.data.classes > _MOST_CLASSES:
            return f"The dataset has more than {_MOST_CLASSES} classes."
        check_file_name("data.name", config.data.name)
        if not Prepared.of(config.data, self.data_dir).provenance.exists():
            return f"The dataset is no longer here; nerva prepare data={config.data.name} prepares it again."
        return ""

    def analyse(self, folder: RunFolder) -> Analysis | RegressionAnalysis | None:
        """The analysis of a run that has ended; None if there is an `obstacle`.

        Raises:
            NervaError: if a file of the run or the dataset is damaged.
        """
        if self.obstacle(folder):
            return None
        config = folder.read_config()
        prepared = Prepared.of(config.data, self.data_dir).npz
        if prepared not in self._arrays:
            self._arrays[prepared], _ = load_prepared(config.data, self.data_dir)
        arrays = self._arrays[prepared]
        if file_checksum(folder.best) != folder.read_record().files.get(folder.best.name):
            raise NervaError(f"{folder.best} was changed after the run had ended; {folder.repair_hint}")
        Y = _outputs(load_network(folder, config), arrays["Xtest"], config.train.evaluation_batch_size)
        if config.data.task == "regression":
            return RegressionAnalysis(arrays["Ttest"], Y)
        named = len(config.data.class_names) == config.data.classes
        names = (
            [cut(name, 40) for name in config.data.class_names] if named else [*map(str, range(config.data.classes))]
        )
        return Analysis(arrays["Xtest"], arrays["Ttest"], Y, names)


def load_network(folder: RunFolder, config: Config) -> MultilayerPerceptron:
    """The network of the best epoch of a run. The user-defined modules of its configuration are imported.

    Raises:
        NervaError: if the file is damaged, or its network is not one for the dataset of the configuration.
    """
    for name in config.imports:
        import_here(name)
    try:
        M = load_multilayer_perceptron(folder.best)
    except NervaError as error:
        raise NervaError(f"{error}; {folder.repair_hint}") from None
    sizes = [config.data.features, *(layer.output_size() for layer in M.layers)]
    data = config.data
    if [layer.input_size() for layer in M.layers] != sizes[:-1] or sizes[-1] != data.outputs:
        raise NervaError(
            f"{folder.best} is not a network from {data.features} features to {data.outputs} outputs; "
            f"{folder.repair_hint}"
        )
    return M


def _outputs(M: MultilayerPerceptron, X: Matrix, batch_size: int) -> Matrix:
    if batch_size < 1:
        raise NervaError(f"train.evaluation_batch_size should be 1 or more, not {batch_size}")
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return np.concatenate([M.evaluate(X[start : start + batch_size]) for start in range(0, len(X), batch_size)])
