"""The token that a server asks for where others can reach it: from the environment, or made once, in a file of its user alone."""

import os
import secrets
import stat
from pathlib import Path

from trm.errors import ConfigError
from trm.files.atomic import make_folders

TOKEN_VARIABLE = "TRM_SERVE_TOKEN"
LEAST_LETTERS = 16
MOST_BYTES = 1 << 12


def token_of(path: Path) -> tuple[str, str]:
    """The token, and where it is from: the environment, else the file, which is made where it is missing.

    ConfigError for one that can be guessed, or a file that others may read.
    """
    if (given := os.environ.get(TOKEN_VARIABLE)) is not None:
        return _sound(given, TOKEN_VARIABLE), f"the environment ({TOKEN_VARIABLE})"
    make_folders(path.parent)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
    except FileExistsError:
        pass
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(
                f"a token must be a file that its user alone reads: {path} is not", remedy=f"chmod 600 {path}, or remove it"
            )
        text = file.read(MOST_BYTES).decode("latin-1")
    return _sound(text, str(path)), str(path)


def _sound(text: str, source: str) -> str:
    token = text.strip()
    if len(token) < LEAST_LETTERS or not token.isascii() or any(letter.isspace() or not letter.isprintable() for letter in token):
        raise ConfigError(
            f"a token must be {LEAST_LETTERS} letters or more without spaces, {source} has {len(token)}",
            remedy="python -c 'import secrets; print(secrets.token_urlsafe(32))' makes one",
        )
    return token
