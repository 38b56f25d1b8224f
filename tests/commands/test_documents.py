"""Manual pages, completions, `help`, `formats` and `completion`: fresh, well formed, and of use in the shells."""

import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from evotools.cli import _CHOICES, _FLAGS, _VALUED
from evotools.commands.docs import generate, roff, text, uris
from evotools.commands.docs.model import document, documents
from evotools.commands.docs.pages_config import default_text, field_docs
from evotools.commands.docs.values import Value, value_of
from evotools.commands.globals import EXIT_CODES, GLOBAL_OPTIONS
from evotools.commands.parser import COMMANDS, click_command, load_command, parse_job
from evotools.endpoints.base import Context
from evotools.endpoints.libav import OPTIONS as LIBAV_OPTIONS
from evotools.endpoints.libav_net import PROTOCOLS
from evotools.endpoints.registry import FOREIGN, OPTION_HELP, SCHEMES, open_source
from evotools.errors import ExitCode, UsageError
from evotools.server.config import COMMANDS as SERVER_KNOWS
from evotools.server.config import SECTIONS, load
from evotools.uri import Uri
from tests.commands.program import ENVIRONMENT, error_line, run
from tests.commands.program import shell as shell_line
from tests.conftest import REPO, need

MADE = generate.files()
PAGES = {path: content for path, content in MADE.items() if path.startswith("man/")}
SCRIPTS = {shell: path for shell, (path, _) in generate.COMPLETIONS.items()}


# What is committed and what is installed.


def test_the_committed_files_are_those_that_the_declarations_make() -> None:
    there = {str(p.relative_to(REPO)) for folder in ("man", "completions") for p in (REPO / folder).rglob("*.*")}
    there |= {str(p.relative_to(REPO)) for p in (REPO / "completions").rglob("*evotools") if p.is_file()}
    stale = [path for path in MADE if not (REPO / path).is_file() or (REPO / path).read_text() != MADE[path]]
    assert not stale, f"run `make docs` and commit: {' '.join(stale)}"
    assert there == set(MADE), "run `make docs` and commit"


def test_writing_again_changes_nothing_and_removes_what_is_gone(tmp_path: Path) -> None:
    assert set(generate.write(tmp_path)) == set(MADE)
    assert generate.write(tmp_path) == []
    (tmp_path / "man" / "evotools-gone.1").write_text("x")
    assert generate.write(tmp_path) == ["man/evotools-gone.1"]
    assert not (tmp_path / "man" / "evotools-gone.1").exists()


def test_the_package_installs_every_generated_file() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text())
    table = project["tool"]["setuptools"]["data-files"]
    where = {str(p.relative_to(REPO)): folder for folder, globs in table.items() for g in globs for p in REPO.glob(g)}
    assert set(where) == set(MADE)
    for path, folder in where.items():
        if path.startswith("man/"):
            assert folder == f"share/man/man{path[-1]}"
    assert where["completions/bash/evotools"] == "share/bash-completion/completions"
    assert where["completions/zsh/_evotools"] == "share/zsh/site-functions"
    assert where["completions/fish/evotools.fish"] == "share/fish/vendor_completions.d"


# Manual pages.


@pytest.mark.parametrize("path", sorted(PAGES))
def test_pages_are_clean_roff(path: str, tmp_path: Path) -> None:
    page = tmp_path / Path(path).name
    page.write_text(PAGES[path])
    for line in PAGES[path].splitlines():
        assert line.isascii(), line
    for checker in (
        [need("groff"), "-man", "-Tutf8", "-ww", "-z", str(page)],
        [need("groff"), "-man", "-Tascii", "-ww", "-z", str(page)],
        [need("mandoc"), "-Tlint", "-Wwarning", str(page)],
    ):
        done = subprocess.run(checker, capture_output=True, text=True, timeout=30, check=False)
        assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def rendered(name: str, source: str = "") -> str:
    """A page as it is read, on one line."""
    source = source or PAGES[f"man/{name}"]
    done = subprocess.run([need("groff"), "-man", "-Tutf8", "-P-cbou", "-P-d"], input=source.encode(),
                          capture_output=True, timeout=30, check=True)  # fmt: skip
    return " ".join(done.stdout.decode().replace("\u2212", "-").replace("\u2010", "-").split())


