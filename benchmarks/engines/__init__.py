"""Where work is done: in this process, in processes of this machine, or on a Ray cluster.

Every engine is an `Executor`: workers that take tasks and answer them. What they are given, in
which order, and what becomes of the answers is the runner's matter and the same for all of them.
"""

from benchmarks.engines.executor import make_executor
from benchmarks.engines.messages import Executor

__all__ = ["Executor", "make_executor"]
