# fmt: off
# ruff: noqa: ANN001, ANN201, B905, D103, E401, I001, PTH123, SIM115, T201
"""Check a bundle without LiveOps Ledger: python verify_bundle.py BUNDLE --key KEY.

It needs Python 3.11 and nothing else, follows docs/reference/bundle.md, and says OK or the first
place that is not as it was signed. It replays no answers: `liveops verify` does.
"""
import argparse, gzip, json, sys
from base64 import b64decode
from hashlib import sha256, sha512

# --- Ed25519 signatures (RFC 8032, section 5.1): points are X, Y, Z, T ---
P, ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P

def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]), (p[1] + p[0]) * (q[1] + q[0])
    c, d = 2 * p[3] * q[3] * D, 2 * p[2] * q[2]
    e, f, g, h = (b - a) % P, (d - c) % P, (d + c) % P, (b + a) % P
    return e * f % P, g * h % P, f * g % P, e * h % P

def times(number, p):
    even = times(number // 2, add(p, p)) if number else (0, 1, 1, 0)
    return add(even, p) if number % 2 else even

def point(data):
    y, odd = int.from_bytes(data, "little") % 2**255, data[31] >> 7
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if x * x % P == square else x * pow(2, (P - 1) // 4, P) % P
    if y >= P or x * x % P != square or len(data) != 32:
        raise ValueError("not a public key")
    x = x if x % 2 == odd else P - x
    return x, y, 1, x * y % P
BASE = point((4 * pow(5, -1, P) % P).to_bytes(32, "little"))

def is_signed(text, key, signature):
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    (x, y, z, t), h = point(key), int.from_bytes(sha512(r + key + text).digest(), "little")
    x, y, z, t = add(times(s, BASE), times(h % ORDER, (P - x, y, z, P - t)))
    x, y = x * pow(z, -1, P) % P, y * pow(z, -1, P) % P
    return len(signature) == 64 and s < ORDER and (y | x % 2 << 255).to_bytes(32, "little") == r

# --- Keys, and notes: a text, an empty line, a signature line for each key ---
def read_key(text):
    name, key_id, key = text.split("+", 2)
    key_id, key = bytes.fromhex(key_id), b64decode(key, validate=True)
    if sha256(name.encode() + b"\n" + key).digest()[:4] != key_id or key[:1] != b"\x01":
        raise ValueError(f"{text} is not a key")
    return name, key_id, key[1:]

def read_note(note, keys):
    """Return origin, size, root, and which of these keys signed it; there must be one."""
    text, _, lines = note.rpartition("\n\n")
    signers = set()
    for _, name, signature in (line.split(" ") for line in lines.splitlines()):
        signed = b64decode(signature, validate=True)
        for key in (key for key in keys if key[:2] == (name, signed[:4])):
            if not is_signed((text + "\n").encode(), key[2], signed[4:]):
                raise ValueError(f"the signature of {name} is wrong")
            signers.add(key)
    if not signers:
        raise ValueError("no key that is to be trusted has signed it")
    origin, size, root = text.split("\n")
    return origin, int(size), b64decode(root, validate=True), signers

# --- The tree (RFC 9162, section 2.1), kept as its complete subtrees: how many leaves, hash ---
def grow(tree, leaf):
    tree.append((1, leaf))
    while len(tree) > 1 and tree[-1][0] == tree[-2][0]:
        tree[-2:] = [(2 * tree[-1][0], sha256(b"\x01" + tree[-2][1] + tree[-1][1]).digest())]

def root_of(tree):
    root = tree[-1][1]
    for _, left in tree[-2::-1]:
        root = sha256(b"\x01" + left + root).digest()
    return root

# --- The bundle: which line may follow which, and what must be in it ---
FOLLOWS = {"": "format", "format": "position", "position": "position or leaves",
           "leaves": "position or checkpoint", "checkpoint": "keys", "keys": "token or end",
           "token": "answer", "answer": "end", "end": "nothing"}

def need(holds, line, words):
    if not holds:
        sys.exit(f"NOT as it was signed. Line {line}: {words}")

def read(line, how):
    """Take from a line, that is its number and its text, what is wanted of it."""
    try:
        return how(json.loads(line[1]))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as wrong:
        need(False, line[0], f"this cannot be believed: {wrong}")

def compare(first, found, line):
    """Name the first event that is not as listed; `found` are numbers of lines and hashes."""
    listed = read(line, lambda it: list(it["sha256"]))
    at = [*(event[1] == leaf for event, leaf in zip(found, listed)), False].index(False)
    need(False, (found[at:] or [line])[0][0], f"event {first + at} is not as line {line[0]} lists")

def check_lines(lines, sizes):
    """Return the lines that are no events, the tree of the events, and its roots at some sizes."""
    parts, tree, roots, found, kind, number, size = {}, [], {}, [], "", 0, 0
    for number, line in enumerate(lines, 1):
        before, kind = kind, line.partition(b":")[0][2:-1].decode(errors="replace")
        need(line.endswith(b"\n"), number, "here the bundle is cut off")
        need(kind in FOLLOWS[before].split(" or "), number, f"this is not {FOLLOWS[before]}")
        parts[kind] = (number, line[:-1])
        if kind == "position":
            found.append((number, sha256(b"\x00" + line[:-1]).hexdigest()))
            need(len(found) < 258, number, "the list of hashes above is missing")
        if kind == "leaves":
            due = {kind: size + 1, "sha256": [leaf for _, leaf in found]}
            if line[:-1] != json.dumps(due, separators=(",", ":")).encode():
                compare(size + 1, found, parts[kind])
            need(size % 256 == 0 and len(found) < 257, number, "this list is out of place")
            while found:
                size += 1
                grow(tree, bytes.fromhex(found.pop(0)[1]))
                roots |= {size: root_of(tree)} if size in sizes else {}
    need(kind == "end", number, "behind this the bundle is cut off")
    return parts, tree, roots

def verify(lines, own, notes):
    """Check a bundle; `own` keys and `notes`, of earlier checkpoints, are the auditor's."""
    parts, tree, roots = check_lines(lines, {int(note.split("\n")[1]) for note in notes})
    note, end, count = parts["checkpoint"], parts["end"], sum(leaves for leaves, _ in tree)
    keys = read(parts["keys"], lambda it: {read_key(key) for key in it["keys"]})
    its = read(note, lambda it: read_note(it["checkpoint"], own | keys))
    need(keys <= its[3] and (own & its[3] or not own), note[0], "a key that should sign did not")
    need((count, root_of(tree)) == its[1:3], note[0], f"it is not of the {count} events above it")
    header = {"format": "liveops-bundle/1", "origin": its[0], "size": count}
    need(read(parts["format"], dict) == header, 1, "this is not what the checkpoint is of")
    for name, size, root, _ in (read_note(known, own or keys) for known in notes):
        same = name == its[0] and roots.get(size) == root
        need(same, note[0], f"it does not continue the {size} events of {name} that you know")
    kinds = [kind for kind in FOLLOWS if kind in parts.keys() - {"position", "leaves", "end"}]
    seals = {kind: sha256(parts[kind][1]).hexdigest() for kind in kinds}
    due = json.dumps({"end": {"lines": end[0] - 1, "sha256": seals}}, separators=(",", ":"))
    need(end[1] == due.encode(), end[0] - len(kinds) // 4, "this or a line beside it was changed")
    return f"{count} events of {its[0]}, as signed by {'a key of yours' if own else 'its own keys'}"

if __name__ == "__main__":
    asked = argparse.ArgumentParser()
    asked.add_argument("bundle")
    asked.add_argument("--key", action="append", default=[], type=read_key)
    asked.add_argument("--checkpoint", action="append", default=[], help="a note, in a file")
    given = asked.parse_args()
    file = (gzip.open if given.bundle.endswith(".gz") else open)(given.bundle, "rb")
    print("OK:", verify(file, set(given.key), [open(name).read() for name in given.checkpoint]))