def test_text_comes_out_of_roff_as_it_went_in() -> None:
    page = roff.Page("x", 1, "a page")
    hard = ".so it begins with a dot, 'quotes', \\backslashes\\, `~^\" and --an-option=x-y 3µs … ×"
    page.paragraph(hard.replace("`", ""))
    page.tagged(roff.bold(".dotted"), ".TH is no request")
    page.example(".hidden\n'quoted' -x --y | z \\n")
    told = rendered("", page.text())
    assert ".so it begins with a dot, 'quotes', \\backslashes\\, ~^\" and --an-option=x-y 3us ... ×" in told
    assert ".dotted .TH is no request" in told
    assert ".hidden 'quoted' -x --y | z \\n" in told


def test_a_page_has_all_options_with_defaults_and_variables() -> None:
    page = rendered("evotools-relay.1")
    for heading in ("NAME", "SYNOPSIS", "DESCRIPTION", "ARGUMENTS", "OPTIONS", "Input", "Reliability", "EXIT STATUS",
                    "STANDARD OUTPUT", "EXAMPLES", "SEE ALSO"):  # fmt: skip
        assert heading in page
    assert "-i, --input IN URI or file to send. Default: -. Environment: EVOTOOLS_INPUT." in page
    assert "--pace, --no-pace" in page
    assert "evotools relay -i film.mp4 rtmp://localhost/live/film" in page
    assert "'rtmp://live.example/app/{env:KEY}'" in page
    for name in COMMANDS:
        page = rendered(f"evotools-{name}.1")
        for option in document(name).options:
            assert ", ".join((*option.flags, *option.off)) in page


def test_the_page_of_the_program_names_commands_codes_and_options() -> None:
    page = rendered("evotools.1")
    for name in COMMANDS:
        assert f"evotools-{name}(1)" in page
    for option in GLOBAL_OPTIONS:
        assert ", ".join(option.flags) in page
    for code in ExitCode:
        assert re.search(rf"\b{int(code)}\b", page)
    assert "/etc/evotools/config.toml" in page


def test_the_page_of_the_configuration_has_every_key_with_its_default() -> None:
    from dataclasses import fields

    page = rendered("evotools.toml.5")
    for section, table in SECTIONS.items():
        for key in fields(table):
            assert field_docs(table).get(key.name), f"{section}.{key.name} lacks a description below it"
            expected = f"Default: {default_text(key)}. Environment: EVOTOOLS_{section}__{key.name}.".split("Env")
            assert expected[0] + "Env" + expected[1].upper().replace("IRONMENT", "ironment") in page
    for name in ("[streams.NAME]", "close_after", "[[routes]]", "run", "[endpoints]", "[relay]"):
        assert name in page


def test_the_example_of_the_configuration_is_good(tmp_path: Path) -> None:
    from evotools.commands.docs.pages_config import EXAMPLE

    path = tmp_path / "evotools.toml"
    path.write_text(EXAMPLE)
    assert load(str(path), env={}).streams["cam/door"].on_demand


def test_defaults_in_the_table_of_the_documentation_are_the_real_ones() -> None:
    """docs/configuration.md is written by people; its keys and defaults must not drift."""
    from dataclasses import fields

    rows = re.findall(r"^\| (`.+?`) \| (.+?) \|", (REPO / "docs" / "configuration.md").read_text(), re.MULTILINE)
    told = {}
    for names, defaults in rows:
        keys, values = re.findall(r"`([^`]+)`", names), re.findall(r"`([^`]+)`", defaults)
        told.update(zip(keys, values or [""] * len(keys), strict=True))
    real = {f"{s}.{key.name}": default_text(key) for s, table in SECTIONS.items() for key in fields(table)}
    assert set(told) == set(real)
    assert {key: value for key, value in told.items() if value} == {key: real[key] for key, v in told.items() if v}


