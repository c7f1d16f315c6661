#!/usr/bin/env bash
# fakeredis 2.40.0 collects all garbage of its Lua runtime after each script, and compiles the script at each call, EVALSHA
# too. So a script costs it many times what GET costs it; a test suite that runs scripts waits for that, and is faster on a
# real server. Seen with fakeredis 2.40.0 and lupa 2.8: a script of one GET, in 6,000 characters, takes about 10 times a GET.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "fakeredis[lua]==2.40.0" lupa==2.8 redis==8.1.0
"$folder/venv/bin/python" - <<'PYTHON'
import time

import fakeredis

client = fakeredis.FakeRedis(server=fakeredis.FakeServer())
filling = "".join(f"local function f{number}(a) return {{a, {number}}} end\n" for number in range(140))
digest = client.script_load(filling + "return redis.call('GET', KEYS[1])")


def seconds(call) -> float:
    times = []
    for _ in range(7):
        started = time.perf_counter()
        for _ in range(200):
            call()
        times.append(time.perf_counter() - started)
    return min(times) / 200


get, script = seconds(lambda: client.get("key")), seconds(lambda: client.evalsha(digest, 1, "key"))
print(f"GET {get * 1e6:.0f} µs, a script with a GET {script * 1e6:.0f} µs: {script / get:.1f} times")
assert script > 4 * get, "this has changed"
PYTHON
