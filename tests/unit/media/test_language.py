"""Language codes of containers as tags of manifests."""

import pytest

from evotools.media.language import bcp47, iso639


@pytest.mark.parametrize(
    ("code", "tag"),
    [
        ("eng", "en"), ("ENG", "en"), ("deu", "de"), ("ger", "de"), ("zho", "zh"), ("chi", "zh"), ("gsw", "gsw"),
        ("en", "en"), ("pt-BR", "pt-BR"), ("por-BR", "pt-BR"), ("zxx", "zxx"), ("und", ""), ("", ""), ("e", ""),
        ('e"n', ""), ("eng\n", ""), ("deutsch", ""),
    ],
)  # fmt: skip
def test_tags(code: str, tag: str) -> None:
    assert bcp47(code) == tag


def test_codes_of_tags() -> None:
    tags = ("de", "de-AT", "EN-us", "fr", "deu", "gsw", "zh-Hant", "und", "", "no tag", "xx")
    assert [iso639(tag) for tag in tags] == ["deu", "deu", "eng", "fra", "deu", "gsw", "zho", "", "", "", ""]
