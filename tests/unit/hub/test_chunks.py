from evotools.hub.chunks import PIECE_BYTES, ChunkLog


def log(keep_s: float = 10.0, max_bytes: int = 10**9, max_items: int = 10**6) -> ChunkLog:
    made = ChunkLog(keep_s, max_bytes, max_items)
    made.begin_epoch(b"head", b"")
    return made


def fill(made: ChunkLog, count: int, *, size: int = 10, group: int = 5, start: int = 0) -> None:
    for n in range(start, start + count):
        if n % group == 0:
            made.mark(float(n))
        made.append(bytes([n % 256]) * size, float(n))


def test_indices_and_byte_positions_survive_trimming() -> None:
    made = log(keep_s=0.0)
    fill(made, 23)
    made.trim(made.end)
    assert (made.base, made.end, made.size) == (20, 23, 30)
    assert made.before(21) == 210
    assert made.before(3) == 200
    assert made.piece(20, 22) == bytes([20]) * 10 + bytes([21]) * 10


def test_trimming_stops_at_the_head() -> None:
    made = log(keep_s=0.0)
    fill(made, 23)
    made.trim(7)
    assert made.base == 5


def test_pieces_are_joined_once_until_forgotten() -> None:
    made = log()
    fill(made, 5)
    assert made.piece(1, 4) is made.piece(1, 4)
    assert made.joins == 1
    made.forget()
    made.piece(1, 4)
    assert made.joins == 2


def test_pieces_are_cut_at_whole_chunks() -> None:
    made = log()
    fill(made, 10, size=100_000)
    stops = [0]
    while stops[-1] < 10:
        stops.append(made.stop(stops[-1], 10))
    assert stops == [0, 2, 4, 6, 8, 10]
    made.append(bytes(PIECE_BYTES * 3), 10.0)
    assert made.stop(10, 11) == 11


def test_the_byte_cap_holds_even_for_one_endless_group() -> None:
    made = log(max_bytes=1000)
    fill(made, 1000, group=10**9)
    assert made.size <= 1000
    assert len(made.marks) == 0


def test_the_item_cap_holds_for_empty_epochs() -> None:
    made = log(max_items=20)
    for _ in range(500):
        made.begin_epoch(b"j", b"c")
    assert made.end - made.base <= 20
    assert len(made.epochs) <= 22


def test_epochs_by_index() -> None:
    made = log(keep_s=0.0)
    fill(made, 5)
    made.begin_epoch(b"second", b"change")
    made.mark(6.0)
    made.append(b"x", 6.0)
    assert made.epoch_at(4).join == b"head"
    assert made.epoch_at(6).join == b"second"
    assert (made.epoch_read(5), made.epoch_read(6)) == (1, 2)
    made.trim(made.end)
    assert made.base == 6
    assert made.epoch_at(6).join == b"second"
    assert made.epoch_read(6) == 2
