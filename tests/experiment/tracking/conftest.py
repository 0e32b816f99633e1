"""Fixtures of the tests of tracking."""

import pytest


@pytest.fixture
def drawn() -> None:
    """The test needs the pictures of runs."""


@pytest.fixture(autouse=True)
def not_drawn(request, monkeypatch) -> None:
    """No pictures are drawn, which takes longer than all else that is logged, unless the test needs them."""
    if "drawn" not in request.fixturenames:
        from nerva.experiment.tracking import run_logging

        monkeypatch.setattr(run_logging, "draw_pictures", lambda folder, analyst: {})
