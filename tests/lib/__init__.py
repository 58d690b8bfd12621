"""Helpers of the whole-program tests: collector, load, programs under the preload, judgement."""
