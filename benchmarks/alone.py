"""Each group of rows in a process of its own: no group warms up, or fills the memory of, the next.

Numerical libraries get one thread, on both sides of every ratio; they read that from the environment when they
are imported, so it takes a fresh process.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module

from benchmarks.table import Row

ONE_THREAD = {
    f"{library}_NUM_THREADS": "1"
    for library in ("OMP", "OPENBLAS", "MKL", "BLIS", "NVPL_BLAS", "NUMEXPR", "VECLIB_MAXIMUM")
}
Group = Callable[[bool], list[Row]]
"""Measures a group of rows; True asks for fewer rounds."""


def measure(target: str, quick: bool) -> list[Row]:
    """Return the rows of a group, measured in a fresh process with one thread.

    Args:
        target: "module:function" in this package.
        quick: Fewer rounds.

    Raises:
        CalledProcessError: The group failed; its own traceback has been printed.
    """
    command = [sys.executable, "-m", "benchmarks.alone", target, *(["--quick"] if quick else [])]
    done = subprocess.run(command, env={**os.environ, **ONE_THREAD}, stdout=subprocess.PIPE, text=True, check=True)
    # Whatever a peer prints comes before.
    return [Row(**values) for values in json.loads(done.stdout.splitlines()[-1])]


def main() -> None:
    """Measure one group and print its rows as a line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    module, _, function = options.target.partition(":")
    group: Group = getattr(import_module(f"benchmarks.{module}"), function)
    print(json.dumps([asdict(row) for row in group(options.quick)]))


if __name__ == "__main__":
    main()
