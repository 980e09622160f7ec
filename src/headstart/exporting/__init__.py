"""Exported files, each run and compared with the reference before it is handed over."""
