"""`gradviz app [TARGET]`: starts the explorer on this machine, reachable from this machine only."""

from __future__ import annotations

import socket
from importlib import resources

import click

from gradviz.cli.targets import OfTarget
from gradviz.errors import InputError

ADDRESS = "127.0.0.1"
FLAGS = {
    "server.address": ADDRESS,
    "server.fileWatcherType": "none",
    "server.maxUploadSize": "16",
    "server.showEmailPrompt": "false",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "viewer",
    "runner.fastReruns": "false",
    "logger.hideWelcomeMessage": "true",
    "global.maxCachedMessageAge": "50",
}
"""The age is in runs: after quick clicks a browser is asked for a message that it has let go, and Streamlit's default of 2
is soon reached; a page then stands still for good. Without its welcome Streamlit does not offer "agent skills" on the page
either. Fast reruns would start a run while the one that it breaks off still writes into the session, in another thread."""
THEMES = ("light", "dark")
HOSTS = ("localhost", "127.0.0.1")
"""Another name for this machine in a request would be someone else's page that asks for ours."""


@click.command("app", cls=OfTarget)
@click.argument("target", required=False)
@click.option("--at", multiple=True, metavar="NAME=VALUE", help="Value of a variable of TARGET.")
@click.option("--port", default=8501, show_default=True, type=click.IntRange(1, 65535), help="Of http://127.0.0.1.")
@click.option("--headless", is_flag=True, help="Do not open a browser.")
def app_command(target: str | None, at: tuple[str, ...], port: int, headless: bool) -> None:
    """Open the explorer in the browser, on a worked example or on TARGET: math text, FILE.py:NAME or FILE.gradviz."""
    from gradviz.target import refuse_target

    refuse_taken(port)
    if target is not None:
        refuse_target(target, at)
    elif at:
        raise InputError(f"--at {at[0]}: there is no TARGET that it could be a value of")
    try:
        from streamlit.web.cli import main
    except ModuleNotFoundError as error:
        raise InputError("the explorer needs Streamlit: pip install 'gradviz-explorer[app]'") from error
    flags = FLAGS | theme_flags() | {"server.port": str(port), "server.headless": str(headless).lower()}
    options = [f"--{name}={value}" for name, value in flags.items()]
    options += [f"--server.allowedHosts={host}" for host in HOSTS]
    with resources.as_file(resources.files("gradviz.app").joinpath("run.py")) as script:
        given = [] if target is None else ["--", target, *at]
        click.echo(f"gradviz starts on http://{ADDRESS}:{port}; Ctrl+C ends it")
        main(args=["run", str(script), *options, *given], prog_name="gradviz app")


def refuse_taken(port: int) -> None:
    """Refuse a port at which nothing can be served, before the seconds that Streamlit takes to find out.

    Raises:
        InputError: Another program listens there, or this user may not.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            raise InputError(
                f"cannot serve on {ADDRESS}:{port}: {error.strerror}; choose another port N: gradviz app --port N, "
                "or make app PORT=N"
            ) from error


def theme_flags() -> dict[str, str]:
    """Streamlit's colours: those of our pictures, so that page and picture are one, and every text can be read.

    >>> theme_flags()["theme.dark.backgroundColor"]
    '#16181d'
    """
    from gradviz.render import theme_named

    flags: dict[str, str] = {}
    for name in THEMES:
        theme = theme_named(name)
        flags |= {
            f"theme.{name}.primaryColor": theme.backward,
            f"theme.{name}.backgroundColor": theme.background,
            f"theme.{name}.secondaryBackgroundColor": theme.paints["constant"].fill,
            f"theme.{name}.textColor": theme.text,
        }
    return flags
