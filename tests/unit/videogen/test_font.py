"""The letters: complete, legible, inside their cells."""

import pytest

from evotools.videogen.font import BLACK, GLYPHS, WHITE, cell_size, glyph


def bitmap(character: str, width: int) -> list[list[int | None]]:
    """Luma of each pixel of the cell; None where the picture shows through."""
    cell_width, cell_height = cell_size(width)
    cells: list[list[int | None]] = [[None] * cell_width for _ in range(cell_height)]
    for row, column, values in glyph(character, width).luma:
        assert column >= 0
        assert column + len(values) <= cell_width
        for i, value in enumerate(values):
            cells[row][column + i] = value
    return cells


@pytest.mark.parametrize("width", [9, 15, 24, 58, 116])
@pytest.mark.parametrize("character", sorted(GLYPHS - {" "}))
def test_white_letters_with_a_black_outline(character: str, width: int) -> None:
    cells = bitmap(character, width)
    shown = [v for row in cells for v in row if v is not None]
    assert max(shown) > 150
    assert min(shown) < 70
    if width >= 15:
        assert WHITE in shown
        for y, row in enumerate(cells):
            for x, value in enumerate(row):
                if value is None or value < 200:
                    continue
                # White never touches the picture: the outline is in between.
                for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
                    if 0 <= y + dy < len(cells) and 0 <= x + dx < len(row):
                        assert cells[y + dy][x + dx] is not None


def test_letters_differ() -> None:
    for width in (8, 24):
        seen = {str(bitmap(c, width)) for c in GLYPHS}
        assert len(seen) == len(GLYPHS)


def test_chroma_spans_cover_the_letters() -> None:
    cell_width, cell_height = cell_size(24)
    covered = {(row, x) for row, column, values in glyph("8", 24).chroma for x in range(column, column + len(values))}
    assert all(0 <= row < cell_height // 2 and 0 <= x < cell_width // 2 for row, x in covered)
    for y, row in enumerate(bitmap("8", 24)):
        for x, value in enumerate(row):
            if value is not None and value > BLACK:
                assert (y // 2, x // 2) in covered


def test_unknown_characters_are_blank() -> None:
    assert glyph("é", 24).luma == [] == glyph(" ", 24).luma


@pytest.mark.parametrize("width", range(1, 130))
def test_cells_are_even(width: int) -> None:
    cell_width, cell_height = cell_size(width)
    assert cell_width % 2 == 0 == cell_height % 2
