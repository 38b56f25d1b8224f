"""The server's configuration: values, strength of layers, and errors that name file, line and key."""

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evotools.errors import UsageError
from evotools.server.config import SECTIONS, ServerConfig, load, parse, parse_listen, to_toml

GOOD = """
[hub]
flush_interval = "40ms"
grace = "3s"
keep_bytes = "16MiB"

[rtmp]
listen = "127.0.0.1:2935"

[access]
allow_publish = ["10.0.0.0/8"]

[streams."live/cam"]
source = "test:"
on_demand = true

[[routes]]
run = "ingest udp://:5000 | relay hub:a"

[endpoints]
twitch = "rtmp://live.example/app/{env:KEY}"
"""


def write(folder: Path, text: str) -> str:
    path = folder / "evotools.toml"
    path.write_text(text)
    return str(path)


def test_values(tmp_path: Path) -> None:
    config = load(write(tmp_path, GOOD), env={})
    assert config.hub.flush_interval == 0.04
    assert config.hub.grace == 3
    assert config.hub.keep_bytes == 16 * 2**20
    assert config.rtmp.listen == "127.0.0.1:2935"
    assert config.access.allow_publish == ["10.0.0.0/8"]
    assert config.streams["live/cam"].on_demand
    assert config.routes[0].run.startswith("ingest")
    assert config.endpoints["twitch"].endswith("{env:KEY}")
    assert config.http == ServerConfig().http, "what is not named keeps its default"


def test_strength_of_layers(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    env = {"EVOTOOLS_HUB__GRACE": "7s", "EVOTOOLS_RTMP__ENABLED": "no", "EVOTOOLS_HUB__FLUSH_INTERVAL": "auto",
           "EVOTOOLS_FORMAT": "ts", "EVOTOOLS_ACCESS__ALLOW_PUBLISH": "1.0.0.0/8, 2.0.0.0/8"}  # fmt: skip
    config = load(path, env=env, sets=["hub.grace=9s"])
    assert config.hub.grace == 9
    assert config.rtmp.enabled is False
    assert config.hub.flush_interval == "auto"
    assert config.access.allow_publish == ["1.0.0.0/8", "2.0.0.0/8"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('[hub]\ngrace = "3s"\nnope = 1\n', 3, "unknown key 'nope' in [hub]"),
        ('[hub]\n\ngrace = "soon"\n', 3, "hub.grace: 'soon' is not a duration"),
        ("[nope]\na = 1\n", 1, "unknown section 'nope'"),
        ("[rtmp]\nenabled = 1\n", 2, "rtmp.enabled: must be true or false"),
        ('[rtmp]\nlisten = "a:b:c"\n', 2, "is not an address to listen on"),
        ('[hub]\nslow = "later"\n', 2, "hub.slow: cannot be 'later'"),
        ('[hub]\nstart = "begin"\n', 2, "hub.start: cannot be 'begin'; use keyframe, live or"),
        ('[hub]\nflush_interval = "fast"\n', 2, "hub.flush_interval: cannot be 'fast'; use auto, 0 or"),
        ("[hub]\nflush_interval = 40\n", 2, "'40' is 40 s, and 5 s is the longest; a number alone is seconds"),
        ('[streams.a]\nconflict = "x"\n', 2, "streams.a.conflict: cannot be 'x'; use reject or takeover"),
        ("[access]\nallow_publish = [1]\n", 2, "must be a list of texts"),
        ('[streams.a]\non_demand = true\n', 1, "lacks a source"),
        ('[[routes]]\nrun = "x"\n[[routes]]\nruns = "y"\n', 4, "unknown key 'runs' in [routes]"),
        ("[hub]\nmax_streams = -1\n", 2, "must not be negative"),
        ('[hub]\ngrace = "3s\n', 2, ""),
    ],
)  # fmt: skip
def test_errors_name_file_line_and_key(tmp_path: Path, text: str, line: int, words: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        load(path, env={})
    assert words in str(caught.value)
    assert f"{path}:{line}" in str(caught.value) or f"line {line}" in str(caught.value)


@pytest.mark.parametrize(
    "item", ["hub.nope=1", "nope.grace=1", "grace=1", "hub.grace", "hub.grace=soon", "rtmp.enabled=perhaps"]
)
def test_bad_sets(item: str) -> None:
    with pytest.raises(UsageError, match="--set"):
        load(env={}, sets=[item])


def test_bad_environment_is_named() -> None:
    with pytest.raises(UsageError, match="EVOTOOLS_HUB__GRACE"):
        load(env={"EVOTOOLS_HUB__GRACE": "soon"})


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load(str(tmp_path / "none.toml"), env={})


def test_printed_configuration_gives_the_same_one(tmp_path: Path) -> None:
    config = load(write(tmp_path, GOOD), env={})
    again = load(write(tmp_path, to_toml(config)), env={})
    assert again == config


def test_tables_of_commands_may_share_the_file() -> None:
    assert parse({"relay": {"reconnect": "3"}}) == ServerConfig()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":1935", ("", 1935)),
        ("1935", ("", 1935)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("[::1]:80", ("::1", 80)),
        ("*:8", ("", 8)),
    ],
)
def test_listen_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_listen(text) == address


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["hub", "rtmp", "streams", "routes", "endpoints", "access", "x"]), _json, max_size=3
    )
)
def test_any_table_is_taken_or_refused_in_words(table: dict[str, object]) -> None:
    try:
        parse(table)
    except UsageError as error:
        assert str(error)


def test_the_example_names_every_key_with_its_default() -> None:
    path = Path(__file__).parents[3] / "deploy" / "evotools.toml"
    config = load(str(path), env={})
    assert config == ServerConfig()
    text = path.read_text()
    for section, kind in SECTIONS.items():
        table = text.partition(f"[{section}]")[2].partition("\n[")[0]
        for field in fields(kind):
            assert f"\n{field.name} = " in table, f"{section}.{field.name} is missing in the example"


def test_the_documentation_names_every_key() -> None:
    text = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text()
    for section, kind in SECTIONS.items():
        for field in fields(kind):
            assert f"`{section}.{field.name}`" in text, f"{section}.{field.name} is undocumented"
