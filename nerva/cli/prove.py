"""`nerva prove`."""

import click


@click.command()
def command() -> None:
    """Prove the engine's equations by running them on symbols.

    Every layer, loss, activation and softmax function runs unchanged on matrices of symbols, for several numbers of
    samples, inputs and outputs. Each gradient is compared with the exact derivative, entry by entry.
    """
    import itertools
    import sys
    import time

    from nerva.proof import Result, prove

    start, proved, failed = time.perf_counter(), 0, 0
    click.echo(f"{'layer or function':<46} {'gradient':<58} {'shapes':<26} proved")

    def gradient(result: Result) -> tuple[str, str]:
        return result.what, result.equation

    for (what, equation), same in itertools.groupby(sorted(prove(), key=gradient), gradient):
        results = list(same)
        shapes = " ".join("×".join(map(str, result.shape)) for result in results)
        wrong = [result for result in results if not result.proved]
        click.echo(f"{what:<46} {equation:<58} {shapes:<26} {'no' if wrong else 'yes'}")
        for result in wrong:
            click.echo(f"  for {'×'.join(map(str, result.shape))}: {result.difference}")
        proved += not wrong
        failed += bool(wrong)
    click.echo(f"{proved} of {proved + failed} gradients proved, in {time.perf_counter() - start:.0f} s")
    if failed:
        sys.exit(1)
