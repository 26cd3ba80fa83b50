"""What comes from scikit-learn: links to its pages, and inherited methods."""

import re

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

PAGE = "https://scikit-learn.org/stable/modules/generated/{}.html"


def resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Node
) -> nodes.reference | None:
    """Link to a public class or function of scikit-learn, by the form of its pages."""
    target = node.get("reftarget", "")
    if not re.fullmatch(r"sklearn(\.[a-z]\w*)+\.\w+", target):
        return None
    return nodes.reference(
        "", "", content, internal=False, refuri=PAGE.format(target), reftitle=target
    )


def skip_requests(
    app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object
) -> bool | None:
    """Leave out the methods that scikit-learn makes for metadata routing."""
    if re.fullmatch(r"set_\w+_request|get_metadata_routing", name):
        return True
    return None


def shorten(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Take references to scikit-learn's own pages out of inherited docstrings."""
    if (getattr(obj, "__module__", None) or "").startswith("sklearn."):
        lines[:] = [re.sub(r":ref:`([^<`]+?) ?(<[^>`]+>)?`", r"\1", x) for x in lines]


def setup(app: Sphinx) -> dict[str, bool]:
    # After intersphinx, which knows better where it is switched on.
    app.connect("missing-reference", resolve, priority=900)
    app.connect("autodoc-skip-member", skip_requests)
    app.connect("autodoc-process-docstring", shorten, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
