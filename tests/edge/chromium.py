"""A headless Chromium with its own profile and trusted roots."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from issuer.config import child_environment
from issuer.sandbox import LOOPBACK
from tests.edge.caddy import Caddy

SWITCHES = (
    "--headless",
    "--no-sandbox",  # root cannot use the sandbox
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
SECONDS = 25


@dataclass(frozen=True)
class Chromium:
    """folder: its home, which keeps its profile from one visit to the next."""

    folder: Path
    caddy: Caddy

    def trust(self, root: str) -> None:
        """Trust a root certificate (PEM) for servers."""
        database = self.folder / ".pki" / "nssdb"
        database.mkdir(parents=True)
        file = self.folder / "root.pem"
        file.write_text(root)
        for command in (["-N", "--empty-password"], ["-A", "-n", "root", "-t", "C,,", "-i", str(file)]):
            subprocess.run(["certutil", *command, "-d", f"sql:{database}"], check=True, timeout=SECONDS)

    def has_policies(self) -> bool:
        """Whether it has saved an HSTS policy."""
        file = self.folder / "profile" / "Default" / "TransportSecurity"
        return file.exists() and bool(json.loads(file.read_text())["sts"])

    def visit(self, url: str) -> tuple[str, str]:
        """The text of the loaded page, empty if it could not be loaded, and Chromium's log. Names other than that
        of the URL are not resolved."""
        host = url.split("/")[2]
        ports = {80: self.caddy.http_port, 443: self.caddy.https_port}
        rules = [f"MAP {host}:{port} {LOOPBACK}:{ours}" for port, ours in ports.items()]
        # It exits after the load, and so saves the HSTS policies that it has received.
        result = subprocess.run(
            [
                "chromium",
                *SWITCHES,
                f"--user-data-dir={self.folder / 'profile'}",
                f"--host-resolver-rules={', '.join([*rules, 'MAP * ~NOTFOUND'])}",
                "--dump-dom",
                url,
            ],
            env=child_environment({"HOME": str(self.folder)}),
            capture_output=True,
            text=True,
            check=True,
            timeout=SECONDS,
        )
        return result.stdout, result.stderr
