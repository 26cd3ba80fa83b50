import importlib.util
import math

import pytest

from sklearn_ae._utils.extras import has_extra, import_extra


def test_installed_package_is_imported():
    assert import_extra("math") is math


def test_module_inside_a_package_is_the_one_imported():
    assert import_extra("importlib.util") is importlib.util


def test_missing_package_names_the_extra():
    with pytest.raises(ImportError, match=r"pip install 'sklearn_ae\[compare\]'"):
        import_extra("no_such_package.inside")


def test_missing_package_has_the_name_it_is_installed_by(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match="needs umap-learn"):
        import_extra("umap")


def test_installed_packages_are_told_from_missing_ones():
    assert has_extra("numpy")
    assert not has_extra("no_such_package")


def test_warnings_of_an_import_are_not_shown(tmp_path, monkeypatch):
    module = tmp_path / "noisy_package.py"
    module.write_text("import warnings\nwarnings.warn('no matter', stacklevel=1)\n")
    monkeypatch.syspath_prepend(tmp_path)
    import_extra("noisy_package")  # warnings are errors here


def test_reason_of_a_broken_package_is_kept(tmp_path, monkeypatch):
    module = tmp_path / "broken_package.py"
    module.write_text("raise ImportError('libmagic is missing')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match="libmagic is missing"):
        import_extra("broken_package")
