"""Parts of LEGO in memory, with a clock that is turned by hand: for its own tests, for tests of a user's policy, host or NF, for figures.

Nothing here waits, opens or asks for the time, and the same seed gives the same run. `memory`: the decision core with hosts (`hosts`), a
switch that interprets rules (`switch`) and a load. `moves`: instances with real keyed bricks, while buckets move between them. `world`:
policies under ten minutes of load on the recorded cost model (`fluid`), against an oracle; that takes about a second.
docs/how-to/test-your-own.md shows how.
"""
