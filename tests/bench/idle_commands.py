"""How many commands a second the idle fleet asks Redis for: `python idle_commands.py [--seconds N]`.

It runs the checkout that it is started in, so that two releases can be counted in one run (`make bench-idle`), with the
settings that a fleet has by default. Commands within scripts count too.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import redis

from issuer.sandbox import LOOPBACK, Sandbox, free_port

TARGET = "edge.platform.example"
KEY_OF_NOBODY = "2kq5xLZ9z0P8m3s5b8v1y4t7w0q3e6r9u2i5o8a1d4g="
SETTLE_SECONDS = 25


def count(folder: Path, seconds: float, *, shows: bool) -> float:
    """Commands a second. shows: print which."""
    port = free_port()
    with Sandbox(folder) as sandbox:
        records = sandbox.redis()
        environment = {
            "ISSUER_REDIS_URL": f"{records}/0",
            "ISSUER_ENCRYPTION_KEYS": KEY_OF_NOBODY,
            "ISSUER_CNAME_TARGETS": TARGET,
            "GUNICORN_CMD_ARGS": f"--bind {LOOPBACK}:{port}",
        }
        for name in ("worker", "renewals", "beat", "web"):
            web = sandbox.procfile(name, environment)
        sandbox.wait_for_web(web, port)
        with redis.Redis.from_url(f"{records}/0") as client:
            time.sleep(SETTLE_SECONDS)
            before, start = client.info("commandstats"), time.monotonic()
            time.sleep(seconds)
            after, took = client.info("commandstats"), time.monotonic() - start
    calls = {name: stats["calls"] - before.get(name, {"calls": 0})["calls"] for name, stats in after.items()}
    if shows:
        for name, number in sorted(calls.items(), key=lambda pair: -pair[1]):
            print(f"{number / took:8.2f}  {name.removeprefix('cmdstat_')}", file=sys.stderr)
    return sum(calls.values()) / took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--show", action="store_true", help="print the number of each command")
    wishes = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(f"{count(Path(folder), wishes.seconds, shows=wishes.show):.2f}")


if __name__ == "__main__":
    main()
