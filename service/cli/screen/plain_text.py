"""Text of others, made safe for a terminal: names, vendors' words and customers' answers may hold control codes."""

_LONGEST_ID = 40
_ID_HEAD, _ID_TAIL = 24, 12
_STRANGE = "\N{REPLACEMENT CHARACTER}"


def printable(text: object) -> str:
    """Return one line without control codes, line breaks, or marks that turn the direction of writing."""
    return "".join(_shown(letter) for letter in str(text))


def shortened(text: str) -> str:
    """Return an id, shortened in the middle if it is long: its two ends distinguish it."""
    return text if len(text) <= _LONGEST_ID else f"{text[:_ID_HEAD]}…{text[-_ID_TAIL:]}"


def _shown(letter: str) -> str:
    if letter.isprintable():
        return letter
    return " " if letter.isspace() else _STRANGE
