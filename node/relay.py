# Connects standard input and output to the unix socket that is named.
import os
import select
import socket
import sys

s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
try:
    s.connect(sys.argv[1])
except OSError as e:
    sys.exit("%s: %s" % (sys.argv[1], e.strerror))
while True:
    for source in select.select([0, s], [], [])[0]:
        data = s.recv(65536) if source is s else os.read(0, 65536)
        if not data:
            sys.exit(0)
        if source is s:
            while data:
                data = data[os.write(1, data):]
        else:
            s.sendall(data)
