"""The robot and the way to it: what goes over the wire, the link, clock, feeder and simulator."""
