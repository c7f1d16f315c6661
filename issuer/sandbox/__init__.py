"""Real servers and processes on the loopback address, for the demo and the tests."""

from issuer.sandbox.processes import LOOPBACK, Dns, Part, Pebble, Sandbox, SandboxError, free_port

__all__ = ["LOOPBACK", "Dns", "Part", "Pebble", "Sandbox", "SandboxError", "free_port"]
