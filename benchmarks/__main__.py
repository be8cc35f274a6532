"""``python -m benchmarks``: measures, prints the table, writes it to ``results/bench.md``."""

import argparse
import sys
from pathlib import Path

from benchmarks.alone import measure
from benchmarks.table import machine, markdown, summary

GROUPS = {
    1: ("environments:batched_step", "batched environment step"),
    2: ("environments:single_step", "single environment"),
    3: ("environments:hidden_preferences", "hidden-preference step"),
    4: ("bandits:lin_ucb", "LinUCB"),
    5: ("bandits:thompson", "Thompson sampling"),
    6: ("runs:whole_runs", "whole runs"),
    7: ("startup:startup", "import and help"),
    8: ("runs:memory", "memory"),
    9: ("zoo:every_agent", "every agent"),
    10: ("deep:continuous", "continuous agents"),
    11: ("deep:look_up", "look-up of items"),
    12: ("logs:big_log", "a log of MovieLens-20M's size"),
    13: ("spark:cycles", "cycles on Spark"),
}
NOTE = (
    "Ratios are ours to the peer's: of times where the bar is a most (<=), of speeds where it is a least (>=). Both "
    "sides take turns in one process with one thread; times are the minimum over the rounds, those of whole runs and "
    "of starting a process the median."
)


def main() -> int:
    """Run the groups that were asked for; return 1 if a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="SmartRec's speed beside its peers'.")
    about = ", ".join(f"{number} {name}" for number, (_, name) in GROUPS.items())
    parser.add_argument("--only", type=_numbers, default=list(GROUPS), help=f"groups, as in 1,4: {about}")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: seconds, but rough")
    parser.add_argument("--output", type=Path, default=Path("results/bench.md"), help="file for the table")
    options = parser.parse_args()
    rows = []
    for number in options.only:
        target, name = GROUPS[number]
        print(f"measuring {number}: {name}", file=sys.stderr, flush=True)
        rows += measure(target, options.quick)
    table, verdict = markdown(rows), summary(rows)
    print(f"{table}\n\n{verdict}")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    rounds = "Measured with --quick: rough.\n\n" if options.quick else ""
    text = f"# Speed\n\n{machine()}\n\n{NOTE}\n\n{rounds}{table}\n\n{verdict}\n"
    options.output.write_text(text, encoding="utf-8")
    return int(any(row.missed for row in rows))


def _numbers(text: str) -> list[int]:
    """Return the groups that ``text`` names."""
    wanted = text.split(",")
    for part in wanted:
        if not part.isdigit() or int(part) not in GROUPS:
            raise argparse.ArgumentTypeError(f"{part!r} is no group; allowed: {', '.join(map(str, GROUPS))}")
    return list(map(int, wanted))


if __name__ == "__main__":
    sys.exit(main())
