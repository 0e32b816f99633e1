"""`nerva search`."""

import click

from nerva.cli.arguments import Override
from nerva.experiment.config import numerics


@click.command()
@click.argument("overrides", nargs=-1, required=True, type=Override())
@click.option(
    "--trials", type=click.IntRange(1, 5000), metavar="N",
    help="The number of trials of the whole search: 20, or all points of a grid.",
)  # fmt: skip
@click.option(
    "--sampler", type=click.Choice(["tpe", "random", "grid"]), default="tpe", show_default=True,
    help="How points are proposed.",
)  # fmt: skip
@click.option(
    "--pruner", type=click.Choice(["none", "median", "halving"]), default="none", show_default=True,
    help="Which runs end early: those worse than the median, or all but the best quarter (successive halving).",
)  # fmt: skip
@click.option(
    "--sampler-seed", type=click.IntRange(0, 2**32 - 1), default=1, show_default=True, metavar="N",
    help="Other seeds propose other trials.",
)  # fmt: skip
@click.option(
    "--jobs", type=click.IntRange(1, 256), default=1, show_default=True, metavar="N", help="Trials at the same time.",
)  # fmt: skip
def command(
    overrides: tuple[str, ...], trials: int | None, sampler: str, pruner: str, sampler_seed: int, jobs: int
) -> None:
    """Search for good values with Optuna. Each trial is a run like any other.

    OVERRIDES are those of `nerva train`. At least one is a sweep, which is the space of the search:
    optimizer=momentum,nesterov, learning_rate.lr=interval(0.001,1), "train.epochs=range(5,30,5)",
    "model.hidden=choice([32],[64])", "train.batch_size=int(interval(10,100))", or
    "learning_rate.lr=tag(log,interval(0.001,1))".

    The keys `objective` and `direction` say what is optimized. By default, that is the best validation metric.

    The same command continues a search that was interrupted, and a larger number of trials extends it.
    """
    numerics.pin_for(overrides)  # before NumPy is imported
    from nerva.experiment.search.command import run_search
    from nerva.experiment.search.search import Request

    run_search(Request(overrides, trials, sampler, pruner, sampler_seed, jobs), click.echo)
