"""Formulas as MathML, which browsers draw by themselves: no script, nothing fetched."""

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator


def write_mathml(translator: HTML5Translator, node: nodes.Element) -> None:
    is_block = isinstance(node, nodes.math_block)
    try:
        formula = tex2mathml(node.astext(), as_block=is_block)
    except MathError as error:
        message = "this formula cannot be drawn: %s"
        logging.getLogger(__name__).warning(message, error, location=node)
        formula = translator.encode(node.astext())
    if is_block:
        formula = f'<div class="formula">{formula}</div>'
    translator.body.append(formula)
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer(
        "mathml",
        inline_renderers=(write_mathml, None),
        block_renderers=(write_mathml, None),
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
