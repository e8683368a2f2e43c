"""What merging costs: a customer with many records into another one, and back; and what looking for duplicates costs.

python benchmarks/merging.py [--children 1000] [--customers 10000]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import crmcore


def timed(what: str, call: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    found = call()
    print(f"{what:<58}{(time.perf_counter() - began) * 1000:>10.1f} ms", flush=True)
    return found


def merge_and_back(url: str, children: int) -> None:
    with crmcore.open(url, "standard") as crm:
        me = crm.acting_as("hua")
        one, other = (me.customers.register(name=name, industry="x").number for name in ("示例甲", "示例乙"))
        for place in range(children):
            if place % 20:
                me.contacts.add(other, name=f"联系人{place}", phone=f"138{place:08}")
            else:
                me.follow_ups.log(other, summary=f"第{place}次")
        timed(f"{url.partition(':')[0]}: merge, {children:,} records", lambda: me.customers.merge(one, other))
        timed(f"{url.partition(':')[0]}: a follow-up of the survivor", lambda: me.follow_ups.log(one, summary="说"))
        timed(f"{url.partition(':')[0]}: unmerge", lambda: me.customers.unmerge(other))


def look_for_duplicates(customers: int) -> None:
    with crmcore.open("memory:", "standard") as crm:
        me = crm.acting_as("hua")

        def register() -> None:
            for place in range(customers):
                people = [{"name": f"王{place % 997}", "phone": f"139{place:08}"}]
                me.customers.register(name=f"示例{place * 7919 % 1_000_003}有限公司", industry="x", contacts=people)

        timed(f"memory: register {customers:,}, each looked up first", register)
        asked = {"name": "示例7919科技有限公司", "contacts": [{"phone": "13900000001"}]}
        timed("the first hint, which makes the index", lambda: me.customers.similar(**asked))
        timed("the next hint", lambda: me.customers.similar(**asked))
        timed("a scan of all", me.duplicates.scan)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--children", type=int, default=1000)
    parser.add_argument("--customers", type=int, default=10_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for url in ("memory:", f"sqlite:///{Path(folder) / 'crm.db'}"):
            merge_and_back(url, given.children)
    look_for_duplicates(given.customers)


if __name__ == "__main__":
    main()
