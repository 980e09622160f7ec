"""The command line: one module for each verb, thin clients of ``jobs``."""
