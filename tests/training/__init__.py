"""Tests of plan, stored views and the two phases, and what they share."""
