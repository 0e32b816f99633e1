# Snakemake's lock on a folder outlives a Snakemake that is killed, which then asks for `snakemake --unlock`. Each call
# therefore records its process in .snakemake/nerva. A lock is removed if every recorded process ran on this host and has
# ended. Nothing can be said about a process of another host that shares the file system: then the lock stays.
import json
import socket

import psutil

PROCESSES = Path(".snakemake") / "nerva"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def this_process():
    return {
        "host": socket.gethostname(),
        "boot": BOOT_ID.read_text().strip() if BOOT_ID.exists() else "",
        "pid": os.getpid(),
        "started": psutil.Process().create_time(),
    }


def has_ended(process):
    """Whether a recorded process has certainly ended."""
    here = this_process()
    if process["host"] != here["host"]:
        return False
    if process["boot"] != here["boot"]:
        return True
    try:
        found = psutil.Process(process["pid"])
        return found.status() == psutil.STATUS_ZOMBIE or found.create_time() != process["started"]
    except psutil.NoSuchProcess:
        return True


if EXECUTING:
    PROCESSES.mkdir(parents=True, exist_ok=True)
    recorded = {}
    for file in PROCESSES.glob("*.json"):
        try:
            recorded[file] = has_ended(json.loads(file.read_text()))
        except (OSError, ValueError, KeyError, TypeError):
            recorded[file] = False
    if recorded and all(recorded.values()):
        shutil.rmtree(Path(".snakemake") / "locks", ignore_errors=True)
        for file in recorded:
            file.unlink(missing_ok=True)
    RECORDED = PROCESSES / f"{socket.gethostname()}-{os.getpid()}.json"
    RECORDED.write_text(json.dumps(this_process()))
    atexit.register(RECORDED.unlink, missing_ok=True)
