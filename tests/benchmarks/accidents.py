"""Kill steps with SIGKILL at random points: ``python -m tests.benchmarks.accidents [--kills 200]
[--seed 0] [--only NAME …] [--each] [--outage SECONDS]``.

Each step runs on 40 postcards in a process of its own, which is killed at a random point: half of
the kills come after a random part of the time that the step takes, half before a random one of its
writes to the database or the disk. Then another process looks: datasets load, every sample has all
fields of a code or none, codes are of the dictionary that is there, pictures and archives are
whole. The step is started again, and must end as if it had never been stopped: with the same
fields, files and runs, and nothing else. Strays are documents of the database that FiftyOne wrote
before what refers to them; nobody sees them.

With ``--outage`` nothing is killed: the database is stopped for so many seconds before a random
write of each step that needs it. The step must wait and go on, or end and say that it has lost the
database, and then the same must hold. *Done* are steps that went on.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path


def main() -> int:
    """The command line. Returns how many kills left something wrong."""
    from ..support import private_mongod
    from ..support.accidents.killing import Outage, accidents
    from ..support.accidents.steps import STEPS

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=list(STEPS), default=list(STEPS))
    parser.add_argument("--each", action="store_true", help="before each write instead, once")
    parser.add_argument("--keep", type=Path, help="a folder that keeps what went wrong")
    parser.add_argument("--outage", type=float, help="stop the database for so many seconds")
    arguments = parser.parse_args()
    names = arguments.only
    if arguments.outage:
        names = [name for name in names if STEPS[name].of or name == "import_archive"]
        arguments.kills = len(names)
    with tempfile.TemporaryDirectory(prefix="smic-accidents-") as scratch:
        folder = arguments.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        print(
            f"{'step':24}{'kills':>7}{'middle':>8}{'done':>6}{'wrong':>7}{'strays':>8}{'s each':>8}"
        )
        total, chosen = Counter[str](), random.Random(arguments.seed)
        with accidents(folder, names, arguments.seed) as run:
            for i, name in enumerate(names):
                kills = len(range(i, arguments.kills, len(names)))
                if arguments.outage:
                    outage = Outage(private_mongod.process().pid, arguments.outage)
                    write = chosen.randrange(run.measure(name).writes)
                    outcomes = [run.stop_database(name, write, outage)]
                elif arguments.each:
                    kills = run.measure(name).writes
                    outcomes = [run.kill(name, write=write) for write in range(kills)]
                else:
                    outcomes = [run.kill_somewhere(name) for _ in range(kills)]
                done = sum(o.finished for o in outcomes)
                wrong = [o for o in outcomes if o.wrong]
                strays = sum(o.strays for o in outcomes)
                each = sum(o.seconds for o in outcomes) / max(kills, 1)
                print(
                    f"{name:24}{kills:7}{kills - done:8}{done:6}{len(wrong):7}{strays:8}"
                    f"{each:8.2f}",
                    flush=True,
                )
                for outcome in wrong:
                    print(f"    killed at {outcome.at}:", file=sys.stderr)
                    for what in outcome.wrong[:12]:
                        print(f"        {what}", file=sys.stderr)
                total.update(kills=kills, done=done, wrong=len(wrong), strays=strays)
        kills, done = total["kills"], total["done"]
        print(f"{'all':24}{kills:7}{kills - done:8}{done:6}{total['wrong']:7}{total['strays']:8}")
        print(f"{time.perf_counter() - began:.0f} s")
    return total["wrong"]


if __name__ == "__main__":
    from .. import conftest  # noqa: F401 (the private database)

    sys.exit(bool(main()))
