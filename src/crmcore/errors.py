"""One tree of errors, and the issues that a piece of bad input can have.

Every class carries a stable ``code`` and its facts in ``details``; a message never holds personal data, nor what was typed. Everything
that is wrong with one input comes at once, as the :class:`Issue` values of one :class:`Invalid`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, Self

import attrs

Language = Literal["en", "zh-CN"]


def language_of(language: Language) -> Language:
    """The language itself. Raises :class:`QueryError` for one in which there are no texts."""
    if language not in ("en", "zh-CN"):
        raise QueryError(f"there are no texts in {language!r}; there are en and zh-CN")
    return language


ISSUES: Mapping[str, tuple[str, str]] = {
    "required": ("{label} is required", "{label}必填"),
    "unknown_field": ("there is no field {label}", "没有字段“{label}”"),
    "bad_type": ("{label} must be {expected}", "{label}应为{expected}"),
    "bad_text": ("{label} holds control characters or broken text", "{label}含有控制字符或损坏的文字"),
    "too_long": ("{label} is longer than {limit} characters", "{label}超过{limit}个字符"),
    "bad_choice": ("{label} must be one of: {allowed}", "{label}只能是:{allowed}"),
    "bad_number": ("{label} is not a number", "{label}不是数字"),
    "out_of_range": ("{label} is outside {limit}", "{label}超出范围:{limit}"),
    "bad_date": ("{label} is not a date", "{label}不是日期"),
    "ambiguous_date": (
        "{label} can be read as two dates; say which order is meant",
        "{label}可以读成两个日期,请说明年月日的顺序",
    ),
    "bad_window": (
        "{label} is not open time like 09:00-12:00 that closes after it opens",
        "{label}不是有效的时段,应写作09:00-12:00,且结束晚于开始",
    ),
    "overlapping": ("{label}: times or days overlap", "{label}的时段或日期互相重叠"),
    "never_open": ("{label}: no day is open", "{label}:没有任何工作日"),
    "unknown_zone": ("{label} is not the name of a time zone", "{label}不是时区名称"),
    "ends_early": ("{label} ends before it starts", "{label}的结束早于开始"),
    "out_of_order": ("{label} lies before {limit}", "{label}早于{limit}"),
    "negative_duration": ("{label} must not be negative", "{label}不能为负数"),
    "unconfirmed": (
        "holidays and working days are confirmed only as far as {limit}",
        "节假日和调休安排的确认范围以{limit}为界,超出部分未经确认",
    ),
    "unconfirmed_before": (
        "holidays and working days are confirmed only from {limit} on",
        "节假日和调休安排自{limit}起才经确认,此前未经确认",
    ),
    "out_of_reach": (
        "{label} lies out of reach ({years} years, {limit})",
        "{label}超出可计算的范围({years}年,{limit})",
    ),
    "naive_time": ("{label} has no time zone", "{label}没有时区"),
    "bad_money": ("{label} is not an amount of money", "{label}不是金额"),
    "bad_currency": ("{label} is not a currency code", "{label}不是货币代码"),
    "bad_phone": ("{label} is not a telephone number", "{label}不是有效电话"),
    "bad_email": ("{label} is not an e-mail address", "{label}不是有效邮箱"),
    "precision_lost": ("{label} was typed as a number and lost digits", "{label}按数字录入,后几位已丢失"),
    "cell_error": ("{label} holds the spreadsheet error {value}", "{label}是表格错误值{value}"),
    "unknown_stage": (
        "{label} is not a stage of this playbook; it has: {allowed}",
        "{label}不是本方案中的阶段,可选阶段:{allowed}",
    ),
    "unknown_customer": ("no customer goes by this {label}", "没有此{label}对应的客户"),
    "ambiguous_customer": ("more than one customer goes by this {label}", "此{label}对应不止一个客户"),
    "no_customer": ("no customer is named; the record stands alone until one is", "未写明客户,记录暂无归属"),
    "duplicate": ("{label} is already registered as {number}", "{label}已登记,编号为{number}"),
    "duplicate_number": ("{label} is already in use", "{label}已被使用"),
    "bad_number_format": ("{label} does not fit the numbering scheme {scheme}", "{label}不符合编号规则{scheme}"),
    "reason_required": ("a reason is required", "必须填写原因"),
    "evidence_required": ("{label} is required before this step", "进入此阶段前须有{label}"),
    "refused": ("{why}", "{why}"),
    "no_way": ("from {source} the way leads to {allowed}", "从{source}可以进入:{allowed}"),
    "not_possible": (
        "{action} is not possible while it is {state}; possible are: {allowed}",
        "当前状态为{state},不能{action};可以:{allowed}",
    ),
    "other_currency": ("{label} is not in {currency}", "{label}的币种不是{currency}"),
    "sum_differs": ("{label} do not add up to {limit}", "{label}合计与{limit}不符"),
    "ignored_column": ("the column {label} is not known and was left out", "不认识的列“{label}”未导入"),
    "shared_column": (
        "the columns {label} say the same field; the first that is filled counts",
        "多个列对应同一字段,取先填写的一列:{label}",
    ),
    "unheaded_cell": (
        "column {label} has no heading and was left out, from this row on",
        "第{label}列没有标题,从此行起未导入",
    ),
    "surplus_cells": (
        "the row has more cells than the header; a separator within a text may lack its quotation marks",
        "此行的单元格比表头多,可能是内容中的分隔符没有加引号",
    ),
    "total_row": ("the row is a total and no record", "此行是合计,不是一条记录"),
    "formula": ("{label} holds a formula; its last value was taken", "{label}含有公式,取其最后的值"),
    "edit_conflict": (
        "{label} was changed by somebody else in the meantime",
        "{label}在此期间已被他人修改",
    ),
    "not_editable": ("{label} is not changed here; the program keeps it", "{label}由程序维护,不能在此修改"),
    "sheet_kept": (
        "this sheet is the program's own; what is changed in it is not taken in",
        "此工作表由程序自用,其中的修改不录入",
    ),
    "row_copied": (
        "{label} {record} is taken, as in a row that was copied; in a new row leave {label} blank",
        "{label}{record}已被使用,此行像是复制的;新增行请留空{label}",
    ),
    "row_not_addable": ("no rows are added to this sheet", "此工作表不能新增行"),
    "row_removed": ("rows are not deleted here; {record} comes back", "不能在此删除行,{record}会恢复"),
    "dates_within": (
        "{label}: an entry names another date; entries are parted by a semicolon, 。, a bar or a line break",
        "{label}:一条记录中含有另一个日期;多条记录请用分号、句号、竖线或换行分隔",
    ),
    "kept_on_file": (
        "{label} differs from what is on file, which was kept",
        "{label}与档案不一致,已保留档案内容",
    ),
    "duplicate_asked": (
        "{label} is on file as {number}; say what is to be done with the row",
        "{label}与已有客户{number}重复,请选择处理方式",
    ),
    "vague": ("{label} is too vague to act on", "{label}过于笼统"),
    "amount_range": (
        "{label} is a range of amounts; it is kept beside the field, which holds one",
        "{label}是金额区间,字段只能存一个金额,已另行保留原文",
    ),
    "ambiguous_phone": ("{label} can be read as more than one number", "{label}可以读成多个号码"),
    "no_area_code": ("{label} is a landline without its area code", "{label}缺少区号"),
    "unassigned_phone": (
        "{label} has the form of a telephone number, but no such numbers are in use",
        "{label}形似电话号码,但号段未启用",
    ),
    "bad_wechat": ("{label} is not a WeChat ID", "{label}不是微信号"),
    "registration_length": (
        "{label} has {length} characters; a unified social credit code has 18",
        "{label}有{length}个字符,统一社会信用代码应为18位",
    ),
    "bad_registration": (
        "{label} is not a valid registration number; look at the characters {positions}",
        "{label}不是有效的登记号码,请核对第{positions}位",
    ),
    "misread_registration": (
        "{label} holds letters that no code has; read as the digits that they look like, at {positions}",
        "{label}第{positions}位是代码中不会有的字母,已按形近数字识别",
    ),
    "ambiguous": ("{label} can mean: {candidates}", "{label}可能指:{candidates}"),
    "former_division": ("{label} names a division that is now {now}", "{label}中的行政区划现为{now}"),
    "unknown_industry": ("{label} is no industry of {standard}", "{label}不是{standard}中的行业"),
    "contradiction": ("{label} does not go with {other}", "{label}与{other}不相符"),
}

#: What stands in English among the facts of an issue, or is the whole message of an error, in Chinese.
PHRASES: Mapping[str, str] = {
    "the workbook has no sheet {part} any more": "工作簿中已没有工作表“{part}”",
    "the sheet {part} has no heading {names}": "工作表“{part}”缺少表头:{names}",
    "the sheet {part} has two headings {names}": "工作表“{part}”的表头重复:{names}",
    "the sheet {part} can't be read": "工作表“{part}”无法读取",
    "no row of the sheet {part} has an id that is known; the column {names} was changed": (
        "工作表“{part}”中没有一行的标识可以识别,“{names}”列被改动过"
    ),
    "{path} can't be read: {reason}": "{path}无法读取:{reason}",
    "{path} is an .xls file or encrypted; this library writes .xlsx": "{path}是.xls文件或已加密,本程序只使用.xlsx",
    "{path} is empty": "{path}是空文件",
    "{path} is no workbook, or was cut off": "{path}不是工作簿,或内容不完整",
    "{path} is damaged in {part}": "{path}已损坏,位置:{part}",
    "{trouble}. Nothing that was committed is lost: put that right in {path}, or move it away and open the store again, and"
    " the workbook is written anew; older ones are in {backups}": (
        "{trouble}。已提交的数据没有丢失:请在{path}中改正,或将其移走后重新打开,工作簿会重新写出;旧版本在{backups}"
    ),
    "{path} was changed by hand; the changes are to be taken in first: open the store anew": (
        "{path}有尚未录入的手工修改,请重新打开以便先行录入"
    ),
    "{path} is open in another program ({file}); it is written at the next use of the store after it was closed there": (
        "{path}正在其他程序中打开({file}),关闭后下次使用存储时写入"
    ),
    "{path} is missing while another program has it open: close it there first": (
        "{path}不存在,但其他程序仍打开着它,请先在该程序中关闭"
    ),
    "{path} was changed by hand, and the folder {folder} that belongs to it is not beside it: put the folder there, or take"
    " the table in with crmcore import": (
        "{path}有手工修改,而所属文件夹{folder}不在旁边:请将文件夹放回,或用crmcore import导入表格"
    ),
    "{path} is not the workbook that {folder} belongs to, nor one of its last versions: put the right workbook back, or move"
    " this one to a place of its own and open it there": (
        "{path}不是{folder}所属的工作簿,也不是其最近的版本:请放回正确的工作簿,或将此工作簿移到别处打开"
    ),
    "{path} was renamed, and what was committed since it was written is in {folder}: rename that to {wanted}, or the workbook"
    " to {name}": "{path}已改名,此后提交的数据在{folder}中:请将该文件夹改名为{wanted},或将工作簿改名为{name}",
    "{path} may not be written": "{path}不能写入",
    "{path} may not be written; is it open in another program?": "{path}不能写入,是否正在其他程序中打开?",
    "{path} can't be written: {reason}": "{path}无法写入:{reason}",
    "{path} is a folder, not a file": "{path}是文件夹,不是文件",
    "{path} is missing": "{path}不存在",
    "{path} is there already": "{path}已存在",
    "no space is left for {path}": "磁盘空间不足,无法写入{path}",
    "there is no folder {path}": "没有文件夹{path}",
    "no file can be made in {path}: it may not be written": "{path}不能写入,无法在其中新建文件",
    "{path} is missing, and with it what was committed last: put it back from a backup of the disk, or move its folder away to"
    " open the workbook as it was last written": (
        "{path}不存在,最近提交的数据也随之缺失:请从磁盘备份恢复,或将其文件夹移走,按最后写出的工作簿打开"
    ),
    "{path} is missing or damaged, and the workbook isn't as it was written: put the folder back from a backup of the disk;"
    " older workbooks are in {backups}": (
        "{path}不存在或已损坏,工作簿也与写出时不同:请从磁盘备份恢复该文件夹;旧版本在{backups}"
    ),
    "{path} is older than the workbook beside it: put the folder back as a whole": (
        "{path}比旁边的工作簿旧,请整体恢复该文件夹"
    ),
    "a workbook holds {limit} rows as a store, and no more: move the data with crmcore copy excel:///{name} sqlite:///crm.db": (
        "工作簿存储最多{limit}行,请迁移数据:crmcore copy excel:///{name} sqlite:///crm.db"
    ),
    # What is logged as a warning; an error among its arguments has texts of its own.
    "the workbook is not written yet: %s": "工作簿尚未写入:%s",
    "%s was changed by hand and is open in another program (%s): what was changed is taken in when the store is opened after"
    " the workbook was closed there": "%s有手工修改,且正在其他程序中打开(%s):关闭后下次打开存储时录入",
    "%s was changed by hand, and %s may not be written: what was changed is taken in when somebody opens the store who may"
    " write": "%s有手工修改,但%s不能写入:待有写入权限的人打开存储时录入",
    "a sheet holds 1,048,575 rows; move to SQLite": "一张工作表最多1,048,575行,请改用SQLite存储",
    "a store is kept in an .xlsx workbook; others are read by crmcore import": "存储只能是.xlsx工作簿,其他文件请用crmcore import导入",
    "a text holds half a character, which no workbook can keep": "文字含有不完整的字符,工作簿无法保存",
    "a workbook is named after three slashes: excel:///crm.xlsx, excel:////srv/crm.xlsx": "工作簿写在三个斜杠之后:excel:///crm.xlsx、excel:////srv/crm.xlsx",
    "an id that no cell can hold is not kept in a workbook": "单元格放不下的编号无法保存到工作簿",
    "checkpoint is close or manual": "checkpoint只能是close或manual",
    "network is refuse or allow": "network只能是refuse或allow",
    "the URL names no file; write excel:///crm.xlsx": "URL没有写明文件,请写成excel:///crm.xlsx",
    "the database file was moved or replaced while it was open": "数据库文件在使用中被移动或替换",
    "the database is damaged": "数据库已损坏",
    "the disk did not give back what was written": "磁盘读回的内容与写入的不一致",
    "the files were put in order by somebody else meanwhile": "文件已由其他程序整理",
    "the workbook just written does not hold what was to be in it; the old one stays": "刚写出的工作簿内容不符,已保留原工作簿",
    "the workbook's marks are of another format than this program's": "工作簿的标记格式与本程序不符",
    "the workbook's marks can't be read": "工作簿的标记无法读取",
    "there are no data to upgrade": "没有需要升级的数据",
    "there is nothing to upgrade": "没有可升级的内容",
    'workbooks need the extra: pip install "crmcore[excel]"': '工作簿需要安装可选组件:pip install "crmcore[excel]"',
    "this store makes no backup of its own; copy it to another store": "此存储没有自带的备份功能,请复制到另一个存储",
    "the data are kept in an older format; upgrade them with: crmcore upgrade": (
        "数据为旧格式,请先升级:crmcore upgrade"
    ),
    "the data are kept in a newer format than this program knows; a newer crmcore is needed": (
        "数据的格式比本程序新,请更新crmcore"
    ),
    "the data were written with other fields under the same format: the versions of crmcore and its plugins differ from"
    " those that made them": "数据的字段与本程序不同:crmcore或插件的版本与写入数据时不一致",
    "the data were upgraded while this program had them open; open them again": "数据在打开期间已被升级,请重新打开",
    "the data are not in an older format": "数据不是旧格式,无须升级",
    "there are no data to be upgraded": "没有可升级的数据",
    "there is no store at this URL": "此URL处没有数据库",
    "the target already holds data; copy into a new store": "目标数据库已有数据,请复制到新的数据库",
    "another program has the database open; it must be closed for an upgrade": "其他程序正在使用数据库,升级前须先关闭",
    "this store makes no backup of its own; copy it first, then upgrade without a backup": (
        "此存储没有自带的备份功能,请先复制到另一个存储,再以不备份的方式升级"
    ),
    "the database doesn't say what it holds": "数据库未注明所存内容",
    "the copy is damaged, and so may the database be; look with: crmcore check": (
        "备份已损坏,原数据库也可能损坏,请检查:crmcore check"
    ),
    "1 to 99": "1至99",
    "a list of mappings of fields": "字段映射的列表",
    "the day due_on": "due_on当天",
    "it isn't asked of this collaborator": "此事未请该协作人办理",
    "numbers from headcount_low on": "不小于headcount_low的数",
    "numbers from zero on": "不小于零的数",
    "a report is restricted by a mapping of fields to values": "报表范围应写作字段与取值的对应",
    "this store can't take what was removed out of its files; copy it to another store": (
        "此存储无法清除文件中已删除的内容,请复制到新的存储"
    ),
    "there is no such customer in the bin": "回收站中没有此客户",
    "there is no such contact": "没有此联系人",
    "a checkpoint is given as it was made, or as the path of its file": "检查点须为生成时的对象,或其文件的路径",
    "the checkpoint can't be read": "无法读取检查点文件",
    "this is no checkpoint, or one of another version": "这不是检查点文件,或版本不同",
    "the audit has faults; look with: crmcore verify": "审计链存在问题,请先运行 crmcore verify 查看",
    "another writer began the same history": "另有写入者同时开始了同一条记录链",
    "a search is a text": "搜索内容应为文字",
    "a workbook is written to a path": "工作簿应写入文件路径",
    # Keys
    "the store is encrypted; open it with its keys": "存储已加密,请提供密钥打开",
    "nothing is encrypted in this store": "此存储没有加密内容",
    'encryption needs the extra: pip install "crmcore[crypto]"': '加密需要安装可选组件:pip install "crmcore[crypto]"',
    "the OpenSSL of this cryptography has no AES-GCM-SIV": "所装cryptography的OpenSSL不支持AES-GCM-SIV",
    "there is no key in the ring": "密钥环中没有密钥",
    "the id of a key has 1 to 32 letters, digits, - and _": "密钥标识由1至32个字母、数字、-或_组成",
    "the current key is none of the ring": "当前密钥不在密钥环中",
    "more than one key is marked as the current one": "标记为当前的密钥不止一个",
    "keys are named by env:NAME or file:PATH": "密钥来源应写作env:变量名或file:路径",
    "the keys are no JSON object of ids to base64": "密钥不是以标识对应base64的JSON对象",
    "a key is written id:base64": "密钥应写作“标识:base64”",
    "the file of keys %s may be read by others; let only its owner: chmod 600": (
        "密钥文件%s可被他人读取,请只允许所有者读写:chmod 600"
    ),
    "no keys were given; name them: --keys env:NAME or --keys file:PATH": (
        "没有提供密钥,请指明来源:--keys env:变量名 或 --keys file:路径"
    ),
    "two plugins bring keys": "两个插件都提供了密钥",
    "what a plugin brings as keys is no KeyRing": "插件提供的密钥不是KeyRing",
    "keys are a KeyRing, or named by env:NAME or file:PATH": "密钥应为KeyRing,或写作env:变量名、file:路径",
    "this customer is registered already, by somebody else": "该客户已由他人登记",
    "this customer is registered already as {number}: {why}": "该客户已登记,编号为{number}:{why}",
    "the same registration number": "统一社会信用代码相同",
    "the same name": "企业名称相同",
    "the same telephone number": "电话相同",
    "the same e-mail address": "邮箱相同",
    "the same WeChat name": "微信相同",
    # Merging
    "a customer is not told apart from itself": "客户不能与自身标记为不同",
    "a customer is not merged with itself": "客户不能与自身合并",
    "the two have different registration numbers; say which one is right: prefer uscc": (
        "两个客户的统一社会信用代码不同,请指明以哪个为准(uscc)"
    ),
    "{number} was absorbed by {into} already": "{number}已并入{into}",
    "it was absorbed by {number}, which is absorbed itself: take that back first": (
        "它所并入的{number}本身也已被合并,请先撤销那次合并"
    ),
    "the customer that absorbed it is not on the lists; restore it first": "合并后的客户不在册,请先恢复",
    "no customer that goes by this was absorbed": "没有以此编号被合并的客户",
    "an absent record can't be read; look with: crmcore check": "有一条离册记录无法读取,请用 crmcore check 查看",
    # What is expected
    "text": "文本",
    "a whole number": "整数",
    "true or false": "是或否",
    "text, a whole number, true or false": "文本、整数、是或否",
    "a date": "日期",
    "a date and time": "日期和时间",
    "an amount of money": "金额",
    "a list": "列表",
    "a list of texts": "文本列表",
    "a list of mappings, one per person": "联系人列表,每人一组字段",
    "a mapping": "字段表",
    "a mapping with names for its keys": "以字段名为键的字段表",
    "a table": "表",
    "a pair of moments": "一对起止时间",
    "seven days, Monday first": "七天,从周一开始",
    "datetime64 without NaT": "不含NaT的datetime64",
    # Limits
    "64 bits": "64位整数",
    "the years 1900 to 9000": "1900年至9000年",
    "a band from low to high": "由低到高的区间",
    "what has happened": "不晚于现在",
    "the days from the conversation on": "不早于沟通当天",
    "amounts above zero": "大于零的金额",
    "amounts from zero on": "不小于零的金额",
    "what is still to be paid": "未付余额",
    "more than what was paid of it": "大于已付金额",
    "no other stage": "无(没有其他阶段)",
    # Why something is refused
    "it is not set this way": "不能这样设置",
    "it is another customer's": "属于其他客户",
    "it is done already": "已经完成",
    "it is cancelled already": "已经取消",
    "it is no opportunity of this customer": "不是该客户的销售机会",
    "it is paid in full already": "已经全额回款",
    "the order was paid from already without instalments": "订单已有不分期的回款",
    "nobody refers themselves": "客户不能介绍自己",
    "another customer is named already": "已写明其他客户",
    "the incentive was given already": "激励已经发放",
    "more than one goes by this name": "此名称对应不止一条记录",
    "amounts in this currency are not changed here": "此币种的金额不能在此修改",
    "a row that belongs to it was refused": "与其同属一组的行未录入",
    # What somebody may not do, by the roles that they hold and the row of the table
    "whoever acts is not on file as an active user": "操作人不是在册的有效用户",
    "the roles {roles} do not allow {what}": "角色{roles}没有{what}的权限",
    "the roles {roles} may not write {what}": "角色{roles}不能填写{what}",
    "the roles {roles} do not see {what}, on which this rests": "此操作取决于{what},角色{roles}不能查看该字段",
    "the roles {roles} may not look for, sort or group by {what}": "角色{roles}不能按{what}查找、排序或分组",
    "the roles {roles} would allow {what}, but a plugin denies it": "角色{roles}有{what}的权限,但插件不允许",
    "its owner confirms it": "由负责人核对",
    "its owner entered it": "由负责人本人录入,无需核对",
    "somebody else takes over": "应由其他人接手",
    "whoever takes over is not an active user": "接手人不是有效用户",
    "the last administrator stays": "最后一名管理员不能停用或改任",
    # Messages of errors
    "there is no such quality_check": "没有这样的抽查",
    "there is no such sample": "没有这个抽样",
    "there is a sample of that name already": "已有同名抽样",
    "the customer is not in this sample": "该客户不在此抽样中",
    "this is no worksheet of a sample": "这不是抽查核对表",
    "a file that is right has no wrong fields": "正确的档案不应有错误字段",
    "1 to 100": "1至100",
    "the keys by which customers are found were made by the forms {plugin}: open the store with the plugin that brings them, or"
    " make the keys anew with crmcore recompute": (
        "查重用的键按{plugin}的写法生成:请带上提供该写法的插件打开,或用crmcore recompute重新生成"
    ),
    "an import is named by itself or by its id": "请用导入本身或其标识指明导入",
    "answers are by question": "答复应以问题为键",
    "a copy is written to a path": "副本应写入文件路径",
    "this customer stands in two rows": "该客户出现在两行中",
    "there is no such import": "没有这样的导入",
    "this import is undone already": "此导入已撤销",
    "there is no such obligation": "没有这样的待办事项",
    "no customer and no one opportunity goes by this number": "没有此编号对应的客户,也没有唯一对应的销售机会",
    "somebody must be acting: give the user's name": "须写明操作人的用户名",
    "a customer is named by itself, its number or its id": "客户须以记录、编号或标识指明",
    "an action of a review is cancelled, not waived": "复盘行动应取消,不能豁免",
    "the playbook does not ask for this any more; recompute what is owed": "方案已不再要求此事项,请重新计算待办事项",
    "the clock must give an aware date and time": "时钟须给出带时区的时间",
    "a period does not end before it begins": "时间段的结束不能早于开始",
    "a period is given in dates": "时间段须以日期给出",
    "a month is a year and a number from 1 to 12": "月份由年份和1至12的数字组成",
    "reminders are asked for between two aware moments": "查询提醒须给出两个带时区的时间",
    "notices are put into the outbox up to now, not ahead": "提醒只能放入至当前时间为止的部分,不能提前",
    "notifiers are named by a list of their keys": "通知渠道须以标识列表指明",
    "two notifiers have the same key": "两个通知渠道使用了同一个标识",
    "what is due is asked until a date, or a date and time": "查询到期事项须给出截止日期或时间",
    "this is not a page mark": "这不是翻页标记",
    "this mark belongs to another list, or to another order of it": "此翻页标记属于另一个列表或另一种排序",
    "the place to go on from belongs to another order": "翻页位置属于另一种排序",
    "an order is a list of field names": "排序须为字段名列表",
    "a limit is not negative": "条数上限不能为负数",
    "a store is named by a URL such as sqlite:///crm.db": "数据库以URL指明,例如 sqlite:///crm.db",
    "a store is named by a URL such as sqlite:///crm.db, or is one that is open": (
        "数据库以URL指明,例如 sqlite:///crm.db,或传入已打开的数据库"
    ),
    "the options of a store URL are written ?name=value&name=value": "数据库URL的选项写作 ?name=value&name=value",
    "memory: takes no name; each opening is a new store": "memory: 不带名称,每次打开都是新的数据库",
    "a SQLite file is named after three slashes: sqlite:///crm.db, sqlite:////srv/crm.db": (
        "SQLite文件名写在三个斜杠之后:sqlite:///crm.db、sqlite:////srv/crm.db"
    ),
    "the URL names no file; write sqlite:///crm.db": "URL中没有文件名,应写作 sqlite:///crm.db",
    "a database in memory would be gone at the first close; memory: is the store for that": (
        "内存数据库在首次关闭后即消失,请改用 memory:"
    ),
    "a file name holds no NUL": "文件名不能含有NUL字符",
    "wait is a number of seconds, such as 5 or 0.5s": "wait须为秒数,例如 5 或 0.5s",
    "journal is auto, wal or truncate": "journal只能是 auto、wal 或 truncate",
    "the file is a database of another program": "该文件是其他程序的数据库",
    "an event can't be read; look with: crmcore check": "有一条历史记录无法读取,请用 crmcore check 查看",
    "a row can't be read; look with: crmcore check": "有一行数据无法读取,请用 crmcore check 查看",
    "a table or column of the database is missing": "数据库缺少数据表或列",
    "a transaction ends in the process that began it": "事务须在开始它的进程中结束",
    "people's edits in the store were not taken in yet; close the file in other programs, open the store once, then try"
    " again": "库中的外部修改尚未录入;请先在其他程序中关闭该文件,打开一次数据库后再试",
    "the target keeps nothing once it is closed; copy into a store that lasts": (
        "目标关闭后不保留任何数据,请复制到可持久保存的数据库"
    ),
    "notices are put into the outbox up to now; --until can't lie ahead": "提醒只会放入发件箱到当前为止,--until不能晚于今天",
    "the database holds a text that can't be read": "数据库中有无法读取的文本",
    "the database holds a value that can't be read": "数据库中有无法读取的值",
    "the store is closed": "数据库已关闭",
    "the transaction is over": "事务已结束",
    "the transaction was not entered": "事务尚未开始",
    "a transaction is entered once": "一个事务只能开始一次",
    "the transaction is over, and the answer was not read to its end": "事务已结束,而结果尚未读完",
    "the transaction had failed; nothing of it was kept": "事务已失败,未写入任何数据",
    "this transaction only reads": "此事务只能读取",
    "a plugin is a module or an object, not its name": "插件须为模块或对象,不能只给名称",
    'SQLite stores need SQLAlchemy: pip install "crmcore[sqlite]"': (
        'SQLite数据库需要SQLAlchemy:pip install "crmcore[sqlite]"'
    ),
    'PostgreSQL stores need SQLAlchemy and psycopg: pip install "crmcore[postgres]"': (
        'PostgreSQL数据库需要SQLAlchemy和psycopg:pip install "crmcore[postgres]"'
    ),
    "PostgreSQL keeps at most 16,383 digits behind the point": "PostgreSQL最多保留小数点后16383位",
    "a server is written host or host:port, an IPv6 address in brackets": (
        "服务器写作 host 或 host:port,IPv6地址须加方括号"
    ),
    "a store URL holds no NUL": "数据库URL不能含有NUL字符",
    "no connection to the PostgreSQL server: see its log, and host, port, database, user and password of the URL": (
        "无法连接PostgreSQL服务器:请查看其日志,并检查URL中的主机、端口、数据库、用户和密码"
    ),
    "pool is the most connections to hold, such as 10": "pool须为最多保持的连接数,例如 10",
    "schema is a name of small letters, digits and underscores that doesn't begin with pg_": (
        "schema须为小写字母、数字和下划线组成的名称,且不以pg_开头"
    ),
    "the URL names no database; write postgresql://host/database": (
        "URL中没有数据库名,应写作 postgresql://host/database"
    ),
    "user and password go before the host, as in postgresql://user:password@host/database": (
        "用户名和密码写在主机名之前:postgresql://user:password@host/database"
    ),
    "the connection was lost while committing; whether it was kept isn't known": (
        "提交时连接中断,无法确定数据是否已写入"
    ),
    "the data were upgraded while the store was open; open it again": "数据库打开期间数据已升级,请重新打开",
    "the database doesn't keep texts in UTF-8; make one with ENCODING 'UTF8'": (
        "该数据库的编码不是UTF-8,请以 ENCODING 'UTF8' 新建数据库"
    ),
    "the database has no tables of this library yet, and may not be written": (
        "该数据库中尚无本程序的数据表,且不能写入"
    ),
    "the facts beside the data are not those of this library": "数据旁的说明不是本程序写入的",
    "the server undid the transaction": "服务器撤销了该事务",
    "the workbook was not written by this library": "该工作簿不是由本程序生成的",
    'Chinese company names need pypinyin: pip install "crmcore[cn]"': (
        '处理中文公司名称需要pypinyin:pip install "crmcore[cn]"'
    ),
    'Chinese forms need an optional library: pip install "crmcore[cn]"': (
        '处理中文格式需要可选组件:pip install "crmcore[cn]"'
    ),
    'workbooks need an optional library: pip install "crmcore[excel]"': (
        '读写工作簿需要可选组件:pip install "crmcore[excel]"'
    ),
    'workbooks need python-calamine: pip install "crmcore[excel]"': (
        '读取工作簿需要python-calamine:pip install "crmcore[excel]"'
    ),
    'writing workbooks needs XlsxWriter: pip install "crmcore[excel]"': (
        '写入工作簿需要XlsxWriter:pip install "crmcore[excel]"'
    ),
    'the demo needs XlsxWriter: pip install "crmcore[excel]"': '演示需要XlsxWriter:pip install "crmcore[excel]"',
    "arrays of moments need numpy: pip install numpy": "时间数组需要numpy:pip install numpy",
    "an id stands on both sides": "两边有相同的编号",
    "the weights were learned for rules with other fields": "权重来自字段不同的规则",
    'fuzzy fields need rapidfuzz: pip install "crmcore[duplicates]"': '模糊比较需要rapidfuzz:pip install "crmcore[duplicates]"',
    "no Python interpreter is known to read workbooks with": "找不到用于读取工作簿的Python解释器",
    **{
        f"there is no such {named}": f"没有这样的{chinese}"
        for entity, chinese in {
            "customer": "客户",
            "contact": "联系人",
            "opportunity": "销售机会",
            "order": "订单",
            "instalment": "分期回款",
            "objection": "异议",
            "follow_up": "跟进记录",
            "follow_up_plan": "跟进计划",
            "feedback": "客户反馈",
            "ticket": "工单",
            "referral": "转介绍",
            "attachment": "附件",
            "action_plan": "行动计划",
            "obligation": "待办事项",
            "outbox_message": "消息",
            "user": "用户",
        }.items()
        for named in (entity, entity.replace("_", " "))
    },
}

#: What can be done to a record in a loop, in Chinese.
ACTIONS: Mapping[str, str] = {
    "assign": "分配",
    "add_collaborators": "添加协作人",
    "contribute": "完成协作",
    "plan": "制定方案",
    "answer": "答复",
    "confirm": "确认",
    "wait": "等待客户",
    "resume": "恢复处理",
    "solve": "解决",
    "reopen": "重新打开",
    "close": "关闭",
    "settle": "登记结果",
    "change": "修改",
    "done": "完成",
    "cancel": "取消",
}

#: What each class of error says in Chinese where its message has no Chinese text of its own.
MEANINGS: Mapping[str, str] = {
    "error": "操作失败",
    "domain": "规则不允许",
    "invalid": "输入有误",
    "transition_refused": "不能进入此阶段",
    "duplicate_customer": "客户已登记",
    "merge_refused": "不能合并或撤销合并",
    "numbers_exhausted": "编号已用完",
    "not_found": "没有这样的记录",
    "forbidden": "没有权限",
    "veto": "插件拒绝了此操作",
    "storage": "数据库出错",
    "conflict": "记录已被他人修改",
    "duplicate_key": "数据库中已有相同的值",
    "store_busy": "数据库正被占用,请稍后再试",
    "store_unavailable": "数据库无法打开",
    "read_only": "不能写入",
    "store_closed": "数据库已关闭",
    "schema_mismatch": "数据格式与程序不符",
    "store_corrupt": "数据已损坏",
    "store_full": "存储空间不足",
    "not_supported": "此存储不支持该操作",
    "query": "查询有误",
    "invalid_url": "数据库URL有误",
    "playbook": "方案有误",
    "import_rejected": "文件无法导入",
    "plugin": "插件出错",
    "backend_not_found": "没有可用的数据库组件",
    "plugin_conflict": "插件冲突",
    "plugin_load": "插件无法加载",
    "missing_extra": "缺少可选组件",
    "invalid_keys": "密钥有误",
    "key_missing": "缺少密钥",
    "key_unknown": "密钥不匹配",
    "sealed_value_broken": "加密内容已损坏",
}


def _in_chinese(name: str, fact: Any, code: str) -> Any:
    """A fact of an issue for a Chinese reader: phrases and actions are told, names stay."""
    if type(fact) is not str:
        return fact
    if code == "not_possible" and name in ("action", "allowed"):
        return ", ".join(ACTIONS.get(word, word) for word in fact.split(", "))
    if name in ("expected", "limit", "why", "allowed"):
        return PHRASES.get(fact) or (MEANINGS.get(fact, fact) if name == "why" else fact)
    return fact


@attrs.frozen(kw_only=True)
class Issue:
    """One thing that is wrong with an input.

    ``field`` is dotted (``customer.name``); ``row`` and ``column`` count from 1 as a spreadsheet shows them.
    ``level`` "warning" lets the row in, "error" does not. ``facts`` fill the text of the code; never personal data.
    """

    code: str
    field: str | None = None
    level: Literal["error", "warning"] = "error"
    sheet: str | None = None
    row: int | None = None
    column: int | None = None
    facts: Mapping[str, Any] = attrs.field(factory=dict)

    def text(self, language: Language = "en") -> str:
        """The issue for a reader, in English or Chinese. Raises :class:`QueryError` for another language, as every text does."""
        english, chinese = ISSUES[self.code]
        facts = {"label": self.field, **self.facts}
        if language_of(language) == "en":
            return english.format_map(facts)
        return chinese.format_map({name: _in_chinese(name, fact, self.code) for name, fact in facts.items()})

    def __str__(self) -> str:
        return self.text()


class CRMError(Exception):
    """The root. ``retryable`` says that the same call may succeed later, unchanged.

    A message is English, unless ``details["language"]`` says otherwise.
    """

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False
    phrase: str = ""
    facts: Mapping[str, Any] = {}

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    @classmethod
    def phrased(cls, phrase: str, **facts: Any) -> Self:
        """An error whose message is a phrase of :data:`PHRASES` with ``{facts}`` in it, which are its details.

        A fact may be another error, which is told in the reader's language too.
        """
        details = {name: fact.message if isinstance(fact, CRMError) else fact for name, fact in facts.items()}
        error = cls(phrase.format_map(details), **details)
        error.phrase, error.facts = phrase, facts
        return error

    def text(self, language: Language = "en") -> str:
        """The message for a reader. What has no Chinese text is told in English behind what its class means."""
        if language == self.details.get("language", "en") or language == "en":
            return self.message
        if self.phrase in PHRASES:
            told = {
                name: fact.text(language) if isinstance(fact, CRMError) else fact for name, fact in self.facts.items()
            }
            return PHRASES[self.phrase].format_map(told)
        # A class of a plugin's own means what the class means that it comes from.
        codes: list[str] = [vars(cls).get("code", "") for cls in type(self).__mro__]
        meaning = next(MEANINGS[code] for code in codes if code in MEANINGS)
        return PHRASES.get(self.message) or f"{meaning}({self.message})"

    def __str__(self) -> str:
        return self.message


class DomainError(CRMError):
    """A rule of the domain says no; nothing was stored."""

    code = "domain"


class Invalid(DomainError):
    """The input breaks one or more rules: every one of them is in ``issues``."""

    code = "invalid"

    def __init__(self, issues: Iterable[Issue]) -> None:
        self.issues = tuple(issues)
        super().__init__("; ".join(f"{issue.field}: {issue}" if issue.field else str(issue) for issue in self.issues))

    def text(self, language: Language = "en") -> str:
        """The message for a reader: every issue in one line."""
        return self.message if language == "en" else "; ".join(issue.text(language) for issue in self.issues)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.issues,)


class TransitionRefused(Invalid):
    """A stage move that the playbook does not allow, or whose guards are not met. ``allowed`` names the ways out.

    ``target`` is None where the stage that was asked for is none of the playbook's.
    """

    code = "transition_refused"

    def __init__(self, issues: Iterable[Issue], *, source: str, target: str | None, allowed: Iterable[str]) -> None:
        super().__init__(issues)
        self.source, self.target, self.allowed = source, target, tuple(allowed)
        self.message = f"{source} -> {target}: {self.message}" if target else f"from {source}: {self.message}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _transition_refused, (self.issues, self.source, self.target, self.allowed)


def _transition_refused(issues: Any, source: str, target: str | None, allowed: Any) -> TransitionRefused:
    return TransitionRefused(issues, source=source, target=target, allowed=allowed)


class DuplicateCustomer(DomainError):
    """The customer has a file already (one customer, one file: seeds 003, 004); ``details["number"]`` is its number."""

    code = "duplicate_customer"


class MergeRefused(DomainError):
    """Two customers can't be made one, or one can't be made two again; the message says why, and what to do first."""

    code = "merge_refused"


class NumbersExhausted(DomainError):
    """A number series has no number left in its period; the scheme needs more digits."""

    code = "numbers_exhausted"


class NotFound(DomainError, LookupError):
    """No record of that kind goes by that id or number."""

    code = "not_found"


class Forbidden(DomainError):
    """The actor's role does not allow it."""

    code = "forbidden"