def test_the_page_of_uris_has_every_scheme_and_option() -> None:
    page = rendered("evotools-uris.7")
    for doc in uris.scheme_docs():
        assert doc.form in page
        for option in doc.options:
            assert option in page


def test_nothing_of_the_build_is_in_a_page() -> None:
    for content in PAGES.values():
        assert f'"{roff.DATE}"' in content
        assert str(REPO) not in content


def test_one_file_may_hold_the_tables_of_all_commands() -> None:
    assert {doc.name for doc in documents() if doc.configured} <= set(SERVER_KNOWS)


# The tables that everything is made from.


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_option_is_documented(name: str) -> None:
    doc = document(name)
    assert doc.summary == COMMANDS[name][1]
    assert doc.paragraphs
    assert doc.stdout, f"the docstring of {name} lacks 'stdout: …'"
    assert doc.examples, f"{name} lacks examples"
    for parameter in (*doc.arguments, *doc.options):
        assert parameter.help, f"{name}: {parameter.name} lacks a help text"
        assert parameter.help.endswith((".", ")")), parameter.help
    for option in doc.options:
        assert re.fullmatch(r"EVOTOOLS_[A-Z0-9_]+", option.env)
    assert {0, 2} <= {code for code, _ in doc.exits} <= set(EXIT_CODES)


def test_options_have_no_two_meanings() -> None:
    for doc in documents():
        flags = [flag for option in doc.options for flag in (*option.flags, *option.off)]
        assert len(flags) == len(set(flags))


def test_examples_parse() -> None:
    """Every `evotools …` of an example is a command line that the commands' own parsers take."""
    seen = 0
    for doc in documents():
        for example in doc.examples:
            lexer = shlex.shlex(example, posix=True, punctuation_chars="|&;<>()")
            lexer.whitespace_split = True
            words: list[str] = []
            for word in [*lexer, "|"]:
                if word[0] not in "|&;<>()":
                    words.append(word)
                    continue
                if words[:1] == ["evotools"]:
                    seen += 1
                    arguments = getattr(load_command(words[1]), "translate_argv", list)(words[2:])
                    click_command(words[1]).make_context(words[1], arguments)
                words = []
    assert seen > 20


def test_the_table_of_global_options_is_what_the_program_takes() -> None:
    assert {flag for option in GLOBAL_OPTIONS for flag in option.flags} == {*_FLAGS, *_VALUED}
    choices = {option.flags[0]: option.metavar for option in GLOBAL_OPTIONS if option.flags[0] in _VALUED}
    for flag, attribute in _VALUED.items():
        if attribute in _CHOICES:
            assert choices[flag] == "|".join(_CHOICES[attribute])
    assert set(EXIT_CODES) == {int(code) for code in ExitCode}


def test_every_scheme_says_what_its_options_mean() -> None:
    # HTTP has an endpoint of its own, which leaves some of its work to libav.
    assert set(FOREIGN) == set(PROTOCOLS) - {"http", "https"}
    assert set(OPTION_HELP["foreign"]) == set(LIBAV_OPTIONS) - {"user_agent"}
    for doc in uris.scheme_docs():
        assert doc.summary
        assert all(doc.options.values()), doc
    for name, scheme in SCHEMES.items():
        assert set(OPTION_HELP.get(name, {})) <= set(scheme.options)


def authorities() -> str:
    """A file of certificates that every machine of the tests has."""
    import ssl

    return ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"


QUERIED = [d for d in uris.scheme_docs() if d.reads and d.name not in ("-", "fd", "exec", "ts-exec", "hub", *FOREIGN)]
"""Sources that look at their query when they are made."""


@pytest.mark.parametrize("doc", QUERIED, ids=lambda d: d.name)
def test_options_of_a_uri_are_taken_and_others_go_to_the_peer_or_are_refused(doc: uris.SchemeDoc) -> None:
    values = {"format": "ts", "timeout": "5s", "iface": "127.0.0.1", "ttl": "3", "packet_size": "188",
              "buffer_size": "1MiB", "user_agent": "x", "method": "POST", "tls_verify": "0",
              "insecure_redirects": "1", "rtmp_app": "app", "ca_file": authorities()}  # fmt: skip
    base = {"file": "file:x.ts"}.get(doc.name, doc.example.partition("?")[0])
    for option in doc.options if doc.name != "test" else ():
        open_source(Uri.parse(f"{base}?{option}={values[option]}"), Context())
    frob = Uri.parse(f"{base}?frob=1")
    if doc.name in uris.KEEPS_QUERY:
        open_source(frob, Context())
    else:
        with pytest.raises(UsageError, match="frob"):
            open_source(frob, Context())


