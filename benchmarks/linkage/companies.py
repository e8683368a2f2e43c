"""Chinese companies that don't exist, some of them filed more than once; the same from the same seed.

What makes them hard: sister companies (one 字号, another trade, one telephone or address), agents whose telephone many
unrelated companies give, founders with several companies, and files of one company that differ in form, spelling, telephone
and person. Names are put together from characters and trades; any likeness to a real company is chance.
"""

from __future__ import annotations

import random
import unicodedata
from typing import Any

Record = dict[str, str]
Pairs = set[tuple[str, str]]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


CITIES = _words(
    "北京 上海 广州 深圳 杭州 南京 苏州 成都 重庆 武汉 西安 天津 青岛 宁波 "
    "厦门 长沙 郑州 无锡 合肥 福州 济南 东莞 佛山 昆明 大连 沈阳 温州 泉州"
)
TRADES = _words(
    "科技 贸易 软件 网络科技 信息技术 电子 机械设备 建筑工程 装饰工程 物流 餐饮管理 "
    "文化传播 广告 咨询 生物科技 医疗器械 新能源 环保科技 服饰 食品 国际贸易 电子商务 "
    "教育科技 物业管理 汽车服务 印刷 包装材料 化工 家居 农业发展 投资管理 人力资源"
)
FORMS = ("有限公司", "有限公司", "有限公司", "有限责任公司", "股份有限公司", "(集团)有限公司")
SIGNS = (
    "恒远盛华泰康宏达鑫源瑞丰博创嘉和天成永兴正信德润东方海润金石明德华宇中联安泰凯利星辰宝通广联百川立诚"
    "万佳优品卓越启航蓝天同创景行云帆思源弘毅科锐智慧融汇众诚力合新锐佳美顺达长青绿洲铭扬腾飞旭日晨光逸飞"
    "美林雅居颐和君悦尚品汇智聚力创想未来"
)
#: Characters that people write for each other: of one sound, or of one look.
SLIPS = {
    "恒": "衡", "远": "元", "盛": "胜", "华": "花", "泰": "太", "宏": "弘", "达": "大", "鑫": "新", "源": "原", "瑞": "锐", "丰": "峰",
    "博": "搏", "嘉": "佳", "和": "合", "成": "诚", "兴": "星", "信": "讯", "德": "得", "润": "闰", "海": "梅", "明": "铭", "宇": "雨",
    "联": "连", "凯": "恺", "利": "丽", "宝": "保", "通": "同", "立": "力", "诚": "成", "佳": "嘉", "航": "杭", "景": "竟", "行": "形",
    "帆": "凡", "思": "斯", "智": "志", "汇": "会", "顺": "舜", "青": "清", "扬": "杨", "旭": "绪", "逸": "易", "君": "军", "尚": "上",
}  # fmt: skip
FAMILIES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕"
GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰建国志文晓雪梅红海燕波斌宇浩鹏飞婷莉"
ROADS = _words("人民 中山 解放 建设 和平 文化 科技 创业 长江 黄河 工业 迎宾 学府 滨江 胜利 新华 朝阳 友谊 金融 体育")
DISTRICTS = _words(
    "东城 西城 南山 福田 高新 滨江 江宁 武侯 渝北 洪山 雁塔 河西 "
    "市南 鄞州 思明 岳麓 金水 新吴 蜀山 鼓楼 历下 南城 禅城 五华"
)


