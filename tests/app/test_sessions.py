"""Twenty visitors at once on a real server, each by a web socket of their own: nobody sees what is another's."""

from __future__ import annotations

import asyncio
import threading
import urllib.parse
from typing import Any

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import connect

SESSIONS = 20
PATIENCE_S = 120
MIB_PER_SESSION = 4.0


async def visit(server: str, link: dict[str, Any]) -> str:
    """Everything that the page shows to one visitor, as text."""
    address = f"ws://{server.removeprefix('http://')}/_stcore/stream"
    async with connect(address, subprotocols=["streamlit"], origin=server, max_size=None) as socket:  # type: ignore[list-item, arg-type]
        asked = BackMsg()
        asked.rerun_script.query_string = urllib.parse.urlencode(link, doseq=True)
        await socket.send(asked.SerializeToString())
        shown: list[str] = []
        while True:
            message = ForwardMsg()
            message.ParseFromString(await socket.recv())  # type: ignore[arg-type]
            if message.WhichOneof("type") == "script_finished":
                return "\n".join(shown)
            if message.WhichOneof("type") == "delta":
                shown.append(str(message.delta))


def links() -> list[dict[str, Any]]:
    """Every visitor has an expression, values and a selection of their own."""
    return [
        {
            "expression": f"x^2 + secret_{own}", "at": [f"x={own + 3}", f"secret_{own}={own}"],
            "selected": "node_0", "panel": "differences",
        }
        for own in range(SESSIONS)
    ]  # fmt: skip


def visits(server: str) -> list[str]:
    """What all see who come at once. In a thread of its own: in this one, Playwright's event loop may be running."""
    found: list[str] = []

    async def together() -> None:
        found.extend(await asyncio.wait_for(asyncio.gather(*(visit(server, link) for link in links())), PATIENCE_S))

    waiting = threading.Thread(target=lambda: asyncio.run(together()))
    waiting.start()
    waiting.join()
    assert len(found) == SESSIONS
    return found


@pytest.fixture(scope="module")
def first_wave(server: str) -> list[str]:
    return visits(server)


def test_twenty_sessions_at_once_each_show_their_own_numbers_and_no_others(first_wave: list[str]) -> None:
    for number, shown in enumerate(first_wave):
        assert f"secret_{number} =" in shown
        assert f">{2 * (number + 3)}</td>" in shown  # the gradient of x, beside sympy's
        others = [other for other in range(SESSIONS) if f"secret_{other} =" in shown]
        assert others == [number]
        assert "Traceback" not in shown


def test_a_session_takes_little_memory(server: str, first_wave: list[str], memory_mib: Any) -> None:
    before = memory_mib()  # what is kept for all visitors is there by now
    visits(server)
    grown = (memory_mib() - before) / SESSIONS
    assert grown < MIB_PER_SESSION, f"{grown:.2f} MiB for each"


@pytest.fixture
def memory_mib(server_process: Any) -> Any:
    def resident() -> float:
        with open(f"/proc/{server_process.pid}/status") as status:
            (line,) = [line for line in status if line.startswith("VmRSS:")]
        return int(line.split()[1]) / 1024

    return resident
