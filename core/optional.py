"""Packages that only some users need, imported when they are used."""

from importlib import import_module
from types import ModuleType

from smartrec.core.errors import MissingExtra


def optional(package: str, extra: str, needed_by: str) -> ModuleType:
    """Import ``package``, or say how to install it.

    Args:
        package: Import name, for example ``"torch"``.
        extra: The extra of SmartRec that brings it, for example ``"sb3"``.
        needed_by: What needs it, for the message.

    Raises:
        MissingExtra: The package is not installed.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package.partition(".")[0]:
            raise
        raise MissingExtra(f'{needed_by} needs {package.partition(".")[0]}: pip install "smartrec[{extra}]"') from None
