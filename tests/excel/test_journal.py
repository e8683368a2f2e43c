"""The journal: what was acknowledged is there or its loss is told, whatever is cut, flipped, torn or interrupted."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmcore.errors import StoreCorrupt
from crmcore_excel import journal as journals
from crmcore_excel.journal import (
    CHUNK,
    HEADER_SIZE,
    SECTOR,
    Fingerprint,
    Header,
    Mark,
    OpenJournal,
    Record,
    create,
    scan,
)

HEADER = Header(
    store_id="a" * 32,
    workbook_id="b" * 32,
    base=7,
    fingerprint=Fingerprint(12345, "c" * 64),
    schema_version=1,
    schema="d" * 64,
)
PATH = Path("journal")

bodies = st.lists(
    st.one_of(
        st.binary(max_size=80).map(lambda data: data.replace(b"\0", b" ")),
        st.integers(1, 3 * SECTOR).map(lambda size: b"x" * size),
    ),
    max_size=6,
)


@contextmanager
def a_journal(written: list[bytes]) -> Iterator[tuple[Path, Mark]]:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        path = Path(folder, "journal")
        mark = create(path, HEADER)
        with OpenJournal(path, write=True) as journal:
            for body in written:
                mark = journal.append(body, mark)
        yield path, mark


def content_of(written: list[bytes]) -> bytes:
    with a_journal(written) as (path, _):
        return path.read_bytes()


def read(data: bytes) -> tuple[list[bytes], int]:
    """The bodies of a journal without their padding, and how many bytes of a torn record follow."""
    header = Header.of(data, PATH)
    found = scan(data[HEADER_SIZE:], header.mark, PATH)
    assert [record.sequence for record in found.records] == [8 + number for number in range(len(found.records))]
    return [record.body.rstrip(b" ") for record in found.records], found.torn


def plain(written: list[bytes]) -> list[bytes]:
    return [body.rstrip(b" ") for body in written]


@given(bodies)
def test_what_was_appended_is_read(written: list[bytes]) -> None:
    data = content_of(written)
    assert read(data) == (plain(written), 0)
    assert Header.of(data, PATH) == HEADER


@given(bodies, st.data())
def test_a_journal_that_is_cut_off_anywhere_has_all_or_says_so(written: list[bytes], data: st.DataObject) -> None:
    with a_journal(written) as (path, mark):
        content = path.read_bytes()
        # Most of the file is room for what comes: cuts are tried where they hurt.
        size = data.draw(st.one_of(st.integers(0, len(content)), st.integers(0, min(mark.end + 100, len(content)))))
    try:
        found, torn = read(content[:size])
    except StoreCorrupt as problem:
        assert problem.details["path"] == "journal"
        assert size < mark.end + journals.HEAD_SIZE
    else:
        assert (found, torn) == (plain(written), 0)


@given(bodies, st.data())
def test_any_byte_that_changed_is_found(written: list[bytes], data: st.DataObject) -> None:
    with a_journal(written) as (path, mark):
        content = bytearray(path.read_bytes())
    place = data.draw(st.one_of(st.integers(0, mark.end - 1), st.integers(max(mark.end - 60, 0), mark.end - 1)))
    content[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(StoreCorrupt) as raised:
        read(bytes(content))
    assert raised.value.details["place"] <= place


@given(bodies, st.integers(0, 255).filter(bool), st.data())
def test_a_byte_in_the_room_for_what_comes_is_found(written: list[bytes], value: int, data: st.DataObject) -> None:
    with a_journal(written) as (path, mark):
        content = bytearray(path.read_bytes())
    # The very first byte may be that of a record that begins a sector before its end.
    place = data.draw(st.integers(mark.end, len(content) - 1))
    content[place] = value
    try:
        found, torn = read(bytes(content))
    except StoreCorrupt:
        return
    assert found == plain(written)
    assert torn


@given(bodies, st.binary(min_size=1, max_size=3 * SECTOR).map(lambda data: data.replace(b"\0", b" ")), st.data())
def test_a_record_that_lacks_sectors_was_never_acknowledged(
    written: list[bytes], last: bytes, data: st.DataObject
) -> None:
    with a_journal(written) as (path, mark):
        with OpenJournal(path, write=True) as journal:
            after = journal.append(last, mark)
        content = bytearray(path.read_bytes())
        sectors = range(mark.end // SECTOR, -(-after.end // SECTOR))
        missing = data.draw(st.sets(st.sampled_from(sectors), min_size=1))
        for sector in missing:
            low, high = max(sector * SECTOR, mark.end), min((sector + 1) * SECTOR, after.end)
            content[low:high] = bytes(high - low)
        path.write_bytes(content)
        found, torn = read(bytes(content))
        assert found == plain(written)
        assert (torn > 0) == (len(missing) < len(sectors))
        with OpenJournal(path, write=True) as journal:
            journal.wipe(mark, torn)
            journal.append(b"later", mark)
        assert read(path.read_bytes()) == ([*plain(written), b"later"], 0)


@given(bodies.filter(lambda written: len(written) > 1), st.data())
def test_records_neither_go_nor_change_places(written: list[bytes], data: st.DataObject) -> None:
    content = content_of(written)
    ends = [HEADER_SIZE]
    for body in written:
        ends.append(ends[-1] + len(journals.record_bytes(body, HEADER.mark)[0]))
    records = [content[low:high] for low, high in pairwise(ends)]
    gone = data.draw(st.integers(0, len(records) - 2))
    without = content[:HEADER_SIZE] + b"".join(records[:gone] + records[gone + 1 :])
    with pytest.raises(StoreCorrupt):
        read(without.ljust(len(content), b"\0"))


def test_the_room_is_made_before_it_is_used(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    mark = create(path, HEADER)
    sizes = set()
    with OpenJournal(path, write=True) as journal:
        for _ in range(200):
            mark = journal.append(b"x" * 1000, mark)
            sizes.add(path.stat().st_size)
            assert path.stat().st_size >= mark.end + journals.HEAD_SIZE
    assert len(sizes) <= 200 * 1100 // CHUNK + 2


def test_a_new_journal_takes_the_later_records_along(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    mark = create(path, HEADER, [Record(8, b"one", 0), Record(9, b"two", 0)])
    with OpenJournal(path, write=True) as journal:
        assert journal.stands_at(HEADER, mark) is True
        journal.append(b"three", mark)
    assert read(path.read_bytes()) == ([b"one", b"two", b"three"], 0)
    assert [child.name for child in tmp_path.iterdir()] == ["journal"]


def test_who_reads_on_sees_what_is_new_and_what_is_another_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    mark = create(path, HEADER)
    with OpenJournal(path, write=True) as journal:
        assert journal.stands_at(HEADER, mark) is True
        after = journal.append(b"one", mark)
        assert journal.stands_at(HEADER, mark) is False
        assert journal.stands_at(HEADER, after) is True
        journal.wipe(mark, after.end - mark.end)
        assert journal.stands_at(HEADER, after) is None
    create(path, attrs.evolve(HEADER, generation="0" * 16))
    with OpenJournal(path, write=False) as journal:
        assert journal.stands_at(HEADER, mark) is None
        assert journal.stands_at(journal.header(), mark) is True


@pytest.mark.parametrize("failing", ["write", "_synchronise", "fsync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_what_the_disk_refused_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, number: int
) -> None:
    path = tmp_path / "journal"
    mark = create(path, HEADER)
    with OpenJournal(path, write=True) as journal:
        mark = journal.append(b"one", mark)
        # So long that room has to be made.
        body = b"x" * (2 * CHUNK if failing == "fsync" else 100)
        owner = journals if failing == "_synchronise" else os
        working = getattr(owner, failing)
        calls: list[int] = []

        def fail(*arguments: object) -> object:
            calls.append(1)
            if len(calls) == 1:
                raise OSError(number, os.strerror(number))
            return working(*arguments)

        monkeypatch.setattr(owner, failing, fail)
        with pytest.raises(OSError, match=os.strerror(number)):
            journal.append(body, mark)
        monkeypatch.undo()
        assert calls
        assert read(path.read_bytes()) == ([b"one"], 0)
        journal.append(b"two", mark)
    assert read(path.read_bytes()) == ([b"one", b"two"], 0)
