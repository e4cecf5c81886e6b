"""The arguments that belong to no command."""

from __future__ import annotations

from types import ModuleType

import pytest


def test_version_tells_the_backend_and_why_in_one_line(
    ws: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        ws.cli.main(["--version"])
    assert caught.value.code == 0
    words = capsys.readouterr().out
    assert words.startswith(f"websocket-sansio {ws._version.VERSION} on ")
    assert words.endswith(f", backend {ws.BACKEND}: {ws._backend.REASON}\n")
    assert words.count("\n") == 1


@pytest.mark.parametrize("argv", [[], ["no-such-command"], ["--no-such-option"]])
def test_wrong_arguments_are_status_2_and_say_what_is_wrong(
    ws: ModuleType, capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        ws.cli.main(argv)
    assert caught.value.code == 2
    assert "python -m websocket: error: " in capsys.readouterr().err
