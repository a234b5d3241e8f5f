"""Users, their tokens and roles, projects, and the audit record.

Verbs work on the store without its guard and check here who may; whoever is refused gets Forbidden. What is remembered
elsewhere about callers is void as soon as `epoch` has grown: in this process before the change is answered, in other
servers on the same database when they look at the generation that grew in the change's own commit.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

from hanok.core.access import (
    EVERY_PROJECT,
    TOKEN_PREFIX,
    Access,
    Actor,
    AuditEntry,
    Role,
    Token,
    User,
    caller,
    current_call,
    role_named,
)
from hanok.core.clock import Clock
from hanok.core.errors import AlreadyExists, Forbidden, Invalid, NotFound
from hanok.core.ids import checked_name, new_id
from hanok.parts.access import passwords
from hanok.parts.access.directory import Directory
from hanok.stores.ports import Metadata, Repositories

T = TypeVar("T")

API, SESSION = "api", "session"
SESSION_HOURS = 12
RESERVED = ("admin", "local", "system")
USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
TOKENS_MAX = 1000


@dataclass(frozen=True, slots=True)
class Known:
    """A user as the store has him: his roles, and whether he may come in."""

    user: User
    roles: tuple[Role, ...]


class AccessVerbs:
    def __init__(self, metadata: Metadata, directory: Directory, clock: Clock) -> None:
        self._metadata, self._directory, self._clock = metadata, directory, clock
        self.epoch = 0
        self._generation = -1

    # -- users -----------------------------------------------------------------------------------------------

    def add_user(self, name: str, password: str) -> User:
        """Raises AlreadyExists, Invalid."""
        if not USER.fullmatch(name) or name.lower() in RESERVED:
            raise Invalid(
                f"user name {name[:80]!r} is not usable: letters, digits and . _ @ + - (64 at most), "
                f"and none of {', '.join(RESERVED)}"
            )
        derived = passwords.derive(password)
        user = User(name, self._clock.now())
        _note(EVERY_PROJECT, f"user {name}")

        def work(r: Repositories) -> None:
            if any(known.name.lower() == name.lower() for known in r.users.all()):
                raise AlreadyExists(f"there is a user {name!r} already (upper and lower case are not told apart)")
            r.users.put(user)
            r.users.set_password(name, derived)

        self._change(work)
        return user

    def users(self) -> list[User]:
        return self._metadata.read(lambda r: r.users.all())

    def set_disabled(self, name: str, disabled: bool) -> User:
        """A disabled user is refused at once, with all tokens and sessions."""
        _note(EVERY_PROJECT, f"user {name}")
        now = self._clock.now()

        def work(r: Repositories) -> User:
            changed = replace(_user(r, name), disabled=now if disabled else None)
            r.users.put(changed)
            if disabled:
                r.tokens.revoke_of(name, SESSION, now)
            return changed

        return self._change(work)

    def set_password(self, name: str, password: str) -> None:
        """Sessions end; API tokens stay. Raises Forbidden when an API token changes the password of its user."""
        actor = caller()
        _note(EVERY_PROJECT, f"user {name}")
        if actor.access_everywhere < Access.OWN:
            if actor.name != name:
                raise Forbidden("only an owner of all projects sets the password of another user")
            _not_by_token(actor)
        derived, now = passwords.derive(password), self._clock.now()

        def work(r: Repositories) -> None:
            _user(r, name)
            r.users.set_password(name, derived)
            r.tokens.revoke_of(name, SESSION, now)

        self._change(work)

    def derived_password(self, name: str) -> str:
        return self._metadata.read(lambda r: r.users.password(name))

    def has_owner(self) -> bool:
        """Whether somebody can come in who owns all projects."""

        def work(r: Repositories) -> bool:
            active = {u.name for u in r.users.all() if u.disabled is None}
            owners = {o.user for o in r.roles.all() if o.project == EVERY_PROJECT and o.access is Access.OWN}
            return bool(owners & active)

        return self._metadata.read(work)

    def known(self, name: str) -> Known | None:
        """The user, unless there is none of this name or he is disabled."""

        def work(r: Repositories) -> Known | None:
            user = r.users.get(name)
            return None if user is None or user.disabled is not None else Known(user, tuple(r.roles.of(name)))

        return self._metadata.read(work)

    # -- tokens ----------------------------------------------------------------------------------------------

    def create_token(
        self, name: str, *, user: str = "", access: str = "owner", project: str = "", days: float | None = 90
    ) -> tuple[Token, str]:
        """The token and its secret, which is shown once. It never may more than its user. Raises Forbidden."""
        actor = caller()
        owner = user or actor.name
        if actor.access_everywhere < Access.OWN:
            if owner != actor.name:
                raise Forbidden("only an owner of all projects makes tokens for another user")
            _not_by_token(actor)
        level = role_named(access)
        if level is None:
            raise Invalid(f"access {access[:40]!r} is not one of reader, user, editor, owner")
        if project:
            checked_name("project", project)
        if days is not None and not 0 < days <= 3660:
            raise Invalid(f"a token lives {days} days; more than 0 and at most 3660 are allowed, or none at all")
        return self._issue(owner, name, API, level, project, None if days is None else timedelta(days=days))

    def open_session(self, user: str) -> str:
        """The secret of a browser's cookie."""
        return self._issue(user, "browser", SESSION, Access.OWN, "", timedelta(hours=SESSION_HOURS))[1]

    def _issue(
        self, user: str, name: str, kind: str, access: Access, project: str, lives: timedelta | None
    ) -> tuple[Token, str]:
        now = self._clock.now()
        secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
        if not name.strip() or len(name) > 120 or not name.isprintable():
            raise Invalid("a token needs a name of 1 to 120 characters, to know it by when it is revoked")
        token = Token(new_id(now), user, name, kind, access, project, now, None if lives is None else now + lives)
        _note(project or EVERY_PROJECT, f"token {token.id} of {user}")

        def work(r: Repositories) -> None:
            if user not in RESERVED or kind == API:
                _user(r, user)
            r.tokens.remove_expired(SESSION, now)
            if kind == API and sum(t.revoked is None for t in r.tokens.list(user) if t.kind == API) >= TOKENS_MAX:
                raise Invalid(f"{user} has {TOKENS_MAX} tokens; revoke some first: hanok token list")
            r.tokens.add(token, digest_of(secret))

        self._metadata.write(work)
        return token, secret

    def tokens(self, user: str | None = None) -> list[Token]:
        """API tokens: the caller's own, or for an owner of all projects anybody's."""
        actor = caller()
        if actor.access_everywhere < Access.OWN:
            if user not in (None, actor.name):
                raise Forbidden("only an owner of all projects sees the tokens of another user")
            user = actor.name
        return [t for t in self._metadata.read(lambda r: r.tokens.list(user)) if t.kind == API]

    def revoke_token(self, token_id: str) -> Token:
        """By id, or its first letters. Raises NotFound, Forbidden."""
        matching = [t for t in self.tokens() if token_id and t.id.startswith(token_id)]
        if len(matching) != 1:
            raise NotFound(
                f"{'no token' if not matching else 'more than one token'} begins with {token_id[:40]!r}; "
                "'hanok token list' shows ids"
            )
        now = self._clock.now()
        _note(matching[0].project or EVERY_PROJECT, f"token {matching[0].id} of {matching[0].user}")

        def work(r: Repositories) -> None:
            r.tokens.revoke(matching[0].id, now)

        self._change(work)
        return replace(matching[0], revoked=matching[0].revoked or now)

    def close_session(self, digest: str) -> None:
        now = self._clock.now()

        def work(r: Repositories) -> None:
            found = r.tokens.find(digest)
            if found is not None and found.kind == SESSION:
                r.tokens.revoke(found.id, now)

        self._change(work)

    def token_with(self, digest: str) -> Token | None:
        """The token of this digest, unless it is revoked or expired."""
        found = self._metadata.read(lambda r: r.tokens.find(digest))
        now = self._clock.now()
        if found is None or found.revoked is not None or (found.expires is not None and found.expires <= now):
            return None
        return found

    # -- roles and projects ----------------------------------------------------------------------------------

    def grant(self, user: str, role: str, project: str) -> Role:
        """Raises Forbidden unless the caller owns the project."""
        level = role_named(role)
        if level is None:
            raise Invalid(f"role {role[:40]!r} is not one of reader, user, editor, owner")
        if project != EVERY_PROJECT:
            checked_name("project", project)
        _note(project, f"{role} for user {user}")
        self._must_own(project)
        granted = Role(user, project, level, self._clock.now(), caller().name)

        def work(r: Repositories) -> None:
            _user(r, user)
            r.roles.grant(granted)

        self._change(work)
        return granted

    def withdraw(self, user: str, project: str) -> None:
        """Take a role away. Raises NotFound, Forbidden."""
        _note(project, f"role of user {user}")
        self._must_own(project)

        def work(r: Repositories) -> None:
            if not r.roles.revoke(user, project):
                raise NotFound(f"{user[:80]} has no role in project {project[:80]!r}; see: hanok role list")

        self._change(work)

    def roles(self) -> list[Role]:
        """Those of the projects that the caller owns, and his own."""
        actor = caller()
        return [
            role
            for role in self._metadata.read(lambda r: r.roles.all())
            if role.user == actor.name or actor.access_in(role.project) >= Access.OWN
        ]

    def projects(self) -> dict[str, tuple[int, int]]:
        """Number of experiments and registered models of each project that the caller may read."""
        actor = caller()
        counts = self._metadata.read(lambda r: r.projects.counts())
        return {p: n for p, n in counts.items() if actor.access_in(p) >= Access.READ}

    def assign(self, project: str, *, experiments: Sequence[str] = (), models: Sequence[str] = ()) -> None:
        """Move experiments and registered models, by name, into a project. The caller must own both sides."""
        checked_name("project", project)
        self._must_own(project)
        actor = caller()
        for thing in [*(f"experiment {e}" for e in experiments), *(f"model {m}" for m in models)]:
            _note(project, thing)

        def work(r: Repositories) -> None:
            for name in experiments:
                experiment = r.experiments.named(name)
                if experiment is None or actor.access_in(experiment.project) < Access.READ:
                    raise NotFound(f"there is no experiment named {name[:120]!r}")
                self._must_own(experiment.project)
                r.experiments.put(replace(experiment, project=project))
            for name in models:
                found = r.registry.models(name)
                if not found or actor.access_in(found[0].project) < Access.READ:
                    raise NotFound(f"there is no registered model named {name[:120]!r}")
                self._must_own(found[0].project)
                r.registry.put_model(replace(found[0], project=project))

        self._change(work)

    def follow(self) -> None:
        """Look whether another server on this database changed anything."""
        generation = self._metadata.read(lambda r: r.roles.generation())
        if generation != self._generation:
            self._generation = generation
            self._forget()

    def _change(self, work: Callable[[Repositories], T]) -> T:
        def and_tell(r: Repositories) -> T:
            done = work(r)
            r.roles.changed()
            return done

        done = self._metadata.write(and_tell)
        self._forget()
        return done

    def _forget(self) -> None:
        self._directory.forget()
        self.epoch += 1

    def _must_own(self, project: str) -> None:
        actor = caller()
        if actor.access_in(project) < Access.OWN:
            raise Forbidden(f"{actor.name} does not own project {project[:80]!r}; ask one of its owners")

    # -- audit -----------------------------------------------------------------------------------------------

    def audit(
        self, *, actor: str = "", project: str = "", denied: bool = False, before: int = 0, limit: int = 100
    ) -> list[AuditEntry]:
        """Newest first. Raises Forbidden unless the caller owns the project, or all when none is named."""
        self._must_own(project or EVERY_PROJECT)
        limit = min(10_000, max(1, limit))
        return self._metadata.read(
            lambda r: r.audit.list(actor=actor, project=project, denied=denied, before=before, limit=limit)
        )

    def record(self, entries: Sequence[AuditEntry]) -> None:
        """Durable on return."""
        self._metadata.write(lambda r: r.audit.append(entries))

    def note_used(self, tokens: Sequence[str]) -> None:
        now = self._clock.now()
        self._metadata.write(lambda r: r.tokens.used(dict.fromkeys(tokens, now)))


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _user(r: Repositories, name: str) -> User:
    found = r.users.get(name)
    if found is None:
        raise NotFound(f"there is no user {name[:80]!r}; 'hanok user list' shows all")
    return found


def _not_by_token(actor: Actor) -> None:
    if actor.token:
        raise Forbidden("an API token makes no tokens and sets no password: log in with your password for that")


def _note(project: str, resource: str) -> None:
    """For the audit record."""
    call = current_call()
    if call is not None:
        call.touched.append((project, resource[:200]))
