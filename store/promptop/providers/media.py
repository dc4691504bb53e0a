"""What is charged otherwise than by the words of an answer: embeddings, images, speech, transcription."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from promptop.providers.api import AnswerFacts, Api, Path, Piece, RequestSummary, string, take_inputs
from promptop.providers.chat import read_usage, take_usage
from promptop.providers.usage import Usage, amount, first, whole


class Embeddings(Api):
    """Embeddings as OpenAI answers them, and everybody."""

    name = "embeddings"
    title = "the Embeddings API"
    paths = (Path("/embeddings", "embeddings"),)

    def read_request(self, body: Mapping[str, Any], asked: RequestSummary) -> None:
        asked.model = string(body.get("model")) or asked.model
        take_inputs(body.get("input", body.get("texts")), asked)

    def recognises(self, value: Mapping[str, Any]) -> bool:
        return value.get("object") == "list" and "usage" in value

    def take(self, value: Mapping[str, Any], facts: AnswerFacts) -> None:
        facts.named(value)
        if isinstance(value.get("usage"), dict):
            take_usage(self, value["usage"], facts)
        if error := value.get("error"):
            facts.failed(error)

    def usage(self, raw: Any, provider: str | None = None) -> Usage:
        usage = raw if isinstance(raw, dict) else {}
        # Voyage and Jina give the total alone.
        taken = first(
            whole(usage.get("prompt_tokens")), whole(usage.get("input_tokens")), whole(usage.get("total_tokens"))
        )
        return Usage(taken, None, cost_usd=read_usage(usage).cost_usd)


class Images(Api):
    """Images made or changed, with OpenAI's token counts where the model has any."""

    name = "images"
    title = "the Images API"
    paths = (
        Path("/images/generations", "image_generation"),
        Path("/images/edits", "image_generation"),
        Path("/images/variations", "image_generation"),
    )

    def read_request(self, body: Mapping[str, Any], asked: RequestSummary) -> None:
        asked.model = string(body.get("model")) or asked.model
        asked.stream = body.get("stream") is True
        choices = whole(body.get("n"))
        asked.choices = choices if choices != 1 else None
        take_inputs(body.get("prompt"), asked)

    def recognises(self, value: Mapping[str, Any]) -> bool:
        return string(value.get("type")).startswith(("image_generation.", "image_edit."))

    def event_pieces(self, event: Mapping[str, Any]) -> Iterator[Piece]:
        if event.get("b64_json"):
            yield Piece("image", "")

    def take(self, value: Mapping[str, Any], facts: AnswerFacts) -> None:
        facts.named(value)
        if string(value.get("type")).endswith(".completed"):
            facts.done = True
        if isinstance(value.get("usage"), dict):
            take_usage(self, value["usage"], facts)
        if error := value.get("error"):
            facts.failed(error)

    def usage(self, raw: Any, provider: str | None = None) -> Usage:
        return read_usage(raw, provider)


class Speech(Api):
    """Text to speech: charged by characters or by tokens, of which only an event stream tells."""

    name = "speech"
    title = "the Speech API"
    paths = (Path("/audio/speech", "speech"),)

    def read_request(self, body: Mapping[str, Any], asked: RequestSummary) -> None:
        asked.model = string(body.get("model")) or asked.model
        take_inputs(body.get("input"), asked)

    def recognises(self, value: Mapping[str, Any]) -> bool:
        return string(value.get("type")).startswith("speech.audio.")

    def event_pieces(self, event: Mapping[str, Any]) -> Iterator[Piece]:
        if event.get("audio"):
            yield Piece("audio", "")

    def take(self, value: Mapping[str, Any], facts: AnswerFacts) -> None:
        if value.get("type") == "speech.audio.done":
            facts.done = True
        if isinstance(value.get("usage"), dict):
            take_usage(self, value["usage"], facts)
        if error := value.get("error"):
            facts.failed(error)

    def usage(self, raw: Any, provider: str | None = None) -> Usage:
        return read_usage(raw, provider)


class Transcription(Api):
    """Speech to text: charged by tokens, or by the length of what was heard."""

    name = "transcription"
    title = "the Transcription API"
    paths = (
        Path("/audio/transcriptions", "transcription"),
        Path("/audio/translations", "transcription"),
    )

    def read_request(self, body: Mapping[str, Any], asked: RequestSummary) -> None:
        asked.model = string(body.get("model")) or asked.model

    def recognises(self, value: Mapping[str, Any]) -> bool:
        return string(value.get("type")).startswith("transcript.text.") or ("text" in value and "duration" in value)

    def event_pieces(self, event: Mapping[str, Any]) -> Iterator[Piece]:
        if text := string(event.get("delta")):
            yield Piece("text", text)

    def body_pieces(self, body: Mapping[str, Any]) -> Iterator[Piece]:
        if text := string(body.get("text")):
            yield Piece("text", text)

    def take(self, value: Mapping[str, Any], facts: AnswerFacts) -> None:
        if value.get("type") == "transcript.text.done":
            facts.done = True
        if isinstance(value.get("usage"), dict):
            take_usage(self, value["usage"], facts)
        if (seconds := amount(value.get("duration"))) is not None:
            facts.fees["audio_seconds"] = seconds
        if error := value.get("error"):
            facts.failed(error)

    def usage(self, raw: Any, provider: str | None = None) -> Usage:
        return read_usage(raw, provider)


EMBEDDINGS, IMAGES, SPEECH, TRANSCRIPTION = Embeddings(), Images(), Speech(), Transcription()
