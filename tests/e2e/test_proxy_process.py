"""SDK → ``promptop proxy``, a process of its own → simulated endpoint with every fault → the log, read from here."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from tests.e2e.checks import check, last_id, new_rows
from tests.support.processes import started

from promptop.simulator import FAULTS, SimulatedEndpoint

ASK: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "请用两句话解释潮汐, then name a harbour."}],
    "max_tokens": 24,
    "stream": True,
}
OPTIONS = {
    "slow": "slow;s=0.05",
    "slow-headers": "slow-headers;s=0.05",
    "stall": "stall;s=0.05",
    "hang": "hang",
    "huge": "huge;kb=300",
    "bomb": "bomb;mb=2",
    "400": "400;param=max_tokens",
}
ENDS_WITH_THE_CLIENT = ("hang", "endless")
REFUSED = {name: name[:3] for name in FAULTS if re.match(r"\d{3}", name)}
BROKEN = {"cut": "incomplete_stream", "reset": "incomplete_stream", "drop": "connect", "endless-headers": None}
NAMED = {**REFUSED, **BROKEN, "error-200": "provider_error"}


@dataclass(frozen=True)
class Running:
    """A proxy process, its log, and the endpoint behind it."""

    base_url: str
    log: Path
    endpoint: SimulatedEndpoint
    process: subprocess.Popen[str]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    log = tmp_path_factory.mktemp("proxy") / "log.db"
    with SimulatedEndpoint.in_thread(speed=0) as endpoint:
        command = [sys.executable, "-m", "promptop_tui", "proxy", "--listen", "127.0.0.1:0", "--log", str(log)]
        command += ["--upstream", endpoint.base_url]
        with started(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            said = ""
            while not (found := re.search(r"http://127\.0\.0\.1:(\d+)", said.replace(endpoint.root_url, ""))):
                line = process.stdout.readline()
                assert line, f"the proxy ended: {said}"
                said += line
            yield Running(f"http://127.0.0.1:{found[1]}/v1", log, endpoint, process)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)
            assert process.returncode == 0


@pytest.mark.parametrize("fault", sorted(set(FAULTS) - set(ENDS_WITH_THE_CLIENT) - {"shuffled", "drop-reused"}))
def test_every_fault_leaves_a_row_that_holds(running: Running, fault: str) -> None:
    before = last_id(running.log)
    failed: Exception | None = None
    with openai.OpenAI(base_url=running.base_url, api_key="sk-e2e", max_retries=0, timeout=20) as client:
        try:
            list(client.chat.completions.create(**ASK, extra_headers={"x-simulate": OPTIONS.get(fault, fault)}))
        except (openai.APIError, httpx2.HTTPError, ValueError) as error:
            failed = error  # a raw JSONDecodeError is what the SDK makes of a malformed event
    (row,) = new_rows(running.log, before, 1)
    check(row)
    assert row.request_model == "gpt-4o-mini"
    assert row.request_stream == 1
    if fault in NAMED:
        assert failed is not None or fault == "cut"
        assert row.error_type is not None
        if NAMED[fault] is not None:
            assert row.error_type == NAMED[fault], row.error_message
    elif fault in ("malformed", "bad-utf8", "huge", "bomb"):
        assert row.http_response_status_code == 200
    else:
        assert failed is None
        assert row.error_type is None
        assert row.usage_source == ("estimated" if fault == "usage-missing" else "reported")
        if fault != "empty":
            assert row.ttft_s is not None
    assert "sk-e2e" not in running.log.read_bytes().decode("latin-1")


@pytest.mark.parametrize("fault", ENDS_WITH_THE_CLIENT)
def test_a_client_that_gives_up_leaves_a_cancelled_row(running: Running, fault: str) -> None:
    before = last_id(running.log)
    asked: dict[str, Any] = {"json": ASK, "headers": {"x-simulate": fault}}
    with httpx2.Client(timeout=0.3) as client:
        if fault == "hang":
            with pytest.raises(httpx2.ReadTimeout):
                client.post(f"{running.base_url}/chat/completions", **asked)
        else:
            with client.stream("POST", f"{running.base_url}/chat/completions", **asked) as answer:
                for _ in zip(range(20), answer.iter_raw(), strict=False):
                    pass
    (row,) = new_rows(running.log, before, 1)
    check(row)
    assert row.error_type == "cancelled"
    assert (row.ttft_s is not None) == (fault == "endless")


async def test_many_at_once_lose_no_row(running: Running) -> None:
    before, count = last_id(running.log), 40
    async with openai.AsyncOpenAI(base_url=running.base_url, api_key="sk-e2e", max_retries=0) as client:

        async def one(number: int) -> int:
            asked = {**ASK, "messages": [{"role": "user", "content": f"Tell me about harbour {number}"}]}
            stream = await client.chat.completions.create(**asked)
            return len([chunk async for chunk in stream])

        assert all(await asyncio.gather(*(one(number) for number in range(count))))
    rows = new_rows(running.log, before, count)
    assert len(rows) == count
    assert len({row.prompt_hash for row in rows}) == count
    for row in rows:
        check(row)
        assert row.usage_source == "reported"
