"""`nerva inspect`."""

import click


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path())
def command(files: tuple[str, ...]) -> None:
    """Show what .npz FILES hold: datasets, weights, whole networks."""
    import numpy as np

    from nerva.multilayer_perceptron import read_architecture
    from nerva.npz_files import load_dict_from_npz

    for file in files:
        click.echo(file)
        data = load_dict_from_npz(file)
        if "architecture" in data:
            del data["architecture"]
            for index, (layer, D, K) in enumerate(read_architecture(file), 1):
                click.echo(f"  layer {index}: {layer}, {D} → {K}")
        width = max(map(len, data), default=0)
        for name, array in data.items():
            line = f"  {name:<{width}}  {array.dtype}  {'×'.join(map(str, array.shape)) or 'scalar':<12}"
            if array.size and array.dtype.kind in "iu" and array.ndim == 1 and array.min() >= 0 and array.max() < 1000:
                counts = np.bincount(array.astype(np.int64))
                line += f"  {len(counts)} classes, {counts.min()} to {counts.max()} samples in each"
            elif array.size and array.dtype.kind in "fiu":
                with np.errstate(all="ignore"):
                    mean = array.mean(dtype=np.float64)
                line += f"  from {array.min():.4g} to {array.max():.4g}, mean {mean:.4g}"
                if not np.isfinite(array).all():
                    line += ", not all finite"
            click.echo(line)
