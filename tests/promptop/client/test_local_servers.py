"""Loading local models anew, against small servers that speak as Ollama and llama.cpp's router do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from promptop.client.http.local_servers import first_call_s, is_private, load_s
from promptop.client.result import RunResult
from promptop.settings import Profile


@asynccontextmanager
async def serving(routes: list[web.RouteDef]) -> AsyncIterator[Profile]:
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield Profile(base_url=f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
    await runner.cleanup()


async def test_ollama_unloads_and_reports_what_loading_took() -> None:
    asked: list[dict[str, Any]] = []

    async def version(_: web.Request) -> web.Response:
        return web.json_response({"version": "0.20"})

    async def generate(request: web.Request) -> web.Response:
        body = await request.json()
        asked.append(body)
        if body["model"] == "none":
            return web.json_response({"error": "not found"}, status=404)
        return web.json_response({"done": True, "load_duration": 0 if "keep_alive" in body else 1_234_000_000})

    async with serving([web.get("/api/version", version), web.post("/api/generate", generate)]) as profile:
        assert await load_s(profile, "qwen3:8b-q4_K_M") == pytest.approx(1.234)
        assert [body.get("keep_alive") for body in asked] == [0, None]
        assert await load_s(profile, "none") is None


async def test_the_router_of_llama_cpp_is_watched_until_it_is_ready() -> None:
    state = {"value": "loaded"}
    looks = 0

    async def listed(_: web.Request) -> web.Response:
        nonlocal looks
        looks += 1
        if state["value"] == "loading" and looks > 4:
            state["value"] = "loaded"
        return web.json_response({"data": [{"id": "m", "status": state}]})

    async def change(request: web.Request) -> web.Response:
        state["value"] = "unloaded" if request.path.endswith("/unload") else "loading"
        return web.json_response({"success": True})

    routes = [web.get("/models", listed), web.post("/models/load", change), web.post("/models/unload", change)]
    async with serving(routes) as profile:
        took_s = await load_s(profile, "m")
        assert took_s is not None and took_s > 0
        assert await load_s(profile, "other") is None  # the router does not know it


async def test_a_server_that_cannot_be_told_and_one_that_is_not_ours_are_left_alone() -> None:
    async with serving([]) as profile:
        assert await load_s(profile, "m") is None
    assert await load_s(Profile(base_url="http://127.0.0.1:9/v1"), "m") is None
    # Nothing is sent there: a network call would fail this test by the guard that refuses all but loopback.
    assert await asyncio.wait_for(load_s(Profile(base_url="https://api.openai.com/v1"), "gpt-4o"), 0.5) is None


def test_which_hosts_are_near() -> None:
    assert all(map(is_private, ("localhost", "127.0.0.1", "::1", "192.168.1.4", "10.0.0.1", "gpu-box", "nas.local")))
    assert not any(map(is_private, ("api.openai.com", "8.8.8.8", "2606:4700::1")))


def test_the_first_call_against_the_median_of_the_others() -> None:
    def call(ttft_s: float | None, state: Any = "done") -> RunResult:
        return RunResult("m", "m", "m", "", state, ttft_s=ttft_s)

    assert first_call_s(call(3.0), [call(0.5), call(0.7), call(0.6), call(9.0, "failed")]) == pytest.approx(2.4)
    assert first_call_s(call(0.1), [call(0.5)]) == 0.0
    assert first_call_s(call(None), [call(0.5)]) is first_call_s(call(1.0), []) is first_call_s(None, []) is None
