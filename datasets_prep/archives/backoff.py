"""How patiently a server is asked again."""

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True)
class Backoff:
    """How patiently a download is tried again.

    Attributes:
        attempts: rounds over the mirrors in a row that may bring nothing new.
        base: seconds before the second round; doubled for each further one.
        cap: seconds that a wait may grow to by doubling.
        patience: seconds beyond which a server's Retry-After makes us leave it.
        sleep: waits for so many seconds.
        jitter: draws a number between two bounds.
    """

    attempts: int = 6
    base: float = 1.0
    cap: float = 60.0
    patience: float = 300.0
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[float, float], float] = random.SystemRandom().uniform

    def delay(self, idle: int) -> float:
        """Seconds to wait after `idle` rounds that brought nothing."""
        ceiling = min(self.cap, self.base * 2**idle)
        return self.jitter(ceiling / 2, ceiling)


def retry_after(value: str | None, now: datetime) -> float:
    """Seconds that a Retry-After header asks for, in either of its forms; 0 if it says nothing."""
    if value is None:
        return 0.0
    if re.fullmatch(r"[0-9]+", value.strip()):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds())
