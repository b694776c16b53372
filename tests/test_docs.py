"""The documents: links that lead somewhere, a README for newcomers, a changelog for the current version."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import nvltop

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.joinpath(".github").rglob("*.md"),
        *ROOT.joinpath("nvltop").rglob("*.md"),
    ]
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings as forges make them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page):
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def test_every_page_can_be_reached_from_the_readme():
    seen, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in seen:
            continue
        seen.add(page)
        for target in LINK.findall(page.read_text(encoding="utf-8")):
            path = (page.parent / target.partition("#")[0]).resolve()
            if path.suffix == ".md" and path.is_file():
                todo.append(path)
    docs = set(ROOT.joinpath("nvltop", "docs").glob("*.md"))
    assert not docs - seen


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


def test_the_newest_release_of_the_changelog_is_this_version():
    text = (ROOT / ".github" / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## (.+)", text, re.MULTILINE)
    released = [heading for heading in headings if "unreleased" not in heading.lower()]
    assert released[0] == nvltop.__version__
    assert headings[-len(released) :] == released, "only the first heading may be unreleased"
    assert len(headings) - len(released) <= 1
