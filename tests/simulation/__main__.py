"""``python -m tests.simulation``: many histories, or one again by its seed."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.search import check, trace


def main() -> int:
    """Exit status 1 when something was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this history, shrink it when it violates something")
    parser.add_argument("--steps", type=int, default=200, help="steps of each history before the quiet at its end")
    parser.add_argument("--histories", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="the seed to begin with")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--most", type=int, default=5, help="violating seeds after which to stop")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if asked.seed is not None:
        print(trace(asked.seed, asked.steps))
        return int(bool(check(asked.seed, asked.steps)))
    begun, done, bad = time.perf_counter(), 0, []
    with ProcessPoolExecutor(asked.jobs) as pool:
        seeds = range(asked.first, asked.first + asked.histories)
        for seed, found in zip(seeds, pool.map(check, seeds, [asked.steps] * len(seeds), chunksize=20), strict=True):
            done += 1
            if found:
                bad.append(seed)
                print(f"seed {seed}: {found[0]}", flush=True)
                if len(bad) >= asked.most:
                    pool.shutdown(cancel_futures=True)
                    break
            elif done % 1000 == 0:
                print(f"{done} histories, {done / (time.perf_counter() - begun):.0f} a second", file=sys.stderr)
    took = time.perf_counter() - begun
    print(f"{done} histories of {asked.steps} steps in {took:.1f} s ({done / took:.0f} a second): {len(bad)} with violations")
    if bad:
        print(f"\n{trace(bad[0], asked.steps)}")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
