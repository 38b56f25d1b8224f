"""Language codes of containers as tags of manifests."""

import pytest

from evotools.packaging.language import bcp47


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
