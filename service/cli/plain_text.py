"""Text of others, made safe for a terminal: names, vendors' words and customers' answers may hold control codes."""

_STRANGE = "\N{REPLACEMENT CHARACTER}"


def printable(text: object) -> str:
    """One line without control codes, line breaks, or marks that turn the direction of writing."""
    return "".join(_seen(letter) for letter in str(text))


def _seen(letter: str) -> str:
    if letter.isprintable():
        return letter
    return " " if letter.isspace() else _STRANGE
