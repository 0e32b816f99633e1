"""Experiments: from a configuration to a compared sweep.

A script or a notebook needs five functions, which are explained in `docs/python.md`:

    from nerva.experiment import compose, launch, plan, replay, runs

Each subpackage is a step of the flow, and imports only from the steps before it:

config      what a run is made of: the schema, its validation, and composition by Hydra
identity    which run a configuration is: its canonical form, and the code that computes it
records     what is kept of a run and of a sweep, in files
run         training a run: processes, checkpoints, provenance, replay
report      ranking, statistics, plots and the HTML report
tracking    MLflow: a view of the records
sweep       the points of a sweep, and the launcher that trains them
search      points that Optuna proposes
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nerva.experiment.sweep.python import compose, launch, plan, replay, runs

__all__ = ["compose", "launch", "plan", "replay", "runs"]


# Importing a subpackage imports this module first. It should cost nothing then.
def __getattr__(name: str) -> Any:
    if name in __all__:
        from nerva.experiment.sweep import python

        return getattr(python, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
