"""The benchmark: named groups of cases, timed against whichever peers are installed.

* `cases`: what is measured and what it has to reach, as data; `ourselves`: calls of ours beside others of ours.
* `peers`: the other libraries, and how each computes a case.
* `timing`: alternating minimum timing.
* `runs`, `bare`, `memory`: how each kind of group is measured.
* `rows`: what comes out; `report`, `plot`: how it is shown.
"""