@pytest.mark.parametrize(
    ("metavar", "expected"),
    [
        ("drop|wait|fail", Value("", ("drop", "wait", "fail"))),
        ("N|forever", Value("", ("forever",))),
        ("1|2", Value("", ("1", "2"))),
        ("D", Value()),
        ("WxH", Value()),
        ("TRACK=CODEC[,WxH@FPS]", Value()),
        ("FILE", Value("file", files=True)),
        ("DIR", Value("folder", folders=True)),
        ("FILE|fd:N|stderr", Value("", ("stderr",), ("fd:",), files=True)),
        ("cenc|cbcs|aes-128", Value("", ("cenc", "cbcs", "aes-128"))),
    ],
)
def test_metavars_say_what_completes(metavar: str, expected: Value) -> None:
    assert value_of(metavar) == expected


def test_sources_and_destinations_are_those_of_the_registry() -> None:
    source, sink = value_of("SOURCE"), value_of("DEST")
    assert "test:" in source.beginnings
    assert "rtsp://" in source.beginnings
    assert "null:" in sink.words
    assert "rtsp://" not in sink.beginnings
    assert source.files
    assert sink.files


def test_tables_of_commands_take_options_by_their_names(tmp_path: Path) -> None:
    job = parse_job("probe", ["x.ts"], {"json": True, "max-gop": "2s", "format_": "ts"})
    assert (job.style, job.limits.max_gop_s, job.source_format) == ("json", 2.0, "ts")  # type: ignore[union-attr]


def test_the_environment_gives_defaults_by_the_names_of_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOTOOLS_JSON", "1")
    monkeypatch.setenv("EVOTOOLS_TRACK", "video audio:1")
    job = parse_job("probe", ["x.ts"])
    assert (job.style, job.keep) == ("json", ("video", "audio:1"))  # type: ignore[union-attr]


# help


def test_help_on_a_command_is_its_help() -> None:
    asked, told = run("help", "relay"), run("relay", "--help")
    assert asked.stdout == told.stdout
    assert asked.returncode == told.returncode == 0
    page = told.stdout.decode()
    parts = ("Usage:", "Send one stream", "Examples:", "Arguments:", "Input:", "Timing:", "Standard output:",
             "Exit codes:", "Global options", "See also:")  # fmt: skip
    order = [page.index(part) for part in parts]
    assert order == sorted(order)
    assert "EVOTOOLS_RECONNECT_INPUT" in page
    assert max(map(len, page.splitlines())) <= 100


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_short_help_fits_a_screen(name: str) -> None:
    done = run(name, "-h", env={"COLUMNS": "80"})
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0
    assert len(lines) <= 24
    assert lines[-1] == f"evotools {name} --help explains them."


def test_the_overview() -> None:
    short, full = run("-h").stdout.decode(), run("--help").stdout.decode()
    assert run("help").stdout.decode() == run().stdout.decode() == full
    assert len(short.splitlines()) <= 24
    for name, (_, summary) in COMMANDS.items():
        assert f"{name} " in short
        assert summary in full
    assert "--print-config" in full


def test_help_on_everything_has_a_synopsis_of_every_command() -> None:
    told = run("help", "-a").stdout.decode()
    for name in COMMANDS:
        assert f"\n  evotools {name}" in told
    report = json.loads(run("help", "-a", "--json").stdout)
    assert report["schema"] == "evotools.help/1"
    assert [c["name"] for c in report["commands"]] == list(COMMANDS)
    relay = next(c for c in report["commands"] if c["name"] == "relay")
    overflow = next(o for o in relay["options"] if "--on-overflow" in o["names"])
    assert overflow["choices"] == ["drop", "wait", "fail"]
    assert overflow["default"] == "drop"
    assert overflow["environment"] == "EVOTOOLS_ON_OVERFLOW"


