"""Everything that the command says to a person, in both languages."""

from __future__ import annotations

from collections.abc import Mapping

from crmcore.errors import Language

TEXTS: Mapping[str, tuple[str, str]] = {
    # Messages
    "refused": ("refused; nothing was stored", "未通过,未写入任何数据"),
    "allowed_stages": ("from here one can go to: {stages}", "此阶段可以进入:{stages}"),
    "no_ways_out": ("no stage can follow here", "此阶段之后没有其他阶段"),
    "no_store": (
        "there is no store at {store}; make it with: crmcore init --store {store}",
        "{store}不存在;请先建立:crmcore init --store {store}",
    ),
    "store_made": ("made {store} under the playbook {playbook}", "已建立{store},采用方案{playbook}"),
    "store_there": ("{store} is there already, under the playbook {playbook}", "{store}已存在,采用方案{playbook}"),
    "more": ("there is more; go on with --after {mark}", "还有更多;继续请加 --after {mark}"),
    "nothing_due": ("nothing is due by then", "届时没有到期事项"),
    "written": ("{rows} rows written to {file}", "已将{rows}行写入{file}"),
    "file_written": ("written: {file}", "已写入:{file}"),
    "followed": ("{number} {name}: follow-up on record", "{number} {name}:跟进已记录"),
    "next_contact": ("next contact on {day}", "下次跟进:{day}"),
    "moved": ("{number} {name}: {source} → {target}", "{number} {name}:{source} → {target}"),
    "importing": ("importing", "正在导入"),
    "dry_run": ("nothing was stored (--dry-run)", "试运行,未写入任何数据"),
    "more_warnings": (
        "… and {count} more {code} warnings; --json has them all",
        "……另有{count}条{code}提示;--json 可查看全部",
    ),
    "warning": ("warning", "提示"),
    "plugin_fault": ("a plugin was left out: {fault}", "插件未启用:{fault}"),
    "interrupted": ("interrupted", "已中断"),
    "all_well": ("no fault found", "未发现问题"),
    "faults": ("{count} faults found:", "发现{count}处问题:"),
    "not_ours": (
        "{folder} is not empty and was not made by this command; name another folder",
        "{folder}不是空文件夹,也不是本命令所建;请换一个文件夹",
    ),
    "demo_steps": (
        "Each step is the command that does it, with --store {store}:",
        "以下每一步都是一条命令(另加 --store {store}):",
    ),
    "demo_done": (
        "Database: {store}\nReview workbook with charts: {review}",
        "数据库:{store}\n复盘工作簿(含图表):{review}",
    ),
    "demo_next": ("Try next:", "接下来可以试试:"),
    # Words that stand in tables and headings
    "file": ("File", "文件"),
    "sheet": ("Sheet", "工作表"),
    "table": ("Table", "表"),
    "header_row": ("Header row", "表头行"),
    "rows": ("Rows", "行数"),
    "ready": ("Ready", "可导入"),
    "created": ("Created", "新建"),
    "known": ("Known", "已有"),
    "rejected": ("Rejected", "未导入"),
    "import": ("Import", "导入"),
    "not_a_table": ("left out, since it has no header of a known table", "没有已知表的表头,已跳过"),
    "customers": ("Customers", "客户"),
    "contacts": ("Contacts", "联系人"),
    "plans": ("Planned follow-ups", "跟进计划"),
    "duties": ("Open duties", "待办事项"),
    "follow_ups": ("Latest follow-ups", "最近跟进"),
    "opportunities": ("Opportunities", "销售机会"),
    "timeline": ("Timeline", "时间线"),
    "due": ("Due", "到期事项"),
    "number": ("Number", "编号"),
    "at": ("When", "时间"),
    "by": ("By", "操作人"),
    "action": ("What", "事件"),
    "changes": ("Changes", "变化"),
    "duty": ("Duty", "事项"),
    "due_on": ("Due on", "到期日"),
    "days_overdue": ("Days late", "逾期天数"),
    "state": ("State", "状态"),
    "owner": ("Owner", "负责人"),
    "name": ("Name", "名称"),
    # Events
    "event.customer.registered": ("registered", "登记客户"),
    "event.customer.updated": ("changed", "修改客户"),
    "event.customer.moved": ("moved", "变更阶段"),
    "event.customer.assigned": ("handed over", "变更负责人"),
    "event.customer.tagged": ("tagged", "修改标签"),
    "event.customer.collaborators_changed": ("collaborators changed", "变更协作人"),
    "event.contact.added": ("contact added", "新增联系人"),
    "event.contact.updated": ("contact changed", "修改联系人"),
    "event.follow_up.logged": ("followed up", "跟进"),
    "event.follow_up_plan.made": ("follow-up planned", "计划跟进"),
    "event.follow_up_plan.done": ("plan carried out", "完成计划"),
    "event.follow_up_plan.cancelled": ("plan cancelled", "取消计划"),
    "event.opportunity.opened": ("opportunity opened", "新增销售机会"),
    "event.opportunity.updated": ("opportunity changed", "修改销售机会"),
    "event.opportunity.moved": ("opportunity moved", "推进销售机会"),
    "event.order.signed": ("order signed", "签订订单"),
    "event.referral.made": ("referral made", "转介绍"),
    # States of a duty
    "state.overdue": ("overdue", "已逾期"),
    "state.due": ("due", "到期"),
    "state.upcoming": ("upcoming", "未到期"),
}


def text(key: str, language: Language = "en", **facts: object) -> str:
    """One text with its facts filled in."""
    return TEXTS[key][1 if language == "zh-CN" else 0].format_map(facts)
