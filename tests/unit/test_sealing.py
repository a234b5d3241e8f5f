"""Secrets at rest."""

import base64
import stat

import pytest

from hanok.core.errors import ConfigError, Corrupt
from hanok.stores.sealing import FernetSealer

KEY = base64.b64encode(bytes(range(32))).decode()


def test_what_was_sealed_opens_with_the_same_key_and_shows_nothing(tmp_path):
    sealed = FernetSealer(tmp_path / "k").seal({"api_key": "sk-very-secret"}, "s-1")
    assert "sk-very" not in sealed
    assert FernetSealer(tmp_path / "k").open(sealed, "s-1") == {"api_key": "sk-very-secret"}
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["k"]


def test_a_key_from_the_environment_leaves_no_file(tmp_path):
    sealer = FernetSealer(tmp_path / "k", KEY)
    assert sealer.open(sealer.seal({"a": "b"}, "s-1"), "s-1") == {"a": "b"}
    assert not list(tmp_path.iterdir())


def test_another_key_another_owner_and_a_changed_text_do_not_open(tmp_path):
    sealer = FernetSealer(tmp_path / "k")
    sealed = sealer.seal({"a": "b"}, "s-1")
    changed = sealed[:-8] + ("A" if sealed[-8] != "A" else "B") + sealed[-7:]
    for opener, text, about in (
        (FernetSealer(tmp_path / "other"), sealed, "s-1"),
        (sealer, changed, "s-1"),
        (sealer, sealed, "s-2"),
    ):
        with pytest.raises(Corrupt):
            opener.open(text, about)


@pytest.mark.parametrize("key", ["short", "x" * 44, base64.b64encode(b"16 bytes, no more").decode()])
def test_a_key_that_is_none_is_refused_at_once(tmp_path, key):
    with pytest.raises(ConfigError, match="HANOK_SECRETS_KEY"):
        FernetSealer(tmp_path / "k", key)
    (tmp_path / "k").write_text(key)
    with pytest.raises(Corrupt, match="32 bytes"):
        FernetSealer(tmp_path / "k").seal({"a": "b"}, "s-1")
