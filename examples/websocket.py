#!/usr/bin/env python3
"""A WebSocket server that is cut when its client's credential is over.

    examples/websocket.py --check http://127.0.0.1:7879/check/default --listen 127.0.0.1:8080

A gateway checks a WebSocket only at its start. This server asks for a check that stays, /check/RULE/watch, before it accepts
a connection, and closes the connection with the code 1008 when the watch says that the credential is over. It echoes what it
is sent. Standard library only.
"""
import argparse, asyncio, base64, hashlib, struct, urllib.parse

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
POLICY_VIOLATION = 1008
MAX_MESSAGE = 65_536


async def head(reader):
    """The first line and the headers of a request or an answer."""
    lines = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode("latin-1").split("\r\n")
    return lines[0], {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}


async def watch(check, authorization):
    """Asks for a check that stays: its status, and its stream."""
    url = urllib.parse.urlsplit(check + "/watch")
    reader, writer = await asyncio.wait_for(asyncio.open_connection(url.hostname, url.port), 2)
    writer.write(f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nAccept: text/event-stream\r\nConnection: close\r\n".encode())
    writer.write(f"Authorization: {authorization}\r\n\r\n".encode("latin-1"))
    line, _ = await head(reader)
    return int(line.split()[1]), reader, writer


async def until_over(stream):
    """Returns when the credential is over, or nobody can tell any more."""
    while line := await stream.readline():
        if line.startswith(b"event: over"):
            return


async def frame(reader):
    """The next frame of the client: its opcode and its payload."""
    first, second = await reader.readexactly(2)
    length = second & 127
    if length > 125:
        length = struct.unpack(">H" if length == 126 else ">Q", await reader.readexactly(2 if length == 126 else 8))[0]
    if length > MAX_MESSAGE:
        raise ValueError("the message is too long")
    mask = await reader.readexactly(4)
    return first & 15, bytes(byte ^ mask[n % 4] for n, byte in enumerate(await reader.readexactly(length)))


def framed(opcode, payload):
    length = bytes([len(payload)]) if len(payload) < 126 else struct.pack(">BH", 126, len(payload))
    return bytes([0x80 | opcode]) + length + payload


async def echo(reader, writer):
    while True:
        opcode, payload = await frame(reader)
        if opcode == 8:
            return
        if opcode in (1, 2, 9):
            writer.write(framed(10 if opcode == 9 else opcode, payload[:MAX_MESSAGE - 1]))
            await writer.drain()


async def serve(check, reader, writer):
    watching = None
    try:
        _, headers = await head(reader)
        status, stream, watching = await watch(check, headers.get("authorization", ""))
        if status != 200:
            writer.write(f"HTTP/1.1 {status} Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            return
        accept = base64.b64encode(hashlib.sha1((headers["sec-websocket-key"] + GUID).encode()).digest()).decode()
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        writer.write(f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
        tasks = [asyncio.create_task(until_over(stream)), asyncio.create_task(echo(reader, writer))]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        if tasks[0] in done:
            writer.write(framed(8, struct.pack(">H", POLICY_VIOLATION) + b"the credential is over"))
    except (OSError, ValueError, KeyError, asyncio.TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass  # The client is gone, speaks something else, or nobody can tell: closed, not let through.
    finally:
        for one in filter(None, (writer, watching)):
            one.close()


async def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--check", required=True, help="the check, such as http://127.0.0.1:7879/check/default")
    arguments.add_argument("--listen", default="127.0.0.1:8080")
    arguments = arguments.parse_args()
    host, port = arguments.listen.rsplit(":", 1)
    server = await asyncio.start_server(lambda reader, writer: serve(arguments.check, reader, writer), host, int(port))
    print(f"listening on {':'.join(map(str, server.sockets[0].getsockname()[:2]))}", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
