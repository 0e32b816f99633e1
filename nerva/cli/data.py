"""`nerva data`."""

import shlex
from pathlib import Path

import click

_SMALLEST_IMAGE = 64  # features; a row of a table with 4 columns is no image
_SAMPLES = 25


@click.group(invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List the datasets, or add one from a file."""
    if ctx.invoked_subcommand is None:
        _list()


def _list() -> None:
    import pandas as pd

    from nerva.data import Prepared
    from nerva.data.adding import read_description
    from nerva.data.sources import READERS
    from nerva.experiment.config.composition import compose
    from nerva.experiment.paths import conf_dir, options

    data_dir = compose(["data=digits"]).data_dir
    datasets = {name: read_description(conf_dir() / "data" / f"{name}.yaml") for name in options("data")}
    described = {name: d for name, d in datasets.items() if d.features}
    rows = [
        {
            "name": name,
            "title": dataset.title,
            "task": dataset.task,
            "samples": f"{dataset.train + dataset.test:,}",
            "features": f"{dataset.features:,}",
            "outputs": f"{dataset.outputs} {'targets' if dataset.targets else 'classes'}",
            "prepared": "yes" if Prepared.of(dataset, data_dir).exists() else "",
        }
        for name, dataset in described.items()
    ]
    click.echo(pd.DataFrame(rows).to_string(index=False))
    kinds = [name for name, dataset in datasets.items() if dataset.source in READERS and name not in described]
    click.echo(f"\nYour own data: data={', data='.join(kinds)}; `nerva data add FILE` adds a row to this table.")


@command.command()
@click.argument("path")
@click.option("--name", help="The name of the dataset. Default: that of the file.")
@click.option("--label", multiple=True, help="The column of a table that is predicted; several for a regression.")
@click.option("--task", type=click.Choice(["classification", "regression"]), help="Default: by the labels.")
@click.option("--categorical", multiple=True, help="A column with categories. Columns with texts have them anyway.")
@click.option("--ignore", multiple=True, help="A column that is not used.")
@click.option("--missing", multiple=True, help="A text that stands for a missing value, in addition to the usual ones.")
@click.option("--impute", type=click.Choice(["mean", "median", "most_frequent"]), help="What replaces missing values.")
@click.option("--size", type=int, default=0, help="Images are resized to so many pixels in both directions.")
@click.option("--colour", type=click.Choice(["grey", "rgb"]), default="grey", help="Of images.", show_default=True)
@click.option("--split-seed", type=int, default=0, help="The seed of the choice of test and validation samples.")
@click.option("--force", is_flag=True, help="Replace the description of a dataset that was added before.")
def add(
    path: str,
    name: str | None,
    label: tuple[str, ...],
    task: str | None,
    categorical: tuple[str, ...],
    ignore: tuple[str, ...],
    missing: tuple[str, ...],
    impute: str | None,
    size: int,
    colour: str,
    split_seed: int,
    force: bool,
) -> None:
    """Describe the data in PATH in a file of conf/data, and show what was found.

    PATH is a table (.csv, .tsv, .parquet), an .npz file of arrays, or a folder with a folder of images for each class.
    """
    from dataclasses import replace

    from nerva.data.adding import (
        as_text,
        balance,
        description_file,
        detected,
        overview,
        read_description,
        source_of,
    )
    from nerva.data.describing import describe, file_name
    from nerva.data.sources import READERS, read
    from nerva.errors import NervaError
    from nerva.experiment.config.composition import compose
    from nerva.experiment.config.validation import check_file_name
    from nerva.experiment.paths import PACKAGE, conf_dir
    from nerva.whole_files import whole_or_absent

    conf, source = conf_dir() / "data", source_of(Path(path).expanduser())
    template = read_description(conf / f"{source}.yaml")
    chosen = replace(
        template,
        path=path,
        label=list(label) if len(label) > 1 else "".join(label),
        categorical=list(categorical),
        ignore=list(ignore),
        missing=[*template.missing, *missing],
        impute=impute or "",
        size=size if source == "images" else 0,
        colour=colour if source == "images" else "",
        split_seed=split_seed,
    )
    chosen = replace(chosen, name=name or file_name(chosen))
    check_file_name("--name", chosen.name)
    file = conf / f"{chosen.name}.yaml"
    if file.exists():
        known = read_description(file)
        if known.source not in READERS or not known.sha256:
            raise NervaError(f"{chosen.name} is a dataset, or a kind of data, of nerva itself; choose another --name")
        if not force:
            raise NervaError(f"{file} exists already; --force replaces it, or choose another --name")
    data_dir = compose(["data=digits"]).data_dir
    chosen = detected(chosen, task or "")
    if chosen.task != "regression":
        chosen = replace(chosen, target_steps=[])
    dataset = describe(chosen, data_dir)
    content = read(chosen, data_dir)
    arguments = {"--name": [dataset.name], "--label": label, "--task": [dataset.task], "--categorical": categorical}
    arguments |= {"--ignore": ignore, "--missing": missing, "--impute": [impute] if impute else []}
    words = [word for option, values in arguments.items() for value in values for word in (option, value)]
    if source == "images":
        words += ["--size", str(size), "--colour", colour]
    if split_seed:
        words += ["--split-seed", str(split_seed)]
    with whole_or_absent(file) as temporary:
        again = shlex.join(["nerva", "data", "add", path, *words, "--force"])
        temporary.write_text(description_file(dataset, again), encoding="utf-8")
    click.echo(as_text(overview(dataset, content)))
    click.echo("\n".join(["", *balance(dataset, content)]))
    kind = f"{dataset.targets} targets" if dataset.task == "regression" else f"{dataset.classes} classes"
    click.echo(
        f"{dataset.task}: {dataset.features:,} features, {kind}; {dataset.train - dataset.validation:,} samples for "
        f"training, {dataset.validation:,} for validation, {dataset.test:,} for testing"
    )
    X = content.arrays["Xtrain"][:_SAMPLES]
    if X.shape[1] >= _SMALLEST_IMAGE and dataset.task != "regression":
        from nerva.experiment.report import plots

        names = dataset.class_names or [str(number) for number in range(dataset.classes)]
        if figure := plots.samples(X, [names[label] for label in content.arrays["Ttrain"][:_SAMPLES]]):
            picture = data_dir / f"{dataset.name}-samples.png"
            with whole_or_absent(picture) as temporary:
                plots.save(figure, temporary, "png")
            click.echo(f"samples: {picture}")
    click.echo(f"description: {file}")
    if file.is_relative_to(PACKAGE):
        click.echo("It belongs to the installed package: keep a copy, because another version of nerva replaces it.")
    click.echo(f"next: nerva train data={dataset.name}")
