"""The verbs duplicates, merge and unmerge."""

from __future__ import annotations

import pytest

import crmcore


@pytest.fixture
def numbers(store, monkeypatch) -> tuple[str, str]:
    monkeypatch.setenv("CRMCORE_STORE", store)
    with crmcore.open(store) as crm:
        me = crm.acting_as("hua")
        found = [
            me.customers.register(
                name=name, industry="制造业", remarks=remarks, contacts=[{"name": "赵经理", "phone": "13700001111"}]
            )
            for name, remarks in (("东海仪表有限公司", None), ("东海仪表设备有限公司", "说明"))
        ]
    return found[0].number, found[1].number


def test_duplicates_are_listed_merged_and_parted_again(command, numbers) -> None:
    one, other = numbers
    listed = command("duplicates", "--json").json
    assert [[each["number"] for each in group["customers"]] for group in listed] == [[one, other]]
    assert listed[0]["pairs"][0]["same"] == ["phone"]
    shown = command("duplicates", "--why", "--language", "zh-CN")
    assert "电话相同" in shown.out
    assert "13700001111" not in shown.out

    dry = command("merge", one, other, "--dry-run", "--json").json
    assert dry["dry_run"] is True
    assert dry["moved"] == {"contact": 1}
    assert {row["field"] for row in dry["fields"] if row["value"] != row["kept"]} == {"remarks"}
    merged = command(
        "merge", one, other, "--prefer", "所属行业=keep", "--prefer", "industry=装备制造", "--reason", "重复"
    )
    assert merged.code == 0
    assert f"crmcore unmerge {other}" in merged.err
    assert command("show", other, "--json").json["customer"]["number"] == one
    assert command("merge", one, other).code == 1
    assert command("duplicates").code == 0

    parted = command("unmerge", other, "--json").json
    assert parted["restored"]["number"] == other
    assert parted["customer"]["remarks"] is None
    assert command("unmerge", other).code == 1


def test_two_that_are_not_the_same_are_told_apart(command, numbers) -> None:
    one, other = numbers
    assert command("duplicates", "--apart", one, other, "--reason", "母公司").code == 0
    assert command("duplicates", "--json").json == []
    assert "重复" in command("duplicates", "--language", "zh-CN").err


def test_what_can_not_be_preferred_says_what_is_wrong_and_not_what_was_typed(command, numbers) -> None:
    wrong = command("merge", *numbers, "--prefer", "owner=", "--prefer", "欧阳锋=keep", "--prefer", "stage=won")
    assert wrong.code != 0
    assert "欧阳锋" not in wrong.out + wrong.err
    assert wrong.err.count("keep, absorb") == 2
    assert "industry" in wrong.err
