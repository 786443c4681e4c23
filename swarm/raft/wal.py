# Tells what is new in the newest file of the write-ahead log in the folder that is
# named, each time that it is asked. What is asked and told is in follow.go.
import os
import re
import select
import struct
import sys

folder = sys.argv[1]
MAX = 1 << 20
fd, name, inode = None, "-", 0


def other():
    """Opens the newest file, where that is not the one that is open; there may be none."""
    try:
        names = sorted(n for n in os.listdir(folder) if re.match(r"[0-9a-f]{16}-[0-9a-f]{16}\.wal$", n))
    except OSError:
        names = []
    if not names:
        return (None, "-", 0) if fd is not None else None
    try:
        path = os.path.join(folder, names[-1])
        if os.stat(path).st_ino == inode:
            return None
        f = os.open(path, os.O_RDONLY)
        return f, names[-1], os.fstat(f).st_ino
    except OSError:
        return None  # it went meanwhile: at the next look


def records(at):
    """How many bytes of records there are at a place."""
    end = at
    while end - at < MAX:
        head = os.pread(fd, 8, end)
        if len(head) < 8:
            break
        low, high = struct.unpack("<II", head)
        if low == 0 and high == 0 or high & 0xFFFFFF:  # no record has 4 GiB
            break
        end += 8 + low + ((high >> 24) & 7 if high >> 31 else 0)
    return end - at


while True:
    line = sys.stdin.readline()
    if not line:
        break
    known, at, wait = (int(word) for word in line.split())
    round = 0
    while True:
        if known != inode:
            at = 0
        n = records(at) if fd is not None else 0
        if known != inode or not n and (fd is None or round % 10 == 0):
            new = other()
            # What was written before there was a new one goes first.
            if new and fd is not None and known == inode:
                n = records(at)
            if new and not n:
                if fd is not None:
                    os.close(fd)
                fd, name, inode = new
                at = 0
                n = records(0) if fd is not None else 0
        round += 1
        if n or known != inode or not wait:
            data = os.pread(fd, n, at) if n else b""
            sys.stdout.buffer.write(b"%s %d %d %d\n" % (name.encode(), inode, at, len(data)) + data)
            sys.stdout.buffer.flush()
            break
        if select.select([0], [], [], 0.25 if fd is None else 0.02)[0]:  # a worker costs nearly nothing
            break
