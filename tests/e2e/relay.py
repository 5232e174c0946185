# SPDX-License-Identifier: Apache-2.0
"""Links with bad manners. Relay is a CONNECT proxy that cuts every connection after so many bytes, or limits its speed: put
before a worker by HTTPS_PROXY, it stands for the long and broken link between a hospital and the coordinator. Link stands
before one server, carries so many bytes a second in all, and is cut as a whole."""

import socket
import threading
import time


class Relay:
    def __init__(self, cut_bytes=None, bytes_per_second=None):
        self.cut_bytes, self.bytes_per_second = cut_bytes, bytes_per_second
        self.connections = self.passed = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        request = b""
        while b"\r\n\r\n" not in request:
            piece = client.recv(4096)
            if not piece:
                return
            request += piece
        host, port = request.split()[1].decode().rsplit(":", 1)
        server = socket.create_connection((host, int(port)))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.connections += 1
        left = [self.cut_bytes]
        for a, b in ((client, server), (server, client)):
            threading.Thread(target=self._pump, args=(a, b, left), daemon=True).start()

    def _pump(self, source, target, left):
        try:
            while piece := source.recv(16384):
                if left[0] is not None:
                    left[0] -= len(piece)
                    if left[0] < 0:
                        break
                if self.bytes_per_second:
                    time.sleep(len(piece) / self.bytes_per_second)
                target.sendall(piece)
                self.passed += len(piece)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()


class Link:
    """All connections share one speed, and each of `cuts` ends all of them after so many more bytes from the server. It reads
    ahead a few KiB and no more: what it takes and drops is small."""

    PIECE = 4096

    def __init__(self, port, bytes_per_second, cuts=()):
        self.port, self.bytes_per_second, self.cuts = port, bytes_per_second, list(cuts)
        self.passed = self.since = self.cut = 0
        self.free_at = time.monotonic()
        self.sockets = set()
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.socket()
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.PIECE)
            server.connect(("127.0.0.1", self.port))
            with self.lock:
                self.sockets |= {client, server}
            threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, True), daemon=True).start()

    def _wait_for_room(self, size):
        with self.lock:
            self.free_at = max(self.free_at, time.monotonic()) + size / self.bytes_per_second
            wait = self.free_at - time.monotonic()
        time.sleep(max(wait, 0))

    def _count(self, size):
        with self.lock:
            self.passed += size
            self.since += size
            if not self.cuts or self.since < self.cuts[0]:
                return
            self.cuts.pop(0)
            self.cut += 1
            self.since = 0
            gone, self.sockets = self.sockets, set()
        for end in gone:
            self._shut(end)

    @staticmethod
    def _shut(end):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _pump(self, source, target, down):
        try:
            while piece := source.recv(self.PIECE):
                if down:
                    self._wait_for_room(len(piece))
                target.sendall(piece)
                if down:
                    self._count(len(piece))
        except OSError:
            pass
        for end in (source, target):
            self._shut(end)
        source.close()  # which the other thread, if it still sends there, takes for an error

    def close(self):
        self.listener.close()
        with self.lock:
            for end in self.sockets:
                self._shut(end)
