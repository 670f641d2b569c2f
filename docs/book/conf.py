"""The course as a book: `make book`. Nothing is run; what the notebooks have saved is shown, and of
the chapters what their copies in rendered/ have."""

import re
import sys
from pathlib import Path

from docutils.nodes import Text, math_block

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

project = "rlx"
author = copyright = "the rlx authors"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "sphinx-mathjax-offline"]
root_doc = "docs/book/index"
include_patterns = ["README.md", "CONTRIBUTING.md", "docs/**", "notebooks/*", "exercises/**"]
exclude_patterns = ["**/.ipynb_checkpoints"]

nb_execution_mode = "off"
suppress_warnings = ["misc.highlighting_failure"]  # the cell for Colab has lines that begin with !
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

default_role = "code"  # docstrings put code in single quotes, as Markdown does
autodoc_member_order = "bysource"

html_theme = "sphinx_book_theme"
html_title = "rlx"
html_theme_options = {"use_fullscreen_button": False, "show_navbar_depth": 1}
html_static_path = ["static"]
html_css_files = ["rlx.css"]
html_extra_path = ["top"]  # the page that leads to the first one


def plain(app, what, name, obj, options, lines):
    """Docstrings are plain text: outside of code no sign has a meaning of its own."""
    example = False  # from >>> to an empty line
    for k, line in enumerate(lines):
        example = bool(line) and (example or line.startswith(">>>"))
        if not example:
            parts = line.split("`")
            parts[::2] = [re.sub(r"([\\|*_])", r"\\\1", part) for part in parts[::2]]
            lines[k] = "`".join(parts)


def pages(app, pagename, templatename, context, doctree):
    """What a cell has shown, the map say, links to notebooks: here they are pages."""
    if "body" in context:
        context["body"] = re.sub(r'(<a href="[\w./]+)\.ipynb"', r'\1.html"', context["body"])


def executed(app, docname, source):
    """A chapter is read as its executed copy; its address, and what is downloaded, stay."""
    if docname.startswith("notebooks/"):
        copy = ROOT / f"rendered/{Path(docname).name}.ipynb"
        source[0] = copy.read_text(encoding="utf-8")
        app.env.note_dependency(str(copy))


def numbered(app, doctree):
    """A formula of several lines keeps its number: Sphinx would put it into an environment in which
    MathJax allows none."""
    for formula in doctree.findall(math_block):
        if r"\\" in formula.astext():
            whole = f"\\begin{{equation*}}\n{formula.astext()}\n\\end{{equation*}}"
            formula.children = [Text(whole)]
            formula["no-wrap"] = True


def setup(app):
    app.connect("doctree-read", numbered)
    app.connect("source-read", executed)
    app.connect("html-page-context", pages)
    app.connect("autodoc-process-docstring", plain)
