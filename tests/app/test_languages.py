"""Every text is there in English and in Chinese, and an unknown language is told in one way everywhere."""

from __future__ import annotations

import datetime

import pytest

from crmcore.domain.policies import Label
from crmcore.errors import Issue, QueryError
from crmcore.interchange.rejections import reason_text
from crmcore.metrics.tables import Chart, Column, Table
from crmcore.playbooks.drawing import dot, mermaid
from crmcore.rules.explaining import length_text


@pytest.mark.parametrize("language", ["fr", "zh", "EN", "", None, ["en"]])
def test_a_language_that_is_not_there_is_refused_by_every_text(open_crm, tmp_path, language):
    me = open_crm("standard").acting_as("sales.east")
    customer = me.customers.register(
        name="示例科技有限公司", industry="制造业", tier="A", first_contact_on=datetime.date(2023, 10, 9)
    )
    (contact, *_) = me.obligations.of(customer)
    duty = me.obligations.due(datetime.date(2024, 1, 1))[0]
    table = Table("deals", "成交", "Deals", (Column("stage", "阶段", "Stage"),), ())
    chart = Chart("deals", "成交", "Deals", "bar", "deals", "stage", ("stage",))
    path = tmp_path / "review.xlsx"
    texts = [
        Label(zh="线索", en="lead").text,
        Issue(code="required", field="name").text,
        me.tiers.explain(customer).text,
        me.obligations.explain(contact).text,
        duty.explain,
        table.to_text,
        table.title,
        table.columns[0].title,
        chart.title,
        lambda asked: reason_text("empty", asked),
        lambda asked: length_text(datetime.timedelta(hours=1), asked),
        lambda asked: mermaid(me.crm.playbook.lifecycle, asked),
        lambda asked: dot(me.crm.playbook.lifecycle, asked),
        lambda asked: me.crm.playbook.label("customer.name", asked),
    ]
    for text in texts:
        assert text("en") != text("zh-CN")
        with pytest.raises(QueryError, match="there are en and zh-CN"):
            text(language)
    with pytest.raises(QueryError, match="there are en and zh-CN"):
        me.reports.write_review(path, language=language)
    assert not path.exists()
