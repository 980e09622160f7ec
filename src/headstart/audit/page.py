"""What an audit found as sections of a page, with the pictures."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from headstart.audit.material import Check
from headstart.tasks.inspection import Issue
from headstart.types import Finding

SHOWN_ISSUES = 40
"""Issues of a check that the page shows; ``--json`` lists all."""

SHOWN_PICTURES = 4
"""Of one issue."""


def findings(
    issues: Sequence[Issue], titles: Mapping[str, str], drawn: Collection[str] = ()
) -> list[Finding]:
    """A section for each name of a check, in the order of the issues.

    Args:
        issues: all of them.
        titles: headings by name; others are named as they are.
        drawn: names of checks whose pictures are shown with their targets.
    """
    found: dict[str, list[Issue]] = {}
    for issue in issues:
        found.setdefault(issue.check, []).append(issue)
    return [
        _section(titles.get(name, _words(name)), members, name in drawn)
        for name, members in found.items()
    ]


def titles(checks: Sequence[Check]) -> dict[str, str]:
    """Headings by name."""
    return {check.name: check.title for check in checks}


def _section(title: str, issues: Sequence[Issue], drawn: bool) -> Finding:
    severity = {"error": "errors", "warning": "warnings", "info": "notes"}
    kinds = dict.fromkeys(severity[issue.severity] for issue in issues)
    counts = ", ".join(f"{sum(severity[i.severity] == k for i in issues)} {k}" for k in kinds)
    shown = issues[:SHOWN_ISSUES]
    more = f"; the first {SHOWN_ISSUES} are shown" if len(issues) > SHOWN_ISSUES else ""
    return Finding(
        title=title,
        text=f"{counts}{more}.",
        columns=("",) if any(not issue.images for issue in shown) else (),
        rows=[(issue.message,) for issue in shown if not issue.images],
        images=[] if drawn else list(_pictures(shown)),
        compared=list(_pictures(shown)) if drawn else [],
    )


def _pictures(issues: Sequence[Issue]) -> Iterator[tuple[str, str]]:
    for number, issue in enumerate(issues, start=1):
        for image in issue.images[:SHOWN_PICTURES]:
            yield image, f"{number}. {issue.message}"
            if len(issue.images) == 1:
                break


def _words(name: str) -> str:
    return name.replace("-", " ").capitalize()
