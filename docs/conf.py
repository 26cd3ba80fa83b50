"""The documentation's site: ``sphinx-build -W docs docs/_build/html``.

Nothing is fetched while it is built. ``SPHINX_INTERSPHINX=1`` in the environment links
to the pages of other packages by their inventories, which takes a connection.
"""

import os
import sys
from pathlib import Path

DOCS = Path(__file__).parent
# The site describes the working tree, whether the package is installed or not.
sys.path[:0] = [str(DOCS.parent), str(DOCS)]

import sklearn_ae  # noqa: E402

# The gallery shows what comes with scikit-learn and scikit-image, whatever data there
# are on the machine: pictures of people are not published.
for data in ("MNIST", "OLIVETTI", "LFW"):
    os.environ.pop(f"SKLEARN_AE_{data}", None)

project = "sklearn_ae"
copyright = "The sklearn_ae developers, BSD-3-Clause"
version = release = sklearn_ae.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    # in this folder
    "_benchmark_pages",
    "_links",
    "_math",
    "_scikit_learn",
]
root_doc = "index"
# The gallery is written to auto_examples.
exclude_patterns = ["_build", "_templates", "examples"]
templates_path = ["_templates"]

# Docstrings ---------------------------------------------------------------------------

autosummary_generate = True
autodoc_member_order = "groupwise"
default_role = "literal"
autodoc_typehints = "none"  # numpydoc's sections say what goes in
numpydoc_show_class_members = False  # autodoc has them already
nitpicky = True
# Other packages' objects are text where their inventories are not loaded.
nitpick_ignore_regex = [
    (r"py:.*", r"(cv2|h5py|imageio|joblib|matplotlib|numpy|pandas|pyarrow)(\..*)?"),
    (r"py:.*", r"(scipy|skimage|sklearn|skorch|torch|umap|zarr)(\..*)?"),
]

# Pages --------------------------------------------------------------------------------

myst_enable_extensions = ["attrs_block", "dollarmath"]
myst_heading_anchors = 4  # as on GitHub, where the same files are read

# What is copied can be run: without prompts and output.
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

intersphinx_mapping = {}
if os.environ.get("SPHINX_INTERSPHINX"):
    intersphinx_mapping = {
        "matplotlib": ("https://matplotlib.org/stable", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "pandas": ("https://pandas.pydata.org/docs", None),
        "python": ("https://docs.python.org/3", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
    }

# Gallery ------------------------------------------------------------------------------

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "backreferences_dir": "generated/gallery",
    "capture_repr": (),  # what is printed, not the last value of each block
    "doc_module": ("sklearn_ae",),
    "prefer_full_module": {r"sklearn_ae\."},
    "reference_url": {"sklearn_ae": None},
    "download_all_examples": False,
    "image_srcset": ["2x"],
    "parallel": min(2, os.cpu_count() or 1),
    "remove_config_comments": True,
    "write_computation_times": False,
}

# Theme --------------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_math_renderer = "mathml"
html_title = "sklearn_ae"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
toc_object_entries_show_parents = "hide"  # just fit()
html_copy_source = False
html_theme_options = {
    "footer_end": [],
    "footer_start": ["copyright"],
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "navigation_depth": 2,
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
}
html_sidebars = {  # none where there are no pages below
    page: []
    for page in (
        *("index", "start", "lectures", "alternatives", "default_recipe"),
        *("contributing", "how_it_works", "generated/changelog"),
    )
}
