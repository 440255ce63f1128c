"""Simulated boards with Nordic chips: pure state machines, and a model of the link to them on a virtual clock."""
