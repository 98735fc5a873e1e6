"""Who may do what on the embedded broker: one credential per home, changeable while it runs."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from threading import RLock
from typing import Literal

from solarflow.errors import UsageError

Action = Literal["publish", "subscribe", "receive"]
"""`publish` and `receive` go with a topic, `subscribe` with a topic filter."""

ENGINE = "engine"
"""The user that goes everywhere, by convention of the installation; no home's credential may take its name."""
_NOBODY = "0" * 64
"""Compared with where there is no such user, so that an unknown name takes as long as a wrong secret."""


def is_publishable(topic: str) -> bool:
    """Whether any client may publish to this topic: none that holds a wildcard, and not the broker's own `$` tree."""
    return bool(topic) and not topic.startswith("$") and "+" not in topic and "#" not in topic


def hash_secret(secret: str) -> str:
    """SHA-256 of a secret, in hexadecimal: all that is ever kept of it.

    A fast hash is enough for the random 128-bit tokens of `new_credential`; do not use it for passwords people choose.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


def new_credential(home: str) -> tuple[str, str]:
    """The user name and a new secret for a home: `(user, token)`, the token 128 random bits as 32 hexadecimal digits.

    Show the token once; keep `hash_secret(token)`. Raises UsageError for a home that cannot stand in a topic, and for
    one that is called like the engine's user.
    """
    if home == ENGINE:
        raise UsageError(f"a home cannot have the broker's user '{ENGINE}', which is the engine's own: rename the home")
    return _level("home", home), secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class _User:
    secret_hash: str
    base: str | None
    """The topic that this user's tree hangs from; None for one who goes everywhere."""


class Rights:
    """The users of a broker, and what each may reach. Any thread may change it at any moment; readers never wait.

    A home's user reaches `<root>/<home>` and all below it, to publish and to subscribe; a user without a home (the
    engine) reaches everything. Nobody publishes to a topic that begins with `$`.
    """

    def __init__(self, root: str = "comunita") -> None:
        for level in root.split("/"):
            _level("root topic's level", level)
        self._root = root
        self._users: dict[str, _User] = {}
        self._watchers: list[Callable[[str], None]] = []
        self._lock = RLock()

    def set_user(self, user: str, secret_hash: str, home: str | None = None) -> None:
        """Add a user or replace it; `home` None lets it reach everything.

        Raises UsageError for a name or home that cannot stand in a topic, and for what is not a SHA-256.
        """
        _level("user", user)
        if not re.fullmatch(r"[0-9a-f]{64}", secret_hash):
            raise UsageError(
                f"the secret of user '{user}' is not a SHA-256 in 64 hexadecimal digits: pass hash_secret(token), "
                "never the token itself"
            )
        base = None if home is None else f"{self._root}/{_level('home', home)}"
        entry = _User(secret_hash, base)
        with self._lock:
            if self._users.get(user) != entry:
                self._users = {**self._users, user: entry}
                self._tell(user)

    def remove_user(self, user: str) -> None:
        """Take a user's rights away, at once also from its open connections. One that is not there is no error."""
        with self._lock:
            if user in self._users:
                self._users = {name: entry for name, entry in self._users.items() if name != user}
                self._tell(user)

    def users(self) -> list[str]:
        """The names of all users, sorted."""
        return sorted(self._users)

    def verify(self, user: str, secret: str) -> bool:
        """Whether this is the user's secret; takes the same time for an unknown user as for a wrong secret."""
        entry = self._users.get(user)
        same = hmac.compare_digest(entry.secret_hash if entry else _NOBODY, hash_secret(secret))
        return same and entry is not None

    def allowed(self, user: str, topic: str, action: Action) -> bool:
        """Whether `user` may do this with `topic`, which for "subscribe" is a filter that may hold `+` and `#`."""
        entry = self._users.get(user)
        if entry is None or (action == "publish" and not is_publishable(topic)):
            return False
        base = entry.base
        # A filter that spells out the whole base matches nothing outside of it, whatever wildcards follow.
        return base is None or topic == base or topic.startswith(base + "/")

    def watch(self, changed: Callable[[str], None]) -> Callable[[], None]:
        """Call `changed(user)` after each change, in the thread that made it. The answer ends the watch when called."""
        with self._lock:
            self._watchers.append(changed)

        def unwatch() -> None:
            with self._lock:
                self._watchers.remove(changed)

        return unwatch

    def _tell(self, user: str) -> None:
        for changed in self._watchers:
            changed(user)


def _level(what: str, name: str) -> str:
    """The name, if it can be one level of a topic; else UsageError."""
    if not name or not name.isprintable() or any(character in name for character in "/+#|$"):
        raise UsageError(f"'{name}' cannot be a {what}: it needs one character or more, and none of / + # | $")
    return name
