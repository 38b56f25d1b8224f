"""The manual pages of section 1: the program and its commands."""

import re

from evotools.commands.docs import overview, uris
from evotools.commands.docs.model import GENERAL, Document, Parameter, global_parameters, program_parameters
from evotools.commands.docs.roff import Page, bold, code, italic, words
from evotools.commands.globals import ENVIRONMENT, EXIT_CODES, FILES

VALUES = {
    "Durations (D)": "500ms, 6s, 2m, 1h30m, 00:01:30.5, or seconds.",
    "Rates": "Decimal bits per second: 800k, 3M, 1.5G.",
    "Sizes": "Bytes: 512, 500KB, 10MB, 64MiB.",
    "Tracks (SEL)": "video, audio:1 (the second one), audio:lang=de, video:max, #3 (by number), a codec such as h264, "
    "all, none.",
    "Containers (FMT)": "A name that evotools formats lists; ffmpeg's names work.",
}
SIGNALS = (
    "The first SIGINT (Ctrl-C) or SIGTERM ends a command in order: what was read is sent on, files and manifests are "
    "finished, peers are told. The second ends it at once. serve exits with 0 after SIGTERM and reads its "
    "configuration again at SIGHUP."
)
PRECEDENCE = (
    "Options in the query of a URI beat options of the command line, which beat EVOTOOLS_<OPTION> in the environment, "
    "which beats the file of --config, the user's file and the system's."
)
PIPES = (
    "Between commands flows MPEG-TS, or Matroska when a track has no name in MPEG-TS; every reader looks at the bytes. "
    "Standard output carries media or a report and nothing else; messages go to standard error. Media is never written "
    "to a terminal."
)

_MANY = r"...\&"
"""May be given again; no end of a sentence."""


def command_page(doc: Document) -> str:
    """evotools-NAME(1)."""
    page = Page(f"evotools-{doc.name}", 1, doc.summary)
    page.section("Synopsis")
    parts = [_synopsis(option) for option in doc.options] + [_argument(argument) for argument in doc.arguments]
    page.synopsis(rf"\fBevotools\fR [\fIglobal options\fR] \fB{code(doc.name)}\fR", parts)
    page.section("Description")
    for paragraph in (*doc.paragraphs, *doc.notes):
        page.paragraph(paragraph)
    if doc.arguments:
        page.section("Arguments")
        for argument in doc.arguments:
            page.tagged(italic(argument.metavar) + (_MANY if argument.repeats else ""), _meaning(argument))
    if doc.options:
        page.section("Options")
        for group, options in doc.groups.items():
            if group != GENERAL or len(doc.groups) > 1:
                page.subsection(group)
            for option in options:
                _option(page, option)
    if doc.stdout:
        page.section("Standard output")
        page.paragraph(doc.stdout[:1].upper() + doc.stdout[1:])
    page.section("Exit status")
    for exit_code, meaning in doc.exits:
        page.tagged(bold(str(exit_code)), _sentence(meaning))
    if doc.examples:
        page.section("Examples")
        for example in doc.examples:
            page.example(example)
    related = [f"evotools-{name}(1)" for name in doc.related]
    config = ["evotools.toml(5)"] if doc.configured or doc.name == "serve" else []
    page.see_also(["evotools(1)", *related, *config, "evotools-uris(7)"])
    return page.text()


def program_page(docs: list[Document]) -> str:
    """evotools(1)."""
    page = Page("evotools", 1, overview.SUMMARY[:1].lower() + overview.SUMMARY[1:].rstrip("."))
    page.section("Synopsis")
    page.synopsis(r"\fBevotools\fR", [r"[\fIglobal options\fR]", r"\fIcommand\fR", r"[\fIoptions\fR]",
                                      r"[\fIargument\fR...]"])  # fmt: skip
    page.section("Description")
    page.paragraph(overview.SUMMARY)
    page.paragraph(PIPES)
    page.paragraph("A word that is no command runs the program evotools-WORD, where there is one on the PATH.")
    page.section("Commands")
    for doc in docs:
        page.tagged(f"{bold(f'evotools-{doc.name}')}(1)", _sentence(doc.summary))
    page.section("Options")
    page.subsection("Before or after the command")
    for option in global_parameters():
        _option(page, option)
    page.subsection("In place of a command")
    for option in program_parameters():
        _option(page, option)
    page.section("Values")
    for name, meaning in VALUES.items():
        page.tagged(words(name), meaning)
    page.section("URIs")
    page.paragraph(f"Sources and destinations are URIs or names of files. {uris.LISTENING} evotools-uris(7) has all.")
    page.section("Exit status")
    for exit_code, meaning in EXIT_CODES.items():
        page.tagged(bold(str(exit_code)), _sentence(meaning))
    page.section("Signals")
    page.paragraph(SIGNALS)
    page.section("Environment")
    for name, meaning in ENVIRONMENT.items():
        page.tagged(bold(name), meaning)
    page.paragraph(PRECEDENCE)
    page.section("Files")
    for name, meaning in FILES.items():
        page.tagged(italic(name), meaning)
    page.section("Examples")
    for example in overview.EXAMPLES:
        page.example(example)
    page.see_also([*(f"evotools-{doc.name}(1)" for doc in docs), "evotools.toml(5)", "evotools-uris(7)"])
    return page.text()


def metavar(text: str) -> str:
    """Placeholders in italics, words to be typed in bold: `N|forever`."""
    parts = re.split(r"([\[\]|,:@=…])", text)
    marked = (bold(p) if re.fullmatch(r"[a-z0-9][a-z0-9.-]*", p) else italic(p) for p in parts[::2])
    # A long list of words may be broken behind a bar.
    between = (words(part).replace("|", r"|\:") for part in parts[1::2])
    return "".join(a + b for a, b in zip(marked, [*between, ""], strict=True))


def _synopsis(option: Parameter) -> str:
    name = option.flags[0]
    if option.metavar:
        body = rf"{bold(name)}\ {metavar(option.metavar)}"
    elif option.off and option.off[0] == f"--no-{option.long[2:]}":
        body = rf"\fB\-\-\fR[\fBno\-\fR]{bold(option.long[2:])}"
    else:
        body = "|".join(map(bold, (name, *option.off)))
    return f"[{body}]{_MANY if option.repeats else ''}"


def _argument(argument: Parameter) -> str:
    body = metavar(argument.metavar) + (_MANY if argument.repeats else "")
    return body if argument.required else f"[{body}]"


def _option(page: Page, option: Parameter) -> None:
    names = ", ".join(map(bold, (*option.flags, *option.off)))
    page.tagged(names + (f" {metavar(option.metavar)}" if option.metavar else ""), *_facts(option))


def _facts(given: Parameter) -> list[str]:
    facts = [f"Default: {given.default}."] if given.default else []
    if given.env:
        facts.append(f"Environment: {given.env}.")
    return [given.help, " ".join(facts)] if facts else [given.help]


def _meaning(given: Parameter) -> str:
    return f"{given.help} Default: {given.default}." if given.default else given.help


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."
