"""Glossary and cheat sheet are what the chapters make them; links lead somewhere."""

import re
import urllib.parse
from collections import Counter

import make_reference as reference
import nbformat
import pytest

ROOT = reference.ROOT
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "notebooks/*.ipynb", "solutions/*/*.ipynb")
    for path in ROOT.glob(pattern)
)


@pytest.mark.parametrize("name", ["glossary", "cheatsheet"])
def test_the_page_is_what_the_chapters_make_it(name):
    page = (ROOT / f"docs/{name}.md").read_text(encoding="utf-8")
    assert page == getattr(reference, name)(), "python tools/make_reference.py"


def test_a_term_is_explained_once():
    found = [entry for path in reference.CHAPTERS for entry in reference.terms(path).items()]
    terms = Counter(term.lower() for term, _ in found)
    assert [term for term, times in terms.items() if times > 1] == []
    assert all(len(meaning) > 5 for _, meaning in found)


@pytest.mark.parametrize("path", reference.CHAPTERS[1:], ids=lambda path: path.stem)
def test_a_chapter_has_terms_and_code_beside_an_equation(path):
    assert len(reference.terms(path)) >= 2
    code = reference.CODE[path.stem[:2]]
    assert code.keys() <= reference.equations(path).keys()
    assert len(code) >= 2


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_what_is_there(path):
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    else:
        text = path.read_text(encoding="utf-8")
    text = re.sub(r"```.*?```|`[^`]*`|\$[^$\n]*\$", "", text, flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"\w+:", target):
            file = urllib.parse.unquote(target.partition("#")[0])
            assert not file or (path.parent / file).exists(), target


@pytest.mark.parametrize("path", reference.CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_leads_on(path):
    foot = reference.last(path).splitlines()[-1]
    k = reference.CHAPTERS.index(path)
    there = [*reference.CHAPTERS[max(k - 1, 0) : k], *reference.CHAPTERS[k + 1 : k + 2]]
    links = [near.name for near in there]
    if (ROOT / "exercises" / path.stem).exists():
        links.insert(min(k, 1), f"../exercises/{path.stem}/{path.stem}.ipynb")
    assert re.findall(r"\]\(([^)]+)\)", foot) == links
