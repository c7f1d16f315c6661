"""How many Redis commands one issuance takes, of all processes together: `python redis_commands.py [--names N]`.

It runs the checkout that it is started in, so that two releases can be counted in one run (`make bench-commands`).
Commands within scripts count too. What the same processes ask Redis for in the same time without work is taken off.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import redis
import urllib3

from issuer.sandbox import LOOPBACK, Dns, Pebble, Sandbox, free_port

TARGET = "edge.platform.example"
WARM_UP = 3
IDLE_SECONDS = 15
KEY_OF_NOBODY = "2kq5xLZ9z0P8m3s5b8v1y4t7w0q3e6r9u2i5o8a1d4g="


def commands(client: redis.Redis) -> int:
    return sum(int(stats["calls"]) for stats in client.info("commandstats").values())


def issue(url: str, key: str, name: str) -> None:
    headers = urllib3.make_headers(basic_auth=f"api:{key}")
    started = urllib3.request("POST", f"{url}/v2/x509/{name}", headers=headers, retries=False)
    if started.status != 202:
        sys.exit(f"POST {name}: {started.status} {started.data.decode()}")
    while True:
        time.sleep(0.3)
        answer = urllib3.request("GET", f"{url}/v2/x509/{name}/status", headers=headers, retries=False)
        if json.loads(answer.data)["status"] == "active":
            return


def environment_for(records: str, dns: Dns, pebble: Pebble, port: int) -> dict[str, str]:
    """The settings of a fleet of any release."""
    return {
        "ISSUER_REDIS_URL": f"{records}/0",
        "ISSUER_ENCRYPTION_KEYS": KEY_OF_NOBODY,
        "ISSUER_ACME_DIRECTORY": pebble.directory_url,
        "ISSUER_ACME_CA_BUNDLE": str(pebble.bundle),
        "ISSUER_ACME_TERMS_AGREED": "true",
        "ISSUER_CNAME_TARGETS": TARGET,
        "ISSUER_DNS_SERVERS": dns.server,
        "ISSUER_ALLOW_RESERVED_NAMES": "true",
        "ISSUER_NEW_NAMES_PER_REGISTERED_DOMAIN": "0",
        "ISSUER_SELF_CHECK_TEST_PORT": str(port),
        "ISSUER_RECONCILE_SECONDS": "60",
        "GUNICORN_CMD_ARGS": f"--bind {LOOPBACK}:{port}",
    }


def count(folder: Path, names: int) -> float:
    """Commands an issuance, in the mean of so many names, one after the other."""
    port = free_port()
    with Sandbox(folder) as sandbox:
        records, dns = sandbox.redis(), sandbox.dns()
        pebble = sandbox.pebble(dns.server, port, {"PEBBLE_WFE_NONCEREJECT": "0"})
        environment = environment_for(records, dns, pebble, port)
        for line in ("worker", "renewals", "beat", "web"):
            web = sandbox.procfile(line, environment)
        sandbox.wait_for_web(web, port)
        command = [str(Path(sys.executable).with_name("issuer")), "accounts", "create", "bench"]
        made = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
        url, key = f"http://{LOOPBACK}:{port}", made.stdout.strip().splitlines()[-1]
        for number in range(WARM_UP + names):
            dns.cname(f"{number}.customer.example", TARGET)
        for number in range(WARM_UP):
            issue(url, key, f"{number}.customer.example")
        with redis.Redis.from_url(f"{records}/0") as client:
            time.sleep(2)
            before = commands(client)
            time.sleep(IDLE_SECONDS)
            idle = (commands(client) - before) / IDLE_SECONDS
            before, start = commands(client), time.monotonic()
            for number in range(WARM_UP, WARM_UP + names):
                issue(url, key, f"{number}.customer.example")
            time.sleep(1)
            return (commands(client) - before - idle * (time.monotonic() - start)) / names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", type=int, default=20)
    wishes = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(f"{count(Path(folder), wishes.names):.1f}")


if __name__ == "__main__":
    main()