class Veto(DomainError):
    """Raised by a plugin's ``crm_check`` to refuse a change before it is stored."""

    code = "veto"


class StorageError(CRMError):
    """A store failed. Whatever a backend's own libraries raise is wrapped in a class of this branch."""

    code = "storage"


class Conflict(StorageError):
    """A record is not at the version that the change was made for. Load it again and decide again."""

    code = "conflict"


class DuplicateKey(StorageError):
    """A unique key of the schema is taken already."""

    code = "duplicate_key"


class StoreBusy(StorageError, TimeoutError):
    """Another writer held the store for longer than the wait allowed."""

    code = "store_busy"
    retryable = True


class StoreUnavailable(StorageError):
    """The store can't be reached or opened: folder missing, server down, disk failing."""

    code = "store_unavailable"


class ReadOnly(StorageError):
    """The store, or the transaction, may not be written."""

    code = "read_only"


class StoreClosed(StorageError):
    """The store or the transaction was used after its end."""

    code = "store_closed"


class SchemaMismatch(StorageError):
    """The data were written under another version of the schema, or by another program."""

    code = "schema_mismatch"


class StoreCorrupt(StorageError):
    """The data can't be read as what they claim to be."""

    code = "store_corrupt"


class KeyMissing(StorageError):
    """The store's encrypted values can't be opened, or made, without keys, and none were given."""

    code = "key_missing"


