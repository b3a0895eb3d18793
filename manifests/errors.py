"""Every error a user can meet: what is wrong, where, the value, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Final

EXIT_OK: Final = 0
EXIT_OVER_BUDGET: Final = 1
EXIT_USER: Final = 2
EXIT_BUSY: Final = 3
EXIT_INTERRUPTED: Final = 130

_UNSET: Final = object()


def nearest(name: str, options: Iterable[str]) -> str | None:
    """Return the option closest to `name`, or None when none is close."""
    close = difflib.get_close_matches(str(name), list(options), n=1, cutoff=0.5)
    return close[0] if close else None


class BlendsmithError(Exception):
    """Base of the errors that the command line shows without a traceback."""

    exit_code = EXIT_USER


class UserError(BlendsmithError):
    """A mistake in a job, an argument or an environment.

    `what` says what is wrong; `where` is `file:line` or a row; `value` is the offending value; `options` are the
    valid names, of which the nearest is suggested; `remedy` says what to do.
    """

    def __init__(
        self, what: str, *, where: str = "", value: object = _UNSET, options: Iterable[str] = (), remedy: str = ""
    ) -> None:
        self.what, self.where, self.remedy = what, where, remedy
        self.value = None if value is _UNSET else value
        self.options = tuple(options)
        parts = [f"{where}: {what}" if where else what]
        if value is not _UNSET:
            parts[0] += f": {_short(value)}"
        if self.options and value is not _UNSET:
            close = nearest(str(value), self.options)
            parts.append(f"did you mean '{close}'?" if close else _listed(self.options))
        if remedy:
            parts.append(remedy)
        super().__init__("\n  ".join(parts))

    def at(self, where: str) -> UserError:
        """Return the same error with a place; a place already set is kept."""
        if self.where:
            return self
        moved = type(self).__new__(type(self))
        moved.__dict__.update(self.__dict__)
        moved.where = where
        Exception.__init__(moved, f"{where}: {self}")
        return moved


class BusyError(UserError):
    """Another process is writing this manifest (exit code 3)."""

    exit_code = EXIT_BUSY


class ConservationError(BlendsmithError):
    """A stage lost or invented rows: a bug of ours or of a component, never of the data."""


class ContaminationError(UserError):
    """Rows of a test set were found in a blend; the run that would use it is refused."""


class Interrupted(BlendsmithError):  # noqa: N818 - a request, not a fault
    """The user asked to stop; finished work is published (exit code 130)."""

    exit_code = EXIT_INTERRUPTED


def missing_extra(package: str, extra: str) -> UserError:
    """Return the error for an optional package that is not installed."""
    return UserError(
        f"the package '{package}' is not installed", remedy=f"install it with: pip install 'blendsmith[{extra}]'"
    )


def together(errors: Sequence[UserError]) -> UserError:
    """Return one error that shows every one of `errors`, one block each; a single error is returned as it is."""
    if len(errors) == 1:
        return errors[0]
    return UserError("\n".join(str(error) for error in errors))


def _listed(options: Iterable[str], most: int = 12) -> str:
    """Return the valid names in order, `most` of them at the most."""
    names = sorted(map(str, options))
    return f"valid: {', '.join(names[:most])}" + (f", ... ({len(names)} in all)" if len(names) > most else "")


def _short(value: object, limit: int = 200) -> str:
    """Return repr(value), cut to `limit` characters, control characters escaped."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
