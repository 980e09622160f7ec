"""Every relative link leads somewhere."""

from __future__ import annotations

import re

import pytest

from docs.pages import ROOT, anchors, blocks, links, pages

EXTERNAL = ("https://", "http://", "mailto:")


def broken_links(page: str, text: str) -> list[str]:
    """The links of a page that lead to no file or to no heading."""
    broken = []
    for link in links(text):
        if link.startswith(EXTERNAL):
            continue
        file, _, anchor = link.partition("#")
        target = (ROOT / page).parent / file if file else ROOT / page
        known = anchors(target.read_text(encoding="utf-8")) if target.is_file() else set()
        if not target.exists() or (anchor and anchor not in known):
            broken.append(link)
    return broken


def test_links_lead_somewhere() -> None:
    found = {page: links(text) for page, text in pages().items()}
    assert sum(map(len, found.values())) >= 30
    broken = {page: broken_links(page, text) for page, text in pages().items()}
    assert not {page: wrong for page, wrong in broken.items() if wrong}


def test_every_page_is_reached_from_the_readme() -> None:
    reached: set[str] = set()
    waiting = ["README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        for link in links(pages()[page]):
            target = ((ROOT / page).parent / link.partition("#")[0]).resolve()
            if target.is_relative_to(ROOT) and target.suffix == ".md":
                waiting.append(target.relative_to(ROOT).as_posix())
    assert {page for page in pages() if page.startswith("docs/")} <= reached


@pytest.mark.parametrize("link", ["missing.md", "README.md#no-such-heading", "#no-such-heading"])
def test_a_broken_link_is_found(link: str) -> None:
    assert broken_links("README.md", f"see [this]({link})") == [link]


def test_headings_and_blocks_are_understood() -> None:
    text = "# A `b.c`: d\n\n```python testable\n# no heading\n```\n"
    assert anchors(text) == {"a-bc-d"}
    (block,) = blocks("page.md", text)
    assert (block.line, block.language, block.marks) == (3, "python", ("testable",))


def test_no_page_promises() -> None:
    words = re.compile(r"\b(coming soon|will be supported|planned|roadmap|todo)\b", re.IGNORECASE)
    found = {page: words.findall(text) for page, text in pages().items()}
    assert not {page: wrong for page, wrong in found.items() if wrong}
