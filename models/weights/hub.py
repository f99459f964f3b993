"""Why the hub, a mirror of it, or what stands in their place gave nothing, in one line."""

from models.errors import ModelError

# What the hub's package says of an answer without what only a hub's has.
_NO_HUB = ("distant resource", "x-repo-commit")
_LONGEST = 400  # characters of a reason


def refusal(spec: str, error: Exception) -> ModelError:
    """What a user can do about an error of any kind that `huggingface_hub` let out.

    Its errors of two major versions, those of the HTTP client below it, which changed its name
    between them, and those of parsers over what is no answer of a hub have no class in common.

    Args:
        spec: what was asked for: `owner/name[@revision]`.
        error: what was raised.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    repo, _, revision = spec.partition("@")
    if isinstance(error, GatedRepoError):
        return ModelError(
            f"{repo} is gated: accept its terms at https://huggingface.co/{repo}, then let "
            f"this machine in with: hf auth login"
        )
    if isinstance(error, RepositoryNotFoundError):
        return ModelError(
            f"cannot get {spec} from the hub: there is no repository {repo}, or it is private; "
            f"check the name, or let this machine in with: hf auth login"
        )
    if isinstance(error, RevisionNotFoundError):
        return ModelError(f"cannot get {spec} from the hub: {repo} has no revision {revision}")
    chain = list(_chain(error))
    words = " ".join(str(link) for link in chain).lower()
    if isinstance(error, HFValidationError):
        mend = "check the name"
    elif any(isinstance(link, ImportError) for link in chain) and "socks" in words:
        mend = "pip install socksio, or take the SOCKS proxy out of ALL_PROXY and HTTPS_PROXY"
    elif any(isinstance(link, ValueError) for link in chain) or any(
        said in words for said in _NO_HUB
    ):
        mend = (
            f"{constants.ENDPOINT} answers as no hub does: a login page of this network, or a "
            f"mirror (HF_ENDPOINT) that is none; the same command tries again"
        )
    elif "401" in words:
        mend = "let this machine in with: hf auth login"
    else:
        mend = "the same command goes on with what is not whole yet"
    return ModelError(f"cannot get {spec} from the hub ({reason(error)}); {mend}")


def reason(error: Exception) -> str:
    """All that an error says in one line, with what it came from where that says more."""
    first, *later = (" ".join(str(link).split()) for link in _chain(error))
    said = first or type(error).__name__
    if later and later[-1] and later[-1] not in said:
        said = f"{said} ({later[-1]})"
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}..."


def _chain(error: BaseException) -> list[BaseException]:
    """An error and what it was raised from, to the first of them."""
    found = [error]
    while (cause := found[-1].__cause__) is not None and cause not in found:
        found.append(cause)
    return found
