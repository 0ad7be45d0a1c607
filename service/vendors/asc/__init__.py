"""ASC, the AI Song Checker: a job made from a link, then an unsigned callback or a poll.

Document: https://aisongchecker.pro/api-docs (v1.0, March 2026). It leaves the poll's body, the job's states and
most action names open, so the names are settings and bodies are read leniently; what is not known never ends a
run and never becomes a verdict. A guide on the same site describes another API (paths, bearer keys); it is not
followed. The synchronous `analyze` action is not here.

`adapter` talks; `results` reads what a poll or a callback says.
"""

from service.vendors.asc.adapter import Asc, AscConfig

__all__ = ["Asc", "AscConfig"]
