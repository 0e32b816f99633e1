"""What the pipeline shows in the terminal."""

import dataclasses
import logging
from pathlib import Path

import pytest

from nerva.experiment.sweep.terminal import ON_TERMINAL, describe, failure, terse
from tests.helpers import configured, trained


class Terminal:
    """A stream that keeps what is written to it."""

    def __init__(self, isatty: bool) -> None:
        self.text = ""
        self._isatty = isatty

    def isatty(self) -> bool:
        return self._isatty

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None: ...


@pytest.mark.parametrize("isatty", [True, False])
def test_only_errors_and_what_nerva_says_are_shown(tmp_path, isatty: bool) -> None:
    logger = logging.Logger("test")
    terminal, log = Terminal(isatty), Terminal(isatty=False)
    handler = logging.StreamHandler(terminal)
    handler.name = "DefaultStreamHandler"
    logger.addHandler(handler)
    logger.addHandler(logging.StreamHandler(log))
    with terse(logger):
        logger.info("Select jobs to execute...")
        logger.info("Nothing to be done (all requested files are present and up to date).")
        logger.info("12 of 12 runs done", extra=ON_TERMINAL)
        logger.warning("careful")
        logger.error(None, extra={"event": "job_error", "rule_name": "train", "rule_msg": "Training", "log": []})
    logger.info("afterwards")
    shown = [line for line in terminal.text.splitlines() if line]
    nothing = "Nothing to be done (all requested files are present and up to date)."
    assert shown == [nothing, "12 of 12 runs done", "careful", "failed: Training", "afterwards"]
    assert "Select jobs" in log.text  # the log file has everything
    assert handler.stream is terminal


def test_a_failure_has_its_reason_and_its_log(tmp_path) -> None:
    log = tmp_path / "train.log"
    log.write_text("epoch 1\nnerva: run a failed: no data\n\x1b[1mmore\nnerva: 1 of 2 runs could not be trained: a\n")
    job = {
        "rule_name": "train",
        "rule_msg": "Training batch 1",
        "log": [f"{log} (check log file(s) for error details)"],
    }
    assert failure(job).splitlines() == [
        f"failed: Training batch 1 (see {log})",
        "  run a failed: no data",
        "  1 of 2 runs could not be trained: a",
    ]
    log.write_text("\n".join(f"line {n}" for n in range(100)) + "\n\x1b[31m\n")
    assert failure(job).splitlines()[1:] == [*(f"  line {n}" for n in range(96, 100)), "  \\x1b[31m"]
    log.write_text("run 0123456789ab of digits-quick\n 1 | 0.1\nrun 123456789abc of digits-quick\n 1 | 0.1\n")
    ended = "the process ended without a message; its last run was 123456789abc of digits-quick"
    assert failure(job).splitlines()[1:] == [f"  {ended}"]
    traceback = "Traceback (most recent call last):\nValueError: a bug\n"
    log.write_text(f"run 0123456789ab of digits-quick\n{traceback}")
    assert failure(job).splitlines()[-1] == "  ValueError: a bug"
    job["log"] = [str(tmp_path / "missing.log")]
    assert len(failure(job).splitlines()) == 1
    assert failure({"rule_name": "all", "rule_msg": None, "log": []}) == "failed: all"


def test_a_failure_on_a_cluster_has_the_reason_of_slurm(tmp_path) -> None:
    log = tmp_path / "12.log"
    cancelled = "slurmstepd: error: *** STEP 12.0 ON node1 CANCELLED AT 2026-11-26T09:00:00 DUE TO TIME LIMIT ***"
    log.write_text(f"host: node1\n{cancelled}\nWill exit after finishing currently running jobs (scheduler).\n")
    status = "SLURM-job '12' failed, SLURM status is: 'TIMEOUT'."
    advice = "For further error details see the cluster/cloud log and the log files of the involved rule(s)."
    job = {"rule_name": "train", "rule_msg": f"{status}{advice}", "log": [str(log)]}
    assert failure(job).splitlines() == [f"failed: {status} (see {log})", f"  {cancelled}"]
    log.write_text("the plan x.plan can't be read\nExiting because a job execution failed.\nElapsed time: 0:00:03\n")
    assert failure(job).splitlines()[1:] == ["  the plan x.plan can't be read"]


def test_a_sweep_is_described(results: Path) -> None:
    assert describe("digits-single", 2, []) == "digits-single: 2 runs: 2 to train, 0 already exist"
    one = trained(configured("train.epochs=1")).read_record()
    assert describe("digits-single", 2, [one]) == "digits-single: 2 runs: 1 to train, 1 already exist"
    failed = dataclasses.replace(one, status="failed", reason="it diverged")
    assert describe("digits-single", 2, [one, failed]).endswith("0 to train, 2 already exist (1 failed)")
    described = describe("digits-single", 2, [], ["2 seeds", "where seed > 1"])
    assert described.splitlines()[1:] == ["  2 seeds; where seed > 1"]
