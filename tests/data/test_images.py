"""Folders of images."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nerva.data import Dataset, load_prepared, prepare
from nerva.data.describing import describe
from nerva.data.sources import read
from nerva.errors import NervaError
from tests.data.user_files import write_images


def images(folder: Path, **changes: object) -> Dataset:
    known = {"colour": "grey", "test_fraction": 0.2, "validation_fraction": 0.25, **changes}
    return Dataset(name="", source="images", path=str(folder), **known)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_images(tmp_path / "pets")


def test_a_folder(folder, tmp_path) -> None:
    described = describe(images(folder), tmp_path)
    assert (described.name, described.title, described.features) == ("pets", "pets", 72)
    assert described.class_names == ["cat", "dog"]
    assert (described.train, described.validation, described.test) == (16, 4, 4)
    arrays, _ = load_prepared(described, prepare(described, tmp_path).npz.parent)
    assert arrays["Xtrain"].min() >= 0
    assert arrays["Xtrain"].max() <= 1
    for X, T in zip(arrays["Xtrain"], arrays["Ttrain"], strict=True):
        assert (X.mean() > 0.5) == (T == 1)  # cats are dark


def test_colour_and_size(folder, tmp_path) -> None:
    described = describe(images(folder, colour="rgb", size=4), tmp_path)
    assert described.features == 48
    # Planes of red, green and blue.
    Image.fromarray(np.full((8, 9, 3), (255, 0, 51), np.uint8)).save(folder / "cat" / "1.png")
    for file in [*(folder / "cat").iterdir(), *(folder / "dog").iterdir()]:
        if file != folder / "cat" / "1.png":
            Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(file.with_suffix(".png"))
            if file.suffix != ".png":
                file.unlink()
    content = read(images(folder, colour="rgb", size=4), tmp_path)
    brightest = max(np.concatenate([content.arrays["Xtrain"], content.arrays["Xtest"]]), key=np.sum)
    assert set(brightest[:16]) == {1.0}
    np.testing.assert_allclose(brightest[32:48], 0.2, rtol=1e-6)


def test_images_of_several_sizes(folder, tmp_path) -> None:
    Image.fromarray(np.zeros((5, 6), np.uint8)).save(folder / "dog" / "small.png")
    with pytest.raises(NervaError, match=r"small\.png has 6x5 pixels, but .*cat/0\.jpg has 9x8; data\.size=28 resizes"):
        describe(images(folder), tmp_path)
    assert describe(images(folder, size=8), tmp_path).features == 64


def test_folders_for_training_and_testing(tmp_path) -> None:
    write_images(tmp_path / "pets" / "train", 8)
    write_images(tmp_path / "pets" / "test", 3, seed=2)
    described = describe(images(tmp_path / "pets"), tmp_path)
    assert (described.train, described.test) == (16, 6)
    shutil.rmtree(tmp_path / "pets" / "test" / "dog")
    with pytest.raises(NervaError, match="train and test should have the same classes; dog is in one only"):
        describe(images(tmp_path / "pets"), tmp_path)
    shutil.rmtree(tmp_path / "pets" / "test")
    with pytest.raises(NervaError, match="has a folder train, but not test"):
        describe(images(tmp_path / "pets"), tmp_path)


def test_the_contents_count_and_not_the_folder(folder, tmp_path) -> None:
    before = describe(images(folder), tmp_path)
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    (moved / ".DS_Store").write_text("x")
    (moved / "cat" / "notes.txt").write_text("x")
    assert describe(images(moved), tmp_path).sha256 == before.sha256
    prepared = prepare(before, tmp_path)
    # A new image is newer than the prepared file.
    Image.fromarray(np.zeros((8, 9), np.uint8)).save(folder / "cat" / "new.png")
    later = prepared.npz.stat().st_mtime + 10
    os.utime(folder / "cat" / "new.png", (later, later))
    with pytest.raises(NervaError, match="pets has changed"):
        describe(before, tmp_path)


def test_bad_images(folder, tmp_path) -> None:
    file = folder / "cat" / "0.jpg"
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no image"):
        file.write_bytes(content)
        with pytest.raises(NervaError, match=r"cat/0\.jpg can't be read as an image: "):
            describe(images(folder), tmp_path)
    Image.fromarray(np.zeros((8, 9), np.uint16)).save(file, format="png")
    with pytest.raises(NervaError, match=r"0\.jpg can't be read as an image: it has more than 8 bits per colour"):
        describe(images(folder), tmp_path)
    # A bomb: few bytes, and a header that promises a billion pixels.
    png = bytearray((folder / "cat" / "1.png").read_bytes())
    png[16:24] = (40_000).to_bytes(4) * 2
    file.write_bytes(png)
    with pytest.raises(NervaError, match=r"0\.jpg can't be read as an image"):
        describe(images(folder), tmp_path)


def test_bad_folders(folder, tmp_path) -> None:
    with pytest.raises(NervaError, match="nowhere: there is no such folder"):
        describe(images(tmp_path / "nowhere"), tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NervaError, match="empty is empty or has no folders"):
        describe(images(tmp_path / "empty"), tmp_path)
    (folder / "fish").mkdir()
    with pytest.raises(NervaError, match=r"fish has no images; files with these suffixes are images: \.png"):
        describe(images(folder), tmp_path)
    shutil.rmtree(folder / "fish")
    shutil.rmtree(folder / "dog")
    with pytest.raises(NervaError, match='all samples have the label "'):
        describe(images(folder), tmp_path)
    for changes, message in (({"colour": "sepia"}, "grey or rgb"), ({"size": -1}, "data.size should be 1 to 4096")):
        with pytest.raises(NervaError, match=message):
            describe(replace(images(folder), **changes), tmp_path)
