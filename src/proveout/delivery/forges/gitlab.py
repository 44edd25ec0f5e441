"""GitLab's REST API (https://docs.gitlab.com/api/merge_requests/)."""

from __future__ import annotations

import os
from urllib.parse import quote

from proveout.delivery.forges._base import Api, Place, PullRequest, token

TOKENS = ("GITLAB_TOKEN", "GITLAB_PRIVATE_TOKEN")

_MADE = ("iid", "web_url")
"""What is used of a pull request that was made."""


class GitLab:
    """One project on GitLab. `CI_API_V4_URL` names the API, as in its pipelines."""

    name = "GitLab"

    def __init__(self, place: Place, secret: str) -> None:
        self._path = f"/projects/{quote(place.path, safe='')}"
        self._api = Api(os.environ.get("CI_API_V4_URL") or f"https://{place.host}/api/v4", {"private-token": secret})

    async def propose(self, branch: str, base: str, title: str, body: str) -> PullRequest:
        query = f"state=opened&source_branch={quote(branch, safe='')}&target_branch={quote(base, safe='')}"
        found = await self._api.many(f"{self._path}/merge_requests?{query}", "iid")
        if found:
            place = f"{self._path}/merge_requests/{found[0]['iid']}"
            made = await self._api.write("PUT", place, {"title": title, "description": body}, *_MADE)
        else:
            asked = {
                "source_branch": branch,
                "target_branch": base,
                "title": title,
                "description": body,
                "remove_source_branch": True,
            }
            made = await self._api.write("POST", f"{self._path}/merge_requests", asked, *_MADE)
        return PullRequest(int(made["iid"]), str(made["web_url"]))

    async def comment(self, number: int, marker: str, body: str) -> None:
        notes = f"{self._path}/merge_requests/{number}/notes"
        page = 1
        while True:
            found = await self._api.many(f"{notes}?per_page=100&page={page}", "id")
            for note in found:
                if str(note.get("body") or "").startswith(marker):
                    await self._api.write("PUT", f"{notes}/{note['id']}", {"body": body})
                    return
            if len(found) < 100:
                break
            page += 1
        await self._api.write("POST", notes, {"body": body})


def gitlab(place: Place) -> GitLab | None:
    """The forge of a place, if it is GitLab and there is a token."""
    secret = token(*TOKENS)
    known = "gitlab" in place.host or place.host == os.environ.get("CI_SERVER_HOST")
    return GitLab(place, secret) if secret and known else None