class Maker:
    """Throws the dice for one set."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)

    def person(self) -> str:
        dice = self.dice
        return dice.choice(FAMILIES) + "".join(dice.choice(GIVEN) for _ in range(dice.choice((1, 2, 2))))

    def phone(self) -> str:
        dice = self.dice
        if dice.random() < 0.7:
            return dice.choice(("130", "135", "138", "139", "150", "158", "186", "188")) + f"{dice.randrange(10**8):08}"
        return dice.choice(("010", "021", "020", "0755", "0571", "025", "028")) + f"{dice.randrange(10**7, 10**8)}"

    def address(self) -> str:
        dice = self.dice
        place = f"{dice.choice(DISTRICTS)}区{dice.choice(ROADS)}{dice.choice(('路', '大道', '街'))}{dice.randrange(1, 900)}号"
        return place + (f"{dice.randrange(1, 30)}楼{dice.randrange(100, 3000)}室" if dice.random() < 0.6 else "")

    def company(self, brand: str | None = None) -> dict[str, Any]:
        dice = self.dice
        return {
            "city": dice.choice(CITIES),
            "brand": brand or "".join(dice.choice(SIGNS) for _ in range(dice.choice((2, 2, 2, 3)))),
            "trade": dice.choice(TRADES),
            "form": dice.choice(FORMS),
            "contact": self.person(),
            "phone": self.phone(),
            "email": f"{''.join(dice.choice('abcdefghijklmnopqrstuvwxyz') for _ in range(7))}@example.com",
            "address": self.address(),
            "uscc": f"91{dice.randrange(10**6):06}{''.join(dice.choice('0123456789ABCDEFGHJKLMNPQRTUWXY') for _ in range(10))}",
        }

    def sister(self, one: dict[str, Any], taken: set[str]) -> dict[str, Any]:
        """Another company of the same people: one 字号, a trade that none of them has, and something that both give."""
        other = self.company(one["brand"])
        other["city"] = one["city"]
        while other["trade"] in taken:
            other["trade"] = self.dice.choice(TRADES)
        taken.add(other["trade"])
        for shared in self.dice.sample(("phone", "address", "contact", "email"), self.dice.choice((1, 1, 2, 2, 3))):
            other[shared] = one[shared]
        return other

    def filed(self, one: dict[str, Any], again: bool) -> Record:
        """One file of a company; one more is by somebody else, from another source."""
        dice, own = self.dice, dict(one)
        brand = own["brand"]
        trade = own["trade"]
        if again:
            if dice.random() < 0.15:
                at = dice.randrange(len(brand))
                brand = brand[:at] + SLIPS.get(brand[at], brand[at]) + brand[at + 1 :]
            if dice.random() < 0.12:
                trade = trade[:2] if len(trade) > 2 else ""
            if dice.random() < 0.25:
                own["form"] = dice.choice(FORMS)
            if dice.random() < 0.3:
                own["phone"] = self.phone()
            if dice.random() < 0.3:
                own["contact"] = self.person()
            if dice.random() < 0.3:
                own["email"] = self.company()["email"]
            roll = dice.random()
            if roll < 0.2:
                own["address"] = self.address()
            elif roll < 0.5:
                own["address"] = own["address"].split("号")[0] + "号"
            elif roll < 0.6:
                own["address"] = own["address"].split("区")[1]
            if dice.random() < 0.02:
                own["city"] = dice.choice(CITIES)
        for name, absent in (("phone", 0.1), ("contact", 0.1), ("email", 0.5), ("address", 0.2), ("uscc", 0.7)):
            if dice.random() < absent:
                own[name] = ""
        city = own["city"] if dice.random() < 0.7 else own["city"] + "市"
        name = (city if dice.random() < 0.8 else "") + brand + trade + (own["form"] if dice.random() < 0.85 else "")
        return {
            "name": name,
            "contact": own["contact"],
            "phone": own["phone"],
            "email": own["email"],
            "address": own["address"],
            "city": own["city"],
            "uscc": own["uscc"],
        }


def companies(number: int, seed: int) -> tuple[dict[str, Record], Pairs]:
    """So many files, about, and the pairs of them that are of one company."""
    maker = Maker(seed)
    dice = maker.dice
    known: list[dict[str, Any]] = []
    while len(known) < number * 0.8:
        one = maker.company()
        known.append(one)
        trades = {one["trade"]}
        while dice.random() < 0.2:
            known.append(maker.sister(one, trades))
    agents = [maker.phone() for _ in range(max(1, number // 300))]
    for one in known:
        if dice.random() < 0.08:
            one["phone"] = dice.choice(agents)
    filed: list[tuple[int, Record]] = []
    for which, one in enumerate(known):
        filed.append((which, maker.filed(one, False)))
        while dice.random() < 0.22:
            filed.append((which, maker.filed(one, True)))
    dice.shuffle(filed)
    records = {f"r{place:06}": record for place, (_, record) in enumerate(filed)}
    files: dict[int, list[str]] = {}
    for id, (which, _) in zip(records, filed, strict=True):
        files.setdefault(which, []).append(id)
    pairs = {(one, other) for ids in files.values() for at, one in enumerate(ids) for other in ids[at + 1 :]}
    return records, pairs


ENDINGS = tuple(
    sorted({unicodedata.normalize("NFKC", form) for form in (*FORMS, "集团有限公司", "公司")}, key=len, reverse=True)
)


def normalised(record: Record) -> Record:
    """What every contender is given: names in NFKC, without legal form and city."""
    name = unicodedata.normalize("NFKC", record["name"])
    for ending in ENDINGS:
        name = name.removesuffix(ending)
    city = record["city"]
    for prefix in (f"{city}市", city):
        name = name.removeprefix(prefix)
    return {**record, "name": name}
