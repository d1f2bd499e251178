"""Points in a stream worker's code at which it can be made to die, as if it were killed there."""

from typing import Final

IN_A_CHECKPOINT: Final = ("amid the records", "before the commit", "amid the commit", "after the commit")
IN_A_RESTORE: Final = ("before the fence", "after the fence", "amid the restore", "after the restore")
IN_A_REBALANCE: Final = (
    "at the revocation",
    "after the revocation",
    "at the assignment",
    "at the seek",
    "after the seek",
)

DYING: Final = """
import asyncio, os, random, signal, threading
from streams import app, committed_reads, partitions, restoring, table, transactions

point, left = os.environ["DIE_AT"], [int(os.environ["DIE_AFTER"])]

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def pass_by(name):
    if name == point:
        left[0] -= 1
        if left[0] < 0:
            if name.startswith("amid"):  # a moment later, whatever goes on then
                threading.Timer(random.uniform(0, 0.01), die).start()
            else:
                die()

def lay(owner, method, before="", after=""):
    was = getattr(owner, method)
    if asyncio.iscoroutinefunction(was):
        async def now(*given, **named):
            pass_by(before)
            result = await was(*given, **named)
            pass_by(after)
            return result
    else:
        def now(*given, **named):
            pass_by(before)
            result = was(*given, **named)
            pass_by(after)
            return result
    setattr(owner, method, now)

lay(transactions.Transactions, "_produce", before="amid the records")
lay(transactions.Transactions, "_commit", before="before the commit", after="after the commit")
lay(transactions.Transactions, "_commit", before="amid the commit")
lay(app.StreamApp, "_new_partition", before="before the fence", after="after the fence")
lay(partitions.SourcePartition, "restore", before="amid the restore")
lay(restoring.Restorer, "restore", after="after the restore")
lay(table.CheckpointTable, "flush", before="at the revocation", after="after the revocation")
lay(table.CheckpointStore, "on_rebalance", before="at the assignment")
lay(committed_reads.Consumer, "perform_seek", before="at the seek", after="after the seek")
"""
"""Dies at the point DIE_AT when it comes there after having passed it DIE_AFTER times."""
