"""The whole report of a store as it is now, made by a process of its own when somebody asks for it.

python -m undergrowth.live.snapshot STORE PAGE
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from undergrowth.own_parts import told_to_others, undergrowth_command, use_what_was_told
from undergrowth.plain_text import command, in_one_line
from undergrowth.spec_errors import SpecError
from undergrowth.store import Store, StoreError


class ReportError(Exception):
    """A report that could not be made; one line."""


class Reports:
    """Makes one report at a time; whoever asks while one is made waits for that.

    is_fresh: whether the last one may still be shown: nobody has asked for another since.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self.is_fresh = False
        self.root, self.page = root, folder / "report.html"
        self.making: asyncio.Task[None] | None = None
        self.process: asyncio.subprocess.Process | None = None

    async def made(self) -> Path:
        """The page, when it has been made; raises ReportError where that cannot be done."""
        if not self.is_fresh:
            if self.making is None or self.making.done():
                self.making = asyncio.create_task(self._make())
            await asyncio.shield(self.making)
        return self.page

    async def _make(self) -> None:
        arguments = "-m", "undergrowth.live.snapshot", str(self.root), str(self.page)
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            env={**os.environ, **told_to_others()},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await self.process.communicate()
        if self.process.returncode:
            lines = said.decode(errors="replace").strip().splitlines() or ["the process was killed"]
            raise ReportError(in_one_line(lines[-1]))
        self.is_fresh = True

    def stop(self) -> None:
        """Kill the process that is at work, if there is one."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()


def main() -> int:
    """Write the page of a store; says in one line on standard error why it could not be done."""
    from undergrowth.studies.conducting import Places, write_report
    from undergrowth.studies.named import studies

    root, page = Path(sys.argv[1]), Path(sys.argv[2])
    beside = page.with_suffix(".verdicts.json"), page.with_suffix(".claims.json")
    given = f"{command('cd', os.getcwd())} && {undergrowth_command('report', root)}"
    try:
        use_what_was_told(os.environ)
        store = Store(root)
        if not store.runs:
            raise StoreError(f"{root} has no runs to report: train some first")
        write_report(store, studies().values(), given, Places(page, *beside))
    except (SpecError, StoreError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
