"""Several processes registering customers in one SQLite file: no number twice, no gap, none lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import crmcore

PROCESSES, EACH = 4, 500
REGISTER = """
import sys, crmcore
url, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
with crmcore.open(url, "standard") as crm:
    me = crm.acting_as(name)
    for serial in range(count):
        print(me.customers.register(name=f"{name} {serial}").number, flush=True)
"""


def test_numbers_from_several_processes(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/crm.db?wait=60s"
    command = [sys.executable, "-c", REGISTER, url]
    running = [
        subprocess.Popen([*command, f"clerk{one}", str(EACH)], stdout=subprocess.PIPE, text=True)
        for one in range(PROCESSES)
    ]
    printed = [number for process in running for number in process.communicate(timeout=300)[0].split()]
    assert [process.returncode for process in running] == [0] * PROCESSES
    assert len(printed) == len(set(printed)) == PROCESSES * EACH
    assert sorted(int(number[-5:]) for number in printed) == list(range(1, PROCESSES * EACH + 1))
    with crmcore.open(url) as crm:
        me = crm.acting_as("reader")
        kept = []
        mark = None
        while True:
            page = me.customers.find(limit=500, after=mark)
            kept += [customer.number for customer in page]
            mark = page.next
            if mark is None:
                break
        assert kept == sorted(printed)
        assert crm.store.check() == []
