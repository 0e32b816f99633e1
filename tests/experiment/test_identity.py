"""Which run a configuration is."""

from nerva.experiment.config import canonical
from nerva.experiment.fingerprint import fingerprint
from nerva.experiment.identity import configuration_id, run_id
from tests.experiment.conftest import configured


def test_what_does_not_matter_does_not_count(tmp_path) -> None:
    same = ["tracking=mlflow", "experiment_name=other", f"results_dir={tmp_path}", "data.mirrors=[]"]
    same += ["learning_rate.lr=1e-2", "optimizer.mu=0.90", "model.layers=['ReLU()',Linear]"]
    assert {run_id(configured(override)) for override in same} == {run_id(configured())}


def test_what_matters_counts() -> None:
    other = ["seed=2", "train.epochs=3", "train.batch_size=50", "train.evaluation_batch_size=7", "data.validation=200"]
    other += ["optimizer=nesterov", "optimizer.mu=0.8", "learning_rate.lr=0.02", "loss=squared_error"]
    other += ["model.hidden=[32]", "model.layers=[Sigmoid,Linear]", "model.weights=XavierNormal", "data.sha256=0"]
    ids = [run_id(configured())] + [run_id(configured(override)) for override in other]
    assert len(set(ids)) == len(other) + 1


def test_the_seed_does_not_count_for_a_configuration() -> None:
    assert configuration_id(configured("seed=2")) == configuration_id(configured())
    assert configuration_id(configured("train.epochs=3")) != configuration_id(configured())


def test_canonical_values_are_json() -> None:
    assert canonical(configured())["optimizer"] == "Momentum(mu=0.9)"
    assert canonical(configured("optimizer=gradient_descent"))["optimizer"] == "GradientDescent()"


SOURCE = '"""Doc."""\ndef f(x, y=1):\n    """Doc."""\n    return x - y  # why\n'
SAME = ["def f(x, y = 1):\n    return (x -\n            y)\n", "# c\n\ndef f(x,y=1): return x-y"]
OTHER = ["def f(x, y=1): return x + y", "def f(x, y=1.0): return x - y", "def f(x, y=True): return x - y"]
OTHER += ["def f(x, y=None): return x - y", "def f(x, y='1'): return x - y", "def g(x, y=1): return x - y", "pass"]


def test_fingerprints() -> None:
    assert {fingerprint(source) for source in SAME} == {fingerprint(SOURCE)}
    assert len({fingerprint(source) for source in [SOURCE, *OTHER]}) == len(OTHER) + 1
