"""Brings MLflow up to date with runs' folders."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.entities import Metric, Run, RunStatus
from tqdm import tqdm

from nerva.errors import NervaError
from nerva.experiment.config.schema import Sweep
from nerva.experiment.records.privacy import private
from nerva.experiment.records.run_folder import RunFolder
from nerva.experiment.records.sweep_record import Asked, remembered
from nerva.experiment.report import predictions as analysis
from nerva.experiment.report.ranking import plural
from nerva.experiment.tracking import entities
from nerva.experiment.tracking.champion import crown
from nerva.experiment.tracking.model import save_model
from nerva.experiment.tracking.store import database, errors, locked, opened, search

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# As much as MLflow takes at once.
_METRICS_AT_ONCE, _PARAMETERS_AT_ONCE = 1000, 100

_NOT_LOGGED = "Not logged: "

_FINISHED, _FAILED, _KILLED, _RUNNING = (
    RunStatus.to_string(status)
    for status in (RunStatus.FINISHED, RunStatus.FAILED, RunStatus.KILLED, RunStatus.RUNNING)
)


def track(
    folders: Sequence[RunFolder],
    title: str,
    uri: str,
    results_dir: str | Path,
    sweep: Sweep | None = None,
    question: str = "",
    live: bool = False,
) -> int:
    """Logs runs to an experiment of MLflow; those that are in it as they are in their folders stay.

    Args:
        folders: the runs. One that has not ended was killed, and is logged so until it is.
        title: the experiment's name; it is made if it isn't there.
        uri: the store, such as `sqlite:///results/mlflow.db`, which is made if it isn't there.
        results_dir: artifacts of a database's experiments go to `mlartifacts` in this folder.
        sweep: what the runs are points of.
        question: what the experiment asks.
        live: whether runs that have not ended are being trained.

    Returns:
        How many were logged.

    Raises:
        NervaError: if a folder is damaged, or the store refuses.
    """
    results_dir = Path(results_dir)
    results_dir.mkdir(parents=True, exist_ok=True)
    # Two that look for the same run before either has logged it would log it twice.
    with locked(uri, results_dir), errors(uri):
        return _Experiment(opened(uri), title, uri, results_dir, sweep or Sweep(), question).track(folders, live)


class _Experiment:
    """An experiment of MLflow, and what it has."""

    def __init__(
        self, client: MlflowClient, title: str, uri: str, results_dir: Path, sweep: Sweep, question: str
    ) -> None:
        self.client = client
        self.title = title
        self.results_dir = results_dir
        self.sweep = sweep
        self.question = question
        self.asked = {sweep.id: Asked(title, question, sweep)}  # by the sweeps' ids
        self.experiment_id = self._experiment(uri)
        self.runs: dict[str, Run] = {}  # by nerva's ids
        self.parents: dict[str, Run] = {}  # the sweeps' own, by their ids
        self.problems: list[str] = []
        self.analyst = analysis.Analyst(results_dir / "data")

    def track(self, folders: Sequence[RunFolder], live: bool) -> int:
        """Logs runs, and brings their sweep and the champion up to date; returns how many were logged."""
        # What other runs were made for would take time, as often as a run is followed.
        self.asked |= {a.sweep.id: a for a in remembered(self.results_dir, folders) if a.title == self.title}
        # Of many runs, the experiment's are read at once; of one, all others would only take time.
        one = f"tags.`nerva.run_id` = '{folders[0].run_id}'" if len(folders) == 1 else ""
        for run in self._search(one):
            self.runs.setdefault(run.data.tags.get("nerva.run_id", ""), run)
        for parent in self._search("tags.`nerva.sweep.id` != ''"):
            self.parents.setdefault(parent.data.tags["nerva.sweep.id"], parent)
        begun = [folder for folder in folders if folder.metrics.exists()]
        if self.sweep.id and begun:
            self._make_parent()
        # A bar, in a terminal (None), if it may take a while.
        shown = tqdm(begun, f"logging {self.title}", unit="run", leave=False, disable=None if begun[1:] else True)
        logged = sum([self._log_or_tell(folder, live or self._is_awaited(folder)) for folder in shown])
        for folder in begun:
            self._join(folder)
        if logged or not live:
            self._heal(begun)
            for sweep_id, parent in self.parents.items():
                if sweep_id == self.sweep.id or parent.info.status == _RUNNING:
                    self._close_sweep(sweep_id, parent)
            crown(self.client, self.experiment_id, self.title)
        if self.problems:
            raise NervaError("\n".join(self.problems))
        return logged

    def _experiment(self, uri: str) -> str:
        """The id of the experiment."""
        found = self.client.get_experiment_by_name(self.title)
        if found is None:
            # A server knows where its artifacts go. A database would put them into the working directory.
            location = self._artifacts().as_uri() if database(uri) else None
            experiment_id = str(self.client.create_experiment(self.title, artifact_location=location))
        elif found.lifecycle_stage == "deleted":
            raise NervaError(
                f"the experiment {self.title} was deleted in MLflow at {private(uri)}; restore it there (mlflow "
                f"experiments restore --experiment-id {found.experiment_id}), or give this one another experiment_name"
            )
        else:
            experiment_id = str(found.experiment_id)
            self._check_location(uri, found.artifact_location)
        question = entities.short(self.question)
        if question and (found is None or found.tags.get("mlflow.note.content") != question):
            self.client.set_experiment_tag(experiment_id, "mlflow.note.content", question)
        return experiment_id

    def _artifacts(self) -> Path:
        """Where a database's artifacts are."""
        return (self.results_dir / "mlartifacts" / self.title).absolute()

    def _check_location(self, uri: str, location: str) -> None:
        """Raises a NervaError if results were moved or copied: MLflow would look for artifacts where they were."""
        path = database(uri)
        if path is None or not location.startswith("file:") or location == self._artifacts().as_uri():
            return
        there = Path(url2pathname(urlsplit(location).path))
        if path.absolute().is_relative_to(self.results_dir.absolute()) or not there.parent.exists():
            raise NervaError(
                f"{private(str(path))} was made elsewhere, and looks for artifacts in {private(str(there))}; put it "
                "away, and `nerva track` makes it again"
            )

    def _is_awaited(self, folder: RunFolder) -> bool:
        """Whether another process makes a run: whoever waited for it may have ended before it."""
        return not folder.summary.exists() and folder.is_being_made()

    def _log_or_tell(self, folder: RunFolder, live: bool) -> bool:
        """Logs a run; one whose folder is damaged doesn't keep the others away."""
        try:
            return self._log(folder, live)
        except NervaError as error:
            self.problems.append(str(error))
            for run in self._search(f"tags.`nerva.run_id` = '{folder.run_id}'"):
                if run.info.status == _RUNNING:
                    self.client.set_tag(run.info.run_id, "mlflow.note.content", f"{_NOT_LOGGED}{private(str(error))}")
                    self.client.set_terminated(run.info.run_id, _KILLED)
            return False

    def _log(self, folder: RunFolder, live: bool) -> bool:
        """Brings MLflow's run up to date with a folder; returns whether there was something to do."""
        logged = self.runs.get(folder.run_id)
        ended = folder.summary.exists()
        summary: dict[str, Any] = folder.read_summary() if ended else {}
        known = logged.data.tags.get("nerva.ended") if logged else None
        # What was killed while it logged did not do it all.
        whole = logged is not None and logged.info.status != _RUNNING and _introduced(logged)
        if whole and known and known == summary.get("ended"):
            return False
        if ended and (lost := [file for file in folder.evidence if not file.exists()]):
            raise NervaError(f"there is no {lost[0]}; {folder.again}")
        rows = folder.read_metrics()
        if logged and known and known != summary.get("ended"):
            self.client.delete_run(logged.info.run_id)  # it was made again since
            logged = None
        last = self._last_epoch(logged, rows)
        if logged and last is None:
            self.client.delete_run(logged.info.run_id)  # it was begun anew since
            logged = None
        last = -1 if last is None else last
        if logged and not ended and logged.info.status == _KILLED and last == rows[-1]["epoch"]:
            return False  # it was killed, and that is known
        run_id = logged.info.run_id if logged else self._create(folder, rows[0]["time"])
        if not logged or not _introduced(logged):
            self._introduce(run_id, folder)
        if not logged or logged.info.status != _RUNNING:
            self.client.update_run(run_id, _RUNNING)
        # What is logged twice, MLflow keeps once. But of a run that is watched, only what is new is sent.
        new = [row for row in rows if not live or row["epoch"] > last]
        self._batches(run_id, entities.metrics(new, folder, summary))
        if not ended and live:
            return bool(new)
        for path in sorted(folder.path.glob("[!.]*")):
            if path != folder.checkpoint:
                self.client.log_artifact(run_id, str(path))
        # Last, so that a run which has ended is whole.
        if ended:
            self._describe(run_id, folder)
            if summary["reason"]:
                self.client.set_tag(run_id, "mlflow.note.content", f"Failed: {summary['reason']}")
            elif logged and logged.data.tags.get("mlflow.note.content", "").startswith(_NOT_LOGGED):
                self.client.delete_tag(run_id, "mlflow.note.content")
            self.client.set_tag(run_id, "nerva.weights", summary["weights"][folder.weights.name])
            self.client.set_tag(run_id, "nerva.ended", summary["ended"])
        status = {"finished": _FINISHED, "failed": _FAILED}[summary["status"]] if ended else _KILLED
        end = entities.milliseconds(summary["ended"]) if ended else round(time.time() * 1000)
        self.client.set_terminated(run_id, status, end_time=end)
        return True

    def _last_epoch(self, logged: Run | None, rows: list[dict[str, float]]) -> float | None:
        """The last epoch that MLflow has of a run, -1 if none; None if its epochs are not those of the folder."""
        if logged is None or "train/loss" not in logged.data.metrics:
            return -1
        history = self.client.get_metric_history(logged.info.run_id, "train/loss")
        made = {(int(row["epoch"]), round(row["time"] * 1000)) for row in rows}
        if any((metric.step, metric.timestamp) not in made for metric in history):
            return None
        return max(metric.step for metric in history)

    def _create(self, folder: RunFolder, started: float) -> str:
        """Makes a run in MLflow; returns its id there."""
        origin = folder.read_provenance()
        tags = {
            "nerva.run_id": folder.run_id,
            "nerva.configuration_id": origin["configuration_id"],
            "nerva.overrides": entities.short(" ".join(origin["overrides"])),
            "nerva.data.name": origin["data"]["name"],
            "nerva.data.sha256": origin["data"]["sha256"],
            "nerva.code": origin["code"]["fingerprint"],
            "nerva.dirty": origin["code"]["dirty"],
            **{f"nerva.environment.{key}": value for key, value in origin["environment"].items()},
            "mlflow.source.name": "nerva",
            "mlflow.source.git.commit": origin["code"]["git_commit"],
            "mlflow.user": "",  # nothing of who ran it
        }
        # One that is made again stays where it was.
        before = self.runs.pop(folder.run_id, None)
        parent = before.data.tags.get("mlflow.parentRunId") if before else None
        if self.sweep.id and parent not in self._known_parents():
            parent = self._make_parent()
        if parent:
            tags["mlflow.parentRunId"] = parent
        if sweeps := self._sweeps(folder):
            tags["nerva.sweeps"] = sweeps
        run = self.client.create_run(
            self.experiment_id,
            start_time=round(started * 1000),
            run_name=entities.name(folder.read_config()),
            tags={key: str(value) for key, value in tags.items() if value is not None},
        )
        return str(run.info.run_id)

    def _introduce(self, run_id: str, folder: RunFolder) -> None:
        """Logs what else is known of a run before it has ended; the data last, so that where they are, the rest is."""
        parameters = entities.parameters(folder.read_config())
        for start in range(0, len(parameters), _PARAMETERS_AT_ONCE):
            self.client.log_batch(run_id, params=parameters[start : start + _PARAMETERS_AT_ONCE])
        self.client.log_inputs(run_id, entities.datasets(folder.load_config(), folder.read_provenance()))

    def _batches(self, run_id: str, metrics: list[Metric]) -> None:
        for start in range(0, len(metrics), _METRICS_AT_ONCE):
            self.client.log_batch(run_id, metrics=metrics[start : start + _METRICS_AT_ONCE])

    def _describe(self, run_id: str, folder: RunFolder) -> None:
        """Logs a run's network as a model, and the pictures that tell what it does."""
        config = folder.load_config()
        with tempfile.TemporaryDirectory(prefix="nerva-model-") as temporary:
            save_model(folder, config, Path(temporary) / "model")
            self.client.log_artifacts(run_id, str(Path(temporary) / "model"), "model")
        pictures: dict[str, Figure | None] = {
            "learning_curves": analysis.learning_curves(folder),
            "first_layer": analysis.first_layer(folder),
        }
        analysed = self.analyst.analyse(folder)
        if analysed is not None and np.isfinite(analysed.Y).all():
            pictures["confusion_matrix"] = analysis.confusion(analysed)
            pictures["worst_images"] = analysis.worst_images(analysed)
        with tempfile.TemporaryDirectory(prefix="nerva-pictures-") as temporary:
            for name, picture in pictures.items():
                if picture is not None:
                    picture.savefig(Path(temporary) / f"{name}.png", dpi=90)
            self.client.log_artifacts(run_id, temporary, "pictures")

    def _search(self, filter_string: str) -> Iterator[Run]:
        return search(self.client, [self.experiment_id], filter_string)

    def _sweeps(self, folder: RunFolder) -> str:
        """The ids of all sweeps that a run is a point of."""
        asked = {sweep_id for sweep_id, asked in self.asked.items() if folder.run_id in asked.runs}
        return " ".join(sorted(filter(None, asked | {self.sweep.id})))

    def _join(self, folder: RunFolder) -> None:
        """Lets a run that was there before belong to this sweep, too.

        MLflow has one parent for a run. Of several sweeps it is the first, as long as that is there.
        """
        run = self.runs.get(folder.run_id)
        if run is None or not self.sweep.id:
            return
        tags = run.data.tags
        if tags.get("mlflow.parentRunId") not in self._known_parents():
            self.client.set_tag(run.info.run_id, "mlflow.parentRunId", self._make_parent())
        if tags.get("nerva.sweeps") != (sweeps := self._sweeps(folder)):
            self.client.set_tag(run.info.run_id, "nerva.sweeps", sweeps)

    def _known_parents(self) -> set[str]:
        return {parent.info.run_id for parent in self.parents.values()}

    def _make_parent(self) -> str:
        """Makes MLflow's run for the sweep, whose points are its children, if it isn't there; returns its id there."""
        if self.sweep.id not in self.parents:
            tags = {"nerva.sweep.id": self.sweep.id, "mlflow.source.name": "nerva", "mlflow.user": ""}
            asked = self.asked[self.sweep.id]
            self.parents[self.sweep.id] = self.client.create_run(
                self.experiment_id,
                start_time=entities.milliseconds(asked.first),
                run_name=asked.sweep.name or self.title,
                tags=tags,
            )
        return str(self.parents[self.sweep.id].info.run_id)

    def _close_sweep(self, sweep_id: str, parent: Run) -> None:
        """Ends a sweep's own run if none of its points is being trained, with what came of it."""
        run_id = parent.info.run_id
        asked = self.asked.get(sweep_id, Asked(self.title, self.question))
        points = list(self._search(f"tags.`nerva.sweeps` LIKE '%{sweep_id}%'"))
        states = [point.info.status for point in points]
        best = max(points, key=entities.accuracy, default=None)
        lines = [
            entities.short(asked.question),
            f"{plural(len(points), 'run')}, of which {states.count(_FAILED)} failed",
        ]
        if best is not None and entities.accuracy(best) > 0:
            lines.append(f"best: {best.info.run_name}, validation accuracy {entities.accuracy(best):.2%}")
        if elsewhere := sum(point.data.tags.get("mlflow.parentRunId") != run_id for point in points):
            lines.append(f"{elsewhere} of them stand under other sweeps, whose points they are, too")
        self.client.set_tag(run_id, "mlflow.note.content", "  \n".join(line for line in lines if line))
        if asked.sweep.name and parent.info.run_name != asked.sweep.name:
            self.client.update_run(run_id, name=asked.sweep.name)
        if _RUNNING in states:
            self.client.update_run(run_id, _RUNNING)
            return
        # All of its points may have ended before it was asked for.
        ends = [parent.info.start_time, *(point.info.end_time for point in points if point.info.end_time)]
        status = _KILLED if _KILLED in states else _FINISHED
        self.client.set_terminated(run_id, status, end_time=max(ends))

    def _heal(self, folders: Sequence[RunFolder]) -> None:
        """Ends what a process that was killed has left running."""
        tracked = {folder.run_id for folder in folders}
        for run in self._search(f"attributes.status = '{_RUNNING}'"):
            nerva_id = run.data.tags.get("nerva.run_id", "")
            if not nerva_id or nerva_id in tracked:
                continue
            self.runs[nerva_id] = run
            folder = RunFolder.of(self.results_dir, nerva_id)
            if not folder.lock.exists():
                continue  # it is trained elsewhere, or was
            try:
                with FileLock(folder.lock, timeout=0):
                    if folder.metrics.exists():
                        self._log_or_tell(folder, live=False)
                    else:
                        self.client.set_terminated(run.info.run_id, _KILLED)
            except Timeout:
                continue  # it is being trained


def _introduced(run: Run) -> bool:
    """Whether all is logged that is known of a run before it has ended."""
    return bool(run.inputs and run.inputs.dataset_inputs)
