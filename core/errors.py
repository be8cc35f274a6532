"""Every error that SmartRec raises on purpose.

A message says what was wrong, the value, what is allowed, and what to do. The command line prints the
message and no traceback. Each class is also the built-in error a caller would expect to catch.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class SmartRecError(Exception):
    """Base of all errors that SmartRec raises on purpose."""


class InvalidAction(SmartRecError, ValueError):
    """An action that the environment cannot take: wrong shape, type, item number, or a repeated item."""


class InvalidInput(SmartRecError, ValueError):
    """An array, table or feature that cannot be used: wrong shape, NaN, out of range."""


class InvalidConfig(SmartRecError, ValueError):
    """An option that is unknown, or whose value is outside its range."""


class UnknownName(SmartRecError, LookupError):
    """A name that no registry has."""


class MissingExtra(SmartRecError, ImportError):
    """A package of an optional extra that is not installed."""


class SparkUnusable(SmartRecError, RuntimeError):
    """Spark cannot be used as it is here: no Java, one of the wrong version, or a session that does not fit."""


class DataError(SmartRecError, ValueError):
    """A data file that is damaged or of another layout; names the file and, where it can, the line."""


class DataNotFound(SmartRecError, FileNotFoundError):
    """A data set whose files are not on this machine; says how to get them."""


class OutputError(SmartRecError, OSError):
    """A folder or file that cannot be written."""


class Diverged(SmartRecError, ArithmeticError):
    """A loss, gradient or vector in training that is no finite number; what it is of stays as it was before."""


class CheckFailed(SmartRecError, AssertionError):
    """A rule of a public check (``check_env``, ``check_response_model``, ...) that was broken.

    Args:
        rule: What must hold.
        seen: What was found instead.
        fix: What to do about it.
    """

    def __init__(self, rule: str, seen: str, fix: str) -> None:
        super().__init__(rule, seen, fix)
        self.rule, self.seen, self.fix = rule, seen, fix

    def __str__(self) -> str:
        return f"rule: {self.rule}. Seen: {self.seen}. What to do: {self.fix}."


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint that names the nearest of ``known``, and all of them if they are few.

    Args:
        name: What the user wrote.
        known: What would have been right.

    Returns:
        For example ``"Did you mean 'thompson'? Known: random, thompson, ucb."``
    """
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return f"{hint}Known: {', '.join(names) or 'none'}."
