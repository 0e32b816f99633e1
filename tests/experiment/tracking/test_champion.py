"""The champion of an experiment."""

from nerva.experiment.tracking import track
from tests.experiment.tracking.sweeps import FIRST, track_sweep, trained_runs
from tests.helpers import client_of, configured, trained


def champion_in(client):
    """The version of the model that is the champion."""
    return client.get_model_version_by_alias("digits-test", "champion")


def test_only_a_better_run_becomes_the_champion(results, uri) -> None:
    one, two = trained_runs(1, 2)
    track([one, two], "digits-test", uri, results)
    client = client_of(uri)
    first = champion_in(client)
    best = max((one, two), key=lambda folder: folder.read_record().best.validation_accuracy)
    assert first.tags["nerva.run_id"] == best.run_id
    assert "there was no champion" in first.description
    worse = trained(configured("learning_rate.lr=1e-6", "train.epochs=1"))
    track([worse], "digits-test", uri, results)
    assert champion_in(client).version == first.version
    better = trained(configured("learning_rate.lr=0.1", "train.epochs=6"))
    track([better], "digits-test", uri, results)
    assert champion_in(client).tags["nerva.run_id"] == better.run_id
    accuracy = float(first.tags["validation_accuracy"])
    assert f"better than the {accuracy:.4%} of version 1" in champion_in(client).description


def test_a_champion_that_was_named_by_hand_is_compared_by_its_run(results, uri) -> None:
    (one,) = trained_runs(1)
    track_sweep(results, uri, FIRST, [one])
    client = client_of(uri)
    source = client.get_model_version("digits-test", "1")
    mine = client.create_model_version("digits-test", source.source, run_id=source.run_id)
    client.set_registered_model_alias("digits-test", "champion", mine.version)
    better = trained(configured("learning_rate.lr=0.1", "train.epochs=6"))
    track_sweep(results, uri, FIRST, [better])
    assert champion_in(client).tags["nerva.run_id"] == better.run_id
    assert f"% of version {mine.version}. " in champion_in(client).description


def test_a_champion_whose_accuracy_is_unknown_stays(results, uri) -> None:
    """A person has chosen it, and it can't be compared."""
    (one,) = trained_runs(1)
    track([one], "digits-test", uri, results)
    client = client_of(uri)
    source = client.get_model_version("digits-test", "1")
    mine = client.create_model_version("digits-test", source.source, tags={"validation_accuracy": "excellent"})
    client.set_registered_model_alias("digits-test", "champion", mine.version)
    track(trained_runs(2), "digits-test", uri, results)
    assert champion_in(client).version == mine.version
