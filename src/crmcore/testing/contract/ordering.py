"""In which order: sorting, ties, pages."""

from __future__ import annotations

from crmcore.storage import Delete, Ge, Query, Row, Store, decode_place, encode_place, place_of
from crmcore.testing import oracle
from crmcore.testing.clause import Contract, clause
from crmcore.testing.contract.steps import add, opened, write
from crmcore.testing.difficult import DIFFICULT
from crmcore.testing.harness import Harness
from crmcore.testing.kit_schema import FIELD_TYPES, VALUES, values_row


def find(store: Store, query: Query) -> list[Row]:
    """The rows of a query, in a transaction of its own."""
    with store.transaction() as work:
        return list(work.find(query))


def pages(store: Store, query: Query, size: int, most: int) -> list[Row]:
    """All rows of a query, page by page, each mark travelling as text; fails beyond ``most`` rows, so that it ends."""
    found: list[Row] = []
    after = None
    while True:
        page = find(store, Query(query.collection, query.where, query.order, after, size))
        found += page
        assert len(found) <= most, "pages give rows that came before"
        if len(page) < size:
            return found
        after = decode_place(encode_place(place_of(page[-1], query, VALUES)))


def _difficult_rows() -> list[Row]:
    rows = [
        values_row(f"{type[:3]}{place:03}", **{type: value, f"some_{type}": value})
        for type in FIELD_TYPES
        for place, value in enumerate(reversed(DIFFICULT[type]))
    ]
    return rows[1::2] + rows[::2]


class Ordering(Contract):
    """S-ORDER: every order is total, so that pages fit together."""

    @clause("S-ORDER-01", "Every field type sorts by value, up and down; None comes first, and last when descending")
    def test_every_type_sorts(self, harness: Harness) -> None:
        rows = _difficult_rows()
        with opened(harness) as store:
            add(store, VALUES, *rows)
            for name in VALUES.positions:
                for order in ((name,), (f"-{name}",)):
                    query = Query("values", order=order)
                    assert find(store, query) == oracle.answer(query, rows, VALUES), order

    @clause("S-ORDER-02", "Text sorts by code point: capitals before small letters, no locale, no UTF-16")
    def test_text_sorts_by_code_point(self, harness: Harness) -> None:
        letters = [
            "\U00020bb7",
            "\uff21",
            "a",
            "B",
            "A",
            "b",
            "é",
            "z",
            "10",
            "9",
            "_",
            "\ue000",
            "aa",
            "a b",
            "中",
            "上",
        ]
        with opened(harness) as store:
            add(store, VALUES, *(values_row(f"id {letter}", text=letter) for letter in letters))
            position = VALUES.position("text")
            found = [row[position] for row in find(store, Query("values", order=("text",)))]
            assert found == sorted(letters)
            assert [row[0] for row in find(store, Query("values", order=("id",)))] == sorted(f"id {x}" for x in letters)

    @clause("S-ORDER-03", "Ties are broken by id, upwards in either direction")
    def test_ties_go_by_id(self, harness: Harness) -> None:
        ids = ["07", "03", "11", "01", "09", "05", "10", "02"]
        with opened(harness) as store:
            add(store, VALUES, *(values_row(id, text="same", integer=int(id) % 2) for id in ids))
            for order in (("text",), ("-text",), ("date",), ("-date",)):
                assert [row[0] for row in find(store, Query("values", order=order))] == sorted(ids)
            even, odd = ["02", "10"], ["01", "03", "05", "07", "09", "11"]
            assert [row[0] for row in find(store, Query("values", order=("integer", "-text")))] == even + odd
            assert [row[0] for row in find(store, Query("values", order=("-integer", "text")))] == odd + even

    @clause("S-ORDER-04", "Pages, each going on behind the last row of the one before, put together are the whole")
    def test_pages_make_the_whole(self, harness: Harness) -> None:
        rows = _difficult_rows()
        orders = [(), ("id",), ("-id",), ("boolean", "-some_text"), ("-date", "integer")]
        with opened(harness) as store:
            add(store, VALUES, *rows)
            for type in FIELD_TYPES:
                orders += [(type,), (f"-{type}",)]
            for order in orders:
                query = Query("values", Ge("some_integer", -5), order)
                assert pages(store, query, 37, len(rows)) == oracle.answer(query, rows, VALUES), order

    @clause("S-ORDER-05", "A page goes on behind its mark also when the row of the mark is gone")
    def test_a_mark_outlives_its_row(self, harness: Harness) -> None:
        rows = [values_row(f"{number:02}", integer=number // 3) for number in range(12)]
        with opened(harness) as store:
            add(store, VALUES, *rows)
            for order in (("integer",), ("-integer",), ("date",)):
                ordered = oracle.answer(Query("values", None, order), rows, VALUES)
                mark, behind = ordered[4], ordered[5:]
                query = Query("values", None, order)
                query = Query("values", None, order, place_of(mark, query, VALUES))
                assert find(store, query) == behind
                write(store, Delete("values", str(mark[0]), 1))
                assert find(store, query) == behind
                add(store, VALUES, mark)

    @clause("S-ORDER-06", "A limit or a mark without an order means the order of ids")
    def test_pages_without_an_order_go_by_id(self, harness: Harness) -> None:
        ids = ["07", "03", "11", "01", "09", "05", "10", "02"]
        with opened(harness) as store:
            add(store, VALUES, *(values_row(id) for id in ids))
            assert [row[0] for row in find(store, Query("values", limit=3))] == ["01", "02", "03"]
            assert [row[0] for row in find(store, Query("values", after=("05",)))] == ["07", "09", "10", "11"]
            assert [row[0] for row in find(store, Query("values", after=("05",), limit=2))] == ["07", "09"]

    @clause("S-ORDER-07", "A limit of 0 gives nothing, one beyond the end gives all")
    def test_limits_at_their_ends(self, harness: Harness) -> None:
        rows = [values_row(f"{number:02}") for number in range(5)]
        with opened(harness) as store:
            add(store, VALUES, *rows)
            for order in ((), ("text",), ("-id",)):
                assert find(store, Query("values", None, order, None, 0)) == []
                assert len(find(store, Query("values", None, order, None, 5))) == 5
                assert len(find(store, Query("values", None, order, None, 2**40))) == 5
