# Snakemake's lock on a folder outlives a Snakemake that is killed, which then asks for `snakemake --unlock`. A lock of
# the system's goes with its process: where nobody holds the one here, what is there of Snakemake's was left behind.
import fcntl
import shutil
from contextlib import suppress

if workflow.is_main_process:
    SNAKEMAKE = Path(".snakemake")
    SNAKEMAKE.mkdir(exist_ok=True)
    ALIVE = (SNAKEMAKE / "alive").open("a")  # for as long as this process lives
    # Where a file system has no such locks, all is as it was.
    with suppress(OSError):
        fcntl.flock(ALIVE, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(SNAKEMAKE / "locks", ignore_errors=True)
    with suppress(OSError):
        fcntl.flock(ALIVE, fcntl.LOCK_SH)
