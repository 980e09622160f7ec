"""Tests of the documentation: it is generated where it can be, and true where it cannot."""
