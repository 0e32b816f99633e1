"""nerva: multilayer perceptrons in NumPy, and reproducible experiments with them.

The modules of this package are the engine. They need NumPy and nothing else, and their names are those of
nerva-numpy: `from nerva.layers import ActivationLayer`. `nerva.data` prepares datasets, and
`nerva.experiment` turns a configuration into a tracked run.
"""

__version__ = "0.2.0"
