"""From stats to tiles, plots, cells and receipts: nothing here opens a file or an app."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime

import pytest
from tests.promptop_tui.monitor.conftest import NOW, row

from promptop.base.errors import PromptopError
from promptop.base.units import rate
from promptop.log import Sketch, Stats, StoredRow, Window
from promptop.log.write.bodies import StoredBody
from promptop.models import Model, Rates
from promptop.settings import MonitorSettings
from promptop_tui.messages import OpenInEditor, OpenInPlayground
from promptop_tui.monitor.analysis.group_rows import group_columns
from promptop_tui.monitor.analysis.question_cards import cards_of
from promptop_tui.monitor.analysis.request_report import receipt
from promptop_tui.monitor.analysis.spending import LoggedSpend, month_bounds, project, spread_of
from promptop_tui.monitor.analysis.tile_figures import Tile, figures_of
from promptop_tui.monitor.analysis.token_histogram import BOUNDS, histogram, sizes_of
from promptop_tui.monitor.controllers.open_in import message_for
from promptop_tui.monitor.data.queries import RowFound
from promptop_tui.monitor.data.snapshot import SPANS, LogSnapshot, SnapshotQuery
from promptop_tui.monitor.views.charts import KINDS, LAYERS, kinds_of
from promptop_tui.monitor.views.request_table import ORDERS
from promptop_tui.monitor.views.row_cells import CAP, COLUMNS, LATE_MS, READ, Feed, cells_of, clock, status_of
from promptop_tui.widgets.drawing import draw
from promptop_tui.widgets.plot import bars

HOUR = SnapshotQuery(SPANS["1h"])
SINCE, UNTIL = HOUR.bounds_ms(int(NOW * 1000))


MONEY = LoggedSpend(Stats(n=3, cost_pico=10**12), 0.5, Stats(n=9, cost_pico=2 * 10**12), 25.0, 30.0)


def snapshot(total: Stats, *, previous: Stats | None = None, groups: dict[str, Stats] | None = None) -> LogSnapshot:
    groups = groups or {"gpt-4o-mini": total}
    buckets = ((SINCE, total, groups), (SINCE + 120_000, total, groups))
    window = Window(SINCE, UNTIL, total, buckets, groups)
    now_ms = int(NOW * 1000)
    money = {"spend": MONEY, "reach": (SINCE - 3_600_000, now_ms)}
    return LogSnapshot(1, HOUR, now_ms, SINCE, UNTIL, "ok", window=window, previous=previous, **money)  # type: ignore[arg-type]


def stored(**changes: object) -> StoredRow:
    made = row(0)
    values = {name: getattr(made, name) for name in made.__dataclass_fields__}
    return StoredRow(**{**values, "id": 7, **changes})  # type: ignore[arg-type]


def by_key(figures: tuple[Tile, ...]) -> dict[str, Tile]:
    return {figure.key: figure for figure in figures}


TARGETS = MonitorSettings(
    slo_latency_s=10.0, slo_ttft_s=1.0, slo_error_rate=0.001, slo_cache_hits=0.8, budget_usd_month=20
)


def test_tiles_say_value_target_samples_and_change() -> None:
    now = Stats(n=40, errors=2, lookups=30, hits_memory=12, input_tokens=900, output_tokens=100, cache_read=450)
    now.cost_pico = int(0.5e12)
    now.latency, now.ttft = Sketch([1.0] * 19 + [12.0] * 11), Sketch([0.5] * 30)
    before = Stats(n=20, cost_pico=int(0.25e12), latency=Sketch([6.0] * 30))
    tiles = by_key(figures_of(snapshot(now, previous=before), TARGETS))

    assert tiles["latency"].verdict == "missed"
    assert tiles["latency"].sign == "✗"
    assert tiles["latency"].change in ("+99 %", "+100 %", "+101 %")  # sketches are within 1 %
    assert tiles["latency"].samples == "n=30"
    assert (tiles["ttft"].verdict, tiles["ttft"].sign) == ("met", "✓")
    assert tiles["cache"].value == "40 %"
    assert tiles["cache"].samples == "n=30"
    assert (tiles["cached"].value, tiles["cached"].note) == ("50 %", "of 900 input tokens")
    assert tiles["spend"].value == "$0.500"
    assert tiles["spend"].change == "+100 %"
    assert (tiles["spend"].verdict, tiles["spend"].target) == ("missed", "≤$0.0274")  # an hour's share of $20 a month
    assert (tiles["today"].value, tiles["today"].verdict, tiles["today"].target) == ("$1.00", "missed", "≤$0.667")
    assert (tiles["today"].change, tiles["today"].note) == ("+100 %", "yesterday by now $0.500")
    assert (tiles["month"].value, tiles["month"].verdict, tiles["month"].change) == ("≈ $30.00", "missed", "+20 %")
    assert tiles["month"].note == "this month so far $2.00"
    assert tiles["tokens"].value == rate(1000 / ((int(NOW * 1000) - SINCE) / 1000))
    assert tiles["errors"].value == "7.1 %"
    assert tiles["latency"].spark[1] is None  # no rows, no value
    assert tiles["rate"].spark[1] == 0.0  # no rows, no requests


def test_nothing_is_compared_with_what_the_log_does_not_have() -> None:
    whole = snapshot(Stats(n=40), previous=Stats(n=20))
    assert by_key(figures_of(whole, MonitorSettings()))["rate"].change == "+100 %"
    begun = replace(whole, reach=(SINCE - 600_000, UNTIL))
    assert by_key(figures_of(begun, MonitorSettings()))["rate"].change == ""


def test_what_a_filter_does_not_limit_says_so() -> None:
    filtered = replace(snapshot(Stats(n=40)), query=SnapshotQuery(filter="model:x"))
    tiles = by_key(figures_of(filtered, MonitorSettings()))
    assert tiles["today"].note == tiles["month"].note == "all, unfiltered"


def test_few_samples_are_marked_and_nothing_known_is_not_zero() -> None:
    few = by_key(figures_of(snapshot(Stats(n=3, latency=Sketch([1.0] * 3))), MonitorSettings()))
    assert few["latency"].few
    assert few["latency"].samples == "n=3 few"
    assert few["ttft"].value == few["cache"].value == "–"
    assert few["ttft"].verdict == ""
    empty = figures_of(LogSnapshot(), MonitorSettings())
    assert {figure.value for figure in empty} == {"–"}


def test_estimates_and_unpriced_rows_are_said() -> None:
    tile = by_key(figures_of(snapshot(Stats(n=3, estimated=1, unpriced=2, cost_pico=10**12)), MonitorSettings()))[
        "spend"
    ]
    assert tile.value == "≈ $1.00"
    assert tile.note.startswith("2 unpriced")
    nothing_known = snapshot(Stats(n=3, unpriced=3))
    assert by_key(figures_of(nothing_known, MonitorSettings()))["spend"].value == "–"
    chart = next(kind for kind in KINDS if kind.key == "spend").plot(nothing_known, MonitorSettings())
    assert chart.note == "total – · 3 unpriced"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.key != "sizes"], ids=lambda kind: kind.key)
def test_every_chart_covers_the_window(kind: object) -> None:
    stats = Stats(
        n=10, errors=1, rate_limited=1, lookups=5, hits_disk=2, latency=Sketch([1.0] * 9), ttft=Sketch([0.1] * 9)
    )
    stats.cost_pico, stats.error_types = 10**12, {"timeout": 1}
    stats.input_tokens = 100
    plot = kind.plot(snapshot(stats), MonitorSettings())  # type: ignore[attr-defined]
    assert plot.has_data
    assert plot.buckets == 60
    assert (plot.since_s, plot.step_s) == (SINCE / 1000, 60.0)
    assert not kind.plot(LogSnapshot(), MonitorSettings()).has_data  # type: ignore[attr-defined]


def test_latency_chart_has_gaps_and_the_target() -> None:
    kind = next(kind for kind in KINDS if kind.key == "latency")
    plot = kind.plot(snapshot(Stats(n=9, latency=Sketch([1.0] * 9))), TARGETS)
    p95 = next(series for series in plot.series if series.name == "p95")
    assert p95.values[0] is not None
    assert p95.values[1] is None
    assert plot.level == (10.0, "target 10 s")
    assert [(series.name, series.area) for series in plot.drawn] == [("p95", True), ("p50", False)]


def test_many_models_leave_a_few_layers_that_add_up() -> None:
    groups = {f"model-{i}": Stats(n=1, cost_pico=i * 10**9) for i in range(10_000)}
    total = Stats(n=10_000, cost_pico=sum(stats.cost_pico for stats in groups.values()))
    plot = next(kind for kind in KINDS if kind.key == "spend").plot(snapshot(total, groups=groups), MonitorSettings())
    assert len(plot.series) == LAYERS + 1
    assert plot.series[0].name == "model-9999"
    assert plot.series[-1].name == "other (9996)"
    assert sum(series.values[0] or 0 for series in plot.series) == pytest.approx(total.cost_usd)


def test_cells_are_cleaned_and_marked() -> None:
    evil = "gpt\x1b]52;c;AAAA\x07\u202e"
    cells = dict(
        zip((c.key for c in COLUMNS), cells_of(stored(request_model=evil, app=evil, simulated=1)), strict=True)
    )
    assert cells["mark"] == ("S", "accent")
    for cell in cells.values():
        text = cell if isinstance(cell, str) else cell[0]
        assert text.isprintable()
    estimated = cells_of(stored(usage_source="estimated", cost_status="estimated"))
    assert estimated[4] == "≈1000"
    assert estimated[8] == "≈$0.01"
    unknown = cells_of(stored(usage_input_tokens=None, cost_usd=None, ttft_s=None))
    assert unknown[4] == unknown[8] == unknown[6] == "–"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, ("ok", "good")),
        ({"error_type": "timeout"}, ("timeout", "bad")),
        ({"error_type": "429", "http_response_status_code": 429}, ("429", "warn")),
        ({"error_type": "cancelled"}, ("cancelled", "warn")),
        ({"response_finish_reasons": '["length"]'}, ("length", "warn")),
        ({"response_finish_reasons": "{not json"}, ("ok", "good")),
    ],
)
def test_status(changes: dict[str, object], status: tuple[str, str]) -> None:
    assert status_of(stored(**changes)) == status


def test_clock_of_today_of_another_day_and_of_nonsense() -> None:
    noon = datetime(2026, 11, 21, 12)
    assert clock(int(noon.timestamp() * 1000), noon) == "12:00:00"
    assert clock(int(noon.timestamp() * 1000) - 86_400_000, noon) == "11-20 12:00:00"
    assert clock(10**18) == "bad time"
    assert clock(None) == "–"


def test_feed_is_bounded_at_both_ends() -> None:
    feed = Feed()
    feed.restart([stored(id=i) for i in range(CAP)], older_from=None)
    assert feed.append([stored(id=CAP)], following=True) == -1
    assert (feed.rows[0].id, feed.rows[-1].id, feed.older_from) == (1, CAP, (1,))
    assert feed.append([stored(id=CAP + 1)], following=False) == 0
    assert (len(feed.rows), feed.waiting) == (CAP, 1)
    assert feed.append([stored(id=CAP + 2)], following=True) == 0  # no hole: the end is read again
    assert feed.prepend([stored(id=0)], older_from=None) == 1
    assert (len(feed.rows), feed.waiting) == (CAP, 3)


def test_rows_of_long_ago_are_put_where_they_belong() -> None:
    feed = Feed()
    now = int(NOW * 1000)
    feed.restart([stored(id=1, started_ms=now - 1000), stored(id=2, started_ms=now)], older_from=None)
    late = [stored(id=4, started_ms=now - 2 * LATE_MS), stored(id=5, started_ms=now - 3 * LATE_MS)]
    assert feed.append([stored(id=3, started_ms=now - 30_000), *late], following=True) == 2
    assert [each.id for each in feed.rows] == [5, 4, 1, 2, 3]  # a call that took 30 s stays with what came with it


def test_cards_answer_three_questions_and_judge_only_what_has_a_target() -> None:
    now = Stats(n=100, errors=2, rate_limited=8, cost_pico=10**12, input_tokens=900, latency=Sketch([1.0] * 90))
    now.ttft = Sketch([2.0] * 90)
    healthy, fast, cheap = cards_of(snapshot(now), MonitorSettings(), None)
    assert (healthy.hero, healthy.unit, healthy.state) == ("90.0", " %", "")
    assert [(row.label, row.value, row.tone) for row in healthy.rows[:2]] == [
        ("rejected (429)", "8", "bad"),
        ("failed", "2", "bad"),
    ]
    assert (fast.label, fast.state) == ("TTFT p95, n=90", "")
    assert cheap.hero == "$1.00"
    healthy, fast, _ = cards_of(snapshot(now), MonitorSettings(slo_error_rate=0.001, slo_ttft_s=1.0), None)
    assert (healthy.state, fast.state) == ("✗ below 99.9 %", "✗ over 1 s")
    assert all(late for late, value in zip(fast.late, fast.spark, strict=True) if value is not None)


def test_figures_that_a_filter_does_not_hold_for_are_dim() -> None:
    shown = replace(snapshot(Stats(n=100, errors=50, latency=Sketch([1.0] * 50))), unfiltered=True)
    for card in cards_of(shown, MonitorSettings(slo_error_rate=0.001), None):
        assert (card.state, card.hero_tone) == ("– of all calls", "dim")
        assert {row.tone for row in card.rows} == {"dim"}


def test_rows_without_times_show_tokens_cache_and_sessions() -> None:
    now = Stats(n=40, input_tokens=9_000, output_tokens=1_000, cache_read=6_000, cost_pico=10**12)
    shown = replace(snapshot(now), sessions=4)
    amount, cached, _ = cards_of(shown, MonitorSettings(), None)
    assert (amount.title, amount.hero, amount.unit) == ("How much?", "10.0", " k")
    assert (cached.title, cached.hero) == ("Cached?", "67")
    assert [(row.label, row.value) for row in cached.rows[:2]] == [("sessions", "4"), ("calls a session", "10")]
    assert kinds_of(shown)[0].key == "tokens"
    assert "ttft" not in {column.key for column in group_columns(shown)}


def test_month_is_projected_from_its_first_request() -> None:
    now = datetime(2026, 11, 16).timestamp() * 1000  # half of November
    start = datetime(2026, 11, 1).timestamp() * 1000
    assert project(100.0, int(start) - 1, int(now)) == pytest.approx(200.0)
    assert project(1.0, int(now) - 86_400_000, int(now)) == pytest.approx(16.0)
    assert project(1.0, int(now) - 86_399_000, int(now)) is None, "not in its first day"
    assert project(0.0, None, int(now)) is None
    assert spread_of(200.0, 100.0, [6.0, 7.0], 15) is None
    low, high = spread_of(200.0, 100.0, [5.0, 7.0, 6.0, 8.0, 7.0, 6.0, 8.0], 15) or (0.0, 0.0)
    assert (low, high) == pytest.approx((184.1, 215.9), abs=0.1)
    assert spread_of(200.0, 195.0, [0.0, 30.0, 0.0, 2.0], 15) == (195.0, pytest.approx(511.6, abs=0.1))
    _, first, after = month_bounds(int(datetime(2026, 12, 31, 23).timestamp() * 1000))
    assert datetime.fromtimestamp(after / 1000) == datetime(2027, 1, 1)
    assert datetime.fromtimestamp(first / 1000) == datetime(2026, 12, 1)


MODEL = Model(
    "gpt-4o-mini", "openai", "GPT-4o mini", "openai", 128_000, 16_384, "o200k_base", "exact", Rates(0.15, 0.6, 0.075)
)


def text_of(lines: tuple[tuple[str, str, str], ...]) -> str:
    return "\n".join(f"{name} {value}" for name, value, _ in lines)


def test_receipt_spells_the_cost_out() -> None:
    cost = (800 * 0.15 + 200 * 0.075 + 101 * 0.6) / 1e6
    text = text_of(receipt(stored(usage_cache_read_input_tokens=200, cost_usd=cost), MODEL))
    assert "800 × $0.15 / 1M = $0.00012" in text
    assert "200 × $0.075 / 1M = $0.000015" in text
    assert "101 × $0.6 / 1M = $0.0000606" in text
    assert "today's rates" not in text
    assert "today's rates give" in text_of(receipt(stored(cost_usd=1.0), MODEL))
    hit = text_of(receipt(stored(cost_usd=0.0, cache_level="memory", saved_usd=0.02), MODEL))
    assert "answered by our cache, nothing was sent" in hit
    assert "rates" not in hit
    assert "the tier flex has other rates" in text_of(
        receipt(stored(cost_usd=1.0, response_service_tier="flex"), MODEL)
    )
    assert "n/a" in text_of(receipt(stored(cost_usd=None, cost_status="unpriced"), None))


def test_receipt_shows_timings_in_order_and_error_cleaned() -> None:
    lines = receipt(stored(connect_s=0.05, tls_s=0.05, error_type="500", error_message="no\x1b[2Jgood\nmore"), None)
    names = [name for name, _, _ in lines]
    assert names.index("connect") < names.index("tls") < names.index("headers") < names.index("first token")
    assert all(value.isprintable() for _, value, _ in lines)
    assert ("error", "more", "bad") in lines


def test_receipt_of_an_empty_row_is_short_and_does_not_fail() -> None:
    assert text_of(receipt(StoredRow(id=1)))


BODY = json.dumps(
    {"model": "m", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "你好"}]}
)


def test_hand_over_takes_the_prompt_where_it_is_kept() -> None:
    body = StoredBody("full", BODY, "hi", ())
    edit = message_for(RowFound(stored(), "edit", (), body))
    assert isinstance(edit, OpenInEditor)
    assert "你好" in edit.text
    assert "system:" in edit.text
    play = message_for(RowFound(stored(request_temperature=0.5), "play", (), body))
    assert isinstance(play, OpenInPlayground)
    assert play.parameters == {"temperature": 0.5}
    assert play.models == ("gpt-4o-mini",)
    tools = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    more = json.dumps(
        json.loads(BODY) | {"tools": tools, "max_completion_tokens": 9, "response_format": {"type": "json_object"}}
    )
    asked = stored(request_stop_sequences='["END"]', server_address="127.0.0.1", server_port=8080)
    play = message_for(RowFound(asked, "play", (), StoredBody("full", more, "hi", ()), calls_per_day=40.0))
    assert isinstance(play, OpenInPlayground)
    assert play.parameters["tools"] == tools
    assert (play.parameters["max_tokens"], play.parameters["stop"]) == (9, ["END"])
    assert (play.server, play.calls_per_day) == ("127.0.0.1:8080", 40.0)
    for kept, words in ((None, "no prompt"), (StoredBody("hash", None, None, ("ab",)), "only hashes")):
        with pytest.raises(PromptopError, match=words) as raised:
            message_for(RowFound(stored(), "edit", (), kept))
        assert "bodies" in raised.value.remedy
    with pytest.raises(PromptopError, match="no longer"):
        message_for(RowFound(None, "show"))


def test_a_request_with_tools_is_spelled_out_and_goes_to_the_editor_with_them() -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"q": "茶"}'}
    result = {"type": "function_call_output", "call_id": "c1", "output": "绿茶"}
    body = StoredBody("full", json.dumps({"input": [{"role": "user", "content": "?"}, call, result]}), None, ())
    said = [value for name, value, _ in receipt(stored(), None, body) if name in {"assistant", "tool"}]
    assert said == ['[calls look({"q": "茶"})]', "绿茶"]
    edit = message_for(RowFound(stored(), "edit", (), body))
    assert isinstance(edit, OpenInEditor)
    assert "assistant:\n[calls look(" in edit.text
    assert "tool:\n绿茶" in edit.text


def test_the_histogram_counts_each_request_once_and_says_of_how_many_it_is() -> None:
    rows = [(1000, 0), (1023, 7), (1024, None), (None, 8), (1600, 6_000_000)]
    sizes = sizes_of(rows, limit=5)
    steps = range(sizes.first, sizes.first + len(sizes.input))
    into = {BOUNDS[step]: count for step, count in zip(steps, sizes.input, strict=True) if count}
    out = {BOUNDS[step]: count for step, count in zip(steps, sizes.output, strict=True) if count}
    assert into == {768: 2, 1024: 1, 1536: 1}
    assert out == {0: 1, 6: 1, 8: 1, BOUNDS[-1]: 1}
    assert (sizes.median_input, sizes.median_output) == (1023.5, 7.5)
    plot = histogram(replace(snapshot(Stats()), sizes=sizes), MonitorSettings())
    assert "the newest 5 rows" in plot.note
    assert plot.names[0] == "0"
    assert "all 4 rows" in histogram(replace(snapshot(Stats()), sizes=sizes_of(rows[:4], 5)), MonitorSettings()).note
    assert not histogram(replace(snapshot(Stats()), sizes=sizes_of([], 5)), MonitorSettings()).has_data
    axis = draw(plot, 60, 12).text.splitlines()[-1].split()
    assert len(axis) > 3
    assert set(axis) <= set(plot.names)


def test_bars_of_the_histogram_stand_side_by_side_and_name_their_range() -> None:
    assert bars((1.0, 2.0), 10, 0, 2) == [1.0, 1.0, None, None, None, 2.0, 2.0, None, None, None]
    assert bars((1.0, 2.0), 10, 1, 2) == [None, None, 1.0, 1.0, None, None, None, 2.0, 2.0, None]
    assert bars((1.0, 2.0, 3.0), 3, 1, 2) == [1.0, 2.0, 3.0]
    assert bars((), 3, 0, 2) == [None, None, None]
    sizes = sizes_of([(100, 1), (100, 5), (130, None)], 20)
    plot = histogram(replace(snapshot(Stats(n=3)), sizes=sizes), MonitorSettings())
    assert plot.readings[0] == "1 tokens"
    assert plot.readings[-1] == "128 to 191 tokens"
    assert [series.values[-2:] for series in plot.series] == [(2.0, 1.0), (0.0, 0.0)]
    picture = draw(plot, 60, 10, 0, colour=False)
    assert set("█▓") <= set(picture.text)


def test_shares_of_models_are_of_each_moment_and_gaps_stay_gaps() -> None:
    groups = {"a": Stats(n=30), "b": Stats(n=10)}
    plot = next(kind for kind in KINDS if kind.key == "share").plot(
        snapshot(Stats(n=40), groups=groups), MonitorSettings()
    )
    assert [layer.values[0] for layer in plot.series] == [0.75, 0.25]
    assert [layer.values[1] for layer in plot.series] == [None, None]


def test_the_table_reads_every_column_that_it_shows_or_orders_by() -> None:
    """A row of those columns alone has the cells, and the place, of the whole row."""
    for changes in ({}, {"error_type": "500"}, {"cache_level": "disk"}, {"usage_source": "estimated", "attempt": 2}):
        whole = stored(simulated=1, prompt_name="摘要", server_address="a.example", **changes)
        part = StoredRow(id=whole.id, source=whole.source, **{name: getattr(whole, name) for name in READ})
        assert cells_of(part) == cells_of(whole)
        assert [figure(part) for figure in ORDERS.values()] == [figure(whole) for figure in ORDERS.values()]
