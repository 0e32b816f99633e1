"""`nerva data`."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from nerva.data import Dataset
    from nerva.data.sources import Content

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
    from nerva.experiment.paths import conf_dir, options

    data_dir = _data_dir()
    datasets = {name: read_description(conf_dir() / "data" / f"{name}.yaml") for name in options("data")}
    described = {name: d for name, d in datasets.items() if d.features}
    rows = [
        {
            "name": name,
            "title": dataset.title,
            "task": dataset.task,
            "samples": f"{dataset.train + dataset.test:,}",
            "features": f"{dataset.features:,}",
            "outputs": dataset.outputs_text,
            "prepared": "yes" if Prepared.of(dataset, data_dir).exists() else "",
        }
        for name, dataset in described.items()
    ]
    click.echo(pd.DataFrame(rows).to_string(index=False))
    kinds = [name for name, dataset in datasets.items() if dataset.source in READERS and name not in described]
    click.echo(f"\nUser-defined data: data={', data='.join(kinds)}; `nerva data add FILE` adds a row to this table.")


@command.command()
@click.argument("path")
@click.option("--name", help="The name of the dataset. Default: that of the file.")
@click.option("--label", multiple=True, help="The column of a table that is predicted; several for a regression.")
@click.option("--task", type=click.Choice(["classification", "regression"]), help="Default: by the labels.")
@click.option("--categorical", multiple=True, help="A column with categories. Columns of texts always are.")
@click.option("--ignore", multiple=True, help="A column that is not used.")
@click.option("--missing", multiple=True, help="A text that stands for a missing value, in addition to the usual ones.")
@click.option("--impute", type=click.Choice(["mean", "median", "most_frequent"]), help="What replaces missing values.")
@click.option("--size", type=int, default=0, help="The width and the height to which images are resized.")
@click.option("--colour", type=click.Choice(["grey", "rgb"]), help="Of images. Default: grey.")
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
    colour: str | None,
    split_seed: int,
    force: bool,
) -> None:
    """Describe the data in PATH in a file of conf/data, and show what was found.

    PATH is a table (.csv, .tsv, .parquet), an .npz file of arrays, or a folder with a folder of images for each class.
    """
    from dataclasses import replace

    from nerva.data.adding import add_dataset, as_text, class_counts, overview, read_description, source_of
    from nerva.data.describing import default_name
    from nerva.experiment.paths import PACKAGE, conf_dir

    conf, source = conf_dir() / "data", source_of(Path(path).expanduser())
    of_tables = {"--label": label, "--categorical": categorical, "--ignore": ignore, "--missing": missing}
    for option, given in (of_tables | {"--impute": impute}).items():
        if given and source != "csv":
            raise click.UsageError(f"{option} is for tables, and {path} is not one.")
    if source != "images" and (size or colour):
        raise click.UsageError(f"--size and --colour are for folders of images, and {path} is not one.")
    if source == "images" and task == "regression":
        raise click.UsageError("A folder of images by class is a classification.")
    template = read_description(conf / f"{source}.yaml")
    asked = replace(
        template,
        path=path,
        label=list(label) if len(label) > 1 else "".join(label),
        categorical=list(categorical),
        ignore=list(ignore),
        missing=[*template.missing, *missing],
        impute=impute or "",
        size=size,
        colour=colour or template.colour,
        split_seed=split_seed,
    )
    asked = replace(asked, name=name or default_name(asked))
    file, data_dir = conf / f"{asked.name}.yaml", _data_dir()
    _check_name(asked.name, file, force)
    options: dict[str, Sequence[str]] = {
        "--name": [asked.name],
        "--label": label,
        "--task": [task] if task else [],
        "--categorical": categorical,
        "--ignore": ignore,
        "--missing": missing,
        "--impute": [impute] if impute else [],
        "--size": [str(size)] if size else [],
        "--colour": [colour] if colour else [],
        "--split-seed": [str(split_seed)] if split_seed else [],
    }
    words = [word for option, values in options.items() for value in values for word in (option, value)]
    command_again = shlex.join(["nerva", "data", "add", path, *words, "--force"])
    dataset, content = add_dataset(asked, task or "", file, data_dir, command_again)
    click.echo(as_text(overview(dataset, content)))
    click.echo("\n".join(["", *class_counts(dataset, content)]))
    click.echo(
        f"{dataset.task}: {dataset.features:,} features, {dataset.outputs_text}; "
        f"{dataset.train - dataset.validation:,} samples for training, {dataset.validation:,} for validation, "
        f"{dataset.test:,} for testing"
    )
    _draw_samples(dataset, content, data_dir / f"{dataset.name}-samples.png")
    click.echo(f"description: {file}")
    if file.is_relative_to(PACKAGE):
        click.echo("It belongs to the installed package: keep a copy, because another version of nerva replaces it.")
    click.echo(f"next: nerva train data={dataset.name}")


def _check_name(name: str, file: Path, force: bool) -> None:
    from nerva.data.adding import read_description
    from nerva.data.sources import FILES
    from nerva.errors import NervaError
    from nerva.experiment.config.validation import check_file_name

    check_file_name("--name", name)
    if not file.exists():
        return
    known = read_description(file)
    if known.source not in FILES or not known.sha256:
        raise NervaError(f"{name} is a built-in name; choose another --name")
    if not force:
        raise NervaError(f"{file} already exists; --force replaces it, or choose another --name")


def _draw_samples(dataset: "Dataset", content: "Content", picture: Path) -> None:
    """Draw the first samples, if they are images, and say where the picture is."""
    from nerva.experiment.report import plots
    from nerva.experiment.report.text import cut
    from nerva.whole_files import whole_or_absent

    if dataset.task == "regression":
        return
    X, T = (content.arrays[name][:_SAMPLES] for name in ("Xtrain", "Ttrain"))
    names = dataset.class_names or [str(number) for number in range(dataset.classes)]
    if figure := plots.samples(X, [cut(names[label], 14) for label in T]):
        with whole_or_absent(picture) as temporary:
            plots.save(figure, temporary, "png")
        click.echo(f"samples: {picture}")


def _data_dir() -> Path:
    """The folder of the prepared datasets, as the configuration says. The dataset does not matter."""
    from nerva.experiment.config.composition import compose

    return compose(["data=digits"]).data_dir
