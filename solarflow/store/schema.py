"""The tables of telemetry.db and app.db, as numbered migrations.

A migration that was released is never edited: the next change of a table is a new function with the next number.
"""

from __future__ import annotations

from sqlite_utils import Database, Migrations

TELEMETRY = Migrations("telemetry")
APP = Migrations("app")


@TELEMETRY()
def m001_series_and_state(db: Database) -> None:
    """Series with samples and rollups; the engine's state.

    Samples and rollups have no rowid: the primary key is the tree itself, at 19 bytes a sample.
    """
    db.table("series").create(
        {"id": int, "home": str, "quantity": str, "unit": str},
        pk="id",
        not_null=("home", "quantity", "unit"),
        strict=True,
    ).create_index(["home", "quantity"], unique=True)
    db.execute(
        "create table samples (series integer not null, ts_ms integer not null, value real not null,"
        " primary key (series, ts_ms)) strict, without rowid"
    )
    db.execute(
        "create table hourly (series integer not null, hour integer not null, n integer not null, sum real not null,"
        " minimum real not null, maximum real not null, primary key (series, hour)) strict, without rowid"
    )
    db.execute(
        "create table node_state (node text not null, key text not null, json blob not null,"
        " primary key (node, key)) strict, without rowid"
    )
    db.execute(
        "create table timers (node text not null, method text not null, key text not null, json blob not null,"
        " primary key (node, method, key)) strict, without rowid"
    )
    db.execute(
        "create table context (scope text not null, name text not null, json blob not null,"
        " primary key (scope, name)) strict, without rowid"
    )
    db.table("meta").create({"name": str, "value": float}, pk="name", not_null=("value",), strict=True)


@APP()
def m001_homes_alerts_events(db: Database) -> None:
    """Homes, those that wait for approval, alerts with their episodes, and events."""
    db.table("homes").create(
        {"id": str, "community": str, "approved": int, "definition": str},
        pk="id",
        not_null=("community", "approved", "definition"),
        strict=True,
    )
    db.table("pending_homes").create(
        {"id": str, "first_seen": float, "last_seen": float, "last_topic": str, "last_payload": str, "count": int},
        pk="id",
        not_null=("first_seen", "last_seen", "last_topic", "last_payload", "count"),
        strict=True,
    )
    db.table("alerts").create(
        {
            "id": int,
            "home": str,
            "code": str,
            "parameters": str,
            "opened": float,
            "closed": float,
            "closing_parameters": str,
        },
        pk="id",
        not_null=("home", "code", "parameters", "opened"),
        strict=True,
    )
    db.execute("create unique index alerts_one_open on alerts (home, code) where closed is null")
    db.table("events").create(
        {"id": int, "ts": float, "kind": str, "home": str, "parameters": str},
        pk="id",
        not_null=("ts", "kind", "home", "parameters"),
        strict=True,
    )
