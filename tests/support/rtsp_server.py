"""A small RTSP server in a process of its own: H.264 of known pictures over TCP or UDP, one encoder per viewer."""

from __future__ import annotations

import argparse
import base64
import re
import select
import socket
import socketserver
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import av
import numpy as np

STEP, STEPS = 8, 20
CB, CR, RIGHT = 90, 160, 200
MTU = 1200
Send = Callable[[bytes], object]


def luma(number: int) -> int:
    """What the left half of picture ``number`` is; the right half is RIGHT."""
    return 40 + STEP * (number % STEPS)


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        port: on 127.0.0.1.
        process: which may be killed, stopped and continued.
    """

    port: int
    process: subprocess.Popen[str]

    def url(self, user: str = "", fragment: str = "") -> str:
        return f"rtsp://{user}{'@' if user else ''}127.0.0.1:{self.port}/front{'#' if fragment else ''}{fragment}"


@contextmanager
def serving(*options: str) -> Iterator[Server]:
    """Run it with options of its command line until the block ends."""
    process = subprocess.Popen([sys.executable, __file__, *options], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield Server(int(process.stdout.readline()), process)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class Session(socketserver.StreamRequestHandler):
    """One viewer."""

    options: argparse.Namespace
    disable_nagle_algorithm = True

    def handle(self) -> None:
        send: Send | None = None
        while (request := self._request()) is not None:
            method, headers = request
            if self.options.user and not _authorised(headers, self.options.user):
                self._answer("401 Unauthorized", headers, 'WWW-Authenticate: Basic realm="camera"')
            elif method == "DESCRIBE":
                self._describe(headers)
            elif method == "SETUP":
                send = self._setup(headers)
            elif method == "PLAY" and send:
                self._answer("200 OK", headers, "Session: 1", "Range: npt=0-")
                return self._stream(send)
            else:
                self._answer("200 OK", headers, "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
        return None

    def _request(self) -> tuple[str, dict[str, str]] | None:
        lines = []
        while (line := self.rfile.readline()) not in (b"", b"\r\n"):
            lines.append(line.decode().strip())
        if not lines:
            return None
        pairs = (line.partition(": ") for line in lines[1:])
        headers = {name.lower(): value for name, _, value in pairs}
        return lines[0].split()[0], headers

    def _answer(self, status: str, headers: dict[str, str], *lines: str, body: str = "") -> None:
        length = [f"Content-Length: {len(body)}"] if body else []
        head = "\r\n".join([f"RTSP/1.0 {status}", f"CSeq: {headers.get('cseq', '0')}", *lines, *length])
        self.wfile.write(f"{head}\r\n\r\n{body}".encode())

    def _describe(self, headers: dict[str, str]) -> None:
        if self.options.audio_only:
            media = ["m=audio 0 RTP/AVP 0", "a=control:track1"]
        else:
            media = [
                "m=video 0 RTP/AVP 96",
                "a=rtpmap:96 H264/90000",
                "a=fmtp:96 packetization-mode=1",
                "a=control:track1",
            ]
        lines = ["v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=front", "c=IN IP4 0.0.0.0", "t=0 0", *media]
        self._answer("200 OK", headers, "Content-Type: application/sdp", body="\r\n".join(lines) + "\r\n")

    def _setup(self, headers: dict[str, str]) -> Send | None:
        transport = headers["transport"]
        wanted = "tcp" if "/TCP" in transport else "udp"
        if self.options.transport not in ("any", wanted):
            self._answer("461 Unsupported Transport", headers)
            return None
        if wanted == "tcp":
            self._answer("200 OK", headers, "Transport: RTP/AVP/TCP;unicast;interleaved=0-1", "Session: 1")
            return self._interleave
        found = re.search(r"client_port=(\d+)", transport)
        assert found
        to = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        to.bind(("127.0.0.1", 0))
        ports = (
            f"client_port={found[1]}-{int(found[1]) + 1};server_port={to.getsockname()[1]}-{to.getsockname()[1] + 1}"
        )
        self._answer("200 OK", headers, f"Transport: RTP/AVP;unicast;{ports}", "Session: 1")
        to.connect(("127.0.0.1", int(found[1])))
        return to.send

    def _interleave(self, data: bytes) -> None:
        self.wfile.write(struct.pack(">BBH", 0x24, 0, len(data)) + data)

    def _stream(self, send: Send) -> None:
        """Until the viewer leaves or the pictures are over; then the connection closes."""
        packer = Packer(send)
        due = time.monotonic()
        for number, unit in pictures(self.options):
            if self.options.tell:
                print(number, time.monotonic_ns(), flush=True)
            packer.send(unit, round(number * 90000 / self.options.fps))
            due += 1 / self.options.fps
            if select.select([self.connection], [], [], max(0.0, due - time.monotonic()))[0]:
                data = self.connection.recv(65536)
                if not data or b"TEARDOWN" in data:
                    return


class Packer:
    """Access units as RTP packets (RFC 6184, single NAL units and FU-A)."""

    def __init__(self, send: Send) -> None:
        self._send, self._sequence = send, 0

    def send(self, unit: bytes, time_90khz: int) -> None:
        parts = [part for nal in re.split(rb"\x00\x00\x00?\x01", unit) if nal for part in _fragments(nal)]
        for part in parts:
            last = 0x80 if part is parts[-1] else 0
            head = struct.pack(">BBHII", 0x80, 96 | last, self._sequence & 0xFFFF, time_90khz & 0xFFFFFFFF, 0x1234)
            self._send(head + part)
            self._sequence += 1


def _fragments(nal: bytes) -> list[bytes]:
    if len(nal) <= MTU:
        return [nal]
    chunks = [nal[at : at + MTU] for at in range(1, len(nal), MTU)]
    marks = [0x80, *[0] * (len(chunks) - 2), 0x40]
    return [
        bytes([nal[0] & 0xE0 | 28, mark | nal[0] & 0x1F]) + chunk for mark, chunk in zip(marks, chunks, strict=True)
    ]


def pictures(options: argparse.Namespace) -> Iterator[tuple[int, bytes]]:
    """Numbers and access units."""
    encoder = _encoder(options, options.size)
    for number in range(options.frames):
        size = options.size
        if options.change_after and number >= options.change_after:
            size = (size[0] * 2, size[1] * 2)
            encoder = encoder if encoder.width == size[0] else _encoder(options, size)
        frame = _picture(number, size, options.pix_fmt)
        for packet in encoder.encode(frame):
            unit = bytes(packet)
            damaged = options.damage_every and number % options.damage_every == options.damage_every - 1
            yield number, unit[: len(unit) // 3] + bytes(len(unit) // 8) if damaged else unit


def _picture(number: int, size: tuple[int, int], pix_fmt: str) -> av.VideoFrame:
    width, height = size
    planes = np.full((height * 3 // 2, width), CB, np.uint8)
    planes[:height, : width // 2], planes[:height, width // 2 :] = luma(number), RIGHT
    planes[height + height // 4 :] = CR
    frame = av.VideoFrame.from_ndarray(planes, format=pix_fmt)
    frame.pts = number
    return frame


def _encoder(options: argparse.Namespace, size: tuple[int, int]) -> av.VideoCodecContext:
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height = size
    encoder.pix_fmt = options.pix_fmt
    encoder.framerate = options.fps
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "8", "x264-params": "keyint=10:annexb=1"}
    return encoder


def _authorised(headers: dict[str, str], user: str) -> bool:
    return headers.get("authorization") == "Basic " + base64.b64encode(user.encode()).decode()


def main() -> None:
    """Serve until killed; the port is the first line of standard output."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=lambda text: tuple(map(int, text.split("x"))), default=(160, 120))
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--change-after", type=int, default=0, help="pictures, then twice the size")
    parser.add_argument("--damage-every", type=int, default=0)
    parser.add_argument("--pix-fmt", default="yuv420p")
    parser.add_argument("--user", default="", help="user:password, for basic authentication")
    parser.add_argument("--transport", choices=("any", "tcp", "udp"), default="any")
    parser.add_argument("--tell", action="store_true", help="print each picture's number and when it is sent, ns")
    parser.add_argument("--audio-only", action="store_true")
    Session.options = parser.parse_args()
    socketserver.ThreadingTCPServer.daemon_threads = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
