"""One worker of another release beside a fleet of this one: `make mixed BASE=rev`.

Every issuance ends, whichever worker has had it; no certificate is lost, and nothing is raised. Then reindex lists all.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import urllib3

from issuer.sandbox import Sandbox, free_port
from tests.bench.redis_commands import TARGET, environment_for

PATIENCE_SECONDS = 180


def run(folder: Path, base: Path, names: int) -> None:
    """Ends the process with an error where anything is not as it should be."""
    port = free_port()
    with Sandbox(folder) as sandbox:
        records, dns = sandbox.redis(), sandbox.dns()
        pebble = sandbox.pebble(dns.server, port, {"PEBBLE_WFE_NONCEREJECT": "0"})
        environment = environment_for(records, dns, pebble, port) | {"ISSUER_RECONCILE_SECONDS": "1"}
        environment |= {"ISSUER_STEP_SECONDS": "5", "WORKER_CONCURRENCY": "1"}
        python = str(base / ".venv" / "bin" / "python")
        queues = "interactive,housekeeping,bulk,renewal,lookup"
        worker = ["-m", "celery", "-A", "issuer.worker", "worker", "--queues", queues, "--concurrency", "1"]
        former = sandbox.start("former", [python, *worker, "--hostname", "former@%h"], environment)
        parts = [former, *(sandbox.procfile(name, environment) for name in ("worker", "renewals", "beat", "web"))]
        sandbox.wait_for_web(parts[-1], port)
        command = [str(Path(sys.executable).with_name("issuer"))]

        def issuer(*arguments: str) -> str:
            ended = subprocess.run(
                [*command, *arguments], env=os.environ | environment, capture_output=True, text=True, check=True
            )
            return ended.stdout

        key = issuer("accounts", "create", "bench").strip().splitlines()[-1]
        headers, url = urllib3.make_headers(basic_auth=f"api:{key}"), f"http://127.0.0.1:{port}/v2/x509"
        waiting = [f"{number}.customer.example" for number in range(names)]
        for name in waiting:
            dns.cname(name, TARGET)
            answer = urllib3.request("POST", f"{url}/{name}", headers=headers, retries=False)
            if answer.status != 202:
                sys.exit(f"POST {name}: {answer.status} {answer.data.decode()}")
        until = time.monotonic() + PATIENCE_SECONDS
        while waiting and time.monotonic() < until:
            body = json.loads(urllib3.request("GET", f"{url}/{waiting[0]}/status", headers=headers).data)
            if body["status"] == "active":
                waiting.pop(0)
                continue
            time.sleep(0.2)
        done = {part.name: part.log.read_text().count("step") for part in parts}
        raised = [line for part in parts for line in part.log.read_text().splitlines() if "Traceback" in line]
        issuer("store", "reindex")
        counts = json.loads(issuer("list", "--json"))
        listed = len(issuer("list", "--account", "bench", "--limit", "1000", "--json").splitlines())
    print(f"{names - len(waiting)} of {names} active, {listed} listed, counted {counts}")
    print(f"lines about steps: former {done['former']}, worker {done['worker']}")
    if waiting or raised or listed != names or counts["active"] != names or not done["former"]:
        sys.exit("\n".join([f"not ended: {waiting[:3]}, raised {len(raised)} times", *raised[:3]]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path, help="A checkout of the other release, with its .venv.")
    parser.add_argument("--names", type=int, default=60)
    wishes = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), wishes.base.absolute(), wishes.names)


if __name__ == "__main__":
    main()
