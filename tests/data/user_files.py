"""Files as users have them: tables, arrays and folders of images. Their two classes can be told apart."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image


def flowers(rows: int = 60, seed: int = 1) -> pd.DataFrame:
    """A table of two species, which a length tells apart, sorted by species."""
    rng = np.random.default_rng(seed)
    species = np.repeat(["iris", "rose"], [rows // 2, rows - rows // 2])
    return pd.DataFrame(
        {
            "length": rng.normal(0, 1, rows).round(3) + 4 * (species == "rose"),
            "width": rng.integers(1, 100, rows),
            "soil": rng.choice(["clay", "sand"], rows),
            "species": species,
        }
    )


def write_csv(path: Path, frame: pd.DataFrame) -> Path:
    frame.to_csv(path, index=False)
    return path


def write_npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def arrays(samples: int = 40, seed: int = 1) -> dict[str, np.ndarray]:
    """X with 3×4 features and T with two classes, sorted by class."""
    rng = np.random.default_rng(seed)
    T = np.repeat([0, 1], [samples // 2, samples - samples // 2])
    return {"X": rng.random((samples, 3, 4)) + T[:, None, None], "T": T}


def write_images(folder: Path, count: int = 10, size: tuple[int, int] = (9, 8), seed: int = 1) -> Path:
    """A folder of dark cats and bright dogs, of width×height pixels: PNG and JPEG files."""
    rng = np.random.default_rng(seed)
    for name, low in (("cat", 0), ("dog", 128)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(low, low + 128, (size[1], size[0], 3), np.uint8)
            suffix = "png" if number % 2 else "jpg"
            Image.fromarray(pixels).save(folder / name / f"{number}.{suffix}")
    return folder
