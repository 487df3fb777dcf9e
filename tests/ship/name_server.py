"""A network of one's own, to be run in an empty network namespace: brings up loopback and answers DNS on it, at 192.0.2.53.

Not at 127.0.0.1, which container engines take for a name server that only the host can reach. provider.test is 127.0.0.1, nothing else exists. Says "ready" once it listens, and never ends by itself.
"""

import fcntl
import socket
import struct

SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFADDR, IFF_UP = 0x8913, 0x8914, 0x8916, 1
ADDRESS = "192.0.2.53"
A, NO_ERROR, NO_SUCH_NAME = 1, 0x8580, 0x8583


def bring_up_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh22x", b"lo", 0)
        flags = struct.unpack_from("16sh", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | IFF_UP))
        address = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(ADDRESS))
        fcntl.ioctl(any_socket, SIOCSIFADDR, struct.pack("16s16s8x", b"lo:1", address))


def answer(query):
    end = query.index(b"\0", 12) + 5  # the name, its type and class
    name, (kind,) = query[12 : end - 4], struct.unpack_from("!H", query, end - 4)
    known = name.lower() == b"\x08provider\x04test\0"
    flags, answers = (NO_ERROR if known else NO_SUCH_NAME), int(known and kind == A)
    text = query[:2] + struct.pack("!HHHHH", flags, 1, answers, 0, 0) + query[12:end]
    if answers:
        text += struct.pack("!HHHIH", 0xC00C, A, 1, 60, 4) + socket.inet_aton("127.0.0.1")
    return text


bring_up_loopback()
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((ADDRESS, 53))
print("ready", flush=True)
while True:
    query, client = server.recvfrom(4096)
    server.sendto(answer(query), client)
