"""Tests of exported files, and the tiny model that other tests need."""
