"""What the notebooks use and the library never imports: checks, live curves, players, pictures."""

from rlx.course import interrupt
from rlx.course.chapters import CourseMap
from rlx.course.checking import NotYet, check, hint
from rlx.course.duel import Duel
from rlx.course.exercise import Exercise, swap
from rlx.course.live import live
from rlx.course.measured import measured
from rlx.course.picture import Picture
from rlx.course.plainly import PlainSampler
from rlx.course.plots import Knob, comparison, curves
from rlx.course.predict import predict
from rlx.course.probing import probe
from rlx.course.progress import progress, summary
from rlx.course.watch import watch

__all__ = [
    "CourseMap",
    "Duel",
    "Exercise",
    "Knob",
    "NotYet",
    "Picture",
    "PlainSampler",
    "check",
    "comparison",
    "curves",
    "hint",
    "live",
    "measured",
    "predict",
    "probe",
    "progress",
    "summary",
    "swap",
    "watch",
]

interrupt.install()
