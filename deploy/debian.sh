#!/bin/sh
# Installs the Debian packages named as arguments, unless they are installed. Without the right to install, it says which
# are missing.
set -eu
missing=""
for package in "$@"; do
    dpkg-query --show --showformat='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
        missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
    echo "not installed:$missing. This system is not Debian; install them by hand." >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null; then
    as_root="sudo"
else
    echo "not installed:$missing. Run as root: apt-get install$missing" >&2
    exit 1
fi
echo "installing Debian packages:$missing"
export DEBIAN_FRONTEND=noninteractive
# On a new machine the package lists may be old or missing, so they are fetched after a first failure.
# shellcheck disable=SC2086
$as_root apt-get install --yes --no-install-recommends $missing >/dev/null 2>&1 || {
    $as_root apt-get update >/dev/null
    $as_root apt-get install --yes --no-install-recommends $missing >/dev/null
}
