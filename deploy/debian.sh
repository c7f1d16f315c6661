#!/bin/sh
# Installs the Debian packages named as arguments, those that are not there yet. Says plainly what is missing when it may not.
set -eu
missing=""
for package in "$@"; do
    dpkg-query --show --showformat='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
        missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
    echo "not installed:$missing. This is no Debian, so install them by hand." >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null; then
    as_root="sudo"
else
    echo "not installed:$missing. Run as root, or with sudo there: apt-get install$missing" >&2
    exit 1
fi
echo "installing Debian packages:$missing"
export DEBIAN_FRONTEND=noninteractive
# The lists may be old or absent on a new machine, so a first failure is answered by fetching them.
# shellcheck disable=SC2086
$as_root apt-get install --yes --no-install-recommends $missing >/dev/null 2>&1 || {
    $as_root apt-get update >/dev/null
    $as_root apt-get install --yes --no-install-recommends $missing >/dev/null
}
