"""How Sphinx builds this documentation: `make docs`, which fails on the first warning."""

import re
from pathlib import Path

from sphinx.application import Sphinx

from tuner.version import __version__

project, author = "vector-index-tuner", "the authors of vector-index-tuner"
copyright = f"{author}, Apache-2.0"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
nitpicky = False  # types of numpy and faiss are named in signatures, and nothing is fetched to link them

suppress_warnings = ["misc.highlighting_failure"]  # engines speak dialects of SQL that no lexer knows

html_theme = "furo"
html_title = f"vector-index-tuner {version}"
html_copy_source = False

autoclass_content = "class"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_use_ivar = True
copybutton_exclude = ".linenos, .gp, .go"

HERE = Path(__file__).parent
LINK = re.compile(r"\]\((\.\./[^)#:]+\.(?:md|ipynb))\)")


def link_what_lies_outside(_: Sphinx, name: str, source: list[str]) -> None:
    """Let links to Markdown files and notebooks that are no pages here be files to download."""
    folder = (HERE / name).parent

    def outside(found: re.Match[str]) -> str:
        inside = (folder / found[1]).resolve().is_relative_to(HERE)
        return found[0] if inside else f"](path:{found[1]})"

    source[0] = LINK.sub(outside, source[0])


def setup(app: Sphinx) -> None:
    """Register what is done to each page as it is read."""
    app.connect("source-read", link_what_lies_outside)
