#!/usr/bin/env python3
"""A step of action.yml: the report as a comment of the pull request, one comment for all its runs.

In: REPORT (a Markdown file), NAME (which of several reports it is), EXIT_CODE, RUN_URL, TOKEN, and GitHub's own
GITHUB_EVENT_PATH, GITHUB_API_URL, GITHUB_REPOSITORY. Where nothing can be commented (no pull request, a token that
may only read, as that of a fork) it says so and ends with 0: the gate decides, not the comment."""

import json
import os
import re
import sys
import urllib.error
import urllib.request

# GitHub takes so many characters.
MAX_CHARS = 65_536
HEADLINES = {"0": "all gates kept", "1": "a gate was missed", "2": "not run: the command line or configuration is wrong",
             "3": "nothing succeeded, or the run broke", "130": "interrupted"}


def main():
    number = pull_request()
    if number is None:
        return say("notice", "this is no pull request, so the report is not commented")
    body = text()
    marker = body.split("\n", 1)[0]
    comments = f"repos/{os.environ['GITHUB_REPOSITORY']}/issues/{number}/comments"
    try:
        earlier = own_earlier(comments, marker)
        if earlier:
            answer = call("PATCH", f"repos/{os.environ['GITHUB_REPOSITORY']}/issues/comments/{earlier}", {"body": body})
        else:
            answer = call("POST", comments, {"body": body})
    except urllib.error.HTTPError as error:
        return say("warning", f"the report could not be commented: GitHub answered {error.code}"
                   + (" (the job needs `permissions: pull-requests: write`; a fork's token may only read)" if error.code in (401, 403, 404) else ""))
    except urllib.error.URLError as error:
        return say("warning", f"the report could not be commented: {error.reason}")
    print(f"{'updated' if earlier else 'commented'}: {answer.get('html_url', '')}")


def pull_request():
    with open(os.environ["GITHUB_EVENT_PATH"], encoding="utf-8") as file:
        event = json.load(file)
    return (event.get("pull_request") or {}).get("number")


def text():
    """The report, under a marker that nobody sees and by which the next run finds it."""
    name = re.sub(r"[^\w .:/-]", "_", os.environ.get("NAME") or "tare")
    code = os.environ["EXIT_CODE"]
    head = f"<!-- tare: {name} -->\n**tare, {name}: {HEADLINES.get(code, 'exit code ' + code)}**\n\n"
    tail = f"\n\n[The whole run, with figures and `report.html`]({os.environ['RUN_URL']})\n"
    report = ""
    if os.environ.get("REPORT"):
        with open(os.environ["REPORT"], encoding="utf-8") as file:
            # Figures lie in the run's folder, which a comment cannot show.
            report = re.sub(r"^!\[[^\]]*\]\([^)]*\)\n+", "", file.read(), flags=re.M)
    room = MAX_CHARS - len(head) - len(tail)
    if len(report) > room:
        cut = "\n\n… (cut: a comment holds no more)"
        report = report[: room - len(cut)].rsplit("\n", 1)[0] + cut
    return head + report + tail


def own_earlier(comments, marker):
    """The id of the comment that an earlier run made. Others may write the marker, too: theirs are left alone."""
    try:
        me = call("GET", "user").get("login")
    except urllib.error.HTTPError:
        me = None  # The token of a workflow is nobody's; it comments as a bot.
    for page in range(1, 100):
        found = call("GET", f"{comments}?per_page=100&page={page}")
        for comment in found:
            user = comment.get("user") or {}
            mine = user.get("login") == me if me else user.get("type") == "Bot"
            if mine and (comment.get("body") or "").split("\n", 1)[0].strip() == marker:
                return comment["id"]
        if len(found) < 100:
            return None
    return None


def call(method, path, body=None):
    request = urllib.request.Request(
        f"{os.environ['GITHUB_API_URL']}/{path}", method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {os.environ['TOKEN']}", "Accept": "application/vnd.github+json",
                 "Content-Type": "application/json", "X-GitHub-Api-Version": "2022-11-28"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def say(level, message):
    print(f"::{level}::tare: {message}")


if __name__ == "__main__":
    sys.exit(main())
