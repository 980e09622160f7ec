"""Collecting pictures: from lists of URLs to class folders."""
