"""Row 7: what it takes to import the package and to ask for help, beyond importing Gymnasium."""

import statistics
import subprocess
import sys
from collections.abc import Callable

from benchmarks.table import Row, seconds
from benchmarks.timing import in_turn


def startup(quick: bool) -> list[Row]:
    """Fresh processes in turn, median of ten."""
    sides = [
        _fresh("-c", "import gymnasium"),
        _fresh("-c", "import smartrec"),
        _fresh("-m", "smartrec", "--help"),
    ]
    peer, *ours = map(statistics.median, in_turn(sides, 3 if quick else 10))
    whats = (("import smartrec", 0.05), ("smartrec --help", 0.25))
    return [
        Row(7, f"{what}, seconds more", seconds(took), f"import gymnasium {seconds(peer)}", took - peer, "s", bar=bar)
        for (what, bar), took in zip(whats, ours, strict=True)
    ]


def _fresh(*arguments: str) -> Callable[[], None]:
    def start() -> None:
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)

    return start
