"""Words for the guards of the semantic level: how a prompt is cut into words, and which words mean the same.

Nothing here decides that two prompts are alike; it only tells which of their differences need no answer of their own
(a filler, a synonym) and which always do (an opposite, a unit, a name). A word that no table knows is a name.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

_LATIN = re.compile(r"[a-z][a-z0-9'’-]*|\d+(?:[.,:]\d+)*%?|[㐀-鿿]|[぀-ヿ]+|[가-힣]+|[^\W\d_]+")

# One line a meaning; the first word stands for all. Verbs of asking and making, and the commonest nouns of prompts.
_SAME = """
write create compose generate make build produce draft develop author wrote written
summarize summarise summary outline sum
calculate compute computes calculates determine
cause reason why
function method routine procedure
average mean
list array
fix correct repair
find locate
present gift
service support
advantage benefit advantages benefits pros
way method approach
meaning mean
reset restore
change modify alter
large big
begin start
picture image photo
quickly fast
simple plain
cost price
remove delete
写 创建 编写 创作 生成 撰写 建立 写出 编 作者
计算 求 算 求出 算出
函数 方法
列表 数组
平均值 平均数 均值
总结 概括 归纳
修改 更正 改正
原因 为什么 为何
好吃 美食
编程 写代码
诗 诗歌
起 取
做 制作
查询 查 查看
翻译成 译成 翻译为 译为
好处 益处
描写 关于 描述
英文 英语
中文 汉语 汉语言
法文 法语
德文 德语
日文 日语
"""

# Said without asking for anything: politeness, articles, forms of "to be", question words that only open a sentence.
_FILLER = """
a an the is are was were be been am do does did doing of in on at for to as and or that this these those it its it's
there please thanks thank you your could can would will should shall may might i i'd i'll i'm me my we us our want need
know tell let how what what's where where's which who whose whom when why whether if so such hello hi help just really
very kindly some any have has had get got way thing about into explain describe clarify show give tell list name provide
suggest recommend propose suggestion there's
请问 请 帮我 帮忙 麻烦 谢谢 您 我想知道 我想 想知道 能不能 可以 可否 能否 给我 一下 一个 一首 一篇 一段 一封 一种 一些
一只 下面 以下 这 那 的 了 吗 呢 吧 呀 啊 是 有 会 要 来 把 将 给 和 与 及 在 里 中 用 个 就 也 都 我 你
怎么回事 哪个城市 哪个 哪些 哪里 哪儿 哪 何处 谁 该 怎么办 怎么 如何 怎样 咋 什么 啥 多久 多长时间 多少时间 多少
解释 说明 讲解 阐述 介绍 推荐 建议 列出 列举 为 话 需要 原理 发生 何时 什么时候 几点
"""

# Phrases that say no more than "how long" or "please", whose words mean something elsewhere.
_PHRASES = re.compile(
    r"\bhow (?:long|much time|many|much)\b|\b(?:which|what) (?:city|person|year)\b|\bin (?=simple|plain)|\bterms\b"
    r"|\b(?:i'd|i would|we'd|we would) like to\b"
)

_UNITS = """
second seconds sec secs 秒 秒钟
minute minutes min mins 分钟
hour hours hr hrs 小时
day days 天 日
week weeks 周 星期
month months 个月
year years 年
mm millimeter millimeters 毫米
cm centimeter centimeters 厘米
m meter meters metre metres 米
km kilometer kilometers kilometre kilometres 公里 千米
inch inches 英寸
foot feet ft 英尺
mile miles 英里
mg milligram milligrams 毫克
g gram grams 克
kg kilogram kilograms 公斤 千克
jin 斤
lb lbs pound pounds 磅
stone stones
ounce ounces oz 盎司
tsp teaspoon teaspoons 茶匙
tbsp tablespoon tablespoons 汤匙
ml milliliter milliliters 毫升
liter liters litre litres 升
gallon gallons 加仑
b byte bytes 字节
kb kilobyte kilobytes
mb megabyte megabytes
gb gigabyte gigabytes
tb terabyte terabytes
celsius °c ℃ 摄氏度
fahrenheit °f ℉ 华氏度
kelvin
dollar dollars usd $ 美元 美金
euro euros eur € 欧元
yuan rmb cny ¥ 元 人民币
yen jpy 日元
gbp £ 英镑
percent % 百分之
word words 字
page pages 页
watt watts kw kilowatt kilowatts
volt volts
"""

# Each line: one side | the other. A prompt with one side and a prompt with the other never share an answer.
_OPPOSITES = """
on | off
open | close closed shut
in into | out
to into | from
for | against
enable enabled | disable disabled
increase raise grow | decrease reduce lower shrink
ascending | descending
advantage advantages benefit benefits pros | disadvantage disadvantages drawback drawbacks cons
maximum max largest highest biggest | minimum min smallest lowest
accept | reject refuse decline
allow permit | deny forbid block
include including | exclude excluding
encrypt | decrypt
encode | decode
compress | decompress
upload | download
import | export
before | after
first | last
good best | bad worst
safe | unsafe dangerous
legal | illegal
true | false
buy | sell
start begin | stop end
add insert | remove delete subtract
install | uninstall
lock | unlock
login | logout
up | down
left | right
above over | below under
inside | outside
more | less fewer
hot | cold
fast | slow
long | short
like love | dislike hate
win | lose
push | pull
read | write
input | output
odd | even
positive | negative
male men man boys | female women woman girls
with | without
possible | impossible
always | never
client | server
formal | informal
打开 开启 开 | 关闭 关掉 关
启用 | 停用 禁用
允许 | 禁止 拒绝
接受 | 拒绝
增加 提高 增 | 减少 降低 减
上涨 升 涨 | 下跌 降 跌
升序 | 降序
优点 好处 | 缺点 坏处
最大 最高 最多 | 最小 最低 最少
安装 | 卸载
登录 登陆 | 退出 注销
加密 | 解密
编码 | 解码
压缩 | 解压
上传 | 下载
导入 | 导出
添加 增加 | 删除 移除
开始 启动 | 停止 结束
前 | 后
左 | 右
上 | 下
内 | 外
买 | 卖
输入 | 输出
真 | 假
男 | 女
正 | 负
奇数 | 偶数
喜欢 | 讨厌
支持 | 反对
赢 | 输
冷 | 热
快 | 慢
长 | 短
多 | 少
好 | 坏
安全 | 危险
合法 | 违法
成功 | 失败
借 | 还
"""

_COUNTED = """
zero
one first once
two second twice double
three third thrice triple
four fourth
five fifth
six sixth
seven seventh
eight eighth
nine ninth
ten tenth
eleven eleventh
twelve twelfth dozen
thirteen thirteenth
fourteen fourteenth
fifteen fifteenth
sixteen sixteenth
seventeen seventeenth
eighteen eighteenth
nineteen nineteenth
twenty twentieth
"""
_NUMBERS_EN = {word: value for value, line in enumerate(_COUNTED.strip().split("\n")) for word in line.split()}
_NUMBERS_EN |= {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
_NUMBERS_EN |= {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "half": -2, "quarter": -4}
DIGITS_ZH = {digit: value for value, digit in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0}
SCALES_ZH = {"十": 10, "百": 100, "千": 1000, "万": 10**4, "亿": 10**8}


def plain(text: str) -> str:
    """Return ``text`` in one width and case, without what only decorates it."""
    return unicodedata.normalize("NFKC", text).lower().replace("’", "'")


@cache
def _canonical() -> dict[str, str]:
    table: dict[str, str] = {}
    for line in _SAME.split("\n"):
        words = line.split()
        for word in words:
            table.setdefault(word, table.get(words[0], words[0]))
    return table


@cache
def _fillers() -> frozenset[str]:
    return frozenset(_FILLER.split())


@cache
def units() -> dict[str, str]:
    """Return unit → the one name of that unit."""
    return {word: line.split()[0] for line in _UNITS.split("\n") if line for word in line.split()}


@cache
def opposites() -> tuple[tuple[frozenset[str], frozenset[str]], ...]:
    """Return pairs of sets of words that are opposites."""
    pairs = (line.split("|") for line in _OPPOSITES.split("\n") if line)
    return tuple((frozenset(one.split()), frozenset(other.split())) for one, other in pairs)


def number_of(word: str) -> int | None:
    """Return the value of an English number word; None for any other."""
    return _NUMBERS_EN.get(word)


@cache
def _chinese_terms() -> tuple[str, ...]:
    """Return the Chinese words of the tables, longest first, so that a longer one is never cut by a shorter."""
    words = {word for word in (*_canonical(), *_fillers()) if not word.isascii()}
    return tuple(sorted(words, key=len, reverse=True))


@cache
def _chinese() -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, _chinese_terms())))


def content(text: str) -> list[str]:
    """Return the words of a prompt that carry what it asks for, in order, each in its one form.

    English words without plural endings; of Chinese, which writes no spaces, the known words and else each character.
    """
    table, filler = _canonical(), _fillers()
    words: list[str] = []

    def cut(found: re.Match[str]) -> str:
        if found[0] not in filler:
            words.append(table[found[0]])
            return f" \x00{len(words) - 1}\x00 "
        return " "

    marked = _chinese().sub(cut, _PHRASES.sub(" ", plain(text)))
    out: list[str] = []
    for piece in re.findall(r"\x00\d+\x00|" + _LATIN.pattern, marked):
        if piece[0] == "\x00":
            out.append(words[int(piece[1:-1])])
        elif piece not in filler:
            out.append(table.get(piece) or table.get(stem(piece)) or stem(piece))
    return out


_ENDINGS = (("'s", ""), ("ly", ""), ("ies", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("es", ""), ("s", ""))


def stem(word: str) -> str:
    """Return an English word without plural, -ing and -ed, roughly: the same for both texts is all that counts."""
    if not word.isascii() or len(word) < 4:
        return word
    for ending, rest in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not (ending == "s" and word.endswith("ss")):
            word = word[: -len(ending)] + rest
            break
    return word.rstrip("e") if len(word) > 4 else word
