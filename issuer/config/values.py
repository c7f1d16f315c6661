"""The types of settings: each is parsed from the text of a variable. An error message never contains a secret."""

import ipaddress
import json
import re
import shlex
import ssl
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode

HOST_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
LONGEST_TARGET = 200
NEW_ENCRYPTION_KEY = "issuer new-encryption-key"
"""The command that generates a value for ISSUER_ENCRYPTION_KEYS."""


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part for part in (raw.strip() for raw in value.split(",")) if part)


def _folded(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(value.lower().removesuffix(".") for value in values)


def parse_dns_server(text: str) -> tuple[str, int]:
    """Parse `address`, `address:port` or `[address]:port` as (address, port). Raises ValueError for anything else."""
    match = re.fullmatch(r"\[([^]]+)](?::(\d{1,5}))?|([^:]+):(\d{1,5})|(.*)", text, re.ASCII)
    address, port = ((match[1] or match[3] or match[5]), (match[2] or match[4] or "53")) if match else ("", "")
    try:
        ipaddress.ip_address(address)
        if not 0 < int(port) < 2**16:
            raise ValueError
    except ValueError:
        raise ValueError(f"{text!r} is not an IP address with or without :port") from None
    return address, int(port)


def parse_edge_address(text: str) -> tuple[str, int]:
    """Parse `host:port` or `[address]:port` as (host, port). Raises ValueError for anything else."""
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})", text, re.ASCII)
    if not match or not 0 < int(match[3]) < 2**16:
        raise ValueError(f"{text[:80]!a} is not host:port")
    return match[1] or match[2], int(match[3])


def _host_names(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not HOST_NAME.fullmatch(value):
            raise ValueError(f"{value[:80]!a} is not a host name (an internationalized one is written xn--…)")
    return values


def _targets(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise ValueError("not set; it must name the hosts that customers' CNAMEs may end at")
    if any(len(value) > LONGEST_TARGET for value in values):
        raise ValueError(
            f"a host name is longer than {LONGEST_TARGET} octets, which leaves no room for a label before it"
        )
    return values


def _dns_servers(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        parse_dns_server(value)
    return values


def _edge_addresses(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        parse_edge_address(value)
    return values


def _fernet_keys(values: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    if not values:
        kept = "and keep it, as nothing stored opens without it"
        raise ValueError(f"not set; make one with: {NEW_ENCRYPTION_KEY} - {kept}")
    for value in values:
        try:
            Fernet(value.get_secret_value())
        except ValueError:
            raise ValueError(f"not 32 bytes in URL-safe base64; make one with: {NEW_ENCRYPTION_KEY}") from None
    return values


def _redis_url(value: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(value.get_secret_value())
        is_valid = parts.scheme in {"redis", "rediss"} and parts.hostname and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ValueError("not a redis:// or rediss:// URL with a host") from None
    return value


def _redis_url_or_nothing(value: SecretStr) -> SecretStr:
    return _redis_url(value) if value.get_secret_value() else value


def _web_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise ValueError("not an https:// URL")
    return value


def _directory_url(value: str) -> str:
    parts = urlsplit(_web_url(value))
    if parts.port == 0 or parts.username is not None or not re.fullmatch(r"[!-~]+", value, re.ASCII):
        raise ValueError("not an https:// URL of a host, without a user name")
    return value


def _path_or_nothing(text: str) -> str:
    if text and not Path(text).is_absolute():
        raise ValueError("give a path that begins with /")
    return text


def _roots_or_nothing(value: str) -> str:
    if value and not Path(value).is_file():
        raise ValueError(f"there is no file {value}")
    try:
        if value:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(value)
    except OSError as error:
        raise ValueError(f"{value} has no certificates in PEM that can be read ({type(error).__name__})") from None
    return value


def _command_or_nothing(value: str) -> str:
    try:
        words = shlex.split(value)
    except ValueError as error:
        raise ValueError(f"not a command: {error}") from None
    if value and not words:
        raise ValueError("not a command")
    return value


def _secret_web_url_or_nothing(value: SecretStr) -> SecretStr:
    try:
        return SecretStr(_web_url(value.get_secret_value())) if value.get_secret_value() else value
    except ValueError:
        raise ValueError("not an https:// URL") from None


def _base64url(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[A-Za-z0-9_-]*={0,2}", value.get_secret_value(), re.ASCII):
        raise ValueError("not base64url")
    return value


def _edge_token(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"([A-Za-z0-9_-]{24,200})?", value.get_secret_value(), re.ASCII):
        raise ValueError("not 24 to 200 characters of A-Z, a-z, 0-9, - and _")
    return value


def _json_list(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        members = json.loads(value) if value.strip() else []
    except (ValueError, RecursionError):
        members = None
    if type(members) is not list:
        raise ValueError('not a JSON list such as [{"directory": "https://…"}]') from None
    return members


Names = Annotated[
    tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_folded), AfterValidator(_host_names)
]
Targets = Annotated[Names, AfterValidator(_targets)]
DnsServers = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_dns_servers)]
EdgeAddresses = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_edge_addresses)]
FernetKeys = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split), AfterValidator(_fernet_keys)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
RedisUrlOrNothing = Annotated[SecretStr, AfterValidator(_redis_url_or_nothing)]
DirectoryUrl = Annotated[str, AfterValidator(_directory_url)]
PathOrNothing = Annotated[str, AfterValidator(_path_or_nothing)]
RootsOrNothing = Annotated[str, AfterValidator(_roots_or_nothing)]
CommandOrNothing = Annotated[str, AfterValidator(_command_or_nothing)]
SecretWebUrlOrNothing = Annotated[SecretStr, AfterValidator(_secret_web_url_or_nothing)]
Base64Url = Annotated[SecretStr, AfterValidator(_base64url)]
EdgeToken = Annotated[SecretStr, AfterValidator(_edge_token)]
JSON_LIST = BeforeValidator(_json_list)
