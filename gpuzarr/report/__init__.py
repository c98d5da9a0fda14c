"""What a read or a write would do, and what arrays and groups are: values that print.

Nothing here decides anything: it asks the code that reads, and says what that answered.
"""

from gpuzarr.report.device import DeviceWork
from gpuzarr.report.reading import Explanation, explain
from gpuzarr.report.stages import Stage
from gpuzarr.report.summary import GroupInfo, Info, tree
from gpuzarr.report.writing import WriteExplanation, explain_write

__all__ = [
    "DeviceWork",
    "Explanation",
    "GroupInfo",
    "Info",
    "Stage",
    "WriteExplanation",
    "explain",
    "explain_write",
    "tree",
]
