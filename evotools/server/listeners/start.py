"""Where a viewer begins, when it says so itself: `?start=live`, `?start=keyframe`, `?start=-10`."""

import re
from dataclasses import replace
from functools import lru_cache

from evotools.errors import UsageError
from evotools.hub.viewer import Start, ViewerPolicy

_BACK = re.compile(r"-(\d{1,6}(?:\.\d{1,3})?)s?")


@lru_cache(256)
def starting(policy: ViewerPolicy, start: str) -> ViewerPolicy:
    """`policy` with the start that a viewer asked for: seconds back are negative. Raises UsageError."""
    if start in ("live", "keyframe"):
        return replace(policy, start=Start(start), back_s=0.0)
    found = _BACK.fullmatch(start)
    if found is None:
        raise UsageError(f"start {start[:20]!r} is none of keyframe, live and seconds back, like -10")
    return replace(policy, start=Start.KEYFRAME, back_s=float(found[1]))
