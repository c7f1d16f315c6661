"""A headless Chromium with a profile and trust of its own."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from issuer.config import child_environment
from issuer.sandbox import LOOPBACK
from tests.edge.caddy import Caddy

SWITCHES = (
    "--headless",
    "--no-sandbox",  # which root may not have
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
SECONDS = 25


@dataclass(frozen=True)
class Chromium:
    """folder: its home, where its profile stays from one visit to the next."""

    folder: Path
    caddy: Caddy

    def trust(self, root: str) -> None:
        """Take a CA's certificate (PEM) among those that servers are trusted by."""
        database = self.folder / ".pki" / "nssdb"
        database.mkdir(parents=True)
        file = self.folder / "root.pem"
        file.write_text(root)
        for command in (["-N", "--empty-password"], ["-A", "-n", "root", "-t", "C,,", "-i", str(file)]):
            subprocess.run(["certutil", *command, "-d", f"sql:{database}"], check=True, timeout=SECONDS)

    def visit(self, url: str) -> tuple[str, str]:
        """The page's text as it is after its load, empty where it was not loaded, and what Chromium says of it. All
        other names than that of the URL lead nowhere."""
        host = url.split("/")[2]
        ports = {80: self.caddy.http_port, 443: self.caddy.https_port}
        rules = [f"MAP {host}:{port} {LOOPBACK}:{ours}" for port, ours in ports.items()]
        # It ends by itself after the load, and by that writes down what it has been told by HSTS.
        found = subprocess.run(
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
        return found.stdout, found.stderr
