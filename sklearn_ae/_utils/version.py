"""The version of the package, which its files carry too."""

__version__ = "0.2.0"
