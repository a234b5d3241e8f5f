"""Slow hashes of passwords: scrypt (RFC 7914) of the standard library."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from hanok.core.errors import Invalid

PASSWORD_MIN, PASSWORD_MAX = 12, 1024
_COST, _BLOCK, _PARALLEL = 2**15, 8, 1  # 32 MiB and some 80 ms


def derive(password: str) -> str:
    """`scrypt$n$r$p$salt$key`. Raises Invalid for a password that is too short or too long."""
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        raise Invalid(f"the password has {len(password)} characters; it needs {PASSWORD_MIN} to {PASSWORD_MAX}")
    salt = secrets.token_bytes(16)
    key = _scrypt(password, salt, _COST, _BLOCK, _PARALLEL)
    return f"scrypt${_COST}${_BLOCK}${_PARALLEL}${_text(salt)}${_text(key)}"


def matches(password: str, derived: str) -> bool:
    """Costs the same whether there is a password to compare with or not."""
    known = derived or _NOBODY
    _, cost, block, parallel, salt, key = known.split("$")
    found = _scrypt(password[:PASSWORD_MAX], base64.b64decode(salt), int(cost), int(block), int(parallel))
    return hmac.compare_digest(found, base64.b64decode(key)) and bool(derived)


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"), salt=salt, n=cost, r=block, p=parallel, maxmem=2**26, dklen=32
    )


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


_NOBODY = f"scrypt${_COST}${_BLOCK}${_PARALLEL}${_text(bytes(16))}${_text(bytes(32))}"
