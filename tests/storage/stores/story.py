"""Makes the store of a format, to be kept and opened by every later version.

Run it once, when a format is released, from the root of the checkout::

    python tests/storage/stores/story.py

It writes ``tests/storage/stores/v1/``, named by the format of the program that runs it: ``story.db``, a SQLite file that
holds every kind of record; ``schema.json``, the format's fingerprint; ``rows.json``, how many rows each collection has and
their digest.
The clock stands still between the steps and ids are counted, so a second run makes the same rows.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import crmcore
from crmcore.domain import ENTITIES, Money, Obligation
from crmcore.notify import LogNotifier
from crmcore.plugins import open_store
from crmcore.storage.codec import SCHEMA
from crmcore.storage.digest import digest_of

HERE = Path(__file__).parent
HARD = "陈·阿不都 ＡＢＣ 'x'\"%_\\;--\n\tStraße İstanbul \U00020bb7野家 😀 \u2028 =1+1 _x000D_ مرحبا 007"
SHEET = """客户名称,客户类型,所属行业,联系人,电话,客户来源,备注
北方机械有限公司,企业客户,制造业,王磊,13800138000,展会推广,=1+1
"南方, 贸易 ""新"" 有限公司",企业客户,批发零售,Zoë,010-88885678,官网注册,第二行
客户乙女士,个人客户,,客户乙,13987654321,同行转介绍,关注高端护肤产品
"""


def tell(path: Path) -> None:
    """A store with a story in which every kind of record comes about."""
    now = datetime(2026, 1, 5, 2, 0, tzinfo=UTC)
    counter = itertools.count(1)

    def forward(**lengths: float) -> None:
        nonlocal now
        now += timedelta(**lengths, milliseconds=7)

    with crmcore.open(
        f"sqlite:///{path.as_posix()}?journal=truncate",
        "standard",
        clock=lambda: now,
        ids=lambda: f"00000000-0000-7000-8000-{next(counter):012}",
    ) as crm:
        crm.new_salt = lambda: f"{next(counter):032}"
        me = crm.acting_as("li.ming")
        me.users.add("li.ming", display_name="李明", department="销售部", roles=("sales", "manager"))
        me.users.add("hua", roles=("service",))
        me.users.deactivate(me.users.add("left", department=HARD))
        sheet = path.with_suffix(".csv")
        sheet.write_text(SHEET, encoding="utf-8")
        taken = me.imports.plan(sheet, table="customers").apply()
        assert (taken.created, taken.rejected) == (3, 0), taken.issues
        sheet.unlink()

        acme = me.customers.register(
            name="示例科技有限公司",
            short_name=HARD.replace("\n", " ").replace("\t", " "),
            industry="制造业",
            tier="A",
            owner="li.ming",
            collaborators=["hua/技术支持"],
            headcount_low=100,
            headcount_high=500,
            core_need="三个月内上线客户系统",
            decision_makers=["王总", "Ms O'Neil"],
            contract_expires_on=date(2026, 12, 31),
            contract_amount=Money.of("1234567.89"),
            budget=Money.of("0.01", "USD"),
            remarks=HARD,
            contacts=[
                {"name": "王总", "phones": ["13800138000", "010-88885678"], "decision_maker": True},
                {"name": "Zoë", "emails": ["zoe@example.com"], "wechat": "wxid_zoe", "remarks": HARD},
            ],
        )
        small = me.customers.register(name="小商行", industry="零售业", owner="hua")
        quiet = me.customers.register(name="Quiet Ltd", industry="x", registrar="hua")
        me.customers.tag(acme, "重点", "a,b;c")
        me.tiers.set(small, "B", reason="老板的朋友", until=date(2026, 6, 30))
        me.attachments.add(acme, name="合同.pdf", media_type="application/pdf", size=2**40, sha256="0" * 64)

        plan = me.plans.add(acme, due_on=date(2026, 1, 9), goal="高层互动", method="visit", at=now + timedelta(days=4))
        me.plans.cancel(me.plans.add(small, due_on=date(2026, 1, 20)), reason="客户出差")
        forward(days=2, hours=3)
        said = me.follow_ups.log(acme, summary=HARD, method="phone", participants=["王总"], feedback="价格偏高")
        me.follow_ups.log(acme, summary="演示", plan=plan, next_step="报价", next_on=date(2026, 1, 15))
        forward(days=20)
        me.follow_ups.log(small, summary="补录", at=now - timedelta(days=3), result="progressing")

        referral = me.referrals.make(small, referred=acme, referred_on=date(2026, 1, 8), incentive="礼品卡").id
        deal = me.opportunities.open(
            name="数控机床 😀", customer=acme, expected_amount=Money.of(120000), expected_close_on=date(2026, 3, 1)
        )
        me.opportunities.open(name="Spare parts", reference="D-2")
        lost = me.opportunities.open(name="试用", customer=small, competitors=["甲公司"])
        objection = me.objections.raise_(acme, description=HARD, type="price", opportunity=deal, follow_up=said).id
        me.objections.answer(objection, "分期付款")
        me.objections.settle(objection, "accepted", note="可以")
        me.objections.raise_(small, description="功能不够")
        me.opportunities.lose(lost, reason="价格")
        for stage in ("proposal", "negotiation"):
            forward(days=1)
            deal = me.opportunities.move(deal, stage)
        deal = me.opportunities.win(deal, amount=Money.of("118000.50"), order_number="HT-001")
        (order,) = me.orders.of(acme)
        me.orders.add_instalment(order, due_on=date(2026, 2, 28), amount=Money.of(60000))
        me.orders.add_instalment(order, due_on=date(2026, 3, 31), amount=Money.of("58000.50"), remarks=HARD)
        me.orders.collect(me.orders.instalments(order)[0], Money.of("60000"), on=date(2026, 1, 28))
        me.orders.sign(small, number="HT-002", amount=Money.of(1, "JPY"), signed_on=date(2026, 1, 27))

        ticket = me.tickets.open(acme, subject="机床停机", priority="urgent", topic="technical", number="T-1").id
        me.tickets.add_collaborators(ticket, "hua/售后")
        me.tickets.answer(ticket)
        me.tickets.wait(ticket, reason="等客户照片")
        forward(hours=30)
        me.tickets.resume(ticket)
        me.tickets.solve(ticket, "更换零件")
        me.tickets.close(ticket, stars=5, suggestion=HARD)
        waiting = me.tickets.open(small, subject="发票", description=HARD).id
        me.tickets.answer(waiting)
        me.tickets.wait(waiting)
        word = me.feedback.receive(acme, description="服务态度好", type="suggestion", source="客户来电").id
        bad = me.feedback.receive(small, description=HARD, type="complaint", complexity="complex", topic="product").id
        me.feedback.plan(bad, "48小时内给出方案")
        me.feedback.answer(bad, "退货")
        me.feedback.confirm(bad, "to_improve", reason="还不行")
        me.feedback.plan(word, "谢谢")
        me.feedback.answer(word, "已转达")
        me.feedback.confirm(word, "satisfied", stars=5)

        me.referrals.make(acme, referred_name="新公司", referred_reach="138…", referred_on=date(2026, 1, 8))
        me.referrals.make(acme, referred=quiet, source="饭局")
        me.referrals.reward(referral)
        me.action_plans.add("提高线索转化率", owner="li.ming", due_on=date(2026, 2, 15))
        done = me.action_plans.add(HARD, customer=acme, owner="hua", due_on=date(2026, 1, 20)).id
        me.action_plans.done(done, result="完成")
        me.obligations.waive(me.obligations.of(quiet)[0], reason="暂停联系")
        forward(days=9)
        me.customers.move(quiet, "lost", reason="公司关闭")
        twin = me.customers.register(
            name="小商行(分店)", remarks=HARD, contacts=[{"name": "店长", "phone": "13700137000"}]
        )
        me.customers.merge(small, twin, reason=HARD)
        me.duplicates.tell_apart(small, quiet, reason=HARD)
        me.tiers.run()
        # Half of the messages are sent, half wait.
        me.notifications.enqueue(now - timedelta(days=30), through=["log", "folder"])
        assert list(me.notifications.relay(LogNotifier(), name="relay").run())

        me.quality.draw("2026Q1", share=20)
        me.quality.record(
            "2026Q1", me.quality.worksheet("2026Q1").rows[0][0], right=False, wrong_fields=["客户名称"], remarks=HARD
        )

        person = me.customers.register(name="客户丙先生", kind="individual", remarks=HARD)
        me.customers.erase(person, reason="本人要求")

        with crm.store.transaction() as transaction:
            empty = [cls.collection for cls in ENTITIES if not transaction.count(cls.collection)]
            states = {row[0] for row in transaction.tally("obligations", None, ["state"])}
        assert not empty, empty
        assert states == set(Obligation.kinds["state"].choices), states


def main() -> None:
    folder = HERE / f"v{SCHEMA.version}"
    path = folder / "story.db"
    if path.exists():
        sys.exit(f"{path} is there already: what was released is not made again")
    folder.mkdir(exist_ok=True)
    tell(path)
    # As one file, and as small as it can be: git keeps it for good.
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("PRAGMA page_size=1024")
        connection.execute("VACUUM")
    with (
        open_store(f"sqlite:///{path.as_posix()}?journal=truncate", SCHEMA) as store,
        store.transaction() as transaction,
    ):
        digests = {name: digest_of(transaction, name) for name in SCHEMA.collections}
    rows = {name: {"rows": digest.count, "digest": digest.hexdigest()} for name, digest in digests.items()}
    (folder / "rows.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    (folder / "schema.json").write_text(SCHEMA.fingerprint + "\n", encoding="utf-8")
    for file in folder.iterdir():
        print(file.name, file.stat().st_size)


if __name__ == "__main__":
    main()
