#!/usr/bin/env bash
# redis-py 8.1.0 with hiredis 3.5.0: `encoding_errors` of a connection counts for what is read, and no longer for what is
# written. A text that a client with `encoding_errors="surrogateescape"` has read from Redis cannot be written back: hiredis
# raises UnicodeEncodeError as it packs the command. Without hiredis installed, the same client writes the same bytes. So
# installing a faster parser changes which values a program can store. Nothing is sent: the command is only packed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" --quiet --disable-pip-version-check)
cat > "$folder/pack.py" <<'PYTHON'
import sys

from redis.connection import Connection

connection = Connection(encoding="utf-8", encoding_errors="surrogateescape", decode_responses=True)
read = b"caf\xe9".decode("utf-8", "surrogateescape")  # as such a client reads it
try:
    found = "written back" if b"caf\xe9" in b"".join(connection.pack_command("SET", "key", read)) else "changed"
except UnicodeEncodeError as error:
    found = f"UnicodeEncodeError: {error.reason}"
print(f"{sys.argv[1]}: {found}")
assert found.startswith(sys.argv[2]), "this has changed"
PYTHON
"${pip[@]}" install redis==8.1.0
"$folder/venv/bin/python" "$folder/pack.py" "redis-py alone" "written back"
"${pip[@]}" install hiredis==3.5.0
"$folder/venv/bin/python" "$folder/pack.py" "redis-py with hiredis" "UnicodeEncodeError"