def test_help_on_uris() -> None:
    told = run("help", "uris").stdout.decode()
    for doc in uris.scheme_docs():
        assert doc.form in told
    told = run("help", "uri:udp").stdout.decode()
    assert "packet_size" in told
    assert "read, write" in told
    report = json.loads(run("help", "uri:udp", "--json").stdout)
    assert report["schema"] == "evotools.uri/1"
    assert report["read"] is report["write"] is report["listens"] is True
    assert set(report["options"]) == set(SCHEMES["udp"].options)
    assert json.loads(run("help", "uri:test", "--json").stdout)["options"]["fps"].startswith("Pictures per second")
    assert json.loads(run("help", "uri:https", "--json").stdout)["write"] is True
    assert json.loads(run("help", "uri:rtsps", "--json").stdout)["write"] is False
    assert json.loads(run("help", "exit-codes", "--json").stdout)["exit_codes"]["7"] == EXIT_CODES[7]


@pytest.mark.parametrize(
    ("topic", "words"),
    [("relya", "did you mean relay?"), ("uri:rtpm", "uri:rtp"), ("uri:gopher", "evotools help uris"), ("qwxz", "see")],
)
def test_unknown_topics_are_usage_errors_with_what_is_near(topic: str, words: str) -> None:
    done = run("help", topic)
    assert done.returncode == 2
    assert words in error_line(done)
    assert done.stdout == b""


def test_colour_follows_the_option() -> None:
    assert b"\x1b[" not in run("relay", "--help").stdout
    assert b"\x1b[1mUsage:" in run("--color=always", "relay", "--help").stdout
    assert b"\x1b[1mUsage:" in run("--color=always", "--help").stdout


def test_help_needs_no_good_configuration(tmp_path: Path) -> None:
    (tmp_path / "evotools").mkdir()
    (tmp_path / "evotools" / "config.toml").write_text("= broken")
    env = {"XDG_CONFIG_HOME": str(tmp_path)}
    for arguments in (["help", "uris"], ["formats"], ["completion", "bash"], ["relay", "--version"]):
        done = run(*arguments, env=env)
        assert done.returncode == (2 if arguments[0] == "relay" else 0), done.stderr


@pytest.mark.parametrize("command", ["help -a", "formats --json", "completion zsh", "help uris", "relay --help", "-h"])
def test_a_reader_that_leaves_is_no_error(command: str) -> None:
    status, _, stderr = shell_line(f"evotools {command} | sleep 0")
    assert status == [141, 0]
    assert stderr == b""


def test_wrapped_help_loses_no_word() -> None:
    doc = document("videogen")
    narrow = " ".join(text.full(doc, width=50, color=False).split())
    for option in doc.options:
        assert option.help in narrow


# formats


def test_formats_tell_what_the_tables_hold() -> None:
    report = json.loads(run("formats", "--json").stdout)
    assert report["schema"] == "evotools.formats/1"
    containers = {c["name"]: c for c in report["containers"]}
    ts = containers["ts"]
    assert ts["read_by"] == "evotools"
    assert "evotools" in ts["written_by"]
    assert {"h264", "aac", "opus", "scte35"} <= set(ts["codecs"])
    assert "vp9" not in ts["codecs"]
    assert {"mpegts", "m2ts"} <= set(ts["names"])
    assert {"av1", "vp8", "pcma"} <= set(containers["flv"]["codecs"])
    assert containers["webm"]["codecs"] == ["av1", "opus", "vorbis", "vp8", "vp9"]
    assert containers["wav"]["read_by"] == "libav"
    assert containers["mp4"]["read_by"] == containers["fmp4"]["read_by"] == "evotools"
    assert containers["mp4"]["written_by"] == ["evotools"]
    assert containers["mov"]["written_by"] == ["libav"]
    assert containers["m4a"]["suffixes"] == ["m4a"]
    assert "aac" in containers["m4a"]["codecs"]
    assert "h264" not in containers["m4a"]["codecs"]
    assert containers["y4m"]["written_by"] == []
    kinds = {c["name"]: c for c in report["codecs"]}
    assert kinds["h264"]["kind"] == "video"
    assert kinds["opus"]["kind"] == "audio"
    assert kinds["scte35"] == {"name": "scte35", "kind": "data", "containers": ["ts"]}
    assert {s["name"] for s in report["schemes"]} == {*SCHEMES, *FOREIGN}
    told = run("formats").stdout.decode()
    for name in containers:
        assert re.search(rf"^{re.escape(name)} ", told, re.MULTILINE)


