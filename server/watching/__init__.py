"""For people who look on: the state of a run, what happens in it, and the streams that carry both."""
