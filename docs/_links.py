"""Links between Markdown files of the repository, as links between pages of the site.

The files are read on GitHub too, where a link leads to a file. On the site a link to an
example leads to its page in the gallery, and one to the README, to the change log or to
the README of the benchmarks leads to the page made of it. Links to other files become
downloads, which is MyST's own doing.
"""

import os
import re
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
# Files outside of the site's folder, and the pages that are made of them.
COPIES = {
    "CHANGELOG.md": "generated/changelog.md",
    "benchmarks/README.md": "generated/benchmarks/methods.md",
}
PAGES = {
    **COPIES,
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "docs/examples": "auto_examples/index.rst",
}
# [text](target#anchor), not [text](https://...)
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)([^)\s#]+)(#[^)\s]*)?(?=\))")


def page_of(path: str) -> str | None:
    """The site's page for a file of the repository, if there is one of another name."""
    example = re.fullmatch(r"docs/examples/(plot_\w+)\.py", path)
    if example:
        return f"auto_examples/{example[1]}.rst"
    return PAGES.get(path)


def rewrite_links(text: str, folder: str, page: str) -> str:
    """Links of a file in `folder` of the repository, for the page at `page` of docs."""
    start = os.path.dirname(os.path.join("docs", page))

    def rewrite(link: re.Match[str]) -> str:
        path = os.path.normpath(os.path.join(folder, link[1]))
        target = page_of(path)
        if target is not None:
            return f"/{target}{link[2] or ''}"
        return os.path.relpath(path, start) + (link[2] or "")

    return LINK.sub(rewrite, text)


def on_source_read(app: Sphinx, docname: str, source: list[str]) -> None:
    path = Path(app.env.doc2path(docname))
    if path.suffix == ".md" and not docname.startswith("generated/"):
        page = path.relative_to(app.srcdir)
        text = rewrite_links(source[0], f"docs/{page.parent}", str(page))
        # The empty line at the end of a block is for doctest, which knows no fences.
        source[0] = re.sub(r"\n\n(?=```$)", "\n", text, flags=re.MULTILINE)


def copy_pages(app: Sphinx) -> None:
    for source, page in COPIES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        write(
            Path(app.srcdir, page), rewrite_links(text, os.path.dirname(source), page)
        )


def write(path: Path, text: str) -> None:
    """Leave a file alone that has the text already, so that its page is not redone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", copy_pages)
    app.connect("source-read", on_source_read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
