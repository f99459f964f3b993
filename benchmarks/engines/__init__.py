"""Where work is done: in this process, in processes of this machine, or on a Ray cluster.

Every engine is a `Crew`: workers that take tasks and answer them. What they are given, in which
order, and what becomes of the answers is the runner's matter and the same for all of them.
"""

from benchmarks.engines.hire import hire
from benchmarks.engines.tasks import Crew

__all__ = ["Crew", "hire"]
