"""Arguments and options that several commands share, and how lists and times are read from them."""

from typing import Annotated

import typer

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Limit = Annotated[int | None, typer.Option(min=1, max=100, help="How many at most; the service's own default else.")]
Cursor = Annotated[str | None, typer.Option(help="Go on where the last page ended.")]


def words_in(given: str | list[str] | None) -> list[str]:
    """Return the words of an option that takes commas, or is repeated, or both."""
    texts = [given] if isinstance(given, str) else given or []
    return [word.strip() for text in texts for word in text.split(",") if word.strip()]


def present(**named: object) -> dict[str, object]:
    """Return the names whose value is neither `None` nor an empty list."""
    return {name: value for name, value in named.items() if value is not None and value != []}


def headers_in(given: list[str] | None) -> dict[str, str]:
    """Return headers by name from `Name: value` texts. Raise `BadParameter` without a colon, or for a name twice."""
    pairs = [text.partition(":") for text in given or []]
    if wrong := next((name for name, colon, _ in pairs if not colon or not name.strip()), None):
        raise typer.BadParameter(f"{wrong!r} is not a header; write it as 'Name: value'", param_hint="--header")
    headers = {name.strip(): value.strip() for name, _, value in pairs}
    if len({name.lower() for name in headers}) < len(pairs):
        raise typer.BadParameter("one of the headers is there twice; case makes no difference", param_hint="--header")
    return headers
