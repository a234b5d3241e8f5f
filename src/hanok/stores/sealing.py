"""Secrets at rest: sealed with Fernet (AES-128-CBC and HMAC-SHA256), the key outside the database."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from hanok.core.errors import ConfigError, Corrupt, MissingExtra
from hanok.stores.disk import sync_directory


class FernetSealer:
    """The key is `key` (32 bytes in base64), or stands in `file`, which is made with mode 0600 when first needed."""

    def __init__(self, file: Path, key: str = "") -> None:
        self._file, self._key = file, key
        if key and len(_decoded(key)) != 32:
            raise ConfigError(
                "secrets_key or HANOK_SECRETS_KEY must be 32 bytes in base64; make one with: openssl rand -base64 32"
            )

    @property
    def available(self) -> bool:
        return find_spec("cryptography") is not None

    def seal(self, values: Mapping[str, str], about: str) -> str:
        sealed: bytes = self._fernet().encrypt(orjson.dumps({"about": about, "values": dict(values)}))
        return sealed.decode()

    def open(self, sealed: str, about: str) -> Mapping[str, str]:
        fernet = self._fernet()
        from cryptography.fernet import InvalidToken

        try:
            held = orjson.loads(fernet.decrypt(sealed.encode()))
        except InvalidToken:
            raise Corrupt(
                "a secret was sealed with another key, or changed since: set the HANOK_SECRETS_KEY it was written "
                f"with, or bring {self._file.name} back, or set the secret anew"
            ) from None
        if held["about"] != about:
            raise Corrupt("a sealed secret stands where another one belongs; set the secret anew")
        values: Mapping[str, str] = held["values"]
        return values

    def _fernet(self) -> Any:
        try:
            from cryptography.fernet import Fernet
        except ImportError:
            raise MissingExtra("keeping secrets needs cryptography: pip install 'hanok[secrets]'") from None
        return Fernet(base64.urlsafe_b64encode(_decoded(self._key or self._kept())))

    def _kept(self) -> str:
        if not self._file.exists():
            _write_once(self._file, base64.urlsafe_b64encode(os.urandom(32)))
        key = self._file.read_text("latin-1").strip()
        if len(_decoded(key)) != 32:
            raise Corrupt(f"{self._file} is not a key of 32 bytes in base64; bring it back from where you keep a copy")
        return key


def _decoded(key: str) -> bytes:
    try:
        return base64.b64decode(key.strip().replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _write_once(file: Path, content: bytes) -> None:
    """Whole or not at all, and readable by its owner only; whoever comes second finds the first one's."""
    partial = file.with_name(f"{file.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
        os.link(partial, file)
    except FileExistsError:
        pass
    finally:
        os.close(descriptor)
        partial.unlink()
    sync_directory(file.parent)
