"""One log read, sorted and passed over once, in a process of its own; prints seconds of CPU and gigabytes as JSON."""

import json
import resource
import sys
import time

import numpy as np

from smartrec.data import Batches, DenseFrames, Frames, Trajectories
from smartrec.data.sources import load


def main() -> None:
    """Measure the folder that is named."""
    told = {}
    started = time.process_time()
    log = load(sys.argv[1]).interactions
    told["read"], told["peak read"] = time.process_time() - started, _peak()
    started = time.process_time()
    frames = Frames(Trajectories.of(log))
    told["sort"] = time.process_time() - started
    vectors = np.random.default_rng(0).normal(size=(log.n_items, 128)).astype(np.float32)
    dense = DenseFrames(frames, vectors)
    started, seen = time.process_time(), 0
    for batch in dense.stream(Batches(len(frames), 128), dense.room(128)):
        seen += len(batch["reward"])
    told["pass"], told["peak"], told["frames"] = time.process_time() - started, _peak(), seen
    print(json.dumps(told))


def _peak() -> float:
    """Return the most memory this process has had, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
