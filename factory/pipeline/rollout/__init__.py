"""A change of a line goes to a pilot, then to four sites, then to the rest, and stops at the wave that it harms.

`plan` says which site is in which wave, `judging` whether a wave goes on, `sites` keeps every other site from the
change, `state` remembers how far the rollout is, and `driver` does it.
"""
