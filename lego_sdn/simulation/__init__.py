"""Scaling in simulation: the real decision core, with a turned clock, on a host that follows the recorded cost model.

Nothing here waits, opens or asks for the time: ten minutes of load take about a second, and the same seed gives the same run.
"""
