"""Prompt files, read and written without loss: exact text, atomic replacement, and no overwriting of what others wrote.

Text is UTF-8; every code point comes back as it stood, a byte order mark and mixed line ends included.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from promptop.base.errors import PromptopError

if TYPE_CHECKING:
    import tempfile


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells one state of a file from another without reading it."""

    mtime_ns: int
    size: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> Stamp | None:
        """Return the stamp of a file; None if there is no such file."""
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _failed("looked at", path, error) from None
        return cls(status.st_mtime_ns, status.st_size, status.st_ino)


class FileChangedError(PromptopError):
    """The file on disk is not the one that was read: saving would overwrite someone's work."""


def read_exact(path: Path) -> tuple[str, Stamp]:
    """Return a file's text and stamp; raise :class:`PromptopError` if it cannot be read or is not UTF-8."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            data = file.read()
    except OSError as error:
        raise _failed("read", path, error) from None
    text = decoded(data, str(path))
    return text, Stamp(status.st_mtime_ns, status.st_size, status.st_ino)


@dataclass(frozen=True, slots=True)
class FileForm:
    """How a file writes its text; kept so that saving changes nothing but what was edited."""

    newline: str = "\n"
    """What ends each of its lines; a file that mixes line ends has ``\\n``, and its text holds the others."""
    mark: str = ""
    """Byte order mark before the text, or nothing."""

    def written(self, text: str) -> str:
        """Return a text as the file writes it."""
        return self.mark + (text.replace("\n", self.newline) if self.newline != "\n" else text)


PLAIN = FileForm()


def text_and_form(text: str) -> tuple[str, FileForm]:
    """Return a text with ``\\n`` at the ends of lines and without a byte order mark, and how it was written.

    Line ends that are mixed stay as they are.
    """
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    text = text.removeprefix("\ufeff")
    ends = text.count("\n")
    if ends and text.count("\r") == ends == text.count("\r\n"):
        return text.replace("\r\n", "\n"), FileForm("\r\n", mark)
    return text, FileForm("\n", mark)


def read_text(path: Path) -> tuple[str, FileForm, Stamp]:
    """Return a prompt file's text, how it is written, and its stamp; raise as :func:`read_exact` does."""
    text, stamp = read_exact(path)
    return *text_and_form(text), stamp


def decoded(data: bytes, name: str) -> str:
    """Return the text of bytes in UTF-8; raise :class:`PromptopError`, naming ``name``, if they are in another form."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise PromptopError(f"{name} is UTF-16, not UTF-8.", "Convert it first: iconv -f UTF-16 -t UTF-8.")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PromptopError(
            f"{name} is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}.",
            "Convert it first, for example with iconv -f GB18030 -t UTF-8.",
        ) from None


def write_atomic(path: Path, text: str, *, private: bool = False) -> Stamp:
    """Replace a file by ``text`` so that a crash leaves the old or the new text, never a mixture; return its stamp.

    An existing file keeps its mode, a symbolic link stays one; a new file gets 0600 if ``private``, else the umask's.
    """
    with _replacement(path, private=private) as temporary:
        temporary.write(text.encode("utf-8", "surrogatepass"))
    stamp = Stamp.of(path)
    if stamp is None:
        raise PromptopError(f"{path} was removed while it was being written.", "Save again.")
    return stamp


def save(path: Path, text: str, expected: Stamp | None, form: FileForm = PLAIN) -> Stamp:
    """Write ``text`` in the form of the file and return the new stamp.

    Nothing is written if the file is another than ``expected`` (None: there was none).

    Raises :class:`FileChangedError` then, and :class:`PromptopError` if it cannot be written.
    """
    found = Stamp.of(path)
    if found != expected:
        what = "was removed" if found is None else "appeared" if expected is None else "was changed by another program"
        raise FileChangedError(f"{path} {what} since it was read.", "Reload it, or save once more to overwrite it.")
    return write_atomic(path, form.written(text))


@contextlib.contextmanager
def _replacement(path: Path, *, private: bool) -> Iterator[tempfile._TemporaryFileWrapper[bytes]]:
    import tempfile  # and random, for writing alone

    target = Path(os.path.realpath(path))
    try:
        mode = target.stat().st_mode & 0o7777
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        mode = 0o600 if private else 0o666 & ~mask
    try:
        temporary = tempfile.NamedTemporaryFile(  # noqa: SIM115 (closed before it is renamed)
            dir=target.parent, prefix=f".{target.name}.", suffix=".tmp", delete=False
        )
    except OSError as error:
        raise _failed("written", path, error) from None
    try:
        with temporary:
            yield temporary
            temporary.flush()
            os.fchmod(temporary.fileno(), mode)
            os.fsync(temporary.fileno())
        Path(temporary.name).replace(target)
        _sync_folder(target.parent)
    except BaseException as error:
        Path(temporary.name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _failed("written", path, error) from None
        raise


def _sync_folder(folder: Path) -> None:
    """Make the renaming itself durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _failed(verb: str, path: Path, error: OSError) -> PromptopError:
    reason = error.strerror or type(error).__name__
    remedy = {
        "read": "Check the path and its permissions.",
        "looked at": "Check the permissions of its folder.",
        "written": "Check that the folder exists, is writable and has room.",
    }[verb]
    return PromptopError(f"{path} cannot be {verb}: {reason}.", remedy)
