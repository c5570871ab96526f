"""Numbers, times and addresses out of text, exactly: each reads buffer[begin:end] as a whole or says that it cannot."""

import numpy as np
from numba import njit

_DOT, _COLON, _DASH, _ZERO = 46, 58, 45, 48
_SECONDS_MAX = 9_000_000_000
_BAD = -1


@njit(cache=True)
def read_time(buffer, begin, end):
    """Decimal seconds as whole nanoseconds, digits beyond them cut off. Returns (nanoseconds, whether it is a number)."""
    negative = end > begin and buffer[begin] == _DASH
    point = begin + negative
    while point < end and buffer[point] != _DOT:
        point += 1
    seconds = read_number(buffer, begin + negative, point, _SECONDS_MAX)
    if seconds < 0:
        return np.int64(0), False
    fraction, unit = np.int64(0), 100_000_000
    for i in range(point + 1, end):
        digit = np.int64(buffer[i]) - _ZERO
        if digit < 0 or digit > 9:
            return np.int64(0), False
        fraction += digit * unit
        unit //= 10
    time = seconds * 1_000_000_000 + fraction
    return -time if negative else time, True


@njit(cache=True)
def read_number(buffer, begin, end, most):
    """A decimal number up to `most`; -1 if it is none."""
    value = np.int64(0)
    for i in range(begin, end):
        digit = np.int64(buffer[i]) - _ZERO
        if digit < 0 or digit > 9:
            return np.int64(_BAD)
        value = value * 10 + digit
        if value > most:
            return np.int64(_BAD)
    return value if end > begin else np.int64(_BAD)


@njit(cache=True)
def _hex(byte):
    if 48 <= byte <= 57:
        return byte - 48
    if 97 <= byte <= 102:
        return byte - 87
    if 65 <= byte <= 70:
        return byte - 55
    return _BAD


@njit(cache=True)
def read_mac(buffer, begin, end):
    """aa:bb:cc:dd:ee:ff, or nothing, which is 0. Returns (number, whether it is one)."""
    value = np.int64(0)
    if begin == end:
        return np.uint64(0), True
    if end - begin != 17:
        return np.uint64(0), False
    for i in range(17):
        byte = np.int64(buffer[begin + i])
        if i % 3 == 2:
            if byte not in (_COLON, _DASH):
                return np.uint64(0), False
            continue
        digit = _hex(byte)
        if digit < 0:
            return np.uint64(0), False
        value = value << 4 | digit
    return np.uint64(value), True


@njit(cache=True)
def read_dotted(buffer, begin, end):
    """a.b.c.d as a big-endian number; -1 if it is none."""
    value, parts, at = np.int64(0), 0, begin
    while parts < 4:
        stop = at
        while stop < end and buffer[stop] != _DOT:
            stop += 1
        part = read_number(buffer, at, stop, 255)
        if part < 0:
            return np.int64(_BAD)
        value, parts, at = value << 8 | part, parts + 1, stop + 1
        if stop == end:
            break
    return value if parts == 4 and at == end + 1 else np.int64(_BAD)


@njit(cache=True)
def read_ipv6(buffer, begin, end):
    """An IPv6 address, `::` and a dotted tail included. Returns (high word, low word, whether it is one)."""
    words = np.zeros(8, np.int64)
    count, gap, at = 0, -1, begin
    if end - begin >= 2 and buffer[begin] == _COLON and buffer[begin + 1] == _COLON:
        gap, at = 0, begin + 2
    while at < end:
        stop, dots, value = at, 0, np.int64(0)
        while stop < end and buffer[stop] != _COLON:
            digit = _hex(np.int64(buffer[stop]))
            dots += buffer[stop] == _DOT
            if digit < 0 and dots == 0:
                return np.uint64(0), np.uint64(0), False
            value, stop = value << 4 | digit, stop + 1
        if dots:
            value = read_dotted(buffer, at, end)
            if value < 0 or count > 6 or stop != end:
                return np.uint64(0), np.uint64(0), False
            words[count], words[count + 1] = value >> 16, value & 0xFFFF
            count, at = count + 2, end
            break
        if count == 8 or stop == at or stop - at > 4:
            return np.uint64(0), np.uint64(0), False
        words[count] = value
        count, at = count + 1, stop + 1
        if stop < end and at < end and buffer[at] == _COLON:
            if gap >= 0:
                return np.uint64(0), np.uint64(0), False
            gap, at = count, at + 1
        elif stop < end and at == end:
            return np.uint64(0), np.uint64(0), False
    if (gap < 0 and count != 8) or (gap >= 0 and count > 7):
        return np.uint64(0), np.uint64(0), False
    return _joined(words, count, gap)


@njit(cache=True)
def _joined(words, count, gap):
    """Eight words, the run of zeros that `::` stands for put in, as two."""
    if gap >= 0:
        tail = count - gap
        for i in range(tail):
            words[7 - i] = words[count - 1 - i]
        words[gap : 8 - tail] = 0
    high, low = np.uint64(0), np.uint64(0)
    for i in range(4):
        high = high << np.uint64(16) | np.uint64(words[i])
        low = low << np.uint64(16) | np.uint64(words[4 + i])
    return high, low, True
