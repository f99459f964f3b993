"""Ray as `RayExecutor` sees it, in this process: its actors work when their answers are fetched."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


class FakeRay:
    """A cluster that is joined already.

    Args:
        exceptions: Ray's module of this name.
        losses: errors to raise by the number of the fetch, in place of the answer.
    """

    def __init__(self, exceptions: Any = None, losses: dict[int, Exception] | None = None) -> None:
        self.exceptions = exceptions
        self.losses = losses or {}
        self.fetched = 0
        self.actors: list[FakeActor] = []

    def is_initialized(self) -> bool:
        return True

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def remote(self, kind: type) -> "FakeKind":
        return FakeKind(kind, self)

    def wait(self, references: Sequence[Any], num_returns: int, timeout: float) -> Any:
        return references[:num_returns], references[num_returns:]

    def get(self, reference: "FakeReference") -> Any:
        self.fetched += 1
        if self.fetched in self.losses:
            reference.actor.lost = True
            raise self.losses[self.fetched]
        return reference.call()

    def kill(self, actor: "FakeActor") -> None:
        actor.killed = True


@dataclass
class FakeKind:
    """A class of actors."""

    kind: type
    cluster: FakeRay

    def options(self, **needs: object) -> "FakeKind":
        return self

    def remote(self, *args: object) -> "FakeActor":
        actor = FakeActor(self.kind(*args))
        self.cluster.actors.append(actor)
        return actor


@dataclass
class FakeActor:
    """An actor; `lost` after an answer of its has not come through."""

    own: Any
    lost: bool = False
    killed: bool = False

    def __getattr__(self, name: str) -> "FakeMethod":
        return FakeMethod(self, name)


@dataclass
class FakeMethod:
    """What an actor can be asked."""

    actor: FakeActor
    name: str

    def remote(self, *args: object) -> "FakeReference":
        method = getattr(self.actor.own, self.name)
        return FakeReference(self.actor, lambda: method(*args))


@dataclass(eq=False)
class FakeReference:
    """An answer to come."""

    actor: FakeActor
    call: Callable[[], Any] = field(repr=False)
