"""`python -m tests.house.draw_openapi` writes `docs/openapi.json`: so a change of the API is seen in its review."""

import json
from pathlib import Path

from service.api.contract.document import document
from service.api.routes import ROUTES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"


def redrawn() -> str:
    """The document as a file: a member a line."""
    return json.dumps(document(ROUTES), ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    PAGE.write_text(redrawn(), encoding="utf-8")
