"""Which code made a result: digests of sources, so that what another code made is not taken for one's own."""

import hashlib
import sys
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@cache
def package_digest() -> str:
    """Return 12 hexadecimal digits of all sources of SmartRec."""
    from smartrec import ROOMS

    names = ["smartrec", *(f"smartrec.{room}" for room in ROOMS)]
    folders = [Path(str(import_module(name).__file__)).parent for name in names]
    return _digest(path for folder in folders for path in sorted(folder.rglob("*.py")))


@cache
def source_digest(*modules: str) -> str:
    """Return 12 hexadecimal digits of the sources of modules; those without a file count by name."""
    files = [getattr(sys.modules.get(name) or import_module(name), "__file__", None) for name in modules]
    return _digest(Path(file) for file in files if file is not None)


def code_of(cls: type) -> str:
    """Return the digest of the sources of SmartRec, and of the module of a class of somebody else's."""
    module = cls.__module__
    return package_digest() if module.startswith("smartrec.") else package_digest() + source_digest(module)


def versions_of(*packages: str) -> dict[str, str]:
    """Return the installed version of each package, "none" where it is not installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found


def _digest(paths: Iterable[Path]) -> str:
    sha = hashlib.sha256()
    for path in paths:
        sha.update(path.read_bytes())
    return sha.hexdigest()[:12]
