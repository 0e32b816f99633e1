"""Folders of images: one folder for each class."""

import warnings
from pathlib import Path

import numpy as np

from nerva.data.description import Dataset
from nerva.data.unsplit import Unsplit
from nerva.errors import NervaError
from nerva.matrix_operations import Matrix

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
_MODES = {"grey": "L", "rgb": "RGB"}


def read_images(dataset: Dataset, data_dir: Path, download: bool) -> Unsplit:
    """Read a folder with one folder of images for each class. It may have the folders train and test with such folders.

    The inputs are the pixels in [0, 1], row by row. Colour images have planes of red, green and blue.

    Raises:
        NervaError: if there are no images, one can't be read, or they have several sizes and `data.size` is not given.
    """
    folder = Path(dataset.path).expanduser()
    if not folder.is_dir():
        raise NervaError(f"{folder}: there is no such folder")
    if dataset.colour not in _MODES:
        raise NervaError(f'data.colour should be grey or rgb, not "{dataset.colour[:80]}"')
    if not 0 <= dataset.size <= 4096:
        raise NervaError(f"data.size should be 1 to 4096 pixels, or 0 for images of one size, not {dataset.size}")
    parts = [part for part in ("train", "test") if (folder / part).is_dir()]
    if len(parts) == 1:
        raise NervaError(f"{folder} has a folder {parts[0]}, but not {'test' if parts == ['train'] else 'train'}")
    by_part = [_files_by_class(folder / part) for part in parts] or [_files_by_class(folder)]
    if parts and (others := by_part[0].keys() ^ by_part[1].keys()):
        raise NervaError(f"{folder}: train and test should have the same classes; {sorted(others)[0]} is in one only")
    names = sorted(by_part[0])
    files = [(file, names.index(name)) for part in by_part for name in names for file in part[name]]
    images: list[Matrix] = []
    for file, _ in files:
        image = _pixels(file, dataset)
        if images and image.shape != images[0].shape:
            raise NervaError(
                f"{file} has {_size(image)} pixels, but {files[0][0]} has {_size(images[0])}; "
                "data.size=28 resizes all images to 28x28 pixels"
            )
        images.append(image)
    X = np.stack(images).reshape(len(images), -1)
    return Unsplit(
        where=folder.name,
        T=np.array([label for _, label in files]),
        inputs=lambda fitted: X.astype(np.float32) / np.float32(255),
        test=sum(map(len, by_part[1].values())) if parts else 0,
        class_names=names,
        origin=f"{folder.name}: images of {len(names)} classes",
    )


def _files_by_class(folder: Path) -> dict[str, list[Path]]:
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not classes:
        raise NervaError(f"{folder} is empty or has no folders; it should have one folder of images for each class")
    found = {}
    for path in classes:
        found[path.name] = sorted(
            file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".")
        )
        if not found[path.name]:
            raise NervaError(f"{path} has no images; files with these suffixes are images: {', '.join(_SUFFIXES)}")
    return found


def _pixels(file: Path, dataset: Dataset) -> Matrix:
    """The pixels of an image as bytes: height×width, or 3×height×width."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings(), file.open("rb") as opened:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image: Image.Image = Image.open(opened)
            if image.mode.startswith(("I", "F")):
                raise ValueError("it has more than 8 bits per colour, and should have 8")
            image = ImageOps.exif_transpose(image).convert(_MODES[dataset.colour])
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise NervaError(f"{file} can't be read as an image: {error}") from None
    if dataset.size:
        image = image.resize((dataset.size, dataset.size), Image.Resampling.BILINEAR)
    pixels = np.asarray(image, np.uint8)
    return pixels if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _size(image: Matrix) -> str:
    return f"{image.shape[-1]}x{image.shape[-2]}"
