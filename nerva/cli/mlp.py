"""`nerva mlp`: nerva-numpy's command-line tool."""

from typing import Any

import click


def _list(ctx: click.Context, param: click.Parameter, value: str | None) -> list[str]:
    """Split an option at semicolons."""
    return [part.strip() for part in value.split(";")] if value else []


@click.command(context_settings={"show_default": True})
@click.option("--layers", required=True, callback=_list, help='Layers, separated by semicolons: "ReLU;ReLU;Linear".')
@click.option("--layer-sizes", required=True, help='Sizes of the inputs and of each layer: "784,1024,512,10".')
@click.option(
    "--layer-weights", default="XavierNormal", callback=_list, help="Initial weights: one per layer, or one for all."
)
@click.option(
    "--optimizers", default="GradientDescent", callback=_list, help="Optimizers: one per layer, or one for all."
)
@click.option("--learning-rate", default="Constant(0.01)", help="The learning-rate schedule.")
@click.option("--loss", default="SoftmaxCrossEntropy", help="The loss function.")
@click.option("--epochs", default=100, type=click.IntRange(1), help="The number of passes over the training set.")
@click.option("--batch-size", default=100, type=click.IntRange(1), help="The number of samples in a batch.")
@click.option("--load-dataset", required=True, help="An .npz file with Xtrain, Ttrain, Xtest and Ttest.")
@click.option("--load-weights", default="", help="An .npz file with initial weights and biases.")
@click.option("--save-weights", default="", help="The .npz file to which the trained network is written.")
@click.option(
    "--seed",
    type=click.IntRange(0),
    help="Seed for the initial weights, for dropout and for shuffling. Without it, weights and dropout differ each "
    "time, and the samples are not shuffled.",
)
@click.option("--check", is_flag=True, help="Stop at the first NaN or infinity, and say where it is.")
@click.option("--import", "imports", multiple=True, help="A module that registers user-defined components.")
@click.option("--debug", is_flag=True, help="Print every batch.")
def command(**options: Any) -> None:
    """Train a network with the same flags and the same table as nerva-numpy's mlp.py.

    With --seed, each epoch takes the samples in a new random order; without it, in the order of the file.
    """
    import numpy as np

    from nerva.backends import chosen
    from nerva.errors import NervaError

    if chosen()[0] == "sympy":
        raise NervaError("NERVA_BACKEND=sympy: networks can't be trained on symbols")
    from nerva.layers import has_weights, parse_layer
    from nerva.training import train
    from nerva.utilities import import_here

    for module in options["imports"]:
        import_here(module)
    layers = options["layers"]
    try:
        sizes = [int(size) for size in options["layer_sizes"].replace(";", ",").split(",")]
    except ValueError:
        raise NervaError(f"--layer-sizes should be whole numbers, not {options['layer_sizes']}") from None
    weights = [layer for layer in layers if has_weights(layer)]
    trained = [layer for layer in layers if parse_layer(layer, 1, 1).parameters]
    M, _ = train(
        layers,
        sizes,
        _for_each(options["optimizers"], len(trained)),
        _for_each(options["layer_weights"], len(weights)),
        options["batch_size"],
        options["epochs"],
        options["loss"],
        options["learning_rate"],
        options["load_weights"],
        options["load_dataset"],
        options["debug"],
        None if options["seed"] is None else np.random.default_rng(options["seed"]),
        options["check"],
    )
    if options["save_weights"]:
        M.save(options["save_weights"])
        click.echo(f"The network is in {options['save_weights'].removesuffix('.npz')}.npz")


def _for_each(values: list[str], count: int) -> list[str]:
    """Repeat a single value for each layer."""
    return values * count if len(values) == 1 else values
