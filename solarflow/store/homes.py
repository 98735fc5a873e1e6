"""The homes of the community, and those that speak without having been approved."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from solarflow.errors import Problem, StoreError, Where, nearest
from solarflow.store.database import Connection
from solarflow.units import Degrees, PositiveWatts, Wp

HOME_ID = r"^[A-Za-z0-9_.-]{1,64}$"
PENDING_KEPT = 1000
EXCERPT_CHARACTERS = 200

_is_home_id = re.compile(HOME_ID.removesuffix("$") + r"\Z").match


class Load(BaseModel):
    """Something that a relay of a home switches."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=100)
    """What people call it: "boiler"."""
    power_w: PositiveWatts
    """What it draws when it is on."""
    relay: int = Field(ge=0, le=255)
    """The relay's number in `comunita/<home>/rele/<n>`."""


class Home(BaseModel):
    """One home of a community. What is None is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=HOME_ID)
    """As in its topics: letters, digits, `_`, `.` and `-`, at most 64."""
    community: str = Field(default="comunita", pattern=HOME_ID)
    name: str = Field(default="", max_length=200)
    peak_power_wp: Wp | None = None
    """Peak power of its panels under standard test conditions; None for a home without panels."""
    tilt_deg: Annotated[Degrees, Field(ge=0, le=90)] | None = None
    """Of the panels: 0 lies flat, 90 stands."""
    azimuth_deg: Annotated[Degrees, Field(ge=0, le=360)] | None = None
    """Where the panels look, as pvlib counts: 0 north, 90 east, 180 south."""
    latitude: Annotated[Degrees, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[Degrees, Field(ge=-180, le=180)] | None = None
    loads: tuple[Load, ...] = ()
    approved: bool = True
    """Whether its readings enter the features. Somebody wrote this home down, so by default they do."""

    @field_validator("loads")
    @classmethod
    def _loads_differ(cls, loads: tuple[Load, ...]) -> tuple[Load, ...]:
        for what in ("name", "relay"):
            counted = Counter(getattr(load, what) for load in loads)
            for value, times in counted.items():
                if times > 1:
                    raise ValueError(f"{times} loads have the {what} {value!r}")
        return loads


_HOME = TypeAdapter(Home)
_KINDS = {dict: "an object", str: "a text", bool: "true or false", type(None): "null"}


@dataclass(frozen=True, slots=True)
class PendingHome:
    """A home that sends readings and is not approved. Times are seconds since the epoch, UTC."""

    id: str
    first_seen: float
    last_seen: float
    last_topic: str
    last_payload: str
    """The beginning of it, as text."""
    count: int
    """Readings heard since it is in the list."""


class Homes:
    """The homes of app.db. `get` and `all` read a copy in memory, from any thread; what changes it runs on one thread.

    A change is on disk when its method returns, then each function in `on_change` is called with the ids concerned.
    Methods that change something raise StoreError when they cannot.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.on_change: list[Callable[[frozenset[str]], object]] = []
        self.invalid_ids = 0
        """Readings from ids that no home can have; they are counted, not listed."""
        with connection.reading() as database:
            homes = database.execute("select id, definition from homes").fetchall()
            pending = database.execute(
                "select id, first_seen, last_seen, last_topic, last_payload, count from pending_homes"
                " order by last_seen, id"
            ).fetchall()
        self._homes: Mapping[str, Home] = MappingProxyType({ident: self._load(ident, text) for ident, text in homes})
        self._pending = {row[0]: PendingHome(*row) for row in pending}
        self._pending_changed = False

    def _load(self, ident: str, definition: str) -> Home:
        try:
            return Home.model_validate_json(definition)
        except ValidationError as error:
            raise StoreError(
                f"{self.connection.location.label}: the home '{ident}' cannot be read: {_reasons(error)[0][1]}. "
                "Put the file back from a backup, or delete that row"
            ) from error

    def get(self, home: str) -> Home | None:
        """The home with this id, or None. Costs a dictionary access."""
        return self._homes.get(home)

    def all(self, community: str | None = None) -> list[Home]:
        """Every home, or those of one community, by id."""
        homes = self._homes
        return [homes[ident] for ident in sorted(homes) if community is None or homes[ident].community == community]

    def save(self, home: Home) -> None:
        """Add a home, or put it in the place of the one with its id."""
        self._save([home])

    def delete(self, ident: str) -> None:
        """Forget a home. Its series and alerts stay. Raises StoreError when there is none."""
        self._known(ident)
        with self.connection.writing() as database:
            database.table("homes").delete(ident)
        self._replace({key: home for key, home in self._homes.items() if key != ident}, [ident])

    def approve(self, ident: str) -> Home:
        """Let a home's readings in, and return it. A pending one that nobody described becomes a home with only an id.

        Raises StoreError when nothing is known of that id.
        """
        home = self._homes.get(ident)
        if home is None and ident in self._pending:
            home = Home(id=ident)
        approved = (home or self._known(ident)).model_copy(update={"approved": True})
        self._save([approved])
        return approved

    def pending(self) -> list[PendingHome]:
        """The homes that wait for approval, the last heard first."""
        return list(self._pending.values())[::-1]

    def note_unknown(self, home: str, topic: str, payload: object, now: float) -> None:
        """List a home whose reading was not let in, heard at `now` (seconds since the epoch, UTC).

        Keeps the 1000 last heard, in memory until `persist_pending`.
        """
        if not _is_home_id(home):
            self.invalid_ids += 1
            return
        known = self._pending.pop(home, None)
        if known is None and len(self._pending) >= PENDING_KEPT:
            del self._pending[next(iter(self._pending))]
        first_seen, count = (now, 0) if known is None else (known.first_seen, known.count)
        self._pending[home] = PendingHome(home, first_seen, now, _excerpt(topic), _excerpt(payload), count + 1)
        self._pending_changed = True

    def persist_pending(self) -> None:
        """Write the list of those that wait, if it changed: now and then, a crash may lose the last of it."""
        if not self._pending_changed:
            return
        with self.connection.writing() as database:
            self._write_pending(database.conn)
        self._pending_changed = False

    def import_json(self, text: str) -> tuple[int, list[Problem]]:
        """Save the homes of a JSON array as `export_json` writes it; others stay as they are.

        All or nothing: returns how many were saved, and every problem when that is none.
        """
        homes, problems = _parse(text)
        if problems:
            return 0, problems
        self._save(homes)
        return len(homes), []

    def export_json(self) -> str:
        """Every home as JSON, always the same text for the same homes; what is not known is left out."""
        return json.dumps([_as_json(home) for home in self.all()], indent=2, ensure_ascii=False) + "\n"

    def _known(self, ident: str) -> Home:
        home = self._homes.get(ident)
        if home is None:
            likely = nearest(ident, [*self._homes, *self._pending])
            raise StoreError(f"there is no home '{ident}'{likely}. `solarflow homes` lists them")
        return home

    def _save(self, homes: Iterable[Home]) -> None:
        changed = {home.id: home for home in homes}
        waiting = {key: one for key, one in self._pending.items() if key not in changed or not changed[key].approved}
        with self.connection.writing() as database:
            database.table("homes").upsert_all(
                (
                    {
                        "id": home.id,
                        "community": home.community,
                        "approved": int(home.approved),
                        "definition": json.dumps(_as_json(home)),
                    }
                    for home in changed.values()
                ),
                pk="id",
            )
            if len(waiting) != len(self._pending):
                database.conn.executemany(
                    "delete from pending_homes where id = ?", [(key,) for key in self._pending if key not in waiting]
                )
        self._pending = waiting
        self._replace({**self._homes, **changed}, changed)

    def _replace(self, homes: dict[str, Home], changed: Iterable[str]) -> None:
        """A new copy in one assignment: a reader in another thread sees the old one or the new one."""
        self._homes = MappingProxyType(homes)
        for function in self.on_change:
            function(frozenset(changed))

    def _write_pending(self, database: Any) -> None:
        database.execute("delete from pending_homes")
        database.executemany(
            "insert into pending_homes (id, first_seen, last_seen, last_topic, last_payload, count)"
            " values (?, ?, ?, ?, ?, ?)",
            [
                (one.id, one.first_seen, one.last_seen, one.last_topic, one.last_payload, one.count)
                for one in self._pending.values()
            ],
        )


