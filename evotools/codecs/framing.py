"""Cuts byte streams of self-delimiting audio frames (ADTS, MPEG audio) whose syncword begins with 0xFF."""

from collections.abc import Callable


def cut(
    data: bytes, need: int, length_of: Callable[[bytes, int], int], follows: Callable[[bytes, int, int], bool]
) -> tuple[list[tuple[int, int]], int]:
    """((start, end) of every whole frame, where the rest begins).

    `length_of(data, position)` is the frame's length by its header of `need` bytes, 0 where no header stands;
    `follows(data, first, second)` says whether two headers belong to one stream. A header is sound when another
    follows its frame. In sync every header is taken; a frame that no header follows is dropped when a sound one
    begins inside, for then its bytes were lost. After a loss sound headers go before mere syncwords, which are
    frequent in any data. Takes linear time whatever the data.
    """
    spans: list[tuple[int, int]] = []
    position, total = 0, len(data)
    sound = -1
    in_sync = True
    while total - position >= need:
        length = length_of(data, position)
        following = position + length
        if length:
            if following > total and in_sync:
                break
            if following <= total and (following + need > total or follows(data, position, following)):
                spans.append((position, following))
                position, in_sync = following, True
                continue
        if sound <= position:
            sound = _next_sound(data, position + 1, need, length_of, follows)
        if length and sound >= following:
            if following > total:
                break
            spans.append((position, following))
            position = following
        elif sound < total:
            position, in_sync = sound, False
        elif length and following > total:
            break
        else:
            in_sync = False
            position = data.find(b"\xff", position + 1)
            if position < 0:
                position = total
    return spans, position


def _next_sound(
    data: bytes,
    position: int,
    need: int,
    length_of: Callable[[bytes, int], int],
    follows: Callable[[bytes, int, int], bool],
) -> int:
    """Where the next sound header begins; the end of the data when there is none."""
    total = len(data)
    while True:
        position = data.find(b"\xff", position)
        if position < 0 or position + need > total:
            return total
        length = length_of(data, position)
        if length and position + length + need <= total and follows(data, position, position + length):
            return position
        position += 1
