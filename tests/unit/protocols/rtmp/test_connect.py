"""What connect says, within bounds."""

from evotools.protocols.rtmp import auth
from evotools.protocols.rtmp import message as m
from evotools.protocols.rtmp.chunk import Message
from evotools.protocols.rtmp.connect import MAX_FOURCCS, read_connect
from evotools.protocols.rtmp.connection import WINDOW_ACK_SIZE
from evotools.protocols.rtmp.message import Command
from tests.unit.protocols.rtmp.peer import zeros
from tests.unit.protocols.rtmp.test_server import publishing


def test_lists_of_abilities_are_capped() -> None:
    names = [f"c{number:03}" for number in range(500)]
    abilities = dict.fromkeys(names, 4)
    asked = {"fourCcList": names, "videoFourCcInfoMap": abilities, "audioFourCcInfoMap": abilities}
    event = read_connect(Command("connect", 1.0, asked))
    assert list(event.fourccs) == list(event.video_fourccs) == list(event.audio_fourccs) == names[:MAX_FOURCCS]


def test_a_window_of_zero_is_no_flood_of_acknowledgements() -> None:
    """Some cameras mean "never" by it."""
    _, peer = publishing()
    peer.say(m.build_window_ack_size(0))
    for _ in range(100):
        peer.say(Message(m.AUDIO, 0, 1, bytes(100)))
    assert peer.heard() == []
    for _ in range(WINDOW_ACK_SIZE // 100_000 + 1):
        peer.say(Message(m.AUDIO, 0, 1, bytes(100_000)))
    assert peer.heard() == ["type 3"]


def test_fields_of_a_challenge_are_cut_and_long_user_names_are_none() -> None:
    said = f"{auth.REJECT} : [ authmod=adobe ] : ?reason=needauth&salt={'s' * 5000}&opaque=o"
    rejection = auth.parse_rejection(said)
    assert rejection is not None
    assert rejection.fields["salt"] == "s" * auth.MAX_FIELD
    server = auth.AdobeServer(b"k" * 32)
    query = {"authmod": "adobe", "user": "u" * (auth.MAX_FIELD + 1)}
    assert "reason=needauth" not in server.challenge(query, 0.0, zeros)
