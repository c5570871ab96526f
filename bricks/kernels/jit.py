"""How the kernels of the packet path are compiled."""

from numba import njit

# Without reference counts: a function that is given a table would count, atomically and in vain, those of its arrays at each
# step; that took more than half of the time. In return it cannot make arrays: memory comes with the tables.
compiled = njit(cache=True, _nrt=False)

# The same, put into the function that calls it; for what every packet passes.
inlined = njit(cache=True, _nrt=False, forceinline=True)
