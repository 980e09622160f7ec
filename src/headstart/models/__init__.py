"""Backbones, heads, and the network that can be split between any two stages. Needs torch."""
