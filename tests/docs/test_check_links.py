"""The check of a built site's links."""

import importlib.util
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "check_links.py"


@pytest.fixture(scope="module")
def check_links():
    spec = importlib.util.spec_from_file_location("check_links", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def site(tmp_path):
    (tmp_path / "guide").mkdir()
    (tmp_path / "picture.png").write_bytes(b"")
    (tmp_path / "guide" / "index.html").write_text('<h1 id="top">Guide</h1>')
    return tmp_path


@pytest.mark.parametrize(
    "link",
    [
        '<a href="guide/index.html">a page</a>',
        '<a href="guide/index.html#top">an anchor of another page</a>',
        '<a href="guide/">a folder</a>',
        '<a href="#here">an anchor</a><p id="here">',
        '<a href="/guide/index.html">from the root</a>',
        '<img src="picture.png">',
        '<img src="picture.png" srcset="picture.png, picture.png 2x">',
        '<img src="picture.png" srcset="picture.png,">',
        '<a href="https://example.org/nowhere">another site</a>',
        '<a href="mailto:someone@example.org">mail</a>',
        '<a href="guide/index.html?highlight=x#top">with a query</a>',
    ],
)
def test_links_that_lead_somewhere(check_links, site, link, capsys):
    (site / "index.html").write_text(link)
    assert check_links.main([str(site)]) == 0
    assert "2 pages, no dead links" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("link", "says"),
    [
        ('<a href="guide/nowhere.html">', "guide/nowhere.html: there is no such file"),
        ('<a href="guide/index.html#nowhere">', "#nowhere: there is no such anchor"),
        ('<a href="#nowhere">', "#nowhere: there is no such anchor"),
        ('<img src="nowhere.png">', "nowhere.png: there is no such file"),
        ('<img src="picture.png" srcset="nowhere.png 2x">', "nowhere.png: there is no"),
        ('<link href="nowhere.css" rel="stylesheet">', "nowhere.css: there is no such"),
        ('<script src="nowhere.js"></script>', "nowhere.js: there is no such file"),
        ('<a href="guide/nowhere%20there.html">', "there is no such file"),
        ('<a href="..">', "it leads out of the site"),
    ],
)
def test_links_that_lead_nowhere(check_links, site, link, says, capsys):
    (site / "index.html").write_text(link)
    assert check_links.main([str(site)]) == 1
    output = capsys.readouterr().out
    assert says in output
    assert output.startswith("index.html: ")


def test_a_folder_without_pages_is_no_site(check_links, tmp_path):
    assert check_links.main([str(tmp_path)]) == 1


def test_the_folder_must_be_there(check_links, tmp_path):
    with pytest.raises(SystemExit):
        check_links.main([str(tmp_path / "nowhere")])