def test_formats_tells_the_truth_about_flv(tmp_path: Path) -> None:
    """What the list says of a container holds for a file of it."""
    out = tmp_path / "out.flv"
    done = run("videogen", "--size", "64x64", "--codec", "vp9", "--audio", "opus", "--duration", "400ms",
               "--no-realtime", str(out))  # fmt: skip
    assert done.returncode == 0, done.stderr
    tracks = json.loads(run("probe", "--json", str(out)).stdout)["tracks"]
    assert [t["codec"] for t in tracks] == ["vp9", "opus"]


# completion


@pytest.mark.parametrize("shell", list(generate.COMPLETIONS))
def test_the_program_prints_the_script(shell: str) -> None:
    done = run("completion", shell)
    assert done.returncode == 0
    assert done.stdout.decode() == MADE[SCRIPTS[shell]]


def test_an_unknown_shell_is_a_usage_error() -> None:
    done = run("completion", "tcsh")
    assert done.returncode == 2
    assert "bash, zsh, fish" in error_line(done)
    assert b"bash-completion/completions" in run("completion", "--help").stdout


def bash(line: str, folder: Path) -> list[str]:
    """What bash would offer at the end of `line`, whole words."""
    # Words as readline hands them over: runs of colons and equals signs are words of their own.
    words = [w for part in line.split(" ") for w in re.findall(r"[:=]+|[^:=]+", part) or ([""] if not part else [])]
    words = [w for i, w in enumerate(words) if w or i == len(words) - 1]
    done = subprocess.run(
        ["bash", "--norc", "--noprofile", "-c",
         f'source {SCRIPTS["bash"]}; COMP_LINE=$1 COMP_POINT=${{#1}}; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1));'
         r' compopt() { :; }; _evotools; printf "%s\n" "${COMPREPLY[@]}"', "bash", line, *words],
        capture_output=True, text=True, timeout=30, check=True, cwd=folder, env=ENVIRONMENT,
    )  # fmt: skip
    assert done.stderr == ""
    # bash completes what stands behind the last colon or equals sign.
    cut = max(line.rfind(":"), line.rfind("="), line.rfind(" ")) + 1
    head = line[line.rfind(" ") + 1 : cut]
    return [head + word for word in done.stdout.splitlines() if word]


def fish(line: str, folder: Path) -> list[str]:
    """What fish offers."""
    done = subprocess.run(
        [need("fish"), "--no-config", "-c", f"source {SCRIPTS['fish']}; complete -C $argv[1]", line],
        capture_output=True, text=True, timeout=30, check=True, cwd=folder, env={**ENVIRONMENT, "HOME": str(folder)},
    )  # fmt: skip
    assert done.stderr == ""
    return [entry.split("\t")[0] for entry in done.stdout.splitlines()]


