# SPDX-License-Identifier: Apache-2.0
"""A CONNECT proxy with bad manners: cuts every connection after so many bytes, or limits its speed. Put before a worker by
HTTPS_PROXY, it stands for the long and broken link between a hospital and the coordinator."""

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
