#!/usr/bin/env python3
"""Makes a mongod the primary of a replica set of one:  replica_set.py HOST PORT [ADVERTISED_PORT]

The set names the member by the advertised port, which may be a proxy's: drivers go where the set sends them.
Exits 0 when it is, 1 (with the reason) when it is not yet: the caller asks again. It speaks the wire protocol (OP_MSG)
itself, because neither a shell nor a driver comes with the server, and five types of BSON are all that is needed.
"""

import socket
import struct
import sys

SET_NAME = "rs0"
NOT_YET_INITIALIZED = 94
OP_MSG = 2013


def encode(document):
    body = b""
    for name, value in document.items():
        key = name.encode() + b"\0"
        if isinstance(value, bool):
            body += b"\x08" + key + bytes([value])
        elif isinstance(value, int):
            body += b"\x10" + key + struct.pack("<i", value)
        elif isinstance(value, str):
            text = value.encode() + b"\0"
            body += b"\x02" + key + struct.pack("<i", len(text)) + text
        elif isinstance(value, dict):
            body += b"\x03" + key + encode(value)
        elif isinstance(value, list):
            body += b"\x04" + key + encode({str(i): item for i, item in enumerate(value)})
        else:
            raise TypeError(f"{name}: {type(value).__name__} is not needed here")
    return struct.pack("<i", len(body) + 5) + body + b"\0"


# Types of one fixed size; the ones that this program does not read are kept as bytes.
FIXED = {0x01: (8, "<d"), 0x07: (12, None), 0x08: (1, "<?"), 0x09: (8, "<q"), 0x0A: (0, None),
         0x10: (4, "<i"), 0x11: (8, "<Q"), 0x12: (8, "<q")}


def decode(data):
    document, at = {}, 4
    while data[at]:
        kind, end = data[at], data.index(0, at + 1)
        name, at = data[at + 1:end].decode(), end + 1
        if kind in FIXED:
            size, layout = FIXED[kind]
            value = struct.unpack_from(layout, data, at)[0] if layout else data[at:at + size]
        else:
            size = struct.unpack_from("<i", data, at)[0]
            if kind == 0x02:
                size, value = size + 4, data[at + 4:at + 3 + size].decode()
            elif kind in (0x03, 0x04):
                value = decode(data[at:at + size])
                value = list(value.values()) if kind == 0x04 else value
            elif kind == 0x05:
                size, value = size + 5, data[at + 5:at + 5 + size]
            else:
                raise ValueError(f"{name}: BSON type {kind:#x} is not known here")
        document[name], at = value, at + size
    return document


def command(connection, **body):
    message = struct.pack("<iB", 0, 0) + encode({**body, "$db": "admin"})
    connection.sendall(struct.pack("<iiii", len(message) + 16, 1, 0, OP_MSG) + message)
    reply = connection.makefile("rb")
    size = struct.unpack("<i", reply.read(4))[0]
    return decode(reply.read(size - 4)[12 + 5:])


def main(host, port, advertised_port=None):
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        if command(connection, hello=1).get("isWritablePrimary"):
            return 0
        member = {"_id": 0, "host": f"{host}:{advertised_port or port}"}
        current = command(connection, replSetGetConfig=1)
        if current.get("code") == NOT_YET_INITIALIZED:
            reply = command(connection, replSetInitiate={"_id": SET_NAME, "members": [member]})
        elif "config" in current and current["config"]["members"][0]["host"] != member["host"]:
            # The data were written under another port: the set must be told, or the server has no place in it.
            config = {"_id": SET_NAME, "version": int(current["config"]["version"]) + 1, "members": [member]}
            reply = command(connection, replSetReconfig=config, force=True)
        else:
            reply = {"ok": 1}
        print(reply.get("errmsg", "not primary yet"), file=sys.stderr)
        return 1


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:4]))
    except (OSError, struct.error, ValueError) as error:
        sys.exit(f"replica_set.py: {error}")
