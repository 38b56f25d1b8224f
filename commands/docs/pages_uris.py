"""evotools-uris(7), from the registry of endpoints."""

from evotools.commands.docs import uris
from evotools.commands.docs.roff import Page, bold, italic
from evotools.endpoints.registry import FOREIGN
from evotools.uri import SECRET_NAMES


def uris_page() -> str:
    """The page."""
    docs = uris.scheme_docs()
    ours = [doc for doc in docs if doc.name not in FOREIGN]
    foreign = [doc for doc in docs if doc.name in FOREIGN]
    page = Page("evotools-uris", 7, "sources and destinations of evotools")
    page.section("Description")
    page.paragraph(
        "Commands, routes and streams of evotools name what they read and write by URIs. A text without a scheme is "
        "the name of a file; ./rtmp:x is the file rtmp:x."
    )
    page.subsection("Listening and calling")
    page.paragraph(uris.LISTENING)
    page.subsection("Options")
    page.paragraph(uris.QUERY)
    page.subsection("Placeholders")
    page.paragraph(uris.PLACEHOLDERS)
    page.subsection("Named endpoints")
    page.paragraph(uris.NAMED)
    page.section("Schemes")
    for doc in ours:
        _scheme(page, doc)
    page.section("Read through libav")
    page.paragraph(
        "With TLS certificates verified, with the network protocols that the scheme needs and no others; never written."
    )
    for doc in foreign:
        page.tagged(bold(doc.form), _sentence(doc.summary))
    page.paragraph("Options of these:")
    options: dict[str, str] = {}
    for doc in foreign:
        options.update(doc.options)
    for name, meaning in options.items():
        having = [doc.name for doc in foreign if name in doc.options]
        only = "" if len(having) == len(foreign) else f" Of {', '.join(having)} only."
        page.tagged(bold(name), meaning + only)
    page.section("Secrets")
    page.paragraph(uris.SECRETS)
    page.paragraph(f"Names of options that are taken for keys: {', '.join(sorted(SECRET_NAMES))}.")
    page.section("Examples")
    page.example("evotools relay -i rtmp://:1935/live/show 'rtmp://live.example/app/{env:KEY}' show.flv")
    page.example("evotools ingest 'udp://239.1.1.1:5000?iface=eth1' -o - | mpv -")
    page.example("evotools probe 'rtsp://camera/main?transport=udp'")
    page.see_also(["evotools(1)", "evotools.toml(5)"])
    return page.text()


def _scheme(page: Page, doc: uris.SchemeDoc) -> None:
    page.subsection(doc.form)
    facts = [_sentence(doc.summary), f"{doc.directions.capitalize()}."]
    if doc.listens:
        facts.append("An empty or wildcard host listens.")
    if doc.local:
        facts.append("From the command line and the configuration file only, never through an API.")
    page.paragraph(" ".join(facts))
    page.example(doc.example)
    for name, meaning in doc.options.items():
        page.tagged(bold(name), meaning)
    if doc.name == "test":
        page.tagged(", ".join(bold(prefix) + italic("NAME") for prefix in ("v.", "a.", "opt.")),
                    "Options of the video encoders, of the audio encoders, of those that know them.")  # fmt: skip
    if doc.name in uris.KEEPS_QUERY:
        page.paragraph("Other names in the query go to the peer.")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