class KeyUnknown(StorageError):
    """The key ring lacks the key, or holds another one under its id; ``details["key_id"]`` names it."""

    code = "key_unknown"

    @classmethod
    def of(cls, key_id: str) -> Self:
        """The error for a key that isn't in the ring."""
        return cls(f"the key {key_id} is not in the key ring", key_id=key_id)


class SealedValueBroken(StoreCorrupt):
    """An encrypted value was changed, or is not where it was written; ``details`` name collection, field and id."""

    code = "sealed_value_broken"


class StoreFull(StorageError):
    """No space is left where the store lives."""

    code = "store_full"


class NotSupported(StorageError):
    """The store can't do this, though others can; the message says what to do instead."""

    code = "not_supported"


class QueryError(CRMError, ValueError):
    """A query, a filter or a report names something that isn't there, or compares with a value of another type."""

    code = "query"


class InvalidURL(CRMError, ValueError):
    """A store URL that can't be read."""

    code = "invalid_url"


class InvalidKeys(CRMError, ValueError):
    """A key ring that can't be read or used; the message names ids of keys, never a key."""

    code = "invalid_keys"


class PlaybookError(CRMError, ValueError):
    """A playbook that can't be used; ``problems`` names file, key and what is allowed, all at once."""

    code = "playbook"

    def __init__(self, source: str, problems: Iterable[str]) -> None:
        self.source, self.problems = source, tuple(problems)
        super().__init__(f"{source}: " + "; ".join(self.problems))

    def __reduce__(self) -> tuple[type[PlaybookError], tuple[str, tuple[str, ...]]]:
        return type(self), (self.source, self.problems)


