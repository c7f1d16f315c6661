"""Answers of the server: documents, and problem documents (RFC 8555 §6.7) as exceptions."""

import json
from typing import Any

from tests.wire import Answer

URN = "urn:ietf:params:acme:error:"


class Refused(Exception):  # noqa: N818 - what the RFC calls a problem
    """A problem document, sent instead of the resource."""

    def __init__(
        self, status: int, type_: str, detail: str, headers: dict[str, str] | None = None, **more: object
    ) -> None:
        super().__init__(detail)
        document = problem(type_, detail, **more)
        self.answer = json_answer(document, status, {"Content-Type": "application/problem+json"} | (headers or {}))


class Page(Exception):  # noqa: N818
    """A failure without a problem document."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.answer: Answer = (status, {"Content-Type": "text/html"}, b"<html>Internal Server Error</html>")


def json_answer(document: object, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    return status, {"Content-Type": "application/json"} | (headers or {}), json.dumps(document).encode()


def problem(type_: str, detail: str, **more: object) -> dict[str, Any]:
    """more: other members, such as instance and subproblems."""
    return {"type": URN + type_, "detail": detail} | more


def malformed(detail: str, status: int = 400) -> Refused:
    return Refused(status, "malformed", detail)
