"""What a read would do, and what arrays and groups are: values that print.

Nothing here decides anything: it asks the code that reads, and says what that answered.
"""

from gpuzarr.report.reading import Explanation, explain
from gpuzarr.report.stages import Stage
from gpuzarr.report.summary import GroupInfo, Info, tree

__all__ = ["Explanation", "GroupInfo", "Info", "Stage", "explain", "tree"]
