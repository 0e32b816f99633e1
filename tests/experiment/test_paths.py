"""Where the package and its configuration files are."""

from pathlib import Path

import pytest

from nerva.errors import NervaError
from nerva.experiment import paths


def test_options_are_the_files_of_a_group() -> None:
    assert {"adam", "momentum"} & {*paths.options("optimizer")} == {"momentum"}
    assert paths.options("nosuch") == []


def test_missing_configuration_files(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(paths, "PACKAGE", tmp_path / "nerva")
    with pytest.raises(NervaError, match=r"there is no conf/config\.yaml in .*; restore conf/"):
        paths.conf_dir()


def test_a_checkout_has_the_configuration_files_beside_the_package() -> None:
    assert paths.conf_dir() == Path(paths.PACKAGE).parent / "conf"


def test_python_path_begins_with_this_package() -> None:
    assert paths.python_path(None) == str(paths.PACKAGE.parent)
    assert paths.python_path("/a:/b") == f"{paths.PACKAGE.parent}:/a:/b"
