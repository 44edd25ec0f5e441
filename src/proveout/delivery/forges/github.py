"""GitHub's REST API (https://docs.github.com/rest/pulls/pulls), also of GitHub Enterprise."""

from __future__ import annotations

import os
from urllib.parse import quote

from proveout.delivery.forges._base import Api, Place, PullRequest, token

TOKENS = ("GITHUB_TOKEN", "GH_TOKEN")

_MADE = ("number", "html_url")
"""What is used of a pull request that was made."""


class GitHub:
    """One repository on GitHub. `GITHUB_API_URL` names the API, as in its Actions."""

    name = "GitHub"

    def __init__(self, place: Place, secret: str) -> None:
        usual = "https://api.github.com" if place.host == "github.com" else f"https://{place.host}/api/v3"
        self._owner = place.path.partition("/")[0]
        self._path = f"/repos/{quote(place.path)}"
        self._api = Api(
            os.environ.get("GITHUB_API_URL") or usual,
            {
                "authorization": f"Bearer {secret}",
                "accept": "application/vnd.github+json",
                "x-github-api-version": "2022-11-28",
            },
        )

    async def propose(self, branch: str, base: str, title: str, body: str) -> PullRequest:
        head = quote(f"{self._owner}:{branch}", safe="")
        found = await self._api.many(f"{self._path}/pulls?state=open&head={head}&base={quote(base, safe='')}", "number")
        if found:
            number = int(found[0]["number"])
            made = await self._api.write(
                "PATCH", f"{self._path}/pulls/{number}", {"title": title, "body": body}, *_MADE
            )
        else:
            asked = {"title": title, "head": branch, "base": base, "body": body}
            made = await self._api.write("POST", f"{self._path}/pulls", asked, *_MADE)
        return PullRequest(int(made["number"]), str(made["html_url"]))

    async def comment(self, number: int, marker: str, body: str) -> None:
        page = 1
        while True:
            found = await self._api.many(f"{self._path}/issues/{number}/comments?per_page=100&page={page}", "id")
            for comment in found:
                if str(comment.get("body") or "").startswith(marker):
                    await self._api.write("PATCH", f"{self._path}/issues/comments/{comment['id']}", {"body": body})
                    return
            if len(found) < 100:
                break
            page += 1
        await self._api.write("POST", f"{self._path}/issues/{number}/comments", {"body": body})


def github(place: Place) -> GitHub | None:
    """The forge of a place, if it is GitHub and there is a token."""
    server = os.environ.get("GITHUB_SERVER_URL", "").rpartition("//")[2]
    secret = token(*TOKENS)
    return GitHub(place, secret) if secret and (place.host == "github.com" or place.host == server) else None
