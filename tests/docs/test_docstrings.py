"""Every public object has a complete docstring in numpydoc's form."""

import doctest
import importlib
import inspect
import pkgutil
import re
import tomllib
from pathlib import Path

import pytest
from numpydoc.validate import validate

import sklearn_ae

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
DOCS = Path(__file__).parents[2] / "docs"

# The codes left out, with the reasons, stand in pyproject.toml.
_, *IGNORED = tomllib.loads(PYPROJECT.read_text())["tool"]["numpydoc_validation"][
    "checks"
]

# "See also" and "Examples" stand in the docstring of the class, not of each method;
# that the class's examples show the methods is another test.
IGNORED_IN_METHODS = ["SA01", "EX01"]


def public_objects():
    """Names of the public functions and classes, as the user imports them."""
    modules = ["sklearn_ae"] + [
        f"sklearn_ae.{module.name}"
        for module in pkgutil.iter_modules(sklearn_ae.__path__)
        if not module.name.startswith("_")
    ]
    for module in modules:
        for name in importlib.import_module(module).__all__:
            yield f"{module}.{name}"


def resolve(name):
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def public_methods():
    """Names of the public methods that are defined here, not in scikit-learn."""
    for name in public_objects():
        cls = resolve(name)
        if not inspect.isclass(cls):
            continue
        for attribute, value in inspect.getmembers(cls):
            function = value.fget if isinstance(value, property) else value
            module = getattr(function, "__module__", None) or ""
            if not attribute.startswith("_") and module.startswith("sklearn_ae"):
                yield f"{name}.{attribute}"


def faults(name, ignored):
    return [error for error in validate(name)["errors"] if error[0] not in ignored]


@pytest.mark.parametrize(
    "name", [name for name in public_objects() if callable(resolve(name))]
)
def test_docstring(name):
    assert not faults(name, IGNORED)


@pytest.mark.parametrize("name", list(public_methods()))
def test_docstring_of_method(name):
    assert not faults(name, IGNORED + IGNORED_IN_METHODS)


def sources(text):
    """The commands of all examples in a text."""
    examples = doctest.DocTestParser().get_examples(text)
    return "".join(example.source for example in examples)


# What `from_estimator` calls, what `fit_transform` and `score_samples` show as well,
# and what goes on from `fit`.
SHOWN_BY_ANOTHER = {"plot", "fit", "fit_transform", "partial_fit", "score"}


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in public_methods()
        if name.rpartition(".")[2] not in SHOWN_BY_ANOTHER
    ],
)
def test_method_is_shown_in_an_example(name):
    """Of its class or of a parent's; what needs pictures, in a page of the docs."""
    cls, _, method = name.rpartition(".")
    shown = "".join(
        sources(inspect.getdoc(c) or "") for c in inspect.getmro(resolve(cls))
    )
    pages = [*DOCS.glob("*.md"), *DOCS.glob("*/*.md")]
    shown += "".join(sources(page.read_text(encoding="utf-8")) for page in pages)
    is_property = isinstance(inspect.getattr_static(resolve(cls), method), property)
    assert re.search(rf"\.{method}\b" if is_property else rf"\.{method}\(", shown)
