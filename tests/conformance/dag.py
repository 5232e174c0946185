# SPDX-License-Identifier: Apache-2.0
"""A second, slow reading of CARs, dag-pb, UnixFS and dag-cbor, in as few lines as it takes: what a gateway's answers are checked
against. It trusts what it reads; the hashes are checked where blocks come in."""

import base64
import hashlib
import struct

RAW, DAG_PB, DAG_CBOR, DAG_JSON = 0x55, 0x70, 0x71, 0x0129


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def cid_at(data, at):
    """The binary CID at `at`, and where it ends."""
    start = at
    if data[at : at + 2] == b"\x12\x20":
        return bytes(data[at : at + 34]), at + 34
    _, at = varint(data, at)
    _, at = varint(data, at)
    _, at = varint(data, at)
    size, at = varint(data, at)
    return bytes(data[start : at + size]), at + size


def codec(cid):
    return DAG_PB if cid[0] == 0x12 else varint(cid, 1)[0]


def multihash(cid):
    return cid if cid[0] == 0x12 else cid[varint(cid, 1)[1] :]


def is_identity(cid):
    return cid[0] != 0x12 and multihash(cid)[0] == 0


def text(cid):
    if cid[0] == 0x12:
        alphabet, number, out = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", int.from_bytes(cid, "big"), ""
        while number:
            number, digit = divmod(number, 58)
            out = alphabet[digit] + out
        return out
    return "b" + base64.b32encode(cid).decode().lower().rstrip("=")


def binary(text):
    if text[0] == "b":
        body = text[1:].upper()
        return base64.b32decode(body + "=" * (-len(body) % 8))
    alphabet, number = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", 0
    for character in text:
        number = number * 58 + alphabet.index(character)
    return number.to_bytes(34, "big")


def verify(cid, block):
    digest = multihash(cid)
    if digest[0] == 0x12:
        assert hashlib.sha256(block).digest() == digest[2:], text(cid)
    elif digest[0] == 0:
        assert digest[2:] == block, text(cid)


def read_car(data):
    """Roots, and (CID, block) in order, every block verified; trailing or missing bytes raise."""
    size, at = varint(data, 0)
    header = read_cbor(data[at : at + size])
    at += size
    assert header["version"] == 1
    blocks = []
    while at < len(data):
        size, at = varint(data, at)
        assert at + size <= len(data), "cut short"
        cid, body = cid_at(data, at)
        block = data[body : at + size]
        verify(cid, block)
        blocks.append((cid, block))
        at += size
    return [r.cid for r in header["roots"]], blocks


class Link:
    def __init__(self, cid):
        self.cid = cid


def read_cbor(data):
    value, at = _cbor(data, 0)
    assert at == len(data)
    return value


def _cbor(data, at):
    major, info = data[at] >> 5, data[at] & 31
    at += 1
    if major == 7:
        if info == 27:
            return struct.unpack(">d", data[at : at + 8])[0], at + 8
        return {20: False, 21: True, 22: None}[info], at
    argument, size = info, 0
    if info >= 24:
        size = 1 << (info - 24)
        argument = int.from_bytes(data[at : at + size], "big")
    at += size
    if major == 0:
        return argument, at
    if major == 1:
        return -1 - argument, at
    if major == 2:
        return bytes(data[at : at + argument]), at + argument
    if major == 3:
        return data[at : at + argument].decode(), at + argument
    if major == 4:
        items = []
        for _ in range(argument):
            item, at = _cbor(data, at)
            items.append(item)
        return items, at
    if major == 5:
        pairs = {}
        for _ in range(argument):
            key, at = _cbor(data, at)
            pairs[key], at = _cbor(data, at)
        return pairs, at
    value, at = _cbor(data, at)
    return Link(value[1:]), at


def fields(data):
    """(number, value) of a protobuf message: integers and bytes."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 5:
            value, at = data[at : at + 4], at + 4
        else:
            size, at = varint(data, at)
            value, at = data[at : at + size], at + size
        yield key >> 3, value


class Node:
    """A UnixFS node: type, inline bytes, sizes, and links (name, CID)."""

    def __init__(self, block):
        self.links, self.type, self.data, self.sizes, self.fanout = [], None, b"", [], 0
        for number, value in fields(block):
            if number == 2:
                link = dict(fields(value))
                self.links.append((link.get(2, b"").decode("utf-8", "surrogateescape"), bytes(link[1])))
            else:
                for inner, v in fields(value):
                    if inner == 1:
                        self.type = v
                    elif inner == 2:
                        self.data = bytes(v)
                    elif inner == 4:
                        self.sizes.append(v)
                    elif inner == 6:
                        self.fanout = v

    @property
    def digits(self):
        return len("%X" % (self.fanout - 1))


class Blocks(dict):
    """multihash -> block, by CID."""

    def add(self, blocks):
        for cid, block in blocks:
            self[multihash(cid)] = block

    def block(self, cid):
        return multihash(cid)[2:] if is_identity(cid) else self[multihash(cid)]

    def has(self, cid):
        return is_identity(cid) or multihash(cid) in self

    def links(self, cid):
        block = self.block(cid)
        if codec(cid) == DAG_PB:
            return [link for _, link in Node(block).links]
        found = []

        def look(value):
            if isinstance(value, Link):
                found.append(value.cid)
            for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
                look(item)

        if codec(cid) == DAG_CBOR:
            look(read_cbor(block))
        return found

    def find(self, cid, name):
        """The entry `name` of a directory, and the CIDs of the HAMT's shards on the way."""
        node = Node(self.block(cid))
        if node.type == 1:
            return dict(node.links)[name], []
        for label, link in node.links:
            rest = label[node.digits :]
            if rest == name:
                return link, []
            if rest == "":
                try:
                    found, way = self.find(link, name)
                    return found, [link, *way]
                except KeyError:
                    continue
        raise KeyError(name)

    def entries(self, cid):
        """All entries of a directory, and the CIDs of a HAMT's shards, in order."""
        node = Node(self.block(cid))
        if node.type == 1:
            return node.links, []
        entries, shards = [], []
        for label, link in node.links:
            if label[node.digits :] == "":
                more, below = self.entries(link)
                entries, shards = entries + more, [*shards, link, *below]
            else:
                entries.append((label[node.digits :], link))
        return entries, shards

    def file(self, cid):
        if codec(cid) == RAW:
            return self.block(cid)
        node = Node(self.block(cid))
        return node.data + b"".join(self.file(link) for _, link in node.links)

    def all(self, cid, seen=None):
        """Depth first, each block once, identities left out."""
        seen = set() if seen is None else seen
        if is_identity(cid):
            return [c for link in self.links(cid) for c in self.all(link, seen)]
        if multihash(cid) in seen:
            return []
        seen.add(multihash(cid))
        return [cid, *(c for link in self.links(cid) for c in self.all(link, seen))]

    def span(self, cid, first, last, start=0):
        """The blocks that bytes first..last of a file need, in order, root included."""
        if codec(cid) == RAW:
            return [cid]
        node, at = Node(self.block(cid)), start
        out = [cid]
        at += len(node.data)
        for (_, link), size in zip(node.links, node.sizes):
            if at <= last and at + size > first:
                out += self.span(link, first, last, at)
            at += size
        return out
