"""SolarFlow: a flow engine for residential solar communities."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("solarflow")
except PackageNotFoundError:  # a source tree that nobody installed
    __version__ = "0.0.0"
