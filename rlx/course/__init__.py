"""What the notebooks use and the library never imports: live curves, players, pictures."""

from rlx.course.chapters import CourseMap
from rlx.course.live import live
from rlx.course.picture import Picture
from rlx.course.plots import Knob, curves
from rlx.course.watch import watch

__all__ = ["CourseMap", "Knob", "Picture", "curves", "live", "watch"]
