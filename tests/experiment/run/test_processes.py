"""Child processes: orders, answers, and their ends."""

import signal
import sys

import pytest

from nerva.experiment.config import numerics
from nerva.experiment.run.processes import Child

PROGRAM = """
import os, signal, sys, time
from nerva.experiment.run.processes import Parent
parent = Parent()
order, answer = parent.order, parent.answer
exec(order["program"])
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Start a child that executes a program after it has received its order."""
    (tmp_path / "child_of_a_test.py").write_text(PROGRAM)
    environment = numerics.environment("native")
    environment["PYTHONPATH"] += f":{tmp_path}"
    return lambda program: Child("child_of_a_test", {"program": program}, environment)


def test_an_order_and_its_answer(start) -> None:
    child = start("answer('é: ' + order['program'][:6])")
    assert child.answer() == "é: answer"
    assert child.wait() == 0


def test_the_answer_of_a_child_that_ends_is_empty(start) -> None:
    child = start("sys.exit(3)")
    assert child.answer() == ""
    assert child.wait() == 3


def test_a_long_order_and_a_long_answer(start) -> None:
    child = start("answer('x' * 1_000_000)\n#" + "y" * 1_000_000)
    assert len(child.answer()) == 1_000_000
    assert child.wait() == 0


def test_a_child_is_interrupted(start) -> None:
    child = start("answer('ready'); time.sleep(1800)")
    assert child.answer() == "ready"
    child.interrupt()
    assert child.wait() == -signal.SIGTERM


def test_a_child_notices_that_it_is_released(start) -> None:
    child = start("parent.when_released(lambda: os._exit(5)); answer('ready'); time.sleep(1800)")
    assert child.answer() == "ready"
    child.release()
    assert child.wait() == 5


def test_a_child_reports_and_gets_replies(start) -> None:
    program = "parent.when_released(os._exit); answer(str([parent.report(i) for i in range(3)]))"
    child = start(program)
    assert child.answer(lambda report: {"twice": 2 * report}) == "[{'twice': 0}, {'twice': 2}, {'twice': 4}]"
    child.interrupt()
    child.wait()


def test_a_report_of_a_child_that_was_killed_is_not_read(start) -> None:
    child = start("os.write(int(sys.argv[1]), b'{\"report\": 1'); os.kill(os.getpid(), signal.SIGKILL)")
    assert child.answer(lambda report: pytest.fail("half of a report")) == ""
    assert child.wait() == -signal.SIGKILL


def test_a_child_that_has_died_before_its_order(start, tmp_path, monkeypatch) -> None:
    dead = tmp_path / "python"
    dead.write_text("#!/bin/sh\nexit 9\n")
    dead.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(dead))
    child = start("x" * 10_000_000)
    assert child.answer() == ""
    child.release()
    assert child.wait() == 9
