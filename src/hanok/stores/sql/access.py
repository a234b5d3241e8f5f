"""Users, tokens and roles."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from hanok.core.access import Access, Role, Token, User
from hanok.core.clock import micros
from hanok.stores.sql.rows import at as instant_of
from hanok.stores.sql.rows import instant, moment

_TOKEN = "id, user_name, name, kind, access, project, created, expires, last_used, revoked"


class SqlUsers:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def put(self, user: User) -> None:
        self._c.execute(
            text(
                "INSERT INTO user_account (name, password, created, disabled) VALUES (:name, '', :created, :disabled) "
                "ON CONFLICT (name) DO UPDATE SET disabled = excluded.disabled"
            ),
            {"name": user.name, "created": micros(user.created), "disabled": instant(user.disabled)},
        )

    def set_password(self, name: str, derived: str) -> None:
        self._c.execute(
            text("UPDATE user_account SET password = :password WHERE name = :name"),
            {"name": name, "password": derived},
        )

    def password(self, name: str) -> str:
        found = self._c.execute(text("SELECT password FROM user_account WHERE name = :name"), {"name": name}).scalar()
        return found or ""

    def get(self, name: str) -> User | None:
        row = self._c.execute(
            text("SELECT name, created, disabled FROM user_account WHERE name = :name"), {"name": name}
        ).first()
        return None if row is None else _user(row)

    def all(self) -> list[User]:
        return [
            _user(row)
            for row in self._c.execute(text("SELECT name, created, disabled FROM user_account ORDER BY name"))
        ]


class SqlTokens:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def add(self, token: Token, digest: str) -> None:
        self._c.execute(
            text(
                f"INSERT INTO access_token (digest, {_TOKEN}) VALUES (:digest, :id, :user, :name, :kind, :access, "
                ":project, :created, :expires, :last_used, :revoked)"
            ),
            {
                "digest": digest,
                "id": token.id,
                "user": token.user,
                "name": token.name,
                "kind": token.kind,
                "access": int(token.access),
                "project": token.project,
                "created": micros(token.created),
                "expires": instant(token.expires),
                "last_used": instant(token.last_used),
                "revoked": instant(token.revoked),
            },
        )

    def find(self, digest: str) -> Token | None:
        row = self._c.execute(
            text(f"SELECT {_TOKEN} FROM access_token WHERE digest = :digest"), {"digest": digest}
        ).first()
        return None if row is None else _token(row)

    def list(self, user: str | None = None) -> list[Token]:
        where, values = ("", {}) if user is None else ("WHERE user_name = :user", {"user": user})
        rows = self._c.execute(
            text(f"SELECT {_TOKEN} FROM access_token {where} ORDER BY created DESC, id DESC"), values
        )
        return [_token(row) for row in rows]

    def revoke(self, token_id: str, at: datetime) -> bool:
        done = self._c.execute(
            text("UPDATE access_token SET revoked = :at WHERE id = :id AND revoked IS NULL"),
            {"id": token_id, "at": micros(at)},
        )
        return done.rowcount > 0

    def revoke_of(self, user: str, kind: str, at: datetime) -> int:
        return self._c.execute(
            text("UPDATE access_token SET revoked = :at WHERE user_name = :user AND kind = :kind AND revoked IS NULL"),
            {"user": user, "kind": kind, "at": micros(at)},
        ).rowcount

    def used(self, at: Mapping[str, datetime]) -> None:
        if at:
            self._c.execute(
                text("UPDATE access_token SET last_used = :at WHERE id = :id"),
                [{"id": token_id, "at": micros(when)} for token_id, when in at.items()],
            )

    def remove_expired(self, kind: str, before: datetime) -> int:
        return self._c.execute(
            text("DELETE FROM access_token WHERE kind = :kind AND expires < :before"),
            {"kind": kind, "before": micros(before)},
        ).rowcount


class SqlRoles:
    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def grant(self, role: Role) -> None:
        self._c.execute(
            text(
                "INSERT INTO project_role (user_name, project, access, granted, granted_by) "
                "VALUES (:user, :project, :access, :granted, :by) ON CONFLICT (user_name, project) DO UPDATE SET "
                "access = excluded.access, granted = excluded.granted, granted_by = excluded.granted_by"
            ),
            {
                "user": role.user,
                "project": role.project,
                "access": int(role.access),
                "granted": micros(role.granted),
                "by": role.granted_by,
            },
        )

    def revoke(self, user: str, project: str) -> bool:
        done = self._c.execute(
            text("DELETE FROM project_role WHERE user_name = :user AND project = :project"),
            {"user": user, "project": project},
        )
        return done.rowcount > 0

    def of(self, user: str) -> list[Role]:
        return self._where("WHERE user_name = :user", {"user": user})

    def all(self) -> list[Role]:
        return self._where("", {})

    def generation(self) -> int:
        return int(self._c.execute(text("SELECT number FROM access_generation WHERE id = 1")).scalar_one())

    def changed(self) -> None:
        self._c.execute(text("UPDATE access_generation SET number = number + 1 WHERE id = 1"))

    def _where(self, where: str, values: Mapping[str, Any]) -> list[Role]:
        rows = self._c.execute(
            text(
                "SELECT user_name, project, access, granted, granted_by FROM project_role "
                f"{where} ORDER BY project, user_name"
            ),
            values,
        )
        return [Role(row[0], row[1], Access(row[2]), instant_of(row[3]), row[4]) for row in rows]


def _user(row: Any) -> User:
    return User(row[0], instant_of(row[1]), moment(row[2]))


def _token(row: Any) -> Token:
    return Token(
        row[0],
        row[1],
        row[2],
        row[3],
        Access(row[4]),
        row[5],
        instant_of(row[6]),
        moment(row[7]),
        moment(row[8]),
        moment(row[9]),
    )
