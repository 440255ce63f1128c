"""A small https server with a certificate of its own, for firmware that is fetched."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import ipaddress
import re
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOOPBACK = "127.0.0.1"

Answers = Mapping[str, tuple[int, dict[str, str], bytes]]
"""Status, headers and body by path."""

GZIP = "gzip"


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for loopback, which signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, LOOPBACK)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = folder / "certificate.pem", folder / "key.pem"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_path, key_path


@asynccontextmanager
async def serving(folder: Path, answers: Answers, *, compresses: bool = False) -> AsyncGenerator[str]:
    """Serve for as long as the context lasts; yields the address without a slash at its end.

    With ``compresses`` bodies are sent by gzip to whoever takes that.
    """
    certificate, key = make_certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        status, headers, body = answers.get(head.split(" ")[1], (404, {}, b""))
        accepts = re.search(r"(?im)^accept-encoding:(.*)$", head)
        if compresses and accepts is not None and GZIP in accepts[1]:
            headers, body = {**headers, "Content-Encoding": GZIP}, gzip.compress(body)
        lines = [f"HTTP/1.1 {status} x", *(f"{name}: {value}" for name, value in headers.items()), "Connection: close"]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, LOOPBACK, 0, ssl=context)
    async with server:
        yield f"https://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
