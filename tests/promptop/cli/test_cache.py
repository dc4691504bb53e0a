from __future__ import annotations

import json
from pathlib import Path

import pytest

from promptop import settings
from promptop.base.errors import PromptopError
from promptop.cache import CacheEntry, DiskLevel
from promptop.cache.factory import disk_path, open_cache, policy_of
from promptop.cli import main as cli
from promptop.log import Row, Writer
from promptop.settings import CacheSettings


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log beside which a cache with three answers lies, one of them expired."""
    path = tmp_path / "log.db"
    level = DiskLevel(disk_path(path))
    level.put("aa", CacheEntry(200, (), b'{"answer": "\xe4\xbd\xa0 \x1b]52;c;AAAA\x07"}', model="m1", cost_usd=0.5))
    level.put("bb", CacheEntry(200, (), b"{}", model="m2", tags=("web",)))
    level.put("cc", CacheEntry(200, (), b"{}", model="m2", expires_s=1.0))
    level.close()
    return path


def test_stats_counts_levels_for_people_and_programs(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["cache", "stats", "--log", str(log)]) == 0
    assert "disk" in capsys.readouterr().out
    assert cli.main(["cache", "stats", "--json", "--log", str(log)]) == 0
    (disk,) = json.loads(capsys.readouterr().out)
    assert (disk["total"], disk["active"], disk["expired"], disk["state"]) == (3, 2, 1, "ok")


def test_get_prints_the_answer_or_says_where_keys_are(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["cache", "get", "aa", "--json", "--log", str(log)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["model"], found["cost_usd"], found["level"]) == ("m1", 0.5, "disk")
    assert cli.main(["cache", "get", "zz", "--log", str(log)]) == 1
    assert "cache_key" in capsys.readouterr().err


def test_clear_and_expire_forget_what_they_say(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line, says in (
        (["expire"], "1 expired"),
        (["clear", "--model", "m1"], "1 entries"),
        (["clear", "--tag", "nope"], "0 entries"),
        (["clear", "--yes"], "1 entries"),
    ):
        assert cli.main(["cache", *line, "--log", str(log)]) == 0
        assert says in capsys.readouterr().out


def test_a_level_out_of_use_is_a_failure_that_names_its_cause(
    tmp_path: Path, private_folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[cache]\nredis = "redis://127.0.0.1:1/0"\ndisk = false\n')
    assert cli.main(["cache", "stats", "--config", str(config)]) == 1
    assert "refused" in capsys.readouterr().out
    config.write_text('[cache]\nredis_env = "NO_SUCH_VARIABLE"\n')
    assert cli.main(["cache", "stats", "--config", str(config)]) == 1
    assert "$NO_SUCH_VARIABLE" in capsys.readouterr().err
    config.write_text('[cache]\nredis = "http://x"\n')
    assert cli.main(["cache", "stats", "--config", str(config)]) == 2
    assert "Write an address such as redis://" in capsys.readouterr().err
    disk_path(tmp_path / "log.db").write_bytes(b"not a database at all" * 50)
    assert cli.main(["cache", "stats", "--log", str(tmp_path / "log.db")]) == 1
    assert "not a database" in capsys.readouterr().out


def test_the_settings_make_the_levels(tmp_path: Path) -> None:
    cache = open_cache(CacheSettings(redis_env="R", ttl_s=0), tmp_path / "log.db", environ={"R": "redis://h/0"})
    assert [level.name for level in cache.levels] == ["memory", "redis", "disk"]
    assert cache.ttl_s is None
    cache = open_cache(CacheSettings(memory_mb=0, disk=False), tmp_path / "log.db")
    assert cache.levels == ()
    assert policy_of(CacheSettings(any_temperature=True)).any_temperature
    with pytest.raises(PromptopError):
        open_cache(CacheSettings(redis_env="R"), tmp_path / "log.db", environ={})


def test_booleans_in_the_settings_are_booleans(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[cache]\ndisk = 1\nany_temperature = true\n")
    found = settings.load(path, {})
    assert found.cache.any_temperature is True
    (problem,) = found.problems
    assert "true or false" in problem.remedy


def test_stats_carry_the_log_s_hits_and_get_follows_a_match(
    log: Path, capsys: pytest.CaptureFixture[str], private_folders: Path
) -> None:
    with Writer(log) as writer:
        for level, key, match in (("miss", "aa", None), ("memory", "aa", None), ("semantic", "dd", "aa")):
            writer.put(
                Row(started_ms=1, cache_level=level, cache_key=key, cache_match=match, cache_score=match and 0.95)
            )
        assert writer.flush(10)
    assert cli.main(["cache", "stats", "--json", "--log", str(log)]) == 0
    found = {level["name"]: level for level in json.loads(capsys.readouterr().out)}
    assert (found["memory"]["hits"], found["semantic"]["hits"], found["disk"]["hits"]) == (1, 1, 0)
    assert found["memory"]["ratio"] == pytest.approx(1 / 3)
    assert cli.main(["cache", "stats", "--log", str(log)]) == 0
    assert "33 %" in capsys.readouterr().out
    assert cli.main(["cache", "get", "dd", "--log", str(log)]) == 0
    captured = capsys.readouterr()
    assert "similarity 0.950" in captured.err
    assert "answer" in captured.out
    assert cli.main(["cache", "get", "dd", "--json", "--log", str(log)]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["match"], values["score"]) == ("aa", 0.95)
