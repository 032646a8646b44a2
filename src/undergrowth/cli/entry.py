"""Run the command line: its exit codes, and every error in one line."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Sequence

from cyclopts import CycloptsError

from undergrowth.cli.app import NotWrittenError, WrongUseError, app, given_arguments, say_wrong
from undergrowth.plain_text import command
from undergrowth.printing import survive_any_text


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(exit_code(arguments))


def exit_code(arguments: Sequence[str] | None) -> int:
    """Run a command line and say its errors in one line each; its exit code."""
    survive_any_text()
    given_arguments.set(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app.meta(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except KeyboardInterrupt:
        say_wrong("interrupted; the store is intact: run the same command again to resume")
        return 130
    except BrokenPipeError:
        return 1
    except CycloptsError as error:
        about = command("undergrowth", *error.command_chain or (), "--help")
        say_wrong(f"{str(error).rstrip('.')}: see `{about}`")
        return 2
    except WrongUseError as error:
        say_wrong(str(error))
        return 2
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        say_wrong(f"{where}{error.strerror or error}: fix this or give another path, and run it again")
        return 1
    except sqlite3.Error as error:
        say_wrong(f"cannot write to the store ({error}): free some space and run the same command again")
        return 1
    except Exception as error:
        code = _code_of(error)
        if code is None:
            from undergrowth.own_parts import where_raised

            if not (own := where_raised(error)):
                raise
            say_wrong(own)
            return 1
        say_wrong(str(error))
        return code
    return code if isinstance(code, int) else 0


def _code_of(error: Exception) -> int | None:
    """The exit code of an error that is the user's or the machine's; None for one of ours."""
    from undergrowth.published.reading import ResultsError
    from undergrowth.spec import SpecError
    from undergrowth.store import StoreError
    from undergrowth.sweep import SweepError

    if isinstance(error, SpecError | StoreError | ResultsError):
        return 2
    return 1 if isinstance(error, SweepError | NotWrittenError) else None
