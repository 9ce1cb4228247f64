"""``make chaos``: misfortune after misfortune, chosen by a seed, until the rounds are over or the books disagree."""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.rounds import every_round, play
from tests.chaos.server import Server
from tests.chaos.world import world


def main() -> int:
    """Play the rounds; 1 when the books said anything against the hub."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the same seed, the same misfortunes")
    parser.add_argument("--rounds", type=int, default=45)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--backlog", type=int, default=3000, help="how many wait for a destination that is dead")
    parser.add_argument("--only", default="", help="play only the misfortunes whose name has this in it")
    arguments = parser.parse_args()
    dice = random.Random(arguments.seed)
    print(f"seed {arguments.seed}")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hub-chaos-", ignore_cleanup_errors=True)))
        server = Server(folder / "server") if arguments.store == "postgresql" else None
        if server is not None:
            stack.callback(server.close)
        url = server.url if server is not None else "embedded"
        it = stack.enter_context(world(folder, seed=arguments.seed, url=url))
        rounds = every_round(dice, arguments.rounds, server, arguments.backlog)
        for number, misfortune in enumerate((one for one in rounds if arguments.only in one.name), start=1):
            began = time.monotonic()
            wrong = play(it, misfortune, dice)
            print(f"{number:3}  {time.monotonic() - began:6.1f} s  {misfortune.name}", flush=True)
            if wrong:
                print("\n".join(wrong))
                print(it.tail())
                return 1
    print("The books agree.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
