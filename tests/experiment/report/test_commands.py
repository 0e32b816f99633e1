"""The commands that a report shows."""

from nerva.experiment.report.commands import sweep_commands, train_command, ui_command
from tests.helpers import configured


def test_the_commands_of_a_sweep() -> None:
    commands = sweep_commands("quick", ("data=digits", "seed=1,2", "question='a b'"), configured())
    assert commands == [
        """snakemake --cores 4 --config experiment=quick data=digits 'overrides=seed=1,2 question='"'"'a b'"'"''""",
        """nerva train -m +experiment=quick data=digits seed=1,2 'question='"'"'a b'"'"''""",
    ]
    assert sweep_commands("quick", (), configured())[0] == "snakemake --cores 4 --config experiment=quick data=digits"


def test_commands_identify_nobody(monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/home/jane")
    overrides = ("tracking.uri=http://jane:secret@127.0.0.1:9", "results_dir=/home/jane/results")
    command = train_command("quick", overrides)
    assert command == "nerva train -m +experiment=quick tracking.uri=http://127.0.0.1:9 results_dir=~/results"
    assert "secret" not in sweep_commands("quick", overrides, configured())[0]


def test_the_ui(monkeypatch) -> None:
    assert ui_command(configured("tracking=off")) == ""
    monkeypatch.delenv("NERVA_RESULTS_DIR")
    assert ui_command(configured("tracking=mlflow")).startswith("make ui (or: nerva ui), then http://127.0.0.1:5000")
    assert ui_command(configured("tracking=mlflow", "results_dir=x")).startswith("nerva ui results_dir=x, then ")
    assert ui_command(configured("tracking=mlflow", "tracking.uri=http://jane:secret@server:80")) == "http://server:80"
