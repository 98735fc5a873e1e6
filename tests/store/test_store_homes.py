"""Homes: saved, cached, approved, imported all or nothing, exported always alike; the unknown ones wait."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from solarflow.errors import StoreError, describe
from solarflow.store import DataFolder, Home, Load

NOON = 1_720_000_800.0
CASA_A = Home(
    id="casa_A",
    name="Rossi",
    peak_power_wp=3000,
    tilt_deg=30,
    azimuth_deg=180,
    latitude=41.9,
    longitude=12.5,
    loads=(Load(name="boiler", power_w=1200, relay=1),),
)


def test_a_saved_home_is_there_at_once_and_at_the_next_start(tmp_path) -> None:
    with DataFolder(tmp_path) as folder:
        folder.homes.save(CASA_A)
        assert folder.homes.get("casa_A") is CASA_A
    with DataFolder(tmp_path) as folder:
        assert folder.homes.get("casa_A") == CASA_A


def test_homes_come_by_id_and_by_community(folder: DataFolder) -> None:
    for ident, community in (("c", "nord"), ("a", "sud"), ("b", "nord")):
        folder.homes.save(Home(id=ident, community=community))
    assert [home.id for home in folder.homes.all()] == ["a", "b", "c"]
    assert [home.id for home in folder.homes.all("nord")] == ["b", "c"]


def test_a_home_can_be_replaced_and_deleted(folder: DataFolder) -> None:
    folder.homes.save(CASA_A)
    folder.homes.save(CASA_A.model_copy(update={"name": "Bianchi"}))
    assert [home.name for home in folder.homes.all()] == ["Bianchi"]
    folder.homes.delete("casa_A")
    assert folder.homes.get("casa_A") is None
    with folder.reader() as reader:
        assert reader.homes.all() == []


def test_deleting_a_home_that_is_not_there_names_the_likeliest(folder: DataFolder) -> None:
    folder.homes.save(CASA_A)
    with pytest.raises(StoreError, match=r"there is no home 'casa_a'; did you mean 'casa_A'\?"):
        folder.homes.delete("casa_a")


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "casa A"},
        {"id": "casa_A\n"},
        {"id": "c" * 65},
        {"id": ""},
        {"peak_power_wp": 0},
        {"peak_power_wp": float("nan")},
        {"tilt_deg": 91},
        {"azimuth_deg": -1},
        {"latitude": 91},
        {"longitude": 181},
        {"colour": "red"},
        {"loads": [{"name": "a", "power_w": 1, "relay": 1}, {"name": "b", "power_w": 1, "relay": 1}]},
        {"loads": [{"name": "a", "power_w": 1, "relay": 1}, {"name": "a", "power_w": 1, "relay": 2}]},
    ],
)
def test_a_home_that_cannot_be_is_refused(wrong) -> None:
    with pytest.raises(ValidationError):
        Home(**{"id": "casa_A", **wrong})


def test_a_home_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        CASA_A.name = "Bianchi"


def test_each_change_is_told_after_it_is_there(folder: DataFolder) -> None:
    told: list[tuple[frozenset[str], bool]] = []
    folder.homes.on_change.append(lambda ids: told.append((ids, folder.homes.get("casa_A") is not None)))
    folder.homes.save(CASA_A)
    folder.homes.delete("casa_A")
    folder.homes.import_json('[{"id": "casa_A"}, {"id": "casa_B"}]')
    assert told == [
        (frozenset({"casa_A"}), True),
        (frozenset({"casa_A"}), False),
        (frozenset({"casa_A", "casa_B"}), True),
    ]


def test_a_save_that_fails_changes_nothing(folder: DataFolder) -> None:
    folder.homes.connection.database.execute("pragma max_page_count = 20")
    big = [{"id": f"casa_{number}", "name": "x" * 200} for number in range(500)]
    with pytest.raises(StoreError, match="full"):
        folder.homes.import_json(json.dumps(big))
    assert folder.homes.all() == []
    folder.homes.connection.database.execute("pragma max_page_count = 100000")
    assert folder.homes.import_json(json.dumps(big)) == (500, [])


def test_an_unknown_home_waits_with_what_it_said_last(folder: DataFolder) -> None:
    folder.homes.note_unknown("casa_X", "comunita/casa_X/produzione", b'{"potenza_w": 1}', NOON)
    folder.homes.note_unknown("casa_Y", "comunita/casa_Y/produzione", {"potenza_w": 2}, NOON + 1)
    folder.homes.note_unknown("casa_X", "comunita/casa_X/bilancio", "x" * 500, NOON + 2)
    first, second = folder.homes.pending()
    assert (first.id, first.first_seen, first.last_seen, first.count) == ("casa_X", NOON, NOON + 2, 2)
    assert (first.last_topic, first.last_payload) == ("comunita/casa_X/bilancio", "x" * 200)
    assert (second.id, second.last_payload) == ("casa_Y", '{"potenza_w": 2}')


def test_a_thousand_wait_and_the_longest_unheard_goes_first(folder: DataFolder) -> None:
    for number in range(1000):
        folder.homes.note_unknown(f"casa_{number}", "t", b"", NOON + number)
    folder.homes.note_unknown("casa_0", "t", b"", NOON + 1000)
    folder.homes.note_unknown("casa_new", "t", b"", NOON + 1001)
    waiting = {home.id for home in folder.homes.pending()}
    assert len(waiting) == 1000
    assert "casa_1" not in waiting
    assert {"casa_0", "casa_new"} <= waiting


@pytest.mark.parametrize("ident", ["", "casa A", "casa_A\n", "x" * 65, "\ud800"])
def test_an_id_that_no_home_can_have_is_counted_and_not_listed(folder: DataFolder, ident: str) -> None:
    folder.homes.note_unknown(ident, "t", b"", NOON)
    assert folder.homes.pending() == []
    assert folder.homes.invalid_ids == 1


def test_those_that_wait_are_kept_over_a_restart_whatever_they_said(tmp_path) -> None:
    with DataFolder(tmp_path) as folder:
        folder.homes.note_unknown("casa_X", "t\ud800", b"\xff\x00", NOON)
        folder.homes.note_unknown("casa_Y", "t", "\ud800", NOON)
        folder.maintain(NOON)
        waiting = folder.homes.pending()
        with folder.reader() as reader:
            assert reader.homes.pending() == waiting
    with DataFolder(tmp_path) as folder:
        assert folder.homes.pending() == waiting


def test_approving_one_that_waits_makes_it_a_home(folder: DataFolder) -> None:
    folder.homes.note_unknown("casa_X", "t", b"", NOON)
    folder.homes.persist_pending()
    assert folder.homes.approve("casa_X") == Home(id="casa_X", approved=True)
    assert folder.homes.get("casa_X") is not None
    assert folder.homes.pending() == []
    with folder.reader() as reader:
        assert reader.homes.pending() == []


def test_approving_a_home_that_was_written_down_keeps_what_is_known_of_it(folder: DataFolder) -> None:
    folder.homes.save(CASA_A.model_copy(update={"approved": False}))
    assert folder.homes.approve("casa_A") == CASA_A


def test_approving_a_slip_names_the_one_that_waits(folder: DataFolder) -> None:
    folder.homes.note_unknown("casa_X", "t", b"", NOON)
    with pytest.raises(StoreError, match="there is no home 'casa_x'; did you mean 'casa_X'"):
        folder.homes.approve("casa_x")


def test_an_import_with_any_mistake_saves_nothing_and_tells_all_of_them(folder: DataFolder) -> None:
    text = """[
      {"id": "casa_A", "peak_power_wp": 3000},
      {"id": "casa_B", "tilt": 30, "peak_power_wp": "3000"},
      {"id": "casa_C", "loads": [{"name": "boiler", "power_w": -1, "realy": 1}]},
      {"name": "nobody"},
      {"id": "casa_A"},
      7
    ]"""
    saved, problems = folder.homes.import_json(text)
    assert saved == 0
    assert folder.homes.all() == []
    mend = "\n    correct it; `solarflow homes export` shows how a home is written\n"
    assert describe(problems) + "\n" == mend.join(
        [
            "error: home 2 'casa_B': peak_power_wp: Input should be a valid number",
            "error: home 2 'casa_B': tilt: no such property; did you mean 'tilt_deg'?",
            "error: home 3 'casa_C': loads.0.power_w: Input should be greater than or equal to 0",
            "error: home 3 'casa_C': loads.0.relay: Field required",
            "error: home 3 'casa_C': loads.0.realy: no such property; did you mean 'relay'?",
            "error: home 4: id: Field required",
            "error: home 5 'casa_A': the home 'casa_A' stands here twice\n    remove one of the two\n"
            "error: home 6: Input should be an object",
            "",
        ]
    )


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "is not JSON: Expecting property name enclosed in double quotes at line 1, column 2"),
        ("{}", "expected a JSON array of homes, found an object"),
        ("[" * 100_000, "expected a JSON array of homes, found JSON nested without end"),
        ("null", "expected a JSON array of homes, found null"),
    ],
)
def test_a_text_that_holds_no_homes_is_told_as_such(folder: DataFolder, text: str, what: str) -> None:
    saved, (problem,) = folder.homes.import_json(text)
    assert (saved, problem.what) == (0, what)


def test_an_export_is_sorted_and_leaves_out_what_is_not_known(folder: DataFolder) -> None:
    folder.homes.import_json('[{"id": "b"}, {"peak_power_wp": 3000, "id": "a", "name": "Caffè"}]')
    assert folder.homes.export_json() == (
        "[\n"
        '  {\n    "id": "a",\n    "community": "comunita",\n    "name": "Caffè",\n    "peak_power_wp": 3000.0,\n'
        '    "loads": [],\n    "approved": true\n  },\n'
        '  {\n    "id": "b",\n    "community": "comunita",\n    "name": "",\n'
        '    "loads": [],\n    "approved": true\n  }\n'
        "]\n"
    )


HOMES = st.lists(
    st.builds(
        Home,
        id=st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True),
        name=st.text(st.characters(codec="utf-8"), max_size=20),
        peak_power_wp=st.none() | st.floats(1, 1e6),
        latitude=st.none() | st.floats(-90, 90),
        loads=st.lists(
            st.builds(Load, name=st.text("abc", min_size=1), power_w=st.floats(0, 1e5), relay=st.integers(0, 255)),
            max_size=3,
            unique_by=(lambda load: load.name, lambda load: load.relay),
        ),
        approved=st.booleans(),
    ),
    max_size=5,
    unique_by=lambda home: home.id,
)


@given(HOMES)
def test_what_is_exported_can_be_imported_and_is_the_same(homes: list[Home]) -> None:
    with DataFolder.in_memory() as one, DataFolder.in_memory() as other:
        for home in homes:
            one.homes.save(home)
        text = one.homes.export_json()
        assert other.homes.import_json(text) == (len(homes), [])
        assert other.homes.all() == one.homes.all()
        assert other.homes.export_json() == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "loads", "name", "relay", "x"]) | st.text(max_size=3), inner, max_size=4
        )
    ),
)


@given(st.lists(JSON, max_size=3) | JSON)
def test_no_json_value_makes_an_import_raise(value: object) -> None:
    with DataFolder.in_memory() as folder:
        saved, problems = folder.homes.import_json(json.dumps(value))
        assert (saved == 0) or not problems
        assert len(folder.homes.all()) == saved
        describe(problems)
