"""No planted secret gets from a logged request into a test set, wherever it stands."""

from __future__ import annotations

import json

import pytest

from promptop.base.redact import json_value
from promptop.experiments.test_sets.from_log import Logged, drawn

SECRET = "hunter2xyz"


def cases_of(text: str, template: str | None = None) -> str:
    messages = ({"role": "system", "content": "S"}, {"role": "user", "content": text})
    wanted = None if template is None else [messages[0], {"role": "user", "content": template}]
    found = drawn([Logged(1, messages, f"Sure: {text}")], wanted, 5, json_value)
    assert len(found.cases) == 1
    return json.dumps(found.cases[0].to_json(), ensure_ascii=False)


@pytest.mark.parametrize(
    "text",
    [
        f"password: {SECRET}",
        f'{{"password": "{SECRET}"}}',
        f"密码是 {SECRET}，谢谢",
        f"postgres://bob:{SECRET}@db.example.com/x",
        f"Authorization: Bearer {SECRET}abc",
        f'the secret "{SECRET}" opens it',
        f"my password is {SECRET}",
        f"password {SECRET}, please",
        f"passphrase 'correct {SECRET} battery'",
        f"API key `{SECRET}`",
        f"密码“{SECRET}”",
        f"口令{SECRET}",
    ],
)
def test_a_secret_is_found_by_what_stands_beside_it(text: str) -> None:
    assert SECRET not in cases_of(f"Please look: {text}")
    assert SECRET not in cases_of(f"Please look: {text}", "Please look: {{what}}")


@pytest.mark.parametrize("template", ["password: {{what}} end", "password: {{what}}. end"])
def test_the_templates_own_words_say_what_a_variable_is(template: str) -> None:
    assert SECRET not in cases_of(template.replace("{{what}}", SECRET), template).partition('"seen"')[0]
    assert SECRET not in cases_of(f"Log in with {SECRET} now", "Log in with {{password}} now").partition('"seen"')[0]


@pytest.mark.parametrize(
    "template", ['The secret "{{what}}" is mine', "my password is '{{what}}'.", "口令“{{what}}”。"]
)
@pytest.mark.parametrize("value", ["zebra", "open sesame now", "芝麻开门"])
def test_quotes_around_a_variable_say_it_without_a_colon(template: str, value: str) -> None:
    case = cases_of(template.replace("{{what}}", value), template)
    assert value not in case and value.rsplit(maxsplit=1)[-1] not in case


@pytest.mark.parametrize(
    "text",
    [
        'missing key "user_id"',
        "the password is incorrect",
        "the secret of success",
        "a secret sha256 of it",
        "password reset link",
        "请输入密码然后登录",
    ],
)
def test_words_about_secrets_are_no_secrets(text: str) -> None:
    assert text in json.loads(cases_of(f"Please: {text}"))["messages"][0]["content"]


def test_arguments_and_results_of_tools_are_read_too() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": json.dumps({"password": SECRET})}}
    messages = (
        {"role": "user", "content": "log in"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": json.dumps({"api_key": SECRET})},
        {"role": "user", "content": [{"type": "text", "text": f"secret={SECRET}"}]},
    )
    assert SECRET not in json.dumps(drawn([Logged(1, messages, "")], None, 5, json_value).cases[0].to_json())


def test_account_numbers_go_by_their_check_digits() -> None:
    assert "[account]" in cases_of("My IBAN is DE89 3704 0044 0532 0130 00, thanks")
    assert "DE88 3704 0044 0532 0130 00" in cases_of("Part DE88 3704 0044 0532 0130 00, thanks")
