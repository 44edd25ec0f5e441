"""Forges by the address of a git remote: one file per kind."""

from __future__ import annotations

from proveout.delivery.forges._base import Forge, ForgeError, Place, PullRequest, place_of
from proveout.delivery.forges.github import TOKENS as GITHUB_TOKENS
from proveout.delivery.forges.github import github
from proveout.delivery.forges.gitlab import TOKENS as GITLAB_TOKENS
from proveout.delivery.forges.gitlab import gitlab

__all__ = ["Forge", "ForgeError", "Place", "PullRequest", "forge_of", "how_to_propose", "place_of"]


def forge_of(url: str) -> Forge | None:
    """Where a remote is hosted, if its API is known and a token for it is set."""
    place = place_of(url)
    if place is None:
        return None
    return github(place) or gitlab(place)


def how_to_propose(url: str, branch: str, base: str) -> str:
    """What a person does where no forge can be asked."""
    place = place_of(url)
    if place is not None and place.host == "github.com":
        return (
            f"open https://github.com/{place.path}/compare/{base}...{branch}?expand=1 "
            f"(or set {GITHUB_TOKENS[0]}, and it is opened for you)"
        )
    if place is not None and "gitlab" in place.host:
        return (
            f"open https://{place.host}/{place.path}/-/merge_requests/new?merge_request%5Bsource_branch%5D={branch} "
            f"(or set {GITLAB_TOKENS[0]}, and it is opened for you)"
        )
    return f"review and merge it: git merge --no-ff {branch} (into {base}), then git push"
