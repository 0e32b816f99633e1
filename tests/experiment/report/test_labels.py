"""Labels of configurations."""

import dataclasses

from nerva.experiment.report.labels import configuration_labels, short_layers
from nerva.experiment.report.loading import load_run


def test_layers_have_their_arguments_only_if_networks_differ_in_them() -> None:
    relu = ["ReLU", "ReLU", "Linear"]
    assert short_layers([relu, ["LeakyReLU(alpha=0.1)", "Linear"]]) == ["2×ReLU-Linear", "LeakyReLU-Linear"]
    assert short_layers([["LeakyReLU(alpha=0.1)", "Linear"], ["LeakyReLU(alpha=0.2)", "Linear"]]) == [
        "LeakyReLU(alpha=0.1)-Linear",
        "LeakyReLU(alpha=0.2)-Linear",
    ]


def test_labels_have_what_differs(sweep) -> None:
    provenances = [load_run(folder).provenance for folder in sweep]
    assert configuration_labels(provenances[2:4]) == ["Constant(lr=0.1)", "Constant(lr=0.0001)"]


def test_a_single_configuration_is_described_by_its_network(sweep) -> None:
    provenances = [load_run(folder).provenance for folder in sweep[:3]]
    assert configuration_labels(provenances) == ["sizes 64-64-10, Momentum(mu=0.9), Constant(lr=0.1)"] * 3


def test_configurations_that_look_the_same_have_different_labels(sweep) -> None:
    """They may differ in a user-defined module."""
    provenance = load_run(sweep[0]).provenance
    other = dataclasses.replace(provenance, configuration_id="0123456789ab")
    labels = configuration_labels([provenance, provenance, other])
    assert labels[0] == labels[1] != labels[2]
    assert labels[2].endswith(" (0123456789ab)")


def test_keys_that_only_some_runs_have(sweep) -> None:
    """A run of another version may have other keys."""
    provenance = load_run(sweep[0]).provenance
    train = dict(provenance.determined_by["train"])
    del train["evaluation_batch_size"]
    determined_by = {**provenance.determined_by, "train": train}
    other = dataclasses.replace(provenance, determined_by=determined_by, configuration_id="0123456789ab")
    assert len(set(configuration_labels([provenance, other]))) == 2