class ImportRejected(CRMError, ValueError):
    """A file that can't be taken in at all; ``reason`` is a stable word and ``part`` the place inside the file."""

    code = "import_rejected"

    def __init__(self, reason: str, message: str, *, part: str | None = None, file: str | None = None) -> None:
        super().__init__(f"{file}: {message}" if file else message, reason=reason, part=part, file=file)
        self.reason, self.part, self.file = reason, part, file

    def __reduce__(self) -> tuple[Any, ...]:
        return _import_rejected, (self.reason, self.message, self.part, self.file)


def _import_rejected(reason: str, message: str, part: str | None, file: str | None) -> ImportRejected:
    rejected = ImportRejected(reason, message, part=part, file=file)
    rejected.message = message
    return rejected


class PluginError(CRMError):
    """A plugin failed; ``details["plugin"]`` names it."""

    code = "plugin"


class BackendNotFound(PluginError):
    """No installed package serves this URL scheme; the message says what to install."""

    code = "backend_not_found"


class PluginConflict(PluginError):
    """Two installed packages claim the same name."""

    code = "plugin_conflict"


class PluginLoadError(PluginError):
    """An installed plugin can't be imported, or isn't what its entry point promises."""

    code = "plugin_load"


class MissingExtra(PluginError, ImportError):
    """An optional library is absent; the message says what to install."""

    code = "missing_extra"
