"""A second reader of ``.smic`` files, written from the specification, ``docs/format.md``, alone.

It uses Python's integers and nothing of the package, so what it reads alike is what the description
says. The stack of unordered archives follows the publication of constriction's ``AnsCoder`` (Bamler
2022, arXiv 2201.01741) and does not call it. It is slow.
"""

from __future__ import annotations

import lzma
import re
import struct
import zlib
from dataclasses import dataclass

TOTAL = 1 << 24
THRESHOLDS = [16, 23, 32, 45, 64, 91, 128, 181, 256]
THRESHOLDS += [362, 512, 724, 1024, 1448, 2048, 2896, 4096]
QUARTERS = [q for q in range(-8, 9) if q]
ENCODERS = {0: "ViT-B-32/openai", 2: "ViT-L-14/openai"}  # those that the tests write


class Bytes:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        self.at += count
        assert self.at <= len(self.data)
        return self.data[self.at - count : self.at]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def check(self, start: int) -> None:
        wanted = zlib.crc32(self.data[start : self.at])
        assert struct.unpack("<I", self.take(4))[0] == wanted


def table(weights: list[int]) -> list[int]:
    while sum(weights) >= 1 << 38:
        weights = [w >> 1 for w in weights]
    if not any(weights):
        weights = [1] * len(weights)
    n = len(weights)
    widths = [1 + w * (TOTAL - n) // sum(weights) for w in weights]
    widths[widths.index(max(widths))] += TOTAL - sum(widths)
    return widths


class Stream:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data + bytes(8), 8
        self.range, self.point = 2**64 - 1, int.from_bytes(self.data[:8], "big")

    def target(self) -> int:
        found = self.point // (self.range >> 24)
        assert found < TOTAL
        return found

    def advance(self, left: int, width: int) -> None:
        scale = self.range >> 24
        self.point -= scale * left
        self.range = scale * width
        if self.range < 2**32:
            word = (self.data[self.at : self.at + 4] + bytes(4))[:4]
            self.range <<= 32
            self.point = self.point << 32 | int.from_bytes(word, "big")
            self.at += 4

    def symbol(self, widths: list[int]) -> int:
        if len(widths) == 1:
            return 0
        target, left, symbol = self.target(), 0, 0
        while left + widths[symbol] <= target:
            left += widths[symbol]
            symbol += 1
        self.advance(left, widths[symbol])
        return symbol

    def uniform(self, n: int) -> int:
        return self.symbol(table([1] * n))

    def adaptive(self, weights: list[int]) -> int:
        symbol = self.symbol(table(weights))
        weights[symbol] += 32
        return symbol

    def run(self, count: int, below: int) -> list[int]:
        parameter, weights = self.uniform(31), [1 << 30]
        while len(weights) < below:
            weights.append(weights[-1] * 2048 * (parameter + 1) >> 16)
        widths = table(weights)
        return [self.symbol(widths) for _ in range(count)]

    def tables(self, k: int, max_level: int, most: int) -> tuple[list[int], ...]:
        index, usual = self.level_table(k), self.uniform(81) - 40
        odds = [usual + ((x + 1) // 2 if x % 2 else -(x // 2)) for x in self.run(k, 161)]
        return index, odds, self.level_table(2 * max_level - 1), self.level_table(most + 1)

    def coefficient(self, odds: int, others: list[int]) -> int:
        if not self.symbol(table([weight(1 + max(0, -odds)), weight(1 + max(0, odds))])):
            return 1
        level = self.symbol(others) - (len(others) + 1) // 2
        return level if level < 0 else level + 2

    def level_table(self, n: int) -> list[int]:
        """The weights of its levels."""
        level, weights = self.uniform(256), []
        for x in self.run(n, 90):
            level += (x + 1) // 2 if x % 2 else -(x // 2)
            weights.append(weight(level))
        return weights


class Stack(Stream):
    """An ANS coder as a stack: a state of 64 bits above words of 32 bits."""

    def __init__(self, data: bytes) -> None:
        assert len(data) % 4 == 0
        self.words = [int.from_bytes(data[i : i + 4], "big") for i in range(0, len(data), 4)]
        self.state = 0
        self.refill()

    def refill(self) -> None:
        while self.state < 2**32 and self.words:
            self.state = self.state << 32 | self.words.pop()

    def target(self) -> int:
        return self.state % TOTAL

    def advance(self, left: int, width: int) -> None:
        self.state = (self.state >> 24) * width + self.target() - left
        self.refill()

    def push(self, left: int, width: int) -> None:
        if self.state >> 40 >= width:
            self.words.append(self.state % 2**32)
            self.state >>= 32
        self.state = self.state // width * TOTAL + left + self.state % width

    def alike(self, value: int, n: int) -> tuple[int, int]:
        """The interval of a number below n, all alike: the last one takes what is left over."""
        width = TOTAL // n
        return value * width, width if value < n - 1 else TOTAL - value * width

    def pop_number(self, n: int) -> int:
        if n == 1:
            return 0
        value = min(self.target() // (TOTAL // n), n - 1)
        self.advance(*self.alike(value, n))
        return value

    def push_number(self, value: int, n: int) -> None:
        if n > 1:
            self.push(*self.alike(value, n))


def weight(level: int) -> int:
    return (256 if level % 2 else 362) << ((level - 1) // 2) if level else 0


def first_counts() -> list[list[int]]:
    counts = []
    for c in range(18):
        mean = (18 if c % 2 else 13) << c // 2
        w, row = 2**20, []
        total = w * (mean + 256) // 256
        for _ in range(16):
            row.append(1 + 128 * w // total)
            w = w * mean // (mean + 256)
        counts.append(row)
    return counts


def read_rows(stream: Stream, k: int, d: int, prior: Prior | None) -> list[list[float]]:
    public, profile = ([], None) if prior is None else (prior.atoms, prior.profile)
    steps = [1 + (64 >> min(abs(s - 128), 6)) for s in range(257)]
    numbers, quarters = [64 >> t for t in range(7)], [32 >> min(abs(q), 5) for q in QUARTERS]
    counts, sums, rows, exponent = first_counts(), [0] * d, [], 0
    for j in range(k):
        exponent = exponent + stream.adaptive(steps) - 128 if j else stream.uniform(128) - 80
        terms = []
        for _ in range(stream.adaptive(numbers) if public or j else 0):
            terms.append((stream.uniform(len(public) + j), QUARTERS[stream.adaptive(quarters)]))
        step = max(1, round(2 ** (exponent / 4) * 2**24))
        start = profile or [sum(sums) // (d * j) if j else step] * d
        tables, learned, levels = [table(row) for row in counts], [], []
        seen = hoped = 0
        for i in range(d):
            e = min(((sums[i] + 4 * start[i]) // (j + 4) << 8) // step, 8192)
            c = sum(t <= e * ((seen + 8) << 8) // (hoped + 2048) for t in THRESHOLDS)
            level = stream.symbol(tables[c])
            learned.append((c, level))
            seen, hoped = seen + level, hoped + e
            if level == 15:
                length = stream.symbol(table([2 ** (20 - b) for b in range(21)]))
                level = 14 + sum([stream.uniform(2) << b for b in range(length)], 1 << length)
            levels.append(-level if level and stream.uniform(2) else level)
        for i, (c, level) in enumerate(learned):
            counts[c][level] += 24
            sums[i] += min(abs(levels[i]), 2**16) * step
        row = [level * 2 ** (exponent / 4) for level in levels]
        for source, quarter in terms:
            known = [*public, *rows][source]
            row = [a + quarter / 4 * b for a, b in zip(row, known, strict=True)]
        rows.append(row)
    return rows


def polynomials(weights: list[int], most: int) -> list[list[tuple[int, int]]]:
    k = len(weights)
    out = [[(1, 0)] * (k + 1)]
    for _ in range(most):
        row = [(0, 0)] * (k + 1)
        for i in range(k - 1, -1, -1):
            (a, sa), (mantissa, sb) = row[i + 1], out[-1][i + 1]
            s = max(sa, sb)
            value = (a >> min(s - sa, 62)) + (weights[i] * mantissa >> min(s - sb, 62))
            while value >= 2**31:
                value, s = value >> 1, s + 1
            row[i] = value, s
        out.append(row)
    return out


def read_index(stream: Stream, degree: list[tuple[int, int]], first: int, last: int) -> int:
    if first == last:
        return first
    whole, shift = degree[first]

    def left(i: int) -> int:
        still = degree[i][0] >> min(shift - degree[i][1], 31)
        return i - first + (whole - still) * (TOTAL - (last - first + 1)) // whole

    target, index = stream.target(), first
    while left(index + 1) <= target:
        index += 1
    stream.advance(left(index), left(index + 1) - left(index))
    return index


def read_names(data: bytes, n: int) -> list[str]:
    reader = Bytes(data)
    kind, text = reader.take(1)[0], data[1:]
    if kind:
        length = reader.varint()
        rest = data[reader.at :]
        properties = {"id": lzma.FILTER_LZMA1, "dict_size": 1 << 20, "lc": 3, "lp": 0, "pb": 0}
        expand = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[properties])
        text = zlib.decompress(rest, -15) if kind == 1 else expand.decompress(rest)
        assert len(text) == length
    reader = Bytes(text)
    cuts, tails = ([reader.varint() for _ in range(n)] for _ in range(2))
    names, before = [], b""
    for cut, tail, middle in zip(cuts, tails, text[reader.at :].split(b"\0"), strict=True):
        numbers = [m for m in re.finditer(rb"[0-9]+", before) if len(m[0]) <= 18]
        guess, last = before, re.search(rb"[0-9]+(?=[^0-9]*\Z)", before)
        if numbers and last and last.span() == numbers[-1].span():
            following = str(int(last[0]) + 1).zfill(len(last[0])).encode()
            guess = before[: last.start()] + following + before[last.end() :]
        before = guess[: len(guess) - cut - tail] + middle + guess[len(guess) - tail :]
        names.append(before.decode())
    return names


@dataclass
class Prior:
    profile: list[int]
    atoms: list[list[float]]


@dataclass
class Content:
    encoder: str
    mean: list[float]
    atoms: list[list[float]]
    items: list[tuple[list[int], list[int]]]
    names: list[str]
    distortion: list[float]
    skipped: list[int]


def read_sections(file: Bytes) -> list[tuple[int, bool, bytes]]:
    """Type, whether it must be understood, and content of each section of a list."""
    sections = []
    while tag := file.varint():
        assert tag > 1
        sections.append((tag // 2, tag % 2 == 1, file.take(file.varint())))
    return sections


def read_distortion(data: bytes, n: int) -> list[float]:
    stream = Stream(data)
    first, span = stream.uniform(512), stream.uniform(512)
    widths = table(stream.level_table(span + 1))
    levels = [first + stream.symbol(widths) for _ in range(n)]
    return [2 ** ((v - 257) / 8) if v else 0.0 for v in levels]


def read_inter(
    stream: Stream, n: int, degrees: list, largest: int, odds: list[int], others: list[int]
) -> list[tuple[list[int], list[int]]]:
    flags = [[8, 8] for _ in range(9)]
    more = [[[8, 8] for _ in range(largest)] for _ in range(4)]
    structure: list[tuple[list[int], int]] = []
    size = before = 0

    def read_flag(counts: list[int]) -> int:
        zero = 1 + counts[0] * (TOTAL - 2) // sum(counts)
        flag = stream.symbol([zero, TOTAL - zero])
        counts[flag] += 16
        return flag

    for _ in range(n):
        kept: list[int] = []
        for _ in range(size):
            kept.append(read_flag(flags[3 * min(sum(kept), 2) + min(before, 2)]))
        new = 0
        while sum(kept) + new < largest and read_flag(more[min(sum(kept), 3)][new]):
            new += 1
        structure.append((kept, new))
        size, before = sum(kept) + new, sum(kept)
    items: list[tuple[list[int], list[int]]] = []
    for kept, new in structure:
        indices = [i for i, flag in zip(items[-1][0], kept, strict=True) if flag] if items else []
        first = 0
        for remaining in range(new, 0, -1):
            indices.append(read_index(stream, degrees[remaining], first, len(odds) - remaining))
            first = indices[-1] + 1
        indices = sorted(indices)
        items.append((indices, [stream.coefficient(odds[i], others) for i in indices]))
    return items


def read_unordered(
    data: bytes, n: int, degrees: list, sizes: list[int], odds: list[int], others: list[int]
) -> list[tuple[list[int], list[int]]]:
    stack = Stack(data)
    items: list[tuple[int, list[int], list[int]]] = []
    for count in range(1, n + 1):
        size, indices, first = stack.symbol(sizes), [], 0
        for remaining in range(size, 0, -1):
            indices.append(read_index(stack, degrees[remaining], first, len(odds) - remaining))
            first = indices[-1] + 1
        item = (size, indices, [stack.coefficient(odds[i], others) for i in indices])
        items = sorted([*items, item])
        place = items.index(item) + stack.pop_number(items.count(item))
        stack.push_number(place, count)
    assert not stack.state and not stack.words
    return [(indices, levels) for _, indices, levels in items]


def read(data: bytes, prior: Prior | None = None) -> Content:
    """Indices and coefficients of each item; mean and atoms before a prior's axes."""
    file = Bytes(data)
    assert file.take(4) == b"SMIC"
    version = file.take(1)[0]
    assert version in (6, 7)
    d, k, max_level, most, flags = (file.varint() for _ in range(5))
    file.take(8 + 4 * bool(flags & 4) + 8 * bool(flags & 8))
    number = file.varint()
    encoder = ENCODERS[number] if number < 32 else file.take(number - 32).decode()
    listed = version == 7 and flags & 32
    sections = read_sections(file) if listed else []
    stream = Stream(file.take(file.varint()))
    file.check(0)
    if version == 7:
        assert not stream.symbol(table([240] + [1] * 15))
    shared = stream.tables(k, max_level, most)
    mean, atoms = read_rows(stream, 1, d, prior)[0], read_rows(stream, k, d, prior)
    out = Content(encoder, mean, atoms, [], [], [], [])
    start = file.at - 4
    while n := file.varint():
        codes = file.take(file.varint())
        names = file.take(file.varint()) if flags & 1 else None
        of_block = read_sections(file) if listed else []
        file.check(start)
        sections += [section for section in of_block if section[0] != 1]
        for kind, _, content in of_block:
            if kind == 1:
                out.distortion += read_distortion(content, n)
        start = file.at - 4
        tables, ordered = shared, not flags & 16
        stream = Stream(codes)
        if ordered and stream.uniform(2):
            tables = stream.tables(k, max_level, most)
        degrees = polynomials([max(1, w) for w in tables[0]], most)
        odds, others, sizes = tables[1], table(tables[2]), table(tables[3])
        if not ordered:
            out.items += read_unordered(codes, n, degrees, sizes, odds, others)
            n = 0
        elif stream.uniform(2):
            largest = min(k, max([0, *(m for m, w in enumerate(tables[3]) if w)]))
            out.items += read_inter(stream, n, degrees, largest, odds, others)
            n = 0
        for size in [stream.symbol(sizes) for _ in range(n)]:
            indices, first = [], 0
            for remaining in range(size, 0, -1):
                indices.append(read_index(stream, degrees[remaining], first, k - remaining))
                first = indices[-1] + 1
            out.items.append((indices, [stream.coefficient(odds[i], others) for i in indices]))
        if names is not None:
            out.names += read_names(names, len(out.items) - len(out.names))
    file.check(start)
    assert file.at == len(data)
    assert not any(required for _, required, _ in sections)
    assert len(out.distortion) in (0, len(out.items))
    out.skipped = sorted({kind for kind, _, _ in sections})
    return out
