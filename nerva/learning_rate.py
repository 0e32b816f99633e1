"""Learning-rate schedules, and the parser of their specifications.

A schedule is a pure function of the epoch, which counts from 0. A rate that overflows is inf.
"""

import math
import sys

from nerva.errors import NervaError
from nerva.ranges import not_negative, positive
from nerva.specifications import Registry


class LearningRateScheduler:
    """A learning rate for each epoch."""

    # The names of attributes that are needed to resume training, if a schedule is not a pure function of the epoch.
    state: tuple[str, ...] = ()

    def __call__(self, epoch: int) -> float:
        raise NotImplementedError


class ConstantScheduler(LearningRateScheduler):
    """lr."""

    def __init__(self, lr: float) -> None:
        self.lr = positive("lr", lr)

    def __repr__(self) -> str:
        return f"Constant(lr={float(self.lr)})"

    def __call__(self, epoch: int) -> float:
        return self.lr


class TimeBasedScheduler(LearningRateScheduler):
    """lr / (1 + decay epoch)."""

    def __init__(self, lr: float, decay: float) -> None:
        self.lr = positive("lr", lr)
        self.decay = not_negative("decay", decay)

    def __repr__(self) -> str:
        return f"TimeBased(lr={float(self.lr)}, decay={float(self.decay)})"

    def __call__(self, epoch: int) -> float:
        return self.lr / (1 + self.decay * epoch)


class StepBasedScheduler(LearningRateScheduler):
    """lr drop_rate^⌊(1 + epoch) / change_rate⌋."""

    def __init__(self, lr: float, drop_rate: float, change_rate: float) -> None:
        self.lr = positive("lr", lr)
        self.drop_rate = positive("drop_rate", drop_rate)
        self.change_rate = positive("change_rate", change_rate)

    def __repr__(self) -> str:
        return (
            f"StepBased(lr={float(self.lr)}, drop_rate={float(self.drop_rate)}, change_rate={float(self.change_rate)})"
        )

    def __call__(self, epoch: int) -> float:
        drops = math.floor(min((1 + epoch) / self.change_rate, sys.float_info.max))
        try:
            return self.lr * math.pow(self.drop_rate, drops)
        except OverflowError:
            return math.inf


class MultiStepLRScheduler(LearningRateScheduler):
    """lr, multiplied by gamma at each milestone. Milestones are epochs in ascending order."""

    def __init__(self, lr: float, milestones: list[int], gamma: float) -> None:
        self.lr = positive("lr", lr)
        self.milestones = [int(milestone) for milestone in milestones]
        if self.milestones != sorted(self.milestones):
            raise NervaError(f"milestones should be epochs in ascending order, not {self.milestones}")
        self.gamma = positive("gamma", gamma)

    def __repr__(self) -> str:
        return f"MultiStepLR(lr={float(self.lr)}, milestones={self.milestones}, gamma={float(self.gamma)})"

    def __call__(self, epoch: int) -> float:
        eta = self.lr
        for milestone in self.milestones:
            if epoch >= milestone:
                eta *= self.gamma
        return eta


class ExponentialScheduler(LearningRateScheduler):
    """lr e^(-change_rate epoch)."""

    def __init__(self, lr: float, change_rate: float) -> None:
        self.lr = positive("lr", lr)
        self.change_rate = not_negative("change_rate", change_rate)

    def __repr__(self) -> str:
        return f"Exponential(lr={float(self.lr)}, change_rate={float(self.change_rate)})"

    def __call__(self, epoch: int) -> float:
        return self.lr * math.exp(-self.change_rate * epoch)


class CosineScheduler(LearningRateScheduler):
    """Half a cosine from lr at epoch 0 to final at epoch `epochs`, then final (Loshchilov and Hutter 2017)."""

    def __init__(self, lr: float, epochs: int, final: float = 0.0) -> None:
        self.lr = positive("lr", lr)
        self.epochs = int(positive("epochs", epochs))
        self.final = not_negative("final", final)

    def __repr__(self) -> str:
        return f"Cosine(lr={float(self.lr)}, epochs={self.epochs}, final={float(self.final)})"

    def __call__(self, epoch: int) -> float:
        done = min(epoch / self.epochs, 1)
        return self.final + (self.lr - self.final) * (1 + math.cos(math.pi * done)) / 2


class WarmUpScheduler(LearningRateScheduler):
    """Another schedule, multiplied by min((epoch + 1) / epochs, 1): a linear warm-up (Goyal et al. 2017)."""

    def __init__(self, schedule: LearningRateScheduler, epochs: int) -> None:
        self.schedule = schedule
        self.epochs = int(positive("epochs", epochs))

    def __repr__(self) -> str:
        return f"WarmUp(schedule={self.schedule}, epochs={self.epochs})"

    def __call__(self, epoch: int) -> float:
        return self.schedule(epoch) * min((epoch + 1) / self.epochs, 1)


LEARNING_RATES: Registry[LearningRateScheduler] = Registry("learning rate", of=LearningRateScheduler)
LEARNING_RATES.add("Constant", ConstantScheduler)
LEARNING_RATES.add("TimeBased", TimeBasedScheduler)
LEARNING_RATES.add("StepBased", StepBasedScheduler)
LEARNING_RATES.add("MultiStepLR", MultiStepLRScheduler)
LEARNING_RATES.add("Exponential", ExponentialScheduler)
LEARNING_RATES.add("Cosine", CosineScheduler)
LEARNING_RATES.add("WarmUp", WarmUpScheduler)


def parse_learning_rate(text: str) -> LearningRateScheduler:
    """The schedule that a specification such as `Constant(0.1)` or `MultiStepLR(0.1;1,3,5;0.1)` names.

    Raises:
        NervaError: if the specification cannot be parsed, names no known schedule, or a value is out of range.
    """
    return LEARNING_RATES.parse(text)


# The largest number of epochs at which `check_schedule` evaluates a schedule.
_CHECKED = 100


def check_schedule(schedule: LearningRateScheduler, epochs: int) -> None:
    """Check that the learning rates of the epochs 0 to epochs - 1 are finite numbers, in constant time.

    Checking the first and the last epoch suffices for the schedules of this module. Each of them is monotone, or it is
    a monotone schedule times a factor of at most 1 (WarmUp). A user-defined schedule need not be monotone, so it is
    checked at epochs in between as well: at all of them up to a hundred, and at an even sample of a hundred beyond.

    Raises:
        NervaError: if a learning rate is not a finite number; the message names the schedule and the epoch.
    """
    last = epochs - 1
    checked = range(epochs) if epochs <= _CHECKED else [last * i // (_CHECKED - 1) for i in range(_CHECKED)]
    for epoch in checked:
        try:
            rate = float(schedule(epoch))
        except OverflowError:
            rate = math.inf
        except (TypeError, ValueError) as error:
            raise NervaError(f"{schedule} gives no learning rate at epoch {epoch}: {error}") from error
        if not math.isfinite(rate):
            raise NervaError(f"{schedule} is {rate} at epoch {epoch}; a learning rate should be a finite number")
