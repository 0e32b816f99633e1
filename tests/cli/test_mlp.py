"""`nerva mlp` and `nerva inspect`."""

import numpy as np

from tests.helpers import Command, failed_plainly


def test_mlp(run: Command, tmp_path) -> None:
    assert run("nerva", "prepare", "digits").returncode == 0
    arguments = ("nerva", "mlp", "--load-dataset", "results/data/digits.npz", "--epochs", "2", "--batch-size", "50")
    network = ("--layers", "ReLU;Dropout(0.1);Linear", "--layer-sizes", "64,32,10", "--seed", "1")
    first = run(*arguments, *network, "--save-weights", "network.npz", "--learning-rate", "Constant(0.1)")
    assert first.returncode == 0, first.stderr
    assert "test_acc" in first.stdout
    inspected = run("nerva", "inspect", "network.npz", "results/data/digits.npz").stdout
    assert "layer 2: Dropout(p=0.1), 32 → 32" in inspected
    assert "10 classes, 145 to 153 samples in each" in inspected
    # Training continues from the saved weights.
    more = run(*arguments, *network, "--load-weights", "network.npz", "--learning-rate", "Constant(0.1)")
    row = [line for line in more.stdout.splitlines() if line.startswith("    0 |")]
    assert row[0].split("|")[2:5] == first.stdout.splitlines()[5].split("|")[2:5]
    small = ("--layers", "ReLU;Linear")
    failed_plainly(run(*arguments, *small, "--layer-sizes", "64;32;9"), "outputs of shape (50, 9), but the targets")
    failed_plainly(run(*arguments, *small, "--layer-sizes", "63,32,10"), "layer ReLU takes N×63 inputs")
    failed_plainly(run(*arguments, *small, "--layer-sizes", "64,x,10"), "--layer-sizes should be whole numbers")
    failed_plainly(run(*arguments, *small, "--layer-sizes", "64,10"), "2 layers with weights need 3 sizes, not 2")
    failed_plainly(run(*arguments, "--layers", "Rely", "--layer-sizes", "64,10"), 'unknown layer "Rely"; known: ReLU')
    failed_plainly(run("nerva", "inspect", "nowhere.npz"), "nowhere.npz: there is no such file")


def test_a_number_that_is_not_finite_is_named(run: Command, tmp_path) -> None:
    X = np.zeros((10, 2), np.float32)
    X[3, 1] = np.nan
    np.savez(tmp_path / "data.npz", Xtrain=X, Ttrain=np.arange(10) % 2, Xtest=X, Ttest=np.arange(10) % 2)
    command = ("nerva", "mlp", "--layers", "Linear", "--layer-sizes", "2,2", "--load-dataset", "data.npz", "--check")
    failed_plainly(run(*command), "the input of layer 1 (Linear) has nan in row 3, column 1")
