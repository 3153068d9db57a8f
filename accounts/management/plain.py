"""How this project's commands talk: JSON on stdout, one sentence on stderr, exit code 1 (refused) or 2 (usage).

Never prints a traceback unless `--traceback` asks for it, and reads secrets from stdin or files as well as arguments.
"""

from __future__ import annotations

import getpass
import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, handle_default_options
from django.db import DatabaseError, connection

from accounts.crypto import DecryptionFailed
from accounts.services import AccountsError

SOURCE_HELP = "the token itself, '-' to read it from standard input, or '@FILE' to read it from a file"


class PlainCommand(BaseCommand):
    """A command whose failures are sentences. Subclasses raise `CommandError` or let `AccountsError` pass."""

    requires_system_checks: list[str] = []
    stealth_options = ("stdin",)

    def run_from_argv(self, argv: list[str]) -> None:
        """Run, and turn what goes wrong into one sentence."""
        if "--traceback" in argv:
            super().run_from_argv(argv)
            return
        self._called_from_command_line = True  # makes the parser's own errors sentences with exit code 2
        parser = self.create_parser(argv[0], argv[1])
        parsed = parser.parse_args(argv[2:])
        handle_default_options(parsed)
        options = vars(parsed)
        arguments = options.pop("args", ())
        try:
            self.execute(*arguments, **options)
        except (CommandError, AccountsError, DecryptionFailed) as error:
            self._fail(str(error), getattr(error, "returncode", 1))
        except DatabaseError as error:
            self._fail(f"The database does not answer as it should ({error}). Try 'codexproxy migrate' first.", 1)
        except BrokenPipeError:  # the reader of our output went away; nothing is wrong here
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except KeyboardInterrupt:
            self._fail("Interrupted.", 130)

    def _fail(self, sentence: str, code: int) -> NoReturn:
        self.stderr.write(sentence)
        raise SystemExit(code)

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Create the tables of a new embedded database, so that the first command needs no preparation."""
        if connection.vendor == "sqlite" and "accounts_account" not in connection.introspection.table_names():
            call_command("migrate", verbosity=0, interactive=False)
        return super().execute(*args, **options)

    def print_json(self, value: Any) -> None:
        """Write one object on one line."""
        self.stdout.write(json.dumps(value, ensure_ascii=False))

    @property
    def actor(self) -> str:
        """Return who the audit log names: the user of the shell."""
        try:
            return f"cli:{getpass.getuser()}"
        except (KeyError, OSError):  # containers run as ids without a name
            return f"cli:{os.getuid()}"


def read_secret(argument: str | None) -> str:
    """Return a secret given as itself, as '-' (standard input) or as '@FILE'. Raises: CommandError."""
    if not argument:
        return ""
    if argument == "-":
        return sys.stdin.read().strip()
    return read_text(argument[1:]).strip() if argument.startswith("@") else argument.strip()


def read_text(path: str) -> str:
    """Return a file's text, or standard input's for '-'. Raises: CommandError."""
    if path == "-":
        return sys.stdin.read()
    try:
        return Path(path).expanduser().read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandError(f"{path} is not a text file.") from error
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
