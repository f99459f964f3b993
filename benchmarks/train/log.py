"""What a training leaves to look at: a table of its steps, a curve, TensorBoard events."""

import csv
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchError
from datasets_prep.runtime.whole import whole_file

COLUMNS = ("step", "loss", "rate", "gradient_norm", "seconds")
_SMOOTH = 0.02  # weight of a new loss in the curve's moving average


class TrainLog:
    """`log.csv`, `validation.csv` and, where asked for, TensorBoard events in a folder."""

    def __init__(self, out: Path, first_step: int, tensorboard: bool = False) -> None:
        """Go on after step `first_step`; what an interrupted run wrote beyond it is dropped.

        Raises:
            BenchError: if TensorBoard is asked for and not installed.
        """
        self._steps = out / "log.csv"
        self._scores = out / "validation.csv"
        for path in (self._steps, self._scores):
            _truncate(path, first_step)
        self._board = _summary_writer(out / "tensorboard", first_step) if tensorboard else None

    def step(self, step: int, loss: float, rate: float, norm: float, seconds: float) -> None:
        """Note one step, counted from 1."""
        _append(self._steps, COLUMNS, (step, loss, rate, norm, round(seconds, 4)))
        if self._board is not None:
            self._board.add_scalar("loss", loss, step)
            self._board.add_scalar("rate", rate, step)

    def score(self, step: int, name: str, score: float) -> None:
        """Note one validation."""
        _append(self._scores, ("step", name), (step, score))
        if self._board is not None:
            self._board.add_scalar(f"validation/{name}", score, step)

    def close(self) -> None:
        """Write what is held back."""
        if self._board is not None:
            self._board.close()

    def draw(self) -> None:
        """Draw the loss as `loss.png`, if matplotlib is there."""
        try:
            from matplotlib.figure import Figure
        except ModuleNotFoundError:
            return
        with self._steps.open(encoding="utf-8", newline="") as file:
            rows = [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(file)]
        steps, losses = [step for step, _ in rows], [loss for _, loss in rows]
        smooth = losses[:1]
        for loss in losses[1:]:
            smooth.append(smooth[-1] + _SMOOTH * (loss - smooth[-1]))
        figure = Figure(figsize=(6, 3.5), dpi=120, layout="constrained")
        axes = figure.add_subplot()
        axes.plot(steps, losses, color="#56B4E9", linewidth=0.5, alpha=0.6, label="each step")
        axes.plot(steps, smooth, color="#0072B2", linewidth=1.5, label="moving average")
        axes.set(xlabel="step", ylabel="loss", yscale="log")
        axes.legend(frameon=False)
        figure.savefig(self._steps.with_name("loss.png"))


def _append(path: Path, header: tuple[str, ...], row: tuple[object, ...]) -> None:
    new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(header)
        writer.writerow(row)


def _truncate(path: Path, last: int) -> None:
    if not path.exists():
        return
    with path.open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    whole = [row for row in lines[1:] if len(row) == len(lines[0]) and int(row[0]) <= last]
    if not whole:  # the header may be torn
        path.unlink()
        return
    with whole_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([lines[0], *whole])


def _summary_writer(folder: Path, first_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError:
        raise BenchError(
            "--tensorboard needs the tensorboard package: pip install 'fss-bench[train]'"
        ) from None
    return SummaryWriter(folder, purge_step=first_step + 1)
