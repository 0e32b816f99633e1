"""What a process computes with."""

import json

from nerva.experiment.config import numerics
from nerva.experiment.run import environment as environment_module
from nerva.experiment.run.environment import determining_environment, environment


def test_an_environment() -> None:
    what = environment("native")
    assert {"python", "numpy", "blas", "libc", "lock_sha256", "cpu", "kernel", "simd", "threads"} <= {*what}
    assert all(what[key] for key in ("python", "numpy", "blas", "cpu", "system"))
    assert (what["numerics"], what["threads"]) == ("native", 1)
    assert json.dumps(what)


def test_packages_that_are_not_installed(monkeypatch) -> None:
    monkeypatch.setattr(environment_module, "_PACKAGES", ("numpy", "no-such-package"))
    assert environment("native")["no-such-package"] is None


def test_the_bits_of_a_native_run_depend_on_the_cpu(monkeypatch) -> None:
    for mode, cpu in (("native", numerics.cpu()), ("portable", None)):
        monkeypatch.setattr(numerics, "_pinned", mode)
        what = determining_environment()
        assert (what["numerics"], what["cpu"]) == (mode, cpu)
        assert {"numpy", "kernel", "simd", "libc", "python", "scipy"} <= {*what}
