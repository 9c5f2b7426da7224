"""``jolda receipt | certificate | export verify``: a document checked by its signature alone."""

import argparse
import asyncio
import sys
from pathlib import Path

from server.certificates.verification import verify_certificate
from server.export_files.manifest import verify_export
from server.receipts.verification import verify_receipt
from server.settings import Settings


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    receipt = commands.add_parser("receipt", help="Receipts of consents.").add_subparsers(
        required=True, metavar="act"
    )
    words = "Check a receipt, with no database and no network."
    verify = receipt.add_parser("verify", help=words, description=words)
    verify.add_argument("file", type=Path, metavar="FILE")
    verify.add_argument("--public-key", type=Path, metavar="FILE", help="PEM, or 64 hex digits")
    verify.add_argument(
        "--signature", type=Path, metavar="FILE", help="the driver's own, if the receipt names one"
    )
    verify.set_defaults(command=_verify_receipt)
    for name, of, word, command in (
        ("certificate", "Certificates of erasures.", "a certificate", _verify_certificate),
        ("export", "Packages of a driver's own data.", "a package", _verify_export),
    ):
        documents = commands.add_parser(name, help=of).add_subparsers(required=True, metavar="act")
        words = f"Check {word}, with no database and no network."
        verify = documents.add_parser("verify", help=words, description=words)
        verify.add_argument("file", type=Path, metavar="FILE")
        verify.add_argument("--public-key", type=Path, metavar="FILE", help="PEM, or 64 hex digits")
        verify.set_defaults(command=command)


async def _verify_receipt(
    chosen: argparse.Namespace, _found: Settings, _stop: asyncio.Event
) -> None:
    said = verify_receipt(chosen.file, chosen.public_key, chosen.signature)
    for sentence in said:
        sys.stdout.write(f"{sentence}\n")


async def _verify_certificate(
    chosen: argparse.Namespace, _found: Settings, _stop: asyncio.Event
) -> None:
    for sentence in verify_certificate(chosen.file, chosen.public_key):
        sys.stdout.write(f"{sentence}\n")


async def _verify_export(
    chosen: argparse.Namespace, _found: Settings, _stop: asyncio.Event
) -> None:
    for sentence in verify_export(chosen.file, chosen.public_key):
        sys.stdout.write(f"{sentence}\n")
