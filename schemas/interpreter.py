"""What a stage sets of its interpreter."""

import gc


def collect_rarely() -> None:
    """Let the garbage collector look at what comes from now on, and seldom.

    Stages hold many records for a while, which msgspec keeps from the collector's view, and hardly any cycles. Looking
    through the rest for them every 700 objects took up to a quarter of the sink's time, and of a stream worker with a
    million messages would stop the world.
    """
    gc.freeze()
    gc.set_threshold(50_000, 50, 1000)
