"""Tests of the shape of the code: sizes, order of imports, task names, torch, the house."""