class Shell:
    """An interactive shell on a terminal of its own, with the completion script loaded."""

    def __init__(self, kind: str, folder: Path) -> None:
        # Control-T prints the line that is being edited and empties it.
        if kind == "bash":
            argv = [need("bash"), "--norc", "--noprofile", "-i"]
            setup = (
                "bind 'set enable-bracketed-paste off' 'set page-completions off' 'set completion-query-items 0'",
                f"source {folder / SCRIPTS['bash']}",
                """bind -x '"\\C-t": echo "LI""NE<$READLINE_LINE>"; READLINE_LINE=""'""",
            )
        else:
            argv = [need("zsh"), "-f", "-i"]
            setup = (
                "unset zle_bracketed_paste; zstyle ':completion:*' list-prompt ''; LISTMAX=1000",
                f"fpath=({folder / Path(SCRIPTS['zsh']).parent} $fpath); autoload -Uz compinit; compinit -u -D",
                """tell() { zle -I; print -r -- "LI""NE<$BUFFER>"; BUFFER="" }; zle -N tell; bindkey '^T' tell""",
            )
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execve(argv[0], argv, {**ENVIRONMENT, "TERM": "dumb", "HOME": str(folder), "COLUMNS": "200"})
        self.seen = ""
        for line in (*setup, "PS1='REA''DY> '"):
            self.type(line + "\n")
        self.wait_for("READY> ")

    def type(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def wait_for(self, words: str, seconds: float = 20) -> str:
        """Everything shown before `words`."""
        while words not in self.seen:
            ready, _, _ = select.select([self.fd], [], [], seconds)
            assert ready, f"no {words!r} in {self.seen!r}"
            self.seen += os.read(self.fd, 65536).decode(errors="replace")
        before, _, self.seen = self.seen.partition(words)
        return before

    def complete(self, line: str, tabs: str = "\t") -> tuple[str, str]:
        """Type `line` and tabs: the line that comes of it, and what was shown."""
        self.type(line + tabs + "\x14")
        shown = self.wait_for("LINE<")
        made = self.wait_for(">\r\n")
        self.wait_for("READY> ")
        return made, shown

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where completion is tried: the scripts, a film, and a folder."""
    made = tmp_path_factory.mktemp("completion")
    generate.write(made)
    (made / "my film.mp4").touch()
    (made / "clips").mkdir()
    (made / "clips" / "one.ts").touch()
    (made / "evotools.toml").touch()
    return made


@pytest.fixture(scope="module", params=["bash", "zsh"])
def shell(request: pytest.FixtureRequest, folder: Path) -> Iterator[Shell]:
    made = Shell(request.param, folder)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("line", "made"),
    [
        ("evotools rela", "evotools relay "),
        ("true | evotools compl", "true | evotools completion "),
        ("evotools relay --on-overflow dr", "evotools relay --on-overflow drop "),
        ("evotools relay --on-overflow=dr", "evotools relay --on-overflow=drop "),
        ("evotools relay --fail-f", "evotools relay --fail-fast "),
        ("evotools --log-format js", "evotools --log-format json "),
        ("evotools --config x.toml videogen --no-cl", "evotools --config x.toml videogen --no-clock "),
        ("evotools relay -i tes", "evotools relay -i test:"),
        # rtmp:// and rtmps:// go on alike so far.
        ("evotools relay a.ts rtm", "evotools relay a.ts rtmp"),
        ("evotools relay a.ts rtmp:", "evotools relay a.ts rtmp://"),
        ("evotools relay a.ts rtmp://ho", "evotools relay a.ts rtmp://ho"),
        ("evotools help uri:ud", "evotools help uri:udp "),
        ("evotools completion fi", "evotools completion fish "),
        ("evotools serve --set hub.gr", "evotools serve --set hub.grace="),
        ("evotools serve --set=hub.gr", "evotools serve --set=hub.grace="),
        ("evotools probe my", "evotools probe my\\ film.mp4 "),
        ("evotools probe clips/", "evotools probe clips/one.ts "),
        ("evotools relay --track audio:l", "evotools relay --track audio:lang="),
        ("evotools relay --duration cli", "evotools relay --duration cli"),
        ("evotools relay -- evo", "evotools relay -- evotools.toml "),
        ("evotools version --js", "evotools version --json "),
    ],
)
def test_a_tab_completes(shell: Shell, line: str, made: str) -> None:
    assert shell.complete(line)[0].rstrip() == made.rstrip()


def test_two_tabs_show_what_there_is(shell: Shell) -> None:
    shown = shell.complete("evotools ", "\t\t")[1]
    for name in COMMANDS:
        assert name in shown
    shown = shell.complete("evotools probe --max-", "\t\t")[1]
    for option in ("--max-gop", "--max-gap", "--max-skew"):
        assert option in shown
    shown = shell.complete("evotools relay -i ", "\t\t")[1]
    for word in ("rtsp://", "test:", "evotools.toml", "clips"):
        assert word in shown
    assert "null:" not in shown


BASH_CASES = {
    "evotools relay --latency ": ["normal", "low"],
    "evotools relay --latency=": ["--latency=normal", "--latency=low"],
    "evotools -": [*(f for o in GLOBAL_OPTIONS for f in o.flags), "-h", "--help", "-V", "--version"],
    "evotools relay --duration ": [],
    "evotools nosuch ": [],
    "evotools relay -f mk": ["mkv"],
    "evotools help uri:rtm": ["uri:rtmp", "uri:rtmps", "uri:rtmpt"],
    "evotools --events ": ["stderr", "fd:", "clips", "completions", "evotools.toml", "man", "my film.mp4"],
}


@pytest.mark.parametrize("line", BASH_CASES)
def test_bash_offers(line: str, folder: Path) -> None:
    assert sorted(bash(line, folder)) == sorted(BASH_CASES[line])


FISH_CASES = {
    "evotools relay --latency ": ["low", "normal"],
    "evotools relay --latency=l": ["--latency=low"],
    "evotools vid": ["videogen"],
    "evotools --log-format json rel": ["relay"],
    "evotools --config evotools.toml relay --fail": ["--fail-fast"],
    "evotools help rel": ["relay"],
    "evotools help relay rel": [],
    "evotools completion ": ["bash", "fish", "zsh"],
    "evotools relay a.ts rtmp": ["rtmp://", "rtmps://"],
    "evotools relay -i test": ["test:"],
    "evotools serve --set hub.gr": ["hub.grace="],
    "evotools probe my": ["my film.mp4"],
    "evotools videogen --no-cl": ["--no-clock"],
    "evotools relay --duration cl": [],
}


@pytest.mark.parametrize("line", FISH_CASES)
def test_fish_offers(line: str, folder: Path) -> None:
    assert sorted(fish(line, folder)) == sorted(FISH_CASES[line])


def test_every_option_of_every_command_completes_in_every_shell(folder: Path) -> None:
    for doc in documents():
        flags = {flag for option in doc.options for flag in (*option.flags, *option.off)}
        assert flags <= set(bash(f"evotools {doc.name} -", folder)), doc.name
    lines = " ".join(f"'evotools {doc.name} --'" for doc in documents())
    ask = f"source {SCRIPTS['fish']}; for line in {lines}; complete -C $line; echo; end"
    done = subprocess.run(
        [need("fish"), "--no-config", "-c", ask],
        capture_output=True, text=True, timeout=30, check=True, cwd=folder,
        env={**ENVIRONMENT, "HOME": str(folder)},
    )  # fmt: skip
    for doc, offered in zip(documents(), done.stdout.split("\n\n"), strict=False):
        flags = {f for option in doc.options for f in (*option.flags, *option.off) if f.startswith("--")}
        assert flags <= {entry.split("\t")[0] for entry in offered.splitlines()}, doc.name
    script = MADE[SCRIPTS["zsh"]]
    for doc in documents():
        branch = script.partition(f"        ({doc.name})\n")[2].partition(";;")[0]
        for option in doc.options:
            for flag in (*option.flags, *option.off):
                assert re.search(rf"['){{*]{re.escape(flag)}[=+]?\[", branch), (doc.name, flag)


def test_completing_starts_no_python() -> None:
    for path, _ in generate.COMPLETIONS.values():
        script = MADE[path]
        assert "python" not in script.lower()
        assert not re.search(r"\$\(\s*evotools|<\(\s*evotools|\(evotools ", script)


def test_help_and_completion_are_quick() -> None:
    """No figure to hold: only that nothing heavy is imported."""
    code = (
        "import sys; from evotools.cli import run; run(['completion', 'bash']); run(['help', 'uri:rtmp']);"
        "print([m for m in ('av', 'asyncio', 'rich', 'tqdm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30, check=True)
    assert done.stdout.splitlines()[-1] == b"[]"
