"""The command `issuer` over fakes: as in a pipe, or as on a terminal of 80 columns."""

import json
import re
from dataclasses import dataclass
from typing import Any

import pytest
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from issuer.cli import (
    accounts,
    authorities,
    check,
    delete,
    doctor,
    domains,
    issue,
    main,
    operators,
    plan,
    records,
    renew,
    retry,
    show,
)
from issuer.ports import Services

MODULES = (accounts, authorities, check, delete, doctor, domains, issue, operators, plan, records, renew, retry, show)
TERMINAL = {"TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "1", "COLUMNS": "80", "TERM": "xterm-256color"}
OWN_SEQUENCES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""What rich sends to a terminal."""


@dataclass
class Command:
    """Runs `issuer` with some services. Every error that is no line of its own is raised."""

    services: Services

    def __call__(self, *arguments: str, is_terminal: bool = False, answer: str = "") -> Result:
        with capture_logs():
            environment = TERMINAL if is_terminal else {}
            result = CliRunner().invoke(main, arguments, input=answer, env=environment, catch_exceptions=False)
        assert "Traceback" not in result.output
        return result

    def said(self, *arguments: str) -> list[str]:
        """The lines of a command that succeeds in a pipe."""
        result = self(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout.splitlines()

    def json(self, *arguments: str) -> Any:
        """The one document of a command that succeeds."""
        (line,) = self.said(*arguments, "--json")
        return json.loads(line)

    def json_lines(self, *arguments: str) -> list[Any]:
        """The documents of a command that succeeds, one a line."""
        return [json.loads(line) for line in self.said(*arguments, "--json")]

    def shown(self, *arguments: str) -> list[str]:
        """The lines that somebody sees on a terminal, without colours."""
        result = self(*arguments, is_terminal=True)
        return OWN_SEQUENCES.sub("", result.output).splitlines()

    def refused(self, *arguments: str, exit_code: int = 1) -> str:
        """The one line of a command that changes nothing; of a wrong use, the last line."""
        result = self(*arguments)
        assert (result.exit_code, result.stdout) == (exit_code, ""), result.output
        *usage, line = result.stderr.splitlines()
        assert line.startswith("Error: "), result.stderr
        assert bool(usage) is (exit_code == 2), result.stderr
        return line


def command_over(services: Services, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command whose modules all use these services."""
    for module in MODULES:
        monkeypatch.setattr(module, "load_services", lambda: services)
    return Command(services)
