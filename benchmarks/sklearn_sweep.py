"""The peer of benchmarks/sweep.py: the 12 points of `quick` as scikit-learn's networks, logged by mlflow.autolog.

python benchmarks/sklearn_sweep.py -m hydra/launcher=joblib models=true
"""

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore


@dataclass
class Config:
    """A point of the sweep, and how Hydra launches it."""

    defaults: list[Any] = field(default_factory=lambda: ["_self_", {"override hydra/launcher": "joblib"}])
    hydra: dict[str, Any] = field(
        default_factory=lambda: {
            "sweeper": {"params": {"momentum": "none,heavy_ball,nesterov", "lr": "0.1,0.01", "seed": "1,2"}},
            "launcher": {"n_jobs": 2},
        }
    )
    momentum: str = "none"
    lr: float = 0.1
    seed: int = 1
    models: bool = True  # whether mlflow.autolog logs them


ConfigStore.instance().store("config", Config)


@hydra.main(version_base="1.3", config_path=None, config_name="config")
def main(config: Config) -> None:
    """Train and log a network."""
    import mlflow
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore", ConvergenceWarning)
    X, T = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    Xtrain, Xtest, Ttrain, Ttest = train_test_split(X, T, test_size=297, random_state=0, stratify=T)
    mlflow.set_tracking_uri(f"sqlite:///{Path(hydra.utils.get_original_cwd()) / 'mlflow.db'}")
    mlflow.set_experiment("peer")
    mlflow.autolog(log_models=config.models, silent=True)
    network = MLPClassifier(
        (64,),
        solver="sgd",
        batch_size=50,
        learning_rate_init=config.lr,
        max_iter=5,
        alpha=0,
        momentum=0 if config.momentum == "none" else 0.9,
        nesterovs_momentum=config.momentum == "nesterov",
        random_state=config.seed,
    )
    with mlflow.start_run():
        network.fit(Xtrain, Ttrain)
        mlflow.log_metric("test_accuracy", network.score(Xtest, Ttest))


if __name__ == "__main__":
    import mlflow

    # The workers would create the database all at once, which fails.
    mlflow.set_tracking_uri(f"sqlite:///{Path.cwd() / 'mlflow.db'}")
    mlflow.set_experiment("peer")
    main()
