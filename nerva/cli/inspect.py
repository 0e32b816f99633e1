"""`nerva inspect`."""

import click


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path())
def command(files: tuple[str, ...]) -> None:
    """Show what is in .npz FILES: datasets, weights, whole networks."""
    import json

    import numpy as np

    from nerva.utilities import load_dict_from_npz

    for file in files:
        click.echo(file)
        data = load_dict_from_npz(file)
        if "architecture" in data:
            for index, (layer, D, K) in enumerate(json.loads(str(data.pop("architecture")[0])), 1):
                click.echo(f"  layer {index}: {layer}, {D} → {K}")
        width = max(map(len, data), default=0)
        for name, array in data.items():
            line = f"  {name:<{width}}  {array.dtype}  {'×'.join(map(str, array.shape)) or 'scalar':<12}"
            if array.size and array.dtype.kind in "iu" and array.ndim == 1 and array.min() >= 0 and array.max() < 1000:
                counts = np.bincount(array)
                line += f"  {len(counts)} classes, {counts.min()} to {counts.max()} samples in each"
            elif array.size and array.dtype.kind in "fiu":
                line += f"  from {array.min():.4g} to {array.max():.4g}, mean {array.mean(dtype=np.float64):.4g}"
                if not np.isfinite(array).all():
                    line += ", not all finite"
            click.echo(line)
