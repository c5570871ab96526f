"""Pre-execution (LEGO paper, section III-C): every brick of an NF on real packets, for its cost model.

Each kind runs in a forked process of its own, as a replica does, so that its memory is what a replica adds.
"""
