"""The tables of transitions."""

import pytest

from evotools.errors import ProtocolError
from evotools.protocols.rtmp import states
from evotools.protocols.rtmp.states import Client, Server, Stream


@pytest.mark.parametrize(("table", "first"), [(states.SERVER, Server.HANDSHAKE), (states.CLIENT, Client.HANDSHAKE)])
def test_every_state_can_be_reached_and_closed(table: dict[tuple[Server, str], Server], first: Server) -> None:
    reached = {first}
    while more := {to for (state, _), to in table.items() if state in reached} - reached:
        reached |= more
    assert reached == set(type(first))
    assert all(states.after(table, state, "close") is type(first).CLOSED for state in type(first))


def test_every_state_of_a_stream_can_be_reached_and_left() -> None:
    reached = {Stream.IDLE}
    while more := {to for (state, _), to in states.STREAM.items() if state in reached} - reached:
        reached |= more
    assert reached == set(Stream)
    assert all(states.after(states.STREAM, state, "end") is Stream.IDLE for state in Stream if state is not Stream.IDLE)


def test_what_is_not_in_the_table_is_refused() -> None:
    with pytest.raises(ProtocolError, match="'publish' is not possible in state 'connecting'"):
        states.after(states.SERVER, Server.CONNECTING, "publish")
