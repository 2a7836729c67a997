"""Ways to write an address that may not be called, as they have been used against gateways: more than two hundred.

`NAMES` are names and what a resolver says of them, for forms that need one."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple


class Form(NamedTuple):
    """`authority` is what stands between `//` and the path, but for a port."""

    why: str
    authority: str


FULL_WIDTH = str.maketrans("0123456789.", "０１２３４５６７８９．")
BOLD = str.maketrans("0123456789", "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗")
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
DEVANAGARI = str.maketrans("0123456789", "०१२३४५६७८९")
SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
CIRCLED = {str(number): "⓪①②③④⑤⑥⑦⑧⑨"[number] for number in range(10)}

TARGETS = {"loopback": "127.0.0.1", "metadata": "169.254.169.254", "private": "10.0.0.5"}
DOTTED = (
    "0.0.0.0 0.0.0.1 10.255.255.254 100.64.0.1 100.127.255.254 100.100.100.200 127.0.0.2 127.255.255.254 "
    "168.63.129.16 169.254.0.1 169.254.170.2 172.16.0.1 172.31.255.254 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1 "
    "198.18.0.1 198.19.255.254 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255"
).split()
COLONS = (
    ":: ::1 0:0:0:0:0:0:0:1 0000:0000:0000:0000:0000:0000:0000:0001 ::2 fe80::1 fe80::a9fe:a9fe fe80::1%25eth0 "
    "fe80::1%lo ::1%25lo ::1%1 fc00::1 fd00::1 fd00:ec2::254 fd20:ce::254 "
    "fd00:c1::a9fe:a9fe fd00:42::42 fd00:100::100:200 fd00:a9fe:a9fe::1 fec0::1 ff02::1 ff05::2 100::1 2001:db8::1 "
    "2001:0:7f00:1:: 2001::a9fe:a9fe 3fff::1 4000::1 ::ffff:0:0 ::ffff:127.0.0.1%25lo 0:0:0:0:0:ffff:127.0.0.1"
).split()

NAMES = {
    "localhost": ["127.0.0.1", "::1"],
    "localhost.": ["127.0.0.1"],
    "localhost.localdomain": ["127.0.0.1"],
    "ip6-localhost": ["::1"],
    "ip6-loopback": ["::1"],
    "any.thing.localhost": ["127.0.0.1"],
    "127.0.0.1.nip.io": ["127.0.0.1"],
    "7f000001.nip.io": ["127.0.0.1"],
    "app-169-254-169-254.sslip.io": ["169.254.169.254"],
    "--1.sslip.io": ["::1"],
    "localtest.me": ["127.0.0.1"],
    "metadata.google.internal": ["169.254.169.254"],
    "metadata.tencentyun.com": ["169.254.0.23"],
    "kubernetes.default.svc": ["10.96.0.1"],
    "host.docker.internal": ["192.168.65.254"],
    "redis": ["172.18.0.2"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "nat64.example": ["64:ff9b::a9fe:a9fe"],
    "local-nat64.example": ["64:ff9b:1::808:808"],
    "6to4.example": ["2002:a00:5::1"],
    "only-v6.example": ["fd12:3456::1"],
    "link-local.example": ["fe80::1%eth0"],
    "mixed-first.example": ["1.1.1.1", "127.0.0.1"],
    "mixed-last.example": ["10.0.0.5", "1.1.1.1"],
    "mixed-families.example": ["1.1.1.1", "::1"],
    "many.example": ["1.1.1.1"] * 20 + ["169.254.169.254"],
    "xn--localhst-0ya.example": ["127.0.0.1"],
    "zero.example": ["0.0.0.0"],
}


def spellings(what: str, address: str) -> list[Form]:
    """Of one IPv4 address."""
    parts = [int(part) for part in address.split(".")]
    number = int(ipaddress.IPv4Address(address))
    low = f"{number & 0xFFFF:x}"
    high = f"{number >> 16:x}"
    circled = "".join(CIRCLED.get(sign, sign) for sign in address)
    written = {
        "dotted": address,
        "decimal": str(number),
        "hexadecimal": hex(number),
        "hexadecimal, capital": f"0X{number:08X}",
        "hexadecimal, long": f"0x{number:020x}",
        "octal": f"0{number:o}",
        "octal, long": f"{number:020o}",
        "dotted hexadecimal": ".".join(hex(part) for part in parts),
        "dotted octal": ".".join(f"0{part:o}" for part in parts),
        "dotted octal, long": ".".join(f"{part:08o}" for part in parts),
        "padded with zeros": ".".join(f"{part:03}" for part in parts),
        "mixed bases": f"{hex(parts[0])}.{parts[1]}.0{parts[2]:o}.{parts[3]}",
        "three parts": f"{parts[0]}.{parts[1]}.{parts[2] << 8 | parts[3]}",
        "two parts": f"{parts[0]}.{number & 0xFFFFFF}",
        "two parts, hexadecimal": f"{hex(parts[0])}.{number & 0xFFFFFF:#x}",
        "overflowing": str(number + 2**32),
        "overflowing part": f"{parts[0] + 256}.{parts[1]}.{parts[2]}.{parts[3]}",
        "trailing dot": f"{address}.",
        "two trailing dots": f"{address}..",
        "full width": address.translate(FULL_WIDTH),
        "full width, decimal": str(number).translate(FULL_WIDTH),
        "bold digits": address.translate(BOLD),
        "Arabic digits": address.translate(ARABIC),
        "Devanagari digits": address.translate(DEVANAGARI),
        "superscript digits": address.translate(SUPERSCRIPT),
        "circled digits": circled,
        "ideographic dots": address.replace(".", "。"),
        "half-width ideographic dots": address.replace(".", "｡"),
        "full-width dots": address.replace(".", "．"),
        "soft hyphen": address.replace(".", ".\u00ad", 1),
        "zero-width space": address.replace(".", ".\u200b", 1),
        "zero-width joiner": address.replace(".", "\u200d.", 1),
        "percent-encoded": "".join(f"%{ord(sign):02x}" for sign in address),
        "percent-encoded dots": address.replace(".", "%2e"),
        "percent-encoded twice": address.replace(".", "%252e"),
        "IPv4-mapped": f"[::ffff:{address}]",
        "IPv4-mapped, hexadecimal": f"[::ffff:{high}:{low}]",
        "IPv4-mapped, whole": f"[0:0:0:0:0:ffff:{high}:{low}]",
        "IPv4-compatible": f"[::{address}]",
        "translated (SIIT)": f"[::ffff:0:{address}]",
        "NAT64": f"[64:ff9b::{address}]",
        "NAT64, hexadecimal": f"[64:ff9b::{high}:{low}]",
        "local NAT64": f"[64:ff9b:1::{address}]",
        "6to4": f"[2002:{high}:{low}::1]",
        "ISATAP": f"[2606:4700::5efe:{address}]",
        "brackets around IPv4": f"[{address}]",
        "user": f"user@{address}",
        "a host as user": f"example.com@{address}",
        "a host as user and password": f"example.com:443@{address}",
        "user, encoded": f"example.com%40{address}",
        "two at signs": f"a@example.com@{address}",
        "backslash": f"{address}\\@example.com",
        "fragment": f"{address}#@example.com",
        "query": f"{address}?@example.com",
        "semicolon": f"{address};example.com",
        "space": f"{address} example.com",
        "tab": f"{address}\t",
        "line feed": f"{address}\n",
        "NUL": f"{address}\0.example.com",
    }
    return [Form(f"{what}: {name}", authority) for name, authority in written.items()]


# The very forms of published advisories.
PUBLISHED = [
    Form("Flowise CVE-2026-69257: IPv4-mapped IPv6", "[::ffff:127.0.0.1]"),
    Form("Flowise CVE-2026-43995: a client past the wrapper", "127.0.0.1"),
    Form("new-api GO-2026-5652: 0.0.0.0", "0.0.0.0"),
    Form("new-api GO-2025-4154: an address by its name", "127.0.0.1.nip.io"),
    Form("Open WebUI CVE-2026-45338: metadata", "169.254.169.254"),
    Form("Open WebUI CVE-2026-45331: loopback", "localhost"),
    Form("Open WebUI CVE-2026-54020: a name that changes", "mixed-first.example"),
    Form("LibreChat CVE-2025-69222: a service beside it", "redis"),
    Form("Dify CVE-2025-56520: a remote file", "10.0.0.5"),
    Form("LLMGateway CVE-2026-108719: callback_url", "[::1]"),
    Form("LobeChat CVE-2024-32964: a proxy's url", "192.168.0.1"),
    Form("LobeChat CVE-2024-47066: a name instead of the address", "localtest.me"),
    Form("LobeChat CVE-2026-54157: an address inside another", "[64:ff9b::a9fe:a9fe]"),
    Form("Portkey CVE-2025-66405: custom host", "localhost."),
    Form("Portkey CVE-2026-110719: custom host, again", "ip6-localhost"),
]

FORMS: list[Form] = [
    *(form for what, address in TARGETS.items() for form in spellings(what, address)),
    *(Form("dotted", address) for address in DOTTED),
    *(Form("IPv6", f"[{address}]") for address in COLONS),
    *(Form("IPv6 without brackets", address) for address in ("::1", "::ffff:127.0.0.1", "fe80::1")),
    *(Form("a name", name) for name in NAMES),
    *(Form("a name, in capitals", name) for name in ("LOCALHOST", "LocalHost.", "LocalTest.Me")),
    *(
        Form("a name of other letters", name)
        for name in ("ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "ｌｏｃａｌｈｏｓｔ", "localhoſt", "LOCALHOST。")
    ),
    *(Form("no host", authority) for authority in ("", " ", ".", "..", "*", "@", "%00", "[]", "[::", "x" * 300)),
    *PUBLISHED,
]
