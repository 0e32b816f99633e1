"""nerva: multilayer perceptrons from their equations, and reproducible experiments with them.

The modules of this package are the engine. They need NumPy and nothing else, and their names are those of
nerva-numpy: `from nerva.layers import ActivationLayer`. `nerva.use` lets them compute with another library.
`nerva.data` prepares datasets, and `nerva.experiment` turns a configuration into a tracked run.
"""

from nerva.backends import use as use

__version__ = "0.2.0"
