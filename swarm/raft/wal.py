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


def look():
    """Opens the newest file, unless it is open."""
    global fd, name, inode
    try:
        names = sorted(n for n in os.listdir(folder) if re.match(r"[0-9a-f]{16}-[0-9a-f]{16}\.wal$", n))
    except OSError:
        names = []
    try:
        if names and os.stat(os.path.join(folder, names[-1])).st_ino == inode:
            return
        if fd is not None:
            os.close(fd)
        fd, name, inode = None, "-", 0
        if names:
            fd = os.open(os.path.join(folder, names[-1]), os.O_RDONLY)
            name, inode = names[-1], os.fstat(fd).st_ino
    except OSError:
        pass  # it went meanwhile: at the next look


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
    known, at = (int(word) for word in line.split())
    round = 0
    while True:
        if fd is None or round % 10 == 0:
            look()
        round += 1
        if known != inode:
            at = 0
        n = records(at) if fd is not None else 0
        if n or known != inode:
            data = os.pread(fd, n, at) if n else b""
            sys.stdout.buffer.write(b"%s %d %d %d\n" % (name.encode(), inode, at, len(data)) + data)
            sys.stdout.buffer.flush()
            break
        if select.select([0], [], [], 0.25 if fd is None else 0.02)[0]:  # a worker costs nearly nothing
            break
