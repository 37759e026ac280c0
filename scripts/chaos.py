"""`make chaos`: rounds of chaos under load for some minutes; exits with 1 at the first book that does not balance.

``--seconds`` is for all rounds together (600), ``--seed`` plays the same acts again.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "addon")]

from tests.e2e.chaos import ROUND_SECONDS, ChaosUp, Round  # noqa: E402 (the path comes first)
from tests.fakes import FakeVendors  # noqa: E402


def main() -> int:
    """Play until the time is up; 0 if all books balanced."""
    parser = argparse.ArgumentParser(description="Kill and stop parts of runcap at random, and check the books.")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    until = time.monotonic() + options.seconds
    number = 0
    with (
        tempfile.TemporaryDirectory(prefix="runcap-chaos-") as folder,
        FakeVendors(Path(folder, "vendors"), latency_seconds=0.02) as fakes,
        ChaosUp(Path(folder, "up"), fakes) as up,
    ):
        while time.monotonic() < until:
            seed = options.seed + number
            number += 1
            books = Round(up, fakes, seed).play(min(ROUND_SECONDS, max(1.0, until - time.monotonic())))
            acts = ", ".join(f"{act} {count}x" for act, count in sorted(books.acts.items()))
            ended = ", ".join(f"{status} {count}x" for status, count in sorted(books.statuses.items()))
            print(f"round {number} (seed {seed}): {acts}\n  calls: {ended}", flush=True)
            print(f"  the vendor saw {books.vendor_calls} calls and moved ${books.vendor_usd}", flush=True)
            for problem in books.problems:
                print(f"  WRONG: {problem}", flush=True)
            if books.problems:
                print(up.log()[-4000:], file=sys.stderr)
                return 1
    print(f"{number} rounds: no cap was passed, and every call of the vendor's is in the audit once.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
