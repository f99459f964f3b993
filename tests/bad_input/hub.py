"""What answers in the hub's place, as `bench models fetch` gets it."""

import json

from huggingface_hub.errors import RepositoryNotFoundError

from tests.bad_input.given import Desk, Ended, given


def fetch(desk: Desk, error: Exception) -> Ended:
    def fails(*args: object, **kwargs: object) -> str:
        raise error

    desk.patch.setattr("huggingface_hub.snapshot_download", fails)
    return desk.bench("models", "fetch", "me/net")


@given("`models fetch`: the line drops")
def dropped(desk: Desk) -> Ended:
    return fetch(desk, ConnectionError("the line dropped"))


@given("`models fetch`: a login page or a broken mirror answers for the hub")
def portal(desk: Desk) -> Ended:
    return fetch(desk, json.JSONDecodeError("Expecting value", "<html>", 0))


@given("`models fetch`: a repository that there is not")
def absent(desk: Desk) -> Ended:
    return fetch(desk, RepositoryNotFoundError.__new__(RepositoryNotFoundError))


@given("`models fetch`: a SOCKS proxy without its package")
def socks(desk: Desk) -> Ended:
    """Of a file that torchvision publishes, through this suite's own client."""
    error = ImportError("Using SOCKS proxy, but the 'socksio' package is not installed.")

    def client(*args: object, **kwargs: object) -> None:
        raise error

    desk.patch.setattr("httpx.Client", client)
    desk.patch.setenv("TORCH_HOME", str(desk.place))
    assert fetch(desk, error).code == 2
    return desk.bench("models", "fetch", "resnet50")
