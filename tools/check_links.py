"""Check the links of a built site that lead to the site itself.

python tools/check_links.py docs/_build/html

Every link to a page, an anchor, a picture or a file must lead to one. Links to other
sites are not followed. Sphinx checks what is written as a reference; this sees what
came of it, and what was written as HTML.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LINKS = {"a": "href", "img": "src", "link": "href", "script": "src", "source": "src"}


class Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, path: Path):
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and name == LINKS.get(tag):
                self.links.append(value)
            if value and name == "srcset":
                parts = map(str.split, value.split(","))
                self.links += [part[0] for part in parts if part]
            if value and (name == "id" or (tag == "a" and name == "name")):
                self.anchors.add(value)


def find_pages(site: Path) -> list[Path]:
    """All pages; the theme has templates among its files."""
    return sorted(p for p in site.rglob("*.html") if "_static" not in p.parts)


def dead_links(site: Path) -> list[str]:
    """What is wrong, one line for each link."""
    pages = {path.resolve(): Page(path) for path in find_pages(site)}
    faults = []
    for path, page in pages.items():
        for link in dict.fromkeys(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = path
            if parts.path.startswith("/"):
                target = site.resolve() / unquote(parts.path).lstrip("/")
            elif parts.path:
                target = (path.parent / unquote(parts.path)).resolve()
            if target.is_dir():
                target /= "index.html"
            anchor = unquote(parts.fragment)
            if not target.is_relative_to(site.resolve()):
                fault = "it leads out of the site"
            elif not target.exists():
                fault = "there is no such file"
            elif anchor and target in pages and anchor not in pages[target].anchors:
                fault = "there is no such anchor"
            else:
                continue
            faults.append(f"{path.relative_to(site.resolve())}: {link}: {fault}")
    return faults


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        raise SystemExit(__doc__)
    site = Path(arguments[0])
    n_pages = len(find_pages(site))
    faults = dead_links(site)
    print("\n".join(faults or [f"{n_pages} pages, no dead links"]))
    return int(bool(faults) or not n_pages)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
