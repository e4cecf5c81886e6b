"""Takes the CPU time of the same work, done by several, in turns."""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

Run = Callable[[], Any]


class Ratio(NamedTuple):
    median: float
    least: float
    greatest: float

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.least:.3g} to {self.greatest:.3g})"


class Times(NamedTuple):
    """CPU seconds of each that was measured, one value a round."""

    seconds: dict[str, list[float]]

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def ratio(self, name: str, base: str) -> Ratio:
        """How many times as long one takes as the other, which ran beside it in each round."""
        ratios = [one / other for one, other in zip(self.seconds[name], self.seconds[base])]
        return Ratio(statistics.median(ratios), min(ratios), max(ratios))


def measure(
    prepares: dict[str, Callable[[], Run]],
    check: Callable[[Any], None],
    rounds: int,
    seconds: float,
) -> Times:
    """Take the time of each in turns.

    Args:
        prepares: by name, what makes a function ready that does the work once.
        check: is given what that function returns.
        rounds: how often each is measured.
        seconds: CPU time that one measurement takes at least, by doing the work more often.
    """
    repeats = {name: calibrate(prepare, check, seconds) for name, prepare in prepares.items()}
    times: dict[str, list[float]] = {name: [] for name in prepares}
    order = list(prepares)
    for _ in range(rounds):
        for name in order:
            times[name].append(once(prepares[name], check, repeats[name]))
        # None of them always runs in the wake of the same other.
        order.reverse()
    return Times(times)


def calibrate(prepare: Callable[[], Run], check: Callable[[Any], None], seconds: float) -> int:
    """Return how often the work fits into that time. Warms up, too: on PyPy that takes a while."""
    warm_up = 50 * seconds if sys.implementation.name == "pypy" else seconds
    repeat = 1
    spent = 0.0
    while True:
        taken = once(prepare, check, repeat) * repeat
        spent += taken
        if taken >= seconds and spent >= warm_up:
            return repeat
        if taken < seconds:
            repeat *= 2


def once(prepare: Callable[[], Run], check: Callable[[Any], None], repeat: int) -> float:
    """Return the CPU seconds of doing the work once, measured by doing it so many times."""
    gc.collect()
    taken = 0.0
    for _ in range(repeat):
        run = prepare()
        begin = time.process_time()
        result = run()
        taken += time.process_time() - begin
        check(result)
    return taken / repeat


def alone(function: Callable[..., Times], *arguments: object) -> Times:
    """Measure in a process of its own.

    What a megabyte costs that was freed and is needed again depends on what the process did
    before.
    """
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_report, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        raise SystemExit("the work was not done, see above") from None
    finally:
        process.join()


def _report(sender: Connection, function: Callable[..., Times], arguments: Any) -> None:
    sender.send(function(*arguments))
