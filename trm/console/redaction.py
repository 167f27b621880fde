"""Text without secrets: what stands in an address, and what the environment keeps; and long text cut in its middle.

Everything that is stored or shown and may quote an address, an error of a library or an environment goes through `redacted`.
"""

import functools
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote

MASK = "***"
"""Stands where a secret was."""
_PORT = r"(?!\d{1,5}(?:[/?#\s'\"]|$))"
_NO_USER = "".join(f"(?<!{scheme}://)" for scheme in ("abfs", "abfss", "wasb", "wasbs"))
"""Azure's addresses have the container's name where others have a user."""
_USER_INFO = re.compile(rf"(?<=://)(?:[^\s/?#@:'\"]*:{_PORT}[^\s'\"]*|{_NO_USER}[^\s/?#'\"]*)@")
"""A user and a password, which people write without escaping its / and @; or a user alone, or a key, or a token."""
_WORD = re.compile(r"[^\s'\"]+")
_WORDS = (
    r"jwt|odbc_connect|pass(?:word|wd|phrase)?|pwd?|token|secret|sig(?:nature)?|credentials?|auth(?:orization)?|api[_-]?key|key"
)
_ARGUMENT = re.compile(rf"(?i)([?&;#](?!viewStateShareKey=)[\w.%-]*(?:{_WORDS})(?:[_-]?id)?=)[^&;#\s'\"]+")
"""An argument of an address whose name says that it is secret, `X-Amz-Credential` and `sig` too, but no view of MLflow."""
_NAMES = r"\b(?:password|passwd|pwd|secret|token|api[_-]?key|account_?key|aws_secret_access_key)"
_ASSIGNED = re.compile(rf"(?i)({_NAMES}\s*=\s*)[^\s&;,'\")]+")
"""`password=...` of a connection string."""
_QUOTED = re.compile(rf"(?i)({_NAMES}(?:['\"]\s*[:=]|\s*=)\s*)(['\"])(?:(?!\2).)+\2")
"""`'password': '...'` and `password='...'` of what an error shows of its arguments."""
_BEARER = re.compile(r"(?i)(\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}")
_SECRET_NAME = re.compile(
    r"(?i)(?:(?:^|_)(?:KEY|PAT|PASS|PWD|SAS|DSN|CONNECTION_STRING)|SECRET_?KEY|TOKEN|SECRETS?|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?)"
    r"(?:_ID|_JSON|_B64|_BASE64)?$"
)
_NOT_SECRET = ("PWD", "OLDPWD")
_RAISED = re.compile(
    r"^(?:[A-Za-z_][\w]*\.)*[A-Za-z_]\w*(?:Error|Exception|Timeout|Interrupt|Exit|Refused)\w*(?=: |$)", re.MULTILINE
)
"""Where the line of a traceback begins that names what was raised."""
_OURS = re.compile(r"^(?:trm\.errors\.\w+: )+")
"""Names of our own errors, whose words stand by themselves."""
_NO_TEXT = frozenset({int, float, bool, type(None)})
LEAST_SECRET_CHARACTERS = 8
"""Shorter values of the environment are words like `true` and `none`, which stand in every text."""


def redacted(text: str) -> str:
    """`text` without the user, password or secret argument of any address in it, and without the environment's secrets."""
    text = in_addresses(text)
    secrets = _of_environment(tuple((name, os.environ.get(name, "")) for name in os.environ if is_secret_name(name)))
    return secrets.sub(MASK, text) if secrets is not None else text


def in_addresses(text: str) -> str:
    """`text` without the secrets of the addresses in it: what is stored as a value, where a word of it may be no secret."""
    if "://" in text:
        text = _WORD.sub(_without_user_info, text)
    if "=" in text or ":" in text:
        text = _ASSIGNED.sub(rf"\g<1>{MASK}", _ARGUMENT.sub(rf"\g<1>{MASK}", text))
        text = _QUOTED.sub(rf"\g<1>\g<2>{MASK}\g<2>", text)
    return _BEARER.sub(rf"\g<1>{MASK}", text)


def _without_user_info(word: re.Match[str]) -> str:
    """One word of a text; what stands behind its last @ is not looked at, so that a long one takes no longer than it is long."""
    head, at, rest = word[0].rpartition("@")
    return _USER_INFO.sub(f"{MASK}@", head + at) + rest if at and "://" in head else word[0]


@functools.lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether an environment variable of this name holds a secret, or where one lies."""
    return name not in _NOT_SECRET and _SECRET_NAME.search(name) is not None


def stored(value: Any) -> Any:
    """`value`, plain, with `in_addresses` of every text in it: fit for a file."""
    if isinstance(value, str):
        return in_addresses(value) if "://" in value else value
    if isinstance(value, Mapping):  # most of what is stored is numbers, and each model has those below it stored once more
        return {key: inner if type(inner) in _NO_TEXT else stored(inner) for key, inner in value.items()}
    return [stored(inner) for inner in value] if isinstance(value, list | tuple) else value


def without_secrets(address: str) -> str:
    """The address with its user, password and secret arguments taken out: one that works where those come from elsewhere."""
    bare = re.sub(rf"(?<=://){re.escape(MASK)}@", "", in_addresses(address))
    bare = re.sub(rf"(?<=[?&;#])[^=&;#?]*={re.escape(MASK)}(?:[&;]|(?=#|$))", "", bare)
    return bare.rstrip("?&;#")


def is_masked(address: str) -> bool:
    """Whether the address has lost its secret in `in_addresses`, and cannot be used as it is."""
    return "://" in address and (f"://{MASK}@" in address or f"={MASK}" in address)


def shortened(text: str, characters: int = 500) -> str:
    """`text` on one line of at most so many characters, its middle left out: of a long error the end says why."""
    line = " ".join(text.split())
    if len(line) <= characters:
        return line
    head = characters // 3
    return f"{line[:head].rstrip()} ... {line[len(line) - (characters - head - 5) :].lstrip()}"


def reason_of(error: BaseException | str, characters: int = 500) -> str:
    """Why something failed, on one line without secrets: what was raised and from what; of a traceback its last error.

    What frameworks raise for a worker has the worker's traceback as its text.
    """
    if isinstance(error, str):
        return shortened(redacted(_last_raised(error)), characters)
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    top, bottom = _named(error), _named(root)
    is_told = root is error or str(root).strip() in top
    return shortened(redacted(top if is_told else f"{top} (from {bottom})"), characters)


def _named(error: BaseException) -> str:
    text = str(error).strip()
    if _RAISED.search(text):
        return _last_raised(text)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _last_raised(text: str) -> str:
    """From the line on that names the last error of a traceback; a text that holds none as it is."""
    found = list(_RAISED.finditer(text))
    return _OURS.sub("", text[found[-1].start() :]) if found else text


@functools.lru_cache(maxsize=4)
def _of_environment(variables: tuple[tuple[str, str], ...]) -> re.Pattern[str] | None:
    """Every spelling of every secret value, longest first; None without any."""
    values = {value for _, value in variables if len(value) >= LEAST_SECRET_CHARACTERS and not value.startswith(("/", "~"))}
    spellings = {spelling for value in values for spelling in (value, quote(value, safe=""), quote_plus(value), unquote(value))}
    lines = {line.strip() for value in values for line in value.splitlines()}  # a key file's text is quoted by its lines
    found = sorted({*spellings, *(line for line in lines if len(line) >= 2 * LEAST_SECRET_CHARACTERS)}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, found))) if found else None
