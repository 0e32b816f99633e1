"""The pictures of a run that are logged."""

from typing import TYPE_CHECKING

import numpy as np

from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.report import plots
from nerva.experiment.report.predictions import Analyst, RegressionAnalysis

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_pictures(folder: RunFolder, analyst: Analyst) -> "dict[str, Figure]":
    """The pictures of a run, by name.

    Those of its predictions are left out if its data are missing, if its outputs are not finite, or if it needs
    user-defined modules that the analyst may not import.
    """
    pictures = {
        "learning_curves": plots.learning_curves(folder),
        "first_layer": plots.first_layer(folder),
    }
    analysis = analyst.analyse(folder)
    if analysis is None or not np.isfinite(analysis.Y).all():
        pass
    elif isinstance(analysis, RegressionAnalysis):
        pictures["predictions"] = plots.predictions(analysis)
    else:
        pictures["confusion_matrix"] = plots.confusion(analysis)
        pictures["worst_images"] = plots.worst_images(analysis)
    return {name: picture for name, picture in pictures.items() if picture is not None}
