"""The connect command (7.2.1.1) as a server reads and answers it, with the abilities of Enhanced RTMP 2."""

from collections.abc import Mapping
from typing import Any

from evotools.protocols.rtmp.events import Connect
from evotools.protocols.rtmp.message import Command
from evotools.protocols.rtmp.names import split_name, split_url

MAX_FOURCCS = 64
"""Entries of a capability list in connect; Enhanced RTMP 2 names fewer than twenty."""
FMS_VERSION = "FMS/3,5,7,7009"
"""Flash clients send H.264 only to version 3 and later."""


def read_connect(command: Command) -> Connect:
    """What a client says of itself. Raises ProtocolError for names and queries beyond their caps."""
    asked = command.object if isinstance(command.object, dict) else {}
    tc_url = _text(asked, "tcUrl")
    path, query = split_url(tc_url)
    app, app_query = split_name(_text(asked, "app"))
    fourccs = asked.get("fourCcList")
    if not isinstance(fourccs, list):
        fourccs = []
    return Connect(
        app=app or path,
        query={**query, **app_query},
        tc_url=tc_url,
        flash_ver=_text(asked, "flashVer"),
        page_url=_text(asked, "pageUrl"),
        swf_url=_text(asked, "swfUrl"),
        object_encoding=3 if asked.get("objectEncoding") == 3 else 0,
        fourccs=tuple(f for f in fourccs[:MAX_FOURCCS] if isinstance(f, str)),
        video_fourccs=_abilities(asked.get("videoFourCcInfoMap")),
        audio_fourccs=_abilities(asked.get("audioFourCcInfoMap")),
        caps_ex=whole(asked.get("capsEx")),
        publishes=_encodes(asked),
        arguments=asked,
        extra=command.arguments,
    )


def connect_answer(
    event: Connect, video_fourccs: Mapping[str, int], audio_fourccs: Mapping[str, int], caps_ex: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Properties and information object of the `_result`."""
    asked = event.arguments
    properties: dict[str, Any] = {"fmsVer": FMS_VERSION, "capabilities": 31, "mode": 1}
    # Enhanced RTMP 2, "Enhancing NetConnection connect Command". Old clients get the old answer.
    if "fourCcList" in asked:
        properties["fourCcList"] = [*video_fourccs, *audio_fourccs]
    if "videoFourCcInfoMap" in asked or "audioFourCcInfoMap" in asked:
        properties["videoFourCcInfoMap"] = dict(video_fourccs)
        properties["audioFourCcInfoMap"] = dict(audio_fourccs)
    if "capsEx" in asked:
        properties["capsEx"] = caps_ex
    info = {
        "level": "status",
        "code": "NetConnection.Connect.Success",
        "description": "Connection succeeded.",
        # A client that can do both gets AMF0 all the same, as from nginx-rtmp and SRS; Flash goes by the type of
        # each message, and needs its own number back.
        "objectEncoding": event.object_encoding,
    }
    return properties, info


def whole(value: Any) -> int:
    """A number from the wire as a non-negative 32-bit integer; 0 for anything else."""
    return int(value) if isinstance(value, (int, float)) and 0 <= value < 2**32 else 0


def _text(values: dict[str, Any], name: str) -> str:
    value = values.get(name)
    return value if isinstance(value, str) else ""


def _encodes(asked: dict[str, Any]) -> bool:
    """Whether this is connect as FMLE and those that claim to be it say it, which players do not."""
    version = _text(asked, "flashVer").lower()
    return version.startswith("fmle") or "fmsc" in version or _text(asked, "type") == "nonprivate"


def _abilities(value: Any) -> dict[str, int]:
    if not isinstance(value, dict):
        return {}
    return {name: whole(bits) for name, bits in list(value.items())[:MAX_FOURCCS]}
