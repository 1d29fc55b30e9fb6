"""Reads the certificate file in a container and says for whom and how long it is good.

What a probe from outside sees is the certificate that is served; this is the one that will be after the next restart. Of
X.509 only what is asked for is read: names and validity of the first certificate in the file, by walking its DER.
"""

import binascii
from datetime import datetime, timedelta, timezone

from sandbook import Input, Outcome, clock, docker, escalate, log, nothing_to_do

BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
# Tags of DER that are looked at.
OID, UTC_TIME, VERSION, EXTENSIONS, DNS_NAME = 0x06, 0x17, 0xA0, 0xA3, 0x82
COMMON_NAME, ALTERNATIVE_NAMES = bytes([0x55, 0x04, 0x03]), bytes([0x55, 0x1D, 0x11])


class Unreadable(Exception):
    """What is wrong with the file."""


def run(input: Input) -> Outcome:
    container, file = str(input.parameters["container"]), str(input.parameters["file"])
    read = docker.exec(container, ["cat", file])
    if read.exit_code != 0:
        return escalate(f"{file} in {container} cannot be read: {(read.stderr or read.stdout).strip()}")
    try:
        names, begins, ends = certificate(read.stdout)
    except Unreadable as trouble:
        return escalate(f"{file} in {container} is no certificate that can be read: {trouble}")

    now = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=clock.now())
    about = f"the certificate of {container} for {', '.join(names) or 'nobody'}"
    log.attach_evidence(file, f"names: {', '.join(names)}\nnot before: {begins}\nnot after: {ends}")
    if begins > now:
        return escalate(f"{about} is not good before {begins:%Y-%m-%d %H:%M} UTC")
    left = (ends - now).days
    if ends <= now:
        return escalate(f"{about} expired on {ends:%Y-%m-%d %H:%M} UTC")
    if left <= int(input.parameters["days"]):
        return escalate(f"{about} expires in {left} days, on {ends:%Y-%m-%d %H:%M} UTC")
    return nothing_to_do(f"{about} is good for {left} days")


def certificate(pem: str) -> tuple[list[str], datetime, datetime]:
    """Names, begin and end of the first certificate of a PEM file."""
    _, begun, rest = pem.partition(BEGIN)
    body, ended, _ = rest.partition(END)
    if not begun or not ended:
        raise Unreadable("it has no PEM block of a certificate")
    try:
        der = binascii.a2b_base64("".join(body.split()))
        (_, whole), = children(der)
        fields = children(children(whole)[0][1])
        # The version may be absent; what follows has its place: serial, signature, issuer, validity, subject.
        fields = fields[1:] if fields[0][0] == VERSION else fields
        begins, ends = (moment(tag, text) for tag, text in children(fields[3][1]))
        return names(fields[4][1], fields[6:]), begins, ends
    except (ValueError, IndexError) as trouble:
        raise Unreadable(f"its DER is damaged ({trouble})") from trouble


def children(der: bytes) -> list[tuple[int, bytes]]:
    """Tag and contents of each element."""
    found, at = [], 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length >= 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(der[at : at + size], "big"), at + size
        if at + length > len(der):
            raise ValueError("it is cut off")
        found.append((tag, der[at : at + length]))
        at += length
    return found


def moment(tag: int, text: bytes) -> datetime:
    """`240131120000Z`, with two digits of the year until 2049 and four from then on."""
    digits = text.decode("ascii").rstrip("Z")
    if tag == UTC_TIME:
        digits = ("19" if digits[0] >= "5" else "20") + digits
    parts = [int(digits[:4])] + [int(digits[at : at + 2]) for at in range(4, 14, 2)]
    return datetime(*parts, tzinfo=timezone.utc)


def names(subject: bytes, rest: list[tuple[int, bytes]]) -> list[str]:
    """Names it is for: alternative ones where there are any, as clients have it, else the common name."""
    for tag, contents in rest:
        if tag == EXTENSIONS:
            for _, extension in children(children(contents)[0][1]):
                parts = children(extension)
                if parts[0] == (OID, ALTERNATIVE_NAMES):
                    inner = children(children(parts[-1][1])[0][1])
                    return [name.decode("ascii") for tag, name in inner if tag == DNS_NAME]
    pairs = (children(pair) for _, group in children(subject) for _, pair in children(group))
    return [value.decode() for (_, oid), (_, value) in pairs if oid == COMMON_NAME]
