"""`gradviz app [TARGET]`: starts the explorer on this machine, reachable from this machine only."""

from __future__ import annotations

from importlib import resources

import click

from gradviz.errors import InputError

FLAGS = {
    "server.address": "127.0.0.1",
    "server.fileWatcherType": "none",
    "server.maxUploadSize": "16",
    "server.showEmailPrompt": "false",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "viewer",
    "global.maxCachedMessageAge": "50",
}
"""The age is in runs: after quick clicks a browser is asked for a message that it has let go, and Streamlit's default of 2
is soon reached; a page then stands still for good."""
THEMES = ("light", "dark")
HOSTS = ("localhost", "127.0.0.1")
"""Another name for this machine in a request would be someone else's page that asks for ours."""


@click.command("app")
@click.argument("target", required=False)
@click.option("--at", multiple=True, metavar="NAME=VALUE", help="Value of a variable of TARGET.")
@click.option("--port", default=8501, show_default=True, type=click.IntRange(1, 65535), help="Of http://127.0.0.1.")
@click.option("--headless", is_flag=True, help="Do not open a browser.")
def app_command(target: str | None, at: tuple[str, ...], port: int, headless: bool) -> None:
    """Open the explorer in the browser, on a worked example or on TARGET: math text, or FILE.py:NAME for a function."""
    from gradviz.target import refuse_target

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
        main(args=["run", str(script), *options, *given], prog_name="gradviz app")


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
