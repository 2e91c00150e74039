"""`gradviz app`: what is handed to Streamlit, and what is refused before it starts."""

from __future__ import annotations

import json
import socket
import tomllib
from pathlib import Path

import pytest
import streamlit.web.cli
from click.testing import CliRunner, Result
from ports import free_port

from gradviz.cli.app import FLAGS, HOSTS, theme_flags
from gradviz.cli.command import main
from gradviz.render.theme import DARK, LIGHT


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[Result, list[str]]:
    handed: list[str] = []
    monkeypatch.setattr(streamlit.web.cli, "main", lambda args, prog_name: handed.extend(args))
    with free_port() as port:  # what else runs on this machine is not what is asked
        given = arguments if "--port" in arguments else ("--port", str(port), *arguments)
        return CliRunner().invoke(main, ["app", *given]), handed


def test_the_server_answers_this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with free_port() as port:
        result, handed = run(monkeypatch, "--port", str(port), "--headless")
    assert result.exit_code == 0 and handed[0] == "run" and Path(handed[1]).name == "run.py"
    assert {"--server.address=127.0.0.1", f"--server.port={port}", "--server.headless=true"} <= set(handed)
    assert [flag for flag in handed if "allowedHosts" in flag] == [
        "--server.allowedHosts=localhost", "--server.allowedHosts=127.0.0.1"
    ]  # fmt: skip
    assert "--" not in handed


def test_the_address_is_told_and_nothing_of_streamlit_is_advertised(monkeypatch: pytest.MonkeyPatch) -> None:
    with free_port() as port:
        result, handed = run(monkeypatch, "--port", str(port))
    assert result.output == f"gradviz starts on http://127.0.0.1:{port}; Ctrl+C ends it\n"
    assert "--logger.hideWelcomeMessage=true" in handed


def test_app_py_is_served_as_the_command_serves() -> None:
    """Streamlit reads the file beside the script that it runs, from whatever directory it is started."""
    written = tomllib.loads((Path(__file__).parents[2] / ".streamlit" / "config.toml").read_text())
    assert written["server"].pop("allowedHosts") == list(HOSTS)
    told = {f"theme.{name}.{key}": value for name, colours in written.pop("theme").items() for key, value in colours.items()}
    told |= {f"{section}.{key}": value for section, options in written.items() for key, value in options.items()}
    assert {name: value if isinstance(value, str) else json.dumps(value) for name, value in told.items()} == (
        FLAGS | theme_flags()
    )


def test_a_port_that_is_taken_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result, handed = run(monkeypatch, "--port", str(port))
    assert (result.exit_code, handed) == (2, [])
    assert f"cannot serve on 127.0.0.1:{port}: Address already in use" in result.output
    assert "make app PORT=N" in result.output


def test_the_page_has_the_colours_of_the_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    _, handed = run(monkeypatch)
    for name, theme in (("light", LIGHT), ("dark", DARK)):
        assert f"--theme.{name}.backgroundColor={theme.background}" in handed
        assert f"--theme.{name}.textColor={theme.text}" in handed


def test_a_target_is_handed_on_with_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    _, handed = run(monkeypatch, "x*y", "--at", "x=2", "--at", "y=[1, 2]")
    assert handed[-4:] == ["--", "x*y", "x=2", "y=[1, 2]"] and "--server.headless=false" in handed


@pytest.mark.parametrize("values", [["w=2", "x=3"], ["wx=2"], ["w=2"]])
def test_a_product_without_a_sign_takes_its_values_in_each_reading(
    monkeypatch: pytest.MonkeyPatch, values: list[str]
) -> None:
    result, handed = run(monkeypatch, "wx", *(f"--at={value}" for value in values))
    assert (result.exit_code, handed[-len(values) :]) == (0, values)


def test_a_function_in_a_file_is_handed_on_and_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("raise SystemExit('this ran')")
    result, handed = run(monkeypatch, f"{tmp_path}/train.py:step")
    assert (result.exit_code, handed[-2:]) == (0, ["--", f"{tmp_path}/train.py:step"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["x*foo(y)"], "unknown function 'foo'"),
        (["x", "--at", "x=two"], "--at x: 'two' is neither a number"),
        (["x*y", "--at", "x=2", "--at", "yy=3"], 'no variable yy; the variables of "x*y" are: x, y\n'),
        (["--at", "x=2"], "there is no TARGET"),
        (["nothing/here.py:step"], "there is no file nothing/here.py"),
        (["train.py:step", "--at", "x=2"], "values go with math text"),
        (["nothing/here.py"], "written file.py:name"),
    ],
)
def test_what_is_refused_starts_nothing(monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str) -> None:
    result, handed = run(monkeypatch, *arguments)
    assert (result.exit_code, handed) == (2, []) and sentence in result.output
