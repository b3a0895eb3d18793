"""Faults of the machine are told, and nothing else is taken for one."""

from __future__ import annotations

import errno
import os

import duckdb
import pytest

from manifests import fault


@pytest.mark.parametrize("code", sorted(fault.REMEDIES))
def test_a_system_error_is_told_with_its_file_and_a_remedy(code):
    told = fault.told(OSError(code, os.strerror(code), "/m/manifest.duckdb"))
    assert str(told).startswith(f"/m/manifest.duckdb: {os.strerror(code).lower()}")
    assert told.remedy == fault.REMEDIES[code]
    assert told.exit_code == 2


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOENT, "no such file"), ValueError("No space left on device"), KeyError("x"), OSError("other")],
)
def test_a_bug_is_no_fault_of_the_machine(error):
    assert fault.told(error) is None


def test_the_words_of_the_system_count_in_the_errors_of_libraries():
    full = duckdb.IOException("Could not write file: No space left on device")
    assert fault.told(full).remedy == fault.REMEDIES[errno.ENOSPC]
    assert fault.told(duckdb.IOException("fsync failed!")).remedy == fault.REMEDIES[errno.EIO]
    assert fault.told(duckdb.BinderException("no such column")) is None
    assert "doctor M --verify" in fault.told(duckdb.IOException("Corrupt database file: computed checksum 1")).remedy


def test_a_plain_exception_with_a_system_error_of_rust_is_told():
    assert fault.told(Exception("No space left on device (os error 28)")).remedy == fault.REMEDIES[errno.ENOSPC]
    assert fault.told(Exception("Input/output error (os error 5)")).remedy == fault.REMEDIES[errno.EIO]
    assert fault.told(Exception("No such file or directory (os error 2)")) is None
    assert fault.told(ValueError("Input/output error (os error 5)")) is None


def test_too_little_memory_for_the_database_says_whose_it_was():
    ours = duckdb.OutOfMemoryException("Out of Memory Error: could not allocate block (64.0 MiB/64.0 MiB used)")
    theirs = duckdb.OutOfMemoryException("Out of Memory Error: Failed to allocate block of 262144 bytes")
    assert fault.told(ours).remedy == "raise the job's `memory`"
    assert "free some memory" in fault.told(theirs).remedy


def test_ctrl_c_in_a_statement_is_known_whatever_was_raised_on_the_way_out_and_no_other_error_is():
    assert fault.interrupted(RuntimeError("Query interrupted"))
    outer = ValueError("the view is gone")
    outer.__context__ = RuntimeError("Query interrupted")
    assert fault.interrupted(outer)
    assert not fault.interrupted(RuntimeError("Query failed"))
    assert not fault.interrupted(duckdb.BinderException("Query interrupted"))


def test_what_a_library_wraps_is_found():
    outer = RuntimeError("saving failed")
    outer.__cause__ = OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
    assert "quota" in str(fault.told(outer)).lower()