def _parse(text: str) -> tuple[list[Home], list[Problem]]:
    try:
        items = json.loads(text)
    except json.JSONDecodeError as error:
        position = {"reason": error.msg, "line": error.lineno, "column": error.colno}
        return [], [Problem("not-json", parameters=position)]
    except RecursionError:
        return [], [Problem("not-homes", parameters={"found": "JSON nested without end"})]
    if not isinstance(items, list):
        return [], [Problem("not-homes", parameters={"found": _KINDS.get(type(items), "a number")})]
    homes: dict[str, Home] = {}
    problems: list[Problem] = []
    for number, item in enumerate(items, start=1):
        ident = item.get("id") if isinstance(item, dict) else None
        place = Where(type="home", node=str(number), name=ident if isinstance(ident, str) else "")
        try:
            home = _HOME.validate_json(json.dumps(item), strict=True)
        except ValidationError as error:
            problems += [
                Problem("invalid-home", replace(place, property=where), {"reason": reason})
                for where, reason in _reasons(error)
            ]
            continue
        if home.id in homes:
            problems.append(Problem("duplicate-home", place, {"id": home.id}))
        homes[home.id] = home
    return list(homes.values()), problems


def _reasons(error: ValidationError) -> list[tuple[str, str]]:
    """Every (property, what is wrong with it)."""
    reasons = []
    for part in error.errors(include_url=False):
        place = ".".join(str(step) for step in part["loc"])
        reason = part["msg"].removeprefix("Value error, ")
        if part["type"] == "extra_forbidden":
            known = Load.model_fields if part["loc"][0] == "loads" else Home.model_fields
            reason = f"no such property{nearest(str(part['loc'][-1]), known)}"
        reasons.append((place, reason))
    return reasons


def _as_json(home: Home) -> dict[str, Any]:
    return home.model_dump(mode="json", exclude_none=True)


def _excerpt(payload: object) -> str:
    if isinstance(payload, bytes):
        text = payload[:EXCERPT_CHARACTERS].decode("utf-8", "replace")
    elif isinstance(payload, str):
        text = payload
    else:
        text = json.dumps(payload, default=str)
    return text[:EXCERPT_CHARACTERS].encode("utf-8", "replace").decode()
