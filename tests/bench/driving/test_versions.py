"""Another version is a commit's own files; what is no commit is told."""

import pytest

from service.bench.driving.generator import BenchError
from service.bench.driving.versions import checked_out


def test_what_is_no_commit_is_told() -> None:
    with pytest.raises(BenchError, match="git"), checked_out("no-such-commit"):
        pass
